//! The IMA measurement list of the Linux kernel: which files were opened or run, each entry
//! extended into PCR 10 (Linux, Documentation/security/IMA-templates.rst).
//!
//! [`Log`] is a list in binary or ASCII, of any template; [`Entries`] reads one of any length
//! without keeping it. The list grows while a quote is made, so the quoted value may belong to a
//! prefix of it: [`Log::prefix`] finds that prefix. What lies behind it is not evidence.
//! An entry keeps the octets that were hashed into the PCR, and everything else is read from those.

mod aggregate;
mod ascii;
mod checkpoint;
mod entry;
mod hash;
mod list;
mod replay;
pub mod signature;
mod subject;
mod template;

pub use aggregate::{BootAggregate, boot_aggregate};
pub use ascii::is_ascii;
pub use checkpoint::{Boot, Checkpoint, Continuity, Discontinuity, Proven};
pub use entry::{DigestKind, Entry, Extension, FileDigest};
pub use hash::KernelHash;
pub use list::{Entries, Format, Limits, Log, Order};
pub use replay::{Prefix, Replay};
pub use subject::Subject;
pub use template::{Field, Template};

/// The PCR that the kernel extends, unless it was built otherwise.
pub const PCR: u32 = 10;
