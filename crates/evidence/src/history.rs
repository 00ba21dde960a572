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
/// With the list in it.
const WHOLE: u64 = 2;
/// Without: it is kept elsewhere.
const BESIDE: u64 = 3;

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
    format: Format,
    /// `None` if it is kept elsewhere.
    list: Option<Log>,
}

impl History {
    /// What to keep of verified evidence.
    pub fn of(evidence: &Verified<Evidence>) -> Option<Self> {
        Self::made(evidence, |list| Some(list.clone()))
    }

    /// The same without the list, for who keeps long lists in parts, beside it.
    pub fn beside_list(evidence: &Verified<Evidence>) -> Option<Self> {
        Self::made(evidence, |_| None)
    }

    fn made(evidence: &Verified<Evidence>, kept: impl FnOnce(&Log) -> Option<Log>) -> Option<Self> {
        let moment = Moment::of(evidence.attest()?);
        let list = evidence.ima_log().filter(|list| list.first() == 0);
        let ima = evidence.ima_proven().zip(list).map(|(proven, list)| Ima {
            checkpoint: proven.checkpoint,
            format: list.format(),
            list: kept(list),
        });
        Some(Self { moment, ima })
    }

    /// Whether the list is kept elsewhere. Without it, evidence that shows only what is new is not
    /// verified ([`with_list`](Self::with_list)).
    pub fn lacks_list(&self) -> bool {
        self.ima.as_ref().is_some_and(|ima| ima.list.is_none())
    }

    /// With the octets of the list that was kept elsewhere.
    pub fn with_list(mut self, octets: Vec<u8>) -> Result<Self, Error> {
        let malformed = Error::Malformed { item: ITEM, at: 0 };
        let ima = self.ima.as_mut().ok_or(malformed)?;
        ima.list = Some(ima.read_list(octets)?);
        Ok(self)
    }

    /// What the list was read as.
    pub fn format(&self) -> Option<Format> {
        self.ima.as_ref().map(|ima| ima.format)
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

    /// The IMA list with what follows; `None` if that does not follow, or if the list is not here.
    pub(crate) fn with(self, more: &Log) -> Option<Log> {
        let mut list = self.ima?.list?;
        list.append(more).then_some(list)
    }

    /// CBOR: `[2, [clock, resetCount, restartCount, safe, firmwareVersion], ? [entries, TPM_ALG_ID,
    /// value, extension, big-endian, digest length, list]]`; without the list, version 3.
    pub fn encode(&self) -> Vec<u8> {
        let Moment { clock, firmware_version } = self.moment;
        encode(|out| {
            let version = if self.lacks_list() { BESIDE } else { WHOLE };
            out.array(if self.ima.is_some() { 3 } else { 2 })?.u64(version)?;
            out.array(5)?.u64(clock.clock)?.u32(clock.reset_count)?.u32(clock.restart_count)?;
            out.u64(u64::from(clock.safe))?.u64(firmware_version)?;
            let Some(Ima { checkpoint, format, list }) = &self.ima else { return Ok(()) };
            let Checkpoint { boot: _, entries, value, extension } = checkpoint;
            let extension = Extension::ALL.iter().position(|way| way == extension).unwrap_or(0);
            let Format { order, template_digest } = *format;
            out.array(if list.is_some() { 7 } else { 6 })?.u32(*entries)?;
            out.u16(value.algorithm().tpm_id())?.bytes(value.as_bytes())?;
            out.u64(extension as u64)?.u64(u64::from(order == Order::Big))?;
            out.u64(template_digest as u64)?;
            list.iter().try_for_each(|list| out.bytes(list.octets()).map(drop))
        })
    }

    /// Reads what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(ITEM, bytes);
        let parts = reader.array(3)?;
        let version = reader.u64()?;
        if parts < 2 || !(WHOLE..=BESIDE).contains(&version) {
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
        let ima = match parts {
            3 => Some(Ima::read(&mut reader, &moment, version == WHOLE)?),
            _ if version == BESIDE => return Err(reader.malformed()),
            _ => None,
        };
        reader.end()?;
        Ok(Self { moment, ima })
    }
}

impl Ima {
    fn read(reader: &mut Reader<'_>, moment: &Moment, whole: bool) -> Result<Self, Error> {
        reader.tuple(if whole { 7 } else { 6 })?;
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
        let format = Format { order, template_digest };
        let checkpoint = Checkpoint { boot: moment.boot(), entries, value, extension };
        let mut ima = Self { checkpoint, format, list: None };
        if whole {
            ima.list = Some(ima.read_list(reader.bytes()?.to_vec())?);
        }
        Ok(ima)
    }

    fn read_list(&self, octets: Vec<u8>) -> Result<Log, Error> {
        let list = Log::read(octets, self.format, Limits::DEFAULT, 0)?;
        if usize::try_from(self.checkpoint.entries).ok() != Some(list.len()) {
            return Err(Error::Malformed { item: ITEM, at: 0 });
        }
        Ok(list)
    }
}
