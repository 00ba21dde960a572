//! Devices and their endorsements.

use super::connection::Fault;
use super::connection::OptionalExtension;
use super::value::{Row, params};
use super::{Db, NewEvent, Write};
use crate::Error;
use crate::api::types::{DeviceSummary, Identity, Maker};
use touchstone_audit::Code;

/// What onboarding proved.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// What its maker calls it.
    pub name: String,
    /// Subject of the IDevID certificate.
    pub idevid_subject: String,
    /// The IDevID's public key, SPKI DER.
    pub idevid_spki: Vec<u8>,
    /// SHA-256 of `idevid_spki`.
    pub idevid_sha256: String,
    /// SHA-256 of the endorsement key's SPKI.
    pub ek_sha256: String,
    /// Issuer of the EK certificate, where that is a proof.
    pub ek_issuer: Option<String>,
    /// What its maker says of it, where that is a proof.
    pub maker: Option<Maker>,
    /// The endorsement key, `TPMT_PUBLIC`.
    pub ek_public: Vec<u8>,
    /// The attestation key, `TPMT_PUBLIC`.
    pub lak_public: Vec<u8>,
    /// The attestation key, SPKI DER.
    pub lak_spki: Vec<u8>,
    /// SHA-256 of `lak_spki`.
    pub lak_sha256: String,
    /// Certificates that vouch for it, DER, each with `ek`, `idevid` or `iak`.
    pub endorsements: Vec<(&'static str, Vec<u8>)>,
}

/// What onboarding did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The device's id.
    pub id: String,
    /// It was not known before.
    pub new: bool,
}

/// A device as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its id.
    pub id: String,
    /// What its maker calls it.
    pub name: String,
    /// The IDevID's public key, SPKI DER.
    pub idevid_spki: Vec<u8>,
    /// The attestation key, `TPMT_PUBLIC`.
    pub lak_public: Vec<u8>,
    /// The attestation key, SPKI DER.
    pub lak_spki: Vec<u8>,
    /// The endorsement key, `TPMT_PUBLIC`; `None` if it was onboarded before that was kept.
    pub ek_public: Option<Vec<u8>>,
    /// When it last attested.
    pub last_seen: Option<u64>,
    /// The tier of its last result.
    pub tier: String,
    /// What identifies it.
    pub identity: Identity,
}

/// How to read ages.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The clock.
    pub now: u64,
    /// For how long a result counts, in seconds.
    pub max_age: u64,
}

