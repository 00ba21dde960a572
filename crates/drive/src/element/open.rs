//! Opening elements, and finding keys by reference.

use super::Location;
use std::fmt;
use std::path::{Path, PathBuf};
use touchstone_crypto::Crypto;
use touchstone_element::reference::Kind;
use touchstone_element::{Element, Error, KeyReference, PublicKey, Reference};

/// Octets of the longest file with a reference or a passphrase.
const FILE: usize = 16 * 1024;

impl Location {
    /// Opens the element. `state` is the folder that a TPM's keys are kept in; others have places of
    /// their own. [`Error::Unsupported`] when this program was built without such elements.
    pub fn open(&self, state: &Path) -> Result<Box<dyn Element>, Error> {
        match self {
            Self::TpmDevice(_) | Self::TpmUnix(_) | Self::TpmTcp(_) => tpm(self, state),
            Self::Pkcs11(uri) => token(uri),
            Self::Software { .. } => software(self),
        }
    }
}

#[cfg(feature = "tpm")]
fn tpm(location: &Location, state: &Path) -> Result<Box<dyn Element>, Error> {
    Ok(Box::new(location.open_tpm(state)?))
}

#[cfg(feature = "tpm")]
impl Location {
    /// Opens a TPM as what it is, for what only a TPM has. [`Error::Unsupported`] for others.
    pub fn open_tpm(&self, state: &Path) -> Result<touchstone_element_tpm2::Tpm, Error> {
        use touchstone_element_tpm2::Tpm;
        match self {
            Self::TpmUnix(path) => Tpm::connect_unix(path, state),
            Self::TpmTcp(address) => Tpm::connect_tcp(*address, state),
            Self::TpmDevice(path) => Tpm::open_device(path, state),
            _ => Err(Error::Unsupported("what only a TPM has")),
        }
    }
}

#[cfg(not(feature = "tpm"))]
fn tpm(_: &Location, _: &Path) -> Result<Box<dyn Element>, Error> {
    Err(Error::Unsupported("TPMs: this program was built without the feature `tpm`"))
}

#[cfg(feature = "pkcs11")]
fn token(uri: &str) -> Result<Box<dyn Element>, Error> {
    use touchstone_element_pkcs11::{Token, Uri};
    let uri: Uri = uri.parse()?;
    Ok(Box::new(Token::open(&uri, &touchstone_crypto_awslc::AwsLc)?))
}

#[cfg(not(feature = "pkcs11"))]
fn token(_: &str) -> Result<Box<dyn Element>, Error> {
    Err(Error::Unsupported("tokens: this program was built without the feature `pkcs11`"))
}

/// The name of the key that a URI leads to.
#[cfg(feature = "pkcs11")]
fn object(uri: &str) -> Result<String, Error> {
    let uri: touchstone_element_pkcs11::Uri = uri.parse()?;
    uri.object.ok_or(Error::BadInput("the URI names no key; add `object=NAME`"))
}

#[cfg(not(feature = "pkcs11"))]
fn object(_: &str) -> Result<String, Error> {
    Err(Error::Unsupported("tokens: this program was built without the feature `pkcs11`"))
}

#[cfg(feature = "software")]
fn software(location: &Location) -> Result<Box<dyn Element>, Error> {
    use super::SoftwareKey;
    use touchstone_element_software::{Cost, KeySource, Second, Settings, Software};
    let Location::Software { folder, key, mark } = location else {
        return Err(Error::BadInput("not the place of a software element"));
    };
    let passphrase = |path: &Path| {
        let passphrase = first_line(path)?;
        Ok::<_, Error>(KeySource::Passphrase { passphrase, cost: Cost::default() })
    };
    let key = match key {
        SoftwareKey::SecretFile(path) => KeySource::MachineSecret(path.clone()),
        SoftwareKey::SecretCredential(name) => KeySource::Credential(name.clone()),
        SoftwareKey::PassphraseFile(path) => passphrase(path)?,
        SoftwareKey::PassphraseCredential(name) => {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(Error::BadInput(
                "there is no $CREDENTIALS_DIRECTORY; give the service LoadCredentialEncrypted=",
            ))?;
            passphrase(&Path::new(&folder).join(name))?
        }
    };
    let second = mark.as_ref().map_or(Second::None, |mark| Second::File(mark.clone()));
    Ok(Box::new(Software::open(Settings::new(folder, key).with_second(second))?))
}

