//! Publishers: whose signature makes a file good, where, and until when.

use super::set::as_measured;
use super::view::Standing;
use super::{Error, Publisher, ReferenceValue, limits};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use spki::SubjectPublicKeyInfoRef;
use touchstone_certs::Certificate;
use touchstone_crypto::Crypto;
use touchstone_measure::ima::signature::{PublisherFault, Publishers};

/// A publisher whose key was read.
#[derive(Debug)]
pub(crate) struct Signatory {
    name: String,
    spki_der: Vec<u8>,
    /// What came: a certificate tells how signatures name the key.
    certificate: Option<Vec<u8>>,
    paths: Vec<String>,
    good_until: u64,
    known_until: u64,
}

/// Whether it can be used.
pub(super) fn check(publisher: &Publisher) -> Result<(), Error> {
    let fault = |why| Error::PublisherKey { name: publisher.name.clone(), why };
    if publisher.name.is_empty() || publisher.name.chars().any(char::is_control) {
        return Err(fault("its name is empty or has a control character in it"));
    }
    publisher.paths.iter().try_for_each(|path| limits::check_path(path))?;
    let key = key(&publisher.key).ok_or(fault("it is neither a certificate nor a public key"))?;
    let good = publisher.good_until.or(key.not_after).unwrap_or(u64::MAX);
    match publisher.known_until {
        Some(known_until) if known_until < good => {
            Err(Error::Grace { good_until: good, known_until })
        }
        _ => Ok(()),
    }
}

/// Whether their keys are of a kind that makes signatures of files.
pub(super) fn check_keys<'v>(
    crypto: &dyn Crypto,
    values: impl Iterator<Item = &'v ReferenceValue>,
) -> Result<(), Error> {
    let mut keys = Publishers::new();
    for value in values {
        if let ReferenceValue::Publisher(publisher) = value
            && let Some(signatory) = Signatory::new(publisher)
            && signatory.add_to(crypto, &mut keys).is_err()
        {
            let why = "it is neither RSA nor ECDSA on P-256, P-384 or P-521";
            return Err(Error::PublisherKey { name: publisher.name.clone(), why });
        }
    }
    Ok(())
}

impl Signatory {
    /// `None` if [`check`] has something against it.
    pub(super) fn new(publisher: &Publisher) -> Option<Self> {
        let key = key(&publisher.key)?;
        let good_until = publisher.good_until.or(key.not_after).unwrap_or(u64::MAX);
        Some(Self {
            name: publisher.name.clone(),
            spki_der: key.spki_der,
            certificate: key.not_after.map(|_| publisher.key.clone()),
            paths: publisher.paths.iter().map(|path| as_measured(path).into_owned()).collect(),
            good_until,
            known_until: publisher.known_until.unwrap_or(good_until),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    pub(super) fn has_key(&self, spki_der: &[u8]) -> bool {
        self.spki_der == spki_der
    }

    /// Adds the key to those that signatures are checked with.
    pub(super) fn add_to(
        &self,
        crypto: &dyn Crypto,
        keys: &mut Publishers,
    ) -> Result<(), PublisherFault> {
        match &self.certificate {
            Some(der) => keys.add_certificate(crypto, der),
            None => keys.add_key(crypto, &self.name, &self.spki_der),
        }
    }

    /// Whether files of theirs may be at this path.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|prefix| path.starts_with(prefix.as_str()))
    }

    /// What their signatures are worth.
    pub(super) const fn standing(&self, now: u64) -> Standing {
        if now < self.good_until {
            Standing::Good
        } else if now < self.known_until {
            Standing::Outdated
        } else {
            Standing::Unknown
        }
    }

    pub(super) fn octets(&self) -> usize {
        self.name.len() + self.spki_der.len() + self.paths.iter().map(String::len).sum::<usize>()
    }
}

struct Key {
    spki_der: Vec<u8>,
    not_after: Option<u64>,
}

fn key(der: &[u8]) -> Option<Key> {
    if let Ok(certificate) = Certificate::decode(der) {
        return Some(Key {
            spki_der: certificate.spki_der().to_vec(),
            not_after: Some(certificate.not_after()),
        });
    }
    SubjectPublicKeyInfoRef::try_from(der).ok()?;
    Some(Key { spki_der: der.to_vec(), not_after: None })
}

/// Who signed a measured file.
#[derive(Debug)]
pub(crate) enum Signed<'a> {
    /// Nobody.
    Not,
    /// Somebody who is no publisher here, or in a way that is not understood; why.
    Strangely(String),
    /// With a publisher's key's name, but it is not good; why.
    Badly(String),
    /// A publisher whose files may not be at that path.
    Elsewhere(&'a Signatory),
    /// A publisher who may.
    By(&'a Signatory, Standing),
}

impl fmt::Display for Signed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Not => f.write_str("not signed"),
            Self::Strangely(why) | Self::Badly(why) => f.write_str(why),
            Self::Elsewhere(of) => {
                write!(f, "signed by {}, whose files may not be there", of.name)
            }
            Self::By(of, _) => write!(f, "signed by {}", of.name),
        }
    }
}
