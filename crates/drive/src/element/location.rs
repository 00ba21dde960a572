//! Where an element is, as text.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use touchstone_element::Reference;
use touchstone_element::reference::{Kind, ReferenceError};

/// Where an element is. It parses from what it displays as:
///
/// * `tpm:/dev/tpmrm0`: a TPM behind a character device;
/// * `tpm-unix:/run/swtpm.sock`, `tpm-tcp:127.0.0.1:2321`: a software TPM;
/// * `pkcs11:token=device?module-name=softhsm2&pin-source=credential:pin`: a token (RFC 7512);
/// * `software:/var/lib/touchstone/element?secret=file:/etc/touchstone/machine-secret`, with
///   `secret=credential:NAME`, `passphrase=file:PATH` or `passphrase=credential:NAME` instead, and
///   `&mark=PATH` for the second place of its generation.
///
/// Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A TPM 2.0 at a character device.
    TpmDevice(PathBuf),
    /// A TPM 2.0 simulator at a Unix socket.
    TpmUnix(PathBuf),
    /// A TPM 2.0 simulator at a TCP port.
    TpmTcp(SocketAddr),
    /// A PKCS#11 token, by its URI.
    Pkcs11(String),
    /// A software element.
    Software {
        /// The folder of its store.
        folder: PathBuf,
        /// What opens it.
        key: SoftwareKey,
        /// Where its generation is kept a second time.
        mark: Option<PathBuf>,
    },
}

/// What opens a software element: a reference, never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoftwareKey {
    /// `secret=file:PATH`: a machine secret.
    SecretFile(PathBuf),
    /// `secret=credential:NAME`: a systemd credential of 32 octets or more.
    SecretCredential(String),
    /// `passphrase=file:PATH`: a passphrase in a file's first line.
    PassphraseFile(PathBuf),
    /// `passphrase=credential:NAME`: a passphrase in a systemd credential's first line.
    PassphraseCredential(String),
}

impl Location {
    /// What kind of element is there.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::TpmDevice(_) | Self::TpmUnix(_) | Self::TpmTcp(_) => Kind::Tpm,
            Self::Pkcs11(_) => Kind::Pkcs11,
            Self::Software { .. } => Kind::Software,
        }
    }
}

/// Why text is no place of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocationError {
    /// None of the forms.
    Form,
    /// A path that is not absolute.
    Path,
    /// No address and port.
    Address,
    /// The PKCS#11 URI does not parse.
    Uri(ReferenceError),
    /// A software element without `secret=` or `passphrase=`, or with several.
    Key,
    /// A secret that is neither `file:PATH` nor `credential:NAME`.
    Secret,
    /// An option that a software element does not have.
    Option,
}

impl LocationError {
    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Form => "drive.element.form",
            Self::Path => "drive.element.path",
            Self::Address => "drive.element.address",
            Self::Uri(error) => error.code(),
            Self::Key => "drive.element.key",
            Self::Secret => "drive.element.secret",
            Self::Option => "drive.element.option",
        }
    }
}

impl fmt::Display for LocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "an element is `tpm:/dev/tpmrm0`, `tpm-unix:PATH`, `tpm-tcp:ADDRESS:PORT`, \
                 `pkcs11:token=NAME` or `software:FOLDER?secret=file:PATH`"
            }
            Self::Path => "write an absolute path, `/dev/tpmrm0`",
            Self::Address => "write an address and a port, `127.0.0.1:2321`",
            Self::Uri(error) => return error.fmt(f),
            Self::Key => {
                "a software element has one of `?secret=file:PATH`, `?secret=credential:NAME`, \
                 `?passphrase=file:PATH` and `?passphrase=credential:NAME`"
            }
            Self::Secret => "write where the secret is: `file:PATH` or `credential:NAME`",
            Self::Option => {
                "the options of a software element are `secret`, `passphrase` and `mark`"
            }
        })
    }
}

impl std::error::Error for LocationError {}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let (kind, rest) = text.split_once(':').ok_or(LocationError::Form)?;
        match kind {
            "tpm" => Ok(Self::TpmDevice(absolute(rest)?)),
            "tpm-unix" => Ok(Self::TpmUnix(absolute(rest)?)),
            "tpm-tcp" => rest.parse().map(Self::TpmTcp).map_err(|_| LocationError::Address),
            "pkcs11" => {
                text.parse::<Reference>().map_err(LocationError::Uri)?;
                Ok(Self::Pkcs11(text.to_owned()))
            }
            "software" => software(rest),
            _ => Err(LocationError::Form),
        }
    }
}

fn absolute(text: &str) -> Result<PathBuf, LocationError> {
    let path = Path::new(text);
    if path.is_absolute() { Ok(path.to_owned()) } else { Err(LocationError::Path) }
}

