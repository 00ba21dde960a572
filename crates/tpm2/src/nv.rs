//! Non-volatile indices: what they are, what they hold.

use crate::Error;
use crate::auth::Auth;
use crate::code;
use crate::command::Command;
use crate::handle::{Entity, Hierarchy};
use crate::marshal::{Reader, Writer};
use crate::public::hash_algorithm;
use crate::response_code;
use crate::tpm::Tpm;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, HashAlgorithm};

/// `TPMA_NV` bits (TPM 2.0 Part 2 §13.4).
pub mod attributes {
    /// The platform's authorization writes.
    pub const PPWRITE: u32 = 1;
    /// The owner's authorization writes.
    pub const OWNERWRITE: u32 = 1 << 1;
    /// The platform's authorization reads.
    pub const PPREAD: u32 = 1 << 16;
    /// The owner's authorization reads.
    pub const OWNERREAD: u32 = 1 << 17;
    /// The index' own value reads.
    pub const AUTHREAD: u32 = 1 << 18;
    /// Wrong authorizations do not count towards a lockout.
    pub const NO_DA: u32 = 1 << 25;
    /// It was written.
    pub const WRITTEN: u32 = 1 << 29;
    /// The platform defined it, and only the platform undefines it.
    pub const PLATFORMCREATE: u32 = 1 << 30;
}

use attributes::{AUTHREAD, WRITTEN};

/// Read and written at a time; every TPM takes that much (PC Client Platform TPM Profile §4.5).
pub const CHUNK: u16 = 512;

/// An index that is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Where it is, and its name.
    pub entity: Entity,
    /// `TPMA_NV`; see [`attributes`].
    pub attributes: u32,
    /// Octets that it holds.
    pub size: u16,
}

impl Index {
    /// Whether it was ever written.
    pub const fn is_written(&self) -> bool {
        self.attributes & WRITTEN != 0
    }

    /// Reads `TPMS_NV_PUBLIC`, of which the name is a digest.
    pub fn decode(crypto: &dyn Crypto, handle: u32, public: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(public);
        if reader.u32()? != handle {
            return Err(Error::Malformed("it is about another index"));
        }
        let algorithm = hash_algorithm(reader.u16()?)?;
        let attributes = reader.u32()?;
        reader.sized()?;
        let size = reader.u16()?;
        reader.end()?;
        let name = Writer::default()
            .u16(algorithm.tpm_id())
            .octets(crypto.hash(algorithm, &[public]).as_bytes())
            .done();
        Ok(Self { entity: Entity::named(handle, name), attributes, size })
    }
}

