//! Timestamps (RFC 3161): asking for one, and checking what comes back.
//!
//! What this is not: a judge of the authority. Whether its certificate counts is for
//! [`touchstone_certs::TrustStore`] and the caller.

use crate::ber::{self, Elements};
use crate::encode::{self, INTEGER, OCTET_STRING, OID, SEQUENCE};
use crate::{Error, Refusal, SignedBy, SignedData, oids};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use der::asn1::ObjectIdentifier;
use der::{DateTime, Decode};
use touchstone_certs::{Certificate, algorithm};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, Verified};

const BOOLEAN: u8 = 0x01;
const GENERALIZED_TIME: u8 = 0x18;
/// As long as any response is.
const MOST_OCTETS: usize = 1024 * 1024;

/// A question to a time stamping authority (RFC 3161 §2.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRequest {
    digest: Digest,
    nonce: [u8; 8],
}

impl TimestampRequest {
    /// Asks for a timestamp of what has this digest, which has to be SHA-256 or longer; with the
    /// authority's certificate in the answer.
    pub fn new(crypto: &dyn Crypto, digest: Digest) -> Result<Self, Error> {
        if digest.algorithm() == HashAlgorithm::Sha1 {
            return Err(Refusal::UnsupportedAlgorithm.into());
        }
        let mut nonce = [0; 8];
        crypto.random(&mut nonce)?;
        // A positive number of eight octets.
        nonce[0] = nonce[0] & 0x7F | 0x40;
        Ok(Self { digest, nonce })
    }

    /// DER: the body of an `application/timestamp-query` (RFC 3161 §3.4).
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let parts: [&[u8]; 4] = [
            &encode::small(1),
            &imprint(&self.digest)?,
            &encode::tlv(INTEGER, &[&self.nonce]),
            &encode::tlv(BOOLEAN, &[&[0xFF]]),
        ];
        Ok(encode::tlv(SEQUENCE, &parts))
    }

    /// Checks an answer (RFC 3161 §2.4.2): granted, to this request, signed by an authority for
    /// timestamps; `beside` are certificates from elsewhere that it may be found among.
    pub fn verify(
        &self,
        crypto: &dyn Crypto,
        response: &[u8],
        beside: &[Certificate],
    ) -> Result<Verified<Timestamp>, Error> {
        if response.len() > MOST_OCTETS {
            return Err(Error::too_large("length"));
        }
        let mut inner = Elements::new("TimeStampResp", ber::message("TimeStampResp", response)?);
        let mut status = Elements::new("PKIStatusInfo", inner.one(SEQUENCE)?.content);
        // RFC 3161 §2.4.2: granted, or granted with modifications.
        if !matches!(status.one(INTEGER)?.content, [0 | 1]) {
            return Err(Refusal::TimestampRejected.into());
        }
        let token = TimestampToken::decode(inner.one(SEQUENCE)?.whole)?;
        inner.end()?;
        if token.info.nonce.as_deref() != Some(&self.nonce) {
            return Err(Refusal::TimestampMismatch.into());
        }
        token.verify(crypto, &self.digest, beside)
    }
}

/// RFC 3161 §2.4.1 `MessageImprint`.
fn imprint(digest: &Digest) -> Result<Vec<u8>, Error> {
    let octets = encode::tlv(OCTET_STRING, &[digest.as_bytes()]);
    Ok(encode::tlv(SEQUENCE, &[&algorithm::encode_hash(digest.algorithm())?, &octets]))
}

/// A timestamp token (RFC 3161 §2.4.2), decoded and not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampToken {
    signed: SignedData,
    info: Info,
}

/// `TSTInfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Info {
    policy: String,
    digest: Digest,
    serial: Vec<u8>,
    time: u64,
    /// Octets of a number, as in the DER.
    nonce: Option<Vec<u8>>,
}

/// When something was there, by the word of an authority whose key signed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// The time, in seconds since 1970.
    pub time: u64,
    /// The authority's policy, an object identifier with dots.
    pub policy: String,
    /// The octets of the token's serial number.
    pub serial: Vec<u8>,
    /// The authority's certificate, for timestamps and nothing else. Whether it counts is not
    /// decided yet.
    pub authority: Certificate,
    /// All certificates that came with it, as candidates for a path.
    pub certificates: Vec<Certificate>,
}

impl TimestampToken {
    /// Reads DER or BER: a `ContentInfo` of type `id-signedData` around a `TSTInfo`.
    pub fn decode(octets: &[u8]) -> Result<Self, Error> {
        if octets.len() > MOST_OCTETS {
            return Err(Error::too_large("length"));
        }
        let signed = SignedData::decode(octets)?;
        if signed.content_type() != oids::ID_TST_INFO.to_string() {
            return Err(Error::other_type("content type, not TSTInfo"));
        }
        let info = Info::read(signed.unverified_content().ok_or(Refusal::NoContent)?)?;
        Ok(Self { signed, info })
    }

    /// What is said to be stamped. Unverified: it tells which digest to make of the content.
    pub const fn unverified_digest(&self) -> &Digest {
        &self.info.digest
    }

    /// Checks that an authority for timestamps signed it for what has this digest.
    pub fn verify(
        self,
        crypto: &dyn Crypto,
        digest: &Digest,
        beside: &[Certificate],
    ) -> Result<Verified<Timestamp>, Error> {
        let Self { signed, info } = self;
        if info.digest != *digest {
            return Err(Refusal::TimestampMismatch.into());
        }
        let signed = signed.verify_with(crypto, beside)?;
        // RFC 3161 §2.4.2: by the authority alone.
        let [by] = signed.signers() else { return Err(Refusal::NotATimestamper.into()) };
        names_itself(crypto, by)?;
        only_for_timestamps(&by.certificate)?;
        Ok(Verified::vouch(Timestamp {
            time: info.time,
            policy: info.policy,
            serial: info.serial,
            authority: by.certificate.clone(),
            certificates: signed.certificates().to_vec(),
        }))
    }
}

