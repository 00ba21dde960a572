//! Whether a device may have a certificate: what follows from its verdicts, how often it was revoked,
//! and what an operator decided.

use super::connection::Fault;
use super::connection::OptionalExtension;
use super::value::{Row, params};
use super::{Db, NewEvent, Write};
use crate::Error;
use crate::api::types::Override;
use touchstone_audit::Code;

/// Revocations of one device that are remembered for its next certificate, in seconds.
const REMEMBERED: u64 = 86400;

/// How certificates follow the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictRules {
    /// How long a certificate lives that is issued under a warning; none is, where this is 0.
    pub warning_lifetime: u64,
    /// Contraindicated results in a row before certificates are revoked.
    pub revoke_after: u32,
    /// How long a device waits after its second revocation of a day; twice as long after the third,
    /// and so on.
    pub settle: u64,
    /// The longest that it waits.
    pub settle_most: u64,
}

impl Default for VerdictRules {
    fn default() -> Self {
        Self { warning_lifetime: 3600, revoke_after: 1, settle: 60, settle_most: 3600 }
    }
}

impl VerdictRules {
    /// How long a device waits that was revoked so often within a day.
    pub fn waits(&self, revoked: u64) -> u64 {
        let doubled = u32::try_from(revoked.saturating_sub(2)).unwrap_or(u32::MAX);
        match revoked {
            0 | 1 => 0,
            _ => self
                .settle
                .saturating_mul(2_u64.checked_pow(doubled).unwrap_or(u64::MAX))
                .min(self.settle_most),
        }
    }
}

/// Whether a device may have a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    May {
        /// For how long at most, in seconds; as long as the profile says otherwise.
        most: Option<u64>,
        /// The certificate says that it was issued under a warning.
        warned: bool,
    },
    /// It may not.
    No {
        /// The stable code.
        code: &'static str,
        /// Why, and what to do.
        words: String,
    },
}

impl Standing {
    fn no(code: &'static str, words: impl Into<String>) -> Self {
        Self::No { code, words: words.into() }
    }
}

/// A decision of an operator.
#[derive(Clone, Debug)]
pub struct NewOverride {
    /// The device.
    pub device: String,
    /// `allow` or `deny`.
    pub effect: &'static str,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub operator: String,
    /// Until when.
    pub expires: u64,
}

impl Write<'_> {
    /// Whether the device may have a certificate now.
    pub(super) fn standing(&self, device: &str, now: u64) -> Result<Standing, Error> {
        const STALE: &str = "est.verdict.not-affirming";
        let decided = self.override_of(device, now)?;
        if let Some(denied) = decided.as_ref().filter(|one| one.effect == "deny") {
            let words = format!("an operator refuses it: {}", denied.reason);
            return Ok(Standing::no("est.override.denied", words));
        }
        let last: Option<(String, u64)> = self
            .tx
            .prepare_cached(
                "SELECT tier, expires FROM results WHERE device = ?1 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([device], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((tier, expires)) = last else {
            return Ok(Standing::no(STALE, "the device has not attested yet; attest first"));
        };
        if expires <= now {
            return Ok(Standing::no(STALE, "the verdict is too old; attest again first"));
        }
        if let Some(allowed) = decided {
            let most = Some(allowed.expires.saturating_sub(now));
            return Ok(Standing::May { most, warned: tier != "affirming" });
        }
        let short = (self.verdict.warning_lifetime > 0).then_some(self.verdict.warning_lifetime);
        let may = match (tier.as_str(), short) {
            ("affirming", _) => Standing::May { most: None, warned: false },
            ("warning", Some(_)) => Standing::May { most: short, warned: true },
            _ => {
                let words = format!("the verdict is {tier}; a certificate needs an affirming one");
                return Ok(Standing::no(STALE, words));
            }
        };
        Ok(self.settled(device, now)?.unwrap_or(may))
    }

    /// A device that is revoked again and again waits longer each time.
    fn settled(&self, device: &str, now: u64) -> Result<Option<Standing>, Error> {
        let (count, last): (u64, Option<u64>) = self
            .tx
            .prepare_cached(
                "SELECT count(DISTINCT revoked_at), max(revoked_at) FROM certificates
                 WHERE device = ?1 AND revoked_at > ?2 AND reason = 'contraindicated'",
            )?
            .query_row(params![device, now.saturating_sub(REMEMBERED)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let until = last.unwrap_or(0).saturating_add(self.verdict.waits(count));
        Ok((now < until).then(|| {
            let words = format!(
                "the device was revoked {count} times within a day; it gets the next certificate \
                 in {} s",
                until - now
            );
            Standing::no("est.verdict.settling", words)
        }))
    }

    /// Whether the device's last verdicts, this one among them, are such that it is revoked.
    pub(super) fn is_to_be_revoked(
        &self,
        device: &str,
        tier: &str,
        now: u64,
    ) -> Result<bool, Error> {
        if tier != "contraindicated"
            || self.override_of(device, now)?.is_some_and(|one| one.effect == "allow")
        {
            return Ok(false);
        }
        let before = self.verdict.revoke_after.saturating_sub(1);
        let agree: u32 = self
            .tx
            .prepare_cached(
                "SELECT count(*) FROM (SELECT tier FROM results WHERE device = ?1
                                       ORDER BY seq DESC LIMIT ?2) AS last
                 WHERE tier = 'contraindicated'",
            )?
            .query_row(params![device, before], |row| row.get(0))?;
        Ok(agree >= before)
    }

    fn override_of(&self, device: &str, now: u64) -> Result<Option<Override>, Error> {
        let sql = format!(
            "{OVERRIDES} WHERE device = ?1 AND ended IS NULL AND expires > ?2 ORDER BY id DESC LIMIT 1"
        );
        let mut select = self.tx.prepare_cached(&sql)?;
        Ok(select.query_row(params![device, now], |row| overriding(row, now)).optional()?)
    }
}

