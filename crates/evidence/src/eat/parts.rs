//! A claims set in CBOR, and the wrapper in it: evidence is long, and not taken apart before it is known to be
//! a wrapper.

use super::Error;
use super::names::CMW;
use alloc::borrow::Cow;
use minicbor::Decoder;
use minicbor::data::Type;

/// What a claims set consists of.
pub(super) struct Parts<'a> {
    /// The claims without the wrapper.
    pub(super) claims: Cow<'a, [u8]>,
    /// The wrapper.
    pub(super) cmw: Option<&'a [u8]>,
}

/// Finds the wrapper among the claims. Nothing may follow the claims set.
pub(super) fn split(octets: &[u8]) -> Result<Parts<'_>, Error> {
    let wrong = |_| Error::Claim("claims set");
    let mut decoder = Decoder::new(octets);
    let mut left = decoder.map().map_err(wrong)?;
    let first = decoder.position();
    let mut found = None;
    let last = loop {
        let start = decoder.position();
        match &mut left {
            Some(0) => break start,
            Some(left) => *left -= 1,
            None if decoder.datatype().map_err(wrong)? == Type::Break => break start,
            None => {}
        }
        let is_cmw = decoder.probe().i64().is_ok_and(|key| key == CMW);
        decoder.skip().map_err(wrong)?;
        let value = decoder.position();
        decoder.skip().map_err(wrong)?;
        let end = decoder.position();
        if is_cmw && found.replace((start, value, end)).is_some() {
            return Err(Error::Claim("cmw"));
        }
    };
    if left.is_none() {
        decoder.skip().map_err(wrong)?;
    }
    if decoder.position() != octets.len() {
        return Err(Error::Claim("claims set"));
    }
    let part = |from: usize, to: usize| octets.get(from..to).unwrap_or_default();
    Ok(match found {
        None => Parts { claims: Cow::Borrowed(octets), cmw: None },
        Some((start, value, end)) => {
            // A map of indefinite length (RFC 8949 §3.2.2).
            let claims = [&[0xBF][..], part(first, start), part(end, last), &[0xFF]].concat();
            Parts { claims: Cow::Owned(claims), cmw: Some(part(value, end)) }
        }
    })
}
