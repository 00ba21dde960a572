//! Which keys of elements are which objects of a TPM.

use crate::told::local;
use touchstone_crypto::{Curve, HashAlgorithm, SignatureAlgorithm};
use touchstone_element::{Encryption, Error, KeyAlgorithm, KeyUse, PublicKey};
use touchstone_tpm2::marshal::Writer;
use touchstone_tpm2::object::{RsaEncryption, SigningScheme};
use touchstone_tpm2::public::attributes::{DECRYPT, RESTRICTED, SIGN};
use touchstone_tpm2::public::{Key, Symmetric};
use touchstone_tpm2::template::{self, KeyPair};
use touchstone_tpm2::{self as tpm2, Command, Public, Tpm, code, response_code};

/// The kinds of keys, which a TPM may have or not.
pub(crate) const ALGORITHMS: [KeyAlgorithm; 11] = [
    KeyAlgorithm::P256,
    KeyAlgorithm::P384,
    KeyAlgorithm::P521,
    KeyAlgorithm::Rsa2048,
    KeyAlgorithm::Rsa3072,
    KeyAlgorithm::Rsa4096,
    KeyAlgorithm::HmacSha256,
    KeyAlgorithm::HmacSha384,
    KeyAlgorithm::HmacSha512,
    KeyAlgorithm::Aes128,
    KeyAlgorithm::Aes256,
];

/// How keys decrypt.
pub(crate) const ENCRYPTIONS: [Encryption; 5] = [
    Encryption::RsaOaepSha256,
    Encryption::RsaOaepSha384,
    Encryption::RsaOaepSha512,
    Encryption::RsaOaepSha1,
    Encryption::AesCfb,
];

pub(crate) const UNNAMED: Error =
    Error::Unsupported("a key of an algorithm that a TPM has not, or that has no name here");

/// What a TPM makes for such a key.
pub(crate) fn template(key_use: KeyUse, algorithm: KeyAlgorithm) -> Result<Public, Error> {
    if !algorithm.uses().contains(&key_use) {
        return Err(Error::Unsupported("keys of this algorithm for this use"));
    }
    Ok(match (key_use, pair(algorithm)) {
        (KeyUse::Sign, Some(pair)) => template::signing(pair, scheme(algorithm)?),
        (KeyUse::Attest, Some(pair)) => {
            let scheme = SigningScheme::of(usual(algorithm)?).map_err(local)?;
            template::attestation(pair, scheme).map_err(local)?
        }
        (KeyUse::Decrypt, Some(KeyPair::Rsa(bits))) => template::decryption(bits, None),
        (KeyUse::Agree, Some(KeyPair::Ecc(curve))) => template::agreement(curve),
        (KeyUse::Mac, None) => template::hmac(mac_hash(algorithm).ok_or(UNNAMED)?),
        (KeyUse::Decrypt, None) => template::cipher(cipher_bits(algorithm).ok_or(UNNAMED)?),
        _ => return Err(UNNAMED),
    })
}

/// A key that can sign in one way only says so; others leave it to each signature.
fn scheme(algorithm: KeyAlgorithm) -> Result<SigningScheme, Error> {
    match algorithm.signatures() {
        [only] => SigningScheme::of(*only).map_err(local),
        _ => Ok(SigningScheme::OfKey),
    }
}

fn usual(algorithm: KeyAlgorithm) -> Result<SignatureAlgorithm, Error> {
    algorithm.signatures().first().copied().ok_or(UNNAMED)
}

const fn pair(algorithm: KeyAlgorithm) -> Option<KeyPair> {
    Some(match algorithm {
        KeyAlgorithm::Rsa2048 => KeyPair::Rsa(2048),
        KeyAlgorithm::Rsa3072 => KeyPair::Rsa(3072),
        KeyAlgorithm::Rsa4096 => KeyPair::Rsa(4096),
        KeyAlgorithm::P256 => KeyPair::Ecc(Curve::P256),
        KeyAlgorithm::P384 => KeyPair::Ecc(Curve::P384),
        KeyAlgorithm::P521 => KeyPair::Ecc(Curve::P521),
        _ => return None,
    })
}

const fn mac_hash(algorithm: KeyAlgorithm) -> Option<HashAlgorithm> {
    Some(match algorithm {
        KeyAlgorithm::HmacSha256 => HashAlgorithm::Sha256,
        KeyAlgorithm::HmacSha384 => HashAlgorithm::Sha384,
        KeyAlgorithm::HmacSha512 => HashAlgorithm::Sha512,
        _ => return None,
    })
}

const fn cipher_bits(algorithm: KeyAlgorithm) -> Option<u16> {
    Some(match algorithm {
        KeyAlgorithm::Aes128 => 128,
        KeyAlgorithm::Aes256 => 256,
        _ => return None,
    })
}

