//! The code ranges of an ELF file, as the kernel and the dynamic loader map them.

use super::{CodeRange, MAX_ITEMS, PAGE, code_digest};
use crate::Error;
use alloc::vec::Vec;
use object::read::{Object, ObjectSegment};
use object::{SegmentFlags, elf};
use touchstone_crypto::Crypto;

/// The code ranges of the ELF file `bytes`, which is mapped as `path`: for every executable
/// PT_LOAD segment, the pages that its file octets lie in. What a last page holds beyond the
/// segment are the octets that follow in the file, and zeros beyond its end, because that is what
/// the kernel maps.
pub fn code_ranges(crypto: &dyn Crypto, path: &str, bytes: &[u8]) -> Result<Vec<CodeRange>, Error> {
    let malformed = Error::Malformed { item: "ELF file", at: 0 };
    let file = object::File::parse(bytes).map_err(|_| malformed.clone())?;
    let mut ranges = Vec::new();
    for segment in file.segments() {
        let SegmentFlags::Elf { p_flags, .. } = segment.flags() else {
            return Err(malformed);
        };
        let (offset, len) = segment.file_range();
        if p_flags.0 & elf::PF_X.0 == 0 || len == 0 {
            continue;
        }
        let range = pages(crypto, path, bytes, offset, len).ok_or(malformed.clone())?;
        ranges.push(range);
        if ranges.len() > MAX_ITEMS {
            return Err(Error::TooLarge { item: "ELF file", limit: MAX_ITEMS });
        }
    }
    Ok(ranges)
}

fn pages(
    crypto: &dyn Crypto,
    path: &str,
    bytes: &[u8],
    offset: u64,
    len: u64,
) -> Option<CodeRange> {
    let end = offset.checked_add(len)?;
    if end > u64::try_from(bytes.len()).ok()? {
        return None;
    }
    let first = offset - offset % PAGE;
    let last = end.checked_next_multiple_of(PAGE)?;
    let mut octets = bytes.get(usize::try_from(first).ok()?..)?.to_vec();
    octets.resize(usize::try_from(last - first).ok()?, 0);
    let digest = code_digest(crypto, &octets);
    Some(CodeRange { path: path.into(), offset: first, len: last - first, digest })
}
