//! Our own small storage in the TPM, and the maker's certificates.

use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_tpm2::marshal::{Reader, Writer};
use touchstone_tpm2::nv::attributes::{
    AUTHREAD, NO_DA, OWNERREAD, OWNERWRITE, PLATFORMCREATE, PPREAD, PPWRITE, WRITTEN,
};
use touchstone_tpm2::nv::{CHUNK, Index, nv_write};
use touchstone_tpm2::{Entity, Error, Hierarchy, Tpm};

/// What TPMs store in one index without complaint.
pub(crate) const MAX_CERTIFICATE: u16 = 2048;

/// Puts a certificate, [`MAX_CERTIFICATE`] octets at most, where anyone can read it, replacing what
/// was there. In the platform's hierarchy, where `TPM2_Clear` leaves it alone, if that is open (at
/// manufacture it is), else in the owner's.
pub(crate) fn store_certificate(tpm: &mut Tpm, handle: u32, data: &[u8]) -> Result<(), Error> {
    let size = u16::try_from(data.len()).map_err(|_| Error::BadInput("it is too large"))?;
    if let Some(old) = tpm.nv_index(handle)? {
        let platform = old.attributes & PLATFORMCREATE != 0;
        let by = if platform { Hierarchy::Platform } else { Hierarchy::Owner };
        tpm.nv_undefine(by, &old.entity)?;
    }
    let shared = OWNERREAD | AUTHREAD | PPREAD | NO_DA;
    let platform = shared | PLATFORMCREATE | PPWRITE;
    let by = match tpm.nv_define(Hierarchy::Platform, handle, platform, size) {
        Ok(()) => Hierarchy::Platform,
        Err(Error::Refused(_)) => {
            tpm.nv_define(Hierarchy::Owner, handle, shared | OWNERWRITE, size)?;
            Hierarchy::Owner
        }
        Err(error) => return Err(error),
    };
    let mut offset = 0u16;
    for chunk in data.chunks(usize::from(CHUNK)) {
        // The index' name changes with its first write.
        let index = tpm.nv_index(handle)?.ok_or(GONE)?;
        let auth = tpm.hierarchy_auth(by);
        let write = nv_write(&by.entity(), auth, &index.entity, chunk, offset)?;
        tpm.run(&write.nothing_secret())?;
        offset = offset.saturating_add(CHUNK);
    }
    Ok(())
}

const GONE: Error = Error::Malformed("the index that was just defined is not there");

/// One index a name, in the owner's range (TCG Registry of Reserved TPM 2.0 Handles §2.2), written
/// whole in one command, which a power cut leaves done or undone.
const BASE: u32 = 0x0181_0000;
const SIZE: u16 = 256;
const VERSION: u8 = 1;
const ATTRIBUTES: u32 = OWNERWRITE | OWNERREAD | NO_DA;
/// Octets of a value that fit beside version, name and length.
pub(crate) const LIMIT: usize = SIZE as usize - 1 - 32 - 2;

const NOT_OURS: Error = Error::BadInput(
    "the TPM's index for this name holds something else; choose another name or undefine the index",
);

fn handle_of(digest: &[u8]) -> Result<u32, Error> {
    Ok(BASE | u32::from(Reader::new(digest).u16()?))
}

fn digest_of(name: &str) -> Vec<u8> {
    let parts: [&[u8]; 3] = [b"touchstone-storage", &[0], name.as_bytes()];
    AwsLc.hash(HashAlgorithm::Sha256, &parts).as_bytes().to_vec()
}

/// What the index of `digest` holds, checked to be ours.
pub(crate) fn decode(digest: &[u8], data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::new(data);
    if reader.u8()? != VERSION || reader.take(digest.len())? != digest {
        return Err(NOT_OURS);
    }
    Ok(reader.sized()?.to_vec())
}

/// What was stored under a name, read so that only we see it and nobody changes it on the way.
pub(crate) fn load(tpm: &mut Tpm, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let digest = digest_of(name);
    let Some(index) = index_of(tpm, &digest)?.filter(Index::is_written) else { return Ok(None) };
    let (owner, auth) = owner(tpm);
    let data = tpm.nv_read(&owner, auth, &index, SIZE, 0)?;
    decode(&digest, &data).map(Some)
}

/// Removes what was stored under a name.
pub(crate) fn remove(tpm: &mut Tpm, name: &str) -> Result<(), Error> {
    // Whatever is there has to be ours.
    load(tpm, name)?;
    match index_of(tpm, &digest_of(name))? {
        Some(index) => tpm.nv_undefine(Hierarchy::Owner, &index.entity),
        None => Ok(()),
    }
}

/// Stores a value of [`LIMIT`] octets at most under a name.
pub(crate) fn store(tpm: &mut Tpm, name: &str, value: &[u8]) -> Result<(), Error> {
    // Whatever is there has to be ours before it is overwritten.
    load(tpm, name)?;
    let digest = digest_of(name);
    if index_of(tpm, &digest)?.is_none() {
        tpm.nv_define(Hierarchy::Owner, handle_of(&digest)?, ATTRIBUTES, SIZE)?;
    }
    let index = index_of(tpm, &digest)?.ok_or(GONE)?;
    let mut data = Writer::default().u8(VERSION).octets(&digest).sized(value)?.done();
    data.resize(usize::from(SIZE), 0);
    let (owner, auth) = owner(tpm);
    tpm.run(&nv_write(&owner, auth, &index.entity, &data, 0)?)?;
    Ok(())
}

fn owner(tpm: &Tpm) -> (Entity, touchstone_tpm2::Auth) {
    (Hierarchy::Owner.entity(), tpm.hierarchy_auth(Hierarchy::Owner))
}

fn index_of(tpm: &mut Tpm, digest: &[u8]) -> Result<Option<Index>, Error> {
    match tpm.nv_index(handle_of(digest)?)? {
        Some(index) if index.attributes & !WRITTEN != ATTRIBUTES || index.size != SIZE => {
            Err(NOT_OURS)
        }
        index => Ok(index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_not_ours_is_not_read_as_a_value() {
        let digest = digest_of("counter");
        let mut data = Writer::default().u8(1).octets(&digest).sized(b"7").unwrap().done();
        data.resize(256, 0);
        assert_eq!(decode(&digest, &data).unwrap(), b"7");
        assert!(decode(&digest_of("other"), &data).is_err());
        data[0] = 2;
        assert!(decode(&digest, &data).is_err());
        assert!(decode(&digest, &[]).is_err());
    }
}
