//! Key pairs that were made in software, on their way into a TPM: PKCS#8 (RFC 5958) of RSA keys
//! (RFC 8017 Appendix A.1.2) and of keys on NIST curves (RFC 5915).

use crate::Error;
use crate::object::Sensitive;
use crate::public::{Key, Public, Symmetric};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Reader, Sequence, SliceReader};
use touchstone_crypto::{Curve, TpmCrypto};
use zeroize::Zeroizing;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const CURVES: [(Curve, ObjectIdentifier); 3] = [
    (Curve::P256, ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7")),
    (Curve::P384, ObjectIdentifier::new_unwrap("1.3.132.0.34")),
    (Curve::P521, ObjectIdentifier::new_unwrap("1.3.132.0.35")),
];

/// Longer than the PKCS#8 of an RSA key of 4096 bits.
const MAX_PKCS8: usize = 4096;

/// A key that was made in software. Its private part is wiped when dropped and silent in `Debug`.
#[derive(Clone)]
pub struct SoftwareKey {
    /// The public part.
    pub key: Key,
    /// The private part.
    pub sensitive: Sensitive,
}

impl SoftwareKey {
    /// Reads the DER.
    pub fn from_pkcs8_der(octets: &[u8]) -> Result<Self, Error> {
        const BAD: Error = Error::BadInput("not a PKCS#8 private key (RFC 5958) in DER");
        if octets.len() > MAX_PKCS8 {
            return Err(Error::BadInput("the private key is larger than any that a TPM takes"));
        }
        // The optional attributes and public key at the end (§2) are passed over.
        let mut reader = SliceReader::new(octets).map_err(|_| BAD)?;
        let (algorithm, key) = reader
            .sequence(|reader| {
                let version: u8 = reader.decode()?;
                if version > 1 {
                    return Err(der::ErrorKind::Failed.into());
                }
                let algorithm = Algorithm::decode(reader)?;
                let key = <&OctetStringRef>::decode(reader)?;
                while !reader.is_finished() {
                    AnyRef::decode(reader)?;
                }
                Ok((algorithm, key))
            })
            .map_err(|_: der::Error| BAD)?;
        reader.finish().map_err(|_| BAD)?;
        match algorithm.oid {
            RSA_ENCRYPTION => rsa(key.as_bytes()).ok_or(BAD),
            EC_PUBLIC_KEY => {
                let oid = algorithm.parameters.and_then(|any| any.decode_as().ok()).ok_or(BAD)?;
                let (curve, _) = CURVES
                    .into_iter()
                    .find(|(_, known)| *known == oid)
                    .ok_or(Error::Unsupported("a curve other than P-256, P-384 and P-521"))?;
                ecc(curve, key.as_bytes())
            }
            _ => Err(Error::Unsupported("a private key that is neither RSA nor elliptic-curve")),
        }
    }

    /// A symmetric key or data, for a template of an HMAC key, a cipher or sealed data. The
    /// template's name algorithm is that of the object.
    pub fn symmetric(
        template: &Public,
        secret: &[u8],
        crypto: &dyn TpmCrypto,
    ) -> Result<Self, Error> {
        let hash = template.name_algorithm;
        let mut seed = Zeroizing::new(vec![0; hash.len()]);
        crypto.random(&mut seed)?;
        // Part 1 §27.6.2: what tells symmetric objects apart without giving them away.
        let unique = crypto.hash(hash, &[&seed, secret]).as_bytes().to_vec();
        match template.key {
            Key::KeyedHash { .. } => Ok(Self {
                key: Key::KeyedHash { unique },
                sensitive: Sensitive::keyed_hash(&seed, secret),
            }),
            Key::Cipher { .. } => {
                if template.symmetric != (Symmetric::AesCfb { bits: bits(secret.len()) }) {
                    return Err(Error::BadInput("the key is not as long as its cipher says"));
                }
                let sensitive = Sensitive::cipher(&seed, secret);
                Ok(Self { key: Key::Cipher { unique }, sensitive })
            }
            _ => Err(Error::BadInput("the template is not that of a symmetric key")),
        }
    }

    /// The public part of the key as an object of that template, which has to be of the same kind.
    /// What cannot be said of a key from outside (made in a TPM, fixed to it) is taken out.
    pub fn as_object(&self, template: Public) -> Result<Public, Error> {
        let fits = match (&template.key, &self.key) {
            (Key::Rsa { bits, .. }, Key::Rsa { bits: ours, .. }) => bits == ours,
            (Key::Ecc { curve, .. }, Key::Ecc { curve: ours, .. }) => curve == ours,
            (Key::KeyedHash { .. }, Key::KeyedHash { .. })
            | (Key::Cipher { .. }, Key::Cipher { .. }) => true,
            _ => false,
        };
        if !fits {
            return Err(Error::BadInput("the key is of another kind or size than the template"));
        }
        Ok(Public { key: self.key.clone(), ..template.exportable().from_outside() })
    }
}

fn bits(octets: usize) -> u16 {
    u16::try_from(octets * 8).unwrap_or(0)
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// RFC 5280 §4.1.1.2.
#[derive(Sequence)]
struct Algorithm<'a> {
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'a>>,
}

fn rsa(octets: &[u8]) -> Option<SoftwareKey> {
    let mut reader = SliceReader::new(octets).ok()?;
    let (modulus, exponent, prime) = reader
        .sequence(|reader| {
            let _version: u8 = reader.decode()?;
            let modulus: UintRef<'_> = reader.decode()?;
            let exponent: UintRef<'_> = reader.decode()?;
            let _private: UintRef<'_> = reader.decode()?;
            let prime: UintRef<'_> = reader.decode()?;
            // The second prime and what is derived from both: the TPM computes them anew.
            while !reader.is_finished() {
                AnyRef::decode(reader)?;
            }
            Ok::<_, der::Error>((modulus, exponent, prime))
        })
        .ok()?;
    reader.finish().ok()?;
    let modulus = modulus.as_bytes();
    let bits = u16::try_from(modulus.len().checked_mul(8)?).ok()?;
    if prime.as_bytes().len() * 2 != modulus.len() {
        return None;
    }
    let exponent = exponent.as_bytes().iter().try_fold(0u32, |number, octet| {
        number.checked_mul(256).map(|number| number | u32::from(*octet))
    })?;
    // Part 2 §12.2.3.5: zero stands for 2^16 + 1, and TPMs compare the two as they are written.
    let exponent = if exponent == 65537 { 0 } else { exponent };
    let sensitive = Sensitive::rsa(prime.as_bytes());
    Some(SoftwareKey { key: Key::Rsa { bits, exponent, modulus: modulus.to_vec() }, sensitive })
}

/// RFC 5915 §3.
#[derive(Sequence)]
struct EcPrivateKey<'a> {
    version: u8,
    private_key: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    parameters: Option<ObjectIdentifier>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    public_key: Option<BitStringRef<'a>>,
}

