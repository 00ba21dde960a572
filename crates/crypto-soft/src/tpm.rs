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
