//! TPMS_ATTEST (TPM 2.0 Part 2 §10.12.8): what a TPM signs about itself.

use super::{ST_ATTEST_CERTIFY, ST_ATTEST_QUOTE};
use crate::{Error, PcrSelection};
use touchstone_crypto::HashAlgorithm;
use touchstone_measure::PCR_COUNT;
use touchstone_wire::{Reader, Why};

const GENERATED: u32 = 0xFF54_4347;
/// More banks than any TPM quotes at once.
const MAX_SELECTIONS: u32 = 16;

/// A decoded TPMS_ATTEST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    /// TPM_ST.
    pub kind: u16,
    /// The qualified name of the signing key.
    pub qualified_signer: Vec<u8>,
    /// The qualifying data that the caller gave.
    pub extra_data: Vec<u8>,
    /// The TPM's clock.
    pub clock: ClockInfo,
    /// The TPM's firmware version.
    pub firmware_version: u64,
    /// What is attested.
    pub attested: Attested,
}

/// TPMS_CLOCK_INFO (TPM 2.0 Part 2 §10.11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds of powered time.
    pub clock: u64,
    /// TPM resets since the last TPM2_Clear.
    pub reset_count: u32,
    /// Restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether no larger clock was reported before.
    pub safe: bool,
}

/// TPMU_ATTEST, as far as it is used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attested {
    /// TPMS_QUOTE_INFO.
    Quote {
        /// The quoted PCRs, one selection per bank.
        selections: Vec<PcrSelection>,
        /// The digest over their values.
        pcr_digest: Vec<u8>,
    },
    /// TPMS_CERTIFY_INFO.
    Certify {
        /// The certified object's name.
        name: Vec<u8>,
        /// Its qualified name.
        qualified_name: Vec<u8>,
    },
    /// Another type.
    Other,
}

impl Attest {
    /// Parses a TPMS_ATTEST and nothing behind it.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(Reader::new(bytes)).map_err(|error| error.in_item("TPMS_ATTEST"))
    }

    fn read(mut reader: Reader<'_>) -> Result<Self, Error> {
        // TPM 2.0 Part 1 §31.2: without this a restricted key may have signed outside data.
        if reader.u32()? != GENERATED {
            return Err(Error::NotGenerated);
        }
        let kind = reader.u16()?;
        let qualified_signer = reader.sized_u16()?.to_vec();
        let extra_data = reader.sized_u16()?.to_vec();
        let clock = ClockInfo {
            clock: reader.u64()?,
            reset_count: reader.u32()?,
            restart_count: reader.u32()?,
            safe: reader.u8()? == 1,
        };
        let firmware_version = reader.u64()?;
        let attested = match kind {
            ST_ATTEST_QUOTE => {
                let selections = selections(&mut reader)?;
                let pcr_digest = reader.sized_u16()?.to_vec();
                reader.finish()?;
                Attested::Quote { selections, pcr_digest }
            }
            ST_ATTEST_CERTIFY => {
                let name = reader.sized_u16()?.to_vec();
                let qualified_name = reader.sized_u16()?.to_vec();
                reader.finish()?;
                Attested::Certify { name, qualified_name }
            }
            _ => Attested::Other,
        };
        Ok(Self { kind, qualified_signer, extra_data, clock, firmware_version, attested })
    }
}

/// TPML_PCR_SELECTION (TPM 2.0 Part 2 §10.9.7).
fn selections(reader: &mut Reader<'_>) -> Result<Vec<PcrSelection>, Error> {
    let count = reader.u32()?;
    if count > MAX_SELECTIONS {
        return Err(reader.malformed(Why::BadValue).into());
    }
    let mut selections = Vec::new();
    for _ in 0..count {
        let id = reader.u16()?;
        let size = reader.u8()?;
        let bits = reader.take(usize::from(size))?;
        let pcrs = (0..PCR_COUNT).filter(|&pcr| is_selected(bits, pcr)).collect();
        let beyond = bits.iter().skip(PCR_COUNT as usize / 8).any(|&octet| octet != 0);
        if beyond {
            return Err(reader.malformed(Why::BadValue).into());
        }
        let algorithm = HashAlgorithm::from_tpm_id(id)
            .ok_or(Error::Unsupported { item: "PCR bank", id: u32::from(id) })?;
        selections.push(PcrSelection { algorithm, pcrs });
    }
    Ok(selections)
}

fn is_selected(bits: &[u8], pcr: u32) -> bool {
    bits.get(pcr as usize / 8).is_some_and(|octet| octet & (1 << (pcr % 8)) != 0)
}
