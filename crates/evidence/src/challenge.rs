//! What a Verifier asks for: a nonce, and which PCRs the quote has to cover.

use crate::Error;
use crate::cbor::{Reader, encode};
use alloc::vec::Vec;
use touchstone_crypto::HashAlgorithm;
use touchstone_measure::PCR_COUNT;
use touchstone_measure::ima::Boot;

/// The shortest nonce that is accepted, in octets.
pub const MIN_NONCE: usize = 16;
/// The longest nonce, in octets: the least that a TPM takes as qualifying data anyway.
pub const MAX_NONCE: usize = 64;

const ITEM: &str = "challenge";

/// A Verifier's challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Random octets, used once ([`MIN_NONCE`] to [`MAX_NONCE`] of them).
    pub nonce: Vec<u8>,
    /// The PCRs to quote.
    pub selection: PcrSelection,
    /// What the Verifier has of the IMA list already; the Attester need not show it again.
    pub ima: Option<ImaMark>,
    /// About so many octets of the list the Verifier takes at a time; `None` if it takes no list in parts.
    pub part: Option<u32>,
}

/// The end of the part of an IMA list that the Verifier has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImaMark {
    /// The boot.
    pub boot: Boot,
    /// Entries of that boot.
    pub entries: u32,
}

/// PCRs of one bank (TPMS_PCR_SELECTION).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrSelection {
    /// The bank.
    pub algorithm: HashAlgorithm,
    /// The PCRs, ascending.
    pub pcrs: Vec<u32>,
}

impl PcrSelection {
    /// What the boot and IMA extend on a PC that boots a unified kernel image: PCR 0 to 14, in the
    /// SHA-256 bank.
    pub fn boot() -> Self {
        Self { algorithm: HashAlgorithm::Sha256, pcrs: (0..=14).collect() }
    }

    /// A selection; PCRs are put in order. `None` if one does not exist.
    pub fn new(algorithm: HashAlgorithm, pcrs: &[u32]) -> Option<Self> {
        let mut pcrs = pcrs.to_vec();
        pcrs.sort_unstable();
        pcrs.dedup();
        pcrs.iter().all(|&pcr| pcr < PCR_COUNT).then_some(Self { algorithm, pcrs })
    }
}

impl Challenge {
    /// The challenge for the boot PCRs and IMA.
    pub fn standard(nonce: Vec<u8>) -> Self {
        Self { nonce, selection: PcrSelection::boot(), ima: None, part: None }
    }

    /// CBOR: `[nonce, TPM_ALG_ID, [* pcr], ? [? (resetCount, restartCount, entries)], ? part]`.
    pub fn encode(&self) -> Vec<u8> {
        encode(|out| {
            out.array(match (self.ima, self.part) {
                (_, Some(_)) => 5,
                (Some(_), None) => 4,
                (None, None) => 3,
            })?;
            out.bytes(&self.nonce)?.u16(self.selection.algorithm.tpm_id())?;
            out.array(self.selection.pcrs.len() as u64)?;
            self.selection.pcrs.iter().try_for_each(|&pcr| out.u32(pcr).map(drop))?;
            match &self.ima {
                Some(ImaMark { boot, entries }) => {
                    out.array(3)?.u32(boot.resets)?.u32(boot.restarts)?.u32(*entries)?;
                }
                None if self.part.is_some() => drop(out.array(0)?),
                None => {}
            }
            self.part.iter().try_for_each(|part| out.u32(*part).map(drop))
        })
    }

    /// Reads what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(ITEM, bytes);
        let parts = reader.array(5)?;
        if parts < 3 {
            return Err(reader.malformed());
        }
        let nonce = reader.bytes()?.to_vec();
        let id = reader.u32()?;
        let pcrs = reader.list(PCR_COUNT as usize, Reader::u32)?;
        let ima = match parts {
            3 => None,
            _ => match reader.array(3)? {
                0 if parts == 5 => None,
                3 => {
                    let boot = Boot { resets: reader.u32()?, restarts: reader.u32()? };
                    Some(ImaMark { boot, entries: reader.u32()? })
                }
                _ => return Err(reader.malformed()),
            },
        };
        let part = if parts == 5 { Some(reader.u32()?) } else { None };
        reader.end()?;
        if !(MIN_NONCE..=MAX_NONCE).contains(&nonce.len()) {
            return Err(Error::Malformed { item: ITEM, at: 0 });
        }
        let algorithm = u16::try_from(id)
            .ok()
            .and_then(HashAlgorithm::from_tpm_id)
            .ok_or(Error::Unsupported { item: "PCR bank", id })?;
        let selection = PcrSelection::new(algorithm, &pcrs);
        let selection = selection.ok_or(Error::Malformed { item: ITEM, at: 0 })?;
        Ok(Self { nonce, selection, ima, part })
    }
}