const OVERRIDES: &str = "SELECT id, device, effect, reason, operator, created, expires, ended,
                                ended_by FROM overrides";

fn overriding(row: &Row, now: u64) -> Result<Override, Fault> {
    let expires: u64 = row.get(6)?;
    let ended: Option<u64> = row.get(7)?;
    Ok(Override {
        id: row.get(0)?,
        device: row.get(1)?,
        effect: row.get(2)?,
        reason: row.get(3)?,
        operator: row.get(4)?,
        created: row.get(5)?,
        expires,
        ended,
        ended_by: row.get(8)?,
        in_force: ended.is_none() && expires > now,
    })
}

impl Db {
    /// An operator decides about a device's certificates. Denied ones are revoked at once; a decision
    /// takes the place of the one before.
    pub fn add_override(&mut self, new: &NewOverride, now: u64) -> Result<Override, Error> {
        self.write(|write| {
            let known: bool = write
                .tx
                .prepare_cached("SELECT count(*) FROM devices WHERE id = ?1")?
                .query_row([&new.device], |row| row.get(0))?;
            if !known {
                return Err(Error::Unknown { what: "device", name: new.device.clone() });
            }
            write.tx.execute(
                "UPDATE overrides SET ended = ?2, ended_by = ?3
                 WHERE device = ?1 AND ended IS NULL AND expires > ?2",
                params![new.device, now, new.operator],
            )?;
            let id: u64 = write.tx.query_row(
                "INSERT INTO overrides (tenant, device, effect, reason, operator, created, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
                params![
                    write.tenant,
                    new.device,
                    new.effect,
                    new.reason,
                    new.operator,
                    now,
                    new.expires
                ],
                |row| row.get(0),
            )?;
            let words = format!(
                "{} decided to {} certificates of {}: {}",
                new.operator, new.effect, new.device, new.reason
            );
            let event = NewEvent::new(Code::CertOverridden, &new.device, words)
                .with("effect", new.effect)
                .with("operator", new.operator.as_str())
                .with("reason", new.reason.as_str())
                .with("expires", new.expires)
                .with("override", id);
            write.event(now, &event)?;
            if new.effect == "deny" {
                write.revoke_device(&new.device, "cessationOfOperation", now)?;
            }
            let sql = format!("{OVERRIDES} WHERE id = ?1");
            Ok(write.tx.query_row(&sql, [id], |row| overriding(row, now))?)
        })
    }

