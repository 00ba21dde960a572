//! Public areas, `TPMT_PUBLIC` (TPM 2.0 Part 2 §12.2.4): read, write, name, and the same key as
//! `SubjectPublicKeyInfo`.
//!
//! What this is not: a judge. Whether a key is restricted or fixed to its TPM is in
//! [`Public::attributes`]; what that is worth is for `touchstone-evidence` to say.

use crate::Error;
use crate::kdf;
use crate::marshal::{Reader, Writer};
use alloc::vec::Vec;
use der::asn1::{Any, BitString, ObjectIdentifier, UintRef};
use der::{Encode, Sequence};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};
use touchstone_crypto::{Crypto, Curve, HashAlgorithm, SignatureAlgorithm};

/// `TPMA_OBJECT` bits (TPM 2.0 Part 2 §8.3).
pub mod attributes {
    /// The key cannot leave its TPM.
    pub const FIXED_TPM: u32 = 1 << 1;
    /// The key cannot change its parent.
    pub const FIXED_PARENT: u32 = 1 << 4;
    /// The TPM made the private part.
    pub const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    /// The authorization value authorizes use.
    pub const USER_WITH_AUTH: u32 = 1 << 6;
    /// Only the policy authorizes administration.
    pub const ADMIN_WITH_POLICY: u32 = 1 << 7;
    /// Wrong authorizations do not count towards a lockout.
    pub const NO_DA: u32 = 1 << 10;
    /// The key works only on what the TPM makes itself.
    pub const RESTRICTED: u32 = 1 << 16;
    /// The key decrypts.
    pub const DECRYPT: u32 = 1 << 17;
    /// The key signs.
    pub const SIGN: u32 = 1 << 18;
}

pub(crate) const ALG_RSA: u16 = 0x0001;
pub(crate) const ALG_HMAC: u16 = 0x0005;
pub(crate) const ALG_AES: u16 = 0x0006;
pub(crate) const ALG_KEYEDHASH: u16 = 0x0008;
/// No algorithm.
pub const ALG_NULL: u16 = 0x0010;
pub(crate) const ALG_RSASSA: u16 = 0x0014;
pub(crate) const ALG_RSAES: u16 = 0x0015;
pub(crate) const ALG_RSAPSS: u16 = 0x0016;
pub(crate) const ALG_OAEP: u16 = 0x0017;
pub(crate) const ALG_ECDSA: u16 = 0x0018;
const ALG_ECDH: u16 = 0x0019;
const ALG_ECDAA: u16 = 0x001A;
pub(crate) const ALG_ECSCHNORR: u16 = 0x001C;
pub(crate) const ALG_ECC: u16 = 0x0023;
pub(crate) const ALG_SYMCIPHER: u16 = 0x0025;
pub(crate) const ALG_CFB: u16 = 0x0043;

/// The cipher of a storage key or of a key that is one: AES in CFB mode, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symmetric {
    /// None: no key for storage.
    None,
    /// AES in CFB mode.
    AesCfb {
        /// The key's size.
        bits: u16,
    },
}

pub(crate) const fn oid(curve: Curve) -> Result<ObjectIdentifier, Error> {
    Ok(match curve {
        Curve::P256 => ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        Curve::P384 => ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        Curve::P521 => ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        _ => return Err(Error::Unsupported("a curve without an object identifier")),
    })
}

/// A signing scheme, or none: the algorithm and its hash.
pub type Scheme = Option<(u16, HashAlgorithm)>;

/// What depends on the kind of key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// RSA.
    Rsa {
        /// The modulus' size.
        bits: u16,
        /// The exponent; zero stands for 65537.
        exponent: u32,
        /// The modulus, empty in a template.
        modulus: Vec<u8>,
    },
    /// Elliptic curve.
    Ecc {
        /// The curve.
        curve: Curve,
        /// The point, or what a template has in its place.
        x: Vec<u8>,
        /// The point, or what a template has in its place.
        y: Vec<u8>,
    },
    /// An HMAC key, or sealed data.
    KeyedHash {
        /// The digest that tells it from others, empty in a template.
        unique: Vec<u8>,
    },
    /// A cipher's key: [`Public::symmetric`] says of which.
    Cipher {
        /// The digest that tells it from others, empty in a template.
        unique: Vec<u8>,
    },
}

