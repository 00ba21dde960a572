//! `AlgorithmIdentifier`s: the standards' names for [`SignatureAlgorithm`] and [`HashAlgorithm`].
//!
//! Public functions take and give DER, so that other crates need no ASN.1 types of this one.

use crate::Error;
use alloc::vec::Vec;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode, Sequence};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm};

const PART: &str = "AlgorithmIdentifier";

/// RFC 9881 §2.
const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

/// The `AlgorithmIdentifier` of a signature algorithm, in DER (RFC 5758 §3.2, RFC 4055, RFC 8410,
/// RFC 9881).
pub fn encode_signature(algorithm: SignatureAlgorithm) -> Result<Vec<u8>, Error> {
    let (oid, parameters) = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::EcdsaP384Sha256 => {
            (rfc5912::ECDSA_WITH_SHA_256, None)
        }
        SignatureAlgorithm::EcdsaP384Sha384 | SignatureAlgorithm::EcdsaP521Sha384 => {
            (rfc5912::ECDSA_WITH_SHA_384, None)
        }
        SignatureAlgorithm::EcdsaP521Sha512 => (rfc5912::ECDSA_WITH_SHA_512, None),
        SignatureAlgorithm::RsaPkcs1Sha256 => {
            (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Some(AnyRef::NULL))
        }
        SignatureAlgorithm::RsaPkcs1Sha384 => {
            (rfc5912::SHA_384_WITH_RSA_ENCRYPTION, Some(AnyRef::NULL))
        }
        SignatureAlgorithm::RsaPkcs1Sha512 => {
            (rfc5912::SHA_512_WITH_RSA_ENCRYPTION, Some(AnyRef::NULL))
        }
        SignatureAlgorithm::RsaPssSha256 => return encode_pss(HashAlgorithm::Sha256),
        SignatureAlgorithm::RsaPssSha384 => return encode_pss(HashAlgorithm::Sha384),
        SignatureAlgorithm::RsaPssSha512 => return encode_pss(HashAlgorithm::Sha512),
        SignatureAlgorithm::Ed25519 => (rfc8410::ID_ED_25519, None),
        SignatureAlgorithm::MlDsa44 => (ML_DSA_44, None),
        SignatureAlgorithm::MlDsa65 => (ML_DSA_65, None),
        SignatureAlgorithm::MlDsa87 => (ML_DSA_87, None),
        _ => return Err(touchstone_crypto::Error::Unsupported.into()),
    };
    AlgorithmIdentifierRef { oid, parameters }.to_der().map_err(Error::der(PART))
}

/// The signature algorithm of an `AlgorithmIdentifier` made with the key `spki_der`; for ECDSA the
/// curve is the key's.
pub fn decode_signature(
    identifier_der: &[u8],
    spki_der: &[u8],
) -> Result<SignatureAlgorithm, Error> {
    let identifier = AlgorithmIdentifierRef::from_der(identifier_der).map_err(Error::der(PART))?;
    signature_of(&identifier, spki_der)
}

/// As [`decode_signature`], and knows `sha1WithRSAEncryption`, too.
pub(crate) fn decode_old_signature(
    identifier_der: &[u8],
    spki_der: &[u8],
) -> Result<SignatureAlgorithm, Error> {
    let identifier = AlgorithmIdentifierRef::from_der(identifier_der).map_err(Error::der(PART))?;
    match identifier.oid {
        rfc5912::SHA_1_WITH_RSA_ENCRYPTION => {
            absent_or_null(&identifier).map(|()| SignatureAlgorithm::RsaPkcs1Sha1)
        }
        _ => signature_of(&identifier, spki_der),
    }
}

/// As [`decode_signature`], and takes the bare key type too: CMS allows `rsaEncryption` as the
/// signature algorithm, with the hash named beside it (RFC 5652 §5.3, RFC 3370 §3.2).
pub fn decode_cms_signature(
    identifier_der: &[u8],
    hash: HashAlgorithm,
    spki_der: &[u8],
) -> Result<SignatureAlgorithm, Error> {
    let identifier = AlgorithmIdentifierRef::from_der(identifier_der).map_err(Error::der(PART))?;
    if identifier.oid != rfc5912::RSA_ENCRYPTION {
        return signature_of(&identifier, spki_der);
    }
    match hash {
        HashAlgorithm::Sha256 => Ok(SignatureAlgorithm::RsaPkcs1Sha256),
        HashAlgorithm::Sha384 => Ok(SignatureAlgorithm::RsaPkcs1Sha384),
        HashAlgorithm::Sha512 => Ok(SignatureAlgorithm::RsaPkcs1Sha512),
        _ => Err(touchstone_crypto::Error::Unsupported.into()),
    }
}