impl Tpm {
    /// The index at a handle, `None` where none is defined.
    pub fn nv_index(&mut self, handle: u32) -> Result<Option<Index>, Error> {
        let command = Command::new(code::NV_READ_PUBLIC).handle(&Entity::fixed(handle));
        match self.run(&command) {
            Ok(answer) => {
                let public = Reader::new(&answer.parameters).sized()?;
                Index::decode(self.crypto, handle, public).map(Some)
            }
            Err(Error::Refused(refusal)) if refusal.is(response_code::HANDLE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The defined indices from `first` to `last`.
    pub fn nv_defined(&mut self, first: u32, last: u32) -> Result<Vec<u32>, Error> {
        let handles = self.handles(first)?;
        Ok(handles.into_iter().filter(|handle| (first..=last).contains(handle)).collect())
    }

    /// All that an index holds that anyone may read, in the clear: a certificate. `None` where
    /// nothing was ever written.
    pub fn nv_read_open(&mut self, handle: u32) -> Result<Option<Vec<u8>>, Error> {
        let Some(index) = self.nv_index(handle)?.filter(Index::is_written) else {
            return Ok(None);
        };
        let (reader, auth) = if index.attributes & AUTHREAD != 0 {
            (index.entity.clone(), Auth::empty())
        } else {
            (Hierarchy::Owner.entity(), self.hierarchy_auth(Hierarchy::Owner))
        };
        let mut data = Vec::with_capacity(usize::from(index.size));
        let mut offset = 0;
        while offset < index.size {
            let len = CHUNK.min(index.size - offset);
            let command = nv_read(&reader, auth.clone(), &index.entity, len, offset);
            let answer = self.run(&command.nothing_secret())?;
            data.extend_from_slice(chunk(&answer.parameters, len)?);
            offset += len;
        }
        Ok(Some(data))
    }

    /// Reads octets of an index, encrypted on their way.
    pub fn nv_read(
        &mut self,
        by: &Entity,
        auth: Auth,
        index: &Index,
        len: u16,
        offset: u16,
    ) -> Result<crate::kdf::Octets, Error> {
        let answer = self.run(&nv_read(by, auth, &index.entity, len, offset))?;
        Ok(chunk(&answer.parameters, len)?.to_vec().into())
    }

    /// Defines an ordinary index without a value or a policy of its own.
    pub fn nv_define(
        &mut self,
        hierarchy: Hierarchy,
        handle: u32,
        attributes: u32,
        size: u16,
    ) -> Result<(), Error> {
        let public = Writer::default()
            .u32(handle)
            .u16(HashAlgorithm::Sha256.tpm_id())
            .u32(attributes)
            .u16(0)
            .u16(size)
            .done();
        let auth = self.hierarchy_auth(hierarchy);
        self.run(
            &Command::new(code::NV_DEFINE_SPACE)
                .authorized(&hierarchy.entity(), auth)
                .parameters(Writer::default().u16(0).sized(&public)?)
                .nothing_secret(),
        )?;
        Ok(())
    }

    /// Undefines an index.
    pub fn nv_undefine(&mut self, hierarchy: Hierarchy, index: &Entity) -> Result<(), Error> {
        let auth = self.hierarchy_auth(hierarchy);
        self.run(
            &Command::new(code::NV_UNDEFINE_SPACE)
                .authorized(&hierarchy.entity(), auth)
                .handle(index),
        )?;
        Ok(())
    }
}

fn nv_read(by: &Entity, auth: Auth, index: &Entity, len: u16, offset: u16) -> Command {
    Command::new(code::NV_READ)
        .authorized(by, auth)
        .handle(index)
        .parameters(Writer::default().u16(len).u16(offset))
}

/// `TPM2_NV_Write` of octets that fit at once.
pub fn nv_write(
    by: &Entity,
    auth: Auth,
    index: &Entity,
    data: &[u8],
    offset: u16,
) -> Result<Command, Error> {
    Ok(Command::new(code::NV_WRITE)
        .authorized(by, auth)
        .handle(index)
        .parameters(Writer::default().sized(data)?.u16(offset)))
}

fn chunk(parameters: &[u8], len: u16) -> Result<&[u8], Error> {
    let data = Reader::new(parameters).sized()?;
    if data.len() == usize::from(len) {
        Ok(data)
    } else {
        Err(Error::Malformed("fewer octets of the index than asked for"))
    }
}

/// The certificates that stand one after another in an index, without the filling behind them.
pub fn split_certificates(mut data: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let mut certificates = Vec::new();
    while let Some(0x30) = data.first() {
        let (certificate, rest) = split_der(data)?;
        certificates.push(certificate.to_vec());
        data = rest;
    }
    // Makers fill with either.
    if data.iter().all(|&octet| octet == 0) || data.iter().all(|&octet| octet == 0xFF) {
        Ok(certificates)
    } else {
        Err(Error::Malformed("an index holds something that is not a certificate"))
    }
}

fn split_der(data: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (header, len) = match data {
        [_, 0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [_, 0x81, len, ..] => (3, usize::from(*len)),
        [_, len @ 0..=0x7F, ..] => (2, usize::from(*len)),
        _ => return Err(Error::Malformed("a stored certificate has no proper length")),
    };
    data.split_at_checked(header + len).ok_or(Error::Malformed("a stored certificate is cut short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_come_apart_and_filling_is_left_out() {
        let (short, long) = ([0x30, 2, 1, 2], [&[0x30, 0x82, 1, 0], [7; 256].as_slice()].concat());
        for filling in [&[][..], &[0; 9], &[0xFF; 9]] {
            let data = [&short, long.as_slice(), filling].concat();
            assert_eq!(split_certificates(&data).unwrap(), [short.to_vec(), long.clone()]);
        }
        assert_eq!(split_certificates(&[]).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_cut_certificate_or_noise_is_refused() {
        for bad in [&[0x30][..], &[0x30, 0x83, 1, 1, 1], &[0x30, 5, 1], b"noise", &[0x30, 0, 1]] {
            assert!(matches!(split_certificates(bad), Err(Error::Malformed(_))), "{bad:?}");
        }
    }
}
