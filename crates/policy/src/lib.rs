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
//! let policy = r#"policy "gateway" version 1 {
//!     control secure-boot {
//!         dimension configuration
//!         severity  contraindicated
//!         because   "the firmware must refuse what we did not sign"
//!         require   boot.secure-boot
//!     }
//! }"#;
//! let policy = Policy::parse(policy, &catalog).expect("a good policy");
//! let device = ClaimSet::from_iter([("boot.secure-boot", false)]);
//! let outcomes = policy.evaluate(&device);
//! assert_eq!(tier(&outcomes), Tier::Contraindicated);
//! assert_eq!(outcomes[0].explanation(), "boot.secure-boot is false, wanted true");
//! ```
//!
//! # The grammar
//!
//! ```text
//! policy     = "policy" text "version" integer "{" control { control } "}" ;
//! control    = "control" name "{" { clause } "}" ;
//! clause     = "dimension" dimension            (* once; one of AR4SI's eight *)
//!            | "severity" ("warning" | "contraindicated")         (* once *)
//!            | "fails"  (value-name | integer)  (* at most once; in the tier of the severity *)
//!            | "passes" (value-name | integer)  (* at most once; affirming *)
//!            | "because" text                   (* once *)
//!            | "require" test ;                 (* once or more; all must hold *)
//! test       = all { "or" all } ;
//! all        = unary { "and" unary } ;
//! unary      = "not" unary
//!            | ("every" | "some") name "in" operand ":" test     (* takes all that follows *)
//!            | "(" test ")"
//!            | predicate ;
//! predicate  = operand                                           (* a boolean *)
//!            | operand compare operand
//!            | operand ["not"] "in" collection
//!            | operand "within" collection      (* each element of a list is in it *)
//!            | operand "is" ["not"] ("present" | "empty") ;
//! compare    = "==" | "!=" | "<" | "<=" | ">" | ">="
//!            | "starts-with" | "ends-with" | "contains" ;
//! collection = operand | "{" literal { "," literal } [ "," ] "}" ;
//! operand    = literal | name | "count" "(" name ")" ;
//! literal    = "true" | "false" | integer | text | version | duration | digest ;
//! name       = letter { letter | digit | "-" | "_" | "." } ;
//! integer    = ["-"] digit { digit | "_" } | "0x" hex { hex } ;  (* 64 bits, signed *)
//! text       = '"' { character | '\"' | '\\' | '\n' | '\t' | '\u{' hex '}' } '"' ;
//! version    = integer "." integer [ "." integer [ "." integer ] ] ;
//! duration   = integer unit { integer unit } ;  unit = "d" | "h" | "m" | "s" | "ms" ;
//! digest     = ("sha1" | "sha256" | "sha384" | "sha512") ":" hex { hex } ;
//! ```
//! `#` starts a comment. [`Limits`] bound the text, the number of controls and the depth.
//!
//! # What it means
//!
//! - Both sides of a comparison have one type; only integers, versions and durations have an
//!   order. A whole number stands for a version where one is wanted.
//! - In `every image in boot.images: image.digest in reference.boot-images` the variable is each
//!   element in turn, and `variable.field` a field of a record. `every` holds for an empty list.
//! - A claim that is missing, or not of the type that the catalogue promises, is unknown. Unknown
//!   goes through `and`, `or` and `not` as Kleene has it: `a or b` holds if `b` does, whatever
//!   `a` may be. A control whose requirement is unknown is not met. `is present` is never unknown.
//! - A control that is met gives its dimension the value `passes` (2 if not said); one that is not
//!   gives `fails` (the usual value of its severity: 96 or 32). Names of values are in
//!   [`ar4si`]; the tier of the device is the worst among its controls.
//!
//! # An example
//!
//! ```text
#![doc = include_str!("../examples/gateway.policy")]
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

pub mod ar4si;
mod ast;
mod catalog;
mod display;
mod evaluate;
mod explain;
mod fault;
mod lex;
mod parse;
#[cfg(test)]
mod sample;
mod suggest;
mod value;

pub use ast::{Control, Policy};
pub use catalog::{Catalog, ClaimKind, ClaimSet, Claims};
pub use evaluate::{Outcome, Status, tier};
pub use fault::{Fault, FaultKind, Position};
pub use parse::Limits;
pub use value::{
    ParseDurationError, ParseVersionError, Record, Set, Type, Value, Version, parse_duration,
};
