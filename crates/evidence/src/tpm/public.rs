//! TPMT_PUBLIC (TPM 2.0 Part 2 §12.2.4): a key's public area, its name, and its
//! `SubjectPublicKeyInfo`.

use super::signature::Scheme;
use crate::Error;
use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm};
use touchstone_wire::{Reader, Why};

const ALG_RSA: u16 = 0x0001;
const ALG_NULL: u16 = 0x0010;
const ALG_ECC: u16 = 0x0023;
const ALG_ECDAA: u16 = 0x001A;
const ALG_RSAES: u16 = 0x0015;
const CURVE_P256: u16 = 0x0003;
const CURVE_P384: u16 = 0x0004;
const ITEM: &str = "TPMT_PUBLIC";

/// TPMA_OBJECT (TPM 2.0 Part 2 §8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(pub u32);

impl Attributes {
    const FIXED_TPM: u32 = 1 << 1;
    const FIXED_PARENT: u32 = 1 << 4;
    const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    const RESTRICTED: u32 = 1 << 16;
    const DECRYPT: u32 = 1 << 17;
    const SIGN: u32 = 1 << 18;

    const fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// The private part never leaves this TPM, and was made in it.
    pub const fn is_bound(self) -> bool {
        self.has(Self::FIXED_TPM)
            && self.has(Self::FIXED_PARENT)
            && self.has(Self::SENSITIVE_DATA_ORIGIN)
    }

    /// It signs.
    pub const fn signs(self) -> bool {
        self.has(Self::SIGN) && !self.has(Self::DECRYPT)
    }

    /// It decrypts.
    pub const fn decrypts(self) -> bool {
        self.has(Self::DECRYPT) && !self.has(Self::SIGN)
    }

    /// It works only on what the TPM made.
    pub const fn is_restricted(self) -> bool {
        self.has(Self::RESTRICTED)
    }
}

/// A decoded TPMT_PUBLIC of an RSA or ECC key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicArea {
    /// The hash of the key's name.
    pub name_alg: HashAlgorithm,
    /// Its attributes.
    pub attributes: Attributes,
    /// The policy that guards its use; empty if none.
    pub auth_policy: Vec<u8>,
    /// `SubjectPublicKeyInfo` in DER.
    pub spki_der: Vec<u8>,
    /// How it signs, if its scheme is fixed or follows from its curve.
    pub algorithm: Option<SignatureAlgorithm>,
}

impl PublicArea {
    /// Parses a TPMT_PUBLIC and nothing behind it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(Reader::new(bytes)).map_err(|error| error.in_item(ITEM))
    }

    fn read(mut reader: Reader<'_>) -> Result<Self, Error> {
        let kind = reader.u16()?;
        let name_alg = hash(reader.u16()?)?;
        let attributes = Attributes(reader.u32()?);
        let auth_policy = reader.sized_u16()?.to_vec();
        skip_symmetric(&mut reader)?;
        let scheme = scheme(&mut reader)?;
        let (spki_der, algorithm) = match kind {
            ALG_RSA => rsa(&mut reader, scheme)?,
            ALG_ECC => ecc(&mut reader, scheme)?,
            _ => return Err(Error::Unsupported { item: "key type", id: u32::from(kind) }),
        };
        reader.finish()?;
        Ok(Self { name_alg, attributes, auth_policy, spki_der, algorithm })
    }
}

/// An attestation key whose public area promises what one must: restricted, signing, bound to its
/// TPM. That it is in a TPM at all is for the onboarding to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakPublic {
    native: Vec<u8>,
    spki_der: Vec<u8>,
    algorithm: SignatureAlgorithm,
}

