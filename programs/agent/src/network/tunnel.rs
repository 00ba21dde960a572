//! Tunnels: a plain connection on loopback, carried in TLS through a checkpoint to a broker.
//!
//! Outside: mutual TLS with the checkpoint, and `CONNECT` with the attestation result. Inside: TLS
//! end to end with the broker, client key with the keeper. The checkpoint sees no plaintext.

use crate::config::{Config, Tunnel};
use crate::offloop::off_loop;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use touchstone_drive::TlsStream;
use touchstone_tls::{ClientConfig, ClientSetup, Identity, ServerName, certificates_from_pem};

const ATTESTATION_RESULT: HeaderName = HeaderName::from_static("attestation-result");

/// From the local connection to the open tunnel.
const OPEN: Duration = Duration::from_secs(20);

/// What a device shows to pass: who it is, and what the fleet says about it.
#[derive(Clone)]
pub struct Pass {
    /// The LDevID.
    pub identity: Identity,
    /// The attestation result, as a JWT.
    pub ear_jwt: Arc<str>,
}

/// Why a tunnel does not open.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a name of the configuration can not be used.
    #[error("{}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The local address can not be listened on.
    #[error("cannot listen on {address}: {source}; is it another program's?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no attestation result with an LDevID yet.
    #[error("no attestation result for this device's certificate yet; see touchstone-agent status")]
    NoPass,
    /// The checkpoint can not be reached.
    #[error("the checkpoint cannot be reached: {0}")]
    Unreachable(String),
    /// No TLS with the checkpoint or with the broker.
    #[error("no TLS with the {with}: {reason}")]
    Tls {
        /// `checkpoint`, `broker`.
        with: &'static str,
        /// What happened.
        reason: String,
    },
    /// The checkpoint refuses, in its own words.
    #[error("the checkpoint refuses ({status}, {code}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its stable code.
        code: String,
        /// Its words.
        message: String,
    },
    /// The checkpoint does not speak as it should.
    #[error("the checkpoint broke off: {0}")]
    Broken(String),
    /// It took too long.
    #[error("no open tunnel in {OPEN:?}")]
    Slow,
}

impl Error {
    /// The stable code of this error: the checkpoint's own where it refused.
    pub fn code(&self) -> &str {
        match self {
            Self::Unusable { .. } => "agent.tunnel.unusable",
            Self::Listen { .. } => "agent.tunnel.listen",
            Self::NoPass => "agent.tunnel.no-result",
            Self::Unreachable(_) => "agent.tunnel.unreachable",
            Self::Tls { .. } => "agent.tunnel.tls",
            Self::Refused { code, .. } => code,
            Self::Broken(_) => "agent.tunnel.broken",
            Self::Slow => "agent.tunnel.slow",
        }
    }
}

/// Every tunnel of a configuration, with its files read.
pub fn ways(config: &Config) -> Result<Vec<Way>, Error> {
    let roots = &config.fleet.roots;
    config.tunnels.iter().map(|tunnel| Way::new(tunnel, roots)).collect()
}

/// A tunnel's configuration with its files read.
#[derive(Clone)]
pub struct Way {
    config: Tunnel,
    checkpoint_roots: Vec<Vec<u8>>,
    checkpoint_name: ServerName,
    broker_roots: Vec<Vec<u8>>,
    broker_name: ServerName,
}

impl Way {
    /// Reads the files. The checkpoint's certificate is issued by the fleet, so its roots are the
    /// fleet's.
    pub fn new(config: &Tunnel, fleet_roots: &Path) -> Result<Self, Error> {
        let name =
            |name: &str| ServerName::parse(name).map_err(|error| unusable(Path::new(name), &error));
        Ok(Self {
            checkpoint_roots: roots(fleet_roots)?,
            checkpoint_name: name(&config.checkpoint_name)?,
            broker_roots: roots(&config.broker_roots)?,
            broker_name: name(&config.broker_name)?,
            config: config.clone(),
        })
    }

