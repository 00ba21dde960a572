//! Platform Configuration Registers: selections, values, extending (TPM 2.0 Part 3 §22).

mod change;

pub use change::Allocation;
pub(crate) use change::decode_digests;

use crate::Error;
use crate::auth::Auth;
use crate::code;
use crate::command::Command;
use crate::handle::Entity;
use crate::marshal::{Reader, Writer};
use crate::tpm::Tpm;
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm};

const CAP_PCRS: u32 = 5;
/// Three octets select registers 0 to 23 (PC Client Platform TPM Profile §4.6).
const SELECT_OCTETS: u8 = 3;
/// A race with whoever extends is lost this often at most.
const READ_TRIES: usize = 5;

/// Registers as a bit each.
pub(crate) type Bits = u32;

/// Registers of one bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcrSelection {
    algorithm: HashAlgorithm,
    bits: Bits,
}

impl PcrSelection {
    /// Some of the registers 0 to 23; order and repetition carry no meaning.
    pub fn new(algorithm: HashAlgorithm, pcrs: &[u8]) -> Result<Self, Error> {
        if pcrs.is_empty() {
            return Err(Error::BadInput("no PCR is selected"));
        }
        let bits = pcrs.iter().try_fold(0, |bits, &pcr| {
            if pcr < 24 { Ok(bits | 1 << pcr) } else { Err(Error::BadInput("PCRs are 0 to 23")) }
        })?;
        Ok(Self { algorithm, bits })
    }

    /// The bank.
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The registers, lowest first.
    pub fn pcrs(&self) -> Vec<u8> {
        numbers(self.bits)
    }

    /// `TPML_PCR_SELECTION` (Part 2 §10.9.7).
    pub fn encode(&self) -> Vec<u8> {
        encode(self.algorithm, self.bits)
    }
}

fn encode(algorithm: HashAlgorithm, bits: Bits) -> Vec<u8> {
    let [a, b, c, _] = bits.to_le_bytes();
    Writer::default().u32(1).u16(algorithm.tpm_id()).u8(SELECT_OCTETS).octets(&[a, b, c]).done()
}

/// Reads a `TPML_PCR_SELECTION`: per bank its identifier and registers.
pub(crate) fn decode_selections(reader: &mut Reader<'_>) -> Result<Vec<(u16, Bits)>, Error> {
    let count = reader.u32()?;
    if count > 16 {
        return Err(Error::Malformed("it has more PCR banks than there are hash algorithms"));
    }
    (0..count)
        .map(|_| {
            let algorithm = reader.u16()?;
            let len = reader.u8()?;
            let select = reader.take(usize::from(len))?;
            Ok((algorithm, bits_of(select)))
        })
        .collect()
}

/// The first 32 registers of a bit map.
pub(crate) fn bits_of(select: &[u8]) -> Bits {
    select.iter().take(4).rev().fold(0, |bits, &octet| bits << 8 | Bits::from(octet))
}

/// Their numbers, lowest first.
pub(crate) fn numbers(bits: Bits) -> Vec<u8> {
    (0..32).filter(|pcr| bits & (1 << pcr) != 0).collect()
}

/// What one `TPM2_PCR_Read` gave.
pub(crate) struct Batch {
    counter: u32,
    bits: Bits,
    digests: Vec<Digest>,
}

pub(crate) fn decode_batch(algorithm: HashAlgorithm, parameters: &[u8]) -> Result<Batch, Error> {
    let mut reader = Reader::new(parameters);
    let counter = reader.u32()?;
    let bits = decode_selections(&mut reader)?
        .iter()
        .filter(|(id, _)| *id == algorithm.tpm_id())
        .fold(0, |all, (_, bits)| all | bits);
    let count = reader.u32()?;
    if count != bits.count_ones() {
        return Err(Error::Malformed("it has not as many PCR values as it says"));
    }
    let digests = (0..count)
        .map(|_| {
            Digest::new(algorithm, reader.sized()?)
                .ok_or(Error::Malformed("a PCR value has not its bank's length"))
        })
        .collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(Batch { counter, bits, digests })
}

