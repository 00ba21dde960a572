//! Asking a fleet: one request over HTTP/1.1 with a bearer token, bounded in size and time. Beyond this
//! machine only over TLS.

use crate::answer::Failure;
use crate::cli::Fleet;
use crate::{files, signing};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use touchstone_drive::TlsStream;
use touchstone_tls::{ClientConfig, ClientSetup, ServerName};

/// How long a fleet may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Octets of an answer.
const LIMIT: usize = 64 << 20;

/// What the fleet answers at `path`.
pub(crate) fn get(fleet: &Fleet, path: &str) -> Result<Value, Failure> {
    ask(fleet, Method::GET, path, None)
}

/// What the fleet answers to a request with this body in JSON.
pub(crate) fn ask(
    fleet: &Fleet,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let question = Question { method, path, body };
    let target = target(fleet)?;
    let token = token(fleet)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unknown("touchstone.platform", error, "try again"))?;
    let (status, body) = runtime.block_on(async {
        let answer = tokio::time::timeout(PATIENCE, request(&target, question, &token)).await;
        answer.unwrap_or_else(|_| Err(unreachable(&target, "it did not answer within 20 s")))
    })?;
    let json = serde_json::from_slice(&body);
    if status == StatusCode::OK {
        return json.map_err(|error| {
            let next = "check that the URL leads to a fleet";
            Failure::unknown(
                "touchstone.fleet.answer",
                format!("the answer is not JSON: {error}"),
                next,
            )
        });
    }
    Err(problem(status, &json.unwrap_or_default()))
}

/// What is asked.
struct Question<'a> {
    method: Method,
    path: &'a str,
    body: Bytes,
}

/// Where the fleet is.
struct Target {
    host: String,
    port: u16,
    tls: Option<(ClientConfig, ServerName)>,
}

/// The token would be readable on the way, so plain HTTP stays on this machine.
fn target(fleet: &Fleet) -> Result<Target, Failure> {
    let url = &fleet.url;
    let form = "write http://127.0.0.1:PORT or https://HOST:PORT, the console's address in the \
                fleet's configuration";
    let uri: Uri =
        url.parse().map_err(|error| Failure::usage(format!("`{url}` is no URL: {error}"), form))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let (port, tls) = match uri.scheme_str() {
        Some("http") if bare && plain => (80, None),
        Some("https") if bare && plain => (443, Some(tls(fleet, &host)?)),
        _ => {
            return Err(Failure::usage(
                format!("`{url}` is not the address of an operator API"),
                form,
            ));
        }
    };
    if tls.is_none() && loopback(&host).is_none() {
        let message = format!("`{url}` would carry the token over the network in the clear");
        return Err(Failure::usage(
            message,
            "use https, or forward a port: ssh -L 8080:127.0.0.1:8080 HOST",
        ));
    }
    Ok(Target { host, port: uri.port_u16().unwrap_or(port), tls })
}

/// The address of this machine that is meant. The name is not looked up: whoever answers for it
/// elsewhere must not get the token.
fn loopback(host: &str) -> Option<IpAddr> {
    match host {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.parse().ok().filter(IpAddr::is_loopback),
    }
}

fn tls(fleet: &Fleet, host: &str) -> Result<(ClientConfig, ServerName), Failure> {
    let Some(roots) = &fleet.roots else {
        let next = "give --roots FILE, the roots of the fleet's CA in PEM";
        return Err(Failure::usage("https needs to know whose certificate counts", next));
    };
    let roots = signing::certificates(roots)?;
    let roots: Vec<Vec<u8>> = roots.iter().map(|root| root.der().to_vec()).collect();
    let config = ClientSetup::new(&roots).alpn(&[b"http/1.1"]).build();
    let name = ServerName::parse(host);
    config.and_then(|config| Ok((config, name?))).map_err(|error| {
        Failure::usage(format!("no TLS with `{host}`: {error}"), "check --fleet and --roots")
    })
}

fn token(fleet: &Fleet) -> Result<String, Failure> {
    let Some(reference) = &fleet.token else {
        let next = "give --token file:PATH, or set TOUCHSTONE_TOKEN=file:PATH";
        return Err(Failure::usage("the fleet wants to know who asks", next));
    };
    let token = files::read_secret(reference, "--token")?.trim().to_owned();
    if token.is_empty() || !token.bytes().all(|c| c.is_ascii_graphic()) {
        let next = "give the file that `touchstone-fleet init` names";
        return Err(Failure::usage(format!("there is no token in {reference}"), next));
    }
    Ok(token)
}

async fn request(
    target: &Target,
    question: Question<'_>,
    token: &str,
) -> Result<(StatusCode, Bytes), Failure> {
    let Target { host, port, tls } = target;
    let failed = |error: &dyn Display| unreachable(target, error);
    let stream = match loopback(host) {
        Some(address) => TcpStream::connect((address, *port)).await,
        None => TcpStream::connect((host.as_str(), *port)).await,
    };
    let stream = stream.map_err(|error| failed(&error))?;
    match tls {
        None => exchange(target, stream, question, token).await,
        Some((config, name)) => {
            let stream = TlsStream::connect(stream, config, name).await;
            exchange(target, stream.map_err(|error| failed(&error))?, question, token).await
        }
    }
}

async fn exchange<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    target: &Target,
    stream: IO,
    question: Question<'_>,
    token: &str,
) -> Result<(StatusCode, Bytes), Failure> {
    let failed = |error: &dyn Display| unreachable(target, error);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let driver = tokio::spawn(connection);
    let Target { host, port, .. } = target;
    let host =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let Question { method, path, body } = question;
    let mut request = Request::builder().method(method).uri(path);
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request
        .header(header::HOST, host)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ACCEPT, "application/json")
        .body(Full::new(body))
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LIMIT).collect().await;
    driver.abort();
    Ok((status, body.map_err(|error| failed(&error))?.to_bytes()))
}

fn unreachable(target: &Target, why: impl Display) -> Failure {
    let message = format!("no answer from the fleet at {}:{}: {why}", target.host, target.port);
    Failure::unknown(
        "touchstone.fleet.unreachable",
        message,
        "check that touchstone-fleet runs, and --fleet",
    )
}

/// The fleet said why not; pass it on.
fn problem(status: StatusCode, body: &Value) -> Failure {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let code = text("code").unwrap_or("touchstone.fleet.status");
    let message =
        text("message").map_or_else(|| format!("the fleet answered {status}"), str::to_owned);
    Failure::unknown(code, message, text("next").unwrap_or("check that the URL leads to a fleet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<Target, Failure> {
        target(&Fleet { url: url.into(), token: None, roots: None })
    }

    #[test]
    fn a_token_does_not_leave_this_machine_in_the_clear() {
        for good in ["http://127.0.0.1:8080", "http://localhost:1/", "http://[::1]:8080"] {
            assert!(at(good).is_ok(), "{good}");
        }
        for bad in [
            "http://fleet.example:8080",
            "http://10.0.0.1",
            "http://127.0.0.1.example",
            "http://127.0.0.1:8080/other",
            "http://127.0.0.1@example/",
            "http://user@localhost/",
            "https://localhost:8080",
            "ftp://127.0.0.1",
            "127.0.0.1:8080",
            "",
        ] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }
}
