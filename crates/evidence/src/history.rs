//! What a Verifier keeps of a device between two attestations: the moment of the quote, so that a TPM
//! whose state was put back shows, and the part of the IMA list that was quoted. With that the device
//! sends only what is new; the Verifier judges the whole list of the boot each time, so that neither a
//! new policy nor new reference values overlook what was measured before.

use crate::cbor::{Reader, encode};
use crate::tpm::{ClockInfo, Moment};
use crate::{Error, Evidence, ImaMark};
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm, Verified};
use touchstone_measure::ima::{Checkpoint, Extension, Format, Limits, Log, Order};

const ITEM: &str = "history";
const VERSION: u64 = 2;

/// What was proven last. It counts for the attestation key that signed it, and for no other
/// ([`Moment`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    moment: Moment,
    ima: Option<Ima>,
}

/// The quoted part of the IMA list of one boot, and where it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ima {
    checkpoint: Checkpoint,
    list: Log,
}

impl History {
    /// What to keep of verified evidence.
    pub fn of(evidence: &Verified<Evidence>) -> Option<Self> {
        let moment = Moment::of(evidence.attest()?);
        let list = evidence.ima_log().filter(|list| list.first() == 0);
        let ima = evidence.ima_proven().zip(list);
        let ima =
            ima.map(|(proven, list)| Ima { checkpoint: proven.checkpoint, list: list.clone() });
        Some(Self { moment, ima })
    }

    /// When it was quoted, by the TPM's clock.
    pub const fn moment(&self) -> &Moment {
        &self.moment
    }

    /// Where the IMA list ended, if one was quoted.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.ima.as_ref().map(|ima| &ima.checkpoint)
    }

    /// What to tell the Attester, so that it shows no more than what is new.
    pub fn mark(&self) -> Option<ImaMark> {
        let checkpoint = self.checkpoint()?;
        Some(ImaMark { boot: checkpoint.boot, entries: checkpoint.entries })
    }

    /// The IMA list with what follows.
    pub(crate) fn with(&self, more: &Log) -> Option<Log> {
        let mut list = self.ima.as_ref()?.list.clone();
        list.append(more).then_some(list)
    }

    /// CBOR: `[2, [clock, resetCount, restartCount, safe, firmwareVersion], ? [entries, TPM_ALG_ID,
    /// value, extension, big-endian, digest length, list]]`.
    pub fn encode(&self) -> Vec<u8> {
        let Moment { clock, firmware_version } = self.moment;
        encode(|out| {
            out.array(if self.ima.is_some() { 3 } else { 2 })?.u64(VERSION)?;
            out.array(5)?.u64(clock.clock)?.u32(clock.reset_count)?.u32(clock.restart_count)?;
            out.u64(u64::from(clock.safe))?.u64(firmware_version)?;
            let Some(Ima { checkpoint, list }) = &self.ima else { return Ok(()) };
            let Checkpoint { boot: _, entries, value, extension } = checkpoint;
            let extension = Extension::ALL.iter().position(|way| way == extension).unwrap_or(0);
            let Format { order, template_digest } = list.format();
            out.array(7)?.u32(*entries)?;
            out.u16(value.algorithm().tpm_id())?.bytes(value.as_bytes())?;
            out.u64(extension as u64)?.u64(u64::from(order == Order::Big))?;
            out.u64(template_digest as u64)?.bytes(list.octets())?;
            Ok(())
        })
    }

    /// Reads what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(ITEM, bytes);
        let parts = reader.array(3)?;
        if parts < 2 || reader.u64()? != VERSION {
            return Err(reader.malformed());
        }
        reader.tuple(5)?;
        let (clock, reset_count, restart_count) = (reader.u64()?, reader.u32()?, reader.u32()?);
        let safe = match reader.u64()? {
            0 => false,
            1 => true,
            _ => return Err(reader.malformed()),
        };
        let clock = ClockInfo { clock, reset_count, restart_count, safe };
        let moment = Moment { clock, firmware_version: reader.u64()? };
        let ima = if parts == 3 { Some(Ima::read(&mut reader, &moment)?) } else { None };
        reader.end()?;
        Ok(Self { moment, ima })
    }
}

impl Ima {
    fn read(reader: &mut Reader<'_>, moment: &Moment) -> Result<Self, Error> {
        reader.tuple(7)?;
        let entries = reader.u32()?;
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
        let list = Log::read(octets, Format { order, template_digest }, Limits::DEFAULT, 0)?;
        if usize::try_from(entries).ok() != Some(list.len()) {
            return Err(reader.malformed());
        }
        Ok(Self { checkpoint: Checkpoint { boot: moment.boot(), entries, value, extension }, list })
    }
}
