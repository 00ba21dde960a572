//! Private keys in memory that decrypt, agree and decapsulate.

use crate::envelope::{curve, oaep};
use crate::kem;
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use std::fmt;
use touchstone_crypto::{Decrypter, Error, Opening, RsaPadding};
use zeroize::Zeroizing;

/// A private key held in memory that opens envelopes: RSA, P-256 to P-521, ML-KEM.
pub struct SoftDecrypter {
    spki: Vec<u8>,
    key: Key,
}

enum Key {
    Rsa(Box<PrivateDecryptingKey>),
    Curve(&'static agreement::Algorithm, Box<PrivateKey>),
    Kem(Box<kem::Key>),
}

impl SoftDecrypter {
    /// A key from PKCS#8 DER (RFC 5958); of ML-KEM keys the expanded form has to be in it.
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, Error> {
        if let Ok(key) = PrivateDecryptingKey::from_pkcs8(pkcs8) {
            let spki: PublicKeyX509Der<'_> =
                key.public_key().as_der().map_err(|_| Error::BadKey)?;
            let spki = spki.as_ref().to_vec();
            return Ok(Self { spki, key: Key::Rsa(Box::new(key)) });
        }
        for algorithm in [&agreement::ECDH_P256, &agreement::ECDH_P384, &agreement::ECDH_P521] {
            let Ok(key) = PrivateKey::from_private_key_der(algorithm, pkcs8) else { continue };
            let public = key.compute_public_key().map_err(|_| Error::BadKey)?;
            let spki: PublicKeyX509Der<'_> = public.as_der().map_err(|_| Error::BadKey)?;
            let spki = spki.as_ref().to_vec();
            return Ok(Self { spki, key: Key::Curve(algorithm, Box::new(key)) });
        }
        let key = kem::Key::from_pkcs8(pkcs8).map_err(|_| Error::BadKey)?;
        Ok(Self { spki: key.spki.clone(), key: Key::Kem(Box::new(key)) })
    }

    /// A key from a `PRIVATE KEY` PEM block (RFC 7468 §10).
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, Error> {
        let (label, der) = pem_rfc7468::decode_vec(pem.as_bytes()).map_err(|_| Error::BadKey)?;
        let der = Zeroizing::new(der);
        if label == "PRIVATE KEY" { Self::from_pkcs8_der(&der) } else { Err(Error::BadKey) }
    }
}

impl Decrypter for SoftDecrypter {
    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn open(&self, opening: &Opening) -> Result<Zeroizing<Vec<u8>>, Error> {
        match (&self.key, opening) {
            (Key::Rsa(key), Opening::Rsa { padding, ciphertext }) => {
                decrypt(key, *padding, ciphertext)
            }
            (Key::Curve(algorithm, key), Opening::Agree { peer_spki_der }) => {
                if curve(peer_spki_der)? != *algorithm {
                    return Err(Error::BadKey);
                }
                let peer = UnparsedPublicKey::new(algorithm, peer_spki_der);
                agreement::agree(key, peer, Error::BadKey, |secret| {
                    Ok(Zeroizing::new(secret.to_vec()))
                })
            }
            (Key::Kem(key), Opening::Decapsulate { ciphertext }) => key.decapsulate(ciphertext),
            _ => Err(Error::Unsupported),
        }
    }
}

fn decrypt(
    key: &PrivateDecryptingKey,
    padding: RsaPadding,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |_| Error::Undecryptable;
    let mut out = Zeroizing::new(vec![0; key.key_size_bytes()]);
    let len = match padding {
        RsaPadding::Oaep(hash) => OaepPrivateDecryptingKey::new(key.clone())
            .and_then(|key| Ok(key.decrypt(oaep(hash)?, ciphertext, &mut out, None)?.len())),
        RsaPadding::LegacyPkcs1 => Pkcs1PrivateDecryptingKey::new(key.clone())
            .and_then(|key| Ok(key.decrypt(ciphertext, &mut out)?.len())),
        _ => return Err(Error::Unsupported),
    };
    out.truncate(len.map_err(failed)?);
    Ok(out)
}

impl fmt::Debug for SoftDecrypter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftDecrypter").finish_non_exhaustive()
    }
}
