//! Reading a log from its octets.

use super::{Bank, Event, EventLog, EventType, OtherDigest, Registers, SpecId, cc, no_action};
use crate::{Error, PCR_COUNT, Problem};
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_wire::Reader;

/// The largest log that is read, in octets.
pub const MAX_LOG: usize = 4 * 1024 * 1024;
/// The most events that are read.
pub const MAX_EVENTS: usize = 16_384;

/// Where an area for a log is not filled, there are zeros or ones. Fewer than these are an event
/// that was cut off: no event has zeros, or ones, as its register and type.
const LEAST_PADDING: usize = 8;

/// More banks than any TPM has would only make every event slower to read.
const MAX_BANKS: usize = 16;
/// Octets of the longest digest; the longest there is has 64.
const MAX_DIGEST: usize = 128;

impl EventLog {
    /// Parses a whole log. Padding behind its last event is left out.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Self::decode_of(bytes, Registers::Pcrs)
    }

    /// Parses the log of a confidential guest, whose events count its own registers: what Linux
    /// shows in `/sys/firmware/acpi/tables/data/CCEL`.
    pub fn decode_cc(bytes: &[u8]) -> Result<Self, Error> {
        Self::decode_of(bytes, Registers::ConfidentialComputing)
    }

    fn decode_of(bytes: &[u8], registers: Registers) -> Result<Self, Error> {
        if bytes.len() > MAX_LOG {
            return Err(Error::new(Problem::EventLogTooLarge, MAX_LOG, 0));
        }
        let mut reader = Reader::new(bytes);
        if bytes.is_empty() || at_padding(&reader, same_at_end(bytes)) {
            return Err(Error::new(Problem::EventLogEmpty, 0, 0));
        }
        let first = sha1_event(&mut reader, 0, registers)?;
        let agile =
            first.kind == EventType::NO_ACTION && first.data.starts_with(no_action::SPEC_ID_03);
        let banks = if agile { agile_banks(&first)? } else { SHA1_ONLY.to_vec() };
        let mut events = alloc::vec![first];
        let form = if agile { Form::Agile(&banks) } else { Form::Sha1 };
        read_events(&mut reader, &mut events, registers, form)?;
        let padding = reader.remaining();
        let algorithms = banks.iter().filter_map(Bank::algorithm).collect();
        Ok(Self { events, banks, algorithms, registers, padding })
    }

    /// Octets of padding behind the last event.
    pub const fn padding(&self) -> usize {
        self.padding
    }
}

const SHA1_ONLY: [Bank; 1] = [Bank { id: 0x0004, len: 20 }];

/// How the events of a log look.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    /// TCG_PCR_EVENT (PFP §10.2.1).
    Sha1,
    /// TCG_PCR_EVENT2 (PFP §10.2.2), with these banks.
    Agile(&'a [Bank]),
}

/// Reads events up to the end, or to padding, which is left in the reader.
fn read_events(
    reader: &mut Reader<'_>,
    events: &mut Vec<Event>,
    registers: Registers,
    form: Form<'_>,
) -> Result<(), Error> {
    let same = same_at_end({ *reader }.rest());
    while !reader.is_empty() && !at_padding(reader, same) {
        let index = u32::try_from(events.len()).unwrap_or(u32::MAX);
        if events.len() >= MAX_EVENTS {
            return Err(Error::new(Problem::EventLogTooLarge, reader.position(), index));
        }
        events.push(event(reader, index, registers, form)?);
    }
    Ok(())
}

/// Octets at the end that are all zeros, or all ones.
fn same_at_end(bytes: &[u8]) -> usize {
    let same = |octet: u8| bytes.iter().rev().take_while(|&&other| other == octet).count();
    same(0).max(same(0xFF))
}

fn at_padding(reader: &Reader<'_>, same_at_end: usize) -> bool {
    (LEAST_PADDING..=same_at_end).contains(&reader.remaining())
}

pub(super) fn event(
    reader: &mut Reader<'_>,
    index: u32,
    registers: Registers,
    form: Form<'_>,
) -> Result<Event, Error> {
    match form {
        Form::Sha1 => sha1_event(reader, index, registers),
        Form::Agile(banks) => agile_event(reader, index, registers, banks),
    }
}

