//! Signature databases: PK, KEK, db, dbx, MokList.

use super::Guid;
use alloc::vec::Vec;
use touchstone_wire::Reader;

/// The content of PK, KEK, db or dbx (EFI_SIGNATURE_LIST, UEFI 2.10 §32.4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureDatabase {
    /// Its entries in order.
    pub entries: Vec<Signature>,
}

/// One entry of a signature database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What the data is: `EFI_CERT_X509_GUID` and so on.
    pub kind: Guid,
    /// Who put it there.
    pub owner: Guid,
    /// The certificate in DER, the digest, ...
    pub data: Vec<u8>,
}

/// One list in a signature database, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List<'a> {
    pub(super) kind: Guid,
    pub(super) entry_len: usize,
    pub(super) body: &'a [u8],
}

impl<'a> List<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let kind = Guid(reader.array().ok()?);
        let list_len = usize::try_from(reader.u32_le().ok()?).ok()?;
        let header_len = usize::try_from(reader.u32_le().ok()?).ok()?;
        let entry_len = usize::try_from(reader.u32_le().ok()?).ok()?;
        let body_len = list_len.checked_sub(28)?.checked_sub(header_len)?;
        reader.take(header_len).ok()?;
        let body = reader.take(body_len).ok()?;
        (entry_len > 16 && body.len().is_multiple_of(entry_len)).then_some(Self {
            kind,
            entry_len,
            body,
        })
    }
}

impl SignatureDatabase {
    /// Parses a variable's content; `None` if a list's sizes contradict each other.
    pub fn decode(data: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(data);
        let mut entries = Vec::new();
        while !reader.is_empty() {
            let list = List::read(&mut reader)?;
            for entry in list.body.chunks_exact(list.entry_len) {
                entries.push(Self::entry(list.kind, entry)?);
            }
        }
        Some(Self { entries })
    }

    /// Parses the one entry that `EV_EFI_VARIABLE_AUTHORITY` holds: EFI_SIGNATURE_DATA without its
    /// list (PFP §3.3.4.8).
    pub fn decode_authority(kind: Guid, data: &[u8]) -> Option<Signature> {
        Self::entry(kind, data)
    }

    fn entry(kind: Guid, entry: &[u8]) -> Option<Signature> {
        let (owner, data) = entry.split_at_checked(16)?;
        Some(Signature { kind, owner: Guid(owner.try_into().ok()?), data: data.to_vec() })
    }

    /// How many entries are certificates, and how many are something else.
    pub fn counts(&self) -> (usize, usize) {
        let certificates =
            self.entries.iter().filter(|entry| entry.kind == Guid::CERT_X509).count();
        (certificates, self.entries.len() - certificates)
    }
}
