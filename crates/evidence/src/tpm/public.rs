//! TPMT_PUBLIC (TPM 2.0 Part 2 §12.2.4): a key's public area, its name, and its
//! `SubjectPublicKeyInfo`.

use super::signature::Scheme;
use super::spki;
use crate::Error;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm};
use touchstone_wire::{Reader, Why};

const ALG_RSA: u16 = 0x0001;
const ALG_NULL: u16 = 0x0010;
const ALG_ECC: u16 = 0x0023;
const ALG_ECDAA: u16 = 0x001A;
const ALG_RSAES: u16 = 0x0015;
const CURVE_P256: u16 = 0x0003;
const CURVE_P384: u16 = 0x0004;
const CURVE_P521: u16 = 0x0005;
const ALG_MLDSA: u16 = 0x00A1;
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

/// A decoded TPMT_PUBLIC of an RSA, ECC or ML-DSA key.
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
        let (spki_der, algorithm) = match kind {
            ALG_RSA | ALG_ECC => {
                skip_symmetric(&mut reader)?;
                let scheme = scheme(&mut reader)?;
                let key = if kind == ALG_RSA { rsa } else { ecc };
                key(&mut reader, scheme)?
            }
            ALG_MLDSA => ml_dsa(&mut reader)?,
            _ => return Err(Error::Unsupported { item: "key type", id: u32::from(kind) }),
        };
        reader.finish()?;
        Ok(Self { name_alg, attributes, auth_policy, spki_der, algorithm })
    }

    /// That it promises what an attestation key must.
    pub(super) fn check_attestation(&self) -> Result<(), Error> {
        if !self.attributes.signs() {
            return Err(Error::KeyAttributes("a signing key"));
        }
        if !self.attributes.is_restricted() {
            return Err(Error::KeyAttributes("restricted to what the TPM made"));
        }
        if !self.attributes.is_bound() {
            return Err(Error::KeyAttributes("bound to one TPM"));
        }
        Ok(())
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
        public.check_attestation()?;
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
        Some((Scheme::RsaPss, HashAlgorithm::Sha384)) => Some(A::RsaPssSha384),
        Some((Scheme::RsaPss, HashAlgorithm::Sha512)) => Some(A::RsaPssSha512),
        Some((Scheme::RsaSsa, HashAlgorithm::Sha1)) => Some(A::RsaPkcs1Sha1),
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
    let (identifier, len) = match curve {
        CURVE_P256 => (spki::P256, 32),
        CURVE_P384 => (spki::P384, 48),
        CURVE_P521 => (spki::P521, 66),
        _ => return Err(Error::Unsupported { item: "curve", id: u32::from(curve) }),
    };
    let hash = match scheme {
        Some((Scheme::EcDsa, hash)) => Some(hash),
        Some(_) => None,
        // A key without a scheme signs with its curve's own hash here.
        None => HashAlgorithm::ALL.into_iter().find(|hash| hash.len() == len.min(64)),
    };
    let algorithm = hash.and_then(|hash| match (curve, hash) {
        (CURVE_P256, HashAlgorithm::Sha1) => Some(A::EcdsaP256Sha1),
        (CURVE_P256, HashAlgorithm::Sha256) => Some(A::EcdsaP256Sha256),
        (CURVE_P256, HashAlgorithm::Sha384) => Some(A::EcdsaP256Sha384),
        (CURVE_P256, HashAlgorithm::Sha512) => Some(A::EcdsaP256Sha512),
        (CURVE_P384, HashAlgorithm::Sha256) => Some(A::EcdsaP384Sha256),
        (CURVE_P384, HashAlgorithm::Sha384) => Some(A::EcdsaP384Sha384),
        (CURVE_P384, HashAlgorithm::Sha512) => Some(A::EcdsaP384Sha512),
        (CURVE_P521, HashAlgorithm::Sha256) => Some(A::EcdsaP521Sha256),
        (CURVE_P521, HashAlgorithm::Sha384) => Some(A::EcdsaP521Sha384),
        (CURVE_P521, HashAlgorithm::Sha512) => Some(A::EcdsaP521Sha512),
        _ => None,
    });
    let spki_der = spki::ecc(identifier, len, x, y);
    Ok((spki_der.ok_or(reader.malformed(Why::BadValue))?, algorithm))
}

/// TPMS_MLDSA_PARMS and TPM2B_PUBLIC_KEY_MLDSA (TPM 2.0 Part 2 v1.85 §12.2.3.6, §11.2.7.3).
fn ml_dsa(reader: &mut Reader<'_>) -> Result<Key, Error> {
    use SignatureAlgorithm as A;
    let set = reader.u16()?;
    reader.u8()?; // allowExternalMu
    let key = reader.sized_u16()?;
    // TPM 2.0 Part 2 v1.85 §11.2.7: TPM_MLDSA_44, _65 and _87, each with the length of its keys.
    let (algorithm, last, len) = match set {
        1 => (A::MlDsa44, 17, 1312),
        2 => (A::MlDsa65, 18, 1952),
        3 => (A::MlDsa87, 19, 2592),
        _ => return Err(Error::Unsupported { item: "ML-DSA parameter set", id: u32::from(set) }),
    };
    if key.len() != len {
        return Err(reader.malformed(Why::BadValue).into());
    }
    Ok((spki::ml_dsa(last, key), Some(algorithm)))
}
