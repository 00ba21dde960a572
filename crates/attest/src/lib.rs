//! The attestation exchange as two engines, the Attester's end and the Verifier's.
//!
//! Four messages: the Attester opens, the Verifier challenges, the Attester responds, the Verifier
//! concludes. Onboarding ([`Kind::Enroll`]) and appraisal ([`Kind::Attest`]) are the same
//! conversation with other questions to the owner:
//!
//! | message | `Enroll` asks | `Attest` asks |
//! |---|---|---|
//! | Begin → | Verifier's owner: `Endorse` | Verifier's owner: `Challenge` |
//! | ← Challenge | Attester's owner: `Activate` | Attester's owner: `Evidence` |
//! | Response → | Verifier's owner: `Conclude` | Verifier's owner: `Appraise` |
//! | ← Result | event | event |
//!
//! What this is not: trust. Claims, credentials, evidence and results are opaque octets here; who
//! makes them and who judges them sits behind the asks.
//!
//! A message is `"TA"`, version 1, kind, message type, session (16 octets), length (4 octets), body.
//! What does not decode, or belongs to another session, is dropped and counted. A message is sent
//! again, less and less often, until the other end goes on or the deadline passes; a repeated message
//! is answered with the same answer, so the exchange may run over a link that loses and duplicates.
//!
//! ```
//! use touchstone_attest::{Attester, Kind, Limits, Verifier};
//! use touchstone_engine::{Answer, AskKind, Engine, Instant, Output, Path};
//!
//! let now = Instant::from_millis(0);
//! let mut buf = [0; 256];
//! let mut device = Attester::new(Kind::Attest, [7; 16], b"device-1", Limits::default());
//! let mut fleet = Verifier::new(Kind::Attest, Limits::default());
//! let Output::Transmit { len, .. } = device.poll_output(now, &mut buf) else { panic!() };
//! fleet.handle_wire(now, Path::ONLY, &mut buf[..len]);
//! let Output::Ask(ask) = fleet.poll_output(now, &mut buf) else { panic!() };
//! assert_eq!((ask.kind, &buf[..ask.len]), (AskKind::Challenge, &b"device-1"[..]));
//! fleet.handle_answer(now, ask.ticket, Answer::Bytes(b"nonce"));
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod attester;
mod error;
mod limits;
mod message;
mod sending;
mod verifier;

pub use attester::Attester;
pub use error::Error;
pub use limits::Limits;
pub use message::{HEADER_LEN, Kind, SessionId, session_of};
pub use verifier::Verifier;

use alloc::string::String;
use alloc::vec::Vec;

/// What an owner gets told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The Attester's: the Verifier's conclusion, a welcome or an attestation result.
    Result(Vec<u8>),
    /// The other end says no, or that it cannot go on. The end follows.
    Refused {
        /// The stable code.
        code: String,
        /// Why, for a person.
        text: String,
    },
    /// The Verifier's: the result was sent for the first time.
    Concluded,
}

#[cfg(test)]
mod tests;
