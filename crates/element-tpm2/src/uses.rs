//! What keys do beyond signing: decrypt, agree, authenticate; and keys that come from outside.

use crate::key_files::StoredKey;
use crate::kinds::{self, UNNAMED};
use crate::told::local;
use crate::tpm::{Loaded, Tpm, own_name};
use touchstone_crypto::{Curve, Direction, TpmCrypto};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{
    Agreeing, Decrypting, Element, Encryption, Error, Importing, KeyAlgorithm, KeyUse, Macs,
    PublicKey, Secret,
};
use touchstone_tpm2::object::{Point, SoftwareKey, duplicate};
use touchstone_tpm2::public::Key;
use touchstone_tpm2::{self as tpm2, Auth, response_code};

/// Part of a message that a TPM encrypts at once.
const CHUNK: usize = 1024;

impl Tpm {
    fn cfb(
        &mut self,
        key: &Loaded,
        direction: Direction,
        mut iv: [u8; 16],
        data: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(data.len());
        for chunk in data.chunks(CHUNK) {
            let done = self.using(key, |tpm, auth| {
                tpm.encrypt_decrypt(&key.object, &auth, direction, iv, chunk)
            })?;
            // SP 800-38A §6.3: the last block of ciphertext is the next initial vector.
            let sent = if direction == Direction::Encrypt { &done[..] } else { chunk };
            iv = sent.last_chunk().copied().unwrap_or(iv);
            out.extend_from_slice(&done);
        }
        Ok(out)
    }
}

impl Decrypting for Tpm {
    fn encrypt(
        &mut self,
        name: &str,
        encryption: Encryption,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.with_key_for(name, KeyUse::Decrypt, "a key that decrypts", |tpm, key| {
            match (&key.object.public.key, kinds::oaep(encryption)) {
                (Key::Rsa { modulus, exponent, .. }, Some((_, hash))) => {
                    let exponent = if *exponent == 0 { 65537 } else { *exponent };
                    let longest = modulus.len().saturating_sub(2 * hash.len() + 2);
                    if plaintext.len() > longest {
                        return Err(Error::TooLarge { limit: longest });
                    }
                    Ok(AwsLc.rsa_oaep(modulus, exponent, hash, &[], plaintext)?)
                }
                (Key::Cipher { .. }, None) if encryption == Encryption::AesCfb => {
                    let mut iv = [0; 16];
                    tpm.random(&mut iv)?;
                    let sent = tpm.cfb(key, Direction::Encrypt, iv, plaintext)?;
                    Ok([&iv[..], &sent].concat())
                }
                _ => Err(Error::Unsupported("this encryption with this key")),
            }
        })
    }

    fn decrypt(
        &mut self,
        name: &str,
        encryption: Encryption,
        ciphertext: &[u8],
    ) -> Result<Secret, Error> {
        self.with_key_for(name, KeyUse::Decrypt, "a key that decrypts", |tpm, key| {
            match (&key.object.public.key, kinds::oaep(encryption)) {
                (Key::Rsa { modulus, .. }, Some((scheme, _))) => {
                    if ciphertext.len() != modulus.len() {
                        return Err(OTHER_KEY);
                    }
                    let opened = tpm.using(key, |tpm, auth| {
                        tpm.rsa_decrypt(&key.object, auth, scheme, &[], ciphertext)
                    });
                    Ok(Secret::new(opened.map_err(undecryptable)?.to_vec()))
                }
                (Key::Cipher { .. }, None) if encryption == Encryption::AesCfb => {
                    let (iv, data) = ciphertext.split_first_chunk().ok_or(OTHER_KEY)?;
                    Ok(Secret::new(tpm.cfb(key, Direction::Decrypt, *iv, data)?))
                }
                _ => Err(Error::Unsupported("this encryption with this key")),
            }
        })
    }
}

const OTHER_KEY: Error = Error::BadInput("it was changed, cut off, or encrypted to another key");

fn undecryptable(error: Error) -> Error {
    let code =
        |code| matches!(&error, Error::Refused(no) if response_code::base(no.response) == code);
    if code(response_code::VALUE) || code(response_code::SIZE) { OTHER_KEY } else { error }
}

impl Agreeing for Tpm {
    fn agree(&mut self, name: &str, peer_spki_der: &[u8]) -> Result<Secret, Error> {
        self.with_key_for(name, KeyUse::Agree, "a key that agrees on secrets", |tpm, key| {
            let Key::Ecc { curve, .. } = &key.object.public.key else { return Err(UNNAMED) };
            let (theirs, peer) = Point::from_spki_der(peer_spki_der).map_err(local)?;
            if theirs != *curve {
                return Err(Error::BadInput("the peer's key is on another curve"));
            }
            let z = tpm.using(key, |tpm, auth| tpm.ecdh_zgen(&key.object, auth, &peer));
            padded(&z.map_err(off_curve)?, *curve)
        })
    }
}