/// A passphrase: a file's first line, without its end.
#[cfg(feature = "software")]
fn first_line(path: &Path) -> Result<touchstone_element::Secret, Error> {
    let octets = touchstone_element::Secret::new(read(path)?);
    let line = octets.expose().split(|octet| matches!(octet, b'\n' | b'\r')).next();
    Ok(touchstone_element::Secret::new(line.unwrap_or_default().to_vec()))
}

#[cfg(not(feature = "software"))]
fn software(_: &Location) -> Result<Box<dyn Element>, Error> {
    Err(Error::Unsupported("software elements: this program was built without `software`"))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let fault = |source| Error::File { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(fault)?;
    // Grown once, so that no copy of a passphrase is left behind by growing.
    let mut octets = Vec::with_capacity(FILE + 2);
    let bound = u64::try_from(FILE).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound).read_to_end(&mut octets).map_err(fault)?;
    if octets.len() > FILE {
        return Err(Error::BadInput("a reference or a passphrase file has at most 16 KiB"));
    }
    Ok(octets)
}

/// The elements of a device, of each kind at most one, as its settings name them.
#[derive(Clone, Debug, Default)]
pub struct Elements {
    /// Where they are.
    pub at: Vec<Location>,
    /// The folder that a TPM's keys are kept in.
    pub state: PathBuf,
}

/// A key that was found, with the element it is on.
pub struct OpenKey {
    /// The element.
    pub element: Box<dyn Element>,
    /// The key's name there.
    pub name: String,
    /// The key.
    pub public: PublicKey,
}

impl Elements {
    /// The element that a reference leads to, opened, and the key's name on it.
    pub fn open(&self, reference: &Reference) -> Result<(Box<dyn Element>, String), Error> {
        if let Some(uri) = reference.pkcs11_uri() {
            return Ok((token(uri)?, object(uri)?));
        }
        let name = reference.name().unwrap_or_default().to_owned();
        let kind = reference.kind();
        let location = self.at.iter().find(|location| location.kind() == kind);
        let location = location.ok_or(Error::Unsupported(match kind {
            Kind::Tpm => "the settings name no TPM",
            Kind::Pkcs11 => "the settings name no PKCS#11 token",
            _ => "the settings name no software element",
        }))?;
        Ok((location.open(&self.state)?, name))
    }

    /// The key that a configuration points at: a reference, or the path of a [`KeyReference`] file.
    /// [`Error::UnknownKey`] when it is not there, [`Error::AnotherKey`] when another is.
    pub fn key(&self, text: &str, crypto: &dyn Crypto) -> Result<OpenKey, Error> {
        let (reference, file) = if Reference::is_meant(text) {
            (text.parse()?, None)
        } else {
            let path = Path::new(text);
            let pem = String::from_utf8(read(path)?);
            let pem = pem.map_err(|_| Error::BadKeyFile(path.to_owned()))?;
            let file = KeyReference::from_pem(&pem)?;
            (file.reference.clone(), Some(file))
        };
        let (mut element, name) = self.open(&reference)?;
        let public = element.public_key(&name)?.ok_or_else(|| Error::UnknownKey(name.clone()))?;
        if let Some(file) = file {
            file.check(&public, crypto)?;
        }
        Ok(OpenKey { element, name, public })
    }
}

impl fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenKey").field("name", &self.name).finish_non_exhaustive()
    }
}
