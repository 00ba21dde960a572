//! The status of the checkpoint's own certificate: asked for at the responder that it names, and
//! stapled to it (RFC 6066 §8). What is stapled was believed here first.

use crate::edge::unix;
use crate::event::Event;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use touchstone_certs::ocsp::{self, Response, Status};
use touchstone_certs::{Certificate, Error};
use touchstone_crypto_awslc::AwsLc;
use touchstone_tls::{ConfigError, ServerConfig};

/// How long a responder may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Octets of an answer.
const LARGEST: usize = 256 << 10;
const SHORTEST_PAUSE: u64 = 1;
const LONGEST_PAUSE: u64 = 3600;

/// A certificate whose responder can be asked.
#[derive(Clone, Debug)]
pub struct Stapling {
    certificate: Certificate,
    issuer: Certificate,
    uri: Uri,
}

/// Why there is no status.
#[derive(Debug)]
enum Trouble {
    Unreachable(String),
    Unbelievable(Error),
}

impl Trouble {
    const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "checkpoint.status.unreachable",
            Self::Unbelievable(error) => error.code(),
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(f, "the responder gives no answer: {reason}"),
            Self::Unbelievable(error) => write!(f, "the responder's answer: {error}"),
        }
    }
}

/// A status that is believed.
struct Known {
    octets: Vec<u8>,
    revoked: bool,
    until: u64,
}

impl Stapling {
    /// For a chain, leaf first; `None` if it names no responder or does not hold its issuer.
    pub fn of(chain: &[Vec<u8>]) -> Option<Self> {
        let mut chain = chain.iter().filter_map(|der| Certificate::decode(der).ok());
        let certificate = chain.next()?;
        let issuer = chain.find(|issuer| issuer.subject_der() == certificate.issuer_der())?;
        let uri: Uri = certificate.ocsp_urls().first()?.parse().ok()?;
        (uri.scheme_str() == Some("http") && uri.host().is_some()).then_some(Self {
            certificate,
            issuer,
            uri,
        })
    }

    /// Keeps the configuration in force for as long as the program runs: `make` gives the one with
    /// this response stapled, or with none. A response that is over is not shown any more.
    pub async fn keep(
        self,
        current: watch::Sender<ServerConfig>,
        make: impl Fn(Option<&[u8]>) -> Result<ServerConfig, ConfigError>,
    ) {
        let (mut pause, mut until) = (SHORTEST_PAUSE, 0);
        loop {
            let asked = tokio::time::timeout(PATIENCE, self.ask()).await;
            let asked =
                asked.unwrap_or_else(|_| Err(Trouble::Unreachable("none in 10 s".to_owned())));
            match asked {
                Ok(known) => {
                    if known.revoked {
                        let words = "the checkpoint's own certificate is revoked; issue another";
                        told("checkpoint.status.revoked", &words);
                    }
                    if let Ok(config) = make(Some(&known.octets)) {
                        current.send_replace(config);
                    }
                    until = known.until;
                    pause = until.saturating_sub(unix()) / 2;
                    pause = pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                }
                Err(trouble) => {
                    told(trouble.code(), &trouble);
                    if until != 0 && unix() >= until {
                        until = 0;
                        if let Ok(config) = make(None) {
                            current.send_replace(config);
                        }
                    }
                    // Often enough for what holds shortly, and no more than once a minute for long.
                    pause = (pause * 2).min(60);
                }
            }
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }

    async fn ask(&self) -> Result<Known, Trouble> {
        let unbelievable = Trouble::Unbelievable;
        let question = ocsp::Request::new(&AwsLc, &self.certificate, &self.issuer, None)
            .and_then(|request| request.encode())
            .map_err(unbelievable)?;
        let octets =
            self.post(question).await.map_err(|error| Trouble::Unreachable(error.to_string()))?;
        let checked = Response::decode(&octets)
            .and_then(|response| {
                response.verify(&AwsLc, &self.certificate, &self.issuer, None, unix())
            })
            .map_err(unbelievable)?;
        let until = checked.next_update.unwrap_or(checked.this_update);
        let revoked = matches!(checked.status, Status::Revoked { .. });
        Ok(Known { octets: octets.to_vec(), revoked, until })
    }

    async fn post(&self, body: Vec<u8>) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        let host = self.uri.host().unwrap_or_default();
        let address = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((address, self.uri.port_u16().unwrap_or(80))).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let path = self.uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        let authority = self.uri.authority().map_or(host, hyper::http::uri::Authority::as_str);
        let request = Request::post(path)
            .header(header::HOST, authority)
            .header(header::CONTENT_TYPE, ocsp::REQUEST_TYPE)
            .body(Full::new(Bytes::from(body)))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        driver.abort();
        match status {
            StatusCode::OK => Ok(body?.to_bytes()),
            other => Err(format!("it answered {other}").into()),
        }
    }
}

fn told(code: &str, reason: &dyn ToString) {
    Event::new(unix(), "status", code, reason).write();
}

#[cfg(test)]
mod tests;
