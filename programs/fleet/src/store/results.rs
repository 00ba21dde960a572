//! Attestation results, and what follows from one: the verdict, revocation, the feed.

use super::connection::OptionalExtension;
use super::value::params;
use super::{Db, NewEvent, NewHistory, StoredClaims, Write};
use crate::Error;
use crate::api::types::{Control, Fact, Feed, VectorEntry};
use serde::Serialize;
use serde::de::DeserializeOwned;
use touchstone_audit::{Code, Severity};

/// Results that are kept of each device.
const KEPT: u64 = 100;

/// A result that was just signed.
#[derive(Clone, Debug)]
pub struct NewResult {
    /// The device.
    pub device: String,
    /// The nonce that the evidence answers.
    pub nonce: Vec<u8>,
    /// Its tier.
    pub tier: String,
    /// The tier's reason in one sentence.
    pub why: String,
    /// When it was made.
    pub issued: u64,
    /// Until when it counts.
    pub expires: u64,
    /// The thumbprint it is bound to.
    pub jkt: Option<String>,
    /// As a JWT.
    pub jwt: String,
    /// As a CWT.
    pub cwt: Vec<u8>,
    /// The trustworthiness vector.
    pub vector: Vec<VectorEntry>,
    /// The controls.
    pub controls: Vec<Control>,
    /// Facts of the evidence.
    pub evidence: Vec<Fact>,
    /// What the evidence said, if it could be believed.
    pub claims: Option<StoredClaims>,
    /// What is proven now; `None` if the evidence proves nothing, so that of a list whose end had not come
    /// nothing is left.
    pub history: Option<NewHistory>,
}

/// What recording a result did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The result's number in the feed.
    pub seq: u64,
    /// The tier is not what it was.
    pub changed: bool,
    /// Certificates that were revoked.
    pub revoked: usize,
    /// Orders that wait for the device.
    pub orders: u64,
}

/// The last result of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredResult {
    /// Its tier.
    pub tier: String,
    /// When it was made.
    pub issued: u64,
    /// Until when it counts.
    pub expires: u64,
    /// As a JWT.
    pub jwt: String,
    /// The trustworthiness vector.
    pub vector: Vec<VectorEntry>,
    /// The controls.
    pub controls: Vec<Control>,
    /// Facts of the evidence.
    pub evidence: Vec<Fact>,
}

impl Db {
    /// Records a result with everything that follows from it, in one transaction.
    pub fn record_result(&mut self, new: &NewResult) -> Result<Recorded, Error> {
        let now = new.issued;
        self.write(|write| {
            let (tier, unreachable): (String, bool) = write
                .tx
                .prepare_cached("SELECT tier, unreachable FROM devices WHERE id = ?1")?
                .query_row([&new.device], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .ok_or_else(|| Error::Unknown { what: "device", name: new.device.clone() })?;
            let changed = tier != new.tier;
            if unreachable {
                let event = NewEvent::new(Code::DeviceHeard, &new.device, "heard of again");
                write.event(now, &event)?;
            }
            if changed {
                write.event(now, &verdict_changed(new, &tier))?;
            }
            let revoked = if write.is_to_be_revoked(&new.device, &new.tier, now)? {
                write.revoke_device(&new.device, "contraindicated", now)?
            } else {
                0
            };
            if new.tier == "affirming" {
                write.end_hold(&new.device, now)?;
            }
            let seq = write.insert_result(new)?;
            write.replace_claims(&new.device, new.claims.as_ref())?;
            match &new.history {
                Some(history) => drop(write.replace_history(&new.device, history)?),
                None => write.drop_pending(&new.device)?,
            }
            write
                .tx
                .prepare_cached(
                    "UPDATE devices SET last_seen = ?2, tier = ?3, why = ?4, unreachable = 0,
                            tier_since = CASE WHEN ?5 THEN ?2 ELSE coalesce(tier_since, ?2) END
                     WHERE id = ?1",
                )?
                .execute(params![new.device, now, new.tier, new.why, changed])?;
            let orders = write
                .tx
                .prepare_cached(
                    "SELECT count(*) FROM orders WHERE device = ?1 AND outcome = 'waiting'",
                )?
                .query_row([&new.device], |row| row.get(0))?;
            Ok(Recorded { seq, changed, revoked, orders })
        })
    }

    /// The last result of a device.
    pub fn latest_result(&mut self, device: &str) -> Result<Option<StoredResult>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT tier, issued, expires, jwt, vector, controls, evidence FROM results
             WHERE device = ?1 AND tenant = ?2 ORDER BY seq DESC LIMIT 1",
        )?;
        let mut rows = select.query([device, &self.tenant])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(StoredResult {
            tier: row.get(0)?,
            issued: row.get(1)?,
            expires: row.get(2)?,
            jwt: row.get(3)?,
            vector: from_json(&row.get::<String>(4)?, "vector")?,
            controls: from_json(&row.get::<String>(5)?, "controls")?,
            evidence: from_json(&row.get::<String>(6)?, "evidence")?,
        }))
    }
}

impl Write<'_> {
    fn insert_result(&self, new: &NewResult) -> Result<u64, Error> {
        let line = Feed::Result {
            seq: 0,
            device: new.device.clone(),
            tier: new.tier.clone(),
            jkt: new.jkt.clone(),
            issued: new.issued,
            expires: new.expires,
            ear_jwt: new.jwt.clone(),
        };
        let seq = self.feed(&new.device, &line, new.expires)?;
        self.tx
            .prepare_cached(
                "INSERT INTO results (seq, tenant, device, nonce, tier, issued, expires, jwt, cwt,
                                      vector, controls, evidence)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                seq,
                self.tenant,
                new.device,
                new.nonce,
                new.tier,
                new.issued,
                new.expires,
                new.jwt,
                new.cwt,
                to_json(&new.vector, "vector")?,
                to_json(&new.controls, "controls")?,
                to_json(&new.evidence, "evidence")?
            ])?;
        self.tx
            .prepare_cached(
                "DELETE FROM results WHERE device = ?1 AND seq <= (
                     SELECT seq FROM results WHERE device = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![new.device, KEPT])?;
        Ok(seq)
    }
}

