//! Certificates that the fleet issued, and their status.

use super::{Db, NewEvent, Write};
use crate::Error;
use crate::api::types::{Certificate, CertificateSummary, Feed};
use rusqlite::{OptionalExtension, Row, params};
use touchstone_audit::Code;

/// A certificate that was just signed.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    /// Upper-case hexadecimal.
    pub serial: String,
    /// The device it is for, if it is an LDevID.
    pub device: Option<String>,
    /// `device`, `checkpoint`, `server`, `client`, `ocsp`.
    pub kind: &'static str,
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
    /// `device`, `checkpoint`, `server`, `client`, `ocsp`.
    pub kind: String,
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
                              not_after, revoked_at, reason FROM certificates";

impl Db {
    /// Records a certificate before anybody sees it.
    pub fn add_certificate(&mut self, new: &NewCertificate, now: u64) -> Result<(), Error> {
        self.write(|write| write.add_certificate(new, now))
    }

    /// Records a device's certificate, if its verdict still allows one: `Err` in words otherwise.
    pub fn add_device_certificate(
        &mut self,
        new: &NewCertificate,
        now: u64,
    ) -> Result<Result<(), String>, Error> {
        self.write(|write| {
            let device = new.device.as_deref().unwrap_or_default();
            let standing = write.standing(device, now)?;
            if standing.is_ok() {
                write.add_certificate(new, now)?;
            }
            Ok(standing)
        })
    }

    /// Whether the device's last verdict is affirming and still counts: `Err` in words otherwise.
    pub fn standing(&mut self, device: &str, now: u64) -> Result<Result<(), String>, Error> {
        self.write(|write| write.standing(device, now))
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
            "{COLUMNS} WHERE device = ?1 AND revoked_at IS NULL AND not_after > ?2
             ORDER BY not_before DESC, rowid DESC LIMIT 1"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        Ok(select.query_row(params![device, now], |row| certificate(row, now)).optional()?)
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
    fn standing(&self, device: &str, now: u64) -> Result<Result<(), String>, Error> {
        let last: Option<(String, u64)> = self
            .tx
            .prepare_cached(
                "SELECT tier, expires FROM results WHERE device = ?1 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([device], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(match last {
            None => Err("the device has not attested yet; attest first".to_owned()),
            Some((tier, _)) if tier != "affirming" => {
                Err(format!("the verdict is {tier}; a certificate needs an affirming one"))
            }
            Some((_, expires)) if expires <= now => {
                Err("the verdict is too old; attest again first".to_owned())
            }
            Some(_) => Ok(()),
        })
    }

    fn add_certificate(&self, new: &NewCertificate, now: u64) -> Result<(), Error> {
        self.tx.execute(
            "INSERT INTO certificates (serial, tenant, device, kind, subject, spki_sha256, jkt,
                                           der, not_before, not_after)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
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
                new.not_after
            ],
        )?;
        let subject = new.device.as_deref().unwrap_or(&new.subject);
        let words = format!("{} certificate issued to {}", new.kind, new.subject);
        let event = NewEvent::new(Code::CertIssued, subject, words)
            .with("serial", new.serial.as_str())
            .with("kind", new.kind)
            .with("not_after", new.not_after)
            .with("key_sha256", new.spki_sha256.as_str());
        self.event(now, &event)
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
            self.tx
                .prepare_cached(
                    "UPDATE certificates SET revoked_at = ?2, reason = ?3 WHERE serial = ?1",
                )?
                .execute(params![row.serial, now, reason])?;
            let line = Feed::Revoked {
                seq: 0,
                device: device.to_owned(),
                serial: row.serial.clone(),
                jkt: row.jkt.clone(),
                reason: reason.to_owned(),
            };
            self.feed(device, &line, row.not_after)?;
            let words = format!("certificate of {} revoked: {reason}", row.subject);
            let event = NewEvent::new(Code::CertRevoked, device, words)
                .with("serial", row.serial.as_str())
                .with("reason", reason);
            self.event(now, &event)?;
        }
        Ok(good.len())
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

fn certificate(row: &Row<'_>, now: u64) -> rusqlite::Result<CertificateRow> {
    let not_after: u64 = row.get(8)?;
    let status = match row.get(9)? {
        Some(at) => {
            Status::Revoked { at, reason: row.get::<_, Option<String>>(10)?.unwrap_or_default() }
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
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::devices::tests::device;

    pub(crate) fn ldevid(device: &str, serial: &str, from: u64) -> NewCertificate {
        NewCertificate {
            serial: serial.into(),
            device: Some(device.into()),
            kind: "device",
            subject: format!("CN={device}"),
            spki_sha256: format!("key-{serial}"),
            jkt: format!("jkt-{serial}"),
            der: serial.as_bytes().to_vec(),
            not_before: from,
            not_after: from + 100,
        }
    }

    #[test]
    fn revoking_a_device_revokes_what_is_good_and_tells_everybody() {
        let mut db = Db::in_memory("default").unwrap();
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

    #[test]
    fn a_serial_number_is_never_used_twice() {
        let mut db = Db::in_memory("default").unwrap();
        db.add_certificate(&ldevid("dev-1", "0A", 10), 10).unwrap();
        db.add_certificate(&ldevid("dev-2", "0A", 11), 11).unwrap_err();
        assert_eq!(db.certificate("0A", 12).unwrap().unwrap().device.as_deref(), Some("dev-1"));
    }
}
