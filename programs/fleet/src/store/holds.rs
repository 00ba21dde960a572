//! How many devices a policy may act on at once: the rest is held back until somebody approves, so that
//! a policy that is wrong does not stop a plant in one go.

use super::connection::{Fault, OptionalExtension};
use super::value::{Row, params};
use super::{Db, NewEvent, Write};
use crate::Error;
use crate::api::types::Hold;
use std::time::Duration;
use touchstone_audit::Code;

/// Rows that are over are kept for so long, in seconds.
const REMEMBERED: u64 = 7 * 86400;

/// How many devices may be acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimit {
    /// So many.
    pub devices: u32,
    /// Within so long.
    pub every: Duration,
}

impl Default for ResponseLimit {
    fn default() -> Self {
        Self { devices: 25, every: Duration::from_hours(1) }
    }
}

/// A result that asks for more than telling and collecting.
#[derive(Clone, Debug)]
pub struct NewHold {
    /// The device.
    pub device: String,
    /// The policy: `<name>/<version>`.
    pub policy: String,
    /// What is asked for, in words.
    pub asked: String,
}

const COLUMNS: &str = "SELECT device, policy, asked, since, admitted, operator, ended FROM holds";

fn hold(row: &Row) -> Result<Hold, Fault> {
    let (admitted, ended): (Option<u64>, Option<u64>) = (row.get(4)?, row.get(6)?);
    Ok(Hold {
        device: row.get(0)?,
        policy: row.get(1)?,
        asked: row.get(2)?,
        since: row.get(3)?,
        admitted,
        operator: row.get(5)?,
        held: admitted.is_none() && ended.is_none(),
    })
}

impl Db {
    /// Whether the device may do what its verdict asks for; why it has to wait otherwise. A device that
    /// was admitted stays so until its verdict is good again.
    pub fn admit_response(
        &mut self,
        new: &NewHold,
        limit: ResponseLimit,
        now: u64,
    ) -> Result<Option<String>, Error> {
        self.write(|write| {
            let known = write.open_hold(&new.device)?;
            if known.as_ref().is_some_and(|known| !known.held) {
                return Ok(None);
            }
            let why = format!(
                "more than {} devices within {} s were told to act; an operator has to release it",
                limit.devices,
                limit.every.as_secs()
            );
            if known.is_some() {
                return Ok(Some(why));
            }
            let lately = now.saturating_sub(limit.every.as_secs());
            let admitted = (write.admitted_since(lately)? < limit.devices.into()).then_some(now);
            write.insert_hold(new, admitted, now)?;
            if admitted.is_some() {
                return Ok(None);
            }
            let words = format!("{} is told not to: {}: {why}", new.device, new.asked);
            let event = NewEvent::new(Code::ResponseProposed, &new.device, words)
                .with("policy", new.policy.as_str())
                .with("asked", new.asked.as_str())
                .with("devices", limit.devices)
                .with("every", limit.every.as_secs());
            write.event(now, &event)?;
            Ok(Some(why))
        })
    }

    /// An operator lets a device do what its verdict asks for.
    pub fn release_hold(&mut self, device: &str, by: &str, now: u64) -> Result<Hold, Error> {
        self.write(|write| {
            let Some(known) = write.open_hold(device)?.filter(|known| known.held) else {
                return Err(Error::Unknown { what: "device held back", name: device.to_owned() });
            };
            write.tx.execute(
                "UPDATE holds SET admitted = ?2, operator = ?3
                 WHERE device = ?1 AND admitted IS NULL AND ended IS NULL",
                params![device, now, by],
            )?;
            let words = format!("{by} lets {device} do what its verdict asks for: {}", known.asked);
            let event = NewEvent::new(Code::ResponseApproved, device, words)
                .with("operator", by)
                .with("policy", known.policy.as_str())
                .with("asked", known.asked.as_str());
            write.event(now, &event)?;
            Ok(Hold { admitted: Some(now), operator: Some(by.to_owned()), held: false, ..known })
        })
    }

