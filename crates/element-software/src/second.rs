//! The second place: what it says of the store's generation.

use crate::cipher;
use crate::disk;
use crate::root::Root;
use crate::settings::Second;
use std::path::PathBuf;
use subtle::ConstantTimeEq;
use touchstone_element::{Counting, Element, Error, Storage};
use touchstone_wire::{Malformed, Reader, Why, Writer};

const MAGIC: &[u8; 8] = b"TSMARK01";
/// Octets of a mark.
const LEN: usize = 80;

/// The last state of a store, as the second place knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) generation: u64,
    /// The digest of the store's file; a counter does not know it.
    pub(crate) digest: Option<[u8; 32]>,
}

/// Whose mark it is.
pub(crate) struct Owner<'a> {
    pub(crate) id: &'a [u8; 16],
    pub(crate) root: &'a Root,
}

impl Owner<'_> {
    fn mac(&self, generation: u64, digest: &[u8; 32]) -> Result<[u8; 16], Error> {
        let mut mac = [0; 16];
        let info: [&[u8]; 3] =
            [b"touchstone software element mark", &generation.to_be_bytes(), digest];
        cipher::derive(self.id, self.root.expose(), &info, &mut mac)?;
        Ok(mac)
    }
}

impl Second {
    /// Whether there is a second place.
    pub(crate) const fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Where it is, for a person.
    pub(crate) fn place(&self) -> PathBuf {
        match self {
            Self::None => PathBuf::new(),
            Self::File(path) => path.clone(),
            Self::Storage { name, .. } => PathBuf::from(format!("element-storage:{name}")),
            Self::Counter { name, .. } => PathBuf::from(format!("element-counter:{name}")),
        }
    }

    /// Whether it knows any store.
    pub(crate) fn is_taken(&mut self) -> Result<bool, Error> {
        match self {
            Self::None => Ok(false),
            Self::File(path) => disk::exists(path),
            Self::Storage { element, name } => Ok(storage(element)?.load(name)?.is_some()),
            Self::Counter { element, name } => Ok(counting(element)?.counter(name)?.is_some()),
        }
    }

    /// What it knows.
    pub(crate) fn read(&mut self, owner: &Owner<'_>) -> Result<Option<Mark>, Error> {
        let octets = match self {
            Self::None => return Ok(None),
            Self::File(path) => {
                disk::remove_draft(path)?;
                disk::read(path, LEN)?.map(|octets| octets.to_vec())
            }
            Self::Storage { element, name } => storage(element)?.load(name)?,
            Self::Counter { element, name } => {
                let generation = counting(element)?.counter(name)?;
                return Ok(generation.map(|generation| Mark { generation, digest: None }));
            }
        };
        let Some(octets) = octets else { return Ok(None) };
        let (id, generation, digest, mac) =
            decode(&octets).map_err(|_| Error::Corrupt(self.place()))?;
        if id != *owner.id {
            return Err(Error::Foreign);
        }
        if !bool::from(owner.mac(generation, &digest)?.ct_eq(&mac)) {
            return Err(Error::Corrupt(self.place()));
        }
        Ok(Some(Mark { generation, digest: Some(digest) }))
    }

    /// Tells it.
    pub(crate) fn write(
        &mut self,
        owner: &Owner<'_>,
        generation: u64,
        digest: &[u8; 32],
    ) -> Result<(), Error> {
        let mut out = Writer::new();
        out.bytes(MAGIC).bytes(owner.id).u64(generation).bytes(digest);
        out.bytes(&owner.mac(generation, digest)?);
        let octets = out.into_bytes();
        match self {
            Self::None => Ok(()),
            Self::File(path) => disk::replace(path, &octets),
            Self::Storage { element, name } => storage(element)?.store(name, &octets),
            Self::Counter { element, name } => {
                if counting(element)?.increment(name)? == generation {
                    return Ok(());
                }
                Err(Error::BadInput(
                    "the counter of the second place is used by something else too",
                ))
            }
        }
    }
}

fn storage(element: &mut Box<dyn Element>) -> Result<&mut dyn Storage, Error> {
    let missing = "the element of the second place has no storage";
    element.storage().ok_or(Error::Unsupported(missing))
}

pub(crate) fn counting(element: &mut Box<dyn Element>) -> Result<&mut dyn Counting, Error> {
    let missing = "the element of the second place has no counters";
    element.counting().ok_or(Error::Unsupported(missing))
}

type Parts = ([u8; 16], u64, [u8; 32], [u8; 16]);

pub(crate) fn decode(octets: &[u8]) -> Result<Parts, Malformed> {
    let mut reader = Reader::new(octets);
    if reader.array()? != *MAGIC {
        return Err(reader.malformed(Why::BadValue));
    }
    let parts = (reader.array()?, reader.u64()?, reader.array()?, reader.array()?);
    reader.finish()?;
    Ok(parts)
}
