//! A request and its response, whatever carries them, and the two ends as engines.
//!
//! EST and SCEP are conversations in the manner of HTTP: a client asks, a server answers, a client
//! that was put off asks again. [`Asking`] and [`Answering`] hold what such a conversation needs
//! beside its own words: the numbers that join a response to its request, repetition over a link that
//! loses, patience, and an owner that takes its time. What is said is a [`Conversation`]'s or a
//! [`Service`]'s.
//!
//! What this is not: HTTP. Programs turn a [`Request`] into one of their HTTP library's and back; over
//! CoAP (RFC 9148) the same two would be a proxy's.

mod answering;
mod asking;
mod message;

pub use answering::{Answered, Answering, Never, Service, Step};
pub use asking::{Asking, Conversation, Next};
pub use message::{Headers, Message, Method, Request, Response, What};

use core::time::Duration;

/// The bounds of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message, for what is read and for what is sent.
    pub message: usize,
    /// A request is sent again after this, then after twice this, and so on up to 16 times this.
    pub retry: Duration,
    /// A client's whole conversation, from the first poll on, waiting included.
    pub deadline: Duration,
    /// After so long a silence a server has nothing more to say.
    pub linger: Duration,
}

impl Default for Limits {
    /// 1 MiB, two seconds, ten minutes, two minutes.
    fn default() -> Self {
        Self {
            message: 1 << 20,
            retry: Duration::from_secs(2),
            deadline: Duration::from_mins(10),
            linger: Duration::from_mins(2),
        }
    }
}
