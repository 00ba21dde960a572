//! Which signed policy was in force last.

use super::Db;
use super::connection::OptionalExtension;
use super::value::params;
use crate::Error;

impl Db {
    /// Takes a signed policy in force, unless a later version was, or another text of this one.
    pub fn accept_policy(
        &mut self,
        name: &str,
        version: u64,
        sha256: &str,
        now: u64,
    ) -> Result<(), Error> {
        self.write(|write| {
            let last: Option<(u64, String)> = write
                .tx
                .query_row(
                    "SELECT version, sha256 FROM policies WHERE tenant = ?1 AND name = ?2",
                    params![write.tenant, name],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            match last {
                Some((last, _)) if version < last => {
                    return Err(Error::Conflict(format!(
                        "policy {name} version {version} comes after version {last}, which was in \
                         force; sign it anew with a version above {last}"
                    )));
                }
                Some((last, digest)) if version == last && digest != sha256 => {
                    return Err(Error::Conflict(format!(
                        "policy {name} version {version} is not the text that was in force as \
                         that version; sign it anew with a version above {last}"
                    )));
                }
                _ => {}
            }
            write.tx.execute(
                "INSERT INTO policies (tenant, name, version, sha256, accepted)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (tenant, name) DO UPDATE SET
                     version = excluded.version, sha256 = excluded.sha256,
                     accepted = excluded.accepted",
                params![write.tenant, name, version, sha256, now],
            )?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    on_both! {
        no_older_policy_comes_back
    }

    fn no_older_policy_comes_back(mut db: Db) {
        db.accept_policy("plant", 3, "aa", 1).unwrap();
        db.accept_policy("plant", 3, "aa", 2).unwrap();
        db.accept_policy("other", 1, "cc", 2).unwrap();
        let older = db.accept_policy("plant", 2, "bb", 3).unwrap_err().to_string();
        assert!(older.contains("version 2 comes after version 3"), "{older}");
        let other = db.accept_policy("plant", 3, "bb", 3).unwrap_err().to_string();
        assert!(other.contains("is not the text that was in force"), "{other}");
        db.accept_policy("plant", 4, "bb", 4).unwrap();
        assert!(db.accept_policy("plant", 3, "aa", 5).is_err());
    }
}
