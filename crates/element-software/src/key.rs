//! What is done with a key that is kept: by its algorithm.

use crate::body::Held;
use crate::cipher;
use crate::kem;
use aws_lc_rs::agreement::{
    self, ECDH_P256, ECDH_P384, ECDH_P521, ParsedPublicKey, ParsedPublicKeyFormat, PrivateKey,
    UnparsedPublicKey,
};
use aws_lc_rs::rsa::{
    KeyPair as RsaKeyPair, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use spki::der::Decode;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use touchstone_crypto::{Crypto, Direction, HashAlgorithm, SignatureAlgorithm, Signer, TpmCrypto};
use touchstone_crypto_awslc::{AwsLc, RsaBits, SoftSigner};
use touchstone_element::{Encryption, Error, KeyAlgorithm, KeyUse, Secret};
use zeroize::Zeroizing;

const BAD_KEY: Error = Error::Crypto(touchstone_crypto::Error::BadKey);

/// What may be done with keys of that algorithm here. Nothing here makes statements, so nothing
/// attests.
pub(crate) fn uses(algorithm: KeyAlgorithm) -> Vec<KeyUse> {
    algorithm.uses().iter().copied().filter(|key_use| *key_use != KeyUse::Attest).collect()
}

/// The ways to sign here: all that keys have, save SHA-256 on P-384, which the library verifies but
/// does not make.
pub(crate) fn signatures() -> Vec<SignatureAlgorithm> {
    let made = |algorithm: &SignatureAlgorithm| *algorithm != SignatureAlgorithm::EcdsaP384Sha256;
    SignatureAlgorithm::ALL.into_iter().filter(made).collect()
}

/// The ways to encrypt here.
pub(crate) const ENCRYPTIONS: [Encryption; 5] = [
    Encryption::RsaOaepSha256,
    Encryption::RsaOaepSha384,
    Encryption::RsaOaepSha512,
    Encryption::AesGcm,
    Encryption::AesCfb,
];

/// A new key.
pub(crate) fn generate(key_use: KeyUse, algorithm: KeyAlgorithm) -> Result<Held, Error> {
    let (private, spki_der) = match algorithm {
        KeyAlgorithm::MlKem512 | KeyAlgorithm::MlKem768 | KeyAlgorithm::MlKem1024 => {
            kem::generate(algorithm)?
        }
        KeyAlgorithm::Rsa2048 => rsa(RsaBits::B2048)?,
        KeyAlgorithm::Rsa3072 => rsa(RsaBits::B3072)?,
        KeyAlgorithm::Rsa4096 => rsa(RsaBits::B4096)?,
        _ => match (symmetric_len(algorithm), algorithm.signatures().first()) {
            (Some(len), _) => {
                let mut key = Zeroizing::new(vec![0; len]);
                AwsLc.random(&mut key)?;
                (key, Vec::new())
            }
            (None, Some(signature)) => parts(&SoftSigner::generate(*signature)?),
            (None, None) => return Err(Error::Unsupported("keys of that algorithm")),
        },
    };
    Ok(Held { key_use, algorithm, private, spki_der, certificate: None })
}

/// A key from outside.
pub(crate) fn import(key_use: KeyUse, algorithm: KeyAlgorithm, key: &[u8]) -> Result<Held, Error> {
    let (private, spki_der) = match algorithm {
        KeyAlgorithm::MlKem512 | KeyAlgorithm::MlKem768 | KeyAlgorithm::MlKem1024 => {
            kem::import(algorithm, key)?
        }
        _ => match (symmetric_len(algorithm), algorithm.signatures().first()) {
            (Some(len), _) => {
                let mac = key_use == KeyUse::Mac && (len..=128).contains(&key.len());
                if !mac && key.len() != len {
                    return Err(Error::BadInput("the key has not as many octets as its algorithm"));
                }
                (Zeroizing::new(key.to_vec()), Vec::new())
            }
            (None, Some(signature)) => {
                let bad = |_| Error::BadInput("the key is not PKCS#8 of a key of that algorithm");
                let signer = SoftSigner::load_pkcs8_der(*signature, key).map_err(bad)?;
                check_rsa_length(algorithm, &signer)?;
                parts(&signer)
            }
            (None, None) => return Err(Error::Unsupported("keys of that algorithm")),
        },
    };
    Ok(Held { key_use, algorithm, private, spki_der, certificate: None })
}

fn rsa(bits: RsaBits) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), Error> {
    Ok(parts(&SoftSigner::generate_rsa(bits, SignatureAlgorithm::RsaPkcs1Sha256)?))
}

