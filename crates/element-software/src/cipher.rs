//! Key derivation and authenticated encryption, as the store and sealed secrets use them.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use touchstone_crypto::{Crypto, Error};
use touchstone_crypto_awslc::AwsLc;
use zeroize::Zeroizing;

/// Octets of a GCM tag.
pub(crate) const TAG: usize = 16;
/// Octets of a GCM nonce.
pub(crate) const NONCE: usize = 12;

/// 32 secret octets.
pub(crate) type Key = Zeroizing<[u8; 32]>;

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF with SHA-256 (RFC 5869).
pub(crate) fn derive(
    salt: &[u8],
    secret: &[u8],
    info: &[&[u8]],
    out: &mut [u8],
) -> Result<(), Error> {
    let failed = |_| Error::Unsupported;
    let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    prk.expand(info, Len(out.len())).map_err(failed)?.fill(out).map_err(failed)
}

/// The key and nonce of one encryption, from a salt that is used once.
fn once(salt: &[u8; 32], secret: &[u8], info: &[u8]) -> Result<(LessSafeKey, Nonce), Error> {
    let mut both = Zeroizing::new([0; 32 + NONCE]);
    derive(salt, secret, &[info], both.as_mut())?;
    let (key, nonce) = both.split_at(32);
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Error::BadKey)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::BadKey)?;
    Ok((LessSafeKey::new(key), nonce))
}

/// Encrypts in place and appends the tag. `salt` is used for this and never again.
pub(crate) fn shut(
    salt: &[u8; 32],
    secret: &[u8],
    info: &[u8],
    bound: &[u8],
    data: &mut Vec<u8>,
) -> Result<(), Error> {
    let (key, nonce) = once(salt, secret, info)?;
    key.seal_in_place_append_tag(nonce, Aad::from(bound), data).map_err(|_| Error::Unsupported)
}

/// Decrypts what [`shut`] made; [`Error::BadSignature`] when anything is different.
pub(crate) fn open(
    salt: &[u8; 32],
    secret: &[u8],
    info: &[u8],
    bound: &[u8],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (key, nonce) = once(salt, secret, info)?;
    open_with(&key, nonce, bound, data)
}

fn open_with(
    key: &LessSafeKey,
    nonce: Nonce,
    bound: &[u8],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut plain = Zeroizing::new(data.to_vec());
    let opened = key.open_in_place(nonce, Aad::from(bound), plain.as_mut_slice());
    let len = opened.map_err(|_| Error::BadSignature)?.len();
    plain.truncate(len);
    Ok(plain)
}

fn gcm(key: &[u8]) -> Result<LessSafeKey, Error> {
    let algorithm = match key.len() {
        16 => &AES_128_GCM,
        32 => &AES_256_GCM,
        _ => return Err(Error::BadKey),
    };
    UnboundKey::new(algorithm, key).map(LessSafeKey::new).map_err(|_| Error::BadKey)
}

/// AES-GCM with a key that someone uses: nonce, ciphertext, tag.
pub(crate) fn gcm_encrypt(key: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    let nonce: [u8; NONCE] = random()?;
    let mut data = plaintext.to_vec();
    let sealed = Nonce::assume_unique_for_key(nonce);
    let tag = gcm(key)?.seal_in_place_separate_tag(sealed, Aad::empty(), &mut data);
    let tag = tag.map_err(|_| Error::Unsupported)?;
    Ok([&nonce, data.as_slice(), tag.as_ref()].concat())
}

/// The other way.
pub(crate) fn gcm_decrypt(key: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (nonce, data) = ciphertext.split_first_chunk::<NONCE>().ok_or(Error::BadSignature)?;
    open_with(&gcm(key)?, Nonce::assume_unique_for_key(*nonce), &[], data)
}

/// Fresh random octets.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0; N];
    AwsLc.random(&mut out)?;
    Ok(out)
}
