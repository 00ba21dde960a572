//! What can go wrong with an element.

use crate::reference::ReferenceError;
use std::path::PathBuf;
use std::{fmt, io};
use touchstone_engine::Blame;

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
    /// A key of another kind or for another use than the call needs.
    WrongKind {
        /// The key.
        name: String,
        /// What it is not.
        needed: &'static str,
    },
    /// A value is larger than the element's storage takes.
    TooLarge {
        /// Octets that fit.
        limit: usize,
    },
    /// What was handed in does not parse, or is out of range.
    BadInput(&'static str),
    /// A password or PIN is wrong. It was tried once and not again.
    WrongAuthorization {
        /// How many more may be tried before the element locks, where it tells.
        tries_left: Option<u32>,
    },
    /// Too many wrong authorizations: the element refuses all of them for now.
    LockedOut {
        /// Seconds until it forgives one, where it tells.
        recovery: Option<u64>,
    },
    /// A key or a sealed secret is bound to a state that the device is no longer in.
    StateMoved,
    /// A key or a sealed secret of another element, or of this one before it was cleared.
    Foreign,
    /// The key under that reference is not the one that the reference was made for.
    AnotherKey(String),
    /// The maker's certificate of `idevid` or `iak` is for a key that is not in the element.
    CertificateOfAnother(&'static str),
    /// A reference to a key does not parse.
    BadReference(ReferenceError),
    /// The element has no room for more.
    Exhausted(&'static str),
    /// The element was taken away in mid-operation; the next call looks for it again.
    Removed,
    /// A file of the element's store is damaged.
    Corrupt(PathBuf),
    /// The element's store is older than what the element saw last: somebody put back an old copy.
    RolledBack(PathBuf),
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
            Self::WrongKind { .. } => "element.key.kind",
            Self::WrongAuthorization { .. } => "element.authorization.wrong",
            Self::LockedOut { .. } => "element.authorization.locked-out",
            Self::StateMoved => "element.state.moved",
            Self::Foreign => "element.foreign",
            Self::AnotherKey(_) => "element.key.another",
            Self::CertificateOfAnother(_) => "element.certificate.another",
            Self::BadReference(error) => error.code(),
            Self::Exhausted(_) => "element.exhausted",
            Self::Removed => "element.removed",
            Self::Corrupt(_) => "element.store.corrupt",
            Self::RolledBack(_) => "element.store.rolled-back",
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

impl Error {
    /// Whose doing it was.
    pub const fn blame(&self) -> Blame {
        match self {
            Self::BadName
            | Self::UnknownKey(_)
            | Self::KeyExists(_)
            | Self::Unsupported(_)
            | Self::WrongKind { .. }
            | Self::TooLarge { .. }
            | Self::BadInput(_)
            | Self::WrongAuthorization { .. }
            | Self::BadReference(_)
            | Self::Foreign => Blame::Owner,
            Self::Refused(_) | Self::Malformed(_) => Blame::Peer,
            _ => Blame::Platform,
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
            Self::WrongKind { name, needed } => write!(f, "the key `{name}` is not {needed}"),
            Self::WrongAuthorization { tries_left: Some(left) } => {
                write!(f, "the password or PIN is wrong; {left} more may be tried before a lockout")
            }
            Self::WrongAuthorization { tries_left: None } => {
                f.write_str("the password or PIN is wrong; it was not tried again")
            }
            Self::LockedOut { recovery: Some(seconds) } => {
                write!(f, "the element is locked out; wait {seconds} s or reset the lockout")
            }
            Self::LockedOut { recovery: None } => {
                f.write_str("the element is locked out; its owner has to unlock it")
            }
            Self::StateMoved => f.write_str(
                "bound to a state that the device is no longer in; compare the PCRs with those at \
                 the time of binding",
            ),
            Self::Foreign => f.write_str(
                "made by another element, or by this one before it was cleared; make it anew here",
            ),
            Self::AnotherKey(reference) => write!(
                f,
                "the key at {reference} is not the one that the reference was made for; find out who \
                 replaced it, then make the reference anew"
            ),
            Self::CertificateOfAnother(key) => write!(
                f,
                "the maker's certificate of the `{key}` is for a key that is not in this element; keep \
                 that key at a persistent handle, or put in the certificate of the key that is here"
            ),
            Self::BadReference(error) => write!(f, "{error}"),
            Self::Exhausted(what) => write!(f, "the element has no room left: {what}"),
            Self::Removed => f.write_str("the element was removed; put it back and try again"),
            Self::Corrupt(path) => {
                write!(f, "{} is damaged; restore it from a backup", path.display())
            }
            Self::RolledBack(path) => write!(
                f,
                "{} is older than the element's last state: an old copy was put back; restore the \
                 newest or enrol the device anew",
                path.display()
            ),
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

impl From<ReferenceError> for Error {
    fn from(error: ReferenceError) -> Self {
        Self::BadReference(error)
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

    fn every_error() -> Vec<Error> {
        let path = || PathBuf::from("/var/lib/touchstone/store");
        let name = || "ldevid".to_owned();
        let io = || io::Error::from(io::ErrorKind::NotFound);
        let refusal = Refusal {
            command: "TPM2_Sign",
            response: 0x9a2,
            name: "TPM_RC_BAD_AUTH".to_owned(),
            about: None,
            words: "the password is wrong",
        };
        vec![
            Error::BadName,
            Error::UnknownKey(name()),
            Error::KeyExists(name()),
            Error::Unsupported("Ed25519"),
            Error::WrongKind { name: name(), needed: "a key that signs" },
            Error::TooLarge { limit: 128 },
            Error::BadInput("the nonce has more than 64 octets"),
            Error::WrongAuthorization { tries_left: Some(2) },
            Error::LockedOut { recovery: Some(7200) },
            Error::StateMoved,
            Error::Foreign,
            Error::AnotherKey("element:tpm/ldevid".to_owned()),
            Error::BadReference("ldevid".parse::<crate::Reference>().unwrap_err()),
            Error::Exhausted("NV memory"),
            Error::Removed,
            Error::Corrupt(path()),
            Error::RolledBack(path()),
            Error::Refused(refusal),
            Error::Malformed("a size beyond the end"),
            Error::BadKeyFile(path()),
            Error::File { path: path(), source: io() },
            Error::Unreachable { at: "/dev/tpmrm0".to_owned(), source: io() },
            Error::Busy,
            Error::Poisoned,
            Error::Crypto(touchstone_crypto::Error::NoRandom),
        ]
    }

    #[test]
    fn every_error_has_a_code_of_its_own_and_words_that_fit_into_a_sentence() {
        let mut codes = std::collections::BTreeSet::new();
        for error in every_error() {
            assert!(error.code().starts_with("element."), "{}", error.code());
            assert!(codes.insert(error.code()), "{} is used twice", error.code());
            let words = error.to_string();
            assert!(!words.is_empty() && !words.ends_with('.'), "{words}");
            let starts_plain = words.starts_with(|c: char| c.is_lowercase() || c == '/');
            assert!(starts_plain || matches!(error, Error::Refused(_)), "{words}");
        }
    }

    #[test]
    fn the_caller_is_blamed_for_what_it_asked_and_never_for_the_disk() {
        for error in every_error() {
            let asked = matches!(
                error.code(),
                "element.name.bad"
                    | "element.key.unknown"
                    | "element.key.exists"
                    | "element.key.kind"
                    | "element.unsupported"
                    | "element.storage.too-large"
                    | "element.input.bad"
                    | "element.authorization.wrong"
                    | "element.foreign"
                    | "element.reference.scheme"
            );
            let answered = matches!(error.code(), "element.refused" | "element.answer.malformed");
            let expected = match (asked, answered) {
                (true, _) => Blame::Owner,
                (_, true) => Blame::Peer,
                _ => Blame::Platform,
            };
            assert_eq!(error.blame(), expected, "{}", error.code());
        }
    }
}
