//! Who may enrol without a device's identity, once and for a while.

use super::connection::Fault;
use super::connection::OptionalExtension;
use super::value::{Row, params};
use super::{Db, NewCertificate, NewEvent};
use crate::Error;
use touchstone_audit::Code;

/// An invitation to be.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// Whom it is for: the common name, and the user of HTTP.
    pub name: String,
    /// What the certificate is for, in the words of rows.
    pub kind: String,
    /// SHA-256 of the challenge, hexadecimal.
    pub sha256: String,
    /// What HTTP Digest is verified with.
    pub digest_secret: String,
    /// Until when.
    pub expires: u64,
    /// Who invites.
    pub operator: String,
}

/// An invitation that is open, or was used and can be answered again for the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its row.
    pub id: i64,
    /// Whom it is for.
    pub name: String,
    /// What the certificate is for.
    pub kind: String,
    /// SHA-256 of the challenge, hexadecimal.
    pub sha256: String,
    /// What HTTP Digest is verified with.
    pub digest_secret: String,
    /// For which key it was used, if it was.
    pub spki_sha256: Option<String>,
}

/// What became of an attempt to use an invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// The certificate is recorded, and counts.
    Now,
    /// It was used before, for this key: this is the certificate of then.
    Before(Vec<u8>),
    /// It was used before, for another key, or is over.
    Not,
}

const COLUMNS: &str = "SELECT id, name, kind, sha256, digest_secret, spki_sha256 FROM invitations";

impl Db {
    /// Keeps an invitation.
    pub fn invite(&mut self, new: &NewInvitation, now: u64) -> Result<(), Error> {
        self.write(|write| {
            write.tx.execute(
                "INSERT INTO invitations (tenant, name, kind, sha256, digest_secret, made, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    write.tenant,
                    new.name,
                    new.kind,
                    new.sha256,
                    new.digest_secret,
                    now,
                    new.expires
                ],
            )?;
            let words = format!("{} invited {} to enrol", new.operator, new.name);
            let event = NewEvent::new(Code::CertInvited, &new.name, words)
                .with("operator", new.operator.as_str())
                .with("kind", new.kind.as_str())
                .with("expires", new.expires);
            write.event(now, &event)
        })
    }

    /// The invitation with that challenge, unless it is over.
    pub fn invitation(&mut self, sha256: &str, now: u64) -> Result<Option<Invitation>, Error> {
        let sql = format!("{COLUMNS} WHERE tenant = ?1 AND sha256 = ?2 AND expires >= ?3");
        let mut select = self.connection.prepare_cached(&sql)?;
        Ok(select.query_row(params![self.tenant, sha256, now], read).optional()?)
    }

    /// The last invitation of that name, unless it is over.
    pub fn invitation_of(&mut self, name: &str, now: u64) -> Result<Option<Invitation>, Error> {
        let sql = format!(
            "{COLUMNS} WHERE tenant = ?1 AND name = ?2 AND expires >= ?3 ORDER BY id DESC LIMIT 1"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        Ok(select.query_row(params![self.tenant, name, now], read).optional()?)
    }

    /// Uses an invitation up and records the certificate for it, both or neither.
    pub fn redeem(&mut self, id: i64, new: &NewCertificate, now: u64) -> Result<Redeemed, Error> {
        self.write(|write| {
            let used = write.tx.execute(
                "UPDATE invitations SET used = ?1, spki_sha256 = ?2, serial = ?3
                 WHERE id = ?4 AND tenant = ?5 AND used IS NULL AND expires >= ?1",
                params![now, new.spki_sha256, new.serial, id, write.tenant],
            )?;
            if used == 1 {
                write.add_certificate(new, now)?;
                return Ok(Redeemed::Now);
            }
            let before: Option<Vec<u8>> = write
                .tx
                .query_row(
                    "SELECT der FROM certificates
                     WHERE revoked_at IS NULL AND spki_sha256 = ?3 AND serial = (
                         SELECT serial FROM invitations
                         WHERE id = ?1 AND tenant = ?2 AND spki_sha256 = ?3)",
                    params![id, write.tenant, new.spki_sha256],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(before.map_or(Redeemed::Not, Redeemed::Before))
        })
    }

    /// The newest good certificate for a key, if it was issued since.
    pub fn certificate_for_key(
        &mut self,
        spki_sha256: &str,
        since: u64,
        now: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT der FROM certificates WHERE tenant = ?1 AND spki_sha256 = ?2
             AND revoked_at IS NULL AND not_after > ?3 AND not_before >= ?4
             ORDER BY rowid DESC LIMIT 1",
        )?;
        let found = select
            .query_row(params![self.tenant, spki_sha256, now, since], |row| row.get(0))
            .optional()?;
        Ok(found)
    }
}

fn read(row: &Row) -> Result<Invitation, Fault> {
    Ok(Invitation {
        id: row.get(0)?,
        name: row.get(1)?,
        kind: row.get(2)?,
        sha256: row.get(3)?,
        digest_secret: row.get(4)?,
        spki_sha256: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    on_both! {
        an_invitation_is_good_once_for_a_while_and_again_for_the_same_key
    }

    fn certificate(serial: &str, key: &str) -> NewCertificate {
        NewCertificate {
            serial: serial.into(),
            device: None,
            kind: "client",
            profile: "client".into(),
            issuer: "ca".into(),
            crl: String::new(),
            subject: "CN=pump-3".into(),
            spki_sha256: key.into(),
            jkt: key.into(),
            der: serial.as_bytes().to_vec(),
            not_before: 1,
            not_after: 1000,
        }
    }

    fn an_invitation_is_good_once_for_a_while_and_again_for_the_same_key(mut db: Db) {
        let new = NewInvitation {
            name: "pump-3".into(),
            kind: "client".into(),
            sha256: "aa".into(),
            digest_secret: "bb".into(),
            expires: 100,
            operator: "admin".into(),
        };
        db.invite(&new, 1).unwrap();
        assert!(db.invite(&new, 2).is_err(), "no two have one challenge");
        let found = db.invitation("aa", 100).unwrap().unwrap();
        assert_eq!(db.invitation_of("pump-3", 50).unwrap().as_ref(), Some(&found));
        assert_eq!(db.invitation("aa", 101).unwrap(), None);
        assert_eq!(db.redeem(found.id, &certificate("01", "k1"), 101).unwrap(), Redeemed::Not);
        assert_eq!(db.redeem(found.id, &certificate("01", "k1"), 50).unwrap(), Redeemed::Now);
        let again = db.redeem(found.id, &certificate("02", "k1"), 51).unwrap();
        assert_eq!(again, Redeemed::Before(b"01".to_vec()));
        assert_eq!(db.redeem(found.id, &certificate("03", "k2"), 52).unwrap(), Redeemed::Not);
        assert_eq!(db.certificate_for_key("k1", 0, 60).unwrap(), Some(b"01".to_vec()));
        assert_eq!(db.certificate_for_key("k2", 0, 60).unwrap(), None);
        assert_eq!(db.certificate_for_key("k1", 2, 60).unwrap(), None, "not since then");
    }
}
