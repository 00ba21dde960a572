//! How far the log of each device, and of each checkpoint, was taken over. Its entries become events in
//! the same transaction, so that none is lost and none comes twice.

use super::connection::{Connection, OptionalExtension};
use super::value::params;
use super::{Db, NewEvent};
use crate::Error;

/// Whose log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A device, by its number.
    Device(String),
    /// A checkpoint, by the name in its certificate.
    Checkpoint(String),
}

impl Owner {
    /// Its number or name.
    pub fn name(&self) -> &str {
        match self {
            Self::Device(name) | Self::Checkpoint(name) => name,
        }
    }

    /// What events about it are about.
    pub fn subject(&self) -> String {
        match self {
            Self::Device(name) => name.clone(),
            Self::Checkpoint(name) => format!("checkpoint:{name}"),
        }
    }
}

/// How far a log was taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceLog {
    /// The log's name; empty before anything was taken.
    pub log: String,
    /// The last entry that was taken.
    pub seq: u64,
    /// The place, as [`touchstone_audit::Replica`] writes it; empty before anything was taken.
    pub place: String,
}

/// Entries of a log that are taken over.
#[derive(Clone, Debug)]
pub struct TakenOver {
    /// Whose log.
    pub owner: Owner,
    /// How far it was taken over until now.
    pub before: DeviceLog,
    /// How far it is then.
    pub after: DeviceLog,
    /// What is to be recorded.
    pub events: Vec<NewEvent>,
}

impl Db {
    /// How far that log was taken over.
    pub fn device_log(&mut self, owner: &Owner) -> Result<DeviceLog, Error> {
        device_log(&self.connection, &self.tenant, owner)
    }

    /// Takes entries over. False, and nothing is recorded, if somebody else has meanwhile.
    pub fn take_device_log(&mut self, taken: &TakenOver, now: u64) -> Result<bool, Error> {
        let TakenOver { owner, before, after, events } = taken;
        self.write(|write| {
            // Within the transaction: another fleet may have the same database.
            if device_log(write.tx, write.tenant, owner)? != *before {
                return Ok(false);
            }
            let insert = match owner {
                Owner::Device(_) => {
                    "INSERT INTO device_logs (device, tenant, log, seq, place, taken)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (device) DO UPDATE SET
                     log = excluded.log, seq = excluded.seq, place = excluded.place,
                     taken = excluded.taken"
                }
                Owner::Checkpoint(_) => {
                    "INSERT INTO checkpoint_logs (owner, tenant, log, seq, place, taken)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (owner) DO UPDATE SET
                     log = excluded.log, seq = excluded.seq, place = excluded.place,
                     taken = excluded.taken"
                }
            };
            write.tx.execute(
                insert,
                params![owner.name(), write.tenant, after.log, after.seq, after.place, now],
            )?;
            events.iter().try_for_each(|event| write.event(now, event))?;
            Ok(true)
        })
    }
}

fn device_log(connection: &Connection, tenant: &str, owner: &Owner) -> Result<DeviceLog, Error> {
    let mut select = connection.prepare_cached(match owner {
        Owner::Device(_) => {
            "SELECT log, seq, place FROM device_logs WHERE device = ?1 AND tenant = ?2"
        }
        Owner::Checkpoint(_) => {
            "SELECT log, seq, place FROM checkpoint_logs WHERE owner = ?1 AND tenant = ?2"
        }
    })?;
    let row = select.query_row(params![owner.name(), tenant], |row| {
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
        // A checkpoint may be called as a device is.
        for owner in [Owner::Device(id.clone()), Owner::Checkpoint(id)] {
            taken_once(&mut db, &owner);
        }
    }

    fn taken_once(db: &mut Db, owner: &Owner) {
        let id = owner.subject();
        let before = db.device_log(owner).unwrap();
        assert_eq!(before, DeviceLog::default());
        let after = DeviceLog { log: "a".into(), seq: 3, place: "3:x".into() };
        let events = vec![NewEvent::new(Code::CodeChanged, &id, "patched")];
        let taken = TakenOver { owner: owner.clone(), before, after: after.clone(), events };
        assert!(db.take_device_log(&taken, 5).unwrap());
        assert!(!db.take_device_log(&taken, 6).unwrap(), "it was taken already");
        assert_eq!(db.device_log(owner).unwrap(), after);
        let told = db.newest_events(Some(&id), 9).unwrap();
        assert_eq!(told.iter().filter(|event| event.code == "code.changed").count(), 1);
    }
}
