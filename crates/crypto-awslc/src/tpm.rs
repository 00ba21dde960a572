//! What talking to a TPM takes, on aws-lc-rs.

use crate::AwsLc;
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepPublicEncryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::RsaPublicKeyComponents;
use touchstone_crypto::{Agreed, Curve, Digest, Direction, Error, HashAlgorithm, TpmCrypto};
use zeroize::Zeroizing;

impl TpmCrypto for AwsLc {
    fn hmac(&self, algorithm: HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Result<Digest, Error> {
        let name = match algorithm {
            HashAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            HashAlgorithm::Sha256 => hmac::HMAC_SHA256,
            HashAlgorithm::Sha384 => hmac::HMAC_SHA384,
            HashAlgorithm::Sha512 => hmac::HMAC_SHA512,
            _ => return Err(Error::Unsupported),
        };
        let mut context = hmac::Context::with_key(&hmac::Key::new(name, key));
        for part in parts {
            context.update(part);
        }
        Digest::new(algorithm, context.sign().as_ref()).ok_or(Error::Unsupported)
    }

    fn aes_cfb(
        &self,
        key: &[u8],
        iv: &[u8; 16],
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
        let iv = FixedLength::from(iv);
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

    fn agree(&self, curve: Curve, x: &[u8], y: &[u8]) -> Result<Agreed, Error> {
        let failed = |_| Error::BadKey;
        let (algorithm, len) = match curve {
            Curve::P256 => (&agreement::ECDH_P256, curve.len()),
            Curve::P384 => (&agreement::ECDH_P384, curve.len()),
            Curve::P521 => (&agreement::ECDH_P521, curve.len()),
            _ => return Err(Error::Unsupported),
        };
        if x.len() != len || y.len() != len {
            return Err(Error::BadKey);
        }
        let ours = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new())
            .map_err(|_| Error::NoRandom)?;
        let public = ours.compute_public_key().map_err(failed)?;
        let (our_x, our_y) = match public.as_ref() {
            [4, point @ ..] if point.len() == 2 * len => point.split_at(len),
            _ => return Err(Error::BadKey),
        };
        let (our_x, our_y) = (our_x.to_vec(), our_y.to_vec());
        let theirs = UnparsedPublicKey::new(algorithm, [&[4], x, y].concat());
        let z = agreement::agree_ephemeral(ours, theirs, Error::BadKey, |z| {
            Ok(Zeroizing::new(z.to_vec()))
        })?;
        Ok(Agreed { x: our_x, y: our_y, z })
    }

    fn rsa_oaep(
        &self,
        modulus: &[u8],
        exponent: u32,
        hash: HashAlgorithm,
        label: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let algorithm = match hash {
            HashAlgorithm::Sha1 => &OAEP_SHA1_MGF1SHA1,
            HashAlgorithm::Sha256 => &OAEP_SHA256_MGF1SHA256,
            HashAlgorithm::Sha384 => &OAEP_SHA384_MGF1SHA384,
            HashAlgorithm::Sha512 => &OAEP_SHA512_MGF1SHA512,
            _ => return Err(Error::Unsupported),
        };
        let bad = |_| Error::BadKey;
        let exponent = exponent.to_be_bytes();
        let parts = RsaPublicKeyComponents { n: shortened(modulus), e: shortened(&exponent) };
        let key: PublicEncryptingKey = parts.try_into().map_err(bad)?;
        let key = OaepPublicEncryptingKey::new(key).map_err(bad)?;
        let mut out = vec![0; key.ciphertext_size()];
        let len = key.encrypt(algorithm, plaintext, &mut out, Some(label)).map_err(bad)?.len();
        out.truncate(len);
        Ok(out)
    }
}

/// Without the zeros in front, which the library does not take.
fn shortened(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_the_one_of_rfc_4231() {
        // RFC 4231 §4.3, test case 2.
        let digest =
            AwsLc.hmac(HashAlgorithm::Sha256, b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            digest.unwrap().to_hex(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn what_cfb_encrypts_it_decrypts() {
        for len in [16, 32] {
            let (key, iv) = (vec![7; len], [9; 16]);
            let mut data = b"a secret that is no multiple of a block".to_vec();
            AwsLc.aes_cfb(&key, &iv, &mut data, Direction::Encrypt).unwrap();
            assert_ne!(data, b"a secret that is no multiple of a block");
            AwsLc.aes_cfb(&key, &iv, &mut data, Direction::Decrypt).unwrap();
            assert_eq!(data, b"a secret that is no multiple of a block");
        }
        let odd = AwsLc.aes_cfb(&[0; 24], &[0; 16], &mut [], Direction::Encrypt);
        assert_eq!(odd, Err(Error::Unsupported));
    }

    #[test]
    fn cfb_is_the_one_of_sp_800_38a() {
        // SP 800-38A F.3.13, CFB128-AES128, the first block.
        let hex = |text: &str| -> Vec<u8> {
            let pairs = text.as_bytes().chunks(2);
            pairs.map(|p| u8::from_str_radix(str::from_utf8(p).unwrap(), 16).unwrap()).collect()
        };
        let mut data = hex("6bc1bee22e409f96e93d7e117393172a");
        let iv = hex("000102030405060708090a0b0c0d0e0f").try_into().unwrap();
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        AwsLc.aes_cfb(&key, &iv, &mut data, Direction::Encrypt).unwrap();
        assert_eq!(data, hex("3b3fd92eb72dad20333449f8e83cfb4a"));
    }

    #[test]
    fn a_point_off_the_curve_or_of_another_length_is_refused() {
        for curve in Curve::ALL {
            let len = curve.len();
            let off = AwsLc.agree(curve, &vec![1; len], &vec![1; len]);
            assert_eq!(off.unwrap_err(), Error::BadKey);
            let short = AwsLc.agree(curve, &vec![1; len - 1], &vec![1; len]);
            assert_eq!(short.unwrap_err(), Error::BadKey);
        }
    }

    #[test]
    fn an_agreement_is_fresh_each_time_on_every_curve() {
        for curve in Curve::ALL {
            // Whoever's point we agree with is another fresh key, so the secrets differ each time.
            let other = fresh_point(curve);
            let (one, two) = (agree(curve, &other), agree(curve, &other));
            assert_eq!(one.z.len(), curve.len());
            assert_ne!((&one.x, &one.z), (&two.x, &two.z));
        }
    }

    fn agree(curve: Curve, point: &(Vec<u8>, Vec<u8>)) -> Agreed {
        AwsLc.agree(curve, &point.0, &point.1).unwrap()
    }

    fn fresh_point(curve: Curve) -> (Vec<u8>, Vec<u8>) {
        let algorithm = match curve {
            Curve::P256 => &agreement::ECDH_P256,
            Curve::P384 => &agreement::ECDH_P384,
            _ => &agreement::ECDH_P521,
        };
        let key = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).unwrap();
        let public = key.compute_public_key().unwrap();
        let (x, y) = public.as_ref().get(1..).unwrap().split_at(curve.len());
        (x.to_vec(), y.to_vec())
    }

    #[test]
    fn oaep_takes_a_modulus_with_zeros_in_front_and_no_weak_key() {
        let mut modulus = vec![0xC3; 257];
        *modulus.first_mut().unwrap() = 0;
        let out = AwsLc.rsa_oaep(&modulus, 65537, HashAlgorithm::Sha256, b"DUPLICATE\0", b"seed");
        assert_eq!(out.unwrap().len(), 256);
        let weak = modulus.get(..128).unwrap();
        let out = AwsLc.rsa_oaep(weak, 65537, HashAlgorithm::Sha256, b"", b"seed");
        assert_eq!(out, Err(Error::BadKey));
    }
}
