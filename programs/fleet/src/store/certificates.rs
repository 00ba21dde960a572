//! Certificates that the fleet issued, and their status.

use super::connection::Connection;
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
    /// SHA-256 of its issuer's key, hexadecimal; for another CA's what [`UPSTREAM`] says. With the
    /// serial number it tells certificates apart.
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
    /// The device may not have one. What another CA had signed by then is recorded as revoked.
    Not {
        /// The stable code.
        code: &'static str,
        /// Why, and what to do.
        words: String,
    },
    /// Its issuer has used the serial number for another certificate.
    Taken,
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
    /// SHA-256 of its issuer's key, hexadecimal; for another CA's what [`UPSTREAM`] says.
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

impl CertificateRow {
    /// The other CA that issued it, by its name in the configuration; `None` for ours.
    fn upstream(&self) -> Option<&str> {
        upstream(&self.issuer)
    }

    /// Whether somebody means its issuer by this name: another CA's in the configuration, or the
    /// issuer's in the certificate.
    fn is_of(&self, issuer: &str) -> bool {
        self.upstream() == Some(issuer) || self.issuer_name().as_deref() == Some(issuer)
    }

    fn issuer_name(&self) -> Option<String> {
        let certificate = touchstone_certs::Certificate::decode(&self.der).ok()?;
        Some(certificate.issuer().to_owned())
    }
}

/// The other CA's name in what rows call it.
fn upstream(issuer: &str) -> Option<&str> {
    let rest = issuer.strip_prefix(UPSTREAM)?;
    Some(rest.split_once('/').map_or(rest, |(name, _)| name))
}

/// Why what another CA has signed is not handed out.
const TAKEN: &str = "it has used the serial number before, which no CA may; tell its operator";
const TWICE: &str = "it signed one for the same key a moment ago; have it revoke this one";

const COLUMNS: &str = "SELECT serial, device, kind, subject, spki_sha256, jkt, der, not_before,
                              not_after, revoked_at, reason, profile, issuer FROM certificates";

impl Db {
    /// Records a certificate before anybody sees it.
    pub fn add_certificate(&mut self, new: &NewCertificate, now: u64) -> Result<(), Error> {
        self.write(|write| write.add_certificate(new, now))
    }

    /// Records a certificate that somebody asked for: a device's only while its verdict allows one.
    /// Whoever asked for the same key a moment ago, after `since`, gets what was recorded then. `renewed` is
    /// the key that asks for a renewal: it counts on, since the answer may not arrive.
    pub fn add_requested(
        &mut self,
        new: &NewCertificate,
        renewed: Option<&str>,
        bound: bool,
        since: u64,
        now: u64,
    ) -> Result<Added, Error> {
        self.write(|write| write.add_requested(new, renewed, bound, since, now))
    }

