//! Changing registers otherwise than by a digest: events, resets, banks (TPM 2.0 Part 3 §22.3 to
//! §22.9).

use super::{Bits, SELECT_OCTETS};
use crate::Error;
use crate::auth::Auth;
use crate::code;
use crate::command::Command;
use crate::handle::{Entity, Hierarchy};
use crate::marshal::{Reader, Writer};
use crate::pcr::PcrSelection;
use crate::public::hash_algorithm;
use crate::tpm::Tpm;
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm};

/// More banks than any TPM has.
const MAX_BANKS: u32 = 16;
/// `TPM2B_EVENT` (Part 2 §10.4.8).
const MAX_EVENT: usize = 1024;

/// The room that banks take (`TPM2_PCR_Allocate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Registers of a bank.
    pub max_pcr: u32,
    /// Octets that the banks take.
    pub needed: u32,
    /// Octets that there are.
    pub available: u32,
}

impl Tpm {
    /// `TPM2_PCR_Event`: the TPM hashes the event itself and extends the register in every bank.
    /// Gives the digests.
    pub fn pcr_event(&mut self, pcr: u8, event: &[u8]) -> Result<Vec<Digest>, Error> {
        if event.len() > MAX_EVENT {
            return Err(Error::BadInput("an event is 1024 octets at most; extend with its digest"));
        }
        let command = Command::new(code::PCR_EVENT)
            .authorized(&register(pcr)?, Auth::empty())
            .parameters(Writer::default().sized(event)?);
        decode_digests(&self.run(&command)?.parameters)
    }

    /// `TPM2_PCR_Reset`: back to its start, where the register and the locality allow it: 16 and 23
    /// from everywhere, 17 to 22 from a dynamic launch.
    pub fn pcr_reset(&mut self, pcr: u8) -> Result<(), Error> {
        let command = Command::new(code::PCR_RESET).authorized(&register(pcr)?, Auth::empty());
        self.run(&command)?;
        Ok(())
    }

    /// `TPM2_PCR_Allocate`: which registers there are from the next start on, bank by bank; `None`
    /// ends a bank. What is not named stays as it is now, so name all changes in one call: a second
    /// one takes the first back. By the platform, for that is what the firmware measures with.
    pub fn pcr_allocate(
        &mut self,
        banks: &[(HashAlgorithm, Option<PcrSelection>)],
    ) -> Result<Allocation, Error> {
        let count = u32::try_from(banks.len()).ok().filter(|count| *count <= MAX_BANKS);
        let count = count.ok_or(Error::BadInput("there are not so many PCR banks"))?;
        let parameters = banks.iter().fold(Writer::default().u32(count), |writer, (hash, bank)| {
            let bits: Bits = bank.map_or(0, |bank| bank.bits);
            let [a, b, c, _] = bits.to_le_bytes();
            writer.u16(hash.tpm_id()).u8(SELECT_OCTETS).octets(&[a, b, c])
        });
        let auth = self.hierarchy_auth(Hierarchy::Platform);
        let command =
            Command::new(code::PCR_ALLOCATE).authorized(&Hierarchy::Platform.entity(), auth);
        let answer = self.run(&command.parameters(parameters))?;
        let mut reader = Reader::new(&answer.parameters);
        let done = reader.u8()? != 0;
        let allocation =
            Allocation { max_pcr: reader.u32()?, needed: reader.u32()?, available: reader.u32()? };
        reader.end()?;
        if done {
            Ok(allocation)
        } else {
            Err(Error::Unsupported("these PCR banks at once; it has no room for them"))
        }
    }
}

fn register(pcr: u8) -> Result<Entity, Error> {
    if pcr < 24 { Ok(Entity::pcr(pcr)) } else { Err(Error::BadInput("PCRs are 0 to 23")) }
}

/// Reads a `TPML_DIGEST_VALUES` (Part 2 §10.9.6).
pub(crate) fn decode_digests(parameters: &[u8]) -> Result<Vec<Digest>, Error> {
    let mut reader = Reader::new(parameters);
    let count = reader.u32()?;
    if count > MAX_BANKS {
        return Err(Error::Malformed("it has more digests than there are hash algorithms"));
    }
    let digests = (0..count)
        .map(|_| {
            let hash = hash_algorithm(reader.u16()?)?;
            let wrong = Error::Malformed("a digest has not its hash's length");
            Digest::new(hash, reader.take(hash.len())?).ok_or(wrong)
        })
        .collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_that_are_cut_or_without_end_are_refused() {
        let good = Writer::default().u32(1).u16(0x0B).octets(&[7; 32]).done();
        assert_eq!(decode_digests(&good).unwrap()[0].as_bytes(), [7; 32]);
        for cut in 0..good.len() {
            assert!(decode_digests(&good[..cut]).is_err());
        }
        let many = Writer::default().u32(u32::MAX).octets(&[0; 64]).done();
        assert!(matches!(decode_digests(&many), Err(Error::Malformed(_))));
    }
}
