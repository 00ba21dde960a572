//! What a Verifier keeps of a device's IMA list between two attestations: the part of it that was
//! quoted, and where that ended. With it the device sends only what is new; the Verifier judges the
//! whole list of the boot each time, so that neither a new policy nor new reference values overlook
//! what was measured before.

use crate::cbor::{Reader, encode};
use crate::{Error, Evidence, ImaMark};
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm, Verified};
use touchstone_measure::ima::{Checkpoint, Extension, Format, Limits, Log, Order};

const ITEM: &str = "IMA history";
const VERSION: u64 = 1;

/// The quoted part of the IMA list of one boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImaHistory {
    checkpoint: Checkpoint,
    list: Log,
}

impl ImaHistory {
    /// What to keep of verified evidence; `None` if it proves no list.
    pub fn of(evidence: &Verified<Evidence>) -> Option<Self> {
        let checkpoint = evidence.ima_proven()?.checkpoint;
        let list = evidence.ima_log()?.clone();
        (list.first() == 0).then_some(Self { checkpoint, list })
    }

    /// Where the list ended.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The list.
    pub const fn list(&self) -> &Log {
        &self.list
    }

    /// What to tell the Attester, so that it shows no more than what is new.
    pub const fn mark(&self) -> ImaMark {
        ImaMark { boot: self.checkpoint.boot, entries: self.checkpoint.entries }
    }

    /// The list with what follows.
    pub(crate) fn with(&self, more: &Log) -> Option<Log> {
        let mut list = self.list.clone();
        list.append(more).then_some(list)
    }

    /// CBOR: `[1, resetCount, entries, TPM_ALG_ID, value, extension, big-endian, digest length,
    /// list]`.
    pub fn encode(&self) -> Vec<u8> {
        let Checkpoint { boot, entries, value, extension } = self.checkpoint;
        let extension = Extension::ALL.iter().position(|way| *way == extension).unwrap_or(0);
        let Format { order, template_digest } = self.list.format();
        encode(|out| {
            out.array(9)?.u64(VERSION)?.u32(boot)?.u32(entries)?;
            out.u16(value.algorithm().tpm_id())?.bytes(value.as_bytes())?;
            out.u64(extension as u64)?.u64(u64::from(order == Order::Big))?;
            out.u64(template_digest as u64)?.bytes(self.list.octets())?;
            Ok(())
        })
    }

    /// Reads what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(ITEM, bytes);
        reader.tuple(9)?;
        let malformed = reader.malformed();
        if reader.u64()? != VERSION {
            return Err(malformed);
        }
        let (boot, entries) = (reader.u32()?, reader.u32()?);
        let bank = u16::try_from(reader.u32()?).ok().and_then(HashAlgorithm::from_tpm_id);
        let value =
            bank.zip(Some(reader.bytes()?)).and_then(|(bank, value)| Digest::new(bank, value));
        let value = value.ok_or(reader.malformed())?;
        let extension = usize::try_from(reader.u64()?).ok();
        let extension = extension.and_then(|way| Extension::ALL.get(way).copied());
        let extension = extension.ok_or(reader.malformed())?;
        let order = if reader.u64()? == 0 { Order::Little } else { Order::Big };
        let template_digest = usize::try_from(reader.u64()?).map_err(|_| reader.malformed())?;
        let octets = reader.bytes()?.to_vec();
        reader.end()?;
        let list = Log::read(octets, Format { order, template_digest }, Limits::DEFAULT, 0)?;
        if usize::try_from(entries).ok() != Some(list.len()) {
            return Err(malformed);
        }
        Ok(Self { checkpoint: Checkpoint { boot, entries, value, extension }, list })
    }
}
