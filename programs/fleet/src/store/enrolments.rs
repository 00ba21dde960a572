//! Enrolments that an operator has to decide about: what waits, what was decided, and that a yes is good
//! for one certificate. A renewal of what there is does not come here.

use super::connection::{Fault, OptionalExtension};
use super::value::{Row, params};
use super::{Added, Db, NewCertificate, NewEvent, Redeemed, Write};
use crate::Error;
use crate::api::types::Enrolment;
use touchstone_audit::Code;

/// So many wait at most. Each takes about 400 octets.
const MOST: u64 = 10_000;
/// So many of them whom nobody invited, and who have shown nothing but a key.
const MOST_STRANGERS: u64 = 100;
/// What is over is kept for so long, in seconds.
const REMEMBERED: u64 = 7 * 86_400;

/// Somebody asks for a first certificate.
#[derive(Clone, Debug)]
pub struct NewEnrolment {
    /// The profile.
    pub profile: String,
    /// `est` or `scep`.
    pub protocol: &'static str,
    /// The device that it is for.
    pub device: Option<String>,
    /// The invitation, by its row.
    pub invitation: Option<i64>,
    /// The subject that the certificate would have, RFC 4514; without a device the common name alone.
    pub subject: String,
    /// Its other names, in words.
    pub names: Vec<String>,
    /// What kind of key it is for.
    pub key_kind: String,
    /// SHA-256 of the key, hexadecimal; empty where the fleet is to make it.
    pub spki_sha256: String,
    /// SCEP's transaction; empty for EST.
    pub transaction: String,
    /// For how long it waits, and for how long a decision is kept for whoever asked, in seconds.
    pub lasts: u64,
}

/// Where somebody who asks stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nobody has decided yet.
    Waits {
        /// Since when it waits.
        since: u64,
    },
    /// An operator said yes: the row that the certificate uses up.
    Approved(i64),
    /// An operator said no.
    Refused {
        /// Why.
        reason: String,
    },
    /// The certificate is there, and counts.
    Issued(Vec<u8>),
    /// The key waits for another subject, or the invitation for another key.
    Other,
    /// Too many wait.
    Full,
}

/// What a poll is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// Whom the certificate is for.
    pub subject: String,
    /// By which profile.
    pub profile: String,
    /// Where it stands; `None` when it waited too long.
    pub approval: Option<Admission>,
}

const COLUMNS: &str = "SELECT id, profile, protocol, device, invitation, subject, names, key_kind, spki_sha256,
                              transaction_id, since, expires, state, decided, operator, reason, issuer,
                              serial FROM enrolments";

struct Kept {
    shown: Enrolment,
    invitation: i64,
    transaction: String,
    issuer: Option<String>,
}

fn kept(row: &Row) -> Result<Kept, Fault> {
    let (names, invitation): (String, i64) = (row.get(6)?, row.get(4)?);
    Ok(Kept {
        shown: Enrolment {
            id: row.get(0)?,
            profile: row.get(1)?,
            protocol: row.get(2)?,
            device: row.get(3)?,
            invited: invitation != 0,
            subject: row.get(5)?,
            names: names.split('\n').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
            key: row.get(7)?,
            key_sha256: row.get(8)?,
            since: row.get(10)?,
            expires: row.get(11)?,
            state: row.get(12)?,
            decided: row.get(13)?,
            operator: row.get(14)?,
            reason: row.get(15)?,
            serial: row.get(17)?,
        },
        invitation,
        transaction: row.get(9)?,
        issuer: row.get(16)?,
    })
}

