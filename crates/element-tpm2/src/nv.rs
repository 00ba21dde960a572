//! Non-volatile indices: certificates that makers stored, and our own small storage.

use crate::command::{self, Auth, Command, Entity};
use crate::context::{Context, RH_OWNER};
use crate::kdf;
use crate::marshal::{Reader, Writer};
use crate::public::hash_algorithm;
use crate::response_code;
use crate::session::Secret;
use touchstone_crypto::HashAlgorithm;
use touchstone_element::Error;
use tpm2_protocol::data::TpmRcBase;

/// `TPMA_NV` bits (Part 2 §13.4).
const PPWRITE: u32 = 1;
const OWNERWRITE: u32 = 1 << 1;
const PPREAD: u32 = 1 << 16;
const OWNERREAD: u32 = 1 << 17;
const AUTHREAD: u32 = 1 << 18;
const NO_DA: u32 = 1 << 25;
const WRITTEN: u32 = 1 << 29;
const PLATFORMCREATE: u32 = 1 << 30;

const RH_PLATFORM: u32 = 0x4000_000C;
const CAP_HANDLES: u32 = 1;
/// Read and written at a time; every TPM takes that much (PC Client Platform TPM Profile §4.5).
const CHUNK: u16 = 512;

/// An index that is defined.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) entity: Entity,
    attributes: u32,
    size: u16,
}

impl Index {
    pub(crate) const fn is_written(&self) -> bool {
        self.attributes & WRITTEN != 0
    }

    /// Reads `TPMS_NV_PUBLIC`, of which the name is a digest.
    pub(crate) fn decode(handle: u32, public: &[u8]) -> Result<Self, Error> {
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
            .octets(&kdf::hash(algorithm, &[public]))
            .done();
        Ok(Self { entity: Entity { handle, name }, attributes, size })
    }
}

