//! The TCG event log of a platform's firmware: the crypto-agile format of the PC Client Platform
//! Firmware Profile (PFP) §10.2.2, and the SHA-1 format of §10.2.1 before it. This is what Linux
//! shows in `binary_bios_measurements`.
//!
//! An event's digests are what the PCRs saw. Its data only explains them: before relying on the
//! data, ask [`Event::explains`], because whoever hands over a log can write anything there.

mod describe;
mod kind;

pub use describe::{Description, DevicePath, Guid, Signature, SignatureDatabase, describe};
pub use kind::EventType;

use crate::{Error, PCR_COUNT, Pcrs, Problem};
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_wire::Reader;

/// The largest log that is read, in octets.
pub const MAX_LOG: usize = 4 * 1024 * 1024;
/// The most events that are read.
pub const MAX_EVENTS: usize = 16_384;

const SPEC_ID_03: &[u8] = b"Spec ID Event03\0";
const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";

/// A parsed event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLog {
    events: Vec<Event>,
    algorithms: Vec<HashAlgorithm>,
}

/// One event: what was extended where, and what the firmware says it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the log; the Spec ID event is 0.
    pub index: u32,
    /// The PCR that it was extended into.
    pub pcr: u32,
    /// Its type.
    pub kind: EventType,
    /// The digests, one per bank whose algorithm is known here.
    pub digests: Vec<Digest>,
    /// What the firmware says about it; not proven by itself ([`explains`](Self::explains)).
    pub data: Vec<u8>,
}

impl EventLog {
    /// Parses a whole log.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_LOG {
            return Err(Error::new(Problem::EventLogTooLarge, MAX_LOG, 0));
        }
        let mut reader = Reader::new(bytes);
        let first = sha1_event(&mut reader, 0)?;
        let banks = Banks::of(&first)?;
        let mut events = alloc::vec![first];
        while !reader.is_empty() {
            let index = u32::try_from(events.len()).unwrap_or(u32::MAX);
            if events.len() >= MAX_EVENTS {
                return Err(Error::new(Problem::EventLogTooLarge, reader.position(), index));
            }
            events.push(match &banks {
                Some(banks) => agile_event(&mut reader, index, banks)?,
                None => sha1_event(&mut reader, index)?,
            });
        }
        let algorithms = match banks {
            Some(banks) => {
                banks.0.iter().filter_map(|(id, _)| HashAlgorithm::from_tpm_id(*id)).collect()
            }
            None => alloc::vec![HashAlgorithm::Sha1],
        };
        Ok(Self { events, algorithms })
    }

    /// The events in their order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The banks that the log carries digests for, as far as known here.
    pub fn algorithms(&self) -> &[HashAlgorithm] {
        &self.algorithms
    }

    /// The PCR values that these events lead to, in the bank of `algorithm`.
    ///
    /// `EV_NO_ACTION` is never extended (PFP §10.4.5); a `StartupLocality` event among them sets
    /// what PCR 0 began with (PFP §10.4.5.3). An event without a digest for this bank leaves its
    /// PCR as it was, so the replay will not match a quote.
    pub fn replay(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Pcrs {
        let mut pcrs = Pcrs::reset(algorithm);
        for event in &self.events {
            if event.kind == EventType::NO_ACTION {
                if let Some(locality) = event.startup_locality() {
                    pcrs.set(0, last_octet(algorithm, locality));
                }
            } else if let Some(digest) = event.digest(algorithm) {
                pcrs.extend(crypto, event.pcr, &digest);
            }
        }
        pcrs
    }
}

impl Event {
    /// The digest for a bank.
    pub fn digest(&self, algorithm: HashAlgorithm) -> Option<Digest> {
        self.digests.iter().find(|digest| digest.algorithm() == algorithm).copied()
    }

    /// Whether `measured` is what was extended into the bank of `algorithm`.
    pub fn is_digest_of(
        &self,
        crypto: &dyn Crypto,
        algorithm: HashAlgorithm,
        measured: &[u8],
    ) -> bool {
        self.digest(algorithm) == Some(crypto.hash(algorithm, &[measured]))
    }

