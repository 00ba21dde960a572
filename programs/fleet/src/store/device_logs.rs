//! How far each device's own audit log was taken over. Its entries become events in the same
//! transaction, so that none is lost and none comes twice.

use super::connection::{Connection, OptionalExtension};
use super::value::params;
use super::{Db, NewEvent};
use crate::Error;

/// How far a device's log was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceLog {
    /// The log's name; empty before anything was taken.
    pub log: String,
    /// The last entry that was taken.
    pub seq: u64,
    /// The place, as [`touchstone_audit::Replica`] writes it; empty before anything was taken.
    pub place: String,
}

/// Entries of a device's log that are taken over.
#[derive(Clone, Debug)]
pub struct TakenOver {
    /// Whose log.
    pub device: String,
    /// How far it was taken over until now.
    pub before: DeviceLog,
    /// How far it is then.
    pub after: DeviceLog,
    /// What is to be recorded.
    pub events: Vec<NewEvent>,
}

impl Db {
    /// How far the device's log was taken over.
    pub fn device_log(&mut self, device: &str) -> Result<DeviceLog, Error> {
        device_log(&self.connection, &self.tenant, device)
    }

    /// Takes entries over. False, and nothing is recorded, if somebody else has meanwhile.
    pub fn take_device_log(&mut self, taken: &TakenOver, now: u64) -> Result<bool, Error> {
        let TakenOver { device, before, after, events } = taken;
        self.write(|write| {
            // Within the transaction: another fleet may have the same database.
            if device_log(write.tx, write.tenant, device)? != *before {
                return Ok(false);
            }
            write.tx.execute(
                "INSERT INTO device_logs (device, tenant, log, seq, place, taken)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (device) DO UPDATE SET
                 log = excluded.log, seq = excluded.seq, place = excluded.place,
                 taken = excluded.taken",
                params![device, write.tenant, after.log, after.seq, after.place, now],
            )?;
            events.iter().try_for_each(|event| write.event(now, event))?;
            Ok(true)
        })
    }
}

fn device_log(connection: &Connection, tenant: &str, device: &str) -> Result<DeviceLog, Error> {
    let mut select = connection.prepare_cached(
        "SELECT log, seq, place FROM device_logs WHERE device = ?1 AND tenant = ?2",
    )?;
    let row = select.query_row(params![device, tenant], |row| {
        Ok(DeviceLog { log: row.get(0)?, seq: row.get(1)?, place: row.get(2)? })
    });
    Ok(row.optional()?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::devices::tests::device;
    use touchstone_audit::Code;

    on_both! { entries_are_taken_once_whoever_else_brings_them }

    fn entries_are_taken_once_whoever_else_brings_them(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        let before = db.device_log(&id).unwrap();
        assert_eq!(before, DeviceLog::default());
        let after = DeviceLog { log: "a".into(), seq: 3, place: "3:x".into() };
        let events = vec![NewEvent::new(Code::CodeChanged, &id, "patched")];
        let taken = TakenOver { device: id.clone(), before, after: after.clone(), events };
        assert!(db.take_device_log(&taken, 5).unwrap());
        assert!(!db.take_device_log(&taken, 6).unwrap(), "it was taken already");
        assert_eq!(db.device_log(&id).unwrap(), after);
        let told = db.newest_events(Some(&id), 9).unwrap();
        assert_eq!(told.iter().filter(|event| event.code == "code.changed").count(), 1);
    }
}
