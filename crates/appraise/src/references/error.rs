//! What can be wrong with a document of reference values.

use core::fmt;

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
