//! What signed and encrypted envelopes take, on aws-lc-rs; only the KDF of ANSI X9.63, which it has
//! not, is RustCrypto's.

use crate::kem;
use crate::{AwsLc, digest_algorithm};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepAlgorithm, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::{digest, hkdf};
use spki::der::Decode;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use touchstone_crypto::{
    Digest, EnvelopeCrypto, Error, HashAlgorithm, Hasher, Hashing, RsaPadding, Shared,
};
use zeroize::Zeroizing;

impl Hashing for AwsLc {
    fn hasher(&self, algorithm: HashAlgorithm) -> Box<dyn Hasher> {
        Box::new(Running(algorithm, digest::Context::new(digest_algorithm(algorithm))))
    }
}

struct Running(HashAlgorithm, digest::Context);

impl Hasher for Running {
    fn update(&mut self, octets: &[u8]) {
        self.1.update(octets);
    }

    fn finish(self: Box<Self>) -> Digest {
        // The library's digest has the algorithm's length by construction.
        Digest::new(self.0, self.1.finish().as_ref()).unwrap_or(Digest::zero(self.0))
    }
}

impl EnvelopeCrypto for AwsLc {
    fn aes_gcm_seal(
        &self,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<[u8; 16], Error> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = gcm(key)?
            .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
            .map_err(|_| Error::BadKey)?;
        tag.as_ref().try_into().map_err(|_| Error::Unsupported)
    }

