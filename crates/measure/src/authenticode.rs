//! The Authenticode digest of a PE image: what Secure Boot verifies and the firmware measures into
//! PCR 4 (Microsoft, "Windows Authenticode Portable Executable Signature Format"; PFP §3.3.4.5).
//! Adding or removing signatures does not change it.

use crate::{Error, Problem};
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_wire::Reader;

/// The Authenticode digest of a PE image as it lies in a file.
pub fn digest(
    crypto: &dyn Crypto,
    algorithm: HashAlgorithm,
    image: &[u8],
) -> Result<Digest, Error> {
    let layout = Layout::of(image).ok_or(Error::new(Problem::ImageMalformed, 0, 0))?;
    let parts = layout.parts(image).ok_or(Error::new(Problem::ImageMalformed, 0, 0))?;
    Ok(crypto.hash(algorithm, &parts))
}

/// A section of a PE image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Its name: `.cmdline`.
    pub name: &'a str,
    /// Its octets, without the padding in the file.
    pub data: &'a [u8],
    /// Octets that it takes in memory; those beyond `data` are zeros.
    pub memory_len: usize,
}

/// The sections of a PE image: what a unified kernel image is made of.
pub fn sections(image: &[u8]) -> Result<Vec<Section<'_>>, Error> {
    let malformed = Error::new(Problem::ImageMalformed, 0, 0);
    let layout = Layout::of(image).ok_or(malformed)?;
    named_sections(image, layout.table, layout.section_count).ok_or(malformed)
}

/// Whether every section lies in the image, and none twice.
pub(crate) fn check(image: &[u8]) -> Result<(), Error> {
    let parts = Layout::of(image).and_then(|layout| layout.parts(image).map(drop));
    parts.ok_or(Error::new(Problem::ImageMalformed, 0, 0))
}

fn named_sections(image: &[u8], table: usize, count: usize) -> Option<Vec<Section<'_>>> {
    let mut reader = Reader::new(image.get(table..)?);
    let mut sections = Vec::new();
    for _ in 0..count {
        let name = reader.take(8).ok()?;
        let name = name.split(|&octet| octet == 0).next().unwrap_or(name);
        let in_memory = usize::try_from(reader.u32_le().ok()?).ok()?;
        reader.u32_le().ok()?;
        let in_file = usize::try_from(reader.u32_le().ok()?).ok()?;
        let at = usize::try_from(reader.u32_le().ok()?).ok()?;
        reader.take(16).ok()?;
        let data = image.get(at..at.checked_add(in_file.min(in_memory))?)?;
        let name = core::str::from_utf8(name).ok()?;
        sections.push(Section { name, data, memory_len: in_memory });
    }
    Some(sections)
}

/// Where the parts are that count, and those that do not.
struct Layout {
    checksum: usize,
    certificate_entry: Option<usize>,
    headers_len: usize,
    certificates_len: usize,
    table: usize,
    section_count: usize,
    /// Offset and length of the raw data of each section, in the order of offsets.
    sections: Vec<(usize, usize)>,
}

impl Layout {
    fn of(image: &[u8]) -> Option<Self> {
        if image.get(..2)? != b"MZ" {
            return None;
        }
        let pe = usize::try_from(u32_at(image, 0x3C)?).ok()?;
        if image.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
            return None;
        }
        let section_count = usize::from(u16_at(image, pe.checked_add(6)?)?);
        let optional_len = usize::from(u16_at(image, pe.checked_add(20)?)?);
        let optional = pe.checked_add(24)?;
        // PE32 has 16 octets less before the data directories than PE32+.
        let directories = match u16_at(image, optional)? {
            0x10B => 96,
            0x20B => 112,
            _ => return None,
        };
        let headers_len = usize::try_from(u32_at(image, optional.checked_add(60)?)?).ok()?;
        let directory_count = u32_at(image, optional.checked_add(directories - 4)?)?;
        let certificate_entry =
            (directory_count > 4).then_some(optional.checked_add(directories + 4 * 8)?);
        let certificates_len = match certificate_entry {
            Some(entry) => usize::try_from(u32_at(image, entry.checked_add(4)?)?).ok()?,
            None => 0,
        };
        let table = optional.checked_add(optional_len)?;
        let sections = raw_sections(image, table, section_count)?;
        let checksum = optional.checked_add(64)?;
        Some(Self {
            checksum,
            certificate_entry,
            headers_len,
            certificates_len,
            table,
            section_count,
            sections,
        })
    }

    fn parts<'a>(&self, image: &'a [u8]) -> Option<Vec<&'a [u8]>> {
        let mut parts = Vec::with_capacity(self.sections.len() + 4);
        parts.push(image.get(..self.checksum)?);
        let after_checksum = self.checksum.checked_add(4)?;
        match self.certificate_entry {
            Some(entry) => {
                parts.push(image.get(after_checksum..entry)?);
                parts.push(image.get(entry.checked_add(8)?..self.headers_len)?);
            }
            None => parts.push(image.get(after_checksum..self.headers_len)?),
        }
        let mut hashed = self.headers_len;
        for &(at, len) in &self.sections {
            parts.push(image.get(at..at.checked_add(len)?)?);
            hashed = hashed.checked_add(len)?;
        }
        // What lies behind the sections counts, up to the certificates at the very end.
        let end = image.len().checked_sub(self.certificates_len)?;
        if hashed < end {
            parts.push(image.get(hashed..end)?);
        } else if hashed > end {
            return None;
        }
        Some(parts)
    }
}

