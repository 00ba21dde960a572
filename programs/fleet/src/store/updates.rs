//! Update envelopes and orders. The fleet is a courier: whether an envelope is good is for the
//! device to say.

use super::connection::Fault;
use super::connection::OptionalExtension;
use super::value::{Row, params};
use super::{Db, NewEvent};
use crate::Error;
use crate::api::types::{GivenOrder, Order, OrderState, Outcome, Report, Update};
use touchstone_audit::Code;

/// An envelope that was handed in.
#[derive(Clone, Debug)]
pub struct NewUpdate {
    /// What it says of itself; `created` is set when it is stored.
    pub about: Update,
    /// The envelope.
    pub envelope: Vec<u8>,
    /// For one device, or for all.
    pub device: Option<String>,
}

const ORDER: &str = "SELECT o.id, o.sha256, u.component, u.brings, u.size, o.created, o.outcome,
                            o.code, o.reason, o.reported
                     FROM orders o JOIN updates u USING (sha256)";

impl Db {
    /// Stores an envelope and orders it. An order that already waits is not given twice.
    pub fn add_update(&mut self, new: &NewUpdate, now: u64) -> Result<Vec<GivenOrder>, Error> {
        let about = &new.about;
        self.write(|write| {
            let devices: Vec<String> = {
                let mut select = write.tx.prepare_cached(
                    "SELECT id FROM devices WHERE tenant = ?1 AND (id = ?2 OR ?2 IS NULL)
                     ORDER BY id",
                )?;
                let rows = select.query_map(params![write.tenant, new.device], |row| row.get(0))?;
                rows.collect::<Result<_, _>>()?
            };
            if let (Some(device), true) = (&new.device, devices.is_empty()) {
                return Err(Error::Unknown { what: "device", name: device.clone() });
            }
            let signers = serde_json::to_string(&about.signers)
                .map_err(|_| Error::Row { what: "signers" })?;
            let stored = write.tx.execute(
                "INSERT INTO updates (sha256, tenant, component, brings, size, note,
                                                signers, envelope, created, operator)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
                params![
                    about.update,
                    write.tenant,
                    about.component,
                    about.version,
                    about.size,
                    about.note,
                    signers,
                    new.envelope,
                    now,
                    about.operator
                ],
            )?;
            if stored > 0 {
                let words =
                    format!("update of {} to version {} handed in", about.component, about.version);
                let event = NewEvent::new(Code::UpdateStored, &about.component, words)
                    .with("sha256", about.update.as_str())
                    .with("by", about.operator.as_str());
                write.event(now, &event)?;
            }
            let mut orders = Vec::with_capacity(devices.len());
            for device in devices {
                let waiting: Option<u64> = write
                    .tx
                    .prepare_cached(
                        "SELECT id FROM orders
                         WHERE device = ?1 AND sha256 = ?2 AND outcome = 'waiting'",
                    )?
                    .query_row([&device, &about.update], |row| row.get(0))
                    .optional()?;
                let id = if let Some(id) = waiting {
                    id
                } else {
                    let id: u64 = write
                        .tx
                        .prepare_cached(
                            "INSERT INTO orders (tenant, device, sha256, created)
                             VALUES (?1, ?2, ?3, ?4) RETURNING id",
                        )?
                        .query_row(params![write.tenant, device, about.update, now], |row| {
                            row.get(0)
                        })?;
                    let words = format!(
                        "update of {} to version {} ordered",
                        about.component, about.version
                    );
                    let event = NewEvent::new(Code::UpdateOrdered, &device, words)
                        .with("order", id)
                        .with("sha256", about.update.as_str());
                    write.event(now, &event)?;
                    id
                };
                orders.push(GivenOrder { id, device });
            }
            Ok(orders)
        })
    }

    /// The orders that wait for a device, oldest first.
    pub fn waiting_orders(&mut self, device: &str, after: u64) -> Result<Vec<Order>, Error> {
        let sql = format!(
            "{ORDER} WHERE o.device = ?1 AND o.id > ?2 AND o.outcome = 'waiting'
             ORDER BY o.id LIMIT 64"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map(params![device, after], order)?;
        rows.map(|row| row.map(|state| state.order).map_err(Error::from)).collect()
    }

    /// The newest orders of a device, newest first.
    pub fn orders_of(&mut self, device: &str, limit: u32) -> Result<Vec<OrderState>, Error> {
        let sql = format!("{ORDER} WHERE o.device = ?1 ORDER BY o.id DESC LIMIT ?2");
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map(params![device, limit], order)?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// The envelope, if it was ever ordered for the device.
    pub fn envelope_for(&mut self, device: &str, sha256: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT envelope FROM updates WHERE sha256 = ?2 AND EXISTS (
                 SELECT 1 FROM orders WHERE device = ?1 AND orders.sha256 = updates.sha256)",
        )?;
        Ok(select.query_row([device, sha256], |row| row.get(0)).optional()?)
    }

    /// Notes what became of an order. The first report counts; later ones are heard.
    pub fn report(&mut self, device: &str, report: &Report, now: u64) -> Result<(), Error> {
        self.write(|write| {
            if report.order > 0 {
                let known: Option<String> = write
                    .tx
                    .query_row(
                        "SELECT outcome FROM orders WHERE id = ?1 AND device = ?2",
                        params![report.order, device],
                        |row| row.get(0),
                    )
                    .optional()?;
                match known.as_deref() {
                    None => {
                        let name = report.order.to_string();
                        return Err(Error::Unknown { what: "order", name });
                    }
                    Some("waiting") => {}
                    Some(_) => return Ok(()),
                }
                write.tx.execute(
                    "UPDATE orders SET outcome = ?2, code = ?3, reason = ?4, reported = ?5
                     WHERE id = ?1",
                    params![report.order, report.outcome.name(), report.code, report.reason, now],
                )?;
            }
            let code = match report.outcome {
                Outcome::Applied => Code::UpdateApplied,
                Outcome::Refused => Code::UpdateRefused,
                Outcome::Failed => Code::UpdateFailed,
            };
            let words = match (report.outcome, report.reason.as_str()) {
                (Outcome::Applied, "") => "the update was applied".to_owned(),
                (outcome, reason) => format!("update {}: {reason}", outcome.name()),
            };
            let event = NewEvent::new(code, device, words)
                .with("order", report.order)
                .with("reason_code", report.code.as_str());
            write.event(now, &event)
        })
    }

    /// Every envelope, newest first.
    pub fn updates(&mut self) -> Result<Vec<Update>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT sha256, component, brings, size, note, signers, created, operator FROM updates
             WHERE tenant = ?1 ORDER BY created DESC, rowid DESC LIMIT 1000",
        )?;
        let mut rows = select.query([&self.tenant])?;
        let mut updates = Vec::new();
        while let Some(row) = rows.next()? {
            let signers: String = row.get(5)?;
            updates.push(Update {
                update: row.get(0)?,
                component: row.get(1)?,
                version: row.get(2)?,
                size: row.get(3)?,
                note: row.get(4)?,
                signers: serde_json::from_str(&signers)
                    .map_err(|_| Error::Row { what: "signers" })?,
                created: row.get(6)?,
                operator: row.get(7)?,
            });
        }
        Ok(updates)
    }
}

