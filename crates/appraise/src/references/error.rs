//! What can be wrong with a document of reference values.

use alloc::string::String;
use core::fmt;
use touchstone_crypto::Digest;

/// Why a document is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not JSON of the schema.
    Json {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// Another schema.
    Schema(String),
    /// Larger than the limits.
    TooLarge,
    /// For another tenant than the others.
    Tenant(String),
    /// The envelope does not parse, or is not signed by whom it says.
    Envelope(touchstone_cms::Error),
    /// A signer is not a publisher that is trusted here.
    Publisher(touchstone_certs::Error),
    /// It was valid until a time that is over.
    Expired {
        /// The component.
        component: String,
        /// Its version.
        version: u64,
        /// Until when, in Unix seconds.
        until: u64,
    },
    /// A higher version has superseded it, and the grace is over.
    Superseded {
        /// The component.
        component: String,
        /// The version that was handed in.
        version: u64,
        /// The one that has superseded it.
        newest: u64,
    },
    /// There is another document of this version, with other content.
    VersionTaken {
        /// The component.
        component: String,
        /// The version.
        version: u64,
        /// The set that has it.
        taken: Digest,
    },
    /// An assignment of this name was there before, with a version that is at least as high.
    AssignmentRollback {
        /// The assignment.
        name: String,
        /// The version that was handed in.
        version: u64,
        /// The one that is in force.
        newest: u64,
    },
    /// Lower versions would be unknown before they are outdated.
    Grace {
        /// Until when they are good.
        good_until: u64,
        /// Until when they are known.
        known_until: u64,
    },
    /// One path with two contents.
    Contradiction {
        /// The path.
        path: String,
        /// What it is first said to be.
        first: Digest,
        /// What it is said to be then.
        second: Digest,
    },
    /// A path that no file has, or that could be taken for another.
    Path {
        /// The path, its beginning.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No such PCR.
    Pcr(u32),
    /// A publisher's key cannot be used.
    PublisherKey {
        /// Their name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something in a file of another format that is not understood, so that nothing of the file
    /// is taken.
    NotUnderstood {
        /// Where: `digests./usr/bin/env[0]`.
        at: String,
        /// What is wrong, or why it has no counterpart here.
        why: String,
    },
    /// What is to be in dbx does not parse.
    Revocations,
    /// A manifest could not be signed: why.
    Signer(String),
    /// An image does not parse.
    Measure(touchstone_measure::Error),
    /// An ELF file does not parse.
    Code(touchstone_evidence::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "references.malformed",
            Self::Schema(_) => "references.schema",
            Self::TooLarge => "references.too-large",
            Self::Tenant(_) => "references.tenant",
            Self::Envelope(error) => error.code(),
            Self::Publisher(error) => error.code(),
            Self::Expired { .. } => "references.expired",
            Self::Superseded { .. } => "references.superseded",
            Self::VersionTaken { .. } => "references.version-taken",
            Self::AssignmentRollback { .. } => "references.assignment-rollback",
            Self::Grace { .. } => "references.grace",
            Self::Contradiction { .. } => "references.contradiction",
            Self::Path { .. } => "references.path",
            Self::Pcr(_) => "references.pcr",
            Self::PublisherKey { .. } => "references.publisher-key",
            Self::NotUnderstood { .. } => "references.not-understood",
            Self::Revocations => "references.revocations",
            Self::Signer(_) => "references.signer",
            Self::Measure(error) => error.code(),
            Self::Code(error) => error.code(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { why, .. } => write!(f, "the reference values do not parse: {why}"),
            Self::Schema(found) => {
                write!(f, "schema `{found}` is not known; known is `{}`", super::SCHEMA)
            }
            Self::TooLarge => f.write_str("the reference values are larger than the limit"),
            Self::Tenant(found) => write!(f, "the reference values are for tenant `{found}`"),
            Self::Envelope(error) => error.fmt(f),
            Self::Publisher(error) => write!(f, "not signed by a trusted publisher: {error}"),
            Self::Expired { component, version, until } => write!(
                f,
                "the reference values of {component} version {version} were valid until {until} \
                 (Unix seconds); sign them anew"
            ),
            Self::Superseded { component, version, newest } => write!(
                f,
                "version {newest} of {component} has superseded version {version}, and the grace \
                 is over; hand in a version above {newest}"
            ),
            Self::VersionTaken { component, version, taken } => write!(
                f,
                "{component} version {version} is there with other content ({taken}); give what \
                 changed a version of its own"
            ),
            Self::AssignmentRollback { name, version, newest } => write!(
                f,
                "the assignment {name} is in force with version {newest}, which version {version} \
                 does not follow; hand in one above {newest}"
            ),
            Self::Grace { good_until, known_until } => write!(
                f,
                "lower versions would be good until {good_until} and known only until \
                 {known_until}; let `known_until` be the later one"
            ),
            Self::Contradiction { path, first, second } => write!(
                f,
                "{path} is said to be {first} and {second}; if both are meant, say so with one \
                 value of kind `file-variants`"
            ),
            Self::Path { path, why } => {
                write!(f, "the path {path:?} cannot be meant: {why}")
            }
            Self::Pcr(index) => write!(f, "there is no PCR {index}; there are 0 to 23"),
            Self::PublisherKey { name, why } => {
                write!(f, "the key of publisher `{name}` cannot be used: {why}")
            }
            Self::NotUnderstood { at, why } => write!(f, "{at}: {why}"),
            Self::Revocations => f.write_str(
                "neither signature lists nor an update of dbx; give an .esl file or dbxupdate.bin",
            ),
            Self::Signer(why) => write!(f, "the manifest could not be signed: {why}"),
            Self::Measure(error) => error.fmt(f),
            Self::Code(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<touchstone_measure::Error> for Error {
    fn from(error: touchstone_measure::Error) -> Self {
        Self::Measure(error)
    }
}

impl From<touchstone_evidence::Error> for Error {
    fn from(error: touchstone_evidence::Error) -> Self {
        Self::Code(error)
    }
}

impl From<touchstone_cms::Error> for Error {
    fn from(error: touchstone_cms::Error) -> Self {
        Self::Envelope(error)
    }
}

impl From<touchstone_certs::Error> for Error {
    fn from(error: touchstone_certs::Error) -> Self {
        Self::Publisher(error)
    }
}