fn ecc(curve: Curve, octets: &[u8]) -> Result<SoftwareKey, Error> {
    let bad = Error::BadInput("the elliptic-curve private key does not parse (RFC 5915)");
    let key = EcPrivateKey::from_der(octets).map_err(|_| bad)?;
    let point = key
        .public_key
        .and_then(|point| point.as_bytes())
        .ok_or(Error::BadInput("the private key comes without its public point; write both"))?;
    let scalar: Zeroizing<Vec<u8>> =
        Zeroizing::new(crate::kdf::padded(key.private_key.as_bytes(), curve.len())?);
    let (x, y) = match point {
        [4, point @ ..] if point.len() == 2 * curve.len() => point.split_at(curve.len()),
        _ => return Err(bad),
    };
    Ok(SoftwareKey {
        key: Key::Ecc { curve, x: x.to_vec(), y: y.to_vec() },
        sensitive: Sensitive::ecc(&scalar),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;
    use alloc::format;
    use touchstone_crypto::HashAlgorithm;
    use touchstone_crypto_awslc::AwsLc;

    #[test]
    fn what_is_no_private_key_is_said_to_be_none() {
        for noise in [&[][..], &[0x30, 0], &[0x30, 0x80, 1], &[0xFF; 64], &[0x30; 5000]] {
            assert!(matches!(SoftwareKey::from_pkcs8_der(noise), Err(Error::BadInput(_))));
        }
    }

    #[test]
    fn a_symmetric_key_fits_its_template_or_is_refused() {
        let hmac = template::hmac(HashAlgorithm::Sha256);
        let key = SoftwareKey::symmetric(&hmac, &[77; 40], &AwsLc).unwrap();
        assert!(key.as_object(hmac.clone()).is_ok());
        assert!(key.as_object(template::cipher(128)).is_err());
        assert!(!format!("{:?}", key.sensitive).contains("77"));
        assert!(SoftwareKey::symmetric(&template::cipher(128), &[1; 16], &AwsLc).is_ok());
        assert!(SoftwareKey::symmetric(&template::cipher(128), &[1; 32], &AwsLc).is_err());
        assert!(SoftwareKey::symmetric(&template::srk(), &[1; 32], &AwsLc).is_err());
    }

    #[test]
    fn the_same_secret_imported_twice_cannot_be_told_to_be_the_same() {
        let sealed = template::sealed();
        let one = SoftwareKey::symmetric(&sealed, b"secret", &AwsLc).unwrap();
        let two = SoftwareKey::symmetric(&sealed, b"secret", &AwsLc).unwrap();
        assert_ne!(one.key, two.key);
    }
}