impl LakPublic {
    /// Reads a TPMT_PUBLIC and checks its attributes.
    pub fn from_native(native: &[u8]) -> Result<Self, Error> {
        let public = PublicArea::decode(native)?;
        if !public.attributes.signs() {
            return Err(Error::KeyAttributes("a signing key"));
        }
        if !public.attributes.is_restricted() {
            return Err(Error::KeyAttributes("restricted to what the TPM made"));
        }
        if !public.attributes.is_bound() {
            return Err(Error::KeyAttributes("bound to one TPM"));
        }
        let algorithm = public.algorithm.ok_or(Error::KeyAttributes("of a fixed scheme"))?;
        Ok(Self { native: native.to_vec(), spki_der: public.spki_der, algorithm })
    }

    /// TPMT_PUBLIC.
    pub fn native(&self) -> &[u8] {
        &self.native
    }

    /// `SubjectPublicKeyInfo` in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// How it signs.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Its name.
    pub fn name(&self, crypto: &dyn Crypto) -> Result<Vec<u8>, Error> {
        name_of(crypto, &self.native)
    }
}

/// `SubjectPublicKeyInfo` of a TPMT_PUBLIC, in DER.
pub fn spki_of(native: &[u8]) -> Result<Vec<u8>, Error> {
    PublicArea::decode(native).map(|public| public.spki_der)
}

/// The name of a key: nameAlg || H(TPMT_PUBLIC) (TPM 2.0 Part 1 §16).
pub fn name_of(crypto: &dyn Crypto, native: &[u8]) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::new(native);
    let id = reader.u16().and_then(|_| reader.u16());
    let algorithm = hash(id.map_err(|error| Error::from(error).in_item(ITEM))?)?;
    let mut name = algorithm.tpm_id().to_be_bytes().to_vec();
    name.extend_from_slice(crypto.hash(algorithm, &[native]).as_bytes());
    Ok(name)
}

fn hash(id: u16) -> Result<HashAlgorithm, Error> {
    HashAlgorithm::from_tpm_id(id).ok_or(Error::Unsupported { item: "hash", id: u32::from(id) })
}

/// TPMT_SYM_DEF_OBJECT.
fn skip_symmetric(reader: &mut Reader<'_>) -> Result<(), Error> {
    if reader.u16()? != ALG_NULL {
        reader.take(4)?; // key bits, mode
    }
    Ok(())
}

/// TPMT_RSA_SCHEME or TPMT_ECC_SCHEME; `None` for no scheme, or one that does not sign.
fn scheme(reader: &mut Reader<'_>) -> Result<Option<(Scheme, HashAlgorithm)>, Error> {
    let id = reader.u16()?;
    if matches!(id, ALG_NULL | ALG_RSAES) {
        return Ok(None);
    }
    let algorithm = hash(reader.u16()?)?;
    if id == ALG_ECDAA {
        reader.u16()?; // count
    }
    Ok(Scheme::of(id).map(|scheme| (scheme, algorithm)))
}

type Key = (Vec<u8>, Option<SignatureAlgorithm>);

fn rsa(reader: &mut Reader<'_>, scheme: Option<(Scheme, HashAlgorithm)>) -> Result<Key, Error> {
    use SignatureAlgorithm as A;
    let bits = reader.u16()?;
    let exponent = match reader.u32()? {
        0 => 65_537, // TPM 2.0 Part 2 §12.2.3.5
        exponent => exponent,
    };
    let modulus = reader.sized_u16()?;
    if modulus.len() != usize::from(bits) / 8 || !(128..=512).contains(&modulus.len()) {
        return Err(reader.malformed(Why::BadValue).into());
    }
    let algorithm = match scheme {
        Some((Scheme::RsaSsa, HashAlgorithm::Sha256)) => Some(A::RsaPkcs1Sha256),
        Some((Scheme::RsaSsa, HashAlgorithm::Sha384)) => Some(A::RsaPkcs1Sha384),
        Some((Scheme::RsaSsa, HashAlgorithm::Sha512)) => Some(A::RsaPkcs1Sha512),
        Some((Scheme::RsaPss, HashAlgorithm::Sha256)) => Some(A::RsaPssSha256),
        _ => None,
    };
    Ok((spki::rsa(modulus, exponent), algorithm))
}

