//! What was proven of each device last: a TPM whose state was put back shows by it, and the device sends
//! only what is new in its IMA list, while the fleet judges it all. A fleet that lost this asks for
//! everything once.
//!
//! The list is kept beside it, in parts: of a list that grows, what is new is written and no more.

use super::connection::OptionalExtension;
use super::value::params;
use super::{Db, PendingList, Write};
use crate::Error;
use touchstone_evidence::ImaMark;
use touchstone_measure::ima::Boot;

/// A part that is no longer than this is written anew with what follows it.
const SMALL: usize = 64 << 10;

/// What is kept of a device between two attestations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// As [`History::encode`](touchstone_evidence::History::encode) wrote it.
    pub history: Option<Vec<u8>>,
    /// Its list.
    pub proven: Option<ProvenList>,
    /// A list whose end has not come.
    pub pending: Option<PendingList>,
}

/// The list that was proven last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenList {
    /// Its number among the device's lists; 0 if it is not in parts, but in the history.
    pub list: u64,
    /// The boot.
    pub boot: Boot,
    /// Entries that were quoted.
    pub entries: u32,
    /// Octets of these.
    pub octets: u64,
}

/// What evidence proves, and how the list that is kept becomes the one that it proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHistory {
    /// As [`History::encode`](touchstone_evidence::History::encode) writes it, without the list.
    pub history: Vec<u8>,
    /// The list.
    pub proven: ProvenList,
    /// What was kept when the evidence was judged. If something else is kept by now, that stays.
    pub before: (Option<ProvenList>, Option<PendingList>),
    /// Entries of that list that stay as they are kept.
    pub keep: u32,
    /// What comes behind them, each with its first entry and how many it has.
    pub more: Vec<(u32, u32, Vec<u8>)>,
}

impl Db {
    /// What is known of a device's list already, proven or not.
    pub fn ima_mark(&mut self, device: &str) -> Result<Option<ImaMark>, Error> {
        let Kept { proven, pending, .. } = self.kept(device)?;
        let pending = pending.map(|list| (list.boot, list.entries));
        let known = pending.or(proven.map(|list| (list.boot, list.entries)));
        Ok(known
            .filter(|(_, entries)| *entries > 0)
            .map(|(boot, entries)| ImaMark { boot, entries }))
    }

    /// All of it, but for the lists.
    pub fn kept(&mut self, device: &str) -> Result<Kept, Error> {
        let reader = self.reader();
        let history = reader
            .tx
            .prepare_cached("SELECT history FROM history WHERE device = ?1 AND tenant = ?2")?
            .query_row([device, reader.tenant], |row| row.get(0))
            .optional()?;
        let (proven, pending) = (reader.proven_list(device)?, reader.pending_list(device)?);
        Ok(Kept { history, proven, pending })
    }
}

impl Write<'_> {
    pub(super) fn proven_list(&self, device: &str) -> Result<Option<ProvenList>, Error> {
        let mut select = self.tx.prepare_cached(
            "SELECT list, resets, restarts, entries, octets FROM history
             WHERE device = ?1 AND tenant = ?2",
        )?;
        let row = select.query_row([device, self.tenant], |row| {
            Ok(ProvenList {
                list: row.get(0)?,
                boot: Boot { resets: row.get(1)?, restarts: row.get(2)? },
                entries: row.get(3)?,
                octets: row.get(4)?,
            })
        });
        Ok(row.optional()?)
    }

    /// Puts what is proven now in the place of what was proven before; of a list that was under way, nothing
    /// is left that is not proven by it. `false`, and nothing done, if something else was recorded since
    /// the evidence was judged.
    pub(super) fn replace_history(&self, device: &str, new: &NewHistory) -> Result<bool, Error> {
        if (self.proven_list(device)?, self.pending_list(device)?) != new.before {
            return Ok(false);
        }
        let ProvenList { list, boot, entries, octets } = new.proven;
        self.end_pending(device)?;
        self.forget_parts(device, list, new.keep)?;
        self.tx
            .prepare_cached("DELETE FROM ima_parts WHERE device = ?1 AND list <> ?2")?
            .execute(params![device, list])?;
        self.append(device, list, new)?;
        self.tx
            .prepare_cached(
                "INSERT INTO history (device, tenant, resets, restarts, entries, history, list,
                                      octets)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (device) DO UPDATE SET
                     tenant = excluded.tenant, resets = excluded.resets,
                     restarts = excluded.restarts, entries = excluded.entries,
                     history = excluded.history, list = excluded.list, octets = excluded.octets",
            )?
            .execute(params![
                device,
                self.tenant,
                boot.resets,
                boot.restarts,
                entries,
                new.history,
                list,
                octets
            ])?;
        Ok(true)
    }

    /// Writes what is new of a list. A short last part goes on in it, so that a list that grows by an entry
    /// at a time is not kept in as many parts.
    fn append(&self, device: &str, list: u64, new: &NewHistory) -> Result<(), Error> {
        let mut more = new.more.iter();
        let Some((first, entries, octets)) = more.next() else { return Ok(()) };
        let mut select = self.tx.prepare_cached(
            "SELECT first, entries, octets FROM ima_parts
             WHERE device = ?1 AND list = ?2 AND first < ?3 AND length(octets) <= ?4
             ORDER BY first DESC LIMIT 1",
        )?;
        let short: Option<(u32, u32, Vec<u8>)> = select
            .query_row(params![device, list, first, SMALL], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        match short.filter(|(before, had, _)| before.saturating_add(*had) == *first) {
            Some((before, had, mut together)) => {
                self.forget_parts(device, list, before)?;
                together.extend_from_slice(octets);
                self.insert_part(device, list, before, had.saturating_add(*entries), &together)?;
            }
            None => self.insert_part(device, list, *first, *entries, octets)?,
        }
        more.try_for_each(|(first, entries, octets)| {
            self.insert_part(device, list, *first, *entries, octets)
        })
    }

    /// Forgets it: the counters of a TPM are disguised by each key in another way.
    pub(super) fn forget_history(&self, device: &str) -> Result<(), Error> {
        for table in ["history", "ima_parts", "ima_pending"] {
            self.tx.execute(&format!("DELETE FROM {table} WHERE device = ?1"), [device])?;
        }
        Ok(())
    }
}