/// The hash that goes with a signature algorithm where a message digest is named beside it
/// (RFC 8419 §3 for Ed25519 and RFC 9882 §3.3 for ML-DSA, where it is SHA-512).
pub const fn hash_of(algorithm: SignatureAlgorithm) -> HashAlgorithm {
    match algorithm {
        SignatureAlgorithm::EcdsaP384Sha384
        | SignatureAlgorithm::EcdsaP521Sha384
        | SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPssSha384 => HashAlgorithm::Sha384,
        SignatureAlgorithm::EcdsaP521Sha512
        | SignatureAlgorithm::RsaPkcs1Sha512
        | SignatureAlgorithm::RsaPssSha512
        | SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::MlDsa44
        | SignatureAlgorithm::MlDsa65
        | SignatureAlgorithm::MlDsa87 => HashAlgorithm::Sha512,
        _ => HashAlgorithm::Sha256,
    }
}

/// The `AlgorithmIdentifier` of a hash algorithm, in DER and without parameters (RFC 5754 §2).
pub fn encode_hash(algorithm: HashAlgorithm) -> Result<Vec<u8>, Error> {
    let oid = match algorithm {
        HashAlgorithm::Sha1 => rfc5912::ID_SHA_1,
        HashAlgorithm::Sha256 => rfc5912::ID_SHA_256,
        HashAlgorithm::Sha384 => rfc5912::ID_SHA_384,
        HashAlgorithm::Sha512 => rfc5912::ID_SHA_512,
        _ => return Err(touchstone_crypto::Error::Unsupported.into()),
    };
    AlgorithmIdentifierRef { oid, parameters: None }.to_der().map_err(Error::der(PART))
}

/// The hash algorithm of an `AlgorithmIdentifier`; parameters are absent or NULL (RFC 5754 §2).
pub fn decode_hash(identifier_der: &[u8]) -> Result<HashAlgorithm, Error> {
    let identifier = AlgorithmIdentifierRef::from_der(identifier_der).map_err(Error::der(PART))?;
    hash_by(&identifier)
}

fn hash_by(identifier: &AlgorithmIdentifierRef<'_>) -> Result<HashAlgorithm, Error> {
    absent_or_null(identifier)?;
    match identifier.oid {
        rfc5912::ID_SHA_1 => Ok(HashAlgorithm::Sha1),
        rfc5912::ID_SHA_256 => Ok(HashAlgorithm::Sha256),
        rfc5912::ID_SHA_384 => Ok(HashAlgorithm::Sha384),
        rfc5912::ID_SHA_512 => Ok(HashAlgorithm::Sha512),
        _ => Err(touchstone_crypto::Error::Unsupported.into()),
    }
}

fn signature_of(
    identifier: &AlgorithmIdentifierRef<'_>,
    spki_der: &[u8],
) -> Result<SignatureAlgorithm, Error> {
    let unsupported = Error::from(touchstone_crypto::Error::Unsupported);
    match identifier.oid {
        rfc5912::ECDSA_WITH_SHA_256 | rfc5912::ECDSA_WITH_SHA_384 | rfc5912::ECDSA_WITH_SHA_512 => {
            // RFC 5758 §3.2: the parameters are absent.
            if identifier.parameters.is_some() {
                return Err(Error::malformed(PART));
            }
            match (identifier.oid, curve(spki_der)?) {
                (rfc5912::ECDSA_WITH_SHA_256, rfc5912::SECP_256_R_1) => {
                    Ok(SignatureAlgorithm::EcdsaP256Sha256)
                }
                (rfc5912::ECDSA_WITH_SHA_256, rfc5912::SECP_384_R_1) => {
                    Ok(SignatureAlgorithm::EcdsaP384Sha256)
                }
                (rfc5912::ECDSA_WITH_SHA_384, rfc5912::SECP_384_R_1) => {
                    Ok(SignatureAlgorithm::EcdsaP384Sha384)
                }
                (rfc5912::ECDSA_WITH_SHA_384, rfc5912::SECP_521_R_1) => {
                    Ok(SignatureAlgorithm::EcdsaP521Sha384)
                }
                (rfc5912::ECDSA_WITH_SHA_512, rfc5912::SECP_521_R_1) => {
                    Ok(SignatureAlgorithm::EcdsaP521Sha512)
                }
                _ => Err(unsupported),
            }
        }
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => {
            absent_or_null(identifier).map(|()| SignatureAlgorithm::RsaPkcs1Sha256)
        }
        rfc5912::SHA_384_WITH_RSA_ENCRYPTION => {
            absent_or_null(identifier).map(|()| SignatureAlgorithm::RsaPkcs1Sha384)
        }
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => {
            absent_or_null(identifier).map(|()| SignatureAlgorithm::RsaPkcs1Sha512)
        }
        rfc5912::ID_RSASSA_PSS => pss(identifier),
        rfc8410::ID_ED_25519 if identifier.parameters.is_none() => Ok(SignatureAlgorithm::Ed25519),
        // RFC 9881 §2: the parameters are absent.
        ML_DSA_44 if identifier.parameters.is_none() => Ok(SignatureAlgorithm::MlDsa44),
        ML_DSA_65 if identifier.parameters.is_none() => Ok(SignatureAlgorithm::MlDsa65),
        ML_DSA_87 if identifier.parameters.is_none() => Ok(SignatureAlgorithm::MlDsa87),
        _ => Err(unsupported),
    }
}

