//! Certificates that the fleet issued, and their status.

use super::connection::Fault;
use super::connection::OptionalExtension;
use super::value::{Row, params};
use super::{Db, NewEvent, Standing, Write};
use crate::Error;
use crate::api::types::{Certificate, CertificateSummary, Feed};
use crate::authority::UPSTREAM;
use touchstone_audit::Code;

/// A certificate that was just signed.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    /// Upper-case hexadecimal.
    pub serial: String,
    /// The device it is for, if it is an LDevID.
    pub device: Option<String>,
    /// `device`, `checkpoint`, `server`, `client`, `ocsp`, `ca`, `other`.
    pub kind: &'static str,
    /// The profile by which it was issued.
    pub profile: String,
    /// SHA-256 of its issuer's key, hexadecimal.
    pub issuer: String,
    /// The CRL in which it would stand.
    pub crl: String,
    /// RFC 4514.
    pub subject: String,
    /// SHA-256 of its key, hexadecimal.
    pub spki_sha256: String,
    /// RFC 7638 thumbprint of its key.
    pub jkt: String,
    /// The certificate.
    pub der: Vec<u8>,
    /// The start of its validity.
    pub not_before: u64,
    /// The end of its validity.
    pub not_after: u64,
}

/// What came of recording a certificate that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is recorded.
    Now,
    /// Another one for the same key was a moment ago, and counts in its place.
    Before(Box<CertificateRow>),
    /// The device may not have one.
    Not {
        /// The stable code.
        code: &'static str,
        /// Why, and what to do.
        words: String,
    },
}

/// Whether a certificate counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Good,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked {
        /// When.
        at: u64,
        /// Why.
        reason: String,
    },
}

impl Status {
    /// The word in answers.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Expired => "expired",
            Self::Revoked { .. } => "revoked",
        }
    }
}

/// A certificate as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRow {
    /// Upper-case hexadecimal.
    pub serial: String,
    /// The device it is for.
    pub device: Option<String>,
    /// `device`, `checkpoint`, `server`, `client`, `ocsp`, `ca`, `other`.
    pub kind: String,
    /// The profile by which it was issued.
    pub profile: String,
    /// SHA-256 of its issuer's key, hexadecimal.
    pub issuer: String,
    /// RFC 4514.
    pub subject: String,
    /// SHA-256 of its key, hexadecimal.
    pub spki_sha256: String,
    /// RFC 7638 thumbprint of its key.
    pub jkt: String,
    /// The certificate.
    pub der: Vec<u8>,
    /// The start of its validity.
    pub not_before: u64,
    /// The end of its validity.
    pub not_after: u64,
    /// Whether it counts.
    pub status: Status,
}

const COLUMNS: &str = "SELECT serial, device, kind, subject, spki_sha256, jkt, der, not_before,
                              not_after, revoked_at, reason, profile, issuer FROM certificates";

impl Db {
    /// Records a certificate before anybody sees it.
    pub fn add_certificate(&mut self, new: &NewCertificate, now: u64) -> Result<(), Error> {
        self.write(|write| write.add_certificate(new, now))
    }

    /// Records a certificate that somebody asked for: a device's only while its verdict allows one.
    /// Whoever asked for the same key a moment ago, after `since`, gets what was recorded then.
    pub fn add_requested(
        &mut self,
        new: &NewCertificate,
        bound: bool,
        since: u64,
        now: u64,
    ) -> Result<Added, Error> {
        self.write(|write| {
            if let (true, Some(device)) = (bound, &new.device)
                && let Standing::No { code, words } = write.standing(device, now)?
            {
                return Ok(Added::Not { code, words });
            }
            if let Some(row) = write.recorded_since(&new.profile, &new.spki_sha256, since, now)?
                && row.device == new.device
                && row.subject == new.subject
            {
                return Ok(Added::Before(Box::new(row)));
            }
            write.add_certificate(new, now)?;
            if bound {
                write.supersede(new, now)?;
            }
            Ok(Added::Now)
        })
    }

    /// Records a certificate of the CA itself, unless it is recorded.
    pub fn ensure_certificate(&mut self, new: &NewCertificate, now: u64) -> Result<(), Error> {
        self.write(|write| {
            let known: bool = write
                .tx
                .prepare_cached("SELECT count(*) FROM certificates WHERE serial = ?1")?
                .query_row([&new.serial], |row| row.get(0))?;
            if known { Ok(()) } else { write.add_certificate(new, now) }
        })
    }

    /// What was issued before a fleet had more than one issuing CA is this one's.
    pub fn adopt_certificates(&mut self, issuer: &str) -> Result<(), Error> {
        self.write(|write| {
            let sql = "UPDATE certificates SET issuer = ?1 WHERE issuer = ''";
            write.tx.execute(sql, [issuer])?;
            Ok(())
        })
    }

