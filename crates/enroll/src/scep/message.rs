//! What every message carries (RFC 8894 §3.2.1): its type, its transaction, its nonces.

use crate::scep::{Error, Refusal};
use der::asn1::{OctetStringRef, PrintableStringRef};
use der::{Decode, Encode};
use std::fmt;
use touchstone_cms::SignedBy;
use touchstone_crypto::{Crypto, HashAlgorithm};

pub(super) const MESSAGE_TYPE: &str = "2.16.840.1.113733.1.9.2";
pub(super) const PKI_STATUS: &str = "2.16.840.1.113733.1.9.3";
pub(super) const FAIL_INFO: &str = "2.16.840.1.113733.1.9.4";
pub(super) const SENDER_NONCE: &str = "2.16.840.1.113733.1.9.5";
pub(super) const RECIPIENT_NONCE: &str = "2.16.840.1.113733.1.9.6";
pub(super) const TRANSACTION: &str = "2.16.840.1.113733.1.9.7";
/// RFC 8894 §3.2.1.4.
pub(super) const FAIL_INFO_TEXT: &str = "1.3.6.1.5.5.7.24.1";

/// An attribute to be signed: its type, and its value in DER.
pub(super) type Attribute = (&'static str, Vec<u8>);

/// The type of a message (RFC 8894 §3.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// The reply to each.
    CertRep,
    /// For another certificate with the help of one that is there.
    RenewalReq,
    /// For a first certificate.
    PkcsReq,
    /// Whether one that was asked for is there now.
    CertPoll,
    /// For a certificate that the CA issued.
    GetCert,
    /// For a revocation list.
    GetCrl,
}

impl MessageType {
    const ALL: [(Self, &'static str); 6] = [
        (Self::CertRep, "3"),
        (Self::RenewalReq, "17"),
        (Self::PkcsReq, "19"),
        (Self::CertPoll, "20"),
        (Self::GetCert, "21"),
        (Self::GetCrl, "22"),
    ];

    pub(super) fn attribute(self) -> Result<Attribute, Error> {
        let number = Self::ALL.iter().find(|(kind, _)| *kind == self).map(|(_, number)| *number);
        printable(MESSAGE_TYPE, number.unwrap_or_default())
    }

    pub(super) fn of(by: &SignedBy) -> Result<Self, Error> {
        let number = text(by, MESSAGE_TYPE)?;
        let found = Self::ALL.into_iter().find(|(_, known)| *known == number);
        found.map(|(kind, _)| kind).ok_or_else(|| Refusal::WrongType.into())
    }
}

/// Why a CA says no (RFC 8894 §3.2.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailInfo {
    /// An algorithm that it does not take.
    BadAlg,
    /// The message's integrity, or what it proves.
    BadMessageCheck,
    /// It does not do such a thing for this one.
    BadRequest,
    /// The time in the message is too far from its own.
    BadTime,
    /// It knows no such certificate.
    BadCertId,
}

impl FailInfo {
    const ALL: [Self; 5] =
        [Self::BadAlg, Self::BadMessageCheck, Self::BadRequest, Self::BadTime, Self::BadCertId];

    /// The standard's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadAlg => "badAlg",
            Self::BadMessageCheck => "badMessageCheck",
            Self::BadRequest => "badRequest",
            Self::BadTime => "badTime",
            Self::BadCertId => "badCertId",
        }
    }

    pub(super) const fn number(self) -> &'static str {
        match self {
            Self::BadAlg => "0",
            Self::BadMessageCheck => "1",
            Self::BadRequest => "2",
            Self::BadTime => "3",
            Self::BadCertId => "4",
        }
    }

    pub(super) fn of(by: &SignedBy) -> Result<Self, Error> {
        let number = text(by, FAIL_INFO)?;
        let found = Self::ALL.into_iter().find(|known| known.number() == number);
        found.ok_or_else(|| Refusal::BadAttributes.into())
    }
}