    /// Records a certificate of the CA itself, unless it is recorded.
    pub fn ensure_certificate(&mut self, new: &NewCertificate, now: u64) -> Result<(), Error> {
        self.write(|write| {
            let known: bool = write
                .tx
                .prepare_cached("SELECT count(*) FROM certificates WHERE serial = ?1 AND der = ?2")?
                .query_row(params![new.serial, new.der], |row| row.get(0))?;
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

    /// That CA's certificate with that serial number.
    pub fn certificate(
        &mut self,
        issuer: &str,
        serial: &str,
        now: u64,
    ) -> Result<Option<CertificateRow>, Error> {
        issued(&self.connection, issuer, serial, now)
    }

    /// The certificates with that serial number: one of each CA that has used it.
    pub fn numbered(&mut self, serial: &str, now: u64) -> Result<Vec<CertificateRow>, Error> {
        numbered(&self.connection, serial, now)
    }

    /// The certificate with that number, of that issuer if several CAs gave it.
    pub fn only(
        &mut self,
        serial: &str,
        issuer: Option<&str>,
        now: u64,
    ) -> Result<CertificateRow, Error> {
        only(self.numbered(serial, now)?, serial, issuer)
    }

    /// What is recorded of this very certificate.
    pub fn recorded(
        &mut self,
        shown: &touchstone_certs::Certificate,
        now: u64,
    ) -> Result<Option<CertificateRow>, Error> {
        let found = self.numbered(&shown.serial(), now)?;
        Ok(found.into_iter().find(|row| row.der == shown.der()))
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

    /// Revokes one certificate. Where several CAs have used the number, `issuer` says whose.
    pub fn revoke_certificate(
        &mut self,
        serial: &str,
        issuer: Option<&str>,
        reason: &str,
        now: u64,
    ) -> Result<CertificateRow, Error> {
        self.write(|write| {
            let row = only(numbered(write.tx, serial, now)?, serial, issuer)?;
            match &row.status {
                Status::Revoked { .. } => {
                    return Err(Error::Conflict(format!("{serial} is revoked already")));
                }
                Status::Expired => return Err(Error::Conflict(format!("{serial} has expired"))),
                Status::Good if row.kind == "ca" && row.profile != "issuing" => {
                    let words = "a root is not revoked but replaced: put a new one above it";
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
    pub(super) fn add_requested(
        &self,
        new: &NewCertificate,
        renewed: Option<&str>,
        bound: bool,
        since: u64,
        now: u64,
    ) -> Result<Added, Error> {
        if self.is_taken(new)? {
            self.told_of_signed(new, "est.upstream.serial", TAKEN, now)?;
            return Ok(Added::Taken);
        }
        if let (true, Some(device)) = (bound, &new.device)
            && let Standing::No { code, words } = self.standing(device, now)?
        {
            if self.told_of_signed(new, code, &words, now)? {
                self.add_revoked(new, now)?;
            }
            return Ok(Added::Not { code, words });
        }
        if let Some(row) = self.recorded_since(&new.profile, &new.spki_sha256, since, now)?
            && row.device == new.device
            && row.subject == new.subject
        {
            self.told_of_signed(new, "est.upstream.twice", TWICE, now)?;
            return Ok(Added::Before(Box::new(row)));
        }
        self.add_certificate(new, now)?;
        if bound {
            self.supersede(new, renewed, now)?;
        }
        Ok(Added::Now)
    }

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

    /// Whether another certificate of its issuer has its number.
    fn is_taken(&self, new: &NewCertificate) -> Result<bool, Error> {
        let sql = "SELECT count(*) FROM certificates WHERE issuer = ?1 AND serial = ?2";
        let mut select = self.tx.prepare_cached(sql)?;
        Ok(select.query_row(params![new.issuer, new.serial], |row| row.get(0))?)
    }

    /// Another CA has signed what is not handed out: that is an event, and true is the answer. What a
    /// CA of ours signed and nobody saw is forgotten.
    pub(super) fn told_of_signed(
        &self,
        new: &NewCertificate,
        code: &'static str,
        why: &str,
        now: u64,
    ) -> Result<bool, Error> {
        let Some(upstream) = upstream(&new.issuer) else { return Ok(false) };
        let about = new.device.as_deref().unwrap_or(&new.subject);
        let words = format!(
            "the CA `{upstream}` signed a certificate for {}, which was not handed out: {why}",
            new.subject
        );
        let event = NewEvent::new(Code::CertRefused, about, words)
            .with("code", code)
            .with("serial", new.serial.as_str())
            .with("upstream", upstream)
            .with("profile", new.profile.as_str())
            .with("key_sha256", new.spki_sha256.as_str());
        self.event(now, &event)?;
        Ok(true)
    }

    /// Records what another CA has signed for somebody who may not have it any more.
    fn add_revoked(&self, new: &NewCertificate, now: u64) -> Result<(), Error> {
        self.add_certificate(new, now)?;
        match issued(self.tx, &new.issuer, &new.serial, now)? {
            Some(row) => self.revoke(&row, "privilegeWithdrawn", now),
            None => Err(Error::Row { what: "certificate" }),
        }
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
    /// before are worth nothing any more. The key that asked for a renewal is the device's until the next one,
    /// or its certificate ends (RFC 7030 §4.2.2): the device may not have heard of the new one.
    fn supersede(
        &self,
        new: &NewCertificate,
        renewed: Option<&str>,
        now: u64,
    ) -> Result<(), Error> {
        let Some(device) = new.device.as_deref().filter(|_| new.kind == "device") else {
            return Ok(());
        };
        let before: Vec<CertificateRow> = {
            let sql = format!(
                "{COLUMNS} WHERE device = ?1 AND profile = ?2 AND spki_sha256 <> ?3
                                 AND spki_sha256 <> ?5 AND revoked_at IS NULL AND not_after > ?4"
            );
            let mut select = self.tx.prepare_cached(&sql)?;
            let renewed = renewed.unwrap_or(&new.spki_sha256);
            let known = params![device, new.profile, new.spki_sha256, now, renewed];
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
                "UPDATE certificates SET revoked_at = ?2, reason = ?3
                 WHERE serial = ?1 AND issuer = ?4",
            )?
            .execute(params![row.serial, now, reason, row.issuer])?;
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
            .with("issuer", row.issuer.as_str())
            .with("reason", reason);
        self.event(now, &event)?;
        self.revoked_here_only(row, about, now)
    }
}

impl Write<'_> {
    /// EST has no words for revocation: the fleet and its checkpoints refuse the certificate, and
    /// everybody else does when its CA revokes it, too.
    fn revoked_here_only(&self, row: &CertificateRow, about: &str, now: u64) -> Result<(), Error> {
        let Some(upstream) = row.upstream() else { return Ok(()) };
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
        let (issuer, upstream) = (row.issuer_name(), row.upstream().map(str::to_owned));
        let (revoked_at, reason) = match row.status {
            Status::Revoked { at, reason } => (Some(at), Some(reason)),
            Status::Good | Status::Expired => (None, None),
        };
        Self {
            serial: row.serial,
            kind: row.kind,
            subject: row.subject,
            issuer: issuer.unwrap_or_default(),
            upstream,
            not_before: row.not_before,
            not_after: row.not_after,
            status,
            revoked_at,
            reason,
        }
    }
}

fn issued(
    db: &Connection,
    issuer: &str,
    serial: &str,
    now: u64,
) -> Result<Option<CertificateRow>, Error> {
    let sql = format!("{COLUMNS} WHERE issuer = ?1 AND serial = ?2");
    let mut select = db.prepare_cached(&sql)?;
    Ok(select.query_row([issuer, serial], |row| certificate(row, now)).optional()?)
}

fn numbered(db: &Connection, serial: &str, now: u64) -> Result<Vec<CertificateRow>, Error> {
    let sql = format!("{COLUMNS} WHERE serial = ?1 ORDER BY rowid");
    let mut select = db.prepare_cached(&sql)?;
    let rows = select.query_map([serial], |row| certificate(row, now))?;
    rows.map(|row| row.map_err(Error::from)).collect()
}

/// The one that is meant.
fn only(
    mut found: Vec<CertificateRow>,
    serial: &str,
    issuer: Option<&str>,
) -> Result<CertificateRow, Error> {
    if let Some(issuer) = issuer {
        found.retain(|row| row.is_of(issuer));
    }
    let named = |row: &CertificateRow| match row.upstream() {
        Some(upstream) => format!("`{upstream}`"),
        None => format!("`{}`", row.issuer_name().unwrap_or_default()),
    };
    match (found.pop(), found.as_slice()) {
        (Some(row), []) => Ok(row),
        (Some(row), others) => {
            let all: Vec<String> = others.iter().map(named).chain([named(&row)]).collect();
            Err(Error::Conflict(format!(
                "several CAs gave the number {serial}: {}; say whose is meant (`--issuer`)",
                all.join(", ")
            )))
        }
        (None, _) => Err(Error::Unknown { what: "certificate", name: serial.to_owned() }),
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
        a_serial_number_is_never_used_twice_by_one_ca
        two_cas_may_give_the_same_number
        a_number_that_another_ca_gives_twice_is_told_and_not_handed_out
        what_another_ca_signed_while_the_verdict_turned_is_recorded_revoked_and_told
        what_another_ca_signed_twice_for_a_key_is_told_and_the_first_counts
        a_new_key_of_a_device_supersedes_the_one_before_and_nothing_else
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
        assert_eq!(db.certificate("ca", "0A", 160).unwrap().unwrap().status, Status::Expired);
        let status = db.certificate("ca", "0B", 160).unwrap().unwrap().status;
        assert_eq!(status, Status::Revoked { at: 160, reason: "contraindicated".into() });
        assert_eq!(db.current_certificate(&id, 160).unwrap(), None);
        assert_eq!(db.certificate("ca", "0C", 160).unwrap(), None);
        let feed = db.feed_after(0, 10).unwrap();
        assert!(matches!(&feed[..], [Feed::Revoked { seq: 1, jkt, .. }] if jkt == "jkt-0B"));
        assert_eq!(db.write(|w| w.revoke_device(&id, "again", 161)).unwrap(), 0);
        assert_eq!(db.prune_feed(251).unwrap(), 1);
    }

    fn a_new_key_of_a_device_supersedes_the_one_before_and_nothing_else(mut db: Db) {
        let [id, other] = [1, 2].map(|number| db.enroll(&device(number), 1).unwrap().id);
        let keyed = |device: &str, serial: &str, key: &str, from| NewCertificate {
            spki_sha256: key.into(),
            ..ldevid(device, serial, from)
        };
        let for_servers =
            NewCertificate { profile: "server".into(), ..keyed(&id, "0B", "second", 10) };
        for new in [keyed(&id, "0A", "first", 10), for_servers, keyed(&other, "0C", "third", 10)] {
            db.add_certificate(&new, 10).unwrap();
        }
        let status =
            |db: &mut Db, serial: &str| db.certificate("ca", serial, 20).unwrap().unwrap().status;
        // A renewal for the same key leaves what is there.
        db.write(|w| w.supersede(&keyed(&id, "0D", "first", 15), None, 15)).unwrap();
        assert_eq!(status(&mut db, "0A"), Status::Good);

        // Nor does one that the key itself has asked for.
        let rekeyed = keyed(&id, "0F", "fifth", 16);
        db.write(|w| w.supersede(&rekeyed, Some("first"), 16)).unwrap();
        assert_eq!(status(&mut db, "0A"), Status::Good);

        db.write(|w| w.supersede(&keyed(&id, "0E", "fourth", 20), None, 20)).unwrap();
        let superseded = Status::Revoked { at: 20, reason: "superseded".into() };
        assert_eq!(status(&mut db, "0A"), superseded);
        for serial in ["0B", "0C"] {
            assert_eq!(status(&mut db, serial), Status::Good, "another profile, another device");
        }
        let feed = db.feed_after(0, 10).unwrap();
        assert!(matches!(&feed[..], [Feed::Revoked { jkt, .. }] if jkt == "jkt-0A"), "{feed:?}");
        let told = db.newest_events(Some(&id), 1).unwrap();
        assert_eq!(
            (told[0].code.as_str(), &told[0].detail["reason"]),
            ("cert.revoked", &"superseded".into())
        );
    }

    fn a_serial_number_is_never_used_twice_by_one_ca(mut db: Db) {
        db.add_certificate(&ldevid("dev-1", "0A", 10), 10).unwrap();
        db.add_certificate(&ldevid("dev-2", "0A", 11), 11).unwrap_err();
        let held = db.certificate("ca", "0A", 12).unwrap().unwrap();
        assert_eq!(held.device.as_deref(), Some("dev-1"));
    }

    /// What another CA signed for a device.
    fn elsewhere(device: &str, upstream: &str, serial: &str) -> NewCertificate {
        NewCertificate {
            issuer: format!("{UPSTREAM}{upstream}/00"),
            spki_sha256: format!("key-{device}"),
            jkt: format!("jkt-{device}"),
            der: format!("{device}{upstream}").into_bytes(),
            ..ldevid(device, serial, 10)
        }
    }

    fn two_cas_may_give_the_same_number(mut db: Db) {
        for (device, upstream) in [("dev-1", "north"), ("dev-2", "south")] {
            let new = elsewhere(device, upstream, "01");
            assert_eq!(
                db.add_requested(&new, None, false, 0, 10).unwrap(),
                Added::Now,
                "{upstream}"
            );
        }
        assert_eq!(db.numbered("01", 11).unwrap().len(), 2);
        let refused = db.revoke_certificate("01", None, "superseded", 12).unwrap_err();
        let words = refused.to_string();
        assert!(words.contains("`north`, `south`") && words.contains("--issuer"), "{words}");
        let unknown = db.revoke_certificate("01", Some("west"), "superseded", 12).unwrap_err();
        assert_eq!(unknown.code(), "fleet.unknown");
        let row = db.revoke_certificate("01", Some("south"), "superseded", 12).unwrap();
        assert_eq!(row.device.as_deref(), Some("dev-2"));
        let mut of = |upstream: &str| {
            let issuer = format!("{UPSTREAM}{upstream}/00");
            db.certificate(&issuer, "01", 13).unwrap().unwrap().status
        };
        assert_eq!(of("north"), Status::Good, "the other one stays");
        assert!(matches!(of("south"), Status::Revoked { .. }));
        let of_ca = |issuer: &str| format!("{UPSTREAM}{issuer}/00");
        assert_eq!(db.revocations(&of_ca("north")).unwrap().0, 0);
        assert_eq!(db.revocations(&of_ca("south")).unwrap().0, 1);
    }

    fn a_number_that_another_ca_gives_twice_is_told_and_not_handed_out(mut db: Db) {
        let add = |db: &mut Db, device: &str| {
            db.add_requested(&elsewhere(device, "north", "01"), None, false, 0, 10).unwrap()
        };
        assert_eq!(add(&mut db, "dev-1"), Added::Now);
        assert_eq!(add(&mut db, "dev-2"), Added::Taken);
        let told = db.events_after(0, 9).unwrap();
        let codes: Vec<&str> = told.iter().map(|event| event.code.as_str()).collect();
        assert_eq!(codes, ["cert.issued", "cert.refused"]);
        assert!(told[1].message.contains("serial number before"), "{}", told[1].message);
        assert_eq!(told[1].detail["code"], "est.upstream.serial");
    }

    fn what_another_ca_signed_twice_for_a_key_is_told_and_the_first_counts(mut db: Db) {
        let add = |db: &mut Db, serial: &str, now| {
            db.add_requested(&elsewhere("dev-1", "north", serial), None, false, 5, now).unwrap()
        };
        assert_eq!(add(&mut db, "01", 10), Added::Now);
        let Added::Before(row) = add(&mut db, "02", 11) else { panic!() };
        assert_eq!(row.serial, "01");
        assert!(db.numbered("02", 12).unwrap().is_empty(), "nobody gets it");
        let told = db.newest_events(None, 1).unwrap();
        assert_eq!(
            (told[0].code.as_str(), &told[0].detail["code"], &told[0].detail["serial"]),
            ("cert.refused", &"est.upstream.twice".into(), &"02".into())
        );
        // What a CA of ours signed twice is forgotten: it is in nobody's hands.
        let own = |serial: &str| NewCertificate {
            spki_sha256: "key".into(),
            ..ldevid("dev-2", serial, 10)
        };
        assert_eq!(db.add_requested(&own("03"), None, false, 5, 10).unwrap(), Added::Now);
        let again = db.add_requested(&own("04"), None, false, 5, 11).unwrap();
        assert!(matches!(again, Added::Before(row) if row.serial == "03"));
        assert_eq!(db.newest_events(None, 1).unwrap()[0].code, "cert.issued");
    }

    fn what_another_ca_signed_while_the_verdict_turned_is_recorded_revoked_and_told(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        let before = db.last_event().unwrap();
        // No verdict counts any more when it comes back from the other CA.
        let new = elsewhere(&id, "north", "01");
        let Added::Not { code, .. } = db.add_requested(&new, None, true, 0, 10).unwrap() else {
            panic!()
        };
        assert_eq!(code, "est.verdict.not-affirming");
        let row = db.certificate(&new.issuer, "01", 11).unwrap().unwrap();
        assert_eq!(row.status, Status::Revoked { at: 10, reason: "privilegeWithdrawn".into() });
        let told = db.events_after(before, 9).unwrap();
        let codes: Vec<&str> = told.iter().map(|event| event.code.as_str()).collect();
        assert_eq!(codes, ["cert.refused", "cert.issued", "cert.revoked", "cert.revoked-here"]);
        let feed = db.feed_after(0, 10).unwrap();
        assert!(matches!(&feed[..], [Feed::Revoked { jkt, .. }] if *jkt == new.jkt), "{feed:?}");
        // What a CA of ours signed is in nobody's hands and needs no record.
        let own = ldevid(&id, "02", 10);
        assert!(matches!(db.add_requested(&own, None, true, 0, 12).unwrap(), Added::Not { .. }));
        assert_eq!(db.certificate("ca", "02", 13).unwrap(), None);
    }
}