/// A decoded `TPMT_PUBLIC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// The hash algorithm of the name.
    pub name_algorithm: HashAlgorithm,
    /// `TPMA_OBJECT`; see [`attributes`].
    pub attributes: u32,
    /// The digest of its policy, or nothing.
    pub policy: Vec<u8>,
    /// The cipher that protects what is stored under it.
    pub symmetric: Symmetric,
    /// How it signs or decrypts; none leaves that to each use.
    pub scheme: Scheme,
    /// What depends on the kind of key.
    pub key: Key,
}

impl Public {
    /// Reads a `TPMT_PUBLIC` (not the `TPM2B_PUBLIC` around it), all of it.
    pub fn decode(native: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(native);
        let kind = reader.u16()?;
        let name_algorithm = hash_algorithm(reader.u16()?)?;
        let attributes = reader.u32()?;
        let policy = reader.sized()?.to_vec();
        // Part 2 §12.2.3.7: what parameters there are depends on the kind.
        let symmetric = match kind {
            ALG_KEYEDHASH => Symmetric::None,
            _ => decode_symmetric(&mut reader)?,
        };
        let scheme = match kind {
            ALG_SYMCIPHER => None,
            _ => decode_scheme(&mut reader)?,
        };
        let key = match kind {
            ALG_RSA => {
                let (bits, exponent) = (reader.u16()?, reader.u32()?);
                Key::Rsa { bits, exponent, modulus: reader.sized()?.to_vec() }
            }
            ALG_ECC => {
                let curve = Curve::from_tpm_id(reader.u16()?)
                    .ok_or(Error::Unsupported("a curve other than P-256, P-384 and P-521"))?;
                if reader.u16()? != ALG_NULL {
                    return Err(Error::Unsupported("an elliptic-curve key with its own KDF"));
                }
                Key::Ecc { curve, x: reader.sized()?.to_vec(), y: reader.sized()?.to_vec() }
            }
            ALG_KEYEDHASH => Key::KeyedHash { unique: reader.sized()?.to_vec() },
            ALG_SYMCIPHER => Key::Cipher { unique: reader.sized()?.to_vec() },
            _ => return Err(Error::Unsupported("an object of a kind not known here")),
        };
        reader.end()?;
        Ok(Self { name_algorithm, attributes, policy, symmetric, scheme, key })
    }