impl Db {
    /// Whether whoever asks may have the certificate; if nobody has decided, it waits from now on.
    pub fn ask_approval(&mut self, new: &NewEnrolment, now: u64) -> Result<Admission, Error> {
        self.write(|write| {
            let invitation = new.invitation.unwrap_or(0);
            if invitation != 0 && write.invitation_waits_for_another(invitation, new, now)? {
                return Ok(Admission::Other);
            }
            if let Some(known) = write.known_enrolment(new, now)? {
                if known.shown.subject != new.subject || known.shown.names != new.names {
                    return Ok(Admission::Other);
                }
                if let Some(stands) = write.stands(&known, now)? {
                    if known.transaction != new.transaction {
                        // It holds the key and begins anew (RFC 8894 §3.2.1.1).
                        write.tx.execute(
                            "UPDATE enrolments SET transaction_id = ?2 WHERE id = ?1",
                            params![known.shown.id, new.transaction],
                        )?;
                    }
                    return Ok(stands);
                }
            }
            let strangers = invitation == 0 && new.device.is_none();
            if write.waiting(strangers, now)? >= if strangers { MOST_STRANGERS } else { MOST } {
                return Ok(Admission::Full);
            }
            write.insert_enrolment(new, now)?;
            Ok(Admission::Waits { since: now })
        })
    }

    /// What a poll by this key and transaction is about (RFC 8894 §3.3.3).
    pub fn polled(
        &mut self,
        spki_sha256: &str,
        transaction: &str,
        now: u64,
    ) -> Result<Option<Polled>, Error> {
        self.write(|write| {
            let sql = format!(
                "{COLUMNS} WHERE tenant = ?1 AND spki_sha256 = ?2 AND protocol = 'scep'
                 ORDER BY id DESC LIMIT 1"
            );
            let mut select = write.tx.prepare_cached(&sql)?;
            let found = select.query_row(params![write.tenant, spki_sha256], kept).optional()?;
            let Some(found) = found.filter(|it| it.transaction == transaction) else {
                return Ok(None);
            };
            // One whose time is over stands nowhere.
            let approval = write.stands(&found, now)?;
            let Enrolment { subject, profile, .. } = found.shown;
            Ok(Some(Polled { subject, profile, approval }))
        })
    }

