//! Where a PIN is, and reading it from there. A PIN itself is in no configuration and on no command
//! line; it is read anew for each login and wiped afterwards.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use touchstone_element::{Error, Secret};

/// Octets in the longest PIN that is read.
const LONGEST: usize = 255;

/// A reference to a PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinSource {
    /// `file:/path`: the first line of a file, its path absolute.
    File(String),
    /// `credential:name`: a file that systemd put into `$CREDENTIALS_DIRECTORY` for this service
    /// (systemd.exec(5), `LoadCredential=`).
    Credential(String),
}

impl PinSource {
    /// Reads a reference: `file:/path`, `file:///path` (RFC 8089 §2) or `credential:name`.
    /// `None` when it is neither; a PIN is not a reference.
    pub fn from_reference(reference: &str) -> Option<Self> {
        if let Some(path) = reference.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let fits = path.starts_with('/') && !path.starts_with("//") && !path.contains('\0');
            return fits.then(|| Self::File(path.to_owned()));
        }
        let name = reference.strip_prefix("credential:")?;
        let fits = (1..=255).contains(&name.len())
            && !name.contains(['/', '\0'])
            && !matches!(name, "." | "..");
        fits.then(|| Self::Credential(name.to_owned()))
    }

    /// Reads the PIN.
    pub(crate) fn read(&self) -> Result<Secret, Error> {
        let path = self.path()?;
        let mut octets = Vec::with_capacity(LONGEST + 3);
        File::open(&path)
            .and_then(|file| file.take(LONGEST as u64 + 2).read_to_end(&mut octets))
            .map_err(|source| Error::File { path, source })?;
        // A Secret from here on, so that it is wiped on every way out.
        let read = Secret::new(octets);
        let pin = read.expose();
        let pin = pin.strip_suffix(b"\n").unwrap_or(pin);
        let pin = pin.strip_suffix(b"\r").unwrap_or(pin);
        if pin.is_empty() || pin.len() > LONGEST || pin.contains(&b'\n') {
            return Err(Error::BadInput(
                "the file of the PIN does not hold one line of 1 to 255 octets",
            ));
        }
        Ok(Secret::new(pin.to_vec()))
    }

    fn path(&self) -> Result<PathBuf, Error> {
        match self {
            Self::File(path) => Ok(PathBuf::from(path)),
            Self::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    let why = "CREDENTIALS_DIRECTORY is not set; start by systemd with \
                               LoadCredential=, or use `file:`";
                    Error::File {
                        path: PathBuf::from(name),
                        source: io::Error::new(io::ErrorKind::NotFound, why),
                    }
                })?;
                Ok(PathBuf::from(folder).join(name))
            }
        }
    }
}

impl fmt::Display for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{path}"),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Secret, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        std::fs::write(&path, content).unwrap();
        PinSource::from_reference(&format!("file:{}", path.display())).unwrap().read()
    }

    #[test]
    fn a_pin_is_the_one_line_of_a_file() {
        for content in ["1234", "1234\n", "1234\r\n"] {
            assert_eq!(read(content.as_bytes()).unwrap().expose(), b"1234");
        }
        assert_eq!(read(&[b'1'; 255]).unwrap().expose().len(), 255);
        for content in [&b""[..], b"\n", b"12\n34\n", &[b'1'; 256], &[b'1'; 5000]] {
            assert!(matches!(read(content), Err(Error::BadInput(_))));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let source = PinSource::from_reference("file:///no/such/pin").unwrap();
        let error = source.read().unwrap_err();
        assert_eq!(error.to_string(), "cannot use /no/such/pin");
    }

    #[test]
    fn what_is_no_reference_is_no_source() {
        for bad in ["1234", "file:pin", "file://host/pin", "credential:", "credential:a/b", "|ask"]
        {
            assert_eq!(PinSource::from_reference(bad), None, "{bad}");
        }
    }
}
