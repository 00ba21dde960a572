//! Readers and writers over bytes: nothing else counts offsets.
//! What this is not: a format. Each room brings its own, and its own words for what is malformed.
//!
//! ```
//! use touchstone_wire::{Reader, Why, Writer};
//!
//! let mut out = Writer::new();
//! out.u16(3).bytes(b"abc");
//! let octets = out.into_bytes();
//!
//! let mut reader = Reader::new(&octets);
//! let len = reader.u16()?;
//! assert_eq!(reader.take(len.into())?, b"abc");
//! reader.finish()?;
//! assert_eq!(reader.u8().unwrap_err().why, Why::Truncated);
//! # Ok::<(), touchstone_wire::Malformed>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests fail loudly"))]

extern crate alloc;

mod malformed;
mod reader;
mod writer;

pub use malformed::{Malformed, Why};
pub use reader::Reader;
pub use writer::Writer;
