//! Keys in memory, for a fleet's own CA, for publishers, and for tests. A device's keys live in its
//! element instead.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
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
    Rsa(RsaKeyPair),
}

impl SoftSigner {
    /// A new key: ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 bits.
    pub fn generate(algorithm: SignatureAlgorithm) -> Result<Self, Error> {
        let failed = |_| Error::NoRandom;
        let pkcs8 = match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::EcdsaP384Sha384 => {
                EcdsaKeyPair::generate_pkcs8(ecdsa(algorithm)?, &SystemRandom::new())
                    .map_err(failed)?
                    .as_ref()
                    .to_vec()
            }
            SignatureAlgorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            SignatureAlgorithm::RsaPkcs1Sha256 => {
                let key = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).map_err(failed)?;
                let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> =
                    key.as_der().map_err(|_| Error::BadKey)?;
                der.as_ref().to_vec()
            }
            _ => return Err(Error::Unsupported),
        };
        Self::load(algorithm, Zeroizing::new(pkcs8))
    }

    /// A key from PKCS#8 DER (RFC 5958); its algorithm is the first here that accepts it.
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, Error> {
        [
            SignatureAlgorithm::EcdsaP256Sha256,
            SignatureAlgorithm::EcdsaP384Sha384,
            SignatureAlgorithm::Ed25519,
            SignatureAlgorithm::RsaPkcs1Sha256,
        ]
        .into_iter()
        .find_map(|algorithm| Self::load(algorithm, Zeroizing::new(pkcs8.to_vec())).ok())
        .ok_or(Error::BadKey)
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
        let key = match algorithm {
            SignatureAlgorithm::Ed25519 => Key::Ed25519(
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).map_err(|_| Error::BadKey)?,
            ),
            SignatureAlgorithm::RsaPkcs1Sha256 => {
                Key::Rsa(RsaKeyPair::from_pkcs8(&pkcs8).map_err(|_| Error::BadKey)?)
            }
            other => Key::Ecdsa(
                EcdsaKeyPair::from_pkcs8(ecdsa(other)?, &pkcs8).map_err(|_| Error::BadKey)?,
            ),
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
            Self::Rsa(key) => key.public_key().as_der(),
        }
        .map_err(|_| Error::BadKey)?;
        Ok(der.as_ref().to_vec())
    }
}

fn ecdsa(algorithm: SignatureAlgorithm) -> Result<&'static EcdsaSigningAlgorithm, Error> {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => Ok(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        SignatureAlgorithm::EcdsaP384Sha384 => Ok(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        _ => Err(Error::Unsupported),
    }
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
            Key::Rsa(key) => {
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out)
                    .map_err(failed)?;
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
