//! Software that others wrote, started for a test: each test has its own, and it goes with it.
//!
//! What this is not: a dependency of anything but tests. A peer that is missing fails the test and
//! says how to get it.
//!
//! ```no_run
//! let swtpm = touchstone_peers::Swtpm::blank_tcp();
//! let random = swtpm.tool(&["tpm2_getrandom", "8"]);
//! assert_eq!(random.len(), 8);
//! ```
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests fail loudly")]

mod process;
mod swtpm;

pub use process::{attempt, tool};
pub use swtpm::Swtpm;