/// What joins the messages of one enrolment (RFC 8894 §3.2.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction(String);

impl Transaction {
    /// The transaction of a key: the digest of its `SubjectPublicKeyInfo`, so that an enrolment that
    /// was interrupted is found again.
    pub fn of_key(crypto: &dyn Crypto, spki_der: &[u8]) -> Self {
        Self(crypto.hash(HashAlgorithm::Sha256, &[spki_der]).to_hex())
    }

    /// The text that it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn attribute(&self) -> Result<Attribute, Error> {
        printable(TRANSACTION, &self.0)
    }

    pub(super) fn from_message(by: &SignedBy) -> Result<Self, Error> {
        let found = text(by, TRANSACTION)?;
        if found.is_empty() || found.len() > 256 {
            return Err(Refusal::BadAttributes.into());
        }
        Ok(Self(found))
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What makes a message one that was never sent before (RFC 8894 §3.2.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

impl Nonce {
    /// A random one.
    pub fn draw(crypto: &dyn Crypto) -> Result<Self, Error> {
        let mut octets = [0; 16];
        crypto.random(&mut octets)?;
        Ok(Self(octets))
    }

    pub(super) fn attribute(self, oid: &'static str) -> Result<Attribute, Error> {
        let value = OctetStringRef::new(&self.0).and_then(|octets| octets.to_der());
        Ok((oid, value.map_err(|_| Refusal::BadAttributes)?))
    }

    pub(super) fn of(by: &SignedBy, oid: &str) -> Result<Self, Error> {
        let octets = by
            .signed_attribute(oid)
            .and_then(|value| <&OctetStringRef>::from_der(value).ok())
            .and_then(|octets| octets.as_bytes().try_into().ok());
        octets.map(Self).ok_or_else(|| Refusal::BadAttributes.into())
    }
}

pub(super) fn printable(oid: &'static str, value: &str) -> Result<Attribute, Error> {
    let value = PrintableStringRef::new(value).and_then(|text| text.to_der());
    Ok((oid, value.map_err(|_| Refusal::BadAttributes)?))
}

pub(super) fn text(by: &SignedBy, oid: &str) -> Result<String, Error> {
    let value = by.signed_attribute(oid).ok_or(Refusal::BadAttributes)?;
    let text = PrintableStringRef::from_der(value).map_err(|_| Refusal::BadAttributes)?;
    Ok(text.as_str().to_owned())
}

/// RFC 8894 §3.1: the only one who signed.
pub(super) fn only(signers: &[SignedBy]) -> Result<&SignedBy, Error> {
    match signers {
        [one] => Ok(one),
        _ => Err(Refusal::NotOneSigner.into()),
    }
}

/// `IssuerAndSubject` and `IssuerAndSerialNumber` (RFC 8894 §3.3.3, RFC 5652 §10.2.4).
pub(super) fn sequence(parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let content = parts.concat();
    let any = der::asn1::AnyRef::new(der::Tag::Sequence, &content).and_then(|any| any.to_der());
    any.map_err(|_| Refusal::BadContent.into())
}

pub(super) fn integer(octets: &[u8]) -> Result<Vec<u8>, Error> {
    let number = der::asn1::IntRef::new(octets).and_then(|number| number.to_der());
    number.map_err(|_| Refusal::BadContent.into())
}

pub(super) fn octets(der: &[u8]) -> Result<Vec<u8>, Error> {
    let number = der::asn1::IntRef::from_der(der).map_err(|_| Refusal::BadContent)?;
    Ok(number.as_bytes().to_vec())
}

/// PrintableString where that is enough, else UTF8String.
pub(super) fn directory_string(text: &str) -> Result<Vec<u8>, Error> {
    let der = match PrintableStringRef::new(text) {
        Ok(text) => text.to_der(),
        Err(_) => der::asn1::Utf8StringRef::new(text).and_then(|text| text.to_der()),
    };
    der.map_err(|_| Refusal::BadContent.into())
}
