//! TPMT_SIGNATURE (TPM 2.0 Part 2 §11.3.4).

use super::key::KeyKind;
use crate::Error;
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm, SignatureAlgorithm, ecdsa};
use touchstone_wire::{Malformed, Reader, Why};

/// The longest ML-DSA signature, that of ML-DSA-87 (FIPS 204 §4).
const MAX_ML_DSA: usize = 4627;

/// A signature, in the encoding that X.509 uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    scheme: Scheme,
    hash: Option<HashAlgorithm>,
    bytes: Vec<u8>,
}

/// TPM_ALG_ID of an asymmetric signing scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    RsaSsa,
    RsaPss,
    EcDsa,
    MlDsa,
}

impl Scheme {
    pub(super) const fn of(id: u16) -> Option<Self> {
        match id {
            0x0014 => Some(Self::RsaSsa),
            0x0016 => Some(Self::RsaPss),
            0x0018 => Some(Self::EcDsa),
            0x00A1 => Some(Self::MlDsa),
            _ => None,
        }
    }
}

impl Signature {
    /// Parses a TPMT_SIGNATURE and nothing behind it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(Reader::new(bytes)).map_err(|error| error.in_item("TPMT_SIGNATURE"))
    }

    fn read(mut reader: Reader<'_>) -> Result<Self, Error> {
        let id = reader.u16()?;
        let scheme = Scheme::of(id)
            .ok_or(Error::Unsupported { item: "signature scheme", id: u32::from(id) })?;
        // TPM 2.0 Part 2 v1.85 §11.3.5: TPM2B_SIGNATURE_MLDSA stands alone, without a hash.
        let hash = if scheme == Scheme::MlDsa { None } else { Some(hash(&mut reader)?) };
        let bytes = match scheme {
            Scheme::RsaSsa | Scheme::RsaPss => reader.sized_u16()?.to_vec(),
            Scheme::EcDsa => ecdsa_der(reader.sized_u16()?, reader.sized_u16()?)?,
            Scheme::MlDsa => {
                let signature = reader.sized_u16()?;
                if signature.len() > MAX_ML_DSA {
                    return Err(reader.malformed(Why::BadValue).into());
                }
                signature.to_vec()
            }
        };
        reader.finish()?;
        Ok(Self { scheme, hash, bytes })
    }

    /// A signature without the frame around it, as `-f plain` of tpm2-tools and OpenSSL write it,
    /// by a key that signs only with `algorithm`.
    pub(crate) fn plain(algorithm: SignatureAlgorithm, bytes: &[u8]) -> Option<Self> {
        use SignatureAlgorithm as A;
        let (scheme, hash) = match algorithm {
            A::RsaPkcs1Sha1 => (Scheme::RsaSsa, Some(HashAlgorithm::Sha1)),
            A::RsaPkcs1Sha256 => (Scheme::RsaSsa, Some(HashAlgorithm::Sha256)),
            A::RsaPkcs1Sha384 => (Scheme::RsaSsa, Some(HashAlgorithm::Sha384)),
            A::RsaPkcs1Sha512 => (Scheme::RsaSsa, Some(HashAlgorithm::Sha512)),
            A::RsaPssSha256 => (Scheme::RsaPss, Some(HashAlgorithm::Sha256)),
            A::RsaPssSha384 => (Scheme::RsaPss, Some(HashAlgorithm::Sha384)),
            A::RsaPssSha512 => (Scheme::RsaPss, Some(HashAlgorithm::Sha512)),
            A::EcdsaP256Sha1 => (Scheme::EcDsa, Some(HashAlgorithm::Sha1)),
            A::EcdsaP256Sha256 | A::EcdsaP384Sha256 | A::EcdsaP521Sha256 => {
                (Scheme::EcDsa, Some(HashAlgorithm::Sha256))
            }
            A::EcdsaP256Sha384 | A::EcdsaP384Sha384 | A::EcdsaP521Sha384 => {
                (Scheme::EcDsa, Some(HashAlgorithm::Sha384))
            }
            A::EcdsaP256Sha512 | A::EcdsaP384Sha512 | A::EcdsaP521Sha512 => {
                (Scheme::EcDsa, Some(HashAlgorithm::Sha512))
            }
            A::MlDsa44 | A::MlDsa65 | A::MlDsa87 => (Scheme::MlDsa, None),
            _ => return None,
        };
        Some(Self { scheme, hash, bytes: bytes.to_vec() })
    }

    /// The hash that was signed: also that of the PCR digest in a quote. `None` for ML-DSA, which
    /// signs the message itself.
    pub const fn hash(&self) -> Option<HashAlgorithm> {
        self.hash
    }

    /// The digest over the PCRs of a quote with this signature. ML-DSA names no hash; then the
    /// digest's length tells which of those here it is.
    pub fn pcr_digest(&self, digest: &[u8]) -> Result<Digest, Error> {
        let by_len = || HashAlgorithm::ALL.into_iter().find(|hash| hash.len() == digest.len());
        self.hash
            .or_else(by_len)
            .and_then(|algorithm| Digest::new(algorithm, digest))
            .ok_or(Error::Malformed { item: "pcrDigest", at: 0 })
    }

    /// The signature's octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The algorithm of this signature, if it is by such a key.
    pub(super) fn algorithm_of(&self, key: KeyKind) -> Result<SignatureAlgorithm, Error> {
        use HashAlgorithm::{Sha1, Sha256, Sha384, Sha512};
        use KeyKind as K;
        use SignatureAlgorithm as A;
        Ok(match (self.scheme, self.hash, key) {
            (Scheme::RsaSsa, Some(Sha1), K::Rsa) => A::RsaPkcs1Sha1,
            (Scheme::RsaSsa, Some(Sha256), K::Rsa) => A::RsaPkcs1Sha256,
            (Scheme::RsaSsa, Some(Sha384), K::Rsa) => A::RsaPkcs1Sha384,
            (Scheme::RsaSsa, Some(Sha512), K::Rsa) => A::RsaPkcs1Sha512,
            (Scheme::RsaPss, Some(Sha256), K::Rsa) => A::RsaPssSha256,
            (Scheme::RsaPss, Some(Sha384), K::Rsa) => A::RsaPssSha384,
            (Scheme::RsaPss, Some(Sha512), K::Rsa) => A::RsaPssSha512,
            (Scheme::EcDsa, Some(Sha1), K::P256) => A::EcdsaP256Sha1,
            (Scheme::EcDsa, Some(Sha256), K::P256) => A::EcdsaP256Sha256,
            (Scheme::EcDsa, Some(Sha384), K::P256) => A::EcdsaP256Sha384,
            (Scheme::EcDsa, Some(Sha512), K::P256) => A::EcdsaP256Sha512,
            (Scheme::EcDsa, Some(Sha256), K::P384) => A::EcdsaP384Sha256,
            (Scheme::EcDsa, Some(Sha384), K::P384) => A::EcdsaP384Sha384,
            (Scheme::EcDsa, Some(Sha512), K::P384) => A::EcdsaP384Sha512,
            (Scheme::EcDsa, Some(Sha256), K::P521) => A::EcdsaP521Sha256,
            (Scheme::EcDsa, Some(Sha384), K::P521) => A::EcdsaP521Sha384,
            (Scheme::EcDsa, Some(Sha512), K::P521) => A::EcdsaP521Sha512,
            (Scheme::MlDsa, None, K::MlDsa44) => A::MlDsa44,
            (Scheme::MlDsa, None, K::MlDsa65) => A::MlDsa65,
            (Scheme::MlDsa, None, K::MlDsa87) => A::MlDsa87,
            _ => return Err(Error::Scheme),
        })
    }
}

fn hash(reader: &mut Reader<'_>) -> Result<HashAlgorithm, Error> {
    let id = reader.u16()?;
    let unknown = Error::Unsupported { item: "signature hash", id: u32::from(id) };
    HashAlgorithm::from_tpm_id(id).ok_or(unknown)
}

fn ecdsa_der(r: &[u8], s: &[u8]) -> Result<Vec<u8>, Error> {
    let malformed = Error::from(Malformed::new(4, Why::BadValue));
    // A TPM may leave out leading zeros; the fixed form wants both numbers equally long.
    let len = r.len().max(s.len());
    if len == 0 || len > 66 {
        return Err(malformed);
    }
    let mut fixed = vec![0; len - r.len()];
    fixed.extend_from_slice(r);
    fixed.resize(2 * len - s.len(), 0);
    fixed.extend_from_slice(s);
    ecdsa::fixed_to_der(&fixed).map_err(|_| malformed)
}
