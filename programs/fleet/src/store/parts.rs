//! Parts of long IMA lists whose end has not come: kept, counted, and thrown away. Nothing here is proven,
//! and nothing is judged before all of it is.
//!
//! What a device can make the fleet keep is bounded three times: by what one list may have, by what all
//! lists that are under way may take together, and by how long one may be under way.

use super::connection::OptionalExtension;
use super::value::params;
use super::{Db, NewEvent, Write};
use crate::Error;
use std::time::Duration;
use touchstone_audit::Code;
use touchstone_measure::ima::Boot;

/// Octets that are read at once.
const AT_ONCE: usize = 4 << 20;

/// How much of IMA lists is taken (`[limits]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// Octets of one list.
    pub octets: u64,
    /// Entries of one list.
    pub entries: u32,
    /// Octets of all lists whose end has not come.
    pub pending: u64,
    /// How long the end of a list may take to come.
    pub lifetime: Duration,
}

impl Default for ListLimits {
    fn default() -> Self {
        Self {
            octets: 128 << 20,
            entries: 1_000_000,
            pending: 1 << 30,
            lifetime: Duration::from_hours(1),
        }
    }
}

impl ListLimits {
    /// Whether a list is longer than one may be.
    pub const fn is_exceeded(&self, octets: u64, entries: u32) -> bool {
        octets > self.octets || entries > self.entries
    }
}

/// A list whose end has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingList {
    /// Its number among the device's lists.
    pub list: u64,
    /// The boot.
    pub boot: Boot,
    /// Entries that came, those included that were proven before.
    pub entries: u32,
    /// Octets of all these.
    pub octets: u64,
    /// Octets of those that were not proven before.
    pub held: u64,
    /// When the first part came.
    pub began: u64,
    /// It is too long, and nothing of it is kept.
    pub refused: bool,
}

/// A part of a list, from who holds the device's attestation key.
#[derive(Clone, Debug)]
pub struct NewPart {
    /// The device.
    pub device: String,
    /// The boot that its quote is of.
    pub boot: Boot,
    /// The part's first entry.
    pub first: u32,
    /// How many entries it has.
    pub entries: u32,
    /// As the device sent it.
    pub octets: Vec<u8>,
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept.
    Kept(PendingList),
    /// It does not follow what is there.
    Elsewhere,
    /// The list is longer than one may be.
    TooLong,
    /// Too many lists are under way.
    NoRoom,
}

impl Db {
    /// Keeps a part of a list.
    pub fn take_part(
        &mut self,
        new: &NewPart,
        limits: ListLimits,
        now: u64,
    ) -> Result<Taken, Error> {
        self.write(|write| {
            write.forget_late(limits, now)?;
            let taken = write.take_part(new, limits, now)?;
            write.heard_of(&new.device, now)?;
            Ok(taken)
        })
    }

    /// Forgets what is under way for too long.
    pub fn forget_late_lists(&mut self, limits: ListLimits, now: u64) -> Result<(), Error> {
        self.write(|write| write.forget_late(limits, now))
    }

    /// Throws away what came of a device's list whose end has not come.
    pub fn drop_pending_list(&mut self, device: &str) -> Result<(), Error> {
        self.write(|write| write.drop_pending(device))
    }

    /// The entries of a list from `first` on, up to `end`: their octets, and the entry that they end
    /// before. Of a long list only some, so that others have their turn; of one that is not there any
    /// more, none.
    pub fn list_octets(
        &mut self,
        device: &str,
        list: u64,
        (first, end): (u32, u32),
    ) -> Result<(u32, Vec<u8>), Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT entries, octets FROM ima_parts
             WHERE device = ?1 AND tenant = ?2 AND list = ?3 AND first = ?4",
        )?;
        let (mut next, mut all) = (first, Vec::new());
        while next < end && all.len() < AT_ONCE {
            let row = select.query_row(params![device, self.tenant, list, next], |row| {
                Ok((row.get::<u32>(0)?, row.get::<Vec<u8>>(1)?))
            });
            let Some((entries, octets)) = row.optional()? else { break };
            next = next.saturating_add(entries.max(1));
            all.extend_from_slice(&octets);
        }
        Ok((next, all))
    }
}

