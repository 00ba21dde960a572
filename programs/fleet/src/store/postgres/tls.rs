//! TLS with the server, by the crate `tls`: its certificate is for its name, under the roots that the
//! configuration names.

use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use touchstone_drive::{ConnectError, TlsStream};
use touchstone_tls::{ClientConfig, ConfigError, ServerName};

/// How every server is met; none, where there is no TLS.
#[derive(Clone)]
pub(super) struct Tls(pub(super) Option<ClientConfig>);

/// How this server is met.
pub(super) struct Meeting {
    config: Option<ClientConfig>,
    name: Option<ServerName>,
}

/// A session with the server.
pub(super) struct Stream<IO>(TlsStream<IO>);

impl<IO> MakeTlsConnect<IO> for Tls
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<IO>;
    type TlsConnect = Meeting;
    type Error = ConfigError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Meeting, ConfigError> {
        let name = self.0.is_some().then(|| ServerName::parse(domain)).transpose()?;
        Ok(Meeting { config: self.0.clone(), name })
    }
}

impl<IO> TlsConnect<IO> for Meeting
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<IO>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream<IO>, ConnectError>> + Send>>;

    fn connect(self, stream: IO) -> Self::Future {
        Box::pin(async move {
            let (Some(config), Some(name)) = (self.config, self.name) else {
                return Err(io::Error::from(io::ErrorKind::Unsupported).into());
            };
            TlsStream::connect(stream, &config, &name).await.map(Stream)
        })
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> postgres::tls::TlsStream for Stream<IO> {
    fn channel_binding(&self) -> ChannelBinding {
        // The server's certificate was checked with its name: there is nobody in the middle.
        ChannelBinding::none()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
