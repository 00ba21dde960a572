//! What can go wrong with an element.

use std::path::PathBuf;
use std::{fmt, io};

/// Why an element did not do as asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A name is not 1 to 64 of `a-z 0-9 - _`.
    BadName,
    /// No key of this name.
    UnknownKey(String),
    /// A key of this name exists already.
    KeyExists(String),
    /// The element, or this kind of key, cannot do that.
    Unsupported(&'static str),
    /// A value is larger than the element's storage takes.
    TooLarge {
        /// Octets that fit.
        limit: usize,
    },
    /// What was handed in does not parse, or is out of range.
    BadInput(&'static str),
    /// The element said no.
    Refused(Refusal),
    /// The element answered something that does not parse.
    Malformed(&'static str),
    /// A key's file does not parse.
    BadKeyFile(PathBuf),
    /// A file of the element's state could not be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The element cannot be reached.
    Unreachable {
        /// Where it was looked for.
        at: String,
        /// Why.
        source: io::Error,
    },
    /// The element was busy for as long as we waited.
    Busy,
    /// An earlier call left the shared element in an unknown state: restart the program.
    Poisoned,
    /// The crypto provider failed.
    Crypto(touchstone_crypto::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadName => "element.name.bad",
            Self::UnknownKey(_) => "element.key.unknown",
            Self::KeyExists(_) => "element.key.exists",
            Self::Unsupported(_) => "element.unsupported",
            Self::TooLarge { .. } => "element.storage.too-large",
            Self::BadInput(_) => "element.input.bad",
            Self::Refused(_) => "element.refused",
            Self::Malformed(_) => "element.answer.malformed",
            Self::BadKeyFile(_) => "element.key.file",
            Self::File { .. } => "element.state.file",
            Self::Unreachable { .. } => "element.unreachable",
            Self::Busy => "element.busy",
            Self::Poisoned => "element.poisoned",
            Self::Crypto(_) => "element.crypto",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => f.write_str("a name is 1 to 64 of a-z, 0-9, '-' and '_'"),
            Self::UnknownKey(name) => write!(f, "no key named `{name}`; create it first"),
            Self::KeyExists(name) => {
                write!(f, "a key named `{name}` exists; delete it or choose another name")
            }
            Self::Unsupported(what) => write!(f, "not supported by this element: {what}"),
            Self::TooLarge { limit } => write!(f, "the value is too large; {limit} octets fit"),
            Self::BadInput(what) => write!(f, "{what}"),
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::Malformed(what) => write!(f, "the element's answer does not parse: {what}"),
            Self::BadKeyFile(path) => {
                write!(f, "{} is not a key file; restore it or delete the key", path.display())
            }
            Self::File { path, .. } => write!(f, "cannot use {}", path.display()),
            Self::Unreachable { at, .. } => write!(f, "cannot reach the element at {at}"),
            Self::Busy => f.write_str("the element stayed busy; try again later"),
            Self::Poisoned => {
                f.write_str("an earlier failure left the element in an unknown state; restart")
            }
            Self::Crypto(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Unreachable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<touchstone_crypto::Error> for Error {
    fn from(error: touchstone_crypto::Error) -> Self {
        Self::Crypto(error)
    }
}

/// The element's own no: which command, its code, and what that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The command, in the words of its standard: `TPM2_Quote`.
    pub command: &'static str,
    /// The response code, as the element gave it.
    pub response: u32,
    /// The code's name without its position: `TPM_RC_AUTH_FAIL`.
    pub name: String,
    /// What it complains of: `parameter 2`, `handle 1`, `session 1`, or nothing.
    pub about: Option<(&'static str, u8)>,
    /// What it means, and what to do.
    pub words: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused with {} (0x{:03x}", self.command, self.name, self.response)?;
        if let Some((what, number)) = self.about {
            write!(f, ", {what} {number}")?;
        }
        write!(f, "): {}", self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_command_the_code_and_what_it_means() {
        let refusal = Refusal {
            command: "TPM2_Load",
            response: 0x1df,
            name: "TPM_RC_INTEGRITY".to_owned(),
            about: Some(("parameter", 1)),
            words: "made by another element",
        };
        assert_eq!(
            Error::Refused(refusal).to_string(),
            "TPM2_Load refused with TPM_RC_INTEGRITY (0x1df, parameter 1): made by another element"
        );
    }
}
