//! What is wrong with a policy: where, what, and what to do about it.

use alloc::string::String;
use core::fmt;

/// A place in a policy's text: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// One fault in a policy. Shown as `14:9: no claim named ..; did you mean ..?`; whoever read the
/// file puts its name and a colon in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Position,
    /// Which check it failed.
    pub kind: FaultKind,
    /// What is wrong, as a phrase.
    pub problem: String,
    /// The next step.
    pub remedy: String,
}

impl Fault {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.at.line, self.at.column, self.problem, self.remedy)
    }
}

impl core::error::Error for Fault {}

/// The checks that a policy can fail when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// A limit of size, count or depth.
    TooLarge,
    /// A character or literal that is none of the grammar's.
    BadToken,
    /// A token where the grammar has another.
    Unexpected,
    /// A claim that the catalogue does not have.
    UnknownClaim,
    /// A field that the record does not have.
    UnknownField,
    /// A dimension, tier or value that AR4SI does not have, or not there.
    UnknownWord,
    /// Types that do not go together.
    TypeMismatch,
    /// A name or a clause given twice.
    Duplicate,
    /// A clause that a control cannot be without.
    Missing,
}

impl FaultKind {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "policy.limit",
            Self::BadToken => "policy.token",
            Self::Unexpected => "policy.syntax",
            Self::UnknownClaim => "policy.claim.unknown",
            Self::UnknownField => "policy.field.unknown",
            Self::UnknownWord => "policy.word.unknown",
            Self::TypeMismatch => "policy.type",
            Self::Duplicate => "policy.duplicate",
            Self::Missing => "policy.missing",
        }
    }
}