impl Info {
    fn read(der: &[u8]) -> Result<Self, Error> {
        const PART: &str = "TSTInfo";
        let mut outer = Elements::new(PART, der);
        let mut inner = Elements::new(PART, outer.one(SEQUENCE)?.content);
        outer.end()?;
        if inner.one(INTEGER)?.content != [1] {
            return Err(Error::malformed("version of TSTInfo"));
        }
        let policy = ObjectIdentifier::from_bytes(inner.one(OID)?.content);
        let policy = policy.map_err(|_| Error::malformed(PART))?.to_string();
        let mut imprint = Elements::new("messageImprint", inner.one(SEQUENCE)?.content);
        let hash = algorithm::decode_hash(imprint.one(SEQUENCE)?.whole)
            .ok()
            .filter(|hash| *hash != HashAlgorithm::Sha1)
            .ok_or(Refusal::UnsupportedAlgorithm)?;
        let digest = Digest::new(hash, imprint.one(OCTET_STRING)?.content);
        imprint.end()?;
        let digest = digest.ok_or_else(|| Error::malformed("messageImprint"))?;
        let serial = inner.one(INTEGER)?.content.to_vec();
        let time = time(inner.one(GENERALIZED_TIME)?.content);
        let time = time.ok_or_else(|| Error::malformed("genTime"))?;
        // Accuracy and ordering, which decide nothing here.
        inner.optional(SEQUENCE)?;
        inner.optional(BOOLEAN)?;
        let nonce = inner.optional(INTEGER)?.map(|nonce| nonce.content.to_vec());
        inner.optional(0xA0)?;
        if let Some(extensions) = inner.optional(0xA1)? {
            no_critical_extension(extensions.content)?;
        }
        inner.end()?;
        Ok(Self { policy, digest, serial, time, nonce })
    }
}

fn no_critical_extension(content: &[u8]) -> Result<(), Error> {
    let mut each = Elements::new("extensions of TSTInfo", content);
    while !each.is_empty() {
        let mut one = Elements::new("extensions of TSTInfo", each.one(SEQUENCE)?.content);
        one.one(OID)?;
        if one.optional(BOOLEAN)?.is_some_and(|critical| critical.content != [0]) {
            return Err(Refusal::UnsupportedAlgorithm.into());
        }
        one.one(OCTET_STRING)?;
        one.end()?;
    }
    Ok(())
}

/// RFC 3161 §2.4.2: `YYYYMMDDhhmmss[.s...]Z`; a part of a second is left away.
fn time(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(part) {
        return None;
    }
    let number = |at: usize| whole.get(at..at + 2)?.parse::<u8>().ok();
    let year = whole.get(..4)?.parse().ok()?;
    let time = DateTime::new(year, number(4)?, number(6)?, number(8)?, number(10)?, number(12)?);
    Some(time.ok()?.unix_duration().as_secs())
}

/// RFC 5816 §2.2.1, RFC 5035 §3: the signer is the certificate whose digest it signed.
fn names_itself(crypto: &dyn Crypto, by: &SignedBy) -> Result<(), Error> {
    const PART: &str = "SigningCertificateV2";
    let value = by.signed_attribute(&oids::ID_SIGNING_CERTIFICATE_V2.to_string());
    let mut outer = Elements::new(PART, value.ok_or(Refusal::NotATimestamper)?);
    let mut inner = Elements::new(PART, outer.one(SEQUENCE)?.content);
    outer.end()?;
    let mut certs = Elements::new(PART, inner.one(SEQUENCE)?.content);
    let mut first = Elements::new(PART, certs.one(SEQUENCE)?.content);
    let hash = match first.optional(SEQUENCE)? {
        Some(named) => algorithm::decode_hash(named.whole)
            .ok()
            .filter(|hash| *hash != HashAlgorithm::Sha1)
            .ok_or(Refusal::UnsupportedAlgorithm)?,
        None => HashAlgorithm::Sha256,
    };
    let digest = crypto.hash(hash, &[by.certificate.der()]);
    if first.one(OCTET_STRING)?.content == digest.as_bytes() {
        Ok(())
    } else {
        Err(Refusal::NotATimestamper.into())
    }
}

/// RFC 3161 §2.3: extended key usage is critical, and names timestamps alone.
fn only_for_timestamps(certificate: &Certificate) -> Result<(), Error> {
    let usages = certificate.extended_key_usages().unwrap_or_default();
    let parsed = x509_cert::Certificate::from_der(certificate.der());
    let parsed = parsed.map_err(Error::der("certificate"))?;
    let critical = parsed.tbs_certificate().extensions().is_some_and(|all| {
        all.iter().any(|it| it.extn_id == oids::ID_CE_EXT_KEY_USAGE && it.critical)
    });
    if critical && usages == [oids::ID_KP_TIME_STAMPING.to_string()] {
        Ok(())
    } else {
        Err(Refusal::NotATimestamper.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_parts_of_seconds() {
        assert_eq!(time(b"19700101000001Z"), Some(1));
        assert_eq!(time(b"20261123061919.123Z"), time(b"20261123061919Z"));
        for bad in [&b"20261123061919"[..], b"20261123061919.Z", b"20261323061919Z", b"Z", b"+Z"] {
            assert_eq!(time(bad), None);
        }
    }
}