impl Db {
    /// Records a device. The same TPM is the same device, with whatever attestation key and
    /// certificates it has now.
    pub fn enroll(&mut self, new: &NewDevice, now: u64) -> Result<Enrolled, Error> {
        let id = format!("dev-{}", new.ek_sha256.get(..16).unwrap_or(&new.ek_sha256));
        self.write(|write| {
            let known = write.known(&id)?;
            let owner: Option<String> = write
                .tx
                .query_row(
                    "SELECT id FROM devices WHERE idevid_sha256 = ?1",
                    [&new.idevid_sha256],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(owner) = owner.filter(|owner| *owner != id) {
                return Err(Error::Conflict(format!(
                    "the IDevID belongs to {owner}, whose TPM is another one"
                )));
            }
            if let Some(known) = &known {
                known.must_be(&id, new)?;
            }
            write.upsert_device(&id, new, now)?;
            if known.as_ref().is_some_and(|known| known.lak_sha256 != new.lak_sha256) {
                write.forget_history(&id)?;
            }
            let words = match &known {
                None => Some("onboarded: its TPM and its identity are proven"),
                Some(known)
                    if known.lak_sha256 != new.lak_sha256
                        || known.idevid_sha256 != new.idevid_sha256 =>
                {
                    Some("onboarded again, with new keys in the same TPM")
                }
                Some(known)
                    if known.proofs != proofs(new.ek_issuer.as_deref(), new.maker.as_ref()) =>
                {
                    Some("onboarded again, by another proof")
                }
                Some(_) => None,
            };
            if let Some(words) = words {
                write.event(now, &onboarded(&id, words, new))?;
            }
            Ok(Enrolled { id: id.clone(), new: known.is_none() })
        })
    }

    /// The device of that id.
    pub fn device(&mut self, id: &str) -> Result<Option<DeviceRow>, Error> {
        self.one_device("id", id)
    }

    /// The device whose IDevID key has that SHA-256.
    pub fn device_by_idevid(&mut self, sha256: &str) -> Result<Option<DeviceRow>, Error> {
        self.one_device("idevid_sha256", sha256)
    }

    fn one_device(&mut self, by: &'static str, value: &str) -> Result<Option<DeviceRow>, Error> {
        let sql = format!(
            "SELECT id, name, idevid_spki, lak_public, lak_spki, last_seen, tier, idevid_subject,
                    idevid_sha256, ek_sha256, ek_issuer, lak_sha256, enrolled_at, ek_public,
                    iak_sha256, iak_issuer, hardware_kind, hardware_serial
             FROM devices WHERE {by} = ?1 AND tenant = ?2"
        );
        let tenant = self.tenant.clone();
        let mut select = self.connection.prepare_cached(&sql)?;
        Ok(select.query_row([value, &tenant], device_row).optional()?)
    }

    /// Every device by name, with its newest certificate.
    pub fn devices(&mut self, rules: Rules) -> Result<Vec<DeviceSummary>, Error> {
        let ids: Vec<String> = {
            let mut select = self
                .connection
                .prepare_cached("SELECT id FROM devices WHERE tenant = ?1 ORDER BY name, id")?;
            let rows = select.query_map([&self.tenant], |row| row.get(0))?;
            rows.collect::<Result<_, _>>()?
        };
        ids.iter().filter_map(|id| self.device_summary(id, rules).transpose()).collect()
    }

    /// One device in a row.
    pub fn device_summary(
        &mut self,
        id: &str,
        rules: Rules,
    ) -> Result<Option<DeviceSummary>, Error> {
        let Some(certificate) = self.newest_certificate(id, rules.now)? else { return Ok(None) };
        let mut select = self.connection.prepare_cached(
            "SELECT id, name, tenant, tier, unreachable, last_seen, tier_since, why FROM devices
             WHERE id = ?1 AND tenant = ?2",
        )?;
        let summary = select
            .query_row([id, &self.tenant], |row| {
                let unreachable: bool = row.get(4)?;
                let last_seen: Option<u64> = row.get(5)?;
                let contact = match (unreachable, last_seen) {
                    (true, _) => "unreachable",
                    (false, None) => "never",
                    (false, Some(_)) => "reachable",
                };
                let stale = last_seen.is_some_and(|seen| rules.now > seen + rules.max_age);
                Ok(DeviceSummary {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    tenant: row.get(2)?,
                    tier: row.get(3)?,
                    contact: contact.to_owned(),
                    stale,
                    last_seen,
                    tier_since: row.get(6)?,
                    why: row.get(7)?,
                    certificate,
                })
            })
            .optional()?;
        Ok(summary)
    }

    /// Notes devices that were silent for `silence` seconds. Silence is counted from `started` at
    /// the earliest: that we were down is no doing of theirs.
    pub fn mark_unreachable(
        &mut self,
        now: u64,
        silence: u64,
        started: u64,
    ) -> Result<usize, Error> {
        if now < started.saturating_add(silence) {
            return Ok(0);
        }
        let before = now.saturating_sub(silence);
        self.write(|write| {
            let silent: Vec<String> = {
                let mut select = write.tx.prepare_cached(
                    "UPDATE devices SET unreachable = 1
                     WHERE unreachable = 0 AND coalesce(last_seen, enrolled_at) < ?1
                           AND NOT EXISTS (SELECT 1 FROM ima_pending
                                           WHERE device = devices.id AND heard >= ?1)
                     RETURNING id",
                )?;
                let rows = select.query_map([before], |row| row.get(0))?;
                rows.collect::<Result<_, _>>()?
            };
            for id in &silent {
                let words = format!("not heard of for {silence} s; its tier stays, as stale");
                let event = NewEvent::new(Code::DeviceSilent, id, words);
                write.event(now, &event)?;
            }
            Ok(silent.len())
        })
    }
}

/// What a device was onboarded with before.
struct Known {
    ek_sha256: String,
    lak_sha256: String,
    idevid_sha256: String,
    maker: Option<Maker>,
    proofs: Vec<String>,
}

impl Known {
    /// It is the same device that is onboarded again. Where its maker vouches for it, nobody else vouches for
    /// its endorsement key: two devices could share one that is in no TPM.
    fn must_be(&self, id: &str, new: &NewDevice) -> Result<(), Error> {
        if self.ek_sha256 != new.ek_sha256 {
            let words = format!("{id} has another endorsement key");
            return Err(Error::Conflict(words));
        }
        let module = |maker: &Maker| (maker.hardware_kind.clone(), maker.hardware_serial.clone());
        match (&self.maker, &new.maker) {
            (Some(known), Some(maker)) if module(known) != module(maker) => {
                let serial = &known.hardware_serial;
                let words =
                    format!("the endorsement key belongs to {id}, whose module is {serial}");
                Err(Error::Conflict(words))
            }
            _ => Ok(()),
        }
    }
}

impl Write<'_> {
    fn known(&self, id: &str) -> Result<Option<Known>, Error> {
        let known = self.tx.query_row(
            "SELECT lak_sha256, idevid_sha256, ek_issuer, iak_sha256, iak_issuer, hardware_kind,
                    hardware_serial, ek_sha256
             FROM devices WHERE id = ?1",
            [id],
            |row| {
                let ek_issuer = Some(row.get::<String>(2)?).filter(|issuer| !issuer.is_empty());
                let maker = maker_of(row, 3)?;
                Ok(Known {
                    ek_sha256: row.get(7)?,
                    lak_sha256: row.get(0)?,
                    idevid_sha256: row.get(1)?,
                    proofs: proofs(ek_issuer.as_deref(), maker.as_ref()),
                    maker,
                })
            },
        );
        Ok(known.optional()?)
    }

