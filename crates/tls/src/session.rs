//! One TLS connection as a stream engine.

use crate::backend::Connection;
use crate::config::Bounds;
use crate::{Alert, ClientConfig, ConfigError, Error, ServerConfig, ServerName};
use touchstone_engine::{Answer, Engine, Instant, Output, Path, Ticket};

/// Plaintext beyond which no more is taken from the wire: one record's worth (RFC 8446 §5.1).
const ENOUGH: usize = 16 * 1024;

/// One end of one TLS connection.
///
/// Events come before bytes to send, so that a link that takes nothing does not keep arrived data
/// from the owner.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    bounds: Bounds,
    deadline: Option<Instant>,
    connected: bool,
    closing: bool,
    peer_closed: bool,
    failed: Option<Error>,
    closed: Option<Result<(), Error>>,
}

/// What a session tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done and the peer is who it should be.
    Connected {
        /// The peer's certificates in DER, leaf first; none from a client that showed none.
        peer_certificates: Vec<Vec<u8>>,
        /// The application protocol that was agreed on.
        alpn: Option<Vec<u8>>,
    },
    /// Octets from the peer, never empty.
    Data(Vec<u8>),
    /// The peer will send no more; it may still listen.
    PeerClosed,
}

impl Session {
    /// A client that wants to reach `name`.
    pub fn client(config: &ClientConfig, name: &ServerName) -> Result<Self, ConfigError> {
        let connection = Connection::client(&config.backend, name)?;
        Ok(Self::new(connection, config.bounds))
    }

    /// A server for one client.
    pub fn server(config: &ServerConfig) -> Result<Self, ConfigError> {
        let connection = Connection::server(&config.backend)?;
        Ok(Self::new(connection, config.bounds))
    }

    fn new(mut connection: Connection, bounds: Bounds) -> Self {
        connection.limit(bounds.send_buffer);
        Self {
            connection,
            bounds,
            deadline: None,
            connected: false,
            closing: false,
            peer_closed: false,
            failed: None,
            closed: None,
        }
    }

    /// Takes octets for the peer, and says how many: none while the buffer is full, or once this
    /// end is closed. What is sent before the handshake is done waits for it.
    pub fn send(&mut self, data: &[u8]) -> usize {
        if self.closing || self.failed.is_some() { 0 } else { self.connection.send(data) }
    }

    /// Says that this end will send no more. What was taken before is still sent.
    pub fn close(&mut self) {
        if !self.closing && self.failed.is_none() {
            self.closing = true;
            self.connection.send_close_notify();
        }
    }

    /// Whether this end has said that it will send no more.
    pub const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Says that no more bytes will come by the wire. Unless the peer had announced it, that is
    /// [`Error::Truncated`]: an attacker can cut a connection too (RFC 8446 §6.1).
    pub fn end_of_wire(&mut self) {
        if !self.connection.peer_has_closed() {
            self.fail(Error::Truncated);
        }
    }

    /// What both ends of this connection know and nobody else: `tls-exporter` (RFC 9266 §2). None
    /// before the handshake is done, and in TLS 1.2, whose exporters bind to nothing (RFC 9266 §3).
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        if self.connected { self.connection.channel_binding() } else { None }
    }

    fn fail(&mut self, error: Error) {
        if self.failed.is_none() && self.closed.is_none() {
            self.failed = Some(error);
            self.connection.tell_failure();
        }
    }

    fn event(&mut self) -> Option<Event> {
        if !self.connected && !self.connection.is_handshaking() {
            self.connected = true;
            return Some(Event::Connected {
                peer_certificates: self.connection.peer_certificates(),
                alpn: self.connection.alpn(),
            });
        }
        if !self.connected {
            return None;
        }
        if let Some(data) = self.connection.receive() {
            return Some(Event::Data(data));
        }
        if self.connection.peer_has_closed() && !self.peer_closed {
            self.peer_closed = true;
            return Some(Event::PeerClosed);
        }
        None
    }

    /// The end, once everything was told and sent.
    fn end(&self) -> Option<Result<(), Error>> {
        if let Some(error) = self.failed {
            return Some(Err(error));
        }
        // A handshake that one end breaks off in good order has no data that could be missing.
        let peer_done = self.peer_closed || !self.connected;
        (self.closing && peer_done).then_some(Ok(()))
    }
}

impl Engine for Session {
    type Event = Event;
    type Error = Error;

    fn handle_wire(&mut self, _now: Instant, _path: Path, bytes: &mut [u8]) -> usize {
        let mut rest: &[u8] = bytes;
        while !rest.is_empty() && self.connection.pending() < ENOUGH {
            if self.failed.is_some() || self.closed.is_some() || self.connection.peer_has_closed() {
                return bytes.len(); // nothing that follows the end counts
            }
            let before = rest.len();
            if let Err(error) = self.connection.take(&mut rest) {
                self.fail(error);
            } else if self.connection.peer_has_closed() && self.connection.is_handshaking() {
                self.fail(Error::Alert(Alert(0))); // RFC 8446 §6.1: broken off, not ended
            } else if rest.len() == before {
                break;
            }
        }
        bytes.len() - rest.len()
    }

    /// A session asks nothing, so that every ticket is stale.
    fn handle_answer(&mut self, _now: Instant, _ticket: Ticket, _answer: Answer<'_>) {}

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event, Error> {
        if let Some(end) = self.closed {
            return Output::Closed(end);
        }
        let deadline = *self.deadline.get_or_insert(now + self.bounds.handshake_timeout);
        if let Some(event) = self.event() {
            return Output::Event(event);
        }
        if !self.connected && now >= deadline {
            self.fail(Error::TimedOut);
        }
        if self.connection.wants_write() {
            if buf.is_empty() {
                return Output::Grow(1);
            }
            return Output::Transmit { path: Path::ONLY, len: self.connection.put(buf) };
        }
        if let Some(end) = self.end() {
            self.closed = Some(end);
            return Output::Closed(end);
        }
        Output::Wait((!self.connected).then_some(deadline))
    }
}
