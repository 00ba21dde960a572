//! TLS over a tokio stream.

use crate::now;
use crate::pump::{ConnectError, Pump};
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use touchstone_tls::{ClientConfig, Error, ServerConfig, ServerName, Session};

/// A record's worth: what one read takes from the transport.
const INCOMING: usize = 16 * 1024;

/// A TLS connection over `IO`, after its handshake.
///
/// Shutting down announces the end to the peer, which may go on sending. A connection that is cut
/// without such an announcement reads as `UnexpectedEof`. Every error of the session is inside the
/// `io::Error` as a [`touchstone_tls::Error`].
pub struct TlsStream<IO> {
    io: IO,
    pump: Pump,
    /// Of a task that waits to write: a reader that finds bytes to send leaves them to that task,
    /// because the transport remembers only one waker for writing.
    writer: Option<Waker>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TlsStream<IO> {
    /// Shakes hands with the server `name`.
    pub async fn connect(
        io: IO,
        config: &ClientConfig,
        name: &ServerName,
    ) -> Result<Self, ConnectError> {
        let session = Session::client(config, name).map_err(ConnectError::Config)?;
        Self::handshake(io, session).await
    }

    /// Shakes hands with a client.
    pub async fn accept(io: IO, config: &ServerConfig) -> Result<Self, ConnectError> {
        let session = Session::server(config).map_err(ConnectError::Config)?;
        Self::handshake(io, session).await
    }

    /// What binds a message to this connection (RFC 9266); see [`Session::channel_binding`].
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        self.pump.channel_binding()
    }

    /// The peer's certificates in DER, leaf first; none if it showed none.
    pub fn peer_certificates(&self) -> &[Vec<u8>] {
        self.pump.connected.as_ref().map_or(&[], |connected| &connected.peer_certificates)
    }

    /// The application protocol that was agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.pump.connected.as_ref()?.alpn.as_deref()
    }

    /// The transport beneath.
    pub const fn io(&self) -> &IO {
        &self.io
    }

    async fn handshake(io: IO, session: Session) -> Result<Self, ConnectError> {
        let mut stream = Self { io, pump: Pump::new(session), writer: None };
        stream.pump.turn();
        let patience = stream.pump.deadline.map_or(std::time::Duration::MAX, |at| at.since(now()));
        let done = tokio::time::timeout(patience, poll_fn(|cx| stream.poll_handshake(cx))).await;
        match done {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                // The peer gets one chance to hear of it; if it takes no bytes, then not.
                poll_fn(|cx| {
                    drop(stream.poll_handshake(cx));
                    Poll::Ready(())
                })
                .await;
                Err(ConnectError::Tls(Error::TimedOut))
            }
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        loop {
            match ready!(self.poll_send(cx)) {
                // An alert may have come before the transport broke: it says more.
                Err(error) => match self.poll_receive(cx) {
                    Poll::Ready(Ok(())) if self.pump.ended.is_none() => continue,
                    _ => return Poll::Ready(Err(self.handshake_error(error))),
                },
                Ok(()) if self.pump.ended.is_some() => {
                    let broken = io::ErrorKind::ConnectionAborted.into();
                    return Poll::Ready(Err(self.handshake_error(broken)));
                }
                Ok(()) if self.pump.connected.is_some() => return Poll::Ready(Ok(())),
                Ok(()) => {}
            }
            if !self.pump.offer_leftover() {
                ready!(self.poll_receive(cx))?;
            }
        }
    }

    fn handshake_error(&self, otherwise: io::Error) -> ConnectError {
        match self.pump.ended {
            Some(Err(error)) => ConnectError::Tls(error),
            _ => ConnectError::Io(otherwise),
        }
    }

    /// Sends until the session has nothing more to send.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pump.turn();
        while !self.pump.unsent().is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, self.pump.unsent()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => self.pump.sent(len),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// As [`poll_send`](Self::poll_send), for the task that writes.
    fn poll_send_as_writer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_send(cx);
        self.writer = sent.is_pending().then(|| cx.waker().clone());
        sent
    }

    /// Reads once from the transport.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); INCOMING];
        let mut bytes = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut bytes))?;
        if bytes.filled().is_empty() {
            self.pump.end_of_wire();
        } else {
            self.pump.receive(bytes.filled_mut());
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what reading brought about, such as an alert, unless a writer is at it.
    fn send_as_reader(&mut self, cx: &mut Context<'_>) {
        self.pump.turn();
        if self.pump.unsent().is_empty() {
            return;
        }
        match &self.writer {
            Some(writer) => writer.wake_by_ref(),
            // A transport that fails to write tells the writer, or the next read.
            None => drop(self.poll_send(cx)),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(read) = this.pump.read(out.remaining()) {
                return Poll::Ready(read.map(|data| out.put_slice(data)));
            }
            if !this.pump.offer_leftover() {
                let received = this.poll_receive(cx);
                this.send_as_reader(cx);
                ready!(received)?;
            }
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if let Some(error) = this.pump.write_error() {
                return Poll::Ready(Err(error));
            }
            let taken = this.pump.session.send(data);
            let sent = this.poll_send_as_writer(cx);
            match (taken, sent) {
                (_, Poll::Ready(Err(error))) => return Poll::Ready(Err(error)),
                (0, Poll::Pending) => return Poll::Pending,
                (0, Poll::Ready(Ok(()))) if this.shut() => {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                (0, Poll::Ready(Ok(()))) => {}
                (taken, _) => return Poll::Ready(Ok(taken)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send_as_writer(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.pump.session.close();
        ready!(this.poll_send_as_writer(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<IO> TlsStream<IO> {
    /// Whether this end has said that it will send no more.
    fn shut(&self) -> bool {
        self.pump.session.is_closing()
    }
}

impl<IO: fmt::Debug> fmt::Debug for TlsStream<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("io", &self.io)
            .field("pump", &self.pump)
            .finish_non_exhaustive()
    }
}