    /// Ends the decision in force about a device.
    pub fn end_override(&mut self, device: &str, by: &str, now: u64) -> Result<Override, Error> {
        self.write(|write| {
            let Some(found) = write.override_of(device, now)? else {
                return Err(Error::Unknown { what: "override in force", name: device.to_owned() });
            };
            write.tx.execute(
                "UPDATE overrides SET ended = ?2, ended_by = ?3 WHERE id = ?1",
                params![found.id, now, by],
            )?;
            let words = format!("{by} ended the decision about certificates of {device}");
            let event = NewEvent::new(Code::CertOverridden, device, words)
                .with("effect", "ended")
                .with("operator", by)
                .with("override", found.id);
            write.event(now, &event)?;
            let ended = (Some(now), Some(by.to_owned()));
            Ok(Override { ended: ended.0, ended_by: ended.1, in_force: false, ..found })
        })
    }

    /// Decisions about a device's certificates, newest first; about every device's, if none is named.
    pub fn overrides(&mut self, device: Option<&str>, now: u64) -> Result<Vec<Override>, Error> {
        let sql = format!(
            "{OVERRIDES} WHERE tenant = ?1 AND (device = ?2 OR ?2 IS NULL)
             ORDER BY id DESC LIMIT 1000"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map(params![self.tenant, device], |row| overriding(row, now))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::certificates::tests::ldevid;
    use crate::store::devices::tests::device;
    use crate::store::results::tests::result;
    use crate::store::{Added, Status};

    on_both! {
        a_device_that_flaps_waits_longer_each_time
        one_bad_result_among_good_ones_revokes_nothing_where_the_owner_wants_two
        a_warning_gets_a_short_certificate_or_none
        an_operator_decides_with_a_reason_until_a_time_and_everybody_can_read_it
        a_request_that_comes_twice_is_recorded_once
    }

    fn fleet(db: Db, rules: VerdictRules) -> (Db, String) {
        let mut db = db.with_verdict_rules(rules);
        let id = db.enroll(&device(1), 1).unwrap().id;
        (db, id)
    }

    fn code(standing: &Standing) -> &'static str {
        match standing {
            Standing::No { code, .. } => code,
            Standing::May { .. } => "may",
        }
    }

    /// A certificate, a bad verdict, a good one.
    fn flap(db: &mut Db, id: &str, at: u64) {
        db.add_certificate(&ldevid(id, &format!("{at:X}"), at), at).unwrap();
        db.record_result(&result(id, "contraindicated", at + 1)).unwrap();
        db.record_result(&result(id, "affirming", at + 2)).unwrap();
    }

    fn a_device_that_flaps_waits_longer_each_time(db: Db) {
        let (mut db, id) = fleet(db, VerdictRules::default());
        db.record_result(&result(&id, "affirming", 10)).unwrap();
        flap(&mut db, &id, 20);
        assert_eq!(code(&db.standing(&id, 22).unwrap()), "may", "once is forgiven at once");
        flap(&mut db, &id, 30);
        assert_eq!(code(&db.standing(&id, 32).unwrap()), "est.verdict.settling");
        db.record_result(&result(&id, "affirming", 91)).unwrap();
        assert_eq!(code(&db.standing(&id, 90).unwrap()), "est.verdict.settling");
        assert_eq!(code(&db.standing(&id, 91).unwrap()), "may", "a minute after it was revoked");
        flap(&mut db, &id, 100);
        db.record_result(&result(&id, "affirming", 200)).unwrap();
        assert_eq!(code(&db.standing(&id, 220).unwrap()), "est.verdict.settling");
        assert_eq!(code(&db.standing(&id, 221).unwrap()), "may", "two minutes");
        let rules = VerdictRules::default();
        assert_eq!([2, 3, 4, 99].map(|count| rules.waits(count)), [60, 120, 240, 3600]);
    }

    fn one_bad_result_among_good_ones_revokes_nothing_where_the_owner_wants_two(db: Db) {
        let (mut db, id) = fleet(db, VerdictRules { revoke_after: 2, ..VerdictRules::default() });
        db.record_result(&result(&id, "affirming", 10)).unwrap();
        db.add_certificate(&ldevid(&id, "0A", 11), 11).unwrap();
        assert_eq!(db.record_result(&result(&id, "contraindicated", 12)).unwrap().revoked, 0);
        assert_eq!(code(&db.standing(&id, 12).unwrap()), "est.verdict.not-affirming");
        db.record_result(&result(&id, "affirming", 13)).unwrap();
        assert_eq!(db.record_result(&result(&id, "contraindicated", 14)).unwrap().revoked, 0);
        assert_eq!(db.record_result(&result(&id, "contraindicated", 15)).unwrap().revoked, 1);
    }

    fn a_warning_gets_a_short_certificate_or_none(db: Db) {
        let (mut db, id) = fleet(db, VerdictRules::default());
        db.record_result(&result(&id, "warning", 10)).unwrap();
        let short = Standing::May { most: Some(3600), warned: true };
        assert_eq!(db.standing(&id, 11).unwrap(), short);
        let (mut db, id) =
            fleet(db, VerdictRules { warning_lifetime: 0, ..VerdictRules::default() });
        db.record_result(&result(&id, "warning", 12)).unwrap();
        assert_eq!(code(&db.standing(&id, 13).unwrap()), "est.verdict.not-affirming");
    }

    fn an_operator_decides_with_a_reason_until_a_time_and_everybody_can_read_it(db: Db) {
        let (mut db, id) = fleet(db, VerdictRules::default());
        let decide = |effect: &'static str, expires| NewOverride {
            device: id.clone(),
            effect,
            reason: "sensor exchanged on site".into(),
            operator: "anna".into(),
            expires,
        };
        db.record_result(&result(&id, "affirming", 10)).unwrap();
        db.add_certificate(&ldevid(&id, "0A", 11), 11).unwrap();
        assert!(db.add_override(&decide("allow", 60), 12).unwrap().in_force);
        db.record_result(&result(&id, "contraindicated", 13)).unwrap();
        assert_eq!(db.certificate("ca", "0A", 14).unwrap().unwrap().status, Status::Good);
        let shown = db.standing(&id, 14).unwrap();
        assert_eq!(shown, Standing::May { most: Some(46), warned: true });
        assert_eq!(code(&db.standing(&id, 60).unwrap()), "est.verdict.not-affirming", "it expired");
        db.add_override(&decide("deny", 90), 15).unwrap();
        let status = db.certificate("ca", "0A", 16).unwrap().unwrap().status;
        assert!(matches!(status, Status::Revoked { at: 15, .. }), "{status:?}");
        db.record_result(&result(&id, "affirming", 17)).unwrap();
        let new = ldevid(&id, "0B", 18);
        let refused = db.add_requested(&new, None, true, 18, 18).unwrap();
        assert!(matches!(refused, Added::Not { code: "est.override.denied", .. }));
        assert!(!db.end_override(&id, "bert", 19).unwrap().in_force);
        assert_eq!(db.end_override(&id, "bert", 20).unwrap_err().code(), "fleet.unknown");
        assert_eq!(db.add_requested(&new, None, true, 18, 21).unwrap(), Added::Now);
        let listed = db.overrides(Some(&id), 22).unwrap();
        let told: Vec<_> =
            listed.iter().map(|one| (one.effect.as_str(), one.ended, one.in_force)).collect();
        assert_eq!(told, [("deny", Some(19), false), ("allow", Some(15), false)]);
        let events = db.events_after(0, 100).unwrap();
        let count = events.iter().filter(|event| event.code == "cert.overridden").count();
        assert_eq!(count, 3);
        let nobody = NewOverride { device: "dev-x".into(), ..decide("deny", 99) };
        assert_eq!(db.add_override(&nobody, 23).unwrap_err().code(), "fleet.unknown");
    }

    fn a_request_that_comes_twice_is_recorded_once(db: Db) {
        let (mut db, id) = fleet(db, VerdictRules::default());
        db.record_result(&result(&id, "affirming", 10)).unwrap();
        let first = ldevid(&id, "0A", 11);
        assert_eq!(db.add_requested(&first, None, true, 0, 11).unwrap(), Added::Now);
        let mut again = ldevid(&id, "0B", 11);
        again.spki_sha256.clone_from(&first.spki_sha256);
        let Added::Before(row) = db.add_requested(&again, None, true, 5, 12).unwrap() else {
            panic!()
        };
        assert_eq!(row.serial, "0A");
        assert_eq!(db.certificate("ca", "0B", 12).unwrap(), None);
        assert_eq!(
            db.add_requested(&again, None, true, 12, 12).unwrap(),
            Added::Now,
            "later: a new one"
        );
    }
}
