//! TPMS_ATTEST (TPM 2.0 Part 2 §10.12.8): what a TPM signs about itself.

use super::kind::{
    ST_ATTEST_CERTIFY, ST_ATTEST_COMMAND_AUDIT, ST_ATTEST_CREATION, ST_ATTEST_NV,
    ST_ATTEST_NV_DIGEST, ST_ATTEST_QUOTE, ST_ATTEST_SESSION_AUDIT, ST_ATTEST_TIME,
};
use crate::{Error, PcrSelection};
use alloc::vec::Vec;
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

/// TPMU_ATTEST (TPM 2.0 Part 2 §10.12.7).
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
    /// TPMS_CREATION_INFO.
    Creation {
        /// The object's name.
        name: Vec<u8>,
        /// The digest of its creation data.
        creation_hash: Vec<u8>,
    },
    /// TPMS_NV_CERTIFY_INFO.
    Nv {
        /// The index' name.
        name: Vec<u8>,
        /// Where in the index the contents are.
        offset: u16,
        /// What stands there.
        contents: Vec<u8>,
    },
    /// TPMS_NV_DIGEST_CERTIFY_INFO.
    NvDigest {
        /// The index' name.
        name: Vec<u8>,
        /// The digest of all that it holds.
        digest: Vec<u8>,
    },
    /// TPMS_TIME_ATTEST_INFO.
    Time {
        /// Milliseconds since the TPM got power.
        time: u64,
        /// The TPM's clock, as it is and not disguised.
        clock: ClockInfo,
        /// The TPM's firmware version, not disguised either.
        firmware_version: u64,
    },
    /// TPMS_SESSION_AUDIT_INFO.
    SessionAudit {
        /// Whether no other command came between those of the session.
        exclusive: bool,
        /// What was counted.
        digest: Vec<u8>,
    },
    /// TPMS_COMMAND_AUDIT_INFO.
    CommandAudit {
        /// How often an audit began.
        counter: u64,
        /// TPM_ALG_ID of the audit's hash.
        algorithm: u16,
        /// What was counted.
        digest: Vec<u8>,
        /// The digest of the codes of the commands that are counted.
        commands: Vec<u8>,
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
        let clock = ClockInfo::read(&mut reader)?;
        let firmware_version = reader.u64()?;
        let attested = Attested::read(kind, &mut reader)?;
        if attested != Attested::Other {
            reader.finish()?;
        }
        Ok(Self { kind, qualified_signer, extra_data, clock, firmware_version, attested })
    }
}

impl ClockInfo {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            clock: reader.u64()?,
            reset_count: reader.u32()?,
            restart_count: reader.u32()?,
            safe: reader.u8()? == 1,
        })
    }
}

impl Attested {
    fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, Error> {
        fn sized(reader: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
            Ok(reader.sized_u16()?.to_vec())
        }
        Ok(match kind {
            ST_ATTEST_QUOTE => {
                Self::Quote { selections: selections(reader)?, pcr_digest: sized(reader)? }
            }
            ST_ATTEST_CERTIFY => {
                Self::Certify { name: sized(reader)?, qualified_name: sized(reader)? }
            }
            ST_ATTEST_CREATION => {
                Self::Creation { name: sized(reader)?, creation_hash: sized(reader)? }
            }
            ST_ATTEST_NV => {
                Self::Nv { name: sized(reader)?, offset: reader.u16()?, contents: sized(reader)? }
            }
            ST_ATTEST_NV_DIGEST => Self::NvDigest { name: sized(reader)?, digest: sized(reader)? },
            ST_ATTEST_TIME => Self::Time {
                time: reader.u64()?,
                clock: ClockInfo::read(reader)?,
                firmware_version: reader.u64()?,
            },
            ST_ATTEST_SESSION_AUDIT => {
                Self::SessionAudit { exclusive: reader.u8()? == 1, digest: sized(reader)? }
            }
            ST_ATTEST_COMMAND_AUDIT => Self::CommandAudit {
                counter: reader.u64()?,
                algorithm: reader.u16()?,
                digest: sized(reader)?,
                commands: sized(reader)?,
            },
            _ => Self::Other,
        })
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
