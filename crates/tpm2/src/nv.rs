//! Non-volatile indices: what they are, what they hold, who may use them (TPM 2.0 Part 1 §34.7, Part
//! 3 §31). What is written and read travels encrypted.
//!
//! What this is not: named values, which are `touchstone-element-tpm2`'s.

pub mod attributes;
mod certificates;
mod definition;
mod fault;
mod operations;

pub use attributes::{Attributes, Kind, Party};
pub use certificates::split_certificates;
pub use definition::NewIndex;
pub use fault::{Fault, Why};
pub use operations::{By, PinCount, nv_write};

use crate::command::{Answer, Command};
use crate::handle::{Entity, HandleKind};
use crate::marshal::{Reader, Writer};
use crate::public::hash_algorithm;
use crate::tpm::Tpm;
use crate::{Error, code, response_code};
use alloc::vec::Vec;
use attributes::{READLOCKED, WRITELOCKED, WRITTEN};
use touchstone_crypto::{Crypto, HashAlgorithm};

/// Read and written at a time by every TPM (PC Client Platform TPM Profile §4.5); most take more.
pub const CHUNK: u16 = 512;

const NO_INDEX: Error = Error::BadInput("indices are from 0x01000000 to 0x01ffffff");

/// An index that is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Where it is, and its name, which changes with its first write and with its locks.
    pub entity: Entity,
    /// What it is, who may use it, and how it is.
    pub attributes: Attributes,
    /// Octets that it holds.
    pub size: u16,
    /// The hash of its name and of its policy.
    pub name_algorithm: HashAlgorithm,
    /// The digest of its policy, or nothing.
    pub policy: Vec<u8>,
}

impl Index {
    /// What it is; `None` for a kind that is not in the TPM 2.0 library.
    pub fn kind(&self) -> Option<Kind> {
        self.attributes.kind()
    }

    /// Whether it was ever written.
    pub const fn is_written(&self) -> bool {
        self.attributes.has(WRITTEN)
    }

    /// Whether it is locked against writing.
    pub const fn is_write_locked(&self) -> bool {
        self.attributes.has(WRITELOCKED)
    }

    /// Whether it is locked against reading.
    pub const fn is_read_locked(&self) -> bool {
        self.attributes.has(READLOCKED)
    }

    /// Reads `TPMS_NV_PUBLIC`, of which the name is a digest.
    pub fn decode(crypto: &dyn Crypto, handle: u32, public: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(public);
        if reader.u32()? != handle {
            return Err(Error::Malformed("it is about another index"));
        }
        let name_algorithm = hash_algorithm(reader.u16()?)?;
        let attributes = Attributes::from_bits(reader.u32()?);
        let policy = reader.sized()?.to_vec();
        let size = reader.u16()?;
        reader.end()?;
        let entity = Entity::named(handle, name_of(crypto, name_algorithm, public));
        Ok(Self { entity, attributes, size, name_algorithm, policy })
    }

    /// Writes the `TPMS_NV_PUBLIC`.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        Ok(Writer::default()
            .u32(self.entity.handle)
            .u16(self.name_algorithm.tpm_id())
            .u32(self.attributes.bits())
            .sized(&self.policy)?
            .u16(self.size)
            .done())
    }

    /// Follows a change of its attributes: the TPM knows the index by a name that includes them.
    fn now_has(&mut self, crypto: &dyn Crypto, bits: u32) -> Result<(), Error> {
        self.attributes = self.attributes.with(bits);
        self.entity.name = name_of(crypto, self.name_algorithm, &self.encode()?);
        Ok(())
    }

    const fn fault(&self, why: Why) -> Error {
        Error::Nv(Fault { index: self.entity.handle, why })
    }

    fn has_to_be(&self, needed: Kind) -> Result<(), Error> {
        match self.kind() {
            Some(kind) if kind == needed => Ok(()),
            is => Err(self.fault(Why::WrongKind { is, needed })),
        }
    }
}

fn name_of(crypto: &dyn Crypto, algorithm: HashAlgorithm, public: &[u8]) -> Vec<u8> {
    let digest = crypto.hash(algorithm, &[public]);
    Writer::default().u16(algorithm.tpm_id()).octets(digest.as_bytes()).done()
}

impl Tpm {
    /// `TPM2_NV_ReadPublic`: the index at a handle, `None` where none is defined.
    pub fn nv_index(&mut self, handle: u32) -> Result<Option<Index>, Error> {
        if HandleKind::of(handle) != HandleKind::Nv {
            return Err(NO_INDEX);
        }
        let command = Command::new(code::NV_READ_PUBLIC).handle(&Entity::fixed(handle));
        let answer = match self.run(&command) {
            Ok(answer) => answer,
            Err(Error::Refused(refusal)) if refusal.is(response_code::HANDLE) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut reader = Reader::new(&answer.parameters);
        let (public, name) = (reader.sized()?, reader.sized()?);
        reader.end()?;
        let index = Index::decode(self.crypto, handle, public)?;
        if index.entity.name != name {
            return Err(Error::Malformed("the name is not that of its public area"));
        }
        Ok(Some(index))
    }

    /// The same where one has to be.
    pub fn nv_find(&mut self, handle: u32) -> Result<Index, Error> {
        let missing = Error::Nv(Fault { index: handle, why: Why::Undefined });
        self.nv_index(handle)?.ok_or(missing)
    }

    /// The defined indices from `first` to `last`.
    pub fn nv_defined(&mut self, first: u32, last: u32) -> Result<Vec<u32>, Error> {
        let handles = self.all_handles(first)?;
        Ok(handles.into_iter().filter(|handle| (first..=last).contains(handle)).collect())
    }

    pub(crate) fn nv_run(&mut self, index: &Index, command: &Command) -> Result<Answer, Error> {
        let error = match self.run(command) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // What proves us right names the index, so an old name looks like a wrong value.
        if let Error::WrongAuthorization { .. } = error
            && let Ok(now) = self.nv_index(index.entity.handle)
            && now.is_none_or(|now| now.entity != index.entity)
        {
            return Err(index.fault(Why::Changed));
        }
        Err(fault::told(index.entity.handle, index.attributes, index.size, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto_awslc::AwsLc;

    #[test]
    fn an_index_reads_back_as_it_was_written_and_a_cut_is_noticed() {
        let public = Writer::default()
            .u32(0x0180_0001)
            .u16(0x0B)
            .u32(0x2204_0004)
            .sized(&[7; 32])
            .unwrap()
            .u16(32)
            .done();
        let index = Index::decode(&AwsLc, 0x0180_0001, &public).unwrap();
        assert_eq!(index.encode().unwrap(), public);
        assert_eq!((index.is_written(), index.kind()), (true, Some(Kind::Ordinary)));
        assert!(Index::decode(&AwsLc, 0x0180_0002, &public).is_err());
        for cut in 0..public.len() {
            assert!(Index::decode(&AwsLc, 0x0180_0001, &public[..cut]).is_err());
        }
    }

    #[test]
    fn a_counter_is_not_taken_for_octets() {
        let public = Writer::default().u32(0x0180_0001).u16(0x0B).u32(0x10).u16(0).u16(8).done();
        let index = Index::decode(&AwsLc, 0x0180_0001, &public).unwrap();
        let error = index.has_to_be(Kind::Ordinary).unwrap_err();
        assert_eq!(error.code(), "tpm2.nv.kind");
        assert_eq!(index.has_to_be(Kind::Counter), Ok(()));
    }
}
