//! Signatures in the list: those of files in `security.ima` (versions 2 and 3), portable ones over
//! a file's metadata in `security.evm`, and appended ones (PKCS#7), each against the keys of
//! publishers (Linux, `security/integrity/{digsig_asymmetric.c,evm,ima}`).
//!
//! That a signature verifies says who published the file. Whether that publisher is wanted is for
//! others to say.

mod appended;
mod fault;
mod header;
mod key;
mod portable;
mod publishers;

pub use fault::{PublisherFault, SignatureFault};
pub use header::{Kind, Signature};
pub use key::KeyId;
pub use publishers::{Dangerous, Publisher, Publishers};

use super::entry::{DigestKind, Entry};
use super::template::Field;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// The last octets of an appended signature in a file (Linux, `include/linux/module_signature.h`).
pub const APPENDED_MAGIC: &[u8] = b"~Module signature appended~\n";

impl Entry<'_> {
    /// Who signed what the entry is about: the first of the signatures that it carries which
    /// verifies, or why none does.
    ///
    /// The order is the kernel's: `security.ima`, the appended signature, `security.evm`.
    pub fn verify_signature<'p>(
        &self,
        crypto: &dyn Crypto,
        publishers: &'p Publishers,
    ) -> Result<&'p Publisher, SignatureFault> {
        if self.violation {
            return Err(SignatureFault::Unproven);
        }
        let mut fault = SignatureFault::Absent;
        for field in [Field::Signature, Field::Modsig, Field::EvmSignature] {
            let found = match field {
                Field::Signature => self.verify_file(crypto, publishers),
                Field::Modsig => appended::verify(self, crypto, publishers),
                _ => portable::verify(self, crypto, publishers),
            };
            match found {
                Ok(publisher) => return Ok(publisher),
                Err(why) if fault == SignatureFault::Absent => fault = why,
                Err(_) => {}
            }
        }
        Err(fault)
    }

    /// Whether the entry carries a signature of any kind.
    pub fn is_signed(&self) -> bool {
        let signed = |field| self.field(field).is_some_and(|octets| !octets.is_empty());
        [Field::Signature, Field::Modsig, Field::EvmSignature].into_iter().any(signed)
    }

    /// The signature in the field `sig`, over the file's digest.
    fn verify_file<'p>(
        &self,
        crypto: &dyn Crypto,
        publishers: &'p Publishers,
    ) -> Result<&'p Publisher, SignatureFault> {
        let octets = self.signature();
        if octets.is_empty() {
            return Err(SignatureFault::Absent);
        }
        let signature = Signature::decode(octets)?;
        // The kernel falls back on `security.evm`; its metadata is in templates with more fields.
        if signature.kind == Kind::EvmPortable {
            return portable::verify_signature(self, &signature, crypto, publishers);
        }
        let file = self.file_digest().ok_or(SignatureFault::NoDigest)?;
        let verity = file.kind == DigestKind::Verity;
        if verity != (signature.kind == Kind::Verity) {
            return Err(SignatureFault::OtherDigest);
        }
        signature.verify(crypto, publishers, file.hash, file.octets)
    }
}

impl Signature<'_> {
    /// Checks that a publisher signed that digest: what `security.ima` is to say of a file. For
    /// whoever has the file and its extended attribute instead of a list.
    pub fn verify_digest<'p>(
        &self,
        crypto: &dyn Crypto,
        publishers: &'p Publishers,
        digest: &Digest,
    ) -> Result<&'p Publisher, SignatureFault> {
        self.verify(crypto, publishers, digest.algorithm().into(), digest.as_bytes())
    }

    fn verify<'p>(
        &self,
        crypto: &dyn Crypto,
        publishers: &'p Publishers,
        hash: super::KernelHash,
        digest: &[u8],
    ) -> Result<&'p Publisher, SignatureFault> {
        if hash != self.hash {
            return Err(SignatureFault::OtherDigest);
        }
        let algorithm = strong(self.hash)?;
        let digest = match self.version {
            // The signature is over the digest of `struct ima_file_id`: kind, algorithm, digest.
            3 => crypto.hash(algorithm, &[&[self.kind.number(), self.hash.number()], digest]),
            _ => Digest::new(algorithm, digest).ok_or(SignatureFault::NoDigest)?,
        };
        let mut fault = SignatureFault::UnknownKey(self.key_id);
        // Four octets do not name a key: several may have this id.
        for publisher in publishers.of_id(self.key_id) {
            match publishers.verify_digest(publisher, crypto, &digest, self.signature) {
                Ok(()) => return Ok(publisher),
                Err(why) => fault = why,
            }
        }
        Err(fault)
    }
}

/// The algorithm, if signatures over its digests mean anything and it is known here.
fn strong(hash: super::KernelHash) -> Result<HashAlgorithm, SignatureFault> {
    match hash.algorithm() {
        Some(HashAlgorithm::Sha1) => Err(SignatureFault::WeakHash(hash)),
        Some(algorithm) => Ok(algorithm),
        None if matches!(hash.name(), "md4" | "md5" | "rmd128" | "tgr128") => {
            Err(SignatureFault::WeakHash(hash))
        }
        None => Err(SignatureFault::UnsupportedHash(hash)),
    }
}
