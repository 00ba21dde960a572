//! ECDSA signatures in their two encodings: `Ecdsa-Sig-Value` in DER (RFC 3279 §2.2.3) and the
//! fixed-length `r || s` of JOSE (RFC 7518 §3.4) and COSE (RFC 9053 §2.1).

use crate::Error;
use alloc::vec::Vec;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// DER to `r || s`, each `len` octets (32 for P-256, 48 for P-384).
pub fn der_to_fixed(der: &[u8], len: usize) -> Result<Vec<u8>, Error> {
    let (body, rest) = element(der, SEQUENCE)?;
    let (r, after) = element(body, INTEGER)?;
    let (s, end) = element(after, INTEGER)?;
    if !rest.is_empty() || !end.is_empty() {
        return Err(Error::BadEncoding);
    }
    let mut out = Vec::with_capacity(2 * len);
    for number in [r, s] {
        let number = unsigned(number)?;
        let pad = len.checked_sub(number.len()).ok_or(Error::BadEncoding)?;
        out.resize(out.len() + pad, 0);
        out.extend_from_slice(number);
    }
    Ok(out)
}

/// `r || s` to DER.
pub fn fixed_to_der(fixed: &[u8]) -> Result<Vec<u8>, Error> {
    if fixed.is_empty() || !fixed.len().is_multiple_of(2) || fixed.len() > 132 {
        return Err(Error::BadEncoding);
    }
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let mut body = Vec::with_capacity(fixed.len() + 6);
    for number in [r, s] {
        push_integer(&mut body, number)?;
    }
    let mut der = Vec::with_capacity(body.len() + 3);
    der.push(SEQUENCE);
    push_len(&mut der, body.len())?;
    der.extend_from_slice(&body);
    Ok(der)
}

fn push_integer(out: &mut Vec<u8>, number: &[u8]) -> Result<(), Error> {
    let skip = number.iter().take_while(|&&byte| byte == 0).count();
    let digits = number.get(skip..).filter(|digits| !digits.is_empty()).unwrap_or(&[0]);
    let sign = usize::from(digits.first().is_some_and(|&byte| byte >= 0x80));
    out.push(INTEGER);
    push_len(out, digits.len() + sign)?;
    out.resize(out.len() + sign, 0);
    out.extend_from_slice(digits);
    Ok(())
}

fn push_len(out: &mut Vec<u8>, len: usize) -> Result<(), Error> {
    let byte = u8::try_from(len).map_err(|_| Error::BadEncoding)?;
    if byte >= 0x80 {
        out.push(0x81);
    }
    out.push(byte);
    Ok(())
}

fn element(bytes: &[u8], tag: u8) -> Result<(&[u8], &[u8]), Error> {
    let (len, body) = match bytes {
        [t, 0x81, len @ 0x80..=0xff, body @ ..] | [t, len @ 0..=0x7f, body @ ..] if *t == tag => {
            (usize::from(*len), body)
        }
        _ => return Err(Error::BadEncoding),
    };
    body.split_at_checked(len).ok_or(Error::BadEncoding)
}

fn unsigned(number: &[u8]) -> Result<&[u8], Error> {
    match number {
        [0, rest @ ..] if rest.first().is_some_and(|&byte| byte >= 0x80) => Ok(rest),
        [0] => Ok(&[]),
        [first, ..] if *first != 0 && *first < 0x80 => Ok(number),
        _ => Err(Error::BadEncoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_hold_the_same_numbers() {
        for (r, s) in [(0x01, 0x7f), (0x80, 0xff), (0x00, 0x01)] {
            let mut fixed = [0u8; 96];
            fixed[0] = r;
            fixed[47] = 9;
            fixed[48] = s;
            let der = fixed_to_der(&fixed).unwrap();
            assert_eq!(der_to_fixed(&der, 48).unwrap(), fixed);
        }
    }

    #[test]
    fn a_longer_number_or_trailing_octets_are_refused() {
        let der = fixed_to_der(&[0x55; 64]).unwrap();
        assert_eq!(der_to_fixed(&der, 31), Err(Error::BadEncoding));
        let mut long = der.clone();
        long.push(0);
        assert_eq!(der_to_fixed(&long, 32), Err(Error::BadEncoding));
        for cut in 0..der.len() {
            assert_eq!(der_to_fixed(&der[..cut], 32), Err(Error::BadEncoding));
        }
    }
}
