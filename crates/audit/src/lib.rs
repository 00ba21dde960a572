//! What happened, as events with stable codes, in a hash-chained log.
//!
//! Each entry is a line of JSON that carries the hash of the line before it, so that an entry
//! cannot be changed, removed or put in without every later one showing it; whoever remembers a
//! [`Head`] can tell that the end was cut off. Every minute, every thousand entries and at each
//! critical one, a [`Notary`] signs the root of the Merkle tree over the lines: a [`Checkpoint`],
//! which becomes an entry itself, so that nobody without the key can write the log anew. [`Log`]
//! answers only after the entry is on the disk. [`verify()`] reads a log that somebody else wrote,
//! [`Tail`] follows one, an [`OwnLog`] is kept by a program of itself and handed on, a [`Room`] bounds
//! what goes on without end, and a [`Reporter`] says the same entries in the formats of collectors. What
//! this is not: a place that decides what is worth telling, or that sends it.
//!
//! ```
//! use std::sync::Arc;
//! use touchstone_audit::{Code, Event, Known, Log, verify};
//! use touchstone_crypto_awslc::AwsLc;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("audit.jsonl");
//! let (mut log, _) = Log::open(&path, Arc::new(AwsLc), 1_800_000_000)?;
//! let event = Event::new(Code::VerdictChanged, "plant", "device:17").with("tier", "affirming");
//! let entry = log.append(1_800_000_000, &event)?;
//!
//! let known = Known { head: Some(entry.head()), ..Known::default() };
//! let report = verify(std::fs::File::open(&path)?, &AwsLc, &known)?;
//! assert_eq!(report.head, log.head());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A line
//!
//! ```json
//! {"v":1,"seq":2,"time":1800000000,"tenant":"plant","code":"flow.cut","severity":"warning","subject":"device:17","detail":{"why":"contraindicated"},"prev":"<64 digits>","hash":"<64 digits>"}
//! ```
//! `hash` is the SHA-256 of the octets of the line up to the comma in front of `"hash"`; `prev` is
//! the `hash` of the line before, and 64 zeros in the first. Members stand in this order, without
//! blanks; a line that says the same in another way is refused.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod checkpoint;
mod code;
mod encode;
mod entry;
mod error;
mod log;
mod own;
mod page;
mod parts;
mod replica;
mod room;
mod tail;
mod tree;
mod verify;

pub use checkpoint::{Checkpoint, CheckpointFault, LogKey, MAX_NOTE, Notary};
pub use code::{Code, Severity};
pub use encode::{Class, Format, MAX_MESSAGE, ParseFormatError, Reporter, frame};
pub use entry::{Entry, Event, Head, ParseHeadError};
pub use error::{Broken, Error, Flaw};
pub use log::{Log, Recovery, SIGN_EVERY};
pub use own::{Lines, OwnLog, is_upkeep};
pub use page::{Page, PageFault};
pub use parts::{Part, parts};
pub use replica::{ParseReplicaError, Replica, Taken};
pub use room::Room;
pub use tail::Tail;
pub use tree::Tree;
pub use verify::{Entries, Known, Report, verify, verify_parts};