    fn upsert_device(&self, id: &str, new: &NewDevice, now: u64) -> Result<(), Error> {
        self.tx.execute(
            "INSERT INTO devices (id, tenant, name, idevid_subject, idevid_spki, idevid_sha256,
                                  ek_sha256, ek_issuer, lak_public, lak_spki, lak_sha256, enrolled_at,
                                  ek_public, iak_sha256, iak_issuer, hardware_kind,
                                  hardware_serial)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
             ON CONFLICT (id) DO UPDATE SET
                 name = excluded.name, idevid_subject = excluded.idevid_subject,
                 idevid_spki = excluded.idevid_spki, idevid_sha256 = excluded.idevid_sha256,
                 ek_issuer = excluded.ek_issuer, lak_public = excluded.lak_public,
                 lak_spki = excluded.lak_spki, lak_sha256 = excluded.lak_sha256,
                 ek_public = excluded.ek_public, iak_sha256 = excluded.iak_sha256,
                 iak_issuer = excluded.iak_issuer, hardware_kind = excluded.hardware_kind,
                 hardware_serial = excluded.hardware_serial",
            params![
                id,
                self.tenant,
                new.name,
                new.idevid_subject,
                new.idevid_spki,
                new.idevid_sha256,
                new.ek_sha256,
                new.ek_issuer.as_deref().unwrap_or_default(),
                new.lak_public,
                new.lak_spki,
                new.lak_sha256,
                now,
                new.ek_public,
                new.maker.as_ref().map(|maker| maker.iak_sha256.as_str()),
                new.maker.as_ref().map(|maker| maker.iak_issuer.as_str()),
                new.maker.as_ref().map(|maker| maker.hardware_kind.as_str()),
                new.maker.as_ref().map(|maker| maker.hardware_serial.as_str())
            ],
        )?;
        for (kind, certificate) in &new.endorsements {
            self.tx.execute(
                "INSERT INTO endorsements (device, tenant, kind, certificate, recorded_at)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                params![id, self.tenant, kind, certificate, now],
            )?;
        }
        Ok(())
    }
}

/// By what a TPM was proven, in the words of API and policies.
fn proofs(ek_issuer: Option<&str>, maker: Option<&Maker>) -> Vec<String> {
    let proofs = [("endorsement-key", ek_issuer.is_some()), ("iak", maker.is_some())];
    proofs.into_iter().filter(|(_, is)| *is).map(|(name, _)| name.to_owned()).collect()
}