impl Context {
    /// The index at a handle, `None` where none is defined.
    pub(crate) fn nv_index(&mut self, handle: u32) -> Result<Option<Index>, Error> {
        let answer = self.run(&Command {
            code: command::NV_READ_PUBLIC,
            handles: &[&Entity::fixed(handle)],
            auths: &[],
            parameters: Vec::new(),
        });
        match answer {
            Ok(answer) => Index::decode(handle, Reader::new(&answer.parameters).sized()?).map(Some),
            Err(Error::Refused(refusal)) if response_code::is(&refusal, TpmRcBase::Handle) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The defined indices from `first` to `last`.
    pub(crate) fn nv_defined(&mut self, first: u32, last: u32) -> Result<Vec<u32>, Error> {
        let listed = self.capability(CAP_HANDLES, first, 64)?;
        let mut reader = Reader::new(&listed);
        let mut handles = Vec::new();
        for _ in 0..reader.u32()? {
            let handle = reader.u32()?;
            if (first..=last).contains(&handle) {
                handles.push(handle);
            }
        }
        Ok(handles)
    }

    /// All that an index holds, in the clear; `None` where nothing was ever written.
    pub(crate) fn nv_read(&mut self, handle: u32) -> Result<Option<Vec<u8>>, Error> {
        let Some(index) = self.nv_index(handle)?.filter(Index::is_written) else {
            return Ok(None);
        };
        let reader = if index.attributes & AUTHREAD != 0 {
            index.entity.clone()
        } else {
            Entity::fixed(RH_OWNER)
        };
        let mut data = Vec::with_capacity(usize::from(index.size));
        let mut offset = 0;
        while offset < index.size {
            let len = CHUNK.min(index.size - offset);
            let answer = self.run(&Command {
                code: command::NV_READ,
                handles: &[&reader, &index.entity],
                auths: &[Auth::Empty],
                parameters: Writer::default().u16(len).u16(offset).done(),
            })?;
            let chunk = Reader::new(&answer.parameters).sized()?;
            if chunk.len() != usize::from(len) {
                return Err(Error::Malformed("fewer octets of the index than asked for"));
            }
            data.extend_from_slice(chunk);
            offset += len;
        }
        Ok(Some(data))
    }

    fn nv_define(
        &mut self,
        hierarchy: u32,
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
        self.run(&Command {
            code: command::NV_DEFINE_SPACE,
            handles: &[&Entity::fixed(hierarchy)],
            auths: &[Auth::Empty],
            parameters: Writer::default().u16(0).sized(&public)?.done(),
        })?;
        Ok(())
    }

    /// Puts a certificate where anyone can read it, replacing what was there. In the platform's
    /// hierarchy, where `TPM2_Clear` leaves it alone, if that is open (at manufacture it is), else
    /// in the owner's.
    pub(crate) fn nv_store_certificate(&mut self, handle: u32, data: &[u8]) -> Result<(), Error> {
        let size =
            u16::try_from(data.len()).ok().filter(|&size| (1..=MAX_CERTIFICATE).contains(&size));
        let size = size.ok_or(Error::TooLarge { limit: usize::from(MAX_CERTIFICATE) })?;
        if let Some(old) = self.nv_index(handle)? {
            let by = if old.attributes & PLATFORMCREATE != 0 { RH_PLATFORM } else { RH_OWNER };
            self.run(&Command {
                code: command::NV_UNDEFINE_SPACE,
                handles: &[&Entity::fixed(by), &old.entity],
                auths: &[Auth::Empty],
                parameters: Vec::new(),
            })?;
        }
        let shared = OWNERREAD | AUTHREAD | PPREAD | NO_DA;
        let platform = shared | PLATFORMCREATE | PPWRITE;
        let by = match self.nv_define(RH_PLATFORM, handle, platform, size) {
            Ok(()) => RH_PLATFORM,
            Err(Error::Refused(_)) => {
                self.nv_define(RH_OWNER, handle, shared | OWNERWRITE, size)?;
                RH_OWNER
            }
            Err(error) => return Err(error),
        };
        let by = Entity::fixed(by);
        let mut offset = 0u16;
        for chunk in data.chunks(usize::from(CHUNK)) {
            // The name of an index changes with its first write, but an empty authorization does
            // not name anything.
            self.run(&Command {
                code: command::NV_WRITE,
                handles: &[&by, &Entity::fixed(handle)],
                auths: &[Auth::Empty],
                parameters: Writer::default().sized(chunk)?.u16(offset).done(),
            })?;
            offset = offset.saturating_add(CHUNK);
        }
        Ok(())
    }
}

/// What TPMs store in one index without complaint.
const MAX_CERTIFICATE: u16 = 2048;

/// Our storage: one index a name, in the owner's range (TCG Registry of Reserved TPM 2.0 Handles
/// §2.2), written whole in one command, which a power cut leaves done or undone.
const STORAGE_BASE: u32 = 0x0181_0000;
const STORAGE_SIZE: u16 = 256;
const STORAGE_VERSION: u8 = 1;
const STORAGE_ATTRIBUTES: u32 = OWNERWRITE | OWNERREAD | NO_DA;
/// Octets of a value that fit beside version, name and length.
pub(crate) const STORAGE_LIMIT: usize = STORAGE_SIZE as usize - 1 - 32 - 2;

const NOT_OURS: Error = Error::BadInput(
    "the TPM's index for this name holds something else; choose another name or undefine the index",
);

fn storage_handle(digest: &[u8]) -> Result<u32, Error> {
    Ok(STORAGE_BASE | u32::from(Reader::new(digest).u16()?))
}

fn digest_of(name: &str) -> Vec<u8> {
    kdf::hash(HashAlgorithm::Sha256, &[b"touchstone-storage", &[0], name.as_bytes()])
}

/// What the index of `digest` holds, checked to be ours.
pub(crate) fn decode_stored(digest: &[u8], data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::new(data);
    if reader.u8()? != STORAGE_VERSION || reader.take(digest.len())? != digest {
        return Err(NOT_OURS);
    }
    Ok(reader.sized()?.to_vec())
}

impl Context {
    /// What was stored under a name, read so that only we see it and nobody changes it on the way.
    pub(crate) fn load_value(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let digest = digest_of(name);
        let Some(index) = self.storage_index(&digest)?.filter(Index::is_written) else {
            return Ok(None);
        };
        let owner = Entity::fixed(RH_OWNER);
        let command = Command {
            code: command::NV_READ,
            handles: &[&owner, &index.entity],
            auths: &[Auth::Empty],
            parameters: Writer::default().u16(STORAGE_SIZE).u16(0).done(),
        };
        let answer = self.run_secret(command, Secret::Received)?;
        decode_stored(&digest, Reader::new(&answer.parameters).sized()?).map(Some)
    }

    /// Removes what was stored under a name.
    pub(crate) fn remove_value(&mut self, name: &str) -> Result<(), Error> {
        // Whatever is there has to be ours.
        self.load_value(name)?;
        let Some(index) = self.storage_index(&digest_of(name))? else { return Ok(()) };
        self.run(&Command {
            code: command::NV_UNDEFINE_SPACE,
            handles: &[&Entity::fixed(RH_OWNER), &index.entity],
            auths: &[Auth::Empty],
            parameters: Vec::new(),
        })?;
        Ok(())
    }

    /// Stores a value under a name.
    pub(crate) fn store_value(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        if value.len() > STORAGE_LIMIT {
            return Err(Error::TooLarge { limit: STORAGE_LIMIT });
        }
        // Whatever is there has to be ours before it is overwritten.
        self.load_value(name)?;
        let digest = digest_of(name);
        if self.storage_index(&digest)?.is_none() {
            let handle = storage_handle(&digest)?;
            self.nv_define(RH_OWNER, handle, STORAGE_ATTRIBUTES, STORAGE_SIZE)?;
        }
        let index = self
            .storage_index(&digest)?
            .ok_or(Error::Malformed("the index that was just defined is not there"))?;
        let mut data = Writer::default().u8(STORAGE_VERSION).octets(&digest).sized(value)?.done();
        data.resize(usize::from(STORAGE_SIZE), 0);
        let owner = Entity::fixed(RH_OWNER);
        let command = Command {
            code: command::NV_WRITE,
            handles: &[&owner, &index.entity],
            auths: &[Auth::Empty],
            parameters: Writer::default().sized(&data)?.u16(0).done(),
        };
        self.run_secret(command, Secret::Sent)?;
        Ok(())
    }

    fn storage_index(&mut self, digest: &[u8]) -> Result<Option<Index>, Error> {
        let index = self.nv_index(storage_handle(digest)?)?;
        match index {
            Some(index)
                if index.attributes & !WRITTEN != STORAGE_ATTRIBUTES
                    || index.size != STORAGE_SIZE =>
            {
                Err(NOT_OURS)
            }
            index => Ok(index),
        }
    }
}

/// The certificates that stand one after another in an index, without the filling behind them.
pub(crate) fn split_certificates(mut data: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
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

    #[test]
    fn an_index_that_is_not_ours_is_not_read_as_a_value() {
        let digest = digest_of("counter");
        let mut data = Writer::default().u8(1).octets(&digest).sized(b"7").unwrap().done();
        data.resize(256, 0);
        assert_eq!(decode_stored(&digest, &data).unwrap(), b"7");
        assert!(decode_stored(&digest_of("other"), &data).is_err());
        data[0] = 2;
        assert!(decode_stored(&digest, &data).is_err());
        assert!(decode_stored(&digest, &[]).is_err());
    }
}
