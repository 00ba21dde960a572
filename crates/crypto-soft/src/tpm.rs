//! What talking to a TPM takes.

use crate::Soft;
use aes::{Aes128, Aes256};
use alloc::vec::Vec;
use cfb_mode::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit};
use cfb_mode::{BufDecryptor, BufEncryptor};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use touchstone_crypto::{
    Agreed, Crypto, Curve, Digest, Direction, Error, HashAlgorithm, TpmCrypto,
};
use zeroize::Zeroizing;

impl TpmCrypto for Soft {
    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Result<Digest, Error> {
        match algorithm {
            HashAlgorithm::Sha1 => hmac::<Hmac<Sha1>>(algorithm, key, parts),
            HashAlgorithm::Sha256 => hmac::<Hmac<Sha256>>(algorithm, key, parts),
            HashAlgorithm::Sha384 => hmac::<Hmac<Sha384>>(algorithm, key, parts),
            HashAlgorithm::Sha512 => hmac::<Hmac<Sha512>>(algorithm, key, parts),
            _ => Err(Error::Unsupported),
        }
    }

    fn aes_cfb(
        &self,
        key: &[u8],
        iv: &[u8; 16],
        data: &mut [u8],
        direction: Direction,
    ) -> Result<(), Error> {
        match key.len() {
            16 => cfb::<Aes128>(key, iv, data, direction),
            32 => cfb::<Aes256>(key, iv, data, direction),
            _ => Err(Error::Unsupported),
        }
    }

    fn agree(&self, curve: Curve, x: &[u8], y: &[u8]) -> Result<Agreed, Error> {
        if x.len() != curve.len() || y.len() != curve.len() {
            return Err(Error::BadKey);
        }
        let point = [&[4], x, y].concat();
        match curve {
            Curve::P256 => self.agree_p256(&point),
            Curve::P384 => self.agree_p384(&point),
            _ => Err(Error::Unsupported),
        }
    }

    /// [`Error::Unsupported`]: no RSA here.
    fn rsa_oaep(
        &self,
        _modulus: &[u8],
        _exponent: u32,
        _hash: HashAlgorithm,
        _label: &[u8],
        _plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        Err(Error::Unsupported)
    }
}

/// A random octet string that is no private key comes once in 2^32 on P-256: so many in a row are a
/// broken source.
const TRIES: u32 = 8;

impl Soft {
    fn agree_p256(self, point: &[u8]) -> Result<Agreed, Error> {
        use p256::elliptic_curve::sec1::ToSec1Point;
        use p256::{PublicKey, SecretKey, ecdh};
        let theirs = PublicKey::from_sec1_bytes(point).map_err(|_| Error::BadKey)?;
        let ours = self.private_key::<32, _>(|octets| SecretKey::from_slice(octets).ok())?;
        let z = ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
        agreed(ours.public_key().to_sec1_point(false).as_bytes(), z.raw_secret_bytes())
    }

    fn agree_p384(self, point: &[u8]) -> Result<Agreed, Error> {
        use p384::elliptic_curve::sec1::ToSec1Point;
        use p384::{PublicKey, SecretKey, ecdh};
        let theirs = PublicKey::from_sec1_bytes(point).map_err(|_| Error::BadKey)?;
        let ours = self.private_key::<48, _>(|octets| SecretKey::from_slice(octets).ok())?;
        let z = ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
        agreed(ours.public_key().to_sec1_point(false).as_bytes(), z.raw_secret_bytes())
    }

    /// A private key by rejection (SP 800-56A §5.6.1.2.2): random octets until they are one.
    fn private_key<const N: usize, K>(self, key: impl Fn(&[u8]) -> Option<K>) -> Result<K, Error> {
        let mut octets = Zeroizing::new([0; N]);
        for _ in 0..TRIES {
            self.random(octets.as_mut())?;
            if let Some(key) = key(octets.as_ref()) {
                return Ok(key);
            }
        }
        Err(Error::NoRandom)
    }
}

fn agreed(point: &[u8], z: &[u8]) -> Result<Agreed, Error> {
    match point {
        [4, point @ ..] if point.len() == 2 * z.len() => {
            let (x, y) = point.split_at(z.len());
            Ok(Agreed { x: x.to_vec(), y: y.to_vec(), z: Zeroizing::new(z.to_vec()) })
        }
        _ => Err(Error::BadKey),
    }
}

fn hmac<M: Mac + hmac::KeyInit>(
    algorithm: HashAlgorithm,
    key: &[u8],
    parts: &[&[u8]],
) -> Result<Digest, Error> {
    let mut mac = <M as hmac::KeyInit>::new_from_slice(key).map_err(|_| Error::BadKey)?;
    for part in parts {
        mac.update(part);
    }
    Digest::new(algorithm, &mac.finalize().into_bytes()).ok_or(Error::Unsupported)
}

fn cfb<C: BlockCipherEncrypt + KeyInit>(
    key: &[u8],
    iv: &[u8; 16],
    data: &mut [u8],
    direction: Direction,
) -> Result<(), Error> {
    let bad = |_| Error::BadKey;
    match direction {
        Direction::Encrypt => {
            BufEncryptor::<C>::new_from_slices(key, iv).map_err(bad)?.encrypt(data);
        }
        Direction::Decrypt => {
            BufDecryptor::<C>::new_from_slices(key, iv).map_err(bad)?.decrypt(data);
        }
    }
    Ok(())
}