fn parts(signer: &SoftSigner) -> (Zeroizing<Vec<u8>>, Vec<u8>) {
    (Zeroizing::new(signer.pkcs8_der().to_vec()), signer.spki_der().to_vec())
}

fn check_rsa_length(algorithm: KeyAlgorithm, signer: &SoftSigner) -> Result<(), Error> {
    let octets = match algorithm {
        KeyAlgorithm::Rsa2048 => 256,
        KeyAlgorithm::Rsa3072 => 384,
        KeyAlgorithm::Rsa4096 => 512,
        _ => return Ok(()),
    };
    let key = RsaKeyPair::from_pkcs8(signer.pkcs8_der()).map_err(|_| BAD_KEY)?;
    if key.public_modulus_len() == octets {
        return Ok(());
    }
    Err(Error::BadInput("the RSA key has another length than its algorithm says"))
}

const fn symmetric_len(algorithm: KeyAlgorithm) -> Option<usize> {
    match algorithm {
        KeyAlgorithm::Aes128 => Some(16),
        KeyAlgorithm::Aes256 | KeyAlgorithm::HmacSha256 => Some(32),
        KeyAlgorithm::HmacSha384 => Some(48),
        KeyAlgorithm::HmacSha512 => Some(64),
        _ => None,
    }
}