fn absent_or_null(identifier: &AlgorithmIdentifierRef<'_>) -> Result<(), Error> {
    match identifier.parameters {
        None => Ok(()),
        Some(parameters) if parameters.is_null() => Ok(()),
        Some(_) => Err(Error::malformed(PART)),
    }
}

fn curve(spki_der: &[u8]) -> Result<ObjectIdentifier, Error> {
    const SPKI: &str = "SubjectPublicKeyInfo";
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(Error::der(SPKI))?;
    if spki.algorithm.oid != rfc5912::ID_EC_PUBLIC_KEY {
        return Err(touchstone_crypto::Error::BadKey.into());
    }
    spki.algorithm.parameters_oid().map_err(|_| Error::malformed(SPKI))
}

/// `RSASSA-PSS-params` (RFC 4055 §3.1).
#[derive(Sequence)]
struct PssParameters<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask: Option<AlgorithmIdentifierRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt: Option<u32>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<u32>,
}

/// Only with one hash for message and mask, and a salt as long as its digest; the defaults are
/// SHA-1, which is not accepted.
fn pss(identifier: &AlgorithmIdentifierRef<'_>) -> Result<SignatureAlgorithm, Error> {
    let unsupported = || Error::from(touchstone_crypto::Error::Unsupported);
    let parameters = identifier.parameters.ok_or_else(unsupported)?;
    let parameters: PssParameters<'_> = parameters.decode_as().map_err(Error::der(PART))?;
    let hash = hash_by(&parameters.hash.ok_or_else(unsupported)?)?;
    let mask = parameters.mask.ok_or_else(unsupported)?;
    let mask_hash: AlgorithmIdentifierRef<'_> =
        mask.parameters.ok_or_else(unsupported)?.decode_as().map_err(Error::der(PART))?;
    let usual = mask.oid == rfc5912::ID_MGF_1
        && hash_by(&mask_hash)? == hash
        && parameters.salt.and_then(|salt| usize::try_from(salt).ok()) == Some(hash.len())
        && parameters.trailer.unwrap_or(1) == 1;
    match hash {
        HashAlgorithm::Sha256 if usual => Ok(SignatureAlgorithm::RsaPssSha256),
        HashAlgorithm::Sha384 if usual => Ok(SignatureAlgorithm::RsaPssSha384),
        HashAlgorithm::Sha512 if usual => Ok(SignatureAlgorithm::RsaPssSha512),
        _ => Err(unsupported()),
    }
}

fn encode_pss(hash: HashAlgorithm) -> Result<Vec<u8>, Error> {
    let failed = Error::der(PART);
    let oid = match hash {
        HashAlgorithm::Sha384 => rfc5912::ID_SHA_384,
        HashAlgorithm::Sha512 => rfc5912::ID_SHA_512,
        _ => rfc5912::ID_SHA_256,
    };
    let salt = u32::try_from(hash.len()).ok();
    let hash = AlgorithmIdentifierRef { oid, parameters: Some(AnyRef::NULL) };
    let hash_der = hash.to_der().map_err(&failed)?;
    let mask = AlgorithmIdentifierRef {
        oid: rfc5912::ID_MGF_1,
        parameters: Some(AnyRef::from_der(&hash_der).map_err(&failed)?),
    };
    let parameters = PssParameters { hash: Some(hash), mask: Some(mask), salt, trailer: None }
        .to_der()
        .map_err(&failed)?;
    AlgorithmIdentifierRef {
        oid: rfc5912::ID_RSASSA_PSS,
        parameters: Some(AnyRef::from_der(&parameters).map_err(&failed)?),
    }
    .to_der()
    .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto::Signer as _;
    use touchstone_crypto_awslc::SoftSigner;

    #[test]
    fn every_algorithm_reads_back() {
        let p256 = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let p384 = SoftSigner::generate(SignatureAlgorithm::EcdsaP384Sha384).unwrap();
        let p521 = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef {
                oid: rfc5912::ID_EC_PUBLIC_KEY,
                parameters: Some((&rfc5912::SECP_521_R_1).into()),
            },
            subject_public_key: der::asn1::BitStringRef::from_bytes(&[4]).unwrap(),
        };
        let p521 = p521.to_der().unwrap();
        for algorithm in SignatureAlgorithm::ALL {
            let key = match algorithm.name() {
                name if name.contains("p384") => p384.spki_der(),
                name if name.contains("p521") => &p521,
                _ => p256.spki_der(),
            };
            let der = encode_signature(algorithm).unwrap();
            assert_eq!(decode_signature(&der, key), Ok(algorithm));
        }
        for hash in HashAlgorithm::ALL {
            assert_eq!(decode_hash(&encode_hash(hash).unwrap()), Ok(hash));
        }
    }

    #[test]
    fn a_bare_pss_identifier_means_sha1_and_is_refused() {
        let der = AlgorithmIdentifierRef { oid: rfc5912::ID_RSASSA_PSS, parameters: None }.to_der();
        assert_eq!(
            decode_signature(&der.unwrap(), &[]),
            Err(touchstone_crypto::Error::Unsupported.into())
        );
    }
}
