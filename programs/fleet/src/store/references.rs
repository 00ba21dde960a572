//! Signed reference values, as they were handed in.

use super::value::params;
use super::{Db, NewEvent};
use crate::Error;
use crate::api::types::Reference;
use touchstone_audit::Code;

/// Reference values whose signature was verified.
#[derive(Clone, Debug)]
pub struct NewReference {
    /// What they say of themselves; `imported` is set when they are stored.
    pub about: Reference,
    /// The signed file.
    pub envelope: Vec<u8>,
    /// Who handed them in.
    pub by: String,
}

impl Db {
    /// Stores reference values; again is the same.
    pub fn add_reference(&mut self, new: &NewReference, now: u64) -> Result<Reference, Error> {
        let about = Reference { imported: now, ..new.about.clone() };
        let added = self.write(|write| {
            let added = write.tx.execute(
                "INSERT INTO reference_values
                 (sha256, tenant, component, of, kind, signer, envelope, imported)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
                params![
                    about.sha256,
                    write.tenant,
                    about.component,
                    about.version,
                    about.kind,
                    about.signer,
                    new.envelope,
                    now
                ],
            )?;
            if added > 0 {
                let words = format!(
                    "reference values for {} version {} imported",
                    about.component, about.version
                );
                let event = NewEvent::new(Code::ReferencesImported, &about.component, words)
                    .with("kind", about.kind.as_str())
                    .with("signer", about.signer.as_str())
                    .with("sha256", about.sha256.as_str())
                    .with("by", new.by.as_str());
                write.event(now, &event)?;
            }
            Ok(added > 0)
        })?;
        if added {
            return Ok(about);
        }
        let sha256 = &about.sha256;
        let stored = self.references()?.into_iter().find(|stored| stored.sha256 == *sha256);
        stored.ok_or(Error::Row { what: "reference" })
    }

    /// Every set, by component and version.
    pub fn references(&mut self) -> Result<Vec<Reference>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT sha256, component, of, kind, signer, imported FROM reference_values
             WHERE tenant = ?1 ORDER BY component, of, kind",
        )?;
        let rows = select.query_map([&self.tenant], |row| {
            Ok(Reference {
                sha256: row.get(0)?,
                component: row.get(1)?,
                version: row.get(2)?,
                kind: row.get(3)?,
                signer: row.get(4)?,
                imported: row.get(5)?,
            })
        })?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// Every signed file.
    pub fn reference_envelopes(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT envelope FROM reference_values WHERE tenant = ?1 ORDER BY component, of",
        )?;
        let rows = select.query_map([&self.tenant], |row| row.get(0))?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    on_both! {
        importing_twice_is_importing_once
    }

    fn importing_twice_is_importing_once(mut db: Db) {
        let about = Reference {
            sha256: "ab".into(),
            component: "meter".into(),
            version: 2,
            kind: "code".into(),
            signer: "CN=publisher".into(),
            imported: 0,
        };
        let new = NewReference { about, envelope: vec![1, 2], by: "admin".into() };
        let first = db.add_reference(&new, 10).unwrap();
        assert_eq!(first.imported, 10);
        assert_eq!(db.add_reference(&new, 20).unwrap(), first);
        assert_eq!(db.references().unwrap().len(), 1);
        assert_eq!(db.reference_envelopes().unwrap(), [vec![1, 2]]);
        assert_eq!(db.events_after(0, 9).unwrap().len(), 1);
    }
}