    /// Enrolments that wait, and what was decided lately; those that wait come first.
    pub fn enrolments(&mut self, now: u64) -> Result<Vec<Enrolment>, Error> {
        let sql = format!(
            "{COLUMNS} WHERE tenant = ?1 ORDER BY state = 'waiting' AND expires > ?2 DESC, id DESC
             LIMIT 1000"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map(params![self.tenant, now], kept)?;
        rows.map(|row| Ok(row?.shown_at(now))).collect()
    }

    /// An operator decides. A decision can be turned round until the certificate is issued.
    pub fn decide_enrolment(
        &mut self,
        id: i64,
        refused: Option<&str>,
        by: &str,
        now: u64,
    ) -> Result<Enrolment, Error> {
        self.write(|write| {
            let known = write.enrolment(id)?.map(|it| it.shown_at(now));
            let Some(known) = known else {
                return Err(Error::Unknown { what: "enrolment", name: id.to_string() });
            };
            let state = if refused.is_some() { "refused" } else { "approved" };
            if matches!(known.state.as_str(), "issued" | "expired") || known.state == state {
                return Err(Error::Conflict(format!("the enrolment {id} is {}", known.state)));
            }
            // Whoever asked has as long again to come for it.
            let expires = now.saturating_add(known.expires.saturating_sub(
                known.decided.unwrap_or(known.since),
            ));
            write.tx.execute(
                "UPDATE enrolments SET state = ?2, decided = ?3, operator = ?4, reason = ?5, expires = ?6
                 WHERE id = ?1",
                params![id, state, now, by, refused, expires],
            )?;
            let (code, words) = match refused {
                Some(reason) => {
                    (Code::CertDeclined, format!("{by} refuses {}: {reason}", known.subject))
                }
                None => (Code::CertApproved, format!("{by} lets {} enrol", known.subject)),
            };
            let mut event = known.event(code, words).with("operator", by);
            if let Some(reason) = refused {
                event = event.with("reason", reason);
            }
            write.event(now, &event)?;
            let (operator, reason) = (Some(by.to_owned()), refused.map(str::to_owned));
            let (state, decided) = (state.to_owned(), Some(now));
            Ok(Enrolment { expires, state, decided, operator, reason, ..known })
        })
    }

    /// Uses an approval up and records the certificate for it, both or neither; an invitation that it rests
    /// on is used up as well, also if its time is over by now.
    pub fn redeem_approved(
        &mut self,
        id: i64,
        new: &NewCertificate,
        now: u64,
    ) -> Result<Redeemed, Error> {
        self.write(|write| {
            let Some(known) = write.enrolment(id)? else { return Ok(Redeemed::Not) };
            match write.stands(&known, now)? {
                Some(Admission::Issued(der)) => return Ok(Redeemed::Before(der)),
                Some(Admission::Approved(_)) if known.is_for(&new.spki_sha256) => {}
                _ => return Ok(Redeemed::Not),
            }
            if known.invitation != 0 {
                let used = write.tx.execute(
                    "UPDATE invitations SET used = ?1, spki_sha256 = ?2, serial = ?3
                     WHERE id = ?4 AND tenant = ?5 AND used IS NULL",
                    params![now, new.spki_sha256, new.serial, known.invitation, write.tenant],
                )?;
                if used == 0 {
                    return Ok(Redeemed::Not);
                }
            }
            write.issued_for(id, new)?;
            write.add_certificate(new, now)?;
            Ok(Redeemed::Now)
        })
    }

    /// The same for a certificate that a device asked for.
    pub fn add_approved(
        &mut self,
        id: i64,
        new: &NewCertificate,
        bound: bool,
        since: u64,
        now: u64,
    ) -> Result<Added, Error> {
        self.write(|write| {
            let known = write.enrolment(id)?;
            let stands = known.as_ref().map(|known| write.stands(known, now)).transpose()?;
            let good = known.is_some_and(|known| known.is_for(&new.spki_sha256))
                && matches!(stands.flatten(), Some(Admission::Approved(_)));
            if !good {
                let words = "the approval was used, or taken back; ask again".to_owned();
                write.told_of_signed(new, "est.approval.used", &words, now)?;
                return Ok(Added::Not { code: "est.approval.used", words });
            }
            let added = write.add_requested(new, None, bound, since, now)?;
            if added == Added::Now {
                write.issued_for(id, new)?;
            }
            Ok(added)
        })
    }
}

impl Kept {
    /// As it is shown: one whose time is over says so.
    fn shown_at(self, now: u64) -> Enrolment {
        let over = self.shown.expires <= now && self.shown.state != "issued";
        let state = if over { "expired".to_owned() } else { self.shown.state.clone() };
        Enrolment { state, ..self.shown }
    }

    fn is_for(&self, spki_sha256: &str) -> bool {
        self.shown.key_sha256.is_empty() || self.shown.key_sha256 == spki_sha256
    }
}

impl Enrolment {
    fn event(&self, code: Code, words: String) -> NewEvent {
        let about = self.device.as_deref().unwrap_or(&self.subject);
        NewEvent::new(code, about, words)
            .with("enrolment", self.id)
            .with("profile", self.profile.as_str())
            .with("protocol", self.protocol.as_str())
            .with("subject", self.subject.as_str())
            .with("key_sha256", self.key_sha256.as_str())
    }
}

impl Write<'_> {
    fn enrolment(&self, id: i64) -> Result<Option<Kept>, Error> {
        let sql = format!("{COLUMNS} WHERE tenant = ?1 AND id = ?2");
        let mut select = self.tx.prepare_cached(&sql)?;
        Ok(select.query_row(params![self.tenant, id], kept).optional()?)
    }

