//! Software that others wrote, started for a test: each test has its own, and it goes with it.
//! Beside it, the inputs that tests of several rooms read: [`rig`] and [`corpus`].
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

mod bouncycastle;
mod collectors;
mod material;
mod openssl_pq;
mod pc;
mod pcr_file;
mod postgres;
mod process;
mod softhsm;
mod swtpm;
mod tokens;
mod uki;

pub use bouncycastle::{BouncyCastle, ForeignCa};
pub use collectors::{Collector, Credentials};
pub use material::{corpus, files, rig};
pub use openssl_pq::OpenSslPq;
pub use pc::Pc;
pub use pcr_file::pcr_file;
pub use postgres::Postgres;
pub use process::{attempt, openssl, tool};
pub use softhsm::{Served, SoftHsm};
pub use swtpm::Swtpm;
pub use tokens::token_peer;
pub use uki::{Part, STUB, systemd_measure, unified_kernel_image};
