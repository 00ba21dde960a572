//! The partition table of the disk that was booted (UEFI_GPT_DATA, PFP §10.2.6; UEFI 2.10 §5.3).

use super::{Guid, text};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use touchstone_wire::Reader;

/// A GUID partition table, as it is measured: without what is in the partitions, and only those
/// entries that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpt {
    /// The eight octets in front: `EFI PART`.
    pub signature: [u8; 8],
    /// The version of the header.
    pub revision: u32,
    /// How long the header is.
    pub header_len: u32,
    /// Its checksum.
    pub header_crc: u32,
    /// The block that it is in, and that of its copy.
    pub blocks: (u64, u64),
    /// The first and the last block that partitions may use.
    pub usable: (u64, u64),
    /// The disk.
    pub disk: Guid,
    /// The block of the first entry, how many entries there are room for, and the length of each.
    pub entries: (u64, u32, u32),
    /// The checksum over the entries.
    pub entries_crc: u32,
    /// The partitions.
    pub partitions: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub kind: Guid,
    /// Which it is.
    pub guid: Guid,
    /// Its first and its last block.
    pub blocks: (u64, u64),
    /// Its attributes.
    pub attributes: u64,
    /// Its name for people.
    pub name: String,
}

impl Gpt {
    /// Parses an event's data; `None` if what is announced is not there.
    pub fn decode(data: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(data);
        let signature = reader.array().ok()?;
        let revision = reader.u32_le().ok()?;
        let header_len = reader.u32_le().ok()?;
        let header_crc = reader.u32_le().ok()?;
        reader.u32_le().ok()?; // reserved
        let mut pair = || Some((reader.u64_le().ok()?, reader.u64_le().ok()?));
        let (blocks, usable) = (pair()?, pair()?);
        let disk = Guid(reader.array().ok()?);
        let entries = (reader.u64_le().ok()?, reader.u32_le().ok()?, reader.u32_le().ok()?);
        let entries_crc = reader.u32_le().ok()?;
        let count = usize::try_from(reader.u64_le().ok()?).ok()?;
        let entry_len = usize::try_from(entries.2).ok()?;
        if entry_len < 128 || count.checked_mul(entry_len)? > reader.remaining() {
            return None;
        }
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            partitions.push(Partition::decode(reader.take(entry_len).ok()?)?);
        }
        Some(Self {
            signature,
            revision,
            header_len,
            header_crc,
            blocks,
            usable,
            disk,
            entries,
            entries_crc,
            partitions,
        })
    }
}

impl Partition {
    fn decode(entry: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(entry);
        Some(Self {
            kind: Guid(reader.array().ok()?),
            guid: Guid(reader.array().ok()?),
            blocks: (reader.u64_le().ok()?, reader.u64_le().ok()?),
            attributes: reader.u64_le().ok()?,
            name: text::utf16(reader.take(72).ok()?).unwrap_or_default(),
        })
    }
}

impl fmt::Display for Gpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disk {} with {} partitions", self.disk, self.partitions.len())?;
        for partition in &self.partitions {
            write!(f, ", \"{}\" {}", partition.name, partition.guid)?;
        }
        Ok(())
    }
}
