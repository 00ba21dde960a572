//! What can be wrong with a log, and with keeping one.

use crate::Head;
use std::fmt;
use std::io;

/// Why a log cannot be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file system said no.
    Io {
        /// What was tried, as in `open /var/lib/touchstone/audit.jsonl`.
        what: String,
        /// What it said.
        source: io::Error,
    },
    /// Another process writes this log.
    Locked,
    /// The log is not what was written.
    Broken(Broken),
    /// An earlier write failed and could not be taken back; open the log again.
    Stopped,
}

impl Error {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "audit.io",
            Self::Locked => "audit.locked",
            Self::Broken(broken) => broken.flaw.code(),
            Self::Stopped => "audit.stopped",
        }
    }

    pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.to_string(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, .. } => write!(f, "cannot {what}"),
            Self::Locked => f.write_str("another process writes this log; stop it first"),
            Self::Broken(broken) => write!(f, "{broken}"),
            Self::Stopped => f.write_str(
                "an earlier write failed and could not be taken back; restart to recover",
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Where a log is broken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The line, from 1 on.
    pub line: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.flaw)
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// Longer than any entry.
    TooLong,
    /// Not UTF-8.
    NotText,
    /// Not the members of an entry.
    NotAnEntry,
    /// Its hash is not that of its content.
    Changed,
    /// It says what an entry says, but not as this crate writes it.
    NotCanonical,
    /// A schema of that version is not known.
    Version(u64),
    /// Its number does not follow that of the line before.
    Sequence {
        /// The number that should be there.
        expected: u64,
        /// The number that is.
        found: u64,
    },
    /// It does not carry the hash of the line before.
    Unchained,
    /// The log ends before an entry that is known to have been written.
    CutOff {
        /// That entry.
        known: Head,
    },
    /// The entry of a known number has another hash: the log was written anew.
    Rewritten {
        /// What is known.
        known: Head,
    },
}

impl Flaw {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "audit.line.length",
            Self::NotText => "audit.line.text",
            Self::NotAnEntry => "audit.line.syntax",
            Self::Changed => "audit.line.changed",
            Self::NotCanonical => "audit.line.form",
            Self::Version(_) => "audit.line.version",
            Self::Sequence { .. } => "audit.chain.sequence",
            Self::Unchained => "audit.chain.previous",
            Self::CutOff { .. } => "audit.chain.cut",
            Self::Rewritten { .. } => "audit.chain.rewritten",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("longer than an entry can be"),
            Self::NotText => f.write_str("not UTF-8"),
            Self::NotAnEntry => f.write_str("not an entry of an audit log"),
            Self::Changed => f.write_str("changed after it was written: its hash does not match"),
            Self::NotCanonical => f.write_str("not in the form in which entries are written"),
            Self::Version(version) => {
                write!(f, "written in version {version} of the log, which is not known here")
            }
            Self::Sequence { expected, found } => write!(
                f,
                "entry {found} stands where entry {expected} should: entries were removed or added"
            ),
            Self::Unchained => {
                f.write_str("does not follow the line before: one of them was replaced")
            }
            Self::CutOff { known } => write!(
                f,
                "the log ends here, but entry {} is known: the end was cut off",
                known.seq
            ),
            Self::Rewritten { known } => write!(
                f,
                "entry {} is not the one that is known: the log was written anew",
                known.seq
            ),
        }
    }
}
