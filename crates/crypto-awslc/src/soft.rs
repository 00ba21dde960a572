//! Keys in memory, for a fleet's own CA, for publishers, and for tests. A device's keys live in its
//! element instead.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, PqdsaKeyPair,
    PqdsaSigningAlgorithm, RsaEncoding, RsaKeyPair,
};
use std::fmt;
use touchstone_crypto::{Error, SignatureAlgorithm, Signer};
use zeroize::Zeroizing;

/// A private key held in memory.
pub struct SoftSigner {
    algorithm: SignatureAlgorithm,
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
    key: Key,
}

enum Key {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    MlDsa(Box<PqdsaKeyPair>),
}

/// How long an RSA key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaBits {
    /// 2048 bits.
    B2048,
    /// 3072 bits.
    B3072,
    /// 4096 bits.
    B4096,
}

impl SoftSigner {
    /// A new key; RSA of 2048 bits. ECDSA on P-384 with SHA-256 is verified here but not made.
    pub fn generate(algorithm: SignatureAlgorithm) -> Result<Self, Error> {
        if rsa(algorithm).is_some() {
            return Self::generate_rsa(RsaBits::B2048, algorithm);
        }
        let failed = |_| Error::NoRandom;
        let random = SystemRandom::new();
        let document = match algorithm {
            SignatureAlgorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
            SignatureAlgorithm::MlDsa44
            | SignatureAlgorithm::MlDsa65
            | SignatureAlgorithm::MlDsa87 => {
                PqdsaKeyPair::generate(ml_dsa(algorithm)?).and_then(|key| key.to_pkcs8v1())
            }
            _ => EcdsaKeyPair::generate_pkcs8(ecdsa(algorithm)?, &random),
        };
        let pkcs8 = Zeroizing::new(document.map_err(failed)?.as_ref().to_vec());
        Self::load(algorithm, pkcs8)
    }

    /// A new RSA key of that length, signing by `algorithm`.
    pub fn generate_rsa(bits: RsaBits, algorithm: SignatureAlgorithm) -> Result<Self, Error> {
        if rsa(algorithm).is_none() {
            return Err(Error::Unsupported);
        }
        let size = match bits {
            RsaBits::B2048 => KeySize::Rsa2048,
            RsaBits::B3072 => KeySize::Rsa3072,
            RsaBits::B4096 => KeySize::Rsa4096,
        };
        let key = RsaKeyPair::generate(size).map_err(|_| Error::NoRandom)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| Error::BadKey)?;
        Self::load(algorithm, Zeroizing::new(der.as_ref().to_vec()))
    }

    /// A key from PKCS#8 DER (RFC 5958), signing by `algorithm`.
    pub fn load_pkcs8_der(algorithm: SignatureAlgorithm, pkcs8: &[u8]) -> Result<Self, Error> {
        Self::load(algorithm, Zeroizing::new(pkcs8.to_vec()))
    }

    /// A key from PKCS#8 DER; its algorithm is the first here that accepts it.
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, Error> {
        [
            SignatureAlgorithm::EcdsaP256Sha256,
            SignatureAlgorithm::EcdsaP384Sha384,
            SignatureAlgorithm::EcdsaP521Sha512,
            SignatureAlgorithm::Ed25519,
            SignatureAlgorithm::RsaPkcs1Sha256,
            SignatureAlgorithm::MlDsa44,
            SignatureAlgorithm::MlDsa65,
            SignatureAlgorithm::MlDsa87,
        ]
        .into_iter()
        .find_map(|algorithm| Self::load_pkcs8_der(algorithm, pkcs8).ok())
        .ok_or(Error::BadKey)
    }

    /// The key as PKCS#8 in DER.
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// A key from a `PRIVATE KEY` PEM block (RFC 7468 §10).
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, Error> {
        let (label, der) = pem_rfc7468::decode_vec(pem.as_bytes()).map_err(|_| Error::BadKey)?;
        let der = Zeroizing::new(der);
        if label == "PRIVATE KEY" { Self::from_pkcs8_der(&der) } else { Err(Error::BadKey) }
    }

    /// The key as a `PRIVATE KEY` PEM block, wiped when dropped.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        // Encoding octets that are in memory into a growing string has no way to fail.
        Zeroizing::new(
            pem_rfc7468::encode_string("PRIVATE KEY", pem_rfc7468::LineEnding::LF, &self.pkcs8)
                .unwrap_or_default(),
        )
    }

    fn load(algorithm: SignatureAlgorithm, pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let bad = |_| Error::BadKey;
        let key = match algorithm {
            SignatureAlgorithm::Ed25519 => {
                Key::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).map_err(bad)?)
            }
            SignatureAlgorithm::MlDsa44
            | SignatureAlgorithm::MlDsa65
            | SignatureAlgorithm::MlDsa87 => {
                let key = PqdsaKeyPair::from_pkcs8(ml_dsa(algorithm)?, &pkcs8).map_err(bad)?;
                Key::MlDsa(Box::new(key))
            }
            other => match rsa(other) {
                Some(encoding) => Key::Rsa(RsaKeyPair::from_pkcs8(&pkcs8).map_err(bad)?, encoding),
                None => Key::Ecdsa(EcdsaKeyPair::from_pkcs8(ecdsa(other)?, &pkcs8).map_err(bad)?),
            },
        };
        let spki = key.spki()?;
        Ok(Self { algorithm, pkcs8, spki, key })
    }
}

