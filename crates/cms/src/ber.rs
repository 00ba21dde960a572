//! Reading BER (X.690 §8) as far as RFC 5652 allows it: lengths may be indefinite and octet strings
//! may come in segments. What is signed or compared is DER, and read by `der`.

use crate::encode::{OCTET_STRING, SEQUENCE};
use crate::{Error, Why};
use alloc::vec::Vec;

pub(crate) const CONSTRUCTED: u8 = 0x20;
/// As deep as anything here is nested.
const DEEPEST: usize = 32;

/// Tag and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) tag: u8,
    /// `None`: until two zero octets.
    pub(crate) len: Option<u64>,
    pub(crate) octets: usize,
}

impl Header {
    pub(crate) const END: Self = Self { tag: 0, len: Some(0), octets: 2 };

    /// The header at the start; `None` as long as it is not whole.
    pub(crate) fn read(octets: &[u8]) -> Result<Option<Self>, ()> {
        let [tag, first, rest @ ..] = octets else { return Ok(None) };
        // No type of CMS has a tag of more than one octet.
        if tag & 0x1F == 0x1F || (*tag == 0 && *first != 0) {
            return Err(());
        }
        let (len, more) = match *first {
            0x80 if tag & CONSTRUCTED == 0 => return Err(()),
            0x80 => (None, 0),
            short @ 0..0x80 => (Some(u64::from(short)), 0),
            long => {
                let count = usize::from(long & 0x7F);
                if count > 8 {
                    return Err(());
                }
                let Some(digits) = rest.get(..count) else { return Ok(None) };
                let len = digits.iter().fold(0, |len: u64, digit| len << 8 | u64::from(*digit));
                (Some(len), count)
            }
        };
        Ok(Some(Self { tag: *tag, len, octets: 2 + more }))
    }
}

/// One element of a message in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// All of it, header and end included.
    pub(crate) whole: &'a [u8],
}

/// Elements one after another.
pub(crate) struct Elements<'a> {
    part: &'static str,
    rest: &'a [u8],
    len: usize,
}

/// The content of the one `SEQUENCE` that a whole message is.
pub(crate) fn message<'a>(part: &'static str, octets: &'a [u8]) -> Result<&'a [u8], Error> {
    let mut outer = Elements::new(part, octets);
    match Header::read(octets) {
        Ok(Some(header)) if header.tag != SEQUENCE => return Err(outer.because(Why::OtherType)),
        Err(()) => return Err(outer.because(Why::OtherType)),
        Ok(None) => return Err(outer.because(Why::CutOff)),
        Ok(Some(Header { len: Some(len), octets: head, .. })) => {
            let whole = usize::try_from(len).ok().and_then(|len| head.checked_add(len));
            if whole.is_none_or(|whole| whole > octets.len()) {
                return Err(outer.because(Why::CutOff));
            }
        }
        Ok(Some(_)) => {}
    }
    let content = outer.any()?.content;
    if outer.is_empty() { Ok(content) } else { Err(outer.because(Why::Trailing)) }
}

impl<'a> Elements<'a> {
    pub(crate) const fn new(part: &'static str, octets: &'a [u8]) -> Self {
        Self { part, rest: octets, len: octets.len() }
    }

    fn fault(&self) -> Error {
        self.because(Why::Form)
    }

    fn because(&self, why: Why) -> Error {
        let offset = u32::try_from(self.len - self.rest.len()).ok();
        Error::Malformed { part: self.part, offset, why }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn any(&mut self) -> Result<Element<'a>, Error> {
        let (element, rest) = split(self.rest, 0).ok_or_else(|| self.fault())?;
        self.rest = rest;
        Ok(element)
    }

    pub(crate) fn one(&mut self, tag: u8) -> Result<Element<'a>, Error> {
        if self.peek() == Some(tag) { self.any() } else { Err(self.fault()) }
    }

    /// The element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Error> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Octets with this tag, in one piece or in segments (X.690 §8.7).
    pub(crate) fn octet_string(&mut self, tag: u8) -> Result<Vec<u8>, Error> {
        let fault = self.fault();
        let element = self.any()?;
        let mut out = Vec::new();
        if element.tag == tag {
            out.extend_from_slice(element.content);
        } else if element.tag == tag | CONSTRUCTED {
            flatten(element.content, &mut out, 0).ok_or(fault)?;
        } else {
            return Err(fault);
        }
        Ok(out)
    }

    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault()) }
    }
}

fn flatten(mut segments: &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    while !segments.is_empty() {
        let (segment, rest) = split(segments, depth)?;
        match segment.tag {
            OCTET_STRING => out.extend_from_slice(segment.content),
            0x24 if depth < DEEPEST => flatten(segment.content, out, depth + 1)?,
            _ => return None,
        }
        segments = rest;
    }
    Some(())
}

fn split(octets: &[u8], depth: usize) -> Option<(Element<'_>, &[u8])> {
    let header = Header::read(octets).ok()??;
    if header == Header::END {
        return None;
    }
    let body = octets.get(header.octets..)?;
    let Some(len) = header.len else {
        let len = indefinite(body, depth)?;
        let (whole, rest) = octets.split_at_checked(header.octets + len + 2)?;
        let content = body.get(..len)?;
        return Some((Element { tag: header.tag, content, whole }, rest));
    };
    let len = usize::try_from(len).ok()?;
    let (whole, rest) = octets.split_at_checked(header.octets.checked_add(len)?)?;
    let content = body.get(..len)?;
    Some((Element { tag: header.tag, content, whole }, rest))
}

/// The octets before the end of contents.
fn indefinite(body: &[u8], depth: usize) -> Option<usize> {
    if depth >= DEEPEST {
        return None;
    }
    let mut rest = body;
    while !rest.starts_with(&[0, 0]) {
        rest = split(rest, depth + 1)?.1;
    }
    Some(body.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_soon_as_it_is_whole() {
        assert_eq!(Header::read(&[0x30]), Ok(None));
        assert_eq!(Header::read(&[0x30, 0x82, 1]), Ok(None));
        let header = Header { tag: 0x30, len: Some(256), octets: 4 };
        assert_eq!(Header::read(&[0x30, 0x82, 1, 0, 9]), Ok(Some(header)));
        assert_eq!(Header::read(&[0x04, 0x80]), Err(()), "a primitive without length");
        assert_eq!(Header::read(&[0x1F, 0x81]), Err(()), "a long tag");
        assert_eq!(Header::read(&[0x30, 0x89]), Err(()), "a length longer than any");
    }

    #[test]
    fn segments_are_put_together_and_what_lies_about_lengths_is_not_read() {
        let octets = [0x24, 0x80, 4, 1, b'a', 0x24, 3, 4, 1, b'b', 0, 0, 5, 0];
        let mut elements = Elements::new("test", &octets);
        assert_eq!(elements.octet_string(OCTET_STRING).unwrap(), b"ab");
        assert_eq!(elements.any().unwrap().tag, 5);
        assert!(elements.end().is_ok());
        for bad in [&octets[..11], &[0x24, 4, 4, 1, b'a', 5], &[0x24, 0x80, 5, 0, 0, 0]] {
            assert!(Elements::new("test", bad).octet_string(OCTET_STRING).is_err(), "{bad:?}");
        }
        let deep = [0x30, 0x80].repeat(10_000);
        assert!(Elements::new("test", &deep).any().is_err());
    }
}
