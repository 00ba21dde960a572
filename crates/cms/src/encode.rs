//! Writing DER (X.690 §10): lengths are definite and short, sets are sorted.

use alloc::vec::Vec;
use der::Encode;
use der::asn1::ObjectIdentifier;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// `[n]` around one or more elements.
pub(crate) const fn context(number: u8) -> u8 {
    0xA0 | number
}

/// Tag and definite length.
pub(crate) fn header(tag: u8, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(6);
    out.push(tag);
    match u8::try_from(len) {
        Ok(len) if len < 0x80 => out.push(len),
        _ => {
            let octets = len.to_be_bytes();
            let zeros = octets.iter().take_while(|octet| **octet == 0).count();
            let octets = octets.get(zeros..).unwrap_or_default();
            // A length has at most eight octets.
            out.push(0x80 | u8::try_from(octets.len()).unwrap_or(8));
            out.extend_from_slice(octets);
        }
    }
    out
}

/// One element around these parts.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = header(tag, parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// `SET OF`, whatever its tag (X.690 §11.6).
pub(crate) fn set_of(tag: u8, mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort_unstable();
    elements.dedup();
    let parts: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
    tlv(tag, &parts)
}

pub(crate) fn oid(oid: &ObjectIdentifier) -> Vec<u8> {
    tlv(OID, &[oid.as_bytes()])
}

pub(crate) fn small(number: u8) -> Vec<u8> {
    // Numbers here are versions and lengths below 128.
    tlv(INTEGER, &[&[number]])
}

/// RFC 5652 §11.3: UTCTime until 2049, GeneralizedTime after.
pub(crate) fn time(at: u64) -> der::Result<Vec<u8>> {
    let time = der::DateTime::from_unix_duration(core::time::Duration::from_secs(at))?;
    x509_cert::time::Time::from(time).to_der()
}