fn raw_sections(image: &[u8], table: usize, count: usize) -> Option<Vec<(usize, usize)>> {
    let mut reader = Reader::new(image.get(table..)?);
    let mut sections = Vec::new();
    for _ in 0..count {
        reader.take(16).ok()?;
        let len = usize::try_from(reader.u32_le().ok()?).ok()?;
        let at = usize::try_from(reader.u32_le().ok()?).ok()?;
        reader.take(16).ok()?;
        if len > 0 {
            sections.push((at, len));
        }
    }
    sections.sort_unstable();
    Some(sections)
}

fn u16_at(image: &[u8], at: usize) -> Option<u16> {
    Reader::new(image.get(at..)?).u16_le().ok()
}

fn u32_at(image: &[u8], at: usize) -> Option<u32> {
    Reader::new(image.get(at..)?).u32_le().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto_awslc::AwsLc;

    const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

    /// The smallest PE32+ image with one section, and room to sign it.
    fn image() -> Vec<u8> {
        let mut image = alloc::vec![0u8; 0x400];
        image[..2].copy_from_slice(b"MZ");
        image[0x3C] = 0x40;
        image[0x40..0x44].copy_from_slice(b"PE\0\0");
        image[0x46] = 1; // one section
        image[0x54] = 0xF0; // size of the optional header
        image[0x58..0x5A].copy_from_slice(&0x20Bu16.to_le_bytes());
        image[0x58 + 60..0x58 + 64].copy_from_slice(&0x200u32.to_le_bytes());
        image[0x58 + 108] = 16; // data directories
        let section = 0x58 + 0xF0;
        image[section + 16..section + 20].copy_from_slice(&0x200u32.to_le_bytes());
        image[section + 20..section + 24].copy_from_slice(&0x200u32.to_le_bytes());
        image[0x200..].fill(0xCC);
        image
    }

    fn signed(mut image: Vec<u8>) -> Vec<u8> {
        let at = u32::try_from(image.len()).unwrap();
        let entry = 0x58 + 112 + 32;
        image[entry..entry + 4].copy_from_slice(&at.to_le_bytes());
        image[entry + 4..entry + 8].copy_from_slice(&64u32.to_le_bytes());
        image[0x58 + 64] = 0x99; // the checksum changes as well
        image.extend([0xEE; 64]);
        image
    }

    #[test]
    fn a_signature_does_not_change_the_digest() {
        let plain = digest(&AwsLc, SHA256, &image()).unwrap();
        assert_eq!(digest(&AwsLc, SHA256, &signed(image())).unwrap(), plain);
    }

    #[test]
    fn every_octet_that_is_code_counts() {
        let plain = digest(&AwsLc, SHA256, &image()).unwrap();
        for at in [0x02, 0x1FF, 0x200, 0x3FF] {
            let mut image = image();
            image[at] ^= 1;
            assert_ne!(digest(&AwsLc, SHA256, &image).unwrap(), plain, "octet {at:#x}");
        }
        let mut longer = image();
        longer.extend([0; 8]);
        assert_ne!(digest(&AwsLc, SHA256, &longer).unwrap(), plain);
    }

    #[test]
    fn a_section_is_as_long_as_in_memory() {
        let mut image = image();
        let section = 0x58 + 0xF0;
        image[section..section + 8].copy_from_slice(b".cmdline");
        image[section + 8] = 5;
        let found = sections(&image).unwrap();
        assert_eq!(found, [Section { name: ".cmdline", data: &[0xCC; 5], memory_len: 5 }]);
    }

    #[test]
    fn a_cut_image_is_refused() {
        let image = signed(image());
        for cut in (0..image.len()).step_by(7) {
            let error = digest(&AwsLc, SHA256, &image[..cut]).unwrap_err();
            assert_eq!(error.code(), "measure.image.malformed");
        }
    }
}