    /// Writes the `TPMT_PUBLIC`.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let kind = match self.key {
            Key::Rsa { .. } => ALG_RSA,
            Key::Ecc { .. } => ALG_ECC,
            Key::KeyedHash { .. } => ALG_KEYEDHASH,
            Key::Cipher { .. } => ALG_SYMCIPHER,
        };
        let mut writer = Writer::default()
            .u16(kind)
            .u16(self.name_algorithm.tpm_id())
            .u32(self.attributes)
            .sized(&self.policy)?;
        writer = match self.symmetric {
            _ if kind == ALG_KEYEDHASH => writer,
            Symmetric::None => writer.u16(ALG_NULL),
            Symmetric::AesCfb { bits } => writer.u16(ALG_AES).u16(bits).u16(ALG_CFB),
        };
        writer = match self.scheme {
            _ if kind == ALG_SYMCIPHER => writer,
            None => writer.u16(ALG_NULL),
            Some((scheme, hash)) => writer.u16(scheme).u16(hash.tpm_id()),
        };
        Ok(match &self.key {
            Key::Rsa { bits, exponent, modulus } => {
                writer.u16(*bits).u32(*exponent).sized(modulus)?
            }
            Key::Ecc { curve, x, y } => {
                writer.u16(curve.tpm_id()).u16(ALG_NULL).sized(x)?.sized(y)?
            }
            Key::KeyedHash { unique } | Key::Cipher { unique } => writer.sized(unique)?,
        }
        .done())
    }

    /// How the key signs; `None` for one that does not, or leaves that to the caller.
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        use SignatureAlgorithm as S;
        if self.attributes & attributes::SIGN == 0 {
            return None;
        }
        Some(match (&self.key, self.scheme?) {
            (Key::Ecc { curve: Curve::P256, .. }, (ALG_ECDSA, Sha256)) => S::EcdsaP256Sha256,
            (Key::Ecc { curve: Curve::P384, .. }, (ALG_ECDSA, Sha384)) => S::EcdsaP384Sha384,
            (Key::Ecc { curve: Curve::P384, .. }, (ALG_ECDSA, Sha256)) => S::EcdsaP384Sha256,
            (Key::Ecc { curve: Curve::P521, .. }, (ALG_ECDSA, Sha384)) => S::EcdsaP521Sha384,
            (Key::Ecc { curve: Curve::P521, .. }, (ALG_ECDSA, Sha512)) => S::EcdsaP521Sha512,
            (Key::Rsa { .. }, (ALG_RSASSA, Sha256)) => S::RsaPkcs1Sha256,
            (Key::Rsa { .. }, (ALG_RSASSA, Sha384)) => S::RsaPkcs1Sha384,
            (Key::Rsa { .. }, (ALG_RSASSA, Sha512)) => S::RsaPkcs1Sha512,
            (Key::Rsa { .. }, (ALG_RSAPSS, Sha256)) => S::RsaPssSha256,
            (Key::Rsa { .. }, (ALG_RSAPSS, Sha384)) => S::RsaPssSha384,
            (Key::Rsa { .. }, (ALG_RSAPSS, Sha512)) => S::RsaPssSha512,
            _ => return None,
        })
    }

    /// The key as `SubjectPublicKeyInfo` in DER (RFC 3279 §2.3.1, RFC 5480 §2).
    pub fn spki_der(&self) -> Result<Vec<u8>, Error> {
        let bad = |_| Error::BadInput("the public key does not fit its own algorithm");
        let (oid, parameters, key) = match &self.key {
            Key::Rsa { exponent, modulus, .. } => {
                // Part 2 §12.2.3.5: an exponent of zero stands for 2^16 + 1.
                let exponent = if *exponent == 0 { 65537 } else { *exponent }.to_be_bytes();
                let key = RsaPublicKey {
                    modulus: UintRef::new(modulus).map_err(bad)?,
                    exponent: UintRef::new(&exponent).map_err(bad)?,
                };
                (RSA_ENCRYPTION, Any::null(), key.to_der().map_err(bad)?)
            }
            Key::Ecc { curve, x, y } => {
                let len = curve.len();
                let (x, y) = (kdf::padded(x, len)?, kdf::padded(y, len)?);
                let point = [[4].as_slice(), &x, &y].concat();
                (EC_PUBLIC_KEY, Any::from(oid(*curve)?), point)
            }
            Key::KeyedHash { .. } | Key::Cipher { .. } => {
                return Err(Error::BadInput("a symmetric key has no public half"));
            }
        };
        SubjectPublicKeyInfo {
            algorithm: AlgorithmIdentifier { oid, parameters: Some(parameters) },
            subject_public_key: BitString::from_bytes(&key).map_err(bad)?,
        }
        .to_der()
        .map_err(bad)
    }

    /// Whether both are of the same template: equal but for the key itself.
    pub fn is_like(&self, template: &Self) -> bool {
        let blank = |public: &Self| {
            let mut public = public.clone();
            match &mut public.key {
                Key::Rsa { modulus, .. } => modulus.clear(),
                Key::Ecc { x, y, .. } => {
                    x.clear();
                    y.clear();
                }
                Key::KeyedHash { unique } | Key::Cipher { unique } => unique.clear(),
            }
            public
        };
        blank(self) == blank(template)
    }
}

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(crate) const EC_PUBLIC_KEY: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// RFC 3279 §2.3.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// A signing key's `TPMT_PUBLIC` as `SubjectPublicKeyInfo` in DER, and how the key signs.
pub fn to_spki(native: &[u8]) -> Result<(Vec<u8>, SignatureAlgorithm), Error> {
    let public = Public::decode(native)?;
    let algorithm = public
        .signature_algorithm()
        .ok_or(Error::Unsupported("a key without a signature algorithm of its own"))?;
    Ok((public.spki_der()?, algorithm))
}

