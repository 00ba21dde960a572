//! The TPM's derivations and its parameter cipher (TPM 2.0 Part 1 §11.4.9, Annex B and C).
//! Hashes, HMAC, AES, ECDH and OAEP themselves are the provider's.

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::SystemRandom;
use touchstone_crypto::{Crypto, Error, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use zeroize::Zeroizing;

pub(crate) type Octets = Zeroizing<Vec<u8>>;

pub(crate) fn hash(algorithm: HashAlgorithm, parts: &[&[u8]]) -> Vec<u8> {
    AwsLc.hash(algorithm, parts).as_bytes().to_vec()
}

fn hmac_key(algorithm: HashAlgorithm, key: &[u8]) -> Result<hmac::Key, Error> {
    let algorithm = match algorithm {
        HashAlgorithm::Sha256 => hmac::HMAC_SHA256,
        HashAlgorithm::Sha384 => hmac::HMAC_SHA384,
        HashAlgorithm::Sha512 => hmac::HMAC_SHA512,
        _ => return Err(Error::Unsupported),
    };
    Ok(hmac::Key::new(algorithm, key))
}

pub(crate) fn hmac(
    algorithm: HashAlgorithm,
    key: &[u8],
    parts: &[&[u8]],
) -> Result<Vec<u8>, Error> {
    let mut context = hmac::Context::with_key(&hmac_key(algorithm, key)?);
    for part in parts {
        context.update(part);
    }
    Ok(context.sign().as_ref().to_vec())
}

/// Compares in constant time.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// `KDFa` (Part 1 §11.4.9.2): `len` octets in counter mode of SP 800-108.
pub(crate) fn kdfa(
    algorithm: HashAlgorithm,
    key: &[u8],
    label: &[u8],
    context_u: &[u8],
    context_v: &[u8],
    len: usize,
) -> Result<Octets, Error> {
    let bits = u32::try_from(len * 8).map_err(|_| Error::Unsupported)?.to_be_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(len + algorithm.len()));
    let mut counter = 1u32;
    while out.len() < len {
        let parts =
            [counter.to_be_bytes().as_slice(), label, &[0], context_u, context_v, &bits].concat();
        out.extend_from_slice(&Zeroizing::new(hmac(algorithm, key, &[&parts])?));
        counter += 1;
    }
    out.truncate(len);
    Ok(out)
}

/// `KDFe` (Part 1 §11.4.9.3): one digest's worth from an ECDH secret.
pub(crate) fn kdfe(
    algorithm: HashAlgorithm,
    z: &[u8],
    label: &[u8],
    party_u: &[u8],
    party_v: &[u8],
) -> Octets {
    let counter = 1u32.to_be_bytes();
    Zeroizing::new(hash(algorithm, &[&counter, z, label, &[0], party_u, party_v]))
}

/// AES in CFB mode, in place; the key is 16 or 32 octets.
pub(crate) fn cfb(
    key: &[u8],
    iv: &[u8],
    data: &mut [u8],
    direction: Direction,
) -> Result<(), Error> {
    let failed = |_| Error::BadKey;
    let algorithm = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(Error::Unsupported),
    };
    let key = UnboundCipherKey::new(algorithm, key).map_err(failed)?;
    let iv = FixedLength::try_from(iv).map_err(failed)?;
    match direction {
        Direction::Encrypt => EncryptingKey::cfb128(key)
            .and_then(|key| key.less_safe_encrypt(data, EncryptionContext::Iv128(iv)))
            .map(|_| ())
            .map_err(failed),
        Direction::Decrypt => DecryptingKey::cfb128(key)
            .and_then(|key| key.decrypt(data, DecryptionContext::Iv128(iv)).map(|_| ()))
            .map_err(failed),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Encrypt,
    Decrypt,
}

/// A fresh ECDH key pair's point, and what it agrees on with `(x, y)`.
pub(crate) struct Agreed {
    pub(crate) x: Vec<u8>,
    pub(crate) y: Vec<u8>,
    pub(crate) z: Octets,
}

/// ECDH with the point `(x, y)` on P-256 or P-384; `len` is the field's size in octets.
pub(crate) fn agree(len: usize, x: &[u8], y: &[u8]) -> Result<Agreed, Error> {
    let failed = |_| Error::BadKey;
    let algorithm = match len {
        32 => &agreement::ECDH_P256,
        48 => &agreement::ECDH_P384,
        _ => return Err(Error::Unsupported),
    };
    let ours = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new())
        .map_err(|_| Error::NoRandom)?;
    let public = ours.compute_public_key().map_err(failed)?;
    let (our_x, our_y) = match public.as_ref() {
        [4, point @ ..] if point.len() == 2 * len => point.split_at(len),
        _ => return Err(Error::BadKey),
    };
    let (our_x, our_y) = (our_x.to_vec(), our_y.to_vec());
    let theirs = [&[4], padded(x, len)?.as_slice(), padded(y, len)?.as_slice()].concat();
    let theirs = UnparsedPublicKey::new(algorithm, theirs);
    let z = agreement::agree_ephemeral(ours, theirs, Error::BadKey, |z| {
        Ok(Zeroizing::new(z.to_vec()))
    })?;
    Ok(Agreed { x: our_x, y: our_y, z })
}

/// A number with zeros in front, `len` octets in all.
pub(crate) fn padded(number: &[u8], len: usize) -> Result<Vec<u8>, Error> {
    let zeros = len.checked_sub(number.len()).ok_or(Error::BadKey)?;
    let mut out = vec![0; zeros];
    out.extend_from_slice(number);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cfb_encrypts_it_decrypts() {
        for len in [16, 32] {
            let (key, iv) = (vec![7; len], [9; 16]);
            let mut data = b"a secret that is no multiple of a block".to_vec();
            cfb(&key, &iv, &mut data, Direction::Encrypt).unwrap();
            assert_ne!(data, b"a secret that is no multiple of a block");
            cfb(&key, &iv, &mut data, Direction::Decrypt).unwrap();
            assert_eq!(data, b"a secret that is no multiple of a block");
        }
        assert_eq!(cfb(&[0; 24], &[0; 16], &mut [], Direction::Encrypt), Err(Error::Unsupported));
    }

    #[test]
    fn a_longer_derivation_differs_because_its_length_is_part_of_it() {
        let derive = |len| kdfa(HashAlgorithm::Sha256, b"key", b"CFB", b"u", b"v", len).unwrap();
        assert_eq!(derive(48).len(), 48);
        assert_ne!(derive(16)[..], derive(48)[..16]);
    }

    #[test]
    fn a_point_off_the_curve_is_refused() {
        assert!(matches!(agree(32, &[1; 32], &[1; 32]), Err(Error::BadKey)));
        assert!(matches!(agree(32, &[1; 33], &[1; 32]), Err(Error::BadKey)));
    }
}