impl Held {
    /// A signature over a message.
    pub(crate) fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        Ok(SoftSigner::load_pkcs8_der(algorithm, &self.private)?.sign(message)?)
    }

    /// Encrypts.
    pub(crate) fn encrypt(&self, how: Encryption, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        match how {
            Encryption::AesGcm => Ok(cipher::gcm_encrypt(&self.private, plaintext)?),
            Encryption::AesCfb => {
                let iv = cipher::random()?;
                let mut data = plaintext.to_vec();
                AwsLc.aes_cfb(&self.private, &iv, &mut data, Direction::Encrypt)?;
                Ok([&iv, data.as_slice()].concat())
            }
            _ => {
                let key = PublicEncryptingKey::from_der(&self.spki_der).map_err(|_| BAD_KEY)?;
                let key = OaepPublicEncryptingKey::new(key).map_err(|_| BAD_KEY)?;
                let mut out = vec![0; key.ciphertext_size()];
                let made = key.encrypt(oaep(how)?, plaintext, &mut out, None);
                let len = made.map_err(|_| Error::BadInput("too long for RSA-OAEP"))?.len();
                out.truncate(len);
                Ok(out)
            }
        }
    }

    /// Decrypts. Of a ciphertext that does not decrypt nothing more is said: that would help whoever
    /// made it.
    pub(crate) fn decrypt(&self, how: Encryption, ciphertext: &[u8]) -> Result<Secret, Error> {
        const BAD: Error = Error::BadInput("the ciphertext was not made for this key");
        match how {
            Encryption::AesGcm => {
                let plain = cipher::gcm_decrypt(&self.private, ciphertext).map_err(|_| BAD)?;
                Ok(Secret::new(plain.to_vec()))
            }
            Encryption::AesCfb => {
                let (iv, data) = ciphertext.split_first_chunk().ok_or(BAD)?;
                let mut data = data.to_vec();
                AwsLc.aes_cfb(&self.private, iv, &mut data, Direction::Decrypt)?;
                Ok(Secret::new(data))
            }
            _ => {
                let key = PrivateDecryptingKey::from_pkcs8(&self.private).map_err(|_| BAD_KEY)?;
                let key = OaepPrivateDecryptingKey::new(key).map_err(|_| BAD_KEY)?;
                let mut out = Zeroizing::new(vec![0; key.min_output_size()]);
                let plain = key.decrypt(oaep(how)?, ciphertext, &mut out, None);
                Ok(Secret::new(plain.map_err(|_| BAD)?.to_vec()))
            }
        }
    }

    /// The x-coordinate of the point common with the peer.
    pub(crate) fn agree(&self, peer_spki_der: &[u8]) -> Result<Secret, Error> {
        const BAD: Error =
            Error::BadInput("the peer's key is no SubjectPublicKeyInfo on this curve");
        let (curve, oid) = curve(self.algorithm)?;
        let theirs = SubjectPublicKeyInfoRef::from_der(peer_spki_der).map_err(|_| BAD)?;
        // RFC 5480 §2.1.1: curves are named. The library would also take one that is spelt out.
        let named = theirs.algorithm.parameters_oid().map_err(|_| BAD)?;
        if theirs.algorithm.oid != EC_PUBLIC_KEY || named != oid {
            return Err(BAD);
        }
        let point = theirs.subject_public_key.as_bytes().ok_or(BAD)?;
        let ours = PrivateKey::from_private_key_der(curve, &self.private).map_err(|_| BAD_KEY)?;
        let theirs = UnparsedPublicKey::new(curve, point);
        let theirs = ParsedPublicKey::try_from(&theirs).map_err(|_| BAD)?;
        if theirs.format() != ParsedPublicKeyFormat::Uncompressed {
            return Err(BAD);
        }
        agreement::agree(&ours, theirs, BAD, |z| Ok(Secret::new(z.to_vec())))
    }

    /// Opens what was encapsulated.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Secret, Error> {
        kem::decapsulate(self.algorithm, &self.private, ciphertext)
    }

    /// A message authentication code.
    pub(crate) fn mac(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let hash = match self.algorithm {
            KeyAlgorithm::HmacSha256 => HashAlgorithm::Sha256,
            KeyAlgorithm::HmacSha384 => HashAlgorithm::Sha384,
            KeyAlgorithm::HmacSha512 => HashAlgorithm::Sha512,
            _ => return Err(Error::Unsupported("a MAC with that key")),
        };
        Ok(AwsLc.hmac(hash, &self.private, &[message])?.as_bytes().to_vec())
    }
}

/// RFC 5480 §2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// The curve, in the library and by name (RFC 5480 §2.1.1.1).
fn curve(
    algorithm: KeyAlgorithm,
) -> Result<(&'static agreement::Algorithm, ObjectIdentifier), Error> {
    let (curve, oid) = match algorithm {
        KeyAlgorithm::P256 => (&ECDH_P256, "1.2.840.10045.3.1.7"),
        KeyAlgorithm::P384 => (&ECDH_P384, "1.3.132.0.34"),
        KeyAlgorithm::P521 => (&ECDH_P521, "1.3.132.0.35"),
        _ => return Err(Error::Unsupported("agreement with that key")),
    };
    Ok((curve, ObjectIdentifier::new_unwrap(oid)))
}

fn oaep(how: Encryption) -> Result<&'static OaepAlgorithm, Error> {
    match how {
        Encryption::RsaOaepSha256 => Ok(&OAEP_SHA256_MGF1SHA256),
        Encryption::RsaOaepSha384 => Ok(&OAEP_SHA384_MGF1SHA384),
        Encryption::RsaOaepSha512 => Ok(&OAEP_SHA512_MGF1SHA512),
        _ => Err(Error::Unsupported("that way to encrypt with this key")),
    }
}
