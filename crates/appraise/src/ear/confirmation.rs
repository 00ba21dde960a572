//! Which key a result is bound to: thumbprints in `cnf` (RFC 7800, RFC 8747).

use super::Error;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};
use ciborium::Value;
use spki::SubjectPublicKeyInfoRef;
use spki::der::asn1::{ObjectIdentifier, UintRef};
use spki::der::{Decode, Reader, SliceReader};
use touchstone_crypto::{Crypto, HashAlgorithm};

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// The thumbprint of a public key: as JWK (RFC 7638) in a JWT's `cnf.jkt` (RFC 9449 §6.1), as
/// COSE key (RFC 9679) in a CWT's `cnf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    pub(super) jkt: Option<String>,
    pub(super) ckt: Option<Vec<u8>>,
}

impl Confirmation {
    /// The thumbprints of a `SubjectPublicKeyInfo` in DER.
    pub fn of(crypto: &dyn Crypto, spki_der: &[u8]) -> Result<Self, Error> {
        let key = Key::decode(spki_der)?;
        let sha256 = |octets: &[u8]| crypto.hash(HashAlgorithm::Sha256, &[octets]);
        let jkt = Base64UrlUnpadded::encode_string(sha256(key.jwk().as_bytes()).as_bytes());
        let ckt = sha256(&key.cose()?).as_bytes().to_vec();
        Ok(Self { jkt: Some(jkt), ckt: Some(ckt) })
    }

    /// The JWK thumbprint, if this comes from a JWT or from a key.
    pub fn jkt(&self) -> Option<&str> {
        self.jkt.as_deref()
    }

    /// Whether it is the thumbprint of that key.
    pub fn matches(&self, crypto: &dyn Crypto, spki_der: &[u8]) -> bool {
        let Ok(key) = Self::of(crypto, spki_der) else { return false };
        let jwk_agrees = self.jkt.is_none() || self.jkt == key.jkt;
        let cose_agrees = self.ckt.is_none() || self.ckt == key.ckt;
        (self.jkt.is_some() || self.ckt.is_some()) && jwk_agrees && cose_agrees
    }
}

enum Key<'a> {
    Ec { curve: &'static str, x: &'a [u8], y: &'a [u8] },
    Rsa { n: &'a [u8], e: &'a [u8] },
}

impl<'a> Key<'a> {
    fn decode(spki_der: &'a [u8]) -> Result<Self, Error> {
        let info = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| Error::Key)?;
        let key = info.subject_public_key.as_bytes().ok_or(Error::Key)?;
        match info.algorithm.oid {
            EC => {
                let curve = info.algorithm.parameters_oid().map_err(|_| Error::Key)?;
                Self::ec(curve, key)
            }
            RSA => Self::rsa(key).map_err(|_| Error::Key),
            _ => Err(Error::Key),
        }
    }

    fn ec(curve: ObjectIdentifier, point: &'a [u8]) -> Result<Self, Error> {
        let (curve, len) = match curve {
            P256 => ("P-256", 32),
            P384 => ("P-384", 48),
            _ => return Err(Error::Key),
        };
        match point.split_first() {
            Some((4, numbers)) if numbers.len() == 2 * len => {
                let (x, y) = numbers.split_at(len);
                Ok(Self::Ec { curve, x, y })
            }
            _ => Err(Error::Key),
        }
    }

    fn rsa(key: &'a [u8]) -> Result<Self, spki::der::Error> {
        let mut reader = SliceReader::new(key)?;
        let (n, e) = reader.sequence(|reader| {
            Ok::<_, spki::der::Error>((UintRef::decode(reader)?, UintRef::decode(reader)?))
        })?;
        Ok(Self::Rsa { n: n.as_bytes(), e: e.as_bytes() })
    }

    /// The members that RFC 7638 §3.2 requires, in their order, without white space.
    fn jwk(&self) -> String {
        let b64 = Base64UrlUnpadded::encode_string;
        match self {
            Self::Ec { curve, x, y } => {
                format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, b64(x), b64(y))
            }
            Self::Rsa { n, e } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n))
            }
        }
    }

    /// The parameters that RFC 9679 §4 requires, in deterministic encoding.
    fn cose(&self) -> Result<Vec<u8>, Error> {
        let int = |number: i64| Value::Integer(number.into());
        let bytes = |octets: &[u8]| Value::Bytes(octets.to_vec());
        let map = match self {
            Self::Ec { curve, x, y } => vec![
                (int(1), int(2)),
                (int(-1), int(if *curve == "P-256" { 1 } else { 2 })),
                (int(-2), bytes(x)),
                (int(-3), bytes(y)),
            ],
            Self::Rsa { n, e } => {
                vec![(int(1), int(3)), (int(-1), bytes(n)), (int(-2), bytes(e))]
            }
        };
        let mut out = Vec::new();
        ciborium::into_writer(&Value::Map(map), &mut out).map_err(|_| Error::Key)?;
        Ok(out)
    }
}
