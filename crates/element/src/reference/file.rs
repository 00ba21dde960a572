//! A reference as a file: which key, and the digest of its public part.

use super::{MAX_REFERENCE_LEN, Reference, ReferenceError, ReferenceFault, fault};
use crate::{Error, PublicKey};
use spki::der::asn1::{OctetStringRef, Utf8StringRef};
use spki::der::pem::LineEnding;
use spki::der::{self, Decode, Encode, Reader, SliceReader};
use touchstone_crypto::{Crypto, HashAlgorithm};

/// The label between the PEM file's dashes (RFC 7468 §2).
pub const PEM_LABEL: &str = "TOUCHSTONE KEY REFERENCE";

const VERSION: u8 = 1;

/// A reference that notices when another key has taken the name. As a file it is PEM around
///
/// ```text
/// KeyReference ::= SEQUENCE {
///     version     INTEGER (1),
///     reference   UTF8String,
///     spkiSha256  OCTET STRING (SIZE (32)) OPTIONAL }
/// ```
///
/// Nothing in it is secret, and nothing in it is trusted more than the configuration that points at
/// it: whoever can change one can change both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReference {
    /// Which key.
    pub reference: Reference,
    /// SHA-256 over its `SubjectPublicKeyInfo` in DER; `None` for a key without a public part.
    pub spki_sha256: Option<[u8; 32]>,
}

impl KeyReference {
    /// The reference to that key, as it is now.
    pub fn to_key(reference: Reference, key: &PublicKey, crypto: &dyn Crypto) -> Self {
        Self { reference, spki_sha256: digest(key, crypto) }
    }

    /// [`Error::AnotherKey`] when this is not the key that the reference was made for.
    pub fn check(&self, key: &PublicKey, crypto: &dyn Crypto) -> Result<(), Error> {
        if self.spki_sha256 == digest(key, crypto) {
            return Ok(());
        }
        Err(Error::AnotherKey(self.reference.to_string()))
    }

    /// As a PEM file.
    pub fn to_pem(&self) -> Result<String, ReferenceError> {
        let bad = |_| fault(0, ReferenceFault::Der);
        pem(&self.to_der().map_err(bad)?).map_err(|_| fault(0, ReferenceFault::Pem))
    }

    /// From a PEM file.
    pub fn from_pem(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > 2 * MAX_REFERENCE_LEN {
            return Err(fault(2 * MAX_REFERENCE_LEN, ReferenceFault::TooLong));
        }
        let (label, der) =
            der::pem::decode_vec(text.as_bytes()).map_err(|_| fault(0, ReferenceFault::Pem))?;
        if label != PEM_LABEL {
            return Err(fault(0, ReferenceFault::Pem));
        }
        Self::from_der(&der)
    }

    fn to_der(&self) -> Result<Vec<u8>, der::Error> {
        let text = self.reference.to_string();
        let mut body = VERSION.to_der()?;
        body.extend(Utf8StringRef::new(&text)?.to_der()?);
        if let Some(digest) = &self.spki_sha256 {
            body.extend(OctetStringRef::new(digest)?.to_der()?);
        }
        let mut out = der::Header::new(der::Tag::Sequence, body.len().try_into()?).to_der()?;
        out.extend(body);
        Ok(out)
    }

    fn from_der(octets: &[u8]) -> Result<Self, ReferenceError> {
        let at = |error: der::Error| {
            let position = error.position().and_then(|place| usize::try_from(place).ok());
            fault(position.unwrap_or_default(), ReferenceFault::Der)
        };
        let mut reader = SliceReader::new(octets).map_err(at)?;
        let (version, text, digest) = reader
            .sequence(|inner| {
                let version = u8::decode(inner)?;
                if version != VERSION {
                    // What follows is for that version to say.
                    inner.read_slice(inner.remaining_len())?;
                    return Ok((version, "", None));
                }
                let text = Utf8StringRef::decode(inner)?.as_str();
                let digest = Option::<&OctetStringRef>::decode(inner)?;
                Ok::<_, der::Error>((version, text, digest))
            })
            .map_err(at)?;
        reader.finish().map_err(at)?;
        if version != VERSION {
            return Err(fault(0, ReferenceFault::Version));
        }
        let reference: Reference = text.parse()?;
        if reference.to_string() != text {
            return Err(fault(0, ReferenceFault::Der)); // one way to write it
        }
        let sized = |digest: &OctetStringRef| {
            digest.as_bytes().try_into().map_err(|_| fault(0, ReferenceFault::Der))
        };
        Ok(Self { reference, spki_sha256: digest.map(sized).transpose()? })
    }
}

fn pem(der: &[u8]) -> Result<String, der::pem::Error> {
    der::pem::encode_string(PEM_LABEL, LineEnding::LF, der)
}

fn digest(key: &PublicKey, crypto: &dyn Crypto) -> Option<[u8; 32]> {
    if key.spki_der.is_empty() {
        return None;
    }
    let digest = crypto.hash(HashAlgorithm::Sha256, &[&key.spki_der]);
    digest.as_bytes().try_into().ok()
}
