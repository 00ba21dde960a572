//! Operators of the configuration.

use std::path::Path;
use std::str::FromStr;
use touchstone_settings::{SecretReference, Section};

/// `[[operator]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorEntry {
    /// The name in events.
    pub name: String,
    /// What the operator may do.
    pub role: Role,
    /// Where the token is.
    pub token: SecretReference,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May look.
    Viewer,
    /// May look, order updates and import reference values.
    Operator,
}

impl Role {
    /// The word in files, rows and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            _ => Err("roles are `viewer` and `operator`"),
        }
    }
}

pub(super) fn read(section: &Section<'_>, base: &Path) -> Option<OperatorEntry> {
    let name = super::word(section, "name", "");
    let role = section.required("role");
    let token = section.required("token").map(|token: SecretReference| token.under(base));
    Some(OperatorEntry { name: name?, role: role?, token: token? })
}