/// The name of an object: its name algorithm and the digest of its `TPMT_PUBLIC` (TPM 2.0 Part 1
/// §16).
pub fn name_of(crypto: &dyn Crypto, native: &[u8]) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::new(native);
    reader.u16()?;
    let algorithm = hash_algorithm(reader.u16()?)?;
    let digest = crypto.hash(algorithm, &[native]);
    Ok(Writer::default().u16(algorithm.tpm_id()).octets(digest.as_bytes()).done())
}

pub(crate) fn hash_algorithm(id: u16) -> Result<HashAlgorithm, Error> {
    HashAlgorithm::from_tpm_id(id).ok_or(Error::Unsupported("a hash algorithm not known here"))
}

/// Octets of a digest of a `TPMT_HA`, none of `TPM_ALG_NULL`.
pub(crate) fn hash_len(id: u16) -> Result<usize, Error> {
    if id == ALG_NULL { Ok(0) } else { hash_algorithm(id).map(HashAlgorithm::len) }
}

fn decode_symmetric(reader: &mut Reader<'_>) -> Result<Symmetric, Error> {
    Ok(match reader.u16()? {
        ALG_NULL => Symmetric::None,
        ALG_AES => {
            let bits = reader.u16()?;
            if reader.u16()? != ALG_CFB {
                return Err(Error::Unsupported("a cipher mode other than CFB"));
            }
            Symmetric::AesCfb { bits }
        }
        _ => return Err(Error::Unsupported("a cipher other than AES")),
    })
}

fn decode_scheme(reader: &mut Reader<'_>) -> Result<Scheme, Error> {
    Ok(match reader.u16()? {
        ALG_NULL => None,
        scheme @ (ALG_RSASSA | ALG_RSAPSS | ALG_ECDSA | ALG_ECSCHNORR | ALG_OAEP | ALG_ECDH
        | ALG_HMAC) => Some((scheme, hash_algorithm(reader.u16()?)?)),
        ALG_RSAES | ALG_ECDAA => {
            return Err(Error::Unsupported("an RSAES or ECDAA key"));
        }
        _ => return Err(Error::Unsupported("a scheme not known here")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;
    use alloc::vec;
    use touchstone_crypto_awslc::AwsLc;

    fn samples() -> Vec<Public> {
        let mut samples = vec![template::srk()];
        samples.extend(template::ENDORSEMENT.iter().map(|kind| (kind.template)(&AwsLc)));
        for algorithm in [SignatureAlgorithm::EcdsaP384Sha384, SignatureAlgorithm::RsaPssSha256] {
            samples.push(template::signing_for(algorithm, true).unwrap());
        }
        samples
    }

    #[test]
    fn a_public_area_reads_back_as_it_was_written() {
        for sample in samples() {
            let native = sample.encode().unwrap();
            assert_eq!(Public::decode(&native).unwrap(), sample);
            assert_eq!(name_of(&AwsLc, &native).unwrap().len(), 2 + sample.name_algorithm.len());
            for cut in 0..native.len() {
                assert!(Public::decode(&native[..cut]).is_err());
            }
            let mut long = native;
            long.push(0);
            assert!(Public::decode(&long).is_err());
        }
    }

    #[test]
    fn flipped_bits_never_panic() {
        for sample in samples() {
            let native = sample.encode().unwrap();
            for bit in 0..native.len() * 8 {
                let mut bad = native.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                if let Ok(public) = Public::decode(&bad) {
                    let _ = public.spki_der();
                    assert_eq!(public.encode().unwrap(), bad);
                }
            }
        }
    }

    #[test]
    fn a_key_made_for_one_algorithm_says_so() {
        for algorithm in [
            SignatureAlgorithm::EcdsaP256Sha256,
            SignatureAlgorithm::EcdsaP521Sha512,
            SignatureAlgorithm::RsaPssSha384,
        ] {
            let public = template::signing_for(algorithm, false).unwrap();
            assert_eq!(public.signature_algorithm(), Some(algorithm));
        }
        assert_eq!(template::srk().signature_algorithm(), None);
    }
}