    fn aes_gcm_open(
        &self,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        data: &mut Vec<u8>,
        tag: &[u8; 16],
    ) -> Result<(), Error> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        data.extend_from_slice(tag);
        let len = gcm(key)?
            .open_in_place(nonce, Aad::from(aad), data)
            .map(|plain| plain.len())
            .map_err(|_| Error::Undecryptable)?;
        data.truncate(len);
        Ok(())
    }

    fn aes_cbc_encrypt(&self, key: &[u8], iv: &[u8; 16], data: &mut Vec<u8>) -> Result<(), Error> {
        let iv = EncryptionContext::Iv128(FixedLength::from(iv));
        PaddedBlockEncryptingKey::cbc_pkcs7(cipher_key(key)?)
            .and_then(|key| key.less_safe_encrypt(data, iv))
            .map(|_| ())
            .map_err(|_| Error::BadKey)
    }

    fn aes_cbc_decrypt(&self, key: &[u8], iv: &[u8; 16], data: &mut Vec<u8>) -> Result<(), Error> {
        let iv = DecryptionContext::Iv128(FixedLength::from(iv));
        let len = PaddedBlockDecryptingKey::cbc_pkcs7(cipher_key(key)?)
            .and_then(|key| key.decrypt(data, iv).map(|plain| plain.len()))
            .map_err(|_| Error::Undecryptable)?;
        data.truncate(len);
        Ok(())
    }

    fn aes_wrap(&self, kek: &[u8], key: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; key.len() + 8];
        let len = kek_of(kek)?.wrap(key, &mut out).map_err(|_| Error::BadKey)?.len();
        out.truncate(len);
        Ok(out)
    }

    fn aes_unwrap(&self, kek: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Zeroizing::new(vec![0; wrapped.len().saturating_sub(8)]);
        let len = kek_of(kek)?.unwrap(wrapped, &mut out).map_err(|_| Error::Undecryptable)?.len();
        out.truncate(len);
        Ok(out)
    }

    fn x963_kdf(
        &self,
        hash: HashAlgorithm,
        secret: &[u8],
        info: &[u8],
        len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Zeroizing::new(vec![0; len]);
        match hash {
            HashAlgorithm::Sha1 => {
                ansi_x963_kdf::derive_key_into::<sha1::Sha1>(secret, info, &mut out)
            }
            HashAlgorithm::Sha256 => {
                ansi_x963_kdf::derive_key_into::<sha2::Sha256>(secret, info, &mut out)
            }
            HashAlgorithm::Sha384 => {
                ansi_x963_kdf::derive_key_into::<sha2::Sha384>(secret, info, &mut out)
            }
            HashAlgorithm::Sha512 => {
                ansi_x963_kdf::derive_key_into::<sha2::Sha512>(secret, info, &mut out)
            }
            _ => return Err(Error::Unsupported),
        }
        .map_err(|_| Error::Unsupported)?;
        Ok(out)
    }

    fn hkdf(
        &self,
        hash: HashAlgorithm,
        secret: &[u8],
        info: &[u8],
        len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let algorithm = match hash {
            HashAlgorithm::Sha256 => hkdf::HKDF_SHA256,
            HashAlgorithm::Sha384 => hkdf::HKDF_SHA384,
            HashAlgorithm::Sha512 => hkdf::HKDF_SHA512,
            _ => return Err(Error::Unsupported),
        };
        let mut out = Zeroizing::new(vec![0; len]);
        hkdf::Salt::new(algorithm, &[])
            .extract(secret)
            .expand(&[info], Octets(len))
            .and_then(|okm| okm.fill(&mut out))
            .map_err(|_| Error::Unsupported)?;
        Ok(out)
    }

    fn rsa_encrypt(
        &self,
        spki_der: &[u8],
        padding: RsaPadding,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let bad = |_| Error::BadKey;
        let key = PublicEncryptingKey::from_der(spki_der).map_err(|_| Error::BadKey)?;
        let mut out = vec![0; key.key_size_bytes()];
        let len = match padding {
            RsaPadding::Oaep(hash) => OaepPublicEncryptingKey::new(key)
                .and_then(|key| Ok(key.encrypt(oaep(hash)?, plaintext, &mut out, None)?.len()))
                .map_err(bad)?,
            RsaPadding::LegacyPkcs1 => Pkcs1PublicEncryptingKey::new(key)
                .and_then(|key| Ok(key.encrypt(plaintext, &mut out)?.len()))
                .map_err(bad)?,
            _ => return Err(Error::Unsupported),
        };
        out.truncate(len);
        Ok(out)
    }

    fn agree_with(&self, spki_der: &[u8]) -> Result<Shared, Error> {
        let algorithm = curve(spki_der)?;
        let ours = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new())
            .map_err(|_| Error::NoRandom)?;
        let public = ours.compute_public_key().map_err(|_| Error::BadKey)?.as_ref().to_vec();
        let theirs = UnparsedPublicKey::new(algorithm, spki_der);
        let secret = agreement::agree_ephemeral(ours, theirs, Error::BadKey, |secret| {
            Ok(Zeroizing::new(secret.to_vec()))
        })?;
        Ok(Shared { public, secret })
    }

    fn encapsulate(&self, spki_der: &[u8]) -> Result<Shared, Error> {
        kem::encapsulate(spki_der)
    }
}

struct Octets(usize);

impl hkdf::KeyType for Octets {
    fn len(&self) -> usize {
        self.0
    }
}

fn gcm(key: &[u8]) -> Result<LessSafeKey, Error> {
    let algorithm = match key.len() {
        16 => &aead::AES_128_GCM,
        32 => &aead::AES_256_GCM,
        _ => return Err(Error::Unsupported),
    };
    Ok(LessSafeKey::new(UnboundKey::new(algorithm, key).map_err(|_| Error::BadKey)?))
}

fn cipher_key(key: &[u8]) -> Result<UnboundCipherKey, Error> {
    let algorithm = match key.len() {
        16 => &cipher::AES_128,
        32 => &cipher::AES_256,
        _ => return Err(Error::Unsupported),
    };
    UnboundCipherKey::new(algorithm, key).map_err(|_| Error::BadKey)
}

fn kek_of(kek: &[u8]) -> Result<AesKek, Error> {
    let algorithm = match kek.len() {
        16 => &key_wrap::AES_128,
        32 => &key_wrap::AES_256,
        _ => return Err(Error::Unsupported),
    };
    AesKek::new(algorithm, kek).map_err(|_| Error::BadKey)
}