impl Tpm {
    /// The banks that have registers.
    pub fn pcr_banks(&mut self) -> Result<Vec<HashAlgorithm>, Error> {
        let listed = self.capability(CAP_PCRS, 0, 1)?;
        let banks = decode_selections(&mut Reader::new(&listed))?;
        let used = banks.into_iter().filter(|(_, bits)| *bits != 0);
        Ok(used.filter_map(|(id, _)| HashAlgorithm::from_tpm_id(id)).collect())
    }

    /// The values of the selected registers, lowest first, all of one moment.
    pub fn pcr_read(&mut self, selection: &PcrSelection) -> Result<Vec<Digest>, Error> {
        for _ in 0..READ_TRIES {
            if let Some(digests) = self.pcr_read_once(selection.algorithm, selection.bits)? {
                return Ok(digests);
            }
        }
        Err(Error::Busy)
    }

    /// `None` when a register changed between the batches.
    fn pcr_read_once(
        &mut self,
        algorithm: HashAlgorithm,
        wanted: Bits,
    ) -> Result<Option<Vec<Digest>>, Error> {
        let (mut digests, mut left, mut counter) = (Vec::new(), wanted, None);
        while left != 0 {
            let answer = self.run(
                &Command::new(code::PCR_READ)
                    .parameters(Writer::default().octets(&encode(algorithm, left))),
            )?;
            let batch = decode_batch(algorithm, &answer.parameters)?;
            if batch.bits == 0 {
                return Err(Error::Unsupported("this PCR bank, which is not in use"));
            }
            // Batches come lowest first, so the values line up.
            if batch.bits & !left != 0 {
                return Err(Error::Malformed("it has PCRs that were not asked for"));
            }
            if *counter.get_or_insert(batch.counter) != batch.counter {
                return Ok(None);
            }
            digests.extend(batch.digests);
            left &= !batch.bits;
        }
        Ok(Some(digests))
    }

    /// Extends a register with a digest per bank.
    pub fn pcr_extend(&mut self, pcr: u8, digests: &[Digest]) -> Result<(), Error> {
        if pcr >= 24 {
            return Err(Error::BadInput("PCRs are 0 to 23"));
        }
        let count = u32::try_from(digests.len())
            .map_err(|_| Error::BadInput("there are more digests than PCR banks"))?;
        let parameters = digests.iter().fold(Writer::default().u32(count), |writer, digest| {
            writer.u16(digest.algorithm().tpm_id()).octets(digest.as_bytes())
        });
        self.run(
            &Command::new(code::PCR_EXTEND)
                .authorized(&Entity::pcr(pcr), Auth::empty())
                .parameters(parameters),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_selection_is_written_as_part_2_says() {
        let selection = PcrSelection::new(HashAlgorithm::Sha256, &[10, 0, 23, 0]).unwrap();
        assert_eq!(selection.pcrs(), [0, 10, 23]);
        assert_eq!(selection.encode(), [0, 0, 0, 1, 0, 0x0B, 3, 0b1, 0b100, 0b1000_0000]);
        for bad in [&[][..], &[24], &[255]] {
            let selection = PcrSelection::new(HashAlgorithm::Sha256, bad);
            assert!(matches!(selection, Err(Error::BadInput(_))));
        }
    }

    #[test]
    fn values_that_do_not_match_their_selection_are_refused() {
        let batch = |count: u32, len: usize| {
            let head = Writer::default().u32(7).octets(&encode(HashAlgorithm::Sha256, 0b11));
            let digest = vec![5; len];
            head.u32(count).sized(&digest).unwrap().sized(&digest).unwrap().done()
        };
        let good = decode_batch(HashAlgorithm::Sha256, &batch(2, 32)).unwrap();
        assert_eq!((good.counter, good.bits, good.digests.len()), (7, 0b11, 2));
        for bad in [batch(1, 32), batch(3, 32), batch(2, 31), batch(u32::MAX, 32)] {
            assert!(decode_batch(HashAlgorithm::Sha256, &bad).is_err());
        }
    }
}