    /// What is known of whoever asks again, and not over.
    fn known_enrolment(&self, new: &NewEnrolment, now: u64) -> Result<Option<Kept>, Error> {
        let sql = format!(
            "{COLUMNS} WHERE tenant = ?1 AND spki_sha256 = ?2 AND profile = ?3 AND invitation = ?4
                             AND protocol = ?5 AND expires > ?6 ORDER BY id DESC LIMIT 1"
        );
        let mut select = self.tx.prepare_cached(&sql)?;
        let (tenant, invitation) = (self.tenant, new.invitation.unwrap_or(0));
        let NewEnrolment { spki_sha256, profile, protocol, .. } = new;
        let wanted = params![tenant, spki_sha256, profile, invitation, protocol, now];
        let found = select.query_row(wanted, kept).optional()?;
        Ok(found.filter(|known| known.shown.device == new.device))
    }

    fn invitation_waits_for_another(
        &self,
        invitation: i64,
        new: &NewEnrolment,
        now: u64,
    ) -> Result<bool, Error> {
        let sql = "SELECT count(*) FROM enrolments WHERE tenant = ?1 AND invitation = ?2
                   AND spki_sha256 <> ?3 AND expires > ?4";
        let mut select = self.tx.prepare_cached(sql)?;
        let wanted = params![self.tenant, invitation, new.spki_sha256, now];
        let waits: u64 = select.query_row(wanted, |row| row.get(0))?;
        Ok(waits > 0)
    }

    /// Where it stands; `None` when it has to be asked for anew, since what was issued counts no more.
    fn stands(&self, known: &Kept, now: u64) -> Result<Option<Admission>, Error> {
        let Enrolment { id, since, expires, state, reason, serial, .. } = &known.shown;
        Ok(match state.as_str() {
            _ if *expires <= now => None,
            "waiting" => Some(Admission::Waits { since: *since }),
            "approved" => Some(Admission::Approved(*id)),
            "refused" => Some(Admission::Refused { reason: reason.clone().unwrap_or_default() }),
            _ => {
                let sql = "SELECT der FROM certificates WHERE serial = ?1 AND issuer = ?2
                           AND revoked_at IS NULL AND not_after > ?3";
                let mut select = self.tx.prepare_cached(sql)?;
                let der = select.query_row(params![serial, known.issuer, now], |row| row.get(0));
                der.optional()?.map(Admission::Issued)
            }
        })
    }

    fn waiting(&self, strangers: bool, now: u64) -> Result<u64, Error> {
        let whom = if strangers { "AND invitation = 0 AND device IS NULL" } else { "" };
        let sql = format!(
            "SELECT count(*) FROM enrolments
             WHERE tenant = ?1 AND state = 'waiting' AND expires > ?2 {whom}"
        );
        let mut select = self.tx.prepare_cached(&sql)?;
        Ok(select.query_row(params![self.tenant, now], |row| row.get(0))?)
    }