fn onboarded(id: &str, words: &'static str, new: &NewDevice) -> NewEvent {
    let proofs = proofs(new.ek_issuer.as_deref(), new.maker.as_ref()).join(", ");
    let event = NewEvent::new(Code::DeviceOnboarded, id, words)
        .with("name", new.name.as_str())
        .with("proofs", proofs)
        .with("ek_issuer", new.ek_issuer.as_deref().unwrap_or_default())
        .with("ek_sha256", new.ek_sha256.as_str())
        .with("lak_sha256", new.lak_sha256.as_str())
        .with("idevid_sha256", new.idevid_sha256.as_str());
    let Some(maker) = &new.maker else { return event };
    event
        .with("iak_issuer", maker.iak_issuer.as_str())
        .with("iak_sha256", maker.iak_sha256.as_str())
        .with("hardware_serial", maker.hardware_serial.as_str())
}

/// What the maker says, from the column `first` on.
fn maker_of(row: &Row, first: usize) -> Result<Option<Maker>, Fault> {
    let Some(iak_sha256) = row.get(first)? else { return Ok(None) };
    let text = |at| Ok::<String, Fault>(row.get::<Option<String>>(at)?.unwrap_or_default());
    Ok(Some(Maker {
        iak_sha256,
        iak_issuer: text(first + 1)?,
        hardware_kind: text(first + 2)?,
        hardware_serial: text(first + 3)?,
    }))
}

