//! `SubjectPublicKeyInfo` in DER of a TPM's keys (RFC 3279 §2.3.1, RFC 5480 §2, RFC 9881 §4).

use alloc::vec;
use alloc::vec::Vec;
/// ecPublicKey, prime256v1.
pub(super) const P256: &[u8] = &[
    0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D,
    0x03, 0x01, 0x07,
];
/// ecPublicKey, secp384r1.
pub(super) const P384: &[u8] = &[
    0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22,
];
/// ecPublicKey, secp521r1.
pub(super) const P521: &[u8] = &[
    0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23,
];
/// rsaEncryption, NULL.
const RSA: &[u8] = &[0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];
/// The arc of signature algorithms that NIST assigns: 17 to 19 are ML-DSA-44 to ML-DSA-87.
const ML_DSA: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03];

pub(super) fn ecc(algorithm: &[u8], len: usize, x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    let mut point = vec![0x00, 0x04];
    for number in [x, y] {
        let pad = len.checked_sub(number.len())?;
        point.resize(point.len() + pad, 0);
        point.extend_from_slice(number);
    }
    Some(info(algorithm, &point))
}

pub(super) fn rsa(modulus: &[u8], exponent: u32) -> Vec<u8> {
    let key = [integer(modulus), integer(&exponent.to_be_bytes())].concat();
    info(RSA, &[vec![0x00], element(0x30, &key)].concat())
}

/// An ML-DSA key; `last` is the last arc of its identifier.
pub(super) fn ml_dsa(last: u8, key: &[u8]) -> Vec<u8> {
    info(&[ML_DSA, &[last]].concat(), &[&[0x00], key].concat())
}

fn info(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    element(0x30, &[element(0x30, algorithm), element(0x03, key)].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|&&octet| octet == 0).count();
    let digits = number.get(zeros..).unwrap_or(&[]);
    let sign = if digits.first().is_none_or(|&octet| octet >= 0x80) { &[0][..] } else { &[] };
    element(0x02, &[sign, digits].concat())
}

fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let len = body.len().to_be_bytes();
    let zeros = len.iter().take_while(|&&octet| octet == 0).count();
    let digits = len.get(zeros..).unwrap_or(&[]);
    let mut out = vec![tag];
    match (body.len(), u8::try_from(digits.len())) {
        (0..=127, _) => out.push(len.last().copied().unwrap_or(0)),
        (_, Ok(count)) => {
            out.push(0x80 | count);
            out.extend_from_slice(digits);
        }
        // No length has more than 255 octets.
        (_, Err(_)) => {}
    }
    out.extend_from_slice(body);
    out
}
