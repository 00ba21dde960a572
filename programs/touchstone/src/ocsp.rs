//! `touchstone ocsp`: asking a responder, over HTTP (RFC 6960 A.1), and being one.

mod serve;

use crate::answer::{Answer, Answered, Failure};
use crate::cert;
use crate::cli::Ocsp;
use crate::files;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use touchstone_certs::ocsp::{self, Response, Status};
use touchstone_certs::{Certificate, Error, Refusal};
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;

/// How long a responder may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Octets of an answer.
const LIMIT: usize = 256 << 10;

pub(crate) fn run(verb: &Ocsp) -> Answered {
    let (file, issuer, url, no_nonce, out) = match verb {
        Ocsp::Query { file, issuer, url, no_nonce, out } => (file, issuer, url, no_nonce, out),
        Ocsp::Serve { dir, listen, responder, key, minutes } => {
            let responder = responder.as_deref().zip(key.as_deref());
            return serve::run(dir, *listen, responder, *minutes);
        }
    };
    let certificate = cert::read(file)?.remove(0);
    let issuer = cert::read(issuer)?.remove(0);
    let url = match (url, certificate.ocsp_urls()) {
        (Some(url), _) => url.clone(),
        (None, [first, ..]) => first.clone(),
        (None, []) => {
            let message = "the certificate names no OCSP responder";
            return Err(Failure::usage(message, "give --url http://HOST/"));
        }
    };
    query(&certificate, &issuer, &url, !no_nonce, out.as_deref())
}

fn query(
    certificate: &Certificate,
    issuer: &Certificate,
    url: &str,
    with_nonce: bool,
    out: Option<&Path>,
) -> Answered {
    let failed = |error: Error| Failure::unknown(error.code(), error, "check the certificates");
    // RFC 9654 §2.1: 32 octets.
    let mut nonce = [0; 32];
    AwsLc.random(&mut nonce).map_err(|error| failed(error.into()))?;
    let nonce = with_nonce.then_some(nonce.as_slice());
    let request = ocsp::Request::new(&AwsLc, certificate, issuer, nonce).map_err(failed)?;
    let now = files::now()?;
    let octets = post(url, request.encode().map_err(failed)?)?;
    let unbelievable = |error: Error| {
        let next = match error {
            Error::Refused { reason: Refusal::NonceMissing, .. } => {
                "give --no-nonce for a responder that signs beforehand"
            }
            Error::Refused { reason: Refusal::UnauthorizedResponder, .. } => {
                "check --issuer; only the issuer, or whom it certified for OCSP, may answer"
            }
            _ => "ask again, or ask another responder",
        };
        Failure::unknown(error.code(), format!("{url}: {error}"), next)
    };
    let checked = Response::decode(&octets)
        .and_then(|response| response.verify(&AwsLc, certificate, issuer, nonce, now))
        .map_err(unbelievable)?;
    if let Some(path) = out {
        files::write(path, &octets)?;
    }
    let (word, at, reason) = match checked.status {
        Status::Good => ("good", None, None),
        Status::Revoked { at, reason } => ("revoked", Some(at), Some(reason.name())),
        Status::Unknown => ("unknown", None, None),
    };
    let mut answer = Answer::new("touchstone.ocsp.query/1")
        .good(checked.status == Status::Good)
        .with("responder", url)
        .with("serial", certificate.serial())
        .with("status", word)
        .with("revoked_at", at)
        .with("reason", reason)
        .with("this_update", checked.this_update)
        .with("next_update", checked.next_update)
        .line(format_args!("{}: {word}", certificate.subject()));
    if let (Some(at), Some(reason)) = (at, reason) {
        answer = answer.line(format_args!("  since {}, for {reason}", cert::date(at)));
    }
    answer = answer.line(format_args!("  as of {}", cert::date(checked.this_update)));
    let until = checked.next_update.map(cert::date);
    Ok(answer.line(format_args!("  until {}", until.as_deref().unwrap_or("there is newer"))))
}

/// One POST; whatever is not 200 is an error.
fn post(url: &str, body: Vec<u8>) -> Result<Bytes, Failure> {
    let form = "write http://HOST[:PORT]/PATH; responses are signed, so they need no TLS";
    let uri: Uri =
        url.parse().map_err(|error| Failure::usage(format!("`{url}` is no URL: {error}"), form))?;
    let host = uri.host().unwrap_or_default().to_owned();
    if uri.scheme_str() != Some("http") || host.is_empty() {
        return Err(Failure::usage(format!("`{url}` is not the address of a responder"), form));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unknown("touchstone.platform", error, "try again"))?;
    let unreachable = |why: &dyn Display| {
        let message = format!("no answer from the responder at {url}: {why}");
        Failure::unknown("touchstone.ocsp.unreachable", message, "check --url, and that it runs")
    };
    runtime.block_on(async {
        let exchange = exchange(&uri, &host, body);
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok((StatusCode::OK, body))) => Ok(body),
            Ok(Ok((status, _))) => Err(unreachable(&format_args!("it answered {status}"))),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) => Err(unreachable(&"it did not answer within 20 s")),
        }
    })
}

type Wrong = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(uri: &Uri, host: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), Wrong> {
    let address = host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((address, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    let authority = uri.authority().map_or(host, hyper::http::uri::Authority::as_str);
    let request = Request::post(path)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, ocsp::REQUEST_TYPE)
        .header(header::ACCEPT, ocsp::RESPONSE_TYPE)
        .body(Full::new(Bytes::from(body)))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LIMIT).collect().await;
    driver.abort();
    Ok((status, body?.to_bytes()))
}