    /// Devices that are told to act, and those that are held back, which come first.
    pub fn holds(&mut self) -> Result<Vec<Hold>, Error> {
        let sql = format!(
            "{COLUMNS} WHERE tenant = ?1 AND ended IS NULL ORDER BY admitted IS NOT NULL, id LIMIT 1000"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map(params![self.tenant], hold)?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }
}

impl Write<'_> {
    fn open_hold(&self, device: &str) -> Result<Option<Hold>, Error> {
        let sql = format!("{COLUMNS} WHERE device = ?1 AND ended IS NULL ORDER BY id DESC LIMIT 1");
        let mut select = self.tx.prepare_cached(&sql)?;
        Ok(select.query_row([device], hold).optional()?)
    }

    /// Those whose verdict is good by now count, too: their turn was used up.
    fn admitted_since(&self, since: u64) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM holds WHERE tenant = ?1 AND admitted > ?2";
        let mut select = self.tx.prepare_cached(sql)?;
        Ok(select.query_row(params![self.tenant, since], |row| row.get(0))?)
    }

    fn insert_hold(&self, new: &NewHold, admitted: Option<u64>, now: u64) -> Result<(), Error> {
        self.tx.execute(
            "DELETE FROM holds WHERE tenant = ?1 AND ended < ?2",
            params![self.tenant, now.saturating_sub(REMEMBERED)],
        )?;
        self.tx.execute(
            "INSERT INTO holds (tenant, device, policy, asked, since, admitted)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![self.tenant, new.device, new.policy, new.asked, now, admitted],
        )?;
        Ok(())
    }

    /// The device's verdict is good: nothing is asked of it any more.
    pub(super) fn end_hold(&self, device: &str, now: u64) -> Result<(), Error> {
        let sql = "UPDATE holds SET ended = ?2 WHERE device = ?1 AND ended IS NULL";
        self.tx.prepare_cached(sql)?.execute(params![device, now])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::devices::tests::device;
    use crate::store::results::tests::result;

    const LIMIT: ResponseLimit = ResponseLimit { devices: 2, every: Duration::from_mins(1) };

    on_both! {
        two_devices_act_and_the_third_waits_for_a_person_who_says_so
        a_good_verdict_ends_it_and_its_turn_is_used_up_all_the_same
    }

    fn enrolled(db: &mut Db, devices: u8) -> Vec<String> {
        (1..=devices).map(|it| db.enroll(&device(it), 1).unwrap().id).collect()
    }

    fn admitted(db: &mut Db, id: &str, now: u64) -> bool {
        let new = NewHold {
            device: id.to_owned(),
            policy: "plant/1".to_owned(),
            asked: "stop-unit".to_owned(),
        };
        db.admit_response(&new, LIMIT, now).unwrap().is_none()
    }

    fn two_devices_act_and_the_third_waits_for_a_person_who_says_so(mut db: Db) {
        let ids = enrolled(&mut db, 3);
        let all = |db: &mut Db, now| ids.iter().map(|id| admitted(db, id, now)).collect::<Vec<_>>();
        assert_eq!(all(&mut db, 100), [true, true, false]);
        assert_eq!(all(&mut db, 110), [true, true, false], "asked again, nothing changes");
        assert_eq!(all(&mut db, 900), [true, true, false], "time alone releases nobody");
        let held: Vec<_> = db.holds().unwrap().into_iter().filter(|it| it.held).collect();
        assert_eq!((held.len(), &held[0].device, held[0].since), (1, &ids[2], 100));
        let released = db.release_hold(&ids[2], "anna", 910).unwrap();
        assert_eq!(released.operator.as_deref(), Some("anna"));
        assert!(admitted(&mut db, &ids[2], 911));
        assert!(db.release_hold(&ids[2], "anna", 912).is_err(), "once");
        let events = db.events_after(0, 99).unwrap();
        let count = |code| events.iter().filter(|event| event.code == code).count();
        assert_eq!((count("respond.proposed"), count("respond.approved")), (1, 1), "told once");
    }

    fn a_good_verdict_ends_it_and_its_turn_is_used_up_all_the_same(mut db: Db) {
        let ids = enrolled(&mut db, 3);
        assert!(admitted(&mut db, &ids[0], 100) && admitted(&mut db, &ids[1], 100));
        db.record_result(&result(&ids[0], "affirming", 101)).unwrap();
        assert!(!admitted(&mut db, &ids[2], 102), "whoever flaps makes no room");
        db.record_result(&result(&ids[2], "affirming", 103)).unwrap();
        assert_eq!(db.holds().unwrap().len(), 1);
        assert!(admitted(&mut db, &ids[2], 161), "a minute later there is room");
    }
}