fn order(row: &Row) -> Result<OrderState, Fault> {
    let update: String = row.get(1)?;
    let path = format!("/v1/updates/{update}");
    Ok(OrderState {
        order: Order {
            id: row.get(0)?,
            kind: "update".into(),
            update,
            component: row.get(2)?,
            version: row.get(3)?,
            size: row.get(4)?,
            path,
        },
        created: row.get(5)?,
        outcome: row.get(6)?,
        code: row.get(7)?,
        reason: row.get(8)?,
        reported: row.get(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::devices::tests::device;

    on_both! {
        an_order_waits_until_it_is_reported_once
        a_device_sees_only_its_own_orders_and_envelopes
    }

    fn update(device: Option<&str>) -> NewUpdate {
        NewUpdate {
            about: Update {
                update: "ab".repeat(32),
                component: "meter".into(),
                version: 2,
                size: 3,
                note: "heals".into(),
                signers: vec!["CN=publisher".into()],
                created: 0,
                operator: "admin".into(),
            },
            envelope: vec![1, 2, 3],
            device: device.map(str::to_owned),
        }
    }

    fn an_order_waits_until_it_is_reported_once(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        db.enroll(&device(2), 1).unwrap();
        let given = db.add_update(&update(Some(&id)), 5).unwrap();
        assert_eq!(db.add_update(&update(Some(&id)), 6).unwrap(), given, "handed in again");
        assert_eq!(db.add_update(&update(None), 7).unwrap().len(), 2);
        assert_eq!(db.waiting_orders(&id, 0).unwrap().len(), 1);
        assert_eq!(db.waiting_orders(&id, given[0].id).unwrap(), []);
        let report = Report {
            order: given[0].id,
            outcome: Outcome::Refused,
            code: "update.version".into(),
            reason: "version 2 is not above 2".into(),
        };
        db.report(&id, &report, 8).unwrap();
        let late = Report { outcome: Outcome::Applied, ..report.clone() };
        db.report(&id, &late, 9).unwrap();
        let orders = db.orders_of(&id, 9).unwrap();
        assert_eq!((orders[0].outcome.as_str(), orders[0].reported), ("refused", Some(8)));
        assert_eq!(db.waiting_orders(&id, 0).unwrap(), []);
        assert_eq!(db.newest_events(Some(&id), 1).unwrap()[0].code, "update.refused");
    }

    fn a_device_sees_only_its_own_orders_and_envelopes(mut db: Db) {
        let (one, two) =
            (db.enroll(&device(1), 1).unwrap().id, db.enroll(&device(2), 1).unwrap().id);
        let given = db.add_update(&update(Some(&one)), 5).unwrap();
        let sha256 = "ab".repeat(32);
        assert_eq!(db.envelope_for(&one, &sha256).unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(db.envelope_for(&two, &sha256).unwrap(), None);
        let report = Report {
            order: given[0].id,
            outcome: Outcome::Applied,
            code: String::new(),
            reason: String::new(),
        };
        assert_eq!(db.report(&two, &report, 6).unwrap_err().code(), "fleet.unknown");
        let nobody = db.add_update(&update(Some("dev-none")), 5).unwrap_err();
        assert_eq!(nobody.to_string(), "no device named `dev-none`");
        assert_eq!(db.updates().unwrap().len(), 1);
    }
}
