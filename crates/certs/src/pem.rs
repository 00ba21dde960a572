//! PEM (RFC 7468): many blocks in a file, with text between them.

use crate::{Error, Fault};
use alloc::string::String;
use alloc::vec::Vec;

/// As much as any bundle of ours holds.
const MOST_BLOCKS: usize = 4096;

/// The DER of every block with one of these labels; other blocks (a key beside its certificate)
/// are passed over.
pub(crate) fn decode(
    pem: &[u8],
    labels: &[&str],
    part: &'static str,
) -> Result<Vec<Vec<u8>>, Error> {
    let malformed = || Error::malformed(part);
    let text = core::str::from_utf8(pem).map_err(|_| malformed())?;
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find("-----BEGIN ") {
        let block = rest.get(begin..).ok_or_else(malformed)?;
        let end = block.find("-----END ").ok_or_else(malformed)?;
        let after = block.get(end + 9..).ok_or_else(malformed)?;
        let close = after.find("-----").ok_or_else(malformed)?;
        let total = end + 9 + close + 5;
        let (block, tail) = (block.get(..total), block.get(total..));
        let (block, tail) = (block.ok_or_else(malformed)?, tail.ok_or_else(malformed)?);
        let label = block.get(11..).and_then(|b| b.split("-----").next()).unwrap_or_default();
        if labels.contains(&label) {
            if found.len() == MOST_BLOCKS {
                return Err(Error::faulty(part, Fault::TooMany));
            }
            let (_, der) = der::pem::decode_vec(block.as_bytes()).map_err(|_| malformed())?;
            found.push(der);
        }
        rest = tail;
    }
    if found.is_empty() { Err(malformed()) } else { Ok(found) }
}

pub(crate) fn encode(label: &'static str, der: &[u8]) -> Result<String, Error> {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der)
        .map_err(|_| Error::malformed("PEM block"))
}