/// What may be known of the key with this `TPMT_PUBLIC`.
pub(crate) fn public_key(native: Vec<u8>) -> Result<PublicKey, Error> {
    let public = Public::decode(&native).map_err(local)?;
    let algorithm = algorithm_of(&public).ok_or(UNNAMED)?;
    let has = |attribute| public.attributes & attribute != 0;
    let key_use = match public.key {
        Key::KeyedHash { .. } if has(SIGN) => KeyUse::Mac,
        Key::Cipher { .. } => KeyUse::Decrypt,
        _ if has(SIGN) && has(RESTRICTED) => KeyUse::Attest,
        _ if has(SIGN) => KeyUse::Sign,
        Key::Rsa { .. } if has(DECRYPT) && !has(RESTRICTED) => KeyUse::Decrypt,
        Key::Ecc { .. } if has(DECRYPT) && !has(RESTRICTED) => KeyUse::Agree,
        _ => return Err(UNNAMED),
    };
    let spki_der =
        if algorithm.is_symmetric() { Vec::new() } else { public.spki_der().map_err(local)? };
    Ok(PublicKey { key_use, algorithm, spki_der, native })
}

fn algorithm_of(public: &Public) -> Option<KeyAlgorithm> {
    let is = |algorithm: &KeyAlgorithm| match &public.key {
        Key::Rsa { bits, .. } => pair(*algorithm) == Some(KeyPair::Rsa(*bits)),
        Key::Ecc { curve, .. } => pair(*algorithm) == Some(KeyPair::Ecc(*curve)),
        Key::KeyedHash { .. } => {
            public.scheme.is_some_and(|(_, hash)| mac_hash(*algorithm) == Some(hash))
        }
        Key::Cipher { .. } => cipher_bits(*algorithm)
            .is_some_and(|bits| public.symmetric == Symmetric::AesCfb { bits }),
    };
    ALGORITHMS.iter().copied().find(is)
}

/// How a key is asked to sign in this way; `None` when it cannot.
pub(crate) fn signing(public: &Public, algorithm: SignatureAlgorithm) -> Option<SigningScheme> {
    let can = algorithm_of(public)?.signatures().contains(&algorithm);
    let own = public.scheme.is_none() || public.signature_algorithm() == Some(algorithm);
    if can && own { SigningScheme::of(algorithm).ok() } else { None }
}

/// The padding of an encryption to an RSA key.
pub(crate) const fn oaep(encryption: Encryption) -> Option<(RsaEncryption, HashAlgorithm)> {
    let hash = match encryption {
        Encryption::RsaOaepSha256 => HashAlgorithm::Sha256,
        Encryption::RsaOaepSha384 => HashAlgorithm::Sha384,
        Encryption::RsaOaepSha512 => HashAlgorithm::Sha512,
        Encryption::RsaOaepSha1 => HashAlgorithm::Sha1,
        _ => return None,
    };
    Some((RsaEncryption::Oaep(hash), hash))
}

/// Whether this TPM has keys of that algorithm (`TPM2_TestParms`).
pub(crate) fn has(tpm: &mut Tpm, algorithm: KeyAlgorithm) -> Result<bool, tpm2::Error> {
    const NULL: u16 = 0x0010;
    let writer = Writer::default();
    let parameters = match pair(algorithm) {
        Some(KeyPair::Rsa(bits)) => writer.u16(0x0001).u16(NULL).u16(NULL).u16(bits).u32(0),
        Some(KeyPair::Ecc(curve)) => {
            writer.u16(0x0023).u16(NULL).u16(NULL).u16(curve.tpm_id()).u16(NULL)
        }
        None => match (mac_hash(algorithm), cipher_bits(algorithm)) {
            (Some(hash), _) => writer.u16(0x0008).u16(0x0005).u16(hash.tpm_id()),
            (_, Some(bits)) => writer.u16(0x0025).u16(0x0006).u16(bits).u16(0x0043),
            _ => return Ok(false),
        },
    };
    match tpm.run(&Command::new(code::TEST_PARMS).parameters(parameters)) {
        Ok(_) => Ok(true),
        Err(tpm2::Error::Refused(refusal)) if !refusal.is(response_code::FAILURE) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_is_for_is_read_back_from_it() {
        for algorithm in ALGORITHMS {
            for &key_use in algorithm.uses() {
                let mut template = template(key_use, algorithm).unwrap();
                match &mut template.key {
                    Key::Rsa { modulus, .. } => *modulus = vec![0x81; 32],
                    Key::Ecc { x, y, .. } => (*x, *y) = (vec![1], vec![1]),
                    Key::KeyedHash { .. } | Key::Cipher { .. } => {}
                }
                let public = public_key(template.encode().unwrap()).unwrap();
                assert_eq!((public.key_use, public.algorithm), (key_use, algorithm));
            }
        }
        assert!(template(KeyUse::Decapsulate, KeyAlgorithm::MlKem768).is_err());
        assert!(template(KeyUse::Agree, KeyAlgorithm::Rsa2048).is_err());
    }
}
