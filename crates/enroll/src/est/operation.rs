//! What is asked of an EST server, and under which path (RFC 7030 §3.2.2).

use crate::exchange::Method;

/// Where EST lives on a server (RFC 7030 §3.2.2).
pub const PREFIX: &str = "/.well-known/est/";
const LONGEST_LABEL: usize = 64;

/// What a client asks for (RFC 7030 §3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The CA's certificates, §4.1.
    CaCerts,
    /// A certificate, §4.2.1.
    SimpleEnroll,
    /// The same certificate with another validity or key, §4.2.2.
    SimpleReenroll,
    /// What a request should contain, §4.5.
    CsrAttrs,
    /// A certificate with a key that the server makes, §4.4.
    ServerKeygen,
    /// Whatever CMC can ask, §4.3.
    FullCmc,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 6] = [
        Self::CaCerts,
        Self::SimpleEnroll,
        Self::SimpleReenroll,
        Self::CsrAttrs,
        Self::ServerKeygen,
        Self::FullCmc,
    ];

    /// The operation and the label of a path. A label picks one of several CAs or profiles (RFC 7030
    /// §3.2.2); it is not one of the operations' names.
    pub fn from_path(path: &str) -> Option<(Self, Option<&str>)> {
        let rest = path.strip_prefix(PREFIX)?;
        let (label, name) = match rest.split_once('/') {
            Some((label, name)) => (Some(label), name),
            None => (None, rest),
        };
        if !label.is_none_or(is_label) {
            return None;
        }
        Self::from_name(name).map(|operation| (operation, label))
    }

    /// The operation of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The last part of its path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CaCerts => "cacerts",
            Self::SimpleEnroll => "simpleenroll",
            Self::SimpleReenroll => "simplereenroll",
            Self::CsrAttrs => "csrattrs",
            Self::ServerKeygen => "serverkeygen",
            Self::FullCmc => "fullcmc",
        }
    }

    /// Its path without a label.
    pub fn path(self) -> String {
        path_with(self, None)
    }

    /// How it is asked for.
    pub const fn method(self) -> Method {
        match self {
            Self::CaCerts | Self::CsrAttrs => Method::Get,
            _ => Method::Post,
        }
    }
}

/// The path of an operation under a label.
pub fn path_with(operation: Operation, label: Option<&str>) -> String {
    match label {
        Some(label) => format!("{PREFIX}{label}/{}", operation.name()),
        None => format!("{PREFIX}{}", operation.name()),
    }
}

/// Whether it can be a label: letters, digits, `-`, `_` and `.`, and no operation's name.
fn is_label(label: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    !label.is_empty()
        && label.len() <= LONGEST_LABEL
        && label.bytes().all(plain)
        && Operation::from_name(label).is_none()
}
