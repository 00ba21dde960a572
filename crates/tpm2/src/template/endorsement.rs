//! Templates of endorsement keys (TCG EK Credential Profile v2.5 §2.2.1, Annex B), and what the maker
//! may have changed of them in this TPM.

use super::{BOUND, KeyPair};
use crate::public::attributes::{ADMIN_WITH_POLICY, DECRYPT, RESTRICTED, USER_WITH_AUTH};
use crate::public::{Key, Public, Symmetric};
use crate::{Error, policy};
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::HashAlgorithm::{self, Sha256, Sha384, Sha512};
use touchstone_crypto::{Crypto, Curve};

/// One of the endorsement keys of the profile.
pub struct EndorsementKind {
    /// The profile's name: `L-1`.
    pub name: &'static str,
    /// Where the maker puts the certificate.
    pub certificate: u32,
    /// Where the maker may have put the key.
    pub persistent: u32,
    /// Where the maker may have put a nonce to go with a template of its own; none has a place in
    /// the high range.
    pub nonce: Option<u32>,
    /// Where the maker may have put a template of its own.
    pub own_template: u32,
    /// Its template, where the maker has none of its own.
    pub template: fn(&dyn Crypto) -> Public,
}

impl EndorsementKind {
    /// What the key is made from (§2.2.1.4): the maker's own template if there is one, changed by
    /// its nonce if there is one, else the profile's.
    pub fn template_from(
        &self,
        crypto: &dyn Crypto,
        own: Option<&[u8]>,
        nonce: Option<&[u8]>,
    ) -> Result<Public, Error> {
        let template = match (own, nonce) {
            (None, None) => return Ok((self.template)(crypto)),
            (None, Some(_)) => return Err(NONCE_ALONE),
            (Some(own), _) => Public::decode(own)?,
        };
        if template.attributes & STORAGE != STORAGE {
            return Err(Error::Malformed("the maker's template is not of an endorsement key"));
        }
        match nonce {
            Some(nonce) => with_nonce(template, nonce),
            None => Ok(template),
        }
    }
}

/// What every endorsement key is.
const STORAGE: u32 = BOUND | RESTRICTED | DECRYPT;

const NONCE_ALONE: Error = Error::Malformed(
    "the maker left a nonce for the endorsement key and no template that it goes with",
);

/// Nonces are for RSA 2048 and P-256: zeros follow, up to the size of modulus or coordinate.
fn with_nonce(mut template: Public, nonce: &[u8]) -> Result<Public, Error> {
    let long = Error::Malformed("the maker's nonce is longer than its endorsement key");
    let padded = |len: usize| -> Result<Vec<u8>, Error> {
        let zeros = len.checked_sub(nonce.len()).ok_or(long)?;
        Ok([nonce, vec![0; zeros].as_slice()].concat())
    };
    match &mut template.key {
        Key::Rsa { modulus, bits, .. } => *modulus = padded(usize::from(*bits) / 8)?,
        Key::Ecc { curve, x, y } => (*x, *y) = (padded(curve.len())?, vec![0; curve.len()]),
        Key::KeyedHash { .. } | Key::Cipher { .. } => return Err(long),
    }
    Ok(template)
}

const fn in_high_range(
    name: &'static str,
    place: u32,
    template: fn(&dyn Crypto) -> Public,
) -> EndorsementKind {
    EndorsementKind {
        name,
        certificate: 0x01C0_0000 + place,
        persistent: 0x8101_0000 + place,
        nonce: None,
        own_template: 0x01C0_0000 + place + 1,
        template,
    }
}