    fn insert_enrolment(&self, new: &NewEnrolment, now: u64) -> Result<(), Error> {
        self.tx.execute(
            "DELETE FROM enrolments WHERE tenant = ?1 AND expires < ?2",
            params![self.tenant, now.saturating_sub(REMEMBERED)],
        )?;
        let expires = now.saturating_add(new.lasts);
        let id: i64 = self.tx.query_row(
            "INSERT INTO enrolments (tenant, profile, protocol, device, invitation, subject, names,
                                     key_kind, spki_sha256, transaction_id, since, expires, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 'waiting') RETURNING id",
            params![
                self.tenant,
                new.profile,
                new.protocol,
                new.device,
                new.invitation.unwrap_or(0),
                new.subject,
                new.names.join("\n"),
                new.key_kind,
                new.spki_sha256,
                new.transaction,
                now,
                expires
            ],
            |row| row.get(0),
        )?;
        let Some(known) = self.enrolment(id)? else {
            return Err(Error::Row { what: "enrolment" });
        };
        let words = format!(
            "{} asks for a certificate by the profile `{}` and waits for an operator",
            new.subject, new.profile
        );
        let event = known.shown.event(Code::CertWaiting, words);
        self.event(now, &event.with("invited", known.shown.invited).with("expires", expires))
    }

    fn issued_for(&self, id: i64, new: &NewCertificate) -> Result<(), Error> {
        self.tx.execute(
            "UPDATE enrolments SET state = 'issued', issuer = ?2, serial = ?3 WHERE id = ?1",
            params![id, new.issuer, new.serial],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::certificates::tests::ldevid;

    on_both! {
        a_yes_is_good_for_one_certificate_for_the_key_that_asked
        a_no_is_told_until_it_is_over_and_can_be_turned_round
        another_key_transaction_or_subject_is_not_what_waits
        what_waits_is_bounded_and_ends
    }

    fn stranger(number: u64) -> NewEnrolment {
        NewEnrolment {
            profile: "client".into(),
            protocol: "scep",
            device: None,
            invitation: None,
            subject: format!("pump-{number}"),
            names: Vec::new(),
            key_kind: "rsa-2048".into(),
            spki_sha256: format!("key-{number}"),
            transaction: format!("t-{number}"),
            lasts: 100,
        }
    }

    fn certificate(number: u64, serial: &str) -> NewCertificate {
        NewCertificate {
            device: None,
            kind: "client",
            profile: "client".into(),
            spki_sha256: format!("key-{number}"),
            ..ldevid("x", serial, 10)
        }
    }

    fn only(db: &mut Db, now: u64) -> Enrolment {
        let mut all = db.enrolments(now).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn a_yes_is_good_for_one_certificate_for_the_key_that_asked(mut db: Db) {
        let new = stranger(1);
        assert_eq!(db.ask_approval(&new, 10).unwrap(), Admission::Waits { since: 10 });
        assert_eq!(db.ask_approval(&new, 50).unwrap(), Admission::Waits { since: 10 });
        let id = only(&mut db, 50).id;
        assert_eq!(db.redeem_approved(id, &certificate(1, "0A"), 51).unwrap(), Redeemed::Not);
        let decided = db.decide_enrolment(id, None, "anna", 60).unwrap();
        assert_eq!((decided.state.as_str(), decided.expires), ("approved", 160), "as long again");
        assert_eq!(db.decide_enrolment(id, None, "anna", 61).unwrap_err().code(), "fleet.conflict");
        assert_eq!(db.ask_approval(&new, 62).unwrap(), Admission::Approved(id));
        assert_eq!(
            db.redeem_approved(id, &certificate(2, "0B"), 63).unwrap(),
            Redeemed::Not,
            "another key"
        );
        assert_eq!(db.redeem_approved(id, &certificate(1, "0A"), 64).unwrap(), Redeemed::Now);
        let der = b"0A".to_vec();
        assert_eq!(
            db.redeem_approved(id, &certificate(1, "0C"), 65).unwrap(),
            Redeemed::Before(der.clone())
        );
        assert_eq!(db.ask_approval(&new, 66).unwrap(), Admission::Issued(der.clone()));
        let polled = db.polled("key-1", "t-1", 67).unwrap().unwrap();
        assert_eq!(polled.approval, Some(Admission::Issued(der)));
        assert_eq!(
            db.decide_enrolment(id, Some("late"), "anna", 68).unwrap_err().code(),
            "fleet.conflict"
        );
        db.revoke_certificate("0A", None, "superseded", 69).unwrap();
        assert_eq!(db.ask_approval(&new, 70).unwrap(), Admission::Waits { since: 70 }, "anew");
        let told = db.events_after(0, 99).unwrap();
        let codes: Vec<&str> = told.iter().map(|event| event.code.as_str()).collect();
        let wanted =
            ["cert.waiting", "cert.approved", "cert.issued", "cert.revoked", "cert.waiting"];
        assert_eq!(codes, wanted);
    }

    fn a_no_is_told_until_it_is_over_and_can_be_turned_round(mut db: Db) {
        let new = stranger(1);
        db.ask_approval(&new, 10).unwrap();
        let id = only(&mut db, 10).id;
        db.decide_enrolment(id, Some("not one of ours"), "anna", 20).unwrap();
        let refused = Admission::Refused { reason: "not one of ours".into() };
        assert_eq!(db.ask_approval(&new, 21).unwrap(), refused);
        assert_eq!(db.polled("key-1", "t-1", 21).unwrap().unwrap().approval, Some(refused));
        db.decide_enrolment(id, None, "bert", 22).unwrap();
        assert_eq!(db.ask_approval(&new, 23).unwrap(), Admission::Approved(id));
        db.decide_enrolment(id, Some("after all"), "bert", 24).unwrap();
        assert_eq!(db.redeem_approved(id, &certificate(1, "0A"), 25).unwrap(), Redeemed::Not);
        let told = db.newest_events(None, 1).unwrap();
        assert_eq!(
            (told[0].code.as_str(), &told[0].detail["reason"]),
            ("cert.declined", &"after all".into())
        );
        assert_eq!(
            db.add_approved(id, &certificate(1, "0A"), false, 0, 26).unwrap(),
            Added::Not {
                code: "est.approval.used",
                words: "the approval was used, or taken back; ask again".into()
            }
        );
        assert_eq!(only(&mut db, 999).state, "expired");
        assert_eq!(db.ask_approval(&new, 999).unwrap(), Admission::Waits { since: 999 }, "anew");
    }

    fn another_key_transaction_or_subject_is_not_what_waits(mut db: Db) {
        let new = stranger(1);
        db.ask_approval(&new, 10).unwrap();
        assert_eq!(db.polled("key-2", "t-1", 11).unwrap(), None, "another key");
        assert_eq!(db.polled("key-1", "t-2", 11).unwrap(), None, "another transaction");
        let other = NewEnrolment { subject: "pump-9".into(), ..new.clone() };
        assert_eq!(db.ask_approval(&other, 12).unwrap(), Admission::Other);
        // Whoever has the key begins anew: the transaction of before is over.
        let anew = NewEnrolment { transaction: "t-3".into(), ..new };
        assert_eq!(db.ask_approval(&anew, 13).unwrap(), Admission::Waits { since: 10 });
        assert_eq!(db.polled("key-1", "t-1", 14).unwrap(), None);
        assert!(db.polled("key-1", "t-3", 14).unwrap().is_some());
        // One invitation, one key.
        let invited = NewEnrolment { invitation: Some(7), ..stranger(2) };
        assert_eq!(db.ask_approval(&invited, 15).unwrap(), Admission::Waits { since: 15 });
        let second = NewEnrolment { invitation: Some(7), ..stranger(3) };
        assert_eq!(db.ask_approval(&second, 16).unwrap(), Admission::Other);
    }

    fn what_waits_is_bounded_and_ends(mut db: Db) {
        for number in 0..MOST_STRANGERS {
            let waits = db.ask_approval(&stranger(number), 10).unwrap();
            assert_eq!(waits, Admission::Waits { since: 10 });
        }
        assert_eq!(db.ask_approval(&stranger(900), 11).unwrap(), Admission::Full);
        let invited = NewEnrolment { invitation: Some(7), ..stranger(901) };
        assert_eq!(
            db.ask_approval(&invited, 11).unwrap(),
            Admission::Waits { since: 11 },
            "strangers are in nobody's way"
        );
        let over = db.polled("key-1", "t-1", 110).unwrap().unwrap();
        assert_eq!(over.approval, None);
        let late = db.enrolments(200).unwrap()[0].id;
        assert_eq!(
            db.decide_enrolment(late, None, "anna", 200).unwrap_err().code(),
            "fleet.conflict"
        );
        assert_eq!(db.ask_approval(&stranger(900), 110).unwrap(), Admission::Waits { since: 110 });
        db.ask_approval(&stranger(902), 112 + REMEMBERED).unwrap();
        assert_eq!(db.enrolments(113 + REMEMBERED).unwrap().len(), 2, "what is over is forgotten");
    }
}
