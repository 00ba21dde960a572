//! From what the configuration says of a collector to an open way there.

use super::{Outcome, file, http, relp, stream, unready};
use crate::config::{Collector, Place, Protocol};
use crate::{Error, trust};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use touchstone_audit::{Entry, Format, Reporter};
use touchstone_certs::Certificate;
use touchstone_drive::TlsStream;
use touchstone_tls::{ClientConfig, ClientSetup, Identity, ServerName};
use zeroize::Zeroizing;

/// What TLS needs.
#[derive(Clone)]
pub struct Secure {
    config: ClientConfig,
    name: ServerName,
}

/// The way to a collector, which is opened anew after each failure.
pub struct Route {
    protocol: Protocol,
    format: Format,
    reporter: Reporter,
    place: Place,
    secure: Option<Secure>,
    token: Option<Zeroizing<String>>,
}

impl Secure {
    /// TLS with that server; `own_identity` and `own_roots` are what the fleet's own CA gives to those whose
    /// configuration names nothing else.
    pub fn new(
        tls: &crate::config::Tls,
        own_roots: &[Certificate],
        own_identity: Option<Identity>,
    ) -> Result<Self, Error> {
        let roots: Vec<Vec<u8>> = match &tls.roots {
            Some(path) => {
                trust::certificates(path)?.iter().map(|root| root.der().to_vec()).collect()
            }
            None => own_roots.iter().map(|root| root.der().to_vec()).collect(),
        };
        let identity = match &tls.identity {
            Some((path, key)) => {
                let chain = trust::read(path, 1 << 20)?;
                let key_pem = key.read().map_err(Error::file(&key.path()))?;
                let identity = Identity::from_pem(&chain, key_pem.as_bytes());
                Some(identity.map_err(|error| Error::content(path, error.to_string()))?)
            }
            None => own_identity,
        };
        let mut setup = ClientSetup::new(&roots);
        if let Some(identity) = identity {
            setup = setup.identity(identity);
        }
        let refused = unready("the TLS configuration for a collector");
        // Collectors of today's distributions may not know TLS 1.3.
        let config = setup.with_tls12().build().map_err(|error| refused(error.to_string()))?;
        let name = ServerName::parse(&tls.server_name);
        let name = name.map_err(|error| unready("a collector's name")(error.to_string()))?;
        Ok(Self { config, name })
    }
}

impl Route {
    /// The way to that collector.
    pub fn new(
        collector: &Collector,
        reporter: Reporter,
        secure: Option<Secure>,
    ) -> Result<Self, Error> {
        let token = match &collector.token {
            Some(secret) => {
                let token = secret.read().map_err(Error::file(&secret.path()))?;
                Some(Zeroizing::new(token.trim().to_owned()))
            }
            None => None,
        };
        let (protocol, format) = (collector.protocol, collector.format);
        Ok(Self { protocol, format, reporter, place: collector.place.clone(), secure, token })
    }

    pub(super) async fn open(&self) -> io::Result<Way> {
        let sink = self.sink().await?;
        Ok(Way { sink, format: self.format, reporter: self.reporter.clone() })
    }

    async fn sink(&self) -> io::Result<Sink> {
        let (address, path) = match &self.place {
            Place::File(path) => return Ok(Sink::File(file::File::open(path).await?)),
            Place::Network { address, path, .. } => (address, path),
        };
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let io = match &self.secure {
            None => Connection::Plain(tcp),
            Some(Secure { config, name }) => {
                let tls = TlsStream::connect(tcp, config, name).await.map_err(io::Error::other)?;
                Connection::Tls(Box::new(tls))
            }
        };
        Ok(match self.protocol {
            // Files have no address, and were opened above.
            Protocol::Syslog | Protocol::File => Sink::Stream(stream::Stream::new(io)),
            Protocol::Relp => Sink::Relp(Box::new(relp::Relp::open(io).await?)),
            Protocol::Otlp => {
                Sink::Http(http::Http::open(io, address, path, self.bearer("Bearer")).await?)
            }
            Protocol::Hec => {
                Sink::Http(http::Http::open(io, address, path, self.bearer("Splunk")).await?)
            }
        })
    }

    fn bearer(&self, scheme: &str) -> Option<Zeroizing<String>> {
        let token = self.token.as_deref()?;
        Some(Zeroizing::new(format!("{scheme} {token}")))
    }
}

/// An open way to a collector.
pub(super) struct Way {
    sink: Sink,
    format: Format,
    reporter: Reporter,
}

enum Sink {
    File(file::File),
    Stream(stream::Stream),
    Relp(Box<relp::Relp>),
    Http(http::Http),
}

impl Way {
    /// Whether delivered means taken.
    pub(super) const fn acknowledges(&self) -> bool {
        !matches!(self.sink, Sink::Stream(_))
    }

    /// Delivers a page. What became of it is in `outcome`, also when it ends in an error.
    pub(super) async fn deliver(
        &mut self,
        page: &[Entry],
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        let (format, reporter) = (self.format, &self.reporter);
        match &mut self.sink {
            Sink::File(file) => {
                let lines = page.iter().map(|entry| reporter.encode(format, entry) + "\n");
                file.append(lines.collect()).await?;
                outcome.taken = page.len();
                Ok(())
            }
            Sink::Stream(stream) => {
                let messages = page.iter().map(|entry| reporter.syslog(format, entry));
                stream.send(messages).await?;
                outcome.taken = page.len();
                Ok(())
            }
            Sink::Relp(relp) => {
                let messages: Vec<String> =
                    page.iter().map(|entry| reporter.syslog(format, entry)).collect();
                relp.send(&messages, &mut outcome.taken).await
            }
            Sink::Http(http) => match format {
                Format::Hec => http.deliver_page(page, &|page| reporter.hec(page), outcome).await,
                _ => http.deliver_page(page, &|page| reporter.otlp(page), outcome).await,
            },
        }
    }

    /// Returns when the connection is seen to be broken while nothing is sent.
    pub(super) async fn broken(&mut self) -> io::Error {
        match &mut self.sink {
            // A server that closes an idle connection does nothing wrong: the next request opens one.
            Sink::File(_) | Sink::Http(_) => std::future::pending().await,
            Sink::Stream(stream) => stream.broken().await,
            Sink::Relp(relp) => relp.broken().await,
        }
    }
}

/// A connection, protected or on this machine.
pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
