//! What the blocking and the asynchronous TLS stream have in common: a session, the bytes that wait
//! to go out, and what has arrived.

use crate::now;
use std::collections::VecDeque;
use std::{fmt, io};
use touchstone_engine::{Answer, Engine, Fault, Instant, Output, Path};
use touchstone_tls::{ConfigError, Error, Event, Session};

/// A record and its header (RFC 8446 §5.2), so that one write carries what one seal made.
const OUTGOING: usize = 16 * 1024 + 256;

/// Why there is no TLS connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration cannot be used.
    Config(ConfigError),
    /// The handshake failed.
    Tls(Error),
    /// The transport failed.
    Io(io::Error),
}

impl ConnectError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Tls(error) => error.code(),
            Self::Io(_) => "drive.io",
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The session's error as `Read` and `Write` want it; the session's own is inside.
pub(crate) fn io_error(error: Error) -> io::Error {
    let kind = match error {
        Error::Truncated => io::ErrorKind::UnexpectedEof,
        Error::TimedOut => io::ErrorKind::TimedOut,
        Error::Alert(_) => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

/// A session and the bytes at its edges.
///
/// At most one buffer waits to go out, and data arrives only when the last was taken: what the peer
/// sends beyond that stays in the transport.
pub(crate) struct Pump {
    pub(crate) session: Session,
    pub(crate) connected: Option<Connected>,
    pub(crate) ended: Option<Result<(), Error>>,
    pub(crate) deadline: Option<Instant>,
    peer_closed: bool,
    outgoing: Vec<u8>,
    unsent: std::ops::Range<usize>,
    arrived: VecDeque<Vec<u8>>,
    taken: usize,
    leftover: Vec<u8>,
}

/// What the handshake found.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) peer_certificates: Vec<Vec<u8>>,
    pub(crate) alpn: Option<Vec<u8>>,
}

impl Pump {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            connected: None,
            ended: None,
            deadline: None,
            peer_closed: false,
            outgoing: Vec::new(),
            unsent: 0..0,
            arrived: VecDeque::new(),
            taken: 0,
            leftover: Vec::new(),
        }
    }

    /// Polls the session until it has nothing more to do, or only bytes to send while there are
    /// some already.
    pub(crate) fn turn(&mut self) {
        while self.ended.is_none() {
            let room = if self.unsent.is_empty() { self.outgoing.as_mut_slice() } else { &mut [] };
            match self.session.poll_output(now(), room) {
                Output::Transmit { len, .. } => self.unsent = 0..len,
                Output::Grow(_) if !self.unsent.is_empty() => return,
                Output::Grow(need) => self.outgoing.resize(need.max(OUTGOING), 0),
                Output::Event(event) => self.hear(event),
                // A session asks nothing today; if it ever does, nobody here can answer.
                Output::Ask(ask) => {
                    self.session.handle_answer(now(), ask.ticket, Answer::Failed);
                }
                Output::Wait(until) => {
                    self.deadline = until;
                    break;
                }
                Output::Closed(end) => self.ended = Some(end),
            }
        }
        if self.unsent.is_empty() {
            self.outgoing = Vec::new(); // an idle connection holds no buffer
        }
    }

    pub(crate) fn channel_binding(&self) -> Option<[u8; 32]> {
        self.session.channel_binding()
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Connected { peer_certificates, alpn } => {
                self.connected = Some(Connected { peer_certificates, alpn });
            }
            Event::Data(data) => self.arrived.push_back(data),
            Event::PeerClosed => self.peer_closed = true,
        }
    }

    /// The bytes that wait to be sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        self.outgoing.get(self.unsent.clone()).unwrap_or(&[])
    }

    /// So many of them were sent; the next follow.
    pub(crate) fn sent(&mut self, len: usize) {
        self.unsent.start = self.unsent.end.min(self.unsent.start.saturating_add(len));
        if self.unsent.is_empty() {
            self.turn();
        }
    }

    /// Bytes from the transport.
    pub(crate) fn receive(&mut self, bytes: &mut [u8]) {
        let taken = self.session.handle_wire(now(), Path::ONLY, bytes);
        self.leftover.extend_from_slice(bytes.get(taken..).unwrap_or(&[]));
        self.turn();
    }

    /// The transport has no more.
    pub(crate) fn end_of_wire(&mut self) {
        self.session.end_of_wire();
        self.turn();
    }

    /// Offers again what the session did not take; says whether it took any.
    pub(crate) fn offer_leftover(&mut self) -> bool {
        if self.leftover.is_empty() {
            return false;
        }
        let mut bytes = std::mem::take(&mut self.leftover);
        let taken = self.session.handle_wire(now(), Path::ONLY, &mut bytes);
        bytes.drain(..taken.min(bytes.len()));
        self.leftover = bytes;
        self.turn();
        taken > 0
    }

    /// What a reader gets now: octets, the end (none), or nothing yet.
    pub(crate) fn read(&mut self, room: usize) -> Option<io::Result<&[u8]>> {
        if self.arrived.front().is_some_and(|data| self.taken >= data.len()) {
            self.arrived.pop_front();
            self.taken = 0;
        }
        if let Some(data) = self.arrived.front() {
            let from = self.taken;
            self.taken = data.len().min(from.saturating_add(room));
            return Some(Ok(data.get(from..self.taken).unwrap_or(&[])));
        }
        if self.peer_closed {
            return Some(Ok(&[]));
        }
        Some(match self.ended? {
            Ok(()) => Ok(&[]),
            Err(error) => Err(io_error(error)),
        })
    }

    /// Why nothing can be written any more, if so.
    pub(crate) fn write_error(&self) -> Option<io::Error> {
        Some(match self.ended? {
            Ok(()) => io::ErrorKind::BrokenPipe.into(),
            Err(error) => io_error(error),
        })
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").field("ended", &self.ended).finish_non_exhaustive()
    }
}