fn verdict_changed(new: &NewResult, before: &str) -> NewEvent {
    let severity = match new.tier.as_str() {
        "contraindicated" => Severity::Critical,
        "warning" | "none" => Severity::Warning,
        _ => Severity::Notice,
    };
    let failed: Vec<&str> =
        new.controls.iter().filter(|control| !control.passed).map(|c| c.name.as_str()).collect();
    let words = format!("verdict {before} -> {}: {}", new.tier, new.why);
    NewEvent::new(Code::VerdictChanged, &new.device, words)
        .severity(severity)
        .with("before", before)
        .with("after", new.tier.as_str())
        .with("failed", failed)
}

pub(super) fn to_json<T: Serialize>(value: &T, what: &'static str) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| Error::Row { what })
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Row { what })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::certificates::tests::ldevid;
    use crate::store::devices::tests::device;
    use crate::store::{Rules, Status};

    on_both! {
        a_contraindicated_verdict_revokes_in_the_same_transaction
        the_feed_holds_only_the_newest_result_of_a_device
        a_nonce_is_answered_once_and_old_results_are_forgotten
        a_device_that_comes_back_is_reachable_with_its_verdict
    }

    pub(crate) fn result(device: &str, tier: &str, at: u64) -> NewResult {
        NewResult {
            device: device.into(),
            nonce: format!("{device}{at}").into_bytes(),
            tier: tier.into(),
            why: "code page changed".into(),
            issued: at,
            expires: at + 90,
            jkt: Some("jkt".into()),
            jwt: format!("jwt-{at}"),
            cwt: vec![1],
            vector: Vec::new(),
            controls: Vec::new(),
            evidence: Vec::new(),
            claims: None,
            history: None,
        }
    }

    fn a_contraindicated_verdict_revokes_in_the_same_transaction(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        assert!(db.record_result(&result(&id, "affirming", 10)).unwrap().changed);
        db.add_certificate(&ldevid(&id, "0A", 11), 11).unwrap();
        assert!(!db.record_result(&result(&id, "affirming", 12)).unwrap().changed);
        let caught = db.record_result(&result(&id, "contraindicated", 13)).unwrap();
        assert_eq!((caught.changed, caught.revoked), (true, 1));
        let again = db.record_result(&result(&id, "contraindicated", 14)).unwrap();
        assert_eq!((again.changed, again.revoked), (false, 0));
        let status = db.certificate("ca", "0A", 15).unwrap().unwrap().status;
        assert!(matches!(status, Status::Revoked { at: 13, .. }));
        let summary = db.devices(Rules { now: 15, max_age: 90 }).unwrap().remove(0);
        assert_eq!((summary.tier_since, summary.last_seen), (Some(13), Some(14)));
        let codes: Vec<_> = db.events_after(0, 99).unwrap().into_iter().map(|e| e.code).collect();
        assert_eq!(
            codes,
            [
                "device.onboarded",
                "attest.verdict.changed",
                "cert.issued",
                "attest.verdict.changed",
                "cert.revoked"
            ]
        );
    }

    fn the_feed_holds_only_the_newest_result_of_a_device(mut db: Db) {
        let (one, two) =
            (db.enroll(&device(1), 1).unwrap().id, db.enroll(&device(2), 1).unwrap().id);
        for at in 10..13 {
            db.record_result(&result(&one, "affirming", at)).unwrap();
        }
        let last = db.record_result(&result(&two, "affirming", 20)).unwrap().seq;
        let seqs: Vec<u64> = db
            .feed_after(0, 99)
            .unwrap()
            .iter()
            .map(|line| match line {
                Feed::Result { seq, .. } => *seq,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seqs, [last - 1, last]);
        assert_eq!(db.feed_after(last, 99).unwrap(), []);
    }

    fn a_nonce_is_answered_once_and_old_results_are_forgotten(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        db.record_result(&result(&id, "affirming", 10)).unwrap();
        db.record_result(&result(&id, "affirming", 10)).unwrap_err();
        for at in 11..11 + KEPT + 5 {
            db.record_result(&result(&id, "affirming", at)).unwrap();
        }
        let kept: u64 = db
            .connection
            .query_row("SELECT count(*) FROM results", params![], |r| r.get(0))
            .unwrap();
        assert_eq!(kept, KEPT);
        assert_eq!(db.latest_result(&id).unwrap().unwrap().issued, 10 + KEPT + 5);
        db.record_result(&result("dev-unknown", "affirming", 10)).unwrap_err();
    }

    fn a_device_that_comes_back_is_reachable_with_its_verdict(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        db.record_result(&result(&id, "affirming", 10)).unwrap();
        db.mark_unreachable(500, 90, 1).unwrap();
        let silent = db.devices(Rules { now: 500, max_age: 90 }).unwrap().remove(0);
        assert_eq!((silent.contact.as_str(), silent.tier.as_str()), ("unreachable", "affirming"));
        assert!(silent.stale);
        db.record_result(&result(&id, "affirming", 510)).unwrap();
        assert_eq!(db.newest_events(Some(&id), 1).unwrap()[0].code, "device.heard");
    }
}