    /// Whether the device may have a certificate now.
    pub fn standing(&mut self, device: &str, now: u64) -> Result<Standing, Error> {
        self.write(|write| write.standing(device, now))
    }

    /// The newest good certificate by that profile for that key, if it was issued after `since`.
    pub fn recorded_since(
        &mut self,
        profile: &str,
        spki_sha256: &str,
        since: u64,
        now: u64,
    ) -> Result<Option<CertificateRow>, Error> {
        self.write(|write| write.recorded_since(profile, spki_sha256, since, now))
    }

    /// The certificate with that serial number.
    pub fn certificate(&mut self, serial: &str, now: u64) -> Result<Option<CertificateRow>, Error> {
        let sql = format!("{COLUMNS} WHERE serial = ?1");
        let mut select = self.connection.prepare_cached(&sql)?;
        Ok(select.query_row([serial], |row| certificate(row, now)).optional()?)
    }

    /// The certificates of a device, newest first.
    pub fn certificates_of(
        &mut self,
        device: &str,
        limit: u32,
        now: u64,
    ) -> Result<Vec<CertificateRow>, Error> {
        let sql =
            format!("{COLUMNS} WHERE device = ?1 ORDER BY not_before DESC, rowid DESC LIMIT ?2");
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map(params![device, limit], |row| certificate(row, now))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// The newest good certificate of a device.
    pub fn current_certificate(
        &mut self,
        device: &str,
        now: u64,
    ) -> Result<Option<CertificateRow>, Error> {
        let sql = format!(
            "{COLUMNS} WHERE device = ?1 AND kind = 'device' AND revoked_at IS NULL
                             AND not_after > ?2 ORDER BY not_before DESC, rowid DESC LIMIT 1"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        Ok(select.query_row(params![device, now], |row| certificate(row, now)).optional()?)
    }

    /// Revokes one certificate.
    pub fn revoke_certificate(
        &mut self,
        serial: &str,
        reason: &str,
        now: u64,
    ) -> Result<CertificateRow, Error> {
        self.write(|write| {
            let sql = format!("{COLUMNS} WHERE serial = ?1");
            let mut select = write.tx.prepare_cached(&sql)?;
            let row = select
                .query_row([serial], |row| certificate(row, now))
                .optional()?
                .ok_or_else(|| Error::Unknown { what: "certificate", name: serial.to_owned() })?;
            match &row.status {
                Status::Revoked { .. } => {
                    return Err(Error::Conflict(format!("{serial} is revoked already")));
                }
                Status::Expired => return Err(Error::Conflict(format!("{serial} has expired"))),
                Status::Good if row.kind == "ca" => {
                    let words = "a CA's certificate is revoked by its root, not here";
                    return Err(Error::Conflict(words.to_owned()));
                }
                Status::Good => {}
            }
            write.revoke(&row, reason, now)?;
            Ok(row)
        })
    }

    /// How many certificates of that CA were revoked, and when the last one was.
    pub fn revocations(&mut self, issuer: &str) -> Result<(u64, u64), Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT count(*), coalesce(max(revoked_at), 0) FROM certificates
             WHERE issuer = ?1 AND revoked_at IS NOT NULL",
        )?;
        Ok(select.query_row([issuer], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// The CRLs that certificates of that CA would stand in.
    pub fn crl_lists(&mut self, issuer: &str) -> Result<Vec<String>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT DISTINCT crl FROM certificates WHERE issuer = ?1")?;
        let rows = select.query_map([issuer], |row| row.get(0))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// The CRL in which that certificate of that CA would stand.
    pub fn crl_of(&mut self, serial: &str, issuer: &str) -> Result<Option<String>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT crl FROM certificates WHERE serial = ?1 AND issuer = ?2")?;
        Ok(select.query_row([serial, issuer], |row| row.get(0)).optional()?)
    }

    /// What that CA revoked since a time, of certificates that were valid after `end`: serial number,
    /// time and reason. Of one CRL, or of all.
    pub fn revoked(
        &mut self,
        issuer: &str,
        crl: Option<&str>,
        since: u64,
        end: u64,
    ) -> Result<Vec<(String, u64, String)>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT serial, revoked_at, coalesce(reason, '') FROM certificates
             WHERE issuer = ?1 AND revoked_at >= ?2 AND not_after > ?3
                   AND (crl = ?4 OR ?4 IS NULL) ORDER BY revoked_at, serial",
        )?;
        let rows = select.query_map(params![issuer, since, end, crl], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// A number that no CRL of that name has had.
    pub fn next_crl_number(&mut self, issuer: &str, crl: &str) -> Result<u64, Error> {
        self.write(|write| {
            Ok(write.tx.query_row(
                "INSERT INTO crls (name, issuer, tenant, number) VALUES (?1, ?2, ?3, 1)
                 ON CONFLICT (issuer, name) DO UPDATE SET number = crls.number + 1 RETURNING number",
                params![crl, issuer, write.tenant],
                |row| row.get(0),
            )?)
        })
    }

    /// The newest certificate of a device in one cell; `None` if there is no such device.
    pub(super) fn newest_certificate(
        &mut self,
        device: &str,
        now: u64,
    ) -> Result<Option<CertificateSummary>, Error> {
        let known: bool = self
            .connection
            .prepare_cached("SELECT count(*) FROM devices WHERE id = ?1")?
            .query_row([device], |row| row.get(0))?;
        if !known {
            return Ok(None);
        }
        let newest = self.certificates_of(device, 1, now)?.pop();
        Ok(Some(newest.map_or_else(
            || CertificateSummary { serial: String::new(), not_after: 0, status: "none".into() },
            |row| CertificateSummary {
                serial: row.serial,
                not_after: row.not_after,
                status: row.status.name().into(),
            },
        )))
    }
}

impl Write<'_> {
    fn recorded_since(
        &self,
        profile: &str,
        spki_sha256: &str,
        since: u64,
        now: u64,
    ) -> Result<Option<CertificateRow>, Error> {
        let sql = format!(
            "{COLUMNS} WHERE spki_sha256 = ?2 AND profile = ?1 AND issued >= ?3
                             AND revoked_at IS NULL AND not_after > ?4
             ORDER BY rowid DESC LIMIT 1"
        );
        let mut select = self.tx.prepare_cached(&sql)?;
        let found = params![profile, spki_sha256, since, now];
        Ok(select.query_row(found, |row| certificate(row, now)).optional()?)
    }

    pub(super) fn add_certificate(&self, new: &NewCertificate, now: u64) -> Result<(), Error> {
        self.tx.execute(
            "INSERT INTO certificates (serial, tenant, device, kind, subject, spki_sha256, jkt,
                                           der, not_before, not_after, profile, issuer, crl, issued)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                new.serial,
                self.tenant,
                new.device,
                new.kind,
                new.subject,
                new.spki_sha256,
                new.jkt,
                new.der,
                new.not_before,
                new.not_after,
                new.profile,
                new.issuer,
                new.crl,
                now
            ],
        )?;
        let subject = new.device.as_deref().unwrap_or(&new.subject);
        let words = format!("{} certificate issued to {}", new.kind, new.subject);
        let event = NewEvent::new(Code::CertIssued, subject, words)
            .with("serial", new.serial.as_str())
            .with("kind", new.kind)
            .with("profile", new.profile.as_str())
            .with("issuer", new.issuer.as_str())
            .with("not_after", new.not_after)
            .with("key_sha256", new.spki_sha256.as_str());
        self.event(now, &event)
    }

    /// A device has one key by each profile that follows its verdict: certificates for the keys of
    /// before are worth nothing any more.
    fn supersede(&self, new: &NewCertificate, now: u64) -> Result<(), Error> {
        let Some(device) = new.device.as_deref().filter(|_| new.kind == "device") else {
            return Ok(());
        };
        let before: Vec<CertificateRow> = {
            let sql = format!(
                "{COLUMNS} WHERE device = ?1 AND profile = ?2 AND spki_sha256 <> ?3
                                 AND revoked_at IS NULL AND not_after > ?4"
            );
            let mut select = self.tx.prepare_cached(&sql)?;
            let known = params![device, new.profile, new.spki_sha256, now];
            let rows = select.query_map(known, |row| certificate(row, now))?;
            rows.collect::<Result<_, _>>()?
        };
        for row in &before {
            self.revoke(row, "superseded", now)?;
        }
        Ok(())
    }

    /// Revokes every good certificate of a device; how many there were.
    pub(super) fn revoke_device(
        &self,
        device: &str,
        reason: &str,
        now: u64,
    ) -> Result<usize, Error> {
        let good: Vec<CertificateRow> = {
            let sql =
                format!("{COLUMNS} WHERE device = ?1 AND revoked_at IS NULL AND not_after > ?2");
            let mut select = self.tx.prepare_cached(&sql)?;
            let rows = select.query_map(params![device, now], |row| certificate(row, now))?;
            rows.collect::<Result<_, _>>()?
        };
        for row in &good {
            self.revoke(row, reason, now)?;
        }
        Ok(good.len())
    }
}

