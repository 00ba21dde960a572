//! The error of everything that parses.

use core::fmt;

/// Bytes that do not parse: where, and why. What they should have been is the caller's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The offset in octets at which it was noticed; 4 GiB and beyond are shown as `u32::MAX`.
    pub at: u32,
    /// What is wrong there.
    pub why: Why,
}

/// What is wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// They end before the value does.
    Truncated,
    /// Something follows where the end should be.
    Trailing,
    /// A length says more than its limit.
    TooLong,
    /// A value is none of those allowed.
    BadValue,
    /// A version that is not understood here.
    BadVersion,
}

impl Malformed {
    /// The fault `why` at offset `at`.
    pub fn new(at: usize, why: Why) -> Self {
        Self { at: u32::try_from(at).unwrap_or(u32::MAX), why }
    }

    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        match self.why {
            Why::Truncated => "wire.truncated",
            Why::Trailing => "wire.trailing",
            Why::TooLong => "wire.too_long",
            Why::BadValue => "wire.bad_value",
            Why::BadVersion => "wire.bad_version",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::Truncated => "ends too early",
            Why::Trailing => "is followed by octets that do not belong to it",
            Why::TooLong => "has a length beyond its limit",
            Why::BadValue => "has a value that is not allowed",
            Why::BadVersion => "has a version that is not understood",
        };
        write!(f, "{why} at octet {}", self.at)
    }
}

impl core::error::Error for Malformed {}
