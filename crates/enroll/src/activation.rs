//! A credential for a TPM among what a request has to contain (RFC 7030 §4.5.2): the attribute
//! `id-aa-attestation` with one value,
//!
//! ```text
//! SEQUENCE { blob OCTET STRING, secret OCTET STRING }
//! ```
//!
//! `blob` is a `TPMS_ID_OBJECT`, `secret` what is inside `TPM2B_ENCRYPTED_SECRET` (TPM 2.0 Part 1 §24). Whoever
//! opens it shows so by the qualifying data of `TPM2_Certify` in the request. No standard has a form for
//! this yet (draft-ietf-lamps-attestation-freshness brings nonces, which any TPM could answer).
//!
//! Not here: making credentials, opening them, and what the qualifying data is.

use crate::Error;
use crate::attested::ATTESTATION;
use crate::est::attributes::{Attributes, Valued};
use der::asn1::OctetString;
use der::{Decode, Encode, Sequence};

/// The longest part: an RSA key of 4096 bits encrypts to 512 octets.
const LONGEST: usize = 1024;

/// A credential that only one TPM can open, and only while it holds a certain key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// `TPMS_ID_OBJECT`.
    pub blob: Vec<u8>,
    /// What is inside `TPM2B_ENCRYPTED_SECRET`.
    pub secret: Vec<u8>,
}

#[derive(Sequence)]
struct Parts {
    blob: OctetString,
    secret: OctetString,
}

impl Activation {
    /// As an attribute that a request has to contain.
    pub fn to_attribute(&self) -> Result<Valued, Error> {
        let octets = |part: &[u8]| OctetString::new(part).map_err(Error::attestation);
        let parts = Parts { blob: octets(&self.blob)?, secret: octets(&self.secret)? };
        let value = parts.to_der().map_err(Error::attestation)?;
        Ok(Valued { oid: ATTESTATION.to_owned(), values: vec![value] })
    }

    /// The one that is asked for, if one is. An attestation that is wanted without values is any.
    pub fn of(attributes: &Attributes) -> Result<Option<Self>, Error> {
        let mut wanted = attributes.valued.iter().filter(|it| it.oid == ATTESTATION);
        let Some(first) = wanted.next() else { return Ok(None) };
        let ([value], None) = (first.values.as_slice(), wanted.next()) else {
            return Err(Error::Attestation { offset: None });
        };
        let parts = Parts::from_der(value).map_err(Error::attestation)?;
        let (blob, secret) = (parts.blob.into_bytes(), parts.secret.into_bytes());
        let sized = |len: usize| (1..=LONGEST).contains(&len);
        if !sized(blob.len()) || !sized(secret.len()) {
            return Err(Error::Attestation { offset: None });
        }
        Ok(Some(Self { blob: blob.into_vec(), secret: secret.into_vec() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(wanted: &Attributes) -> Result<Option<Activation>, Error> {
        Activation::of(&Attributes::decode(&wanted.encode().unwrap()).unwrap())
    }

    #[test]
    fn a_credential_travels_among_attributes() {
        let given = Activation { blob: vec![1; 52], secret: vec![2; 256] };
        let mut wanted =
            Attributes { named: vec!["1.2.840.10045.4.3.2".into()], ..Attributes::default() };
        assert_eq!(through(&wanted).unwrap(), None);
        wanted.valued.push(given.to_attribute().unwrap());
        assert_eq!(through(&wanted).unwrap(), Some(given.clone()));
        wanted.valued.push(given.to_attribute().unwrap());
        assert_eq!(through(&wanted).unwrap_err().code(), "enroll.attestation.malformed", "two");
    }

    #[test]
    fn what_is_no_credential_is_refused() {
        let of = |value: Vec<u8>| {
            let valued = Valued { oid: ATTESTATION.to_owned(), values: vec![value] };
            Activation::of(&Attributes { valued: vec![valued], ..Attributes::default() })
        };
        let good = Activation { blob: vec![1; 52], secret: vec![2; 70] };
        let der = good.to_attribute().unwrap().values.remove(0);
        assert_eq!(of(der.clone()).unwrap(), Some(good));
        for cut in 0..der.len() {
            of(der[..cut].to_vec()).unwrap_err();
        }
        of([der, vec![0]].concat()).unwrap_err();
        let long = Activation { blob: vec![1; LONGEST + 1], secret: vec![2] };
        of(long.to_attribute().unwrap().values.remove(0)).unwrap_err();
        let empty = Activation { blob: Vec::new(), secret: vec![2] };
        of(empty.to_attribute().unwrap().values.remove(0)).unwrap_err();
    }
}