/// The banks that a Spec ID event declares.
fn agile_banks(first: &Event) -> Result<Vec<Bank>, Error> {
    let refuse = Error::new(Problem::EventLogSpecId, 0, 0);
    let banks = SpecId::of(first).ok_or(refuse)?.banks;
    let known = |bank: &Bank| bank.algorithm().is_none_or(|known| known.len() == bank.len);
    let sound = (1..=MAX_BANKS).contains(&banks.len())
        && banks.iter().all(|bank| known(bank) && (1..=MAX_DIGEST).contains(&bank.len))
        && (1..).zip(&banks).all(|(next, bank)| {
            banks.get(next..).unwrap_or_default().iter().all(|other| other.id != bank.id)
        });
    if sound { Ok(banks) } else { Err(refuse) }
}

/// TCG_PCR_EVENT (PFP §10.2.1).
fn sha1_event(reader: &mut Reader<'_>, index: u32, registers: Registers) -> Result<Event, Error> {
    let at = reader.position();
    let event = (|| {
        let (pcr, kind) = (reader.u32_le().ok()?, EventType(reader.u32_le().ok()?));
        let digest = Digest::new(HashAlgorithm::Sha1, reader.take(20).ok()?)?;
        let data = reader.sized_u32_le().ok()?.to_vec();
        let (digests, others) = (alloc::vec![digest], Vec::new());
        Some(Event { index, at, pcr, kind, digests, others, data })
    })();
    let event = event.ok_or(Error::new(Problem::EventLogTruncated, at, index))?;
    // The Spec ID event belongs to no PCR, and some firmware says so by another number.
    if index == 0 && event.kind == EventType::NO_ACTION {
        return Ok(event);
    }
    check_register(event, registers)
}

/// TCG_PCR_EVENT2 (PFP §10.2.2).
fn agile_event(
    reader: &mut Reader<'_>,
    index: u32,
    registers: Registers,
    banks: &[Bank],
) -> Result<Event, Error> {
    let at = reader.position();
    let truncated = Error::new(Problem::EventLogTruncated, at, index);
    let bad_digests = Error::new(Problem::EventLogDigests, at, index);
    let pcr = reader.u32_le().map_err(|_| truncated)?;
    let kind = EventType(reader.u32_le().map_err(|_| truncated)?);
    let count = reader.u32_le().map_err(|_| truncated)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    // What is never extended needs no digest, and some firmware gives it none.
    let least = usize::from(kind != EventType::NO_ACTION);
    if !(least..=banks.len()).contains(&count) {
        return Err(bad_digests);
    }
    let mut event =
        Event { index, at, pcr, kind, digests: Vec::new(), others: Vec::new(), data: Vec::new() };
    event.digests.reserve_exact(count);
    for _ in 0..count {
        let id = reader.u16_le().map_err(|_| truncated)?;
        let bank = banks.iter().find(|bank| bank.id == id).ok_or(bad_digests)?;
        if event.has_digest(id) {
            return Err(bad_digests);
        }
        let octets = reader.take(bank.len).map_err(|_| truncated)?;
        match bank.algorithm().and_then(|algorithm| Digest::new(algorithm, octets)) {
            Some(digest) => event.digests.push(digest),
            None => event.others.push(OtherDigest { id, octets: octets.to_vec() }),
        }
    }
    event.data = reader.sized_u32_le().map_err(|_| truncated)?.to_vec();
    check_register(event, registers)
}

impl Event {
    fn has_digest(&self, id: u16) -> bool {
        self.digests.iter().any(|digest| digest.algorithm().tpm_id() == id)
            || self.others.iter().any(|digest| digest.id == id)
    }
}

fn check_register(event: Event, registers: Registers) -> Result<Event, Error> {
    let count = match registers {
        Registers::Pcrs => PCR_COUNT,
        Registers::ConfidentialComputing => cc::REGISTER_COUNT,
    };
    // Firmware marks events that belong to no PCR with all ones, and they are never extended.
    let none = event.pcr == u32::MAX && event.kind == EventType::NO_ACTION;
    if event.pcr < count || none {
        Ok(event)
    } else {
        Err(Error::new(Problem::EventLogPcr, event.at, event.index))
    }
}
