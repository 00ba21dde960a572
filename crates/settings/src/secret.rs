//! References to secrets: where one is, never what it is.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use zeroize::Zeroizing;

/// Where a secret is: `file:/path`, or `credential:name` for one that the service manager hands
/// over (`LoadCredential=` in systemd.exec(5)).
#[derive(Clone, PartialEq, Eq)]
pub struct SecretReference(At);

#[derive(Clone, PartialEq, Eq)]
enum At {
    File(PathBuf),
    Credential(String),
}

impl SecretReference {
    /// The longest secret that is read, in octets.
    const LONGEST: u64 = 65536;

    /// The same reference with a relative path taken from `base`.
    #[must_use]
    pub fn under(self, base: &Path) -> Self {
        match self.0 {
            At::File(path) => Self(At::File(base.join(path))),
            At::Credential(_) => self,
        }
    }

    /// The file, as far as it is known; for messages.
    pub fn path(&self) -> PathBuf {
        self.find(std::env::var_os("CREDENTIALS_DIRECTORY"))
            .unwrap_or_else(|_| self.to_string().into())
    }

    /// The secret, without white space at its end.
    pub fn read(&self) -> io::Result<Zeroizing<String>> {
        let path = self.find(std::env::var_os("CREDENTIALS_DIRECTORY"))?;
        let mut secret = Zeroizing::new(String::new());
        std::fs::File::open(path)?.take(Self::LONGEST).read_to_string(&mut secret)?;
        let trimmed = secret.trim_end().len();
        secret.truncate(trimmed);
        if secret.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the secret is empty"));
        }
        Ok(secret)
    }

    fn find(&self, credentials: Option<OsString>) -> io::Result<PathBuf> {
        match (&self.0, credentials) {
            (At::File(path), _) => Ok(path.clone()),
            (At::Credential(name), Some(folder)) => Ok(Path::new(&folder).join(name)),
            (At::Credential(name), None) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "no service manager hands over credentials; start this as a service with \
                     LoadCredential={name}:/path, or write \"file:/path\""
                ),
            )),
        }
    }
}

impl FromStr for SecretReference {
    type Err = &'static str;

    fn from_str(reference: &str) -> Result<Self, Self::Err> {
        const FORMS: &str = "a secret does not stand in this file; write \"file:/path/to/it\", or \
                             \"credential:name\" for one that systemd loads";
        let of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        match reference.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self(At::File(path.into()))),
            Some(("credential", name))
                if !name.is_empty() && !name.starts_with('.') && name.chars().all(of_name) =>
            {
                Ok(Self(At::Credential(name.to_owned())))
            }
            _ => Err(FORMS),
        }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            At::File(path) => write!(f, "file:{}", path.display()),
            At::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

impl fmt::Debug for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_file_without_the_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret: SecretReference = "file:token".parse().unwrap();
        let secret = secret.under(dir.path());
        assert_eq!(*secret.read().unwrap(), "s3cret");
        std::fs::write(&path, "\n").unwrap();
        assert!(secret.read().is_err(), "an empty secret is no secret");
    }

    #[test]
    fn a_credential_is_looked_for_only_where_the_service_manager_puts_it() {
        let secret: SecretReference = "credential:edge.key".parse().unwrap();
        let found = secret.find(Some("/run/credentials/edge".into())).unwrap();
        assert_eq!(found, Path::new("/run/credentials/edge/edge.key"));
        let words = secret.find(None).unwrap_err().to_string();
        assert!(words.contains("LoadCredential=edge.key:"), "{words}");
    }

    #[test]
    fn what_is_no_reference_is_refused_and_never_repeated() {
        for text in ["s3cret", "file:", "credential:", "credential:../x", "credential:.x", "env:X"]
        {
            let refused = text.parse::<SecretReference>().unwrap_err();
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }
}
