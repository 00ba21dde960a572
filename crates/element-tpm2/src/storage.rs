//! Our own small storage in the TPM, and the maker's certificates.

use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_tpm2::marshal::{Reader, Writer};
use touchstone_tpm2::nv::attributes::{PLATFORMCREATE, WRITTEN};
use touchstone_tpm2::nv::{Attributes, By, Index, NewIndex, Party};
use touchstone_tpm2::{Error, Hierarchy, Tpm};

/// What TPMs store in one index without complaint.
pub(crate) const MAX_CERTIFICATE: u16 = 2048;

/// Puts a certificate, [`MAX_CERTIFICATE`] octets at most, where anyone can read it, replacing what
/// was there. In the platform's hierarchy, where `TPM2_Clear` leaves it alone, if that is open (at
/// manufacture it is), else in the owner's.
pub(crate) fn store_certificate(tpm: &mut Tpm, handle: u32, data: &[u8]) -> Result<(), Error> {
    let size = u16::try_from(data.len()).map_err(|_| Error::BadInput("it is too large"))?;
    if let Some(old) = tpm.nv_index(handle)? {
        let platform = old.attributes.has(PLATFORMCREATE);
        let by = if platform { Hierarchy::Platform } else { Hierarchy::Owner };
        tpm.nv_undefine(by, &old)?;
    }
    let open =
        Attributes::new().read_by(&[Party::Platform, Party::Owner, Party::Value]).no_lockout();
    let new = |party| NewIndex::ordinary(handle, size).attributes(open.written_by(&[party]));
    let (mut index, by) = match tpm.nv_define(Hierarchy::Platform, &new(Party::Platform)) {
        Ok(index) => (index, By::Platform),
        Err(Error::Refused(_)) => (tpm.nv_define(Hierarchy::Owner, &new(Party::Owner))?, By::Owner),
        Err(error) => return Err(error),
    };
    tpm.nv_write_open(&mut index, &by, data, 0)
}

/// One index a name, in the owner's range (TCG Registry of Reserved TPM 2.0 Handles §2.2), written
/// whole in one command, which a power cut leaves done or undone.
const BASE: u32 = 0x0181_0000;
const SIZE: u16 = 256;
const VERSION: u8 = 1;
fn attributes() -> Attributes {
    Attributes::new().written_by(&[Party::Owner]).read_by(&[Party::Owner]).no_lockout()
}

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
    let data = tpm.nv_read_all(&index, &By::Owner)?;
    decode(&digest, &data).map(Some)
}

/// Removes what was stored under a name.
pub(crate) fn remove(tpm: &mut Tpm, name: &str) -> Result<(), Error> {
    // Whatever is there has to be ours.
    load(tpm, name)?;
    match index_of(tpm, &digest_of(name))? {
        Some(index) => tpm.nv_undefine(Hierarchy::Owner, &index),
        None => Ok(()),
    }
}

/// Stores a value of [`LIMIT`] octets at most under a name.
pub(crate) fn store(tpm: &mut Tpm, name: &str, value: &[u8]) -> Result<(), Error> {
    // Whatever is there has to be ours before it is overwritten.
    load(tpm, name)?;
    let digest = digest_of(name);
    let mut index = if let Some(index) = index_of(tpm, &digest)? {
        index
    } else {
        let new = NewIndex::ordinary(handle_of(&digest)?, SIZE).attributes(attributes());
        tpm.nv_define(Hierarchy::Owner, &new)?
    };
    let mut data = Writer::default().u8(VERSION).octets(&digest).sized(value)?.done();
    data.resize(usize::from(SIZE), 0);
    tpm.nv_write(&mut index, &By::Owner, &data, 0)
}

fn index_of(tpm: &mut Tpm, digest: &[u8]) -> Result<Option<Index>, Error> {
    match tpm.nv_index(handle_of(digest)?)? {
        Some(index)
            if index.attributes.bits() & !WRITTEN != attributes().bits() || index.size != SIZE =>
        {
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
