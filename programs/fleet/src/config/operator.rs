//! Operators of the configuration, and references to secrets.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use touchstone_settings::Section;
use zeroize::Zeroizing;

/// `[[operator]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorEntry {
    /// The name in events.
    pub name: String,
    /// What the operator may do.
    pub role: Role,
    /// Where the token is.
    pub token: SecretFile,
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

/// A reference to a secret in a file of its own: `file:/path`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// The longest secret that is read, in octets.
    const LONGEST: u64 = 65536;

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The same reference with a relative path taken from `base`.
    pub(crate) fn under(self, base: &Path) -> Self {
        Self(base.join(self.0))
    }

    /// The secret, without white space at its end.
    pub fn read(&self) -> io::Result<Zeroizing<String>> {
        let mut secret = Zeroizing::new(String::new());
        std::fs::File::open(&self.0)?.take(Self::LONGEST).read_to_string(&mut secret)?;
        let trimmed = secret.trim_end().len();
        secret.truncate(trimmed);
        if secret.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the secret is empty"));
        }
        Ok(secret)
    }
}

impl FromStr for SecretFile {
    type Err = &'static str;

    fn from_str(reference: &str) -> Result<Self, Self::Err> {
        match reference.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err("a secret does not stand in this file; write `file:/path/to/it`"),
        }
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file:{}", self.0.display())
    }
}

pub(super) fn read(section: &Section<'_>, base: &Path) -> Option<OperatorEntry> {
    let name = super::word(section, "name", "");
    let role = section.required("role");
    let token = section.required("token").map(|token: SecretFile| token.under(base));
    Some(OperatorEntry { name: name?, role: role?, token: token? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_file_without_the_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret: SecretFile = format!("file:{}", path.display()).parse().unwrap();
        assert_eq!(*secret.read().unwrap(), "s3cret");
        std::fs::write(&path, "\n").unwrap();
        assert!(secret.read().is_err(), "an empty secret is no secret");
        assert!("file:".parse::<SecretFile>().is_err());
    }
}