    /// Whether the event's data itself is what was measured, and so as well proven as the digest.
    pub fn explains(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> bool {
        self.is_digest_of(crypto, algorithm, &self.data)
    }

    fn startup_locality(&self) -> Option<u8> {
        match self.data.strip_prefix(STARTUP_LOCALITY) {
            // 3 and 4: TPM2_Startup from locality 3, or a H-CRTM event (PFP §10.4.5.3).
            Some([locality @ (3 | 4)]) if self.pcr == 0 => Some(*locality),
            _ => None,
        }
    }
}

fn last_octet(algorithm: HashAlgorithm, octet: u8) -> Digest {
    let mut bytes = [0; 64];
    let value = bytes.get_mut(..algorithm.len()).and_then(|bytes| {
        *bytes.last_mut()? = octet;
        Digest::new(algorithm, bytes)
    });
    value.unwrap_or(Digest::zero(algorithm))
}

/// The algorithms of the log with their digest sizes (TCG_EfiSpecIdEvent, PFP §10.4.5.1).
struct Banks(Vec<(u16, usize)>);

impl Banks {
    /// `None` for a log in the SHA-1 format.
    fn of(first: &Event) -> Result<Option<Self>, Error> {
        let Some(body) = first.data.strip_prefix(SPEC_ID_03) else {
            return Ok(None);
        };
        if first.kind != EventType::NO_ACTION {
            return Ok(None);
        }
        let refuse = Error::new(Problem::EventLogSpecId, 0, 0);
        Self::decode(&mut Reader::new(body)).ok_or(refuse).map(Some)
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        // Platform class, minor and major version, errata, size of UINTN.
        reader.take(8).ok()?;
        let count = reader.u32_le().ok()?;
        // More banks than any TPM has would only make every event slower to read.
        if count == 0 || count > 16 {
            return None;
        }
        let mut banks = Vec::new();
        for _ in 0..count {
            let (id, len) = (reader.u16_le().ok()?, usize::from(reader.u16_le().ok()?));
            let known = HashAlgorithm::from_tpm_id(id).is_none_or(|known| known.len() == len);
            if !known || len == 0 || len > 64 || banks.iter().any(|&(seen, _)| seen == id) {
                return None;
            }
            banks.push((id, len));
        }
        let vendor = usize::from(reader.u8().ok()?);
        reader.take(vendor).ok()?;
        reader.is_empty().then_some(Self(banks))
    }

    fn digest_len(&self, id: u16) -> Option<usize> {
        self.0.iter().find(|(known, _)| *known == id).map(|(_, len)| *len)
    }
}

/// TCG_PCR_EVENT (PFP §10.2.1).
fn sha1_event(reader: &mut Reader<'_>, index: u32) -> Result<Event, Error> {
    let at = reader.position();
    if index == 0 && reader.is_empty() {
        return Err(Error::new(Problem::EventLogEmpty, 0, 0));
    }
    let event = (|| {
        let (pcr, kind) = (reader.u32_le().ok()?, EventType(reader.u32_le().ok()?));
        let digest = Digest::new(HashAlgorithm::Sha1, reader.take(20).ok()?)?;
        let data = reader.sized_u32_le().ok()?.to_vec();
        Some(Event { index, pcr, kind, digests: alloc::vec![digest], data })
    })();
    let event = event.ok_or(Error::new(Problem::EventLogTruncated, at, index))?;
    check_pcr(event, at)
}

/// TCG_PCR_EVENT2 (PFP §10.2.2).
fn agile_event(reader: &mut Reader<'_>, index: u32, banks: &Banks) -> Result<Event, Error> {
    let at = reader.position();
    let truncated = Error::new(Problem::EventLogTruncated, at, index);
    let bad_digests = Error::new(Problem::EventLogDigests, at, index);
    let pcr = reader.u32_le().map_err(|_| truncated)?;
    let kind = EventType(reader.u32_le().map_err(|_| truncated)?);
    let count = reader.u32_le().map_err(|_| truncated)?;
    if count == 0 || usize::try_from(count).map_or(true, |count| count > banks.0.len()) {
        return Err(bad_digests);
    }
    let mut seen = Vec::new();
    let mut digests = Vec::new();
    for _ in 0..count {
        let id = reader.u16_le().map_err(|_| truncated)?;
        let len = banks.digest_len(id).ok_or(bad_digests)?;
        if seen.contains(&id) {
            return Err(bad_digests);
        }
        seen.push(id);
        let octets = reader.take(len).map_err(|_| truncated)?;
        digests.extend(
            HashAlgorithm::from_tpm_id(id).and_then(|algorithm| Digest::new(algorithm, octets)),
        );
    }
    let data = reader.sized_u32_le().map_err(|_| truncated)?.to_vec();
    check_pcr(Event { index, pcr, kind, digests, data }, at)
}

fn check_pcr(event: Event, at: usize) -> Result<Event, Error> {
    // Firmware marks events that belong to no PCR with all ones, and they are never extended.
    let none = event.pcr == u32::MAX && event.kind == EventType::NO_ACTION;
    if event.pcr < PCR_COUNT || none {
        Ok(event)
    } else {
        Err(Error::new(Problem::EventLogPcr, at, event.index))
    }
}