pub(crate) fn oaep(
    hash: HashAlgorithm,
) -> Result<&'static OaepAlgorithm, aws_lc_rs::error::Unspecified> {
    Ok(match hash {
        HashAlgorithm::Sha1 => &OAEP_SHA1_MGF1SHA1,
        HashAlgorithm::Sha256 => &OAEP_SHA256_MGF1SHA256,
        HashAlgorithm::Sha384 => &OAEP_SHA384_MGF1SHA384,
        HashAlgorithm::Sha512 => &OAEP_SHA512_MGF1SHA512,
        _ => return Err(aws_lc_rs::error::Unspecified),
    })
}

/// RFC 5480 §2.1.1.
const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

pub(crate) fn curve(spki_der: &[u8]) -> Result<&'static agreement::Algorithm, Error> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| Error::BadKey)?;
    if spki.algorithm.oid != ID_EC_PUBLIC_KEY {
        return Err(Error::BadKey);
    }
    match spki.algorithm.parameters_oid().map_err(|_| Error::BadKey)? {
        P256 => Ok(&agreement::ECDH_P256),
        P384 => Ok(&agreement::ECDH_P384),
        P521 => Ok(&agreement::ECDH_P521),
        _ => Err(Error::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto::Crypto;

    fn hex(text: &str) -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2);
        pairs.map(|p| u8::from_str_radix(str::from_utf8(p).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn a_digest_in_pieces_is_the_digest_of_the_whole() {
        for algorithm in HashAlgorithm::ALL {
            let mut hasher = AwsLc.hasher(algorithm);
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.finish(), AwsLc.hash(algorithm, &[b"abc"]));
        }
    }

    #[test]
    fn key_wrap_is_the_one_of_rfc_3394() {
        // RFC 3394 §4.6.
        let kek = hex("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F");
        let key = hex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F");
        let wrapped = AwsLc.aes_wrap(&kek, &key).unwrap();
        let wanted =
            "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21";
        assert_eq!(wrapped, hex(wanted));
        assert_eq!(*AwsLc.aes_unwrap(&kek, &wrapped).unwrap(), key);
        assert_eq!(AwsLc.aes_unwrap(&key, &wrapped), Err(Error::Undecryptable));
    }

    #[test]
    fn hkdf_is_the_one_of_rfc_5869() {
        // RFC 5869 §A.3: no salt, no info.
        let out = AwsLc.hkdf(HashAlgorithm::Sha256, &[0x0b; 22], &[], 42).unwrap();
        let wanted = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d\
                      9d201395faa4b61a96c8";
        assert_eq!(*out, hex(wanted));
    }

    #[test]
    fn the_x963_kdf_is_hash_of_secret_counter_and_info() {
        let out = AwsLc.x963_kdf(HashAlgorithm::Sha256, b"z", b"info", 40).unwrap();
        let first = AwsLc.hash(HashAlgorithm::Sha256, &[b"z", &[0, 0, 0, 1], b"info"]);
        let second = AwsLc.hash(HashAlgorithm::Sha256, &[b"z", &[0, 0, 0, 2], b"info"]);
        assert_eq!(*out, [first.as_bytes(), &second.as_bytes()[..8]].concat());
    }

    #[test]
    fn what_is_sealed_opens_until_a_bit_flips() {
        for len in [16, 32] {
            let (key, mut data) = (vec![7; len], b"content".to_vec());
            let tag = AwsLc.aes_gcm_seal(&key, &[1; 12], b"aad", &mut data).unwrap();
            let mut copy = data.clone();
            AwsLc.aes_gcm_open(&key, &[1; 12], b"aad", &mut copy, &tag).unwrap();
            assert_eq!(copy, b"content");
            let bad = AwsLc.aes_gcm_open(&key, &[1; 12], b"AAD", &mut data, &tag);
            assert_eq!(bad, Err(Error::Undecryptable));

            let mut data = b"content".to_vec();
            AwsLc.aes_cbc_encrypt(&key, &[1; 16], &mut data).unwrap();
            assert_eq!(data.len(), 16);
            AwsLc.aes_cbc_decrypt(&key, &[1; 16], &mut data).unwrap();
            assert_eq!(data, b"content");
        }
    }
}
