//! The connection with an EST server: TLS, and one HTTP request after the other on it, as long as the
//! server keeps it open.

use crate::answer::Failure;
use crate::cli::EstServer;
use crate::signing;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Uri, header};
use hyper_util::rt::TokioIo;
use std::fmt::Display;
use std::time::Duration;
use tokio::net::TcpStream;
use touchstone_drive::TlsStream;
use touchstone_enroll::exchange::{Headers, Message, Request, Response, What};
use touchstone_tls::{ClientConfig, ClientSetup, Identity, ServerName};

/// How long a server may take for one answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// Octets of an answer.
const LIMIT: usize = 1 << 20;
/// The headers that the protocol looks at.
const HEARD: [&str; 5] =
    ["content-type", "retry-after", "location", "www-authenticate", "touchstone-code"];

/// A connection with one server.
pub(super) struct Link {
    host: String,
    port: u16,
    authority: String,
    name: ServerName,
    config: ClientConfig,
    open: Option<(SendRequest<Full<Bytes>>, tokio::task::JoinHandle<()>)>,
    binding: Option<[u8; 32]>,
}

/// `https://HOST:PORT` without more.
pub(super) fn origin(url: &str) -> Result<String, Failure> {
    let uri = parsed(url)?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    Ok(format!("https://{authority}"))
}

fn parsed(url: &str) -> Result<Uri, Failure> {
    let form = "write https://HOST[:PORT], without a path: EST says where it lives";
    let uri: Uri =
        url.parse().map_err(|error| Failure::usage(format!("`{url}`: {error}"), form))?;
    let plain = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    if uri.scheme_str() != Some("https") || !plain || !bare {
        return Err(Failure::usage(format!("`{url}` is no address of an EST server"), form));
    }
    Ok(uri)
}

impl Link {
    pub(super) fn new(server: &EstServer) -> Result<Self, Failure> {
        let uri = parsed(&server.url)?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let roots = signing::certificates(&server.trust)?;
        let roots: Vec<Vec<u8>> = roots.iter().map(|root| root.der().to_vec()).collect();
        let mut setup = ClientSetup::new(&roots).alpn(&[b"http/1.1"]).with_tls12();
        let unusable = |error: touchstone_tls::ConfigError| {
            let message = format!("no TLS with `{host}`: {error}");
            Failure::usage(message, "check --url, --trust, --cert and --key")
        };
        if let (Some(cert), Some(key)) = (&server.cert, &server.key) {
            let chain: Vec<Vec<u8>> =
                signing::certificates(cert)?.iter().map(|it| it.der().to_vec()).collect();
            let key = super::request::key(key, &server.held)?;
            setup = setup.identity(Identity::from_signer(&chain, key).map_err(unusable)?);
        }
        let config = setup.build().map_err(unusable)?;
        let name = ServerName::parse(&host).map_err(unusable)?;
        let port = uri.port_u16().unwrap_or(443);
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        Ok(Self { host, port, authority, name, config, open: None, binding: None })
    }

    /// What a request can be bound to: the connection that there is.
    pub(super) fn binding(&self) -> Option<[u8; 32]> {
        self.binding
    }

    /// Sends a request, and brings its response, both as engines have them.
    pub(super) async fn post(&mut self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let message = Message::decode(message, usize::MAX).map_err(|it| self.failed(it))?;
        let What::Request(request) = &message.what else {
            return Err(self.failed("this is no request"));
        };
        let response = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        let response = response.unwrap_or_else(|_| Err(self.failed("no answer within 60 s")));
        if response.is_err() {
            self.open = None;
        }
        Ok(Message { what: What::Response(response?), ..message }.encode())
    }

    async fn exchange(&mut self, request: &Request) -> Result<Response, Failure> {
        let usable = self.open.as_ref().is_some_and(|(sender, _)| !sender.is_closed());
        if !usable {
            self.connect().await?;
        }
        let mut building = hyper::Request::builder()
            .method(request.method.name())
            .uri(&request.path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("touchstone/", env!("CARGO_PKG_VERSION")));
        for (name, value) in request.headers.iter() {
            building = building.header(name, value);
        }
        let body = Full::new(Bytes::from(request.body.clone()));
        let whole = building.body(body).map_err(|error| self.failed(error))?;
        let Some((sender, _)) = &mut self.open else { return Err(self.failed("it is closed")) };
        let answer = sender.send_request(whole).await;
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

    async fn connect(&mut self) -> Result<(), Failure> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| self.failed(error))?;
        let stream = TlsStream::connect(stream, &self.config, &self.name).await;
        let stream = stream.map_err(|error| self.failed(error))?;
        self.binding = stream.channel_binding();
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| self.failed(error))?;
        let driver = tokio::spawn(async move {
            // Why it ended is told to whoever waits for an answer.
            let _ = connection.await;
        });
        self.open = Some((sender, driver));
        Ok(())
    }

    fn failed(&self, why: impl Display) -> Failure {
        let message = format!("no answer from the EST server at {}: {why}", self.authority);
        Failure::unknown("touchstone.est.unreachable", message, "check --url and --trust")
    }
}
