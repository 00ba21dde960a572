//! Making a credential away from the TPM (TPM 2.0 Part 1 §24): a secret that only the TPM with this
//! endorsement key can read, and only while it holds the key of this name.

use crate::kdf::{self, Direction, Octets};
use crate::marshal::Writer;
use crate::public::attributes::{DECRYPT, RESTRICTED};
use crate::public::{Key, Public, Symmetric};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepPublicEncryptingKey, PublicEncryptingKey,
};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_element::{Credential, Error};
use zeroize::Zeroizing;

const LABEL: &[u8] = b"IDENTITY";

/// A credential for the endorsement key `ek` (`TPMT_PUBLIC`) that holds `secret`: 1 octet to the
/// digest's length of the endorsement key's name algorithm. `name` is the attestation key's, see
/// [`name_of`](crate::name_of).
///
/// Whether `ek` is genuine is for the caller to know from its certificate.
pub fn make(
    ek: &[u8],
    name: &[u8],
    secret: &[u8],
    crypto: &dyn Crypto,
) -> Result<Credential, Error> {
    let ek = Public::decode(ek)?;
    if ek.attributes & (DECRYPT | RESTRICTED) != DECRYPT | RESTRICTED {
        return Err(Error::BadInput("the endorsement key is not a restricted decryption key"));
    }
    let hash = ek.name_algorithm;
    if !(1..=hash.len()).contains(&secret.len()) {
        return Err(Error::BadInput("a credential's secret is 1 octet to a digest's length"));
    }
    let Symmetric::AesCfb { bits } = ek.symmetric else {
        return Err(Error::BadInput("the endorsement key has no cipher for credentials"));
    };
    let (seed, encrypted_seed) = seed(&ek, crypto)?;
    let key = kdf::kdfa(hash, &seed, b"STORAGE", name, &[], usize::from(bits) / 8)?;
    let mut identity = Zeroizing::new(Writer::default().sized(secret)?.done());
    // Part 1 §24.4: the key serves once, so the initial vector is zero.
    kdf::cfb(&key, &[0; 16], &mut identity, Direction::Encrypt)?;
    let integrity_key = kdf::kdfa(hash, &seed, b"INTEGRITY", &[], &[], hash.len())?;
    let integrity = kdf::hmac(hash, &integrity_key, &[&identity, name])?;
    let blob = Writer::default().sized(&integrity)?.octets(&identity).done();
    Ok(Credential { blob, secret: encrypted_seed })
}

/// A fresh seed, and the same as only the endorsement key can read it (Part 1 Annex B.10.4, C.6.4).
fn seed(ek: &Public, crypto: &dyn Crypto) -> Result<(Octets, Vec<u8>), Error> {
    let hash = ek.name_algorithm;
    match &ek.key {
        Key::Rsa { .. } => {
            let mut seed = Zeroizing::new(vec![0; hash.len()]);
            crypto.random(&mut seed)?;
            let encrypted = oaep(&ek.spki_der()?, hash, &seed)?;
            Ok((seed, encrypted))
        }
        Key::Ecc { curve, x, y } => {
            let agreed = kdf::agree(curve.len(), x, y)?;
            let x = kdf::padded(x, curve.len())?;
            let seed = kdf::kdfe(hash, &agreed.z, LABEL, &agreed.x, &x);
            let point = Writer::default().sized(&agreed.x)?.sized(&agreed.y)?.done();
            Ok((seed, point))
        }
    }
}

fn oaep(spki: &[u8], hash: HashAlgorithm, seed: &[u8]) -> Result<Vec<u8>, Error> {
    let bad = || Error::BadInput("the endorsement key cannot be encrypted to");
    let algorithm = match hash {
        HashAlgorithm::Sha256 => &OAEP_SHA256_MGF1SHA256,
        HashAlgorithm::Sha384 => &OAEP_SHA384_MGF1SHA384,
        _ => return Err(bad()),
    };
    let key = PublicEncryptingKey::from_der(spki).map_err(|_| bad())?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| bad())?;
    let mut out = vec![0; key.ciphertext_size()];
    // Part 1 Annex B.4: the label's terminating zero is part of it.
    let label = [LABEL, &[0]].concat();
    let len = key.encrypt(algorithm, seed, &mut out, Some(&label)).map_err(|_| bad())?.len();
    out.truncate(len);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;
    use touchstone_crypto_awslc::AwsLc;

    #[test]
    fn a_key_that_is_no_endorsement_key_gets_no_credential() {
        let algorithm = touchstone_crypto::SignatureAlgorithm::EcdsaP256Sha256;
        let signing = template::key(touchstone_element::KeyUse::Sign, algorithm).unwrap();
        let blank = template::srk();
        for (ek, secret) in [(&signing, 32), (&blank, 0), (&blank, 33), (&blank, 32)] {
            let ek = ek.encode().unwrap();
            assert!(make(&ek, b"name", &vec![1; secret], &AwsLc).is_err());
        }
    }
}
