//! What talking to a TPM takes.

use crate::{Random, Soft};
use aes::{Aes128, Aes256};
use alloc::vec::Vec;
use cfb_mode::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit};
use cfb_mode::{BufDecryptor, BufEncryptor};
use hmac::{Hmac, Mac};
use p256::NistP256;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytes, SecretKey, ecdh};
use p384::NistP384;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use touchstone_crypto::{Agreed, Curve, Digest, Direction, Error, HashAlgorithm, TpmCrypto};
use zeroize::{Zeroize, Zeroizing};

impl TpmCrypto for Soft {
    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Result<Digest, Error> {
        let listed = self.macs.iter().find(|listed| listed.hash == algorithm);
        let mac = listed.ok_or(Error::Unsupported)?.mac;
        mac(algorithm, key, parts)
    }

    fn aes_cfb(
        &self,
        key: &[u8],
        iv: &[u8; 16],
        data: &mut [u8],
        direction: Direction,
    ) -> Result<(), Error> {
        let listed = self.ciphers.iter().find(|listed| listed.key_len == key.len());
        let cfb = listed.ok_or(Error::Unsupported)?.cfb;
        cfb(key, iv, data, direction)
    }

    fn agree(&self, curve: Curve, x: &[u8], y: &[u8]) -> Result<Agreed, Error> {
        if x.len() != curve.len() || y.len() != curve.len() {
            return Err(Error::BadKey);
        }
        let listed = self.agreements.iter().find(|listed| listed.curve == curve);
        let agree = listed.ok_or(Error::Unsupported)?.agree;
        agree(self.random, x, y)
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

/// Authenticates the parts with the key.
type Authenticate = fn(HashAlgorithm, &[u8], &[&[u8]]) -> Result<Digest, Error>;

/// HMAC with one hash.
pub struct MacAlgorithm {
    hash: HashAlgorithm,
    mac: Authenticate,
}

/// HMAC with SHA-1.
pub static HMAC_SHA1: MacAlgorithm =
    MacAlgorithm { hash: HashAlgorithm::Sha1, mac: hmac::<Hmac<Sha1>> };

/// HMAC with SHA-256.
pub static HMAC_SHA256: MacAlgorithm =
    MacAlgorithm { hash: HashAlgorithm::Sha256, mac: hmac::<Hmac<Sha256>> };

/// HMAC with SHA-384.
pub static HMAC_SHA384: MacAlgorithm =
    MacAlgorithm { hash: HashAlgorithm::Sha384, mac: hmac::<Hmac<Sha384>> };

/// HMAC with SHA-512.
pub static HMAC_SHA512: MacAlgorithm =
    MacAlgorithm { hash: HashAlgorithm::Sha512, mac: hmac::<Hmac<Sha512>> };

/// Everything here.
pub static MACS: &[&MacAlgorithm] = &[&HMAC_SHA1, &HMAC_SHA256, &HMAC_SHA384, &HMAC_SHA512];

/// Encrypts or decrypts in place with the key and the initialization vector.
type Cfb = fn(&[u8], &[u8; 16], &mut [u8], Direction) -> Result<(), Error>;

/// AES in CFB mode with keys of one length.
pub struct Cipher {
    key_len: usize,
    cfb: Cfb,
}

/// AES with keys of 128 bits.
pub static AES_128: Cipher = Cipher { key_len: 16, cfb: cfb::<Aes128> };

/// AES with keys of 256 bits.
pub static AES_256: Cipher = Cipher { key_len: 32, cfb: cfb::<Aes256> };

/// Everything here.
pub static CIPHERS: &[&Cipher] = &[&AES_128, &AES_256];

/// Agrees with the point of these coordinates.
type Agree = fn(Random, &[u8], &[u8]) -> Result<Agreed, Error>;

/// A curve that secrets can be agreed on.
pub struct Agreement {
    curve: Curve,
    agree: Agree,
}

/// ECDH on P-256.
pub static P256: Agreement = Agreement { curve: Curve::P256, agree: agree::<NistP256> };

/// ECDH on P-384.
pub static P384: Agreement = Agreement { curve: Curve::P384, agree: agree::<NistP384> };

/// Everything here.
pub static AGREEMENTS: &[&Agreement] = &[&P256, &P384];

fn agree<C: CurveArithmetic>(random: Random, x: &[u8], y: &[u8]) -> Result<Agreed, Error> {
    let coordinate = |octets: &[u8]| FieldBytes::<C>::try_from(octets).map_err(|_| Error::BadKey);
    // Coordinates off the curve make no point, and the point at infinity has none.
    let theirs: Option<AffinePoint<C>> =
        AffinePoint::<C>::from_coordinates(&coordinate(x)?, &coordinate(y)?).into();
    let theirs = theirs.ok_or(Error::BadKey)?;
    let ours = private_key::<C>(random)?;
    let z = ecdh::diffie_hellman::<C>(ours.to_nonzero_scalar(), theirs);
    let point = ours.public_key();
    let (x, y) = (point.as_affine().x(), point.as_affine().y());
    Ok(Agreed { x: x.to_vec(), y: y.to_vec(), z: Zeroizing::new(z.raw_secret_bytes().to_vec()) })
}

/// A random octet string that is no private key comes once in 2^32 on P-256: so many in a row are a
/// broken source.
const TRIES: u32 = 8;

/// A private key by rejection (SP 800-56A §5.6.1.2.2): random octets until they are one.
fn private_key<C: CurveArithmetic>(random: Random) -> Result<SecretKey<C>, Error> {
    let mut octets = FieldBytes::<C>::default();
    for _ in 0..TRIES {
        random(&mut octets)?;
        let key = SecretKey::from_bytes(&octets);
        octets.zeroize();
        if let Ok(key) = key {
            return Ok(key);
        }
    }
    Err(Error::NoRandom)
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
