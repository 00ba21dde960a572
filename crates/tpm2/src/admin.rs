//! Administering a TPM: how it is, what it can do, who holds it (TPM 2.0 Part 3 §9, §10, §24, §25,
//! §29, §30).
//!
//! What this is not: a policy of when to do so. Clearing a TPM ends every key that was made in it.

pub mod capability;
mod clock;
mod hierarchy;
mod lockout;
pub mod properties;
mod self_test;
mod start;

pub use clock::{ClockInfo, ClockRate, Time};
pub use hierarchy::AUDITED_ALWAYS;
pub use properties::{Fixed, Variable};
pub use self_test::TestResult;
pub use start::{Shutdown, Startup};
