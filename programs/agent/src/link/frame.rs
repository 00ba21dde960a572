//! A message on the line: version, kind, ticket and length in a head of ten octets, then what it
//! says. The length is judged before anything is read for it.

use super::message::{Ask, Reply};
use touchstone_wire::{Malformed, Reader, Why, Writer};

/// The version of the messages. Both halves are one program, so another one is a fault.
const VERSION: u8 = 1;

/// Octets of a head.
pub const HEADER: usize = 10;

/// *Look*: from the keeper, without a ticket.
const LOOK: u8 = 128;

/// The longest reply: evidence with its logs.
const REPLY: usize = 32 << 20;

/// Which way a message goes, and so which kinds it may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// To the keeper.
    Keeper,
    /// To the network half.
    Network,
}

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The kind of the message.
    pub kind: u8,
    /// Which answer belongs to which question.
    pub ticket: u32,
    /// Octets that follow.
    pub len: usize,
}

impl Head {
    /// Reads a head and judges the length that it promises.
    pub fn decode(octets: &[u8; HEADER], toward: Toward) -> Result<Self, Malformed> {
        let mut from = Reader::new(octets);
        if from.u8()? != VERSION {
            return Err(Malformed::new(0, Why::BadVersion));
        }
        let (kind, ticket, len) = (from.u8()?, from.u32()?, from.u32()?);
        let longest = match toward {
            Toward::Keeper => Ask::longest(kind),
            Toward::Network if kind == LOOK => Some(0),
            Toward::Network => Some(REPLY),
        };
        let longest = longest.ok_or(Malformed::new(1, Why::BadValue))?;
        match usize::try_from(len) {
            Ok(len) if len <= longest => Ok(Self { kind, ticket, len }),
            _ => Err(Malformed::new(6, Why::TooLong)),
        }
    }

    /// Whether it says *look*.
    pub(super) const fn is_look(self) -> bool {
        self.kind == LOOK
    }
}

/// A message as it is sent: what is short, and what may be long and is not copied.
pub(super) struct Frame {
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

impl Frame {
    /// `None` if it is longer than the keeper takes: what the fleet sends may be.
    pub(super) fn ask(ticket: u32, ask: Ask) -> Option<Self> {
        let (kind, head, tail) = ask.encode();
        let fits = Ask::longest(kind).is_some_and(|longest| head.len() + tail.len() <= longest);
        fits.then(|| Self::new(ticket, (kind, head, tail)))
    }

    pub(super) fn reply(ticket: u32, reply: Reply) -> Self {
        Self::new(ticket, reply.encode())
    }

    pub(super) fn look() -> Self {
        Self::new(0, (LOOK, Vec::new(), Vec::new()))
    }

    fn new(ticket: u32, (kind, head, tail): (u8, Vec<u8>, Vec<u8>)) -> Self {
        let mut out = Writer::new();
        let len = u32::try_from(head.len() + tail.len()).unwrap_or(u32::MAX);
        out.u8(VERSION).u8(kind).u32(ticket).u32(len).bytes(&head);
        Self { head: out.into_bytes(), tail }
    }
}

/// Why the line ended.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The other half closed it.
    #[error("the other half is gone")]
    Closed,
    /// The system.
    #[error("the line between the halves broke: {0}")]
    Io(std::io::Error),
    /// What came is no message.
    #[error("the other half does not keep to the protocol: a message {0}")]
    Malformed(#[from] Malformed),
    /// A message that it may not send now.
    #[error("the other half does not keep to the protocol: {0}")]
    Unexpected(&'static str),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match error.kind() {
            // One that dies with something unread resets the line.
            UnexpectedEof | ConnectionReset | BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl Broken {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Closed => "agent.link.closed",
            Self::Io(_) => "agent.link.broken",
            Self::Malformed(_) => "agent.link.malformed",
            Self::Unexpected(_) => "agent.link.unexpected",
        }
    }
}