fn device_row(row: &Row) -> Result<DeviceRow, Fault> {
    let ek_issuer = Some(row.get::<String>(10)?).filter(|issuer| !issuer.is_empty());
    let maker = maker_of(row, 14)?;
    Ok(DeviceRow {
        id: row.get(0)?,
        name: row.get(1)?,
        idevid_spki: row.get(2)?,
        lak_public: row.get(3)?,
        lak_spki: row.get(4)?,
        last_seen: row.get(5)?,
        tier: row.get(6)?,
        identity: Identity {
            idevid_subject: row.get(7)?,
            idevid_sha256: row.get(8)?,
            ek_sha256: row.get(9)?,
            proofs: proofs(ek_issuer.as_deref(), maker.as_ref()),
            ek_issuer,
            maker,
            lak_sha256: row.get(11)?,
            enrolled_at: row.get(12)?,
        },
        ek_public: row.get(13)?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    on_both! {
        onboarding_again_is_the_same_device
        who_vouches_for_a_device_is_kept_and_changes_when_it_is_onboarded_again
        a_device_is_not_taken_over_by_one_that_shows_its_endorsement_key
        an_identity_can_not_move_to_another_tpm
        silence_is_unreachable_and_not_untrusted
    }

    pub(crate) fn device(n: u8) -> NewDevice {
        NewDevice {
            name: format!("gateway-{n}"),
            idevid_subject: format!("CN=gateway-{n}"),
            idevid_spki: vec![n, 1],
            idevid_sha256: format!("{n:064x}"),
            ek_sha256: format!("{:016x}", u64::from(n)).repeat(4),
            ek_issuer: Some("CN=TPM maker".into()),
            maker: None,
            ek_public: vec![n, 5],
            lak_public: vec![n, 2],
            lak_spki: vec![n, 3],
            lak_sha256: format!("{n:064x}"),
            endorsements: vec![("ek", vec![n, 4])],
        }
    }

    const RULES: Rules = Rules { now: 1000, max_age: 90 };

    fn onboarding_again_is_the_same_device(mut db: Db) {
        let first = db.enroll(&device(1), 1000).unwrap();
        assert_eq!(first, Enrolled { id: "dev-0000000000000001".into(), new: true });
        assert!(!db.enroll(&device(1), 1001).unwrap().new);
        let other_key = NewDevice { lak_sha256: "ff".into(), ..device(1) };
        assert_eq!(db.enroll(&other_key, 1002).unwrap().id, first.id);
        let row = db.device(&first.id).unwrap().unwrap();
        assert_eq!((row.identity.lak_sha256.as_str(), row.identity.enrolled_at), ("ff", 1000));
        assert_eq!(row.ek_public, Some(vec![1, 5]));
        let codes: Vec<_> = db.events_after(0, 9).unwrap().into_iter().map(|e| e.code).collect();
        assert_eq!(codes, ["device.onboarded", "device.onboarded"]);
        assert_eq!(db.devices(RULES).unwrap().len(), 1);
    }

    fn who_vouches_for_a_device_is_kept_and_changes_when_it_is_onboarded_again(mut db: Db) {
        let id = db.enroll(&device(1), 1000).unwrap().id;
        let identity = |db: &mut Db| db.device(&id).unwrap().unwrap().identity;
        let by_ek = identity(&mut db);
        assert_eq!((by_ek.proofs, by_ek.maker), (vec!["endorsement-key".to_owned()], None));
        let maker = Maker {
            iak_sha256: "aa".into(),
            iak_issuer: "CN=Acme".into(),
            hardware_kind: "2.23.133.1.2".into(),
            hardware_serial: "37".into(),
        };
        let made = NewDevice { ek_issuer: None, maker: Some(maker.clone()), ..device(1) };
        assert_eq!(db.enroll(&made, 1001).unwrap().id, id, "the same TPM");
        let by_maker = identity(&mut db);
        assert_eq!((by_maker.proofs, by_maker.ek_issuer), (vec!["iak".to_owned()], None));
        assert_eq!(by_maker.maker, Some(maker.clone()));
        let events = db.newest_events(Some(&id), 1).unwrap();
        assert_eq!(events[0].detail["proofs"], "iak");
        assert!(events[0].message.starts_with("onboarded again"), "{}", events[0].message);
        let both = NewDevice { maker: Some(maker), ..device(1) };
        db.enroll(&both, 1002).unwrap();
        assert_eq!(identity(&mut db).proofs, ["endorsement-key", "iak"]);
        db.enroll(&device(1), 1003).unwrap();
        assert_eq!(identity(&mut db).proofs, ["endorsement-key"]);
    }

    fn a_device_is_not_taken_over_by_one_that_shows_its_endorsement_key(mut db: Db) {
        let maker = |serial: &str| Maker { hardware_serial: serial.into(), ..Maker::default() };
        let made = |serial| NewDevice { maker: Some(maker(serial)), ..device(1) };
        let id = db.enroll(&made("37"), 1000).unwrap().id;
        let other = NewDevice { idevid_sha256: "aa".into(), ..made("38") };
        let refused = db.enroll(&other, 1001).unwrap_err();
        assert_eq!(refused.code(), "fleet.conflict");
        assert!(refused.to_string().contains("whose module is 37"), "{refused}");
        // Ids are a part of a digest.
        let alike = format!("{}{:048x}", &device(1).ek_sha256[..16], 7);
        let other = NewDevice { ek_sha256: alike, idevid_sha256: "bb".into(), ..device(1) };
        assert_eq!(db.enroll(&other, 1002).unwrap_err().code(), "fleet.conflict");
        let kept = db.device(&id).unwrap().unwrap().identity;
        assert_eq!(kept.idevid_sha256, device(1).idevid_sha256);
        db.enroll(&made("37"), 1003).unwrap();
    }

    fn an_identity_can_not_move_to_another_tpm(mut db: Db) {
        db.enroll(&device(1), 1000).unwrap();
        let thief = NewDevice { idevid_sha256: device(1).idevid_sha256, ..device(2) };
        assert_eq!(db.enroll(&thief, 1001).unwrap_err().code(), "fleet.conflict");
        assert_eq!(db.devices(RULES).unwrap().len(), 1);
    }

    fn silence_is_unreachable_and_not_untrusted(mut db: Db) {
        let id = db.enroll(&device(1), 1000).unwrap().id;
        let summary = |db: &mut Db| db.devices(RULES).unwrap().remove(0);
        assert_eq!(summary(&mut db).contact, "never");
        assert_eq!(db.mark_unreachable(2000, 90, 1990).unwrap(), 0, "we were down ourselves");
        assert_eq!(db.mark_unreachable(1090, 90, 900).unwrap(), 0);
        assert_eq!(db.mark_unreachable(1091, 90, 900).unwrap(), 1);
        assert_eq!(db.mark_unreachable(1092, 90, 900).unwrap(), 0, "told once");
        let now = summary(&mut db);
        assert_eq!((now.contact.as_str(), now.tier.as_str()), ("unreachable", "none"));
        assert_eq!(db.newest_events(Some(&id), 1).unwrap()[0].code, "device.silent");
    }
}