    /// Carries what connects, for as long as the agent runs.
    pub async fn serve(self, pass: watch::Receiver<Option<Pass>>, open: Arc<AtomicU32>) -> Error {
        let address = self.config.listen;
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(source) => return Error::Listen { address, source },
        };
        let places = Arc::new(Semaphore::new(self.config.connections));
        loop {
            // Without a place nothing more is accepted: the application waits.
            let place = Arc::clone(&places).acquire_owned().await;
            let Ok((local, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (way, pass, open) = (self.clone(), pass.borrow().clone(), Arc::clone(&open));
            tokio::spawn(async move {
                open.fetch_add(1, Ordering::Relaxed);
                way.carry(local, pass).await;
                open.fetch_sub(1, Ordering::Relaxed);
                drop(place);
            });
        }
    }

    async fn carry(&self, mut local: TcpStream, pass: Option<Pass>) {
        let broker = &self.config.broker;
        let opened = match pass {
            Some(pass) => timeout(OPEN, self.open(&pass)).await.unwrap_or(Err(Error::Slow)),
            None => Err(Error::NoPass),
        };
        let mut remote = match opened {
            Ok(remote) => remote,
            Err(error) => {
                tracing::warn!(%broker, code = error.code(), "tunnel refused: {error}");
                return;
            }
        };
        tracing::info!(%broker, "tunnel open");
        // Small messages must not wait for others.
        let _ = local.set_nodelay(true);
        match copy_bidirectional(&mut local, &mut remote).await {
            Ok((up, down)) => tracing::info!(%broker, up, down, "tunnel closed"),
            Err(error) => tracing::warn!(%broker, "tunnel cut: {error}"),
        }
    }

    /// Opens the way to the broker.
    async fn open(
        &self,
        pass: &Pass,
    ) -> Result<TlsStream<TokioIo<hyper::upgrade::Upgraded>>, Error> {
        let checkpoint = &self.config.checkpoint;
        let unreachable = |error: std::io::Error| Error::Unreachable(error.to_string());
        let stream = TcpStream::connect((checkpoint.host(), checkpoint.port()))
            .await
            .map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let outer = tls("checkpoint", &self.checkpoint_roots, pass)?;
        let stream = shake("checkpoint", stream, outer, self.checkpoint_name.clone()).await?;
        let through = self.connect(stream, pass).await?;
        let inner = tls("broker", &self.broker_roots, pass)?;
        shake("broker", TokioIo::new(through), inner, self.broker_name.clone()).await
    }

    /// RFC 9110 §9.3.6.
    async fn connect(
        &self,
        stream: TlsStream<TcpStream>,
        pass: &Pass,
    ) -> Result<hyper::upgrade::Upgraded, Error> {
        let broken = |error: &dyn ToString| Error::Broken(error.to_string());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(self.config.broker.to_string())
            .body(Empty::<Bytes>::new())
            .map_err(|error| broken(&error))?;
        let result = HeaderValue::from_str(&pass.ear_jwt).map_err(|error| broken(&error))?;
        request.headers_mut().insert(ATTESTATION_RESULT, result);
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(refused(answer).await);
        }
        hyper::upgrade::on(answer).await.map_err(|error| broken(&error))
    }
}

fn tls(with: &'static str, roots: &[Vec<u8>], pass: &Pass) -> Result<ClientConfig, Error> {
    ClientSetup::new(roots)
        .identity(pass.identity.clone())
        .build()
        .map_err(|error| Error::Tls { with, reason: error.to_string() })
}

/// Shakes hands beside the loop, because the keeper signs.
async fn shake<IO>(
    with: &'static str,
    io: IO,
    tls: ClientConfig,
    name: ServerName,
) -> Result<TlsStream<IO>, Error>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    off_loop(move || Handle::current().block_on(TlsStream::connect(io, &tls, &name)))
        .await
        .map_err(|error| Error::Tls { with, reason: error.to_string() })
}

async fn refused(answer: hyper::Response<hyper::body::Incoming>) -> Error {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        message: String,
    }
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), 16 << 10).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let (code, message) = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => (problem.code, problem.message),
        Err(_) => ("agent.tunnel.refused".to_owned(), "without a reason".to_owned()),
    };
    Error::Refused { status, code, message }
}

fn unusable(path: &Path, reason: &dyn ToString) -> Error {
    Error::Unusable { path: path.to_owned(), reason: reason.to_string() }
}

fn roots(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let pem = std::fs::read(path).map_err(|error| unusable(path, &error))?;
    certificates_from_pem(&pem).map_err(|error| unusable(path, &error))
}

#[cfg(test)]
mod tests;
