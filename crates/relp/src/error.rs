//! How a conversation ends badly.

use core::fmt;
use touchstone_engine::{Blame, Fault};

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// What came is no frame.
    Malformed(Malformed),
    /// A good frame that a client does not get, or not at this time.
    Unexpected,
    /// The server takes no syslog messages, or speaks another version.
    Incompatible,
    /// The server refused to open, or refused a message.
    Refused {
        /// Its code: 200 would have been good.
        code: u16,
        /// Which message, from 1 on; 0 when it was the opening.
        message: u64,
    },
    /// The server announced that it closes.
    PeerClosed,
    /// The server did not answer in time.
    TimedOut,
}

/// What is wrong with a frame, one variant per check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// A number with no digit, or with more than nine.
    Number,
    /// A command with no letter, or with more than 32.
    Command,
    /// Data beyond what is taken.
    Length,
    /// No line feed where the frame ends.
    End,
    /// A response without its three digits.
    Code,
}

impl Malformed {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Number => "relp.malformed.number",
            Self::Command => "relp.malformed.command",
            Self::Length => "relp.malformed.length",
            Self::End => "relp.malformed.end",
            Self::Code => "relp.malformed.code",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a number in the frame is not one of one to nine digits",
            Self::Command => "the frame's command is not a word of one to 32 letters",
            Self::Length => "the frame's data is longer than 128 KiB",
            Self::End => "the frame does not end in a line feed",
            Self::Code => "the response does not start with three digits",
        })
    }
}

impl Fault for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::TimedOut => Blame::Network,
            _ => Blame::Peer,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.code(),
            Self::Unexpected => "relp.unexpected",
            Self::Incompatible => "relp.incompatible",
            Self::Refused { .. } => "relp.refused",
            Self::PeerClosed => "relp.peer_closed",
            Self::TimedOut => "relp.timed_out",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Unexpected => f.write_str("the server sent what nobody asked for"),
            Self::Incompatible => {
                f.write_str("the server takes no syslog messages over RELP version 0 or 1")
            }
            Self::Refused { code, message: 0 } => {
                write!(f, "the server did not open the session and said {code}")
            }
            Self::Refused { code, message } => {
                write!(
                    f,
                    "the server did not take message {message} of the session and said {code}"
                )
            }
            Self::PeerClosed => f.write_str("the server closed the session"),
            Self::TimedOut => f.write_str("the server did not answer in time"),
        }
    }
}

impl core::error::Error for Error {}
