//! Requests and responses of [`touchstone_enroll::exchange`] over HTTP/1.1, with TLS or without: one
//! request after the other on one connection, for as long as the server keeps it open.
//!
//! Redirects are for the engine to see; nobody is followed to here.

use crate::exchange::{Exchange, ExchangeEnd, Step};
use crate::{Reply, TlsStream};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Uri, header};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use touchstone_engine::{AskKind, Engine};
use touchstone_enroll::exchange::{Headers, Message, Request, Response, What};
use touchstone_tls::{ClientConfig, ServerName};

/// Octets of a response.
const LIMIT: usize = 1 << 20;
/// The headers that protocols look at.
const HEARD: [&str; 5] =
    ["content-type", "retry-after", "location", "www-authenticate", "touchstone-code"];

/// Where a server is: `https://HOST[:PORT][/PATH]`, or the same with `http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    secure: bool,
    authority: String,
    host: String,
    port: u16,
    path: String,
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AddressError {}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let no = |why: &str| AddressError(format!("`{url}` is no server's address: {why}"));
        let uri: Uri = url.parse().map_err(|error| no(&format!("{error}")))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(no("it starts with neither https:// nor http://")),
        };
        let authority = uri.authority().filter(|it| !it.as_str().contains('@'));
        let authority = authority.ok_or_else(|| no("it needs a host, and no user beside it"))?;
        if uri.query().is_some() {
            return Err(no("it ends with a query"));
        }
        Ok(Self {
            secure,
            authority: authority.to_string(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl Address {
    /// Whether it is reached by TLS.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// `https://HOST:PORT`, without a path.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }

    /// The path, without a slash at its end.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

/// Why there was no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    at: String,
    why: String,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer from {}: {}", self.at, self.why)
    }
}

impl std::error::Error for HttpError {}

/// A client of one server.
pub struct HttpClient {
    address: Address,
    tls: Option<(ServerName, ClientConfig)>,
    patience: Duration,
    agent: &'static str,
    open: Option<Open>,
    binding: Option<[u8; 32]>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl HttpClient {
    /// A client without TLS, of a protocol that protects its messages itself.
    pub const fn plain(address: Address, agent: &'static str, patience: Duration) -> Self {
        Self { address, tls: None, patience, agent, open: None, binding: None }
    }

    /// A client with TLS.
    pub fn secure(
        address: Address,
        config: ClientConfig,
        agent: &'static str,
        patience: Duration,
    ) -> Result<Self, touchstone_tls::ConfigError> {
        let tls = Some((ServerName::parse(&address.host)?, config));
        Ok(Self { address, tls, patience, agent, open: None, binding: None })
    }

    /// Whether a connection is open.
    pub fn is_open(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.sender.is_closed())
    }

    /// The `tls-exporter` of the connection that there is (RFC 9266).
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        self.binding
    }

    /// Sends a request, and brings its response, both as engines have them.
    pub async fn post(&mut self, message: &[u8]) -> Result<Vec<u8>, HttpError> {
        let message = Message::decode(message, usize::MAX).map_err(|it| self.failed(it))?;
        let What::Request(request) = &message.what else {
            return Err(self.failed("this is no request"));
        };
        let response = self.request(request).await?;
        Ok(Message { what: What::Response(response), ..message }.encode())
    }

    /// Sends a request, and brings its response.
    pub async fn request(&mut self, request: &Request) -> Result<Response, HttpError> {
        let answered = tokio::time::timeout(self.patience, self.exchange(request)).await;
        let seconds = self.patience.as_secs();
        let answered =
            answered.unwrap_or_else(|_| Err(self.failed(format_args!("within {seconds} s"))));
        if answered.is_err() {
            self.open = None;
        }
        answered
    }

    async fn exchange(&mut self, request: &Request) -> Result<Response, HttpError> {
        if !self.is_open() {
            self.connect().await?;
        }
        let mut building = hyper::Request::builder()
            .method(request.method.name())
            .uri(&request.path)
            .header(header::HOST, &self.address.authority)
            .header(header::USER_AGENT, self.agent);
        for (name, value) in request.headers.iter() {
            building = building.header(name, value);
        }
        let body = Full::new(Bytes::from(request.body.clone()));
        let whole = building.body(body).map_err(|error| self.failed(error))?;
        let Some(open) = &mut self.open else { return Err(self.failed("it is closed")) };
        let answer = open.sender.send_request(whole).await;
        let answer = answer.map_err(|error| self.failed(error))?;
        let status = answer.status().as_u16();
        let mut headers = Headers::new();
        for name in HEARD {
            for value in answer.headers().get_all(name) {
                headers = headers.with(name, value.to_str().unwrap_or_default());
            }
        }
        let body = Limited::new(answer.into_body(), LIMIT).collect().await;
        let body = body.map_err(|error| self.failed(error))?.to_bytes().to_vec();
        Ok(Response { status, headers, body })
    }

    async fn connect(&mut self) -> Result<(), HttpError> {
        let (host, port) = (self.address.host.clone(), self.address.port);
        let stream = TcpStream::connect((host.as_str(), port)).await;
        let stream = stream.map_err(|error| self.failed(error))?;
        let Some((name, config)) = self.tls.clone() else {
            self.open = Some(self.shake(stream).await?);
            return Ok(());
        };
        // A key in an element takes its time to sign, on the thread that turns the handshake.
        let shaken = tokio::task::spawn_blocking(move || {
            tokio::runtime::Handle::current().block_on(TlsStream::connect(stream, &config, &name))
        });
        let shaken = shaken.await.map_err(|_| self.failed("the handshake was given up"))?;
        let stream = shaken.map_err(|error| self.failed(error))?;
        self.binding = stream.channel_binding();
        self.open = Some(self.shake(stream).await?);
        Ok(())
    }

    async fn shake<S>(&self, stream: S) -> Result<Open, HttpError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| self.failed(error))?;
        let driver = tokio::spawn(async move {
            // Why it ended is told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Open { sender, driver })
    }

    fn failed(&self, why: impl fmt::Display) -> HttpError {
        HttpError { at: self.address.authority.clone(), why: why.to_string() }
    }
}

/// Turns `engine` to its end over `link`, whose failures in a row it takes `failures` of. `owner`
/// answers its asks; it is told what the connection can be bound to.
pub async fn converse<E: Engine>(
    engine: E,
    link: &mut HttpClient,
    failures: u32,
    mut owner: impl FnMut(AskKind, &[u8], Option<[u8; 32]>) -> Reply,
) -> Result<ExchangeEnd<E, HttpError>, HttpError> {
    let mut exchange = Exchange::new(engine);
    let mut failed = 0;
    loop {
        match exchange.step() {
            Ok(Step::Post(message)) => {
                let response = link.post(&message).await;
                failed = if response.is_ok() { 0 } else { failed + 1 };
                match response {
                    Err(error) if failed >= failures => return Err(error),
                    response => exchange.posted(response),
                }
            }
            Ok(Step::Ask(ticket, kind, question)) => {
                let reply = owner(kind, &question, link.channel_binding());
                exchange.engine.handle_answer(crate::now(), ticket, reply.as_answer());
            }
            Ok(Step::Sleep(duration)) => tokio::time::sleep(duration).await,
            Err(end) => return Ok(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_and_how() {
        let at: Address = "https://ca.example:8443/".parse().unwrap();
        assert!(at.is_secure());
        assert_eq!((at.host(), at.port, at.path()), ("ca.example", 8443, ""));
        assert_eq!(at.origin(), "https://ca.example:8443");
        let at: Address = "http://[::1]/scep/pki".parse().unwrap();
        assert_eq!((at.host(), at.port, at.path()), ("::1", 80, "/scep/pki"));
        assert_eq!(at.to_string(), "http://[::1]/scep/pki");
        for bad in ["ca.example", "ftp://ca.example", "https://me@ca.example", "http://ca/?a=b"] {
            let error = bad.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }
}