impl Write<'_> {
    pub(super) fn pending_list(&self, device: &str) -> Result<Option<PendingList>, Error> {
        let mut select = self.tx.prepare_cached(
            "SELECT list, resets, restarts, entries, octets, held, began, refused FROM ima_pending
             WHERE device = ?1 AND tenant = ?2",
        )?;
        let row = select.query_row([device, self.tenant], |row| {
            Ok(PendingList {
                list: row.get(0)?,
                boot: Boot { resets: row.get(1)?, restarts: row.get(2)? },
                entries: row.get(3)?,
                octets: row.get(4)?,
                held: row.get(5)?,
                began: row.get(6)?,
                refused: row.get(7)?,
            })
        });
        Ok(row.optional()?)
    }

    fn take_part(&self, new: &NewPart, limits: ListLimits, now: u64) -> Result<Taken, Error> {
        let pending = self.pending_list(&new.device)?;
        let Some(before) = self.before(new, pending, now)? else { return Ok(Taken::Elsewhere) };
        if pending != Some(before) {
            self.drop_pending(&new.device)?;
        }
        let octets = u64::try_from(new.octets.len()).unwrap_or(u64::MAX);
        let grown = PendingList {
            entries: before.entries.saturating_add(new.entries),
            octets: before.octets.saturating_add(octets),
            held: before.held.saturating_add(octets),
            ..before
        };
        if limits.is_exceeded(grown.octets, grown.entries) {
            // Only that it is so is kept, so that the same list is not sent again and again.
            self.drop_pending(&new.device)?;
            let refused = PendingList { held: 0, refused: true, ..before };
            self.put_pending(&new.device, &refused, now)?;
            return Ok(Taken::TooLong);
        }
        if before.refused {
            // The limits are others by now, and what came is gone.
            self.drop_pending(&new.device)?;
            return Ok(Taken::Elsewhere);
        }
        if !self.make_room(&new.device, &grown, limits)? {
            return Ok(Taken::NoRoom);
        }
        self.insert_part(&new.device, grown.list, new.first, new.entries, &new.octets)?;
        self.put_pending(&new.device, &grown, now)?;
        Ok(Taken::Kept(grown))
    }

    /// What the part follows: what is under way, what was proven of this boot, or nothing, if it is the
    /// list's start.
    fn before(
        &self,
        new: &NewPart,
        pending: Option<PendingList>,
        now: u64,
    ) -> Result<Option<PendingList>, Error> {
        if let Some(pending) = pending
            && (pending.boot, pending.entries) == (new.boot, new.first)
        {
            return Ok(Some(pending));
        }
        let proven = self.proven_list(&new.device)?;
        let start = PendingList {
            list: proven.map_or(1, |proven| proven.list + 1),
            boot: new.boot,
            entries: 0,
            octets: 0,
            held: 0,
            began: now,
            refused: false,
        };
        Ok(match proven {
            _ if new.first == 0 => Some(start),
            Some(proven) if (proven.boot, proven.entries) == (new.boot, new.first) => {
                let super::history::ProvenList { list, entries, octets, .. } = proven;
                Some(PendingList { list, entries, octets, ..start })
            }
            _ => None,
        })
    }

    /// Whether the list fits beside the others. Those that began later go for it, the last first, so that
    /// whoever began first comes to an end.
    fn make_room(
        &self,
        device: &str,
        grown: &PendingList,
        limits: ListLimits,
    ) -> Result<bool, Error> {
        let mut select = self.tx.prepare_cached(
            "SELECT device, held, began FROM ima_pending WHERE tenant = ?1 AND device <> ?2
             ORDER BY began DESC, device",
        )?;
        let others: Vec<(String, u64, u64)> = select
            .query_map([self.tenant, device], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        let mut all = grown.held + others.iter().map(|(_, held, _)| held).sum::<u64>();
        let mut later = others.iter().take_while(|(_, _, began)| *began > grown.began);
        let mut go = Vec::new();
        while all > limits.pending {
            let Some((other, held, _)) = later.next() else { return Ok(false) };
            all -= held;
            go.push(other);
        }
        go.into_iter().try_for_each(|other| self.drop_pending(other))?;
        Ok(true)
    }

    fn put_pending(&self, device: &str, pending: &PendingList, now: u64) -> Result<(), Error> {
        let PendingList { list, boot, entries, octets, held, began, refused } = *pending;
        self.tx
            .prepare_cached(
                "INSERT INTO ima_pending (device, tenant, list, resets, restarts, entries, octets,
                                          held, began, heard, refused)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (device) DO UPDATE SET
                     tenant = excluded.tenant, list = excluded.list, resets = excluded.resets,
                     restarts = excluded.restarts, entries = excluded.entries,
                     octets = excluded.octets, held = excluded.held, began = excluded.began,
                     heard = excluded.heard, refused = excluded.refused",
            )?
            .execute(params![
                device,
                self.tenant,
                list,
                boot.resets,
                boot.restarts,
                entries,
                octets,
                held,
                began,
                now,
                refused
            ])?;
        Ok(())
    }

    pub(super) fn insert_part(
        &self,
        device: &str,
        list: u64,
        first: u32,
        entries: u32,
        octets: &[u8],
    ) -> Result<(), Error> {
        self.tx
            .prepare_cached(
                "INSERT INTO ima_parts (device, tenant, list, first, entries, octets)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![device, self.tenant, list, first, entries, octets])?;
        Ok(())
    }

    /// Forgets the parts of a list from the entry `from` on.
    pub(super) fn forget_parts(&self, device: &str, list: u64, from: u32) -> Result<(), Error> {
        self.tx
            .prepare_cached(
                "DELETE FROM ima_parts WHERE device = ?1 AND list = ?2 AND first >= ?3",
            )?
            .execute(params![device, list, from])?;
        Ok(())
    }

    /// Throws away what came of a list whose end has not come.
    pub(super) fn drop_pending(&self, device: &str) -> Result<(), Error> {
        let Some(pending) = self.pending_list(device)? else { return Ok(()) };
        let proven = self.proven_list(device)?.filter(|proven| proven.list == pending.list);
        let from = proven.map_or(0, |proven| proven.entries);
        self.forget_parts(device, pending.list, from)?;
        self.end_pending(device)
    }

    /// There is no list any more whose end has not come; its parts are somebody else's to keep.
    pub(super) fn end_pending(&self, device: &str) -> Result<(), Error> {
        self.tx.prepare_cached("DELETE FROM ima_pending WHERE device = ?1")?.execute([device])?;
        Ok(())
    }

    fn forget_late(&self, limits: ListLimits, now: u64) -> Result<(), Error> {
        let before = now.saturating_sub(limits.lifetime.as_secs());
        let mut select = self
            .tx
            .prepare_cached("SELECT device FROM ima_pending WHERE tenant = ?1 AND began < ?2")?;
        let late: Vec<String> = select
            .query_map(params![self.tenant, before], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        late.iter().try_for_each(|device| self.drop_pending(device))
    }

    /// A device that sends its list is not silent. When it last attested is another matter.
    fn heard_of(&self, device: &str, now: u64) -> Result<(), Error> {
        let heard = self
            .tx
            .prepare_cached("UPDATE devices SET unreachable = 0 WHERE id = ?1 AND unreachable = 1")?
            .execute([device])?;
        match heard {
            0 => Ok(()),
            _ => self.event(now, &NewEvent::new(Code::DeviceHeard, device, "heard of again")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::devices::tests::device;
    use crate::store::results::tests::result;
    use crate::store::{NewHistory, NewResult, ProvenList};

    on_both! {
        parts_follow_each_other_and_count_when_the_end_is_proven
        a_part_that_follows_nothing_is_told_and_another_boot_begins_anew
        a_list_that_is_too_long_is_kept_no_more_and_not_asked_for_again
        whoever_began_first_comes_to_an_end
        what_is_under_way_for_too_long_is_forgotten
        evidence_that_is_not_believed_leaves_nothing_of_its_list
        a_list_that_grows_by_little_is_kept_in_few_parts
        what_was_judged_by_a_state_that_has_changed_is_not_kept
    }

    const BOOT: Boot = Boot { resets: 3, restarts: 0 };

    fn limits(octets: u64, pending: u64) -> ListLimits {
        ListLimits { octets, pending, ..ListLimits::default() }
    }

    /// Ten entries that take a hundred octets.
    fn part(device: &str, boot: Boot, first: u32) -> NewPart {
        let octets = vec![u8::try_from(first % 251).unwrap(); 100];
        NewPart { device: device.into(), boot, first, entries: 10, octets }
    }

    fn taken(db: &mut Db, new: &NewPart, now: u64) -> Taken {
        db.take_part(new, limits(1000, 1000), now).unwrap()
    }

    fn is_kept(taken: Taken, entries: u32) -> bool {
        matches!(taken, Taken::Kept(list) if list.entries == entries)
    }

    fn list(db: &mut Db, device: &str, list: u64, from: u32, end: u32) -> Vec<u8> {
        let (next, octets) = db.list_octets(device, list, (from, end)).unwrap();
        assert!(octets.is_empty() || next == end);
        octets
    }

    /// As the judge makes it: the list under way is proven, with this behind it.
    fn proven(db: &mut Db, device: &str, more: &[u8], at: u64) -> NewResult {
        let kept = db.kept(device).unwrap();
        let (number, keep, octets) = match (kept.pending, kept.proven) {
            (Some(pending), _) => (pending.list, pending.entries, pending.octets),
            (None, Some(proven)) => (proven.list, proven.entries, proven.octets),
            (None, None) => (1, 0, 0),
        };
        let octets = octets + more.len() as u64;
        let history = NewHistory {
            history: vec![9],
            proven: ProvenList { list: number, boot: BOOT, entries: keep + 1, octets },
            before: (kept.proven, kept.pending),
            keep,
            more: vec![(keep, 1, more.to_vec())],
        };
        NewResult { history: Some(history), ..result(device, "affirming", at) }
    }

    fn parts_follow_each_other_and_count_when_the_end_is_proven(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        for first in [0, 10, 20] {
            assert!(is_kept(taken(&mut db, &part(&id, BOOT, first), 5), first + 10));
        }
        let mark = db.ima_mark(&id).unwrap().unwrap();
        assert_eq!((mark.boot, mark.entries), (BOOT, 30));
        assert_eq!(db.kept(&id).unwrap().proven, None, "nothing is proven yet");
        assert_eq!(db.latest_result(&id).unwrap(), None);
        let new = proven(&mut db, &id, b"end", 6);
        db.record_result(&new).unwrap();
        let kept = db.kept(&id).unwrap();
        assert_eq!((kept.proven.unwrap().entries, kept.pending), (31, None));
        assert_eq!(list(&mut db, &id, 1, 0, 31).len(), 303);
        assert!(list(&mut db, &id, 1, 20, 31).ends_with(b"end"), "a short part goes on");
        // It goes on behind what is proven.
        assert!(is_kept(taken(&mut db, &part(&id, BOOT, 31), 7), 41));
        assert_eq!(db.kept(&id).unwrap().pending.unwrap().held, 100);
    }

    fn a_part_that_follows_nothing_is_told_and_another_boot_begins_anew(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        assert_eq!(taken(&mut db, &part(&id, BOOT, 10), 5), Taken::Elsewhere);
        taken(&mut db, &part(&id, BOOT, 0), 5);
        assert_eq!(taken(&mut db, &part(&id, BOOT, 20), 5), Taken::Elsewhere);
        let next = Boot { resets: 4, restarts: 0 };
        assert_eq!(taken(&mut db, &part(&id, next, 10), 5), Taken::Elsewhere);
        assert!(is_kept(taken(&mut db, &part(&id, BOOT, 10), 5), 20));
        // The device was started anew meanwhile: what came of the old list is gone.
        assert!(is_kept(taken(&mut db, &part(&id, next, 0), 5), 10));
        let pending = db.kept(&id).unwrap().pending.unwrap();
        assert_eq!((pending.boot, pending.held), (next, 100));
        assert_eq!(list(&mut db, &id, pending.list, 10, 20), b"");
    }

    fn a_list_that_is_too_long_is_kept_no_more_and_not_asked_for_again(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        let small = limits(150, 1000);
        db.take_part(&part(&id, BOOT, 0), small, 5).unwrap();
        for _ in 0..2 {
            let told = db.take_part(&part(&id, BOOT, 10), small, 6).unwrap();
            assert_eq!(told, Taken::TooLong);
            assert_eq!(list(&mut db, &id, 1, 0, 10), b"", "nothing is kept");
        }
        assert_eq!(db.ima_mark(&id).unwrap().unwrap().entries, 10, "it need not come again");
        // The limit is another by now: all of it is asked for.
        assert_eq!(taken(&mut db, &part(&id, BOOT, 10), 7), Taken::Elsewhere);
        assert_eq!(db.ima_mark(&id).unwrap(), None);
        let few = ListLimits { entries: 15, ..limits(1000, 1000) };
        db.take_part(&part(&id, BOOT, 0), few, 5).unwrap();
        let told = db.take_part(&part(&id, BOOT, 10), few, 6).unwrap();
        assert_eq!(told, Taken::TooLong);
    }

    fn whoever_began_first_comes_to_an_end(mut db: Db) {
        let ids: Vec<String> = (1..=3).map(|nth| db.enroll(&device(nth), 1).unwrap().id).collect();
        let room = limits(1000, 300);
        for (id, now) in ids.iter().zip(5..) {
            db.take_part(&part(id, BOOT, 0), room, now).unwrap();
        }
        let told = db.take_part(&part(&ids[2], BOOT, 10), room, 9).unwrap();
        assert_eq!(told, Taken::NoRoom, "two others began before");
        assert!(is_kept(db.take_part(&part(&ids[0], BOOT, 10), room, 9).unwrap(), 20));
        let pending = |db: &mut Db, id: &str| db.kept(id).unwrap().pending.is_some();
        assert!(pending(&mut db, &ids[1]) && !pending(&mut db, &ids[2]));
        assert!(is_kept(db.take_part(&part(&ids[0], BOOT, 20), room, 9).unwrap(), 30));
        assert!(!pending(&mut db, &ids[1]));
    }

    fn what_is_under_way_for_too_long_is_forgotten(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        let hour = limits(1000, 1000);
        taken(&mut db, &part(&id, BOOT, 0), 5);
        // That it goes on and on does not help.
        assert!(is_kept(taken(&mut db, &part(&id, BOOT, 10), 3600), 20));
        db.forget_late_lists(hour, 3605).unwrap();
        assert!(db.kept(&id).unwrap().pending.is_some());
        assert_eq!(taken(&mut db, &part(&id, BOOT, 20), 3606), Taken::Elsewhere);
        assert_eq!(db.ima_mark(&id).unwrap(), None);
        assert_eq!(list(&mut db, &id, 1, 0, 20), b"");
    }

    fn evidence_that_is_not_believed_leaves_nothing_of_its_list(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        let new = proven(&mut db, &id, b"one", 4);
        db.record_result(&new).unwrap();
        taken(&mut db, &part(&id, BOOT, 1), 5);
        db.record_result(&result(&id, "contraindicated", 6)).unwrap();
        let kept = db.kept(&id).unwrap();
        assert_eq!((kept.pending, kept.proven.unwrap().entries), (None, 1));
        assert_eq!(list(&mut db, &id, 1, 0, 1), b"one", "what was proven stays");
        assert_eq!(list(&mut db, &id, 1, 1, 11), b"");
    }

    fn a_list_that_grows_by_little_is_kept_in_few_parts(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        for at in 1..=50 {
            let new = proven(&mut db, &id, &[7; 4000], at);
            db.record_result(&new).unwrap();
        }
        let rows: u64 = db
            .connection
            .query_row("SELECT count(*) FROM ima_parts", params![], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 3);
        assert_eq!(list(&mut db, &id, 1, 0, 50).len(), 200_000);
    }

    fn what_was_judged_by_a_state_that_has_changed_is_not_kept(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        let (first, second) = (proven(&mut db, &id, b"one", 4), proven(&mut db, &id, b"two", 5));
        db.record_result(&first).unwrap();
        db.record_result(&second).unwrap();
        assert_eq!(list(&mut db, &id, 1, 0, 1), b"one");
        assert_eq!(db.latest_result(&id).unwrap().unwrap().issued, 5, "the result counts");
    }
}
