//! The keys that files are signed with, each with its owner's name.

use super::key::{KeyId, Scheme};
use super::{PublisherFault, SignatureFault};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_certs::Certificate;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// Somebody who signs files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    name: String,
    spki_der: Vec<u8>,
    fingerprint: Digest,
    certificate: Option<Certificate>,
    scheme: Scheme,
    ids: Vec<KeyId>,
}

impl Publisher {
    /// The certificate's subject as an RFC 4514 string, or the name that the key was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SHA-256 of the certificate, or of the key if there is none.
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// The public key, `SubjectPublicKeyInfo` in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// The certificate, if it was given with one.
    pub const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// How the kernel may name the key: by the certificate's subjectKeyIdentifier, and by the key.
    pub fn key_ids(&self) -> &[KeyId] {
        &self.ids
    }

    pub(super) const fn scheme(&self) -> Scheme {
        self.scheme
    }
}

/// Publishers' keys, found by the four octets that signatures name them by.
///
/// A certificate is only how a key comes in: as on the kernel's keyrings, neither its time nor its
/// issuer are looked at. Keys are taken out by making the set anew without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publishers {
    all: Vec<Publisher>,
    by_id: BTreeMap<KeyId, Vec<usize>>,
    weak: bool,
}

impl Publishers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The publishers of certificates in DER.
    pub fn from_certificates<'a>(
        crypto: &dyn Crypto,
        certificates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, PublisherFault> {
        let mut publishers = Self::new();
        for der in certificates {
            publishers.add_certificate(crypto, der)?;
        }
        Ok(publishers)
    }

    /// Adds the key of a certificate in DER. One that is there already changes nothing.
    pub fn add_certificate(
        &mut self,
        crypto: &dyn Crypto,
        der: &[u8],
    ) -> Result<(), PublisherFault> {
        let certificate = Certificate::decode(der).map_err(PublisherFault::Certificate)?;
        let name = certificate.subject().into();
        let spki_der = certificate.spki_der().to_vec();
        let fingerprint = crypto.hash(HashAlgorithm::Sha256, &[der]);
        self.add(crypto, name, spki_der, fingerprint, Some(certificate))
    }

    /// Adds a key without a certificate: `SubjectPublicKeyInfo` in DER.
    pub fn add_key(
        &mut self,
        crypto: &dyn Crypto,
        name: &str,
        spki_der: &[u8],
    ) -> Result<(), PublisherFault> {
        let fingerprint = crypto.hash(HashAlgorithm::Sha256, &[spki_der]);
        self.add(crypto, name.into(), spki_der.to_vec(), fingerprint, None)
    }

    fn add(
        &mut self,
        crypto: &dyn Crypto,
        name: String,
        spki_der: Vec<u8>,
        fingerprint: Digest,
        certificate: Option<Certificate>,
    ) -> Result<(), PublisherFault> {
        if self.all.iter().any(|known| known.fingerprint == fingerprint) {
            return Ok(());
        }
        let (scheme, key) = Scheme::of(&spki_der)?;
        let by_key = KeyId::of(crypto.hash(HashAlgorithm::Sha1, &[&key]).as_bytes());
        let by_certificate = certificate.as_ref().and_then(Certificate::subject_key_id);
        let mut ids: Vec<KeyId> =
            by_certificate.and_then(KeyId::of).into_iter().chain(by_key).collect();
        ids.dedup();
        let place = self.all.len();
        for id in &ids {
            self.by_id.entry(*id).or_default().push(place);
        }
        self.all.push(Publisher { name, spki_der, fingerprint, certificate, scheme, ids });
        Ok(())
    }

    /// Every publisher, in the order they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Publisher> {
        self.all.iter()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those whose key may be meant by this id.
    pub fn of_id(&self, id: KeyId) -> impl Iterator<Item = &Publisher> {
        let places = self.by_id.get(&id).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.all.get(*place))
    }

    /// What can hurt.
    pub const fn dangerous(&mut self) -> Dangerous<'_> {
        Dangerous(self)
    }

    pub(super) fn verify_digest(
        &self,
        publisher: &Publisher,
        crypto: &dyn Crypto,
        digest: &Digest,
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        self.check_strength(publisher)?;
        publisher.scheme.verify(crypto, &publisher.spki_der, digest, signature)
    }

    pub(super) fn check_strength(&self, publisher: &Publisher) -> Result<(), SignatureFault> {
        match publisher.scheme.weak() {
            Some(bits) if !self.weak => Err(SignatureFault::WeakKey(bits)),
            _ => Ok(()),
        }
    }
}

/// Publishers' settings that can hurt.
#[derive(Debug)]
pub struct Dangerous<'a>(&'a mut Publishers);

impl Dangerous<'_> {
    /// Takes signatures by RSA keys shorter than 2048 bits, as far as the provider checks them: for
    /// looking at old lists.
    pub const fn accept_weak_keys(self) {
        self.0.weak = true;
    }
}
