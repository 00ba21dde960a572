//! The fleet's device API, as a client: one HTTP/1.1 connection over TLS, kept for as long as it
//! holds.

use crate::config;
use crate::offloop::off_loop;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::{StapledStatus, TlsStream};
use touchstone_enroll::exchange::{self, Headers, Message, What};
use touchstone_tls::{ClientConfig, ClientSetup, Identity, ServerName, certificates_from_pem};

/// From connecting to the end of the handshake; a TPM may take its time to sign.
const CONNECT: Duration = Duration::from_secs(15);

/// For so many seconds a stapled status is believed beyond its end: the clocks of devices are not good.
const STATUS_GRACE: u64 = 300;

/// Octets of a response that an engine reads.
const CARRIED: usize = 64 << 10;

/// The headers that engines look at.
const HEARD: [&str; 5] =
    ["content-type", "retry-after", "location", "www-authenticate", "touchstone-code"];

/// From a request to the end of its answer.
const ANSWER: Duration = Duration::from_mins(1);

/// Why the fleet did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pinned file can not be used.
    #[error("{}: {reason}", path.display())]
    Pinned {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The fleet can not be reached: that says nothing about trust.
    #[error("the fleet at {at} cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        at: String,
        /// What happened.
        reason: String,
    },
    /// No TLS with the fleet.
    #[error(
        "no TLS with {at}: {reason}; compare the roots and the name in [fleet] with its certificate"
    )]
    Tls {
        /// Its address.
        at: String,
        /// What happened.
        reason: String,
    },
    /// The connection broke in the middle of a request.
    #[error("the connection to the fleet broke: {0}")]
    Broken(String),
    /// The answer is not what was asked for.
    #[error("the fleet's answer to {what} is not understood: {reason}")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The fleet says no.
    #[error("the fleet says no to {what} ({status}, {code}): {message}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// The fleet's stable code.
        code: String,
        /// Its words.
        message: String,
    },
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Pinned { .. } => "agent.fleet.pinned",
            Self::Unreachable { .. } => "agent.fleet.unreachable",
            Self::Tls { .. } => "agent.fleet.tls",
            Self::Broken(_) => "agent.fleet.broken",
            Self::Answer { .. } => "agent.fleet.answer",
            Self::Refused { .. } => "agent.fleet.refused",
        }
    }

    /// Whether the fleet was not there at all, which is another thing than a no.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken(_) | Self::Tls { .. })
    }
}

/// The client's side of the device API.
pub struct Client {
    address: config::HostPort,
    name: ServerName,
    host: String,
    roots: Vec<Vec<u8>>,
    tls: Option<ClientConfig>,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// Where the fleet was reached last: in quarantine no name can be looked up.
    last: Option<SocketAddr>,
}