fn ecc(reader: &mut Reader<'_>, scheme: Option<(Scheme, HashAlgorithm)>) -> Result<Key, Error> {
    use SignatureAlgorithm as A;
    let curve = reader.u16()?;
    if reader.u16()? != ALG_NULL {
        reader.u16()?; // hash of the key derivation
    }
    let (x, y) = (reader.sized_u16()?, reader.sized_u16()?);
    let unsupported = Error::Unsupported { item: "curve", id: u32::from(curve) };
    let (spki_der, algorithm) = match (curve, scheme) {
        (CURVE_P256, Some((Scheme::EcDsa, HashAlgorithm::Sha256)) | None) => {
            (spki::ecc(spki::P256, 32, x, y), Some(A::EcdsaP256Sha256))
        }
        (CURVE_P384, Some((Scheme::EcDsa, HashAlgorithm::Sha384)) | None) => {
            (spki::ecc(spki::P384, 48, x, y), Some(A::EcdsaP384Sha384))
        }
        (CURVE_P384, Some((Scheme::EcDsa, HashAlgorithm::Sha256))) => {
            (spki::ecc(spki::P384, 48, x, y), Some(A::EcdsaP384Sha256))
        }
        (CURVE_P256, _) => (spki::ecc(spki::P256, 32, x, y), None),
        (CURVE_P384, _) => (spki::ecc(spki::P384, 48, x, y), None),
        _ => return Err(unsupported),
    };
    Ok((spki_der.ok_or(reader.malformed(Why::BadValue))?, algorithm))
}

/// `SubjectPublicKeyInfo` in DER (RFC 3279 §2.3.1, RFC 5480 §2).
mod spki {
    /// ecPublicKey, prime256v1.
    pub(super) const P256: &[u8] = &[
        0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE,
        0x3D, 0x03, 0x01, 0x07,
    ];
    /// ecPublicKey, secp384r1.
    pub(super) const P384: &[u8] = &[
        0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x05, 0x2B, 0x81, 0x04, 0x00,
        0x22,
    ];
    /// rsaEncryption, NULL.
    const RSA: &[u8] =
        &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];

    pub(super) fn ecc(algorithm: &[u8], len: usize, x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
        let mut point = vec![0x00, 0x04];
        for number in [x, y] {
            let pad = len.checked_sub(number.len())?;
            point.resize(point.len() + pad, 0);
            point.extend_from_slice(number);
        }
        Some(info(algorithm, &point))
    }

    pub(super) fn rsa(modulus: &[u8], exponent: u32) -> Vec<u8> {
        let key = [integer(modulus), integer(&exponent.to_be_bytes())].concat();
        info(RSA, &[vec![0x00], element(0x30, &key)].concat())
    }

    fn info(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
        element(0x30, &[element(0x30, algorithm), element(0x03, key)].concat())
    }

    fn integer(number: &[u8]) -> Vec<u8> {
        let zeros = number.iter().take_while(|&&octet| octet == 0).count();
        let digits = number.get(zeros..).unwrap_or(&[]);
        let sign = if digits.first().is_none_or(|&octet| octet >= 0x80) { &[0][..] } else { &[] };
        element(0x02, &[sign, digits].concat())
    }

    fn element(tag: u8, body: &[u8]) -> Vec<u8> {
        let len = body.len().to_be_bytes();
        let zeros = len.iter().take_while(|&&octet| octet == 0).count();
        let digits = len.get(zeros..).unwrap_or(&[]);
        let mut out = vec![tag];
        match (body.len(), u8::try_from(digits.len())) {
            (0..=127, _) => out.push(len.last().copied().unwrap_or(0)),
            (_, Ok(count)) => {
                out.push(0x80 | count);
                out.extend_from_slice(digits);
            }
            // No length has more than 255 octets.
            (_, Err(_)) => {}
        }
        out.extend_from_slice(body);
        out
    }
}