impl Key {
    fn spki(&self) -> Result<Vec<u8>, Error> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ecdsa(key) => key.public_key().as_der(),
            Self::Ed25519(key) => key.public_key().as_der(),
            Self::Rsa(key, _) => key.public_key().as_der(),
            Self::MlDsa(key) => key.public_key().as_der(),
        }
        .map_err(|_| Error::BadKey)?;
        Ok(der.as_ref().to_vec())
    }
}

fn ecdsa(algorithm: SignatureAlgorithm) -> Result<&'static EcdsaSigningAlgorithm, Error> {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => Ok(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        SignatureAlgorithm::EcdsaP384Sha384 => Ok(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        SignatureAlgorithm::EcdsaP521Sha384 => Ok(&signature::ECDSA_P521_SHA384_ASN1_SIGNING),
        SignatureAlgorithm::EcdsaP521Sha512 => Ok(&signature::ECDSA_P521_SHA512_ASN1_SIGNING),
        _ => Err(Error::Unsupported),
    }
}

fn ml_dsa(algorithm: SignatureAlgorithm) -> Result<&'static PqdsaSigningAlgorithm, Error> {
    match algorithm {
        SignatureAlgorithm::MlDsa44 => Ok(&signature::ML_DSA_44_SIGNING),
        SignatureAlgorithm::MlDsa65 => Ok(&signature::ML_DSA_65_SIGNING),
        SignatureAlgorithm::MlDsa87 => Ok(&signature::ML_DSA_87_SIGNING),
        _ => Err(Error::Unsupported),
    }
}

fn rsa(algorithm: SignatureAlgorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => &signature::RSA_PKCS1_SHA256,
        SignatureAlgorithm::RsaPkcs1Sha384 => &signature::RSA_PKCS1_SHA384,
        SignatureAlgorithm::RsaPkcs1Sha512 => &signature::RSA_PKCS1_SHA512,
        SignatureAlgorithm::RsaPssSha256 => &signature::RSA_PSS_SHA256,
        SignatureAlgorithm::RsaPssSha384 => &signature::RSA_PSS_SHA384,
        SignatureAlgorithm::RsaPssSha512 => &signature::RSA_PSS_SHA512,
        _ => return None,
    })
}

impl Signer for SoftSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::SignerFailed;
        let random = SystemRandom::new();
        match &self.key {
            Key::Ecdsa(key) => {
                key.sign(&random, message).map(|s| s.as_ref().to_vec()).map_err(failed)
            }
            Key::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            Key::Rsa(key, encoding) => {
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, message, &mut out).map_err(failed)?;
                Ok(out)
            }
            Key::MlDsa(key) => {
                let mut out = vec![0; key.algorithm().signature_len()];
                let len = key.sign(message, &mut out).map_err(failed)?;
                out.truncate(len);
                Ok(out)
            }
        }
    }
}

impl fmt::Debug for SoftSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftSigner").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
