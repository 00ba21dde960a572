//! What can be wrong with a log, and with keeping one.

use crate::{CheckpointFault, Head};
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
    /// An event says that a head was signed or that a part begins; only doing so makes such an
    /// entry.
    Reserved,
    /// The line after an entry is not what was written.
    Damaged {
        /// That entry.
        after: u64,
        /// What is wrong with the line.
        flaw: Flaw,
    },
    /// What is known of the log stands before the first entry that is here.
    Incomplete {
        /// That first entry.
        first: u64,
    },
    /// The head was not signed.
    Unsigned(CheckpointFault),
    /// A new log needs a name that no other has.
    NoRandomness,
}

impl Error {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "audit.io",
            Self::Locked => "audit.locked",
            Self::Broken(broken) => broken.flaw.code(),
            Self::Stopped => "audit.stopped",
            Self::Reserved => "audit.reserved",
            Self::Damaged { flaw, .. } => flaw.code(),
            Self::Incomplete { .. } => "audit.parts.incomplete",
            Self::Unsigned(fault) => fault.code(),
            Self::NoRandomness => "audit.random",
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
            Self::Reserved => {
                f.write_str("only the log itself tells that its head was signed or a part begins")
            }
            Self::Damaged { after, flaw } => write!(f, "the line after entry {after}: {flaw}"),
            Self::Incomplete { first } => write!(
                f,
                "what is known of the log lies before entry {first}, the first one here; give the \
                 earlier parts, too"
            ),
            Self::Unsigned(fault) => write!(f, "the head of the log is not signed: {fault}"),
            Self::NoRandomness => f.write_str(
                "the system gives no random octets, and a new log needs a name of its own",
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
    /// Which of the parts that were read, from 0 on.
    pub part: usize,
    /// The line in it, from 1 on.
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
    /// It says that a head was signed, and that head is not one.
    Checkpoint(CheckpointFault),
    /// It says that a head was signed which this log never had.
    OtherTree,
    /// The log ends before the size of a checkpoint that is known.
    Shorter {
        /// That size.
        known: u64,
    },
    /// At the size of a known checkpoint, the log has another root: it was written anew.
    OtherRoot {
        /// That size.
        known: u64,
    },
    /// It says that a part begins here, and that is not where one can, or not after these entries.
    Continuation,
    /// More entries than a notary lets pass are behind the last signed head.
    Unsigned {
        /// The entry up to which the log is signed; 0 if it never was.
        signed: u64,
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
            Self::Checkpoint(fault) => fault.code(),
            Self::OtherTree => "audit.tree.other",
            Self::Shorter { .. } => "audit.tree.cut",
            Self::OtherRoot { .. } => "audit.tree.rewritten",
            Self::Continuation => "audit.parts.other",
            Self::Unsigned { .. } => "audit.tree.unsigned",
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
            Self::Checkpoint(fault) => write!(f, "the signed head here is not one: {fault}"),
            Self::OtherTree => {
                f.write_str("the signed head here is of other entries: the log was written anew")
            }
            Self::Shorter { known } => write!(
                f,
                "the log ends here, but a checkpoint of {known} entries is known: the end was cut off"
            ),
            Self::OtherRoot { known } => write!(
                f,
                "the first {known} entries are not those of the known checkpoint: the log was \
                 written anew"
            ),
            Self::Continuation => f.write_str(
                "a part of a log that begins here does not go on from the part before: one was \
                 removed or replaced",
            ),
            Self::Unsigned { signed: 0 } => {
                f.write_str("no head of this log was ever signed by its key")
            }
            Self::Unsigned { signed } => write!(
                f,
                "nothing is signed after entry {signed}, and too much was written since: the end \
                 was replaced, or the notary failed"
            ),
        }
    }
}