/// The kinds, the ones found most first. H-5 is on the curve SM2, which nothing here computes with.
pub static ENDORSEMENT: [EndorsementKind; 8] = [
    EndorsementKind {
        name: "L-1",
        certificate: 0x01C0_0002,
        persistent: 0x8101_0001,
        nonce: Some(0x01C0_0003),
        own_template: 0x01C0_0004,
        template: |crypto| low(crypto, Key::Rsa { bits: 2048, exponent: 0, modulus: vec![0; 256] }),
    },
    EndorsementKind {
        name: "L-2",
        certificate: 0x01C0_000A,
        persistent: 0x8101_0002,
        nonce: Some(0x01C0_000B),
        own_template: 0x01C0_000C,
        template: |crypto| {
            low(crypto, Key::Ecc { curve: Curve::P256, x: vec![0; 32], y: vec![0; 32] })
        },
    },
    in_high_range("H-1", 0x12, |crypto| high(crypto, Sha256, KeyPair::Rsa(2048))),
    in_high_range("H-2", 0x14, |crypto| high(crypto, Sha256, KeyPair::Ecc(Curve::P256))),
    in_high_range("H-3", 0x16, |crypto| high(crypto, Sha384, KeyPair::Ecc(Curve::P384))),
    in_high_range("H-4", 0x18, |crypto| high(crypto, Sha512, KeyPair::Ecc(Curve::P521))),
    in_high_range("H-6", 0x1C, |crypto| high(crypto, Sha384, KeyPair::Rsa(3072))),
    in_high_range("H-7", 0x1E, |crypto| high(crypto, Sha512, KeyPair::Rsa(4096))),
];

/// Templates L-1 and L-2.
fn low(crypto: &dyn Crypto, key: Key) -> Public {
    Public {
        name_algorithm: Sha256,
        attributes: BOUND | ADMIN_WITH_POLICY | RESTRICTED | DECRYPT,
        policy: policy::endorsement(crypto, Sha256),
        symmetric: Symmetric::AesCfb { bits: 128 },
        scheme: None,
        key,
    }
}

/// Templates H-1 to H-7.
fn high(crypto: &dyn Crypto, hash: HashAlgorithm, pair: KeyPair) -> Public {
    Public {
        name_algorithm: hash,
        attributes: BOUND | USER_WITH_AUTH | ADMIN_WITH_POLICY | RESTRICTED | DECRYPT,
        policy: policy::endorsement_or_nv(crypto, hash),
        symmetric: Symmetric::AesCfb { bits: if hash.len() > 32 { 256 } else { 128 } },
        scheme: None,
        key: pair.blank(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto_awslc::AwsLc;

    fn unique(template: &Public) -> Vec<u8> {
        match &template.key {
            Key::Rsa { modulus, .. } => modulus.clone(),
            Key::Ecc { x, y, .. } => [x.as_slice(), y].concat(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_nonce_is_filled_up_with_zeros_and_a_template_alone_is_taken_as_it_is() {
        let [rsa, ecc, ..] = &ENDORSEMENT;
        for (kind, len) in [(rsa, 256), (ecc, 64)] {
            let own = (kind.template)(&AwsLc).encode().unwrap();
            assert_eq!(
                kind.template_from(&AwsLc, Some(&own), None).unwrap(),
                kind.template_from(&AwsLc, None, None).unwrap()
            );
            let changed = kind.template_from(&AwsLc, Some(&own), Some(&[7; 20])).unwrap();
            assert_eq!(unique(&changed), [&[7; 20][..], &vec![0; len - 20]].concat());
        }
    }

    #[test]
    fn what_no_maker_may_leave_is_refused() {
        let [rsa, ecc, ..] = &ENDORSEMENT;
        let own = (ecc.template)(&AwsLc).encode().unwrap();
        let signing = super::super::signing(
            KeyPair::Ecc(Curve::P256),
            crate::object::SigningScheme::Ecdsa(Sha256),
        );
        for (own, nonce) in [
            (None, Some(&[7; 20][..])),
            (Some(&own[..]), Some(&[7; 33])),
            (Some(&own[..own.len() - 1]), None),
            (Some(&[][..]), None),
            (Some(&signing.encode().unwrap()), None),
        ] {
            let refused = rsa.template_from(&AwsLc, own, nonce);
            assert!(matches!(refused, Err(Error::Malformed(_))), "{refused:?}");
        }
    }
}