fn off_curve(error: Error) -> Error {
    match error {
        Error::Refused(no) if response_code::base(no.response) == response_code::ECC_POINT => {
            Error::BadInput("the peer's key is no point of the curve")
        }
        other => other,
    }
}

/// TPMs leave out zeros in front.
fn padded(z: &[u8], curve: Curve) -> Result<Secret, Error> {
    let missing = curve.len().checked_sub(z.len());
    let missing = missing.ok_or(Error::Malformed("the secret is longer than the field"))?;
    let mut out = vec![0; missing];
    out.extend_from_slice(z);
    Ok(Secret::new(out))
}

impl Macs for Tpm {
    fn mac(&mut self, name: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.with_key_for(name, KeyUse::Mac, "a key that makes MACs", |tpm, key| {
            let mac = tpm.using(key, |tpm, auth| tpm.hmac(&key.object, auth, message))?;
            Ok(mac.to_vec())
        })
    }
}

impl Importing for Tpm {
    fn import_key(
        &mut self,
        name: &str,
        key_use: KeyUse,
        algorithm: KeyAlgorithm,
        key: &Secret,
    ) -> Result<PublicKey, Error> {
        own_name(name)?;
        if key_use == KeyUse::Attest {
            return Err(Error::Unsupported("an attestation key from outside proves nothing"));
        }
        let template = kinds::template(key_use, algorithm)?;
        if !self.ask(|tpm| kinds::has(tpm, algorithm))? {
            return Err(UNNAMED);
        }
        self.keys.must_be_free(name)?;
        let key = if algorithm.is_symmetric() {
            symmetric(&template, algorithm, key.expose())?
        } else {
            SoftwareKey::from_pkcs8_der(key.expose()).map_err(local)?
        };
        let public = key.as_object(template).map_err(local)?;
        let imported = self.ask(|tpm| {
            let parent = tpm.srk()?;
            let wrapped = duplicate::wrap(&public, &key.sensitive, &parent.public, None, &AwsLc)?;
            let private = tpm.import(&parent, Auth::empty(), &wrapped, None)?;
            // A private part that does not fit its public part is noticed now, not at first use.
            let object = tpm.load(&parent, Auth::empty(), &private, &wrapped.public)?;
            tpm.flush(object.entity.handle)?;
            Ok((private, wrapped.public))
        });
        let (private, native) = imported.map_err(unfit)?;
        self.keep(name, &StoredKey::new(native, private))
    }
}

fn symmetric(
    template: &tpm2::Public,
    algorithm: KeyAlgorithm,
    key: &[u8],
) -> Result<SoftwareKey, Error> {
    // RFC 2104 §3: a longer key is hashed first, which a TPM does not do.
    let longest = match algorithm {
        KeyAlgorithm::HmacSha256 => Some(64),
        KeyAlgorithm::HmacSha384 | KeyAlgorithm::HmacSha512 => Some(128),
        _ => None,
    };
    if key.is_empty() || longest.is_some_and(|longest| key.len() > longest) {
        return Err(Error::BadInput("an HMAC key is 1 octet to a block of its hash long"));
    }
    SoftwareKey::symmetric(template, key, &AwsLc).map_err(local)
}

fn unfit(error: Error) -> Error {
    let code =
        |code| matches!(&error, Error::Refused(no) if response_code::base(no.response) == code);
    if code(response_code::BINDING) || code(response_code::KEY) || code(response_code::ECC_POINT) {
        Error::BadInput("the private and the public part of the key do not belong together")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_with_zeros_in_front_keeps_its_length() {
        assert_eq!(padded(&[7; 31], Curve::P256).unwrap().expose()[..2], [0, 7]);
        assert!(padded(&[7; 33], Curve::P256).is_err());
    }

    #[test]
    fn an_hmac_key_longer_than_a_block_is_refused() {
        let template = kinds::template(KeyUse::Mac, KeyAlgorithm::HmacSha256).unwrap();
        assert!(symmetric(&template, KeyAlgorithm::HmacSha256, &[1; 65]).is_err());
        assert!(symmetric(&template, KeyAlgorithm::HmacSha256, &[]).is_err());
        assert!(symmetric(&template, KeyAlgorithm::HmacSha256, &[1; 64]).is_ok());
    }
}
