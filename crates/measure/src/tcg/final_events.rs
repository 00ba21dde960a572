//! The final events table: events that the firmware logged after somebody had first asked for the
//! log (EFI_TCG2_FINAL_EVENTS_TABLE, TCG EFI Protocol Specification §7).

use super::decode::{Form, MAX_EVENTS, event};
use super::{Event, EventLog};
use crate::{Error, Problem};
use alloc::vec::Vec;
use touchstone_wire::Reader;

impl EventLog {
    /// Adds the events of a final events table that are not in the log yet, and says how many were
    /// in both: what was logged between the first and the last time that somebody read the log
    /// stands at the end of the log, and at the head of the table. Error offsets are those in the
    /// table.
    pub fn append_final_events(&mut self, table: &[u8]) -> Result<usize, Error> {
        let found = self.decode_final_events(table)?;
        let overlap = self.overlap(&found);
        for mut event in found.into_iter().skip(overlap) {
            let index = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
            if self.events.len() >= MAX_EVENTS {
                return Err(Error::new(Problem::EventLogTooLarge, event.at, index));
            }
            event.index = index;
            self.events.push(event);
        }
        Ok(overlap)
    }

    fn decode_final_events(&self, table: &[u8]) -> Result<Vec<Event>, Error> {
        let mut reader = Reader::new(table);
        let refuse = Error::new(Problem::EventLogFinalEvents, 0, 0);
        let (version, count) =
            (reader.u64_le().map_err(|_| refuse)?, reader.u64_le().map_err(|_| refuse)?);
        // A version of the table says how its events look; there is only the crypto-agile one.
        if version != 1 || self.spec_id().is_none() {
            return Err(refuse);
        }
        let mut events = Vec::new();
        for index in 0..count {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if events.len() >= MAX_EVENTS {
                return Err(Error::new(Problem::EventLogTooLarge, reader.position(), index));
            }
            events.push(event(&mut reader, index, self.registers, Form::Agile(&self.banks))?);
        }
        Ok(events)
    }

    /// How many of `found`, from its head, are the last of this log.
    fn overlap(&self, found: &[Event]) -> usize {
        let most = found.len().min(self.events.len());
        (1..=most)
            .rev()
            .find(|&count| {
                let own = self.events.get(self.events.len() - count..).unwrap_or_default();
                own.iter().zip(found).all(|(one, other)| one.is_same(other))
            })
            .unwrap_or(0)
    }
}

impl Event {
    /// Whether both say and measured the same, wherever they stand.
    fn is_same(&self, other: &Self) -> bool {
        (self.pcr, self.kind) == (other.pcr, other.kind)
            && self.digests == other.digests
            && self.others == other.others
            && self.data == other.data
    }
}