impl Write<'_> {
    fn revoke(&self, row: &CertificateRow, reason: &str, now: u64) -> Result<(), Error> {
        self.tx
            .prepare_cached(
                "UPDATE certificates SET revoked_at = ?2, reason = ?3 WHERE serial = ?1",
            )?
            .execute(params![row.serial, now, reason])?;
        let device = row.device.as_deref().unwrap_or_default();
        let line = Feed::Revoked {
            seq: 0,
            device: device.to_owned(),
            serial: row.serial.clone(),
            jkt: row.jkt.clone(),
            reason: reason.to_owned(),
        };
        self.feed(device, &line, row.not_after)?;
        let words = format!("certificate of {} revoked: {reason}", row.subject);
        let about = row.device.as_deref().unwrap_or(&row.subject);
        let event = NewEvent::new(Code::CertRevoked, about, words)
            .with("serial", row.serial.as_str())
            .with("reason", reason);
        self.event(now, &event)?;
        self.revoked_here_only(row, about, now)
    }
}

impl Write<'_> {
    /// EST has no words for revocation: the fleet and its checkpoints refuse the certificate, and
    /// everybody else does when its CA revokes it, too.
    fn revoked_here_only(&self, row: &CertificateRow, about: &str, now: u64) -> Result<(), Error> {
        let Some(upstream) = row.issuer.strip_prefix(UPSTREAM) else { return Ok(()) };
        let words = format!(
            "{} is refused by this fleet alone; have the CA `{upstream}` revoke {} as well",
            row.subject, row.serial
        );
        let event = NewEvent::new(Code::CertRevokedHere, about, words)
            .with("serial", row.serial.as_str())
            .with("upstream", upstream);
        self.event(now, &event)
    }
}

