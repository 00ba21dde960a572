//! Moving objects between TPMs, and software keys into one (TPM 2.0 Part 1 §23.3): the wrapping
//! that is done outside a TPM. [`crate::Tpm::duplicate`] and [`crate::Tpm::import`] do the TPM's
//! part.

use crate::Error;
use crate::kdf::{Octets, same};
use crate::marshal::{Reader, Writer};
use crate::object::Sensitive;
use crate::protect::Wrapping;
use crate::public::{Public, name_of};
use crate::session::secret_for;
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::{Direction, HashAlgorithm, TpmCrypto};
use zeroize::Zeroizing;

/// The key of an inner wrapper: AES-128 or AES-256 in CFB mode, known to both ends.
#[derive(Clone)]
pub struct InnerKey(Octets);

impl InnerKey {
    /// 16 or 32 octets.
    pub fn new(key: &[u8]) -> Result<Self, Error> {
        match key.len() {
            16 | 32 => Ok(Self(Zeroizing::new(key.to_vec()))),
            _ => Err(Error::BadInput("an inner wrapper's key is 16 or 32 octets")),
        }
    }

    /// A fresh one of 32 octets.
    pub fn generate(crypto: &dyn TpmCrypto) -> Result<Self, Error> {
        let mut key = Zeroizing::new(vec![0; 32]);
        crypto.random(&mut key)?;
        Ok(Self(key))
    }

    /// The octets.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn bits(&self) -> u16 {
        if self.0.len() == 32 { 256 } else { 128 }
    }
}

impl core::fmt::Debug for InnerKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("InnerKey(..)")
    }
}

/// An object on its way to another TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// Inside `TPM2B_PRIVATE`.
    pub private: Vec<u8>,
    /// Inside `TPM2B_ENCRYPTED_SECRET`: the seed of the outer wrapper for the new parent alone;
    /// empty without an outer wrapper.
    pub secret: Vec<u8>,
}

/// Wraps a private part for the TPM that holds `parent`, as [`crate::Tpm::import`] takes it, with an
/// outer wrapper and, given a key, an inner one.
///
/// `public` has neither of the attributes `FIXED_TPM` and `FIXED_PARENT`. Whether `parent` is
/// genuine is for the caller to know: who holds it reads the key.
pub fn wrap(
    public: &Public,
    sensitive: &Sensitive,
    parent: &Public,
    inner: Option<&InnerKey>,
    crypto: &dyn TpmCrypto,
) -> Result<Duplicate, Error> {
    use crate::public::attributes::{FIXED_PARENT, FIXED_TPM, SENSITIVE_DATA_ORIGIN};
    if public.attributes & (FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN) != 0 {
        return Err(Error::BadInput(
            "a key from outside cannot say that it was made in a TPM or is fixed to one",
        ));
    }
    let native = public.encode()?;
    let name = name_of(crypto, &native)?;
    let mut plain = Zeroizing::new(Writer::default().sized(&sensitive.encode()?)?.done());
    if let Some(key) = inner {
        plain = inner_wrap(public.name_algorithm, key, &plain, &name, crypto)?;
    }
    let (seed, secret) = secret_for(crypto, parent, b"DUPLICATE")?;
    let private = Wrapping::new(parent, &seed, &name, crypto)?.seal(plain)?;
    Ok(Duplicate { public: native, private, secret })
}

/// Part 1 §23.3.2.3: the integrity in front, then both encrypted.
fn inner_wrap(
    hash: HashAlgorithm,
    key: &InnerKey,
    sensitive: &[u8],
    name: &[u8],
    crypto: &dyn TpmCrypto,
) -> Result<Octets, Error> {
    let integrity = crypto.hash(hash, &[sensitive, name]);
    let writer = Writer::default().sized(integrity.as_bytes())?.octets(sensitive);
    let mut octets = Zeroizing::new(writer.done());
    crypto.aes_cfb(&key.0, &[0; 16], &mut octets, Direction::Encrypt)?;
    Ok(octets)
}

/// Opens what [`crate::Tpm::duplicate`] gave for no new parent (`TPM_RH_NULL`), where only an inner
/// wrapper protects it: the private part, to keep in escrow or to use in software.
pub fn open_inner(
    duplicate: &Duplicate,
    key: &InnerKey,
    crypto: &dyn TpmCrypto,
) -> Result<Sensitive, Error> {
    let public = Public::decode(&duplicate.public)?;
    let name = name_of(crypto, &duplicate.public)?;
    let mut octets = Zeroizing::new(duplicate.private.clone());
    crypto.aes_cfb(&key.0, &[0; 16], &mut octets, Direction::Decrypt)?;
    let wrong = |_| Error::BadInput("another key wrapped it, or it was changed");
    let mut reader = Reader::new(&octets);
    let integrity = reader.sized().map_err(wrong)?;
    let sensitive = reader.rest();
    let expected = crypto.hash(public.name_algorithm, &[sensitive, &name]);
    if !same(integrity, expected.as_bytes()) {
        return Err(wrong(Error::Tampered));
    }
    let mut outer = Reader::new(sensitive);
    let inside = outer.sized()?;
    outer.end()?;
    Sensitive::decode(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::SoftwareKey;
    use crate::template;
    use touchstone_crypto_awslc::AwsLc;

    #[test]
    fn a_key_that_claims_to_be_fixed_to_a_tpm_is_not_wrapped() {
        let template = template::hmac(HashAlgorithm::Sha256);
        let key = SoftwareKey::symmetric(&template, &[1; 32], &AwsLc).unwrap();
        let fixed = wrap(&template, &key.sensitive, &template::srk(), None, &AwsLc);
        assert!(matches!(fixed, Err(Error::BadInput(_))));
    }

    #[test]
    fn a_key_is_not_wrapped_for_what_is_no_storage_key() {
        let template = template::hmac(HashAlgorithm::Sha256);
        let key = SoftwareKey::symmetric(&template, &[1; 32], &AwsLc).unwrap();
        let public = key.as_object(template).unwrap();
        for parent in [template::hmac(HashAlgorithm::Sha256), template::cipher(128)] {
            assert!(matches!(
                wrap(&public, &key.sensitive, &parent, None, &AwsLc),
                Err(Error::BadInput(_))
            ));
        }
    }

    #[test]
    fn an_inner_wrapper_opens_with_its_own_key_alone() {
        let template = template::hmac(HashAlgorithm::Sha256);
        let key = SoftwareKey::symmetric(&template, b"the HMAC key", &AwsLc).unwrap();
        let public = key.as_object(template).unwrap().encode().unwrap();
        let name = name_of(&AwsLc, &public).unwrap();
        let plain = Writer::default().sized(&key.sensitive.encode().unwrap()).unwrap().done();
        for len in [16, 32] {
            let inner = InnerKey::new(&vec![7; len]).unwrap();
            let hash = HashAlgorithm::Sha256;
            let private = inner_wrap(hash, &inner, &plain, &name, &AwsLc).unwrap().to_vec();
            let good = Duplicate { public: public.clone(), private, secret: Vec::new() };
            let opened = open_inner(&good, &inner, &AwsLc).unwrap();
            assert_eq!(opened.expose(), b"the HMAC key");

            let other = InnerKey::new(&vec![8; len]).unwrap();
            assert!(open_inner(&good, &other, &AwsLc).is_err());
            for octet in 0..good.private.len() {
                let mut bad = good.clone();
                bad.private[octet] ^= 1;
                assert!(open_inner(&bad, &inner, &AwsLc).is_err(), "octet {octet}");
            }
        }
        assert!(InnerKey::new(&[0; 24]).is_err());
    }
}
