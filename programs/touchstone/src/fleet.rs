//! Asking a fleet: one GET over HTTP/1.1 with a bearer token, bounded in size and time.

use crate::answer::Failure;
use crate::cli::Fleet;
use crate::files;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a fleet may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Octets of an answer.
const LIMIT: usize = 64 << 20;

/// What the fleet answers at `path`.
pub(crate) fn get(fleet: &Fleet, path: &str) -> Result<Value, Failure> {
    let target = target(&fleet.fleet)?;
    let token = token(fleet)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unknown("touchstone.platform", error, "try again"))?;
    let (status, body) = runtime.block_on(async {
        let answer = tokio::time::timeout(PATIENCE, request(&target, path, &token)).await;
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

/// Where the fleet is.
struct Target {
    host: String,
    port: u16,
}

/// The token would be readable on the way, so plain HTTP stays on this machine.
fn target(url: &str) -> Result<Target, Failure> {
    let wrong = |message: String, next: &str| Failure::usage(message, next);
    let form = "write http://127.0.0.1:PORT, the console's address in the fleet's configuration";
    let uri: Uri =
        url.parse().map_err(|error| wrong(format!("`{url}` is no URL: {error}"), form))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if uri.scheme_str() != Some("http") || !matches!(uri.path(), "" | "/") || uri.query().is_some()
    {
        return Err(wrong(format!("`{url}` is not the address of an operator API"), form));
    }
    let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if !loopback {
        let next = "forward a port to it: ssh -L 8080:127.0.0.1:8080 HOST";
        return Err(wrong(
            format!("`{url}` would carry the token over the network in the clear"),
            next,
        ));
    }
    Ok(Target { host, port: uri.port_u16().unwrap_or(80) })
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

async fn request(target: &Target, path: &str, token: &str) -> Result<(StatusCode, Bytes), Failure> {
    let failed = |error: &dyn Display| unreachable(target, error);
    let Target { host, port } = target;
    // The name is not looked up: whoever answers for it elsewhere must not get the token.
    let ip = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let stream = TcpStream::connect((ip, *port)).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let driver = tokio::spawn(connection);
    let host = if ip.is_ipv6() { format!("[{ip}]:{port}") } else { format!("{host}:{port}") };
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    let body =
        Limited::new(answer.into_body(), LIMIT).collect().await.map_err(|error| failed(&error))?;
    driver.abort();
    Ok((status, body.to_bytes()))
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

    #[test]
    fn a_token_does_not_leave_this_machine_in_the_clear() {
        for good in ["http://127.0.0.1:8080", "http://localhost:1/", "http://[::1]:8080"] {
            assert!(target(good).is_ok(), "{good}");
        }
        for bad in [
            "http://fleet.example:8080",
            "http://10.0.0.1",
            "http://127.0.0.1.example",
            "http://127.0.0.1:8080/other",
            "http://user@example/",
            "ftp://127.0.0.1",
            "127.0.0.1:8080",
            "",
        ] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }
}
