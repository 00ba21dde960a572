//! The trust policy grammar: parse, check, evaluate, explain.
//!
//! A policy says what must hold of a device, how bad it is if it does not, and why it is asked. It
//! is written against a [`Catalog`] of typed claims, so that a mistyped name is a fault when the
//! policy is loaded and not a control that never fails. What this is not: a place that makes
//! claims, or results. `appraise` takes claims from verified evidence, hands them in as
//! [`Claims`], and makes an attestation result of the [`Outcome`]s.
//!
//! ```
//! use touchstone_policy::{Catalog, ClaimSet, Policy, Type, ar4si::Tier, tier};
//!
//! let catalog = Catalog::new().with("boot.secure-boot", Type::Boolean, "Secure Boot is on");
//! let policy = r#"policy gateway version 1 schema 1
//!     control secure-boot {
//!         title    "The firmware refuses what we did not sign"
//!         severity high
//!         require  boot.secure-boot
//!         else     configuration contraindicated
//!         do       alert, quarantine
//!     }"#;
//! let policy = Policy::parse(policy, &catalog).expect("a good policy");
//! let device = ClaimSet::from_iter([("boot.secure-boot", false)]);
//! let outcomes = policy.evaluate(&device);
//! assert_eq!(tier(&outcomes), Tier::Contraindicated);
//! assert_eq!(outcomes[0].explanation(), "boot.secure-boot is false, wanted true");
//! ```
//!
//! The grammar and what it means are in the book: `book/src/reference/policy.md`.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod ar4si;
mod ast;
mod bundle;
mod catalog;
mod countermeasure;
mod diff;
mod display;
mod evaluate;
mod explain;
mod fault;
mod format;
mod function;
mod lex;
mod parse;
mod reach;
#[cfg(test)]
mod sample;
mod suggest;
mod time;
mod trial;
mod type_text;
mod value;

pub use ast::{Control, Exception, Layer, Override, Policy, Reference, Removed, Severity};
pub use bundle::Bundle;
pub use catalog::{Catalog, ClaimKind, ClaimSet, Claims};
pub use countermeasure::{Countermeasure, Grade};
pub use diff::{Change, ClauseDifference, Difference, Direction};
pub use evaluate::{Outcome, Status, tier};
pub use fault::{Fault, FaultKind, Position};
pub use format::format;
pub use function::Function;
pub use parse::Limits;
pub use time::{ParseTimeError, Time};
pub use trial::{TrialResult, Unmet};
pub use type_text::ParseTypeError;
pub use value::{
    Map, ParseDurationError, ParseVersionError, Record, Set, Type, Value, Version, parse_duration,
};
