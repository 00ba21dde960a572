//! Why an exchange ended badly.

use core::fmt;
use touchstone_engine::{Blame, Fault};

/// Why an exchange ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The Verifier said no; the event before it says why.
    RefusedByVerifier,
    /// The Attester cannot go on; the event before it says why.
    RefusedByAttester,
    /// Our own side said no: the owner refused to answer, and the peer was told.
    RefusedByOwner,
    /// The owner could not answer.
    OwnerFailed,
    /// The owner's answer is longer than the limit.
    AnswerTooLong,
    /// The deadline passed.
    TimedOut,
}

impl Fault for Error {
    fn blame(&self) -> Blame {
        match self {
            Self::RefusedByVerifier | Self::RefusedByAttester => Blame::Peer,
            Self::RefusedByOwner | Self::OwnerFailed | Self::AnswerTooLong => Blame::Owner,
            Self::TimedOut => Blame::Network,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::RefusedByVerifier => "attest.refused",
            Self::RefusedByAttester => "attest.attester.refused",
            Self::RefusedByOwner => "attest.owner.refused",
            Self::OwnerFailed => "attest.owner.failed",
            Self::AnswerTooLong => "attest.answer.too_long",
            Self::TimedOut => "attest.timed_out",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RefusedByVerifier => "the Verifier refused",
            Self::RefusedByAttester => "the Attester gave up",
            Self::RefusedByOwner => "this side refused to go on",
            Self::OwnerFailed => "this side could not answer",
            Self::AnswerTooLong => "this side's answer is longer than the exchange allows",
            Self::TimedOut => "no end was reached before the deadline",
        })
    }
}

impl core::error::Error for Error {}