/// An answer with its body.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// A client that has yet to be told who it is ([`Client::identify`]).
    pub fn new(fleet: &config::Fleet) -> Result<Self, Error> {
        let fault = |reason: String| Error::Pinned { path: fleet.roots.clone(), reason };
        let pem = std::fs::read(&fleet.roots).map_err(|error| fault(error.to_string()))?;
        let roots = certificates_from_pem(&pem).map_err(|error| fault(error.to_string()))?;
        let name = ServerName::parse(&fleet.name).map_err(|error| fault(error.to_string()))?;
        Ok(Self {
            address: fleet.address.clone(),
            name,
            host: fleet.name.clone(),
            roots,
            tls: None,
            sender: None,
            last: fleet.address.socket(),
        })
    }

    /// Shows this identity from the next connection on.
    pub fn identify(&mut self, identity: Identity) -> Result<(), Error> {
        // What the fleet staples has to be good, and is there if its certificate says so (RFC 7633).
        let status = StapledStatus::new(Arc::new(AwsLc), &self.roots).with_grace(STATUS_GRACE);
        let setup = ClientSetup::new(&self.roots)
            .identity(identity)
            .status_check(Arc::new(status))
            .handshake_timeout(CONNECT);
        let tls = setup.build().map_err(|error| self.no_tls(&error))?;
        self.tls = Some(tls);
        self.sender = None;
        Ok(())
    }

    /// What redirects may lead to: the fleet itself.
    pub fn origin(&self) -> String {
        format!("https://{}:{}", self.host, self.address.port())
    }

    /// Carries an engine's request, and brings its response. Redirects are for the engine to see.
    pub async fn carry(&mut self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let what = "a request";
        let unread = |reason: &dyn ToString| Error::Answer { what, reason: reason.to_string() };
        let message = Message::decode(message, usize::MAX).map_err(|error| unread(&error))?;
        let What::Request(request) = &message.what else { return Err(unread(&"it is none")) };
        let method = match request.method {
            exchange::Method::Get => Method::GET,
            exchange::Method::Post => Method::POST,
        };
        let headers: Vec<(&str, &str)> = request.headers.iter().collect();
        let body = Bytes::from(request.body.clone());
        let answer = self.send(&method, &request.path, &headers, body, CARRIED).await?;
        let mut headers = Headers::new();
        for name in HEARD {
            for value in answer.headers.get_all(name) {
                headers = headers.with(name, value.to_str().unwrap_or_default());
            }
        }
        let (status, body) = (answer.status.as_u16(), answer.body.to_vec());
        let what = What::Response(exchange::Response { status, headers, body });
        Ok(Message { what, ..message }.encode())
    }

    /// Sends a request and reads the answer up to `limit` octets, whatever its status.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        content_type: Option<&'static str>,
        body: Vec<u8>,
        limit: usize,
    ) -> Result<Answer, Error> {
        let headers: Vec<(&str, &str)> =
            content_type.map(|kind| (CONTENT_TYPE.as_str(), kind)).into_iter().collect();
        self.send(&method, path, &headers, Bytes::from(body), limit).await
    }

    async fn send(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        limit: usize,
    ) -> Result<Answer, Error> {
        let kept = self.sender.take().filter(|sender| !sender.is_closed());
        if let Some(mut sender) = kept {
            let request = self.build(method, path, headers, body.clone())?;
            if let Ok(answer) = turn(&mut sender, request, limit).await {
                self.sender = Some(sender);
                return Ok(answer);
            }
            // The fleet may have closed a connection that idled. Everything may be asked twice.
        }
        let mut sender = self.connect().await?;
        let request = self.build(method, path, headers, body)?;
        let answer = turn(&mut sender, request, limit).await?;
        self.sender = Some(sender);
        Ok(answer)
    }

    fn build(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, self.host.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body)).map_err(|error| Error::Broken(error.to_string()))
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let stream = timeout(CONNECT, self.dial())
            .await
            .map_err(|_| self.unreachable(&"no answer in time"))??;
        let tls = self.tls.clone().ok_or_else(|| self.no_tls(&"no identity yet"))?;
        let name = self.name.clone();
        // The handshake waits for the keeper to sign.
        let shaken = off_loop(move || {
            tokio::runtime::Handle::current().block_on(TlsStream::connect(stream, &tls, &name))
        });
        let stream = shaken.await.map_err(|error| self.no_tls(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::Broken(error.to_string()))?;
        // Its end shows in the sender.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn dial(&mut self) -> Result<TcpStream, Error> {
        let found = lookup_host((self.address.host(), self.address.port())).await;
        let addresses: Vec<SocketAddr> = match (found, self.last) {
            (Ok(found), _) => found.collect(),
            (Err(_), Some(last)) => vec![last],
            (Err(error), None) => return Err(self.unreachable(&error)),
        };
        let stream =
            TcpStream::connect(&*addresses).await.map_err(|error| self.unreachable(&error))?;
        self.last = stream.peer_addr().ok().or(self.last);
        stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
        Ok(stream)
    }

    fn unreachable(&self, reason: &dyn ToString) -> Error {
        Error::Unreachable { at: self.address.to_string(), reason: reason.to_string() }
    }

    fn no_tls(&self, reason: &dyn ToString) -> Error {
        Error::Tls { at: self.address.to_string(), reason: reason.to_string() }
    }
}

async fn turn(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Answer, Error> {
    let broken = |error: &dyn ToString| Error::Broken(error.to_string());
    let work = async {
        sender.ready().await.map_err(|error| broken(&error))?;
        let response: Response<Incoming> =
            sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(|error| broken(&error))?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    };
    timeout(ANSWER, work).await.map_err(|_| Error::Broken("no answer in time".to_owned()))?
}

/// What the fleet says with a status of 4xx or 5xx.
#[derive(Deserialize)]
struct Problem {
    code: String,
    message: String,
}

impl Answer {
    /// The answer if its status is 200, else the fleet's reason.
    pub fn good(self, what: &'static str) -> Result<Self, Error> {
        if self.status == StatusCode::OK {
            return Ok(self);
        }
        let status = self.status.as_u16();
        let problem = serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            let words = String::from_utf8_lossy(&self.body).trim().chars().take(400).collect();
            Problem { code: "none".to_owned(), message: words }
        });
        let Problem { code, message } = problem;
        Err(Error::Refused { what, status, code, message })
    }

    /// The JSON in the body.
    pub fn json<T: serde::de::DeserializeOwned>(&self, what: &'static str) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Answer { what, reason: error.to_string() })
    }

    /// Its content type.
    pub fn content_type(&self) -> &str {
        self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