fn software(rest: &str) -> Result<Location, LocationError> {
    let (folder, options) = rest.split_once('?').ok_or(LocationError::Key)?;
    let folder = absolute(folder)?;
    let (mut key, mut mark) = (None, None);
    for option in options.split('&') {
        let (name, value) = option.split_once('=').ok_or(LocationError::Option)?;
        let taken = match name {
            "secret" => key.replace(secret(value)?).is_some(),
            "passphrase" => key.replace(passphrase(value)?).is_some(),
            "mark" => mark.replace(absolute(value)?).is_some(),
            _ => return Err(LocationError::Option),
        };
        if taken {
            return Err(if name == "mark" { LocationError::Option } else { LocationError::Key });
        }
    }
    Ok(Location::Software { folder, key: key.ok_or(LocationError::Key)?, mark })
}

fn secret(text: &str) -> Result<SoftwareKey, LocationError> {
    match text.split_once(':') {
        Some(("file", path)) => Ok(SoftwareKey::SecretFile(absolute(path)?)),
        Some(("credential", name)) => credential(name).map(SoftwareKey::SecretCredential),
        _ => Err(LocationError::Secret),
    }
}

fn passphrase(text: &str) -> Result<SoftwareKey, LocationError> {
    match text.split_once(':') {
        Some(("file", path)) => Ok(SoftwareKey::PassphraseFile(absolute(path)?)),
        Some(("credential", name)) => credential(name).map(SoftwareKey::PassphraseCredential),
        _ => Err(LocationError::Secret),
    }
}

fn credential(name: &str) -> Result<String, LocationError> {
    let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    if plain { Ok(name.to_owned()) } else { Err(LocationError::Secret) }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TpmDevice(path) => write!(f, "tpm:{}", path.display()),
            Self::TpmUnix(path) => write!(f, "tpm-unix:{}", path.display()),
            Self::TpmTcp(address) => write!(f, "tpm-tcp:{address}"),
            Self::Pkcs11(uri) => f.write_str(uri),
            Self::Software { folder, key, mark } => {
                write!(f, "software:{}?{key}", folder.display())?;
                match mark {
                    Some(mark) => write!(f, "&mark={}", mark.display()),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretFile(path) => write!(f, "secret=file:{}", path.display()),
            Self::SecretCredential(name) => write!(f, "secret=credential:{name}"),
            Self::PassphraseFile(path) => write!(f, "passphrase=file:{}", path.display()),
            Self::PassphraseCredential(name) => write!(f, "passphrase=credential:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_parses_from_what_it_displays_as() {
        for (text, kind) in [
            ("tpm:/dev/tpmrm0", Kind::Tpm),
            ("tpm-unix:/run/swtpm.sock", Kind::Tpm),
            ("tpm-tcp:[::1]:2321", Kind::Tpm),
            ("pkcs11:token=device?module-name=softhsm2", Kind::Pkcs11),
            ("software:/var/lib/e?secret=file:/etc/secret", Kind::Software),
            ("software:/var/lib/e?secret=credential:element&mark=/boot/mark", Kind::Software),
            ("software:/var/lib/e?passphrase=file:/run/pass", Kind::Software),
            ("software:/var/lib/e?passphrase=credential:pass", Kind::Software),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), text);
            assert_eq!(location.kind(), kind);
        }
    }

    #[test]
    fn what_is_no_place_is_told_what_one_looks_like() {
        for (text, code) in [
            ("", "drive.element.form"),
            ("tpm", "drive.element.form"),
            ("tpm2:/dev/tpm0", "drive.element.form"),
            ("tpm:tpmrm0", "drive.element.path"),
            ("tpm-tcp:localhost", "drive.element.address"),
            ("pkcs11:", "element.reference.no-name"),
            ("pkcs11:token=a?pin-value=1", "element.reference.pin-value"),
            ("software:/var/lib/e", "drive.element.key"),
            ("software:/var/lib/e?mark=/m", "drive.element.key"),
            ("software:/e?secret=file:/a&passphrase=file:/b", "drive.element.key"),
            ("software:/e?secret=hunter2", "drive.element.secret"),
            ("software:/e?secret=credential:../x", "drive.element.secret"),
            ("software:/e?secret=file:a", "drive.element.path"),
            ("software:e?secret=file:/a", "drive.element.path"),
            ("software:/e?secret=file:/a&mark=/m&mark=/n", "drive.element.option"),
            ("software:/e?secret=file:/a&color=red", "drive.element.option"),
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert_eq!(error.code(), code, "{text}");
            assert!(!error.to_string().is_empty());
        }
    }
}