impl From<CertificateRow> for Certificate {
    fn from(row: CertificateRow) -> Self {
        let status = row.status.name().to_owned();
        let (revoked_at, reason) = match row.status {
            Status::Revoked { at, reason } => (Some(at), Some(reason)),
            Status::Good | Status::Expired => (None, None),
        };
        Self {
            serial: row.serial,
            kind: row.kind,
            subject: row.subject,
            not_before: row.not_before,
            not_after: row.not_after,
            status,
            revoked_at,
            reason,
        }
    }
}

fn certificate(row: &Row, now: u64) -> Result<CertificateRow, Fault> {
    let not_after: u64 = row.get(8)?;
    let status = match row.get(9)? {
        Some(at) => {
            Status::Revoked { at, reason: row.get::<Option<String>>(10)?.unwrap_or_default() }
        }
        None if not_after <= now => Status::Expired,
        None => Status::Good,
    };
    Ok(CertificateRow {
        serial: row.get(0)?,
        device: row.get(1)?,
        kind: row.get(2)?,
        subject: row.get(3)?,
        spki_sha256: row.get(4)?,
        jkt: row.get(5)?,
        der: row.get(6)?,
        not_before: row.get(7)?,
        not_after,
        status,
        profile: row.get(11)?,
        issuer: row.get(12)?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::devices::tests::device;

    on_both! {
        revoking_a_device_revokes_what_is_good_and_tells_everybody
        a_serial_number_is_never_used_twice
    }

    pub(crate) fn ldevid(device: &str, serial: &str, from: u64) -> NewCertificate {
        NewCertificate {
            serial: serial.into(),
            device: Some(device.into()),
            kind: "device",
            profile: "device".into(),
            issuer: "ca".into(),
            crl: "issuing".into(),
            subject: format!("CN={device}"),
            spki_sha256: format!("key-{serial}"),
            jkt: format!("jkt-{serial}"),
            der: serial.as_bytes().to_vec(),
            not_before: from,
            not_after: from + 100,
        }
    }

    fn revoking_a_device_revokes_what_is_good_and_tells_everybody(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        db.add_certificate(&ldevid(&id, "0A", 10), 10).unwrap();
        db.add_certificate(&ldevid(&id, "0B", 150), 150).unwrap();
        let count = db.write(|w| w.revoke_device(&id, "contraindicated", 160)).unwrap();
        assert_eq!(count, 1, "the expired one stays as it is");
        assert_eq!(db.certificate("0A", 160).unwrap().unwrap().status, Status::Expired);
        let status = db.certificate("0B", 160).unwrap().unwrap().status;
        assert_eq!(status, Status::Revoked { at: 160, reason: "contraindicated".into() });
        assert_eq!(db.current_certificate(&id, 160).unwrap(), None);
        assert_eq!(db.certificate("0C", 160).unwrap(), None);
        let feed = db.feed_after(0, 10).unwrap();
        assert!(matches!(&feed[..], [Feed::Revoked { seq: 1, jkt, .. }] if jkt == "jkt-0B"));
        assert_eq!(db.write(|w| w.revoke_device(&id, "again", 161)).unwrap(), 0);
        assert_eq!(db.prune_feed(251).unwrap(), 1);
    }

    fn a_serial_number_is_never_used_twice(mut db: Db) {
        db.add_certificate(&ldevid("dev-1", "0A", 10), 10).unwrap();
        db.add_certificate(&ldevid("dev-2", "0A", 11), 11).unwrap_err();
        assert_eq!(db.certificate("0A", 12).unwrap().unwrap().device.as_deref(), Some("dev-1"));
    }
}
