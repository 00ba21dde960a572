//! Operators and the hashes of their tokens.

use super::connection::OptionalExtension;
use super::value::params;
use super::{Db, NewEvent};
use crate::Error;
use crate::config::Role;
use std::collections::BTreeMap;
use touchstone_audit::Code;

/// Somebody who may look, or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The name in events.
    pub name: String,
    /// What the operator may do.
    pub role: Role,
}

impl Db {
    /// Makes `operators`, each with the SHA-256 of its token, the ones there are.
    pub fn replace_operators(
        &mut self,
        operators: &[(Operator, [u8; 32])],
        now: u64,
    ) -> Result<(), Error> {
        self.write(|write| {
            let mut before = BTreeMap::new();
            let mut select =
                write.tx.prepare_cached("SELECT name, role, token_sha256 FROM operators")?;
            let mut rows = select.query(params![])?;
            while let Some(row) = rows.next()? {
                let kept: (String, [u8; 32]) = (row.get(1)?, row.get(2)?);
                before.insert(row.get::<String>(0)?, kept);
            }
            write.tx.execute("DELETE FROM operators", params![])?;
            for (operator, token) in operators {
                write.tx.execute(
                    "INSERT INTO operators (name, tenant, role, token_sha256, created)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![operator.name, write.tenant, operator.role.name(), token, now],
                )?;
                let change = match before.remove(&operator.name) {
                    Some((role, hash)) if role == operator.role.name() && hash == *token => {
                        continue;
                    }
                    Some(_) => "role or token of the operator changed",
                    None => "the operator was added",
                };
                let event = NewEvent::new(Code::OperatorChanged, &operator.name, change);
                write.event(now, &event.with("role", operator.role.name()))?;
            }
            for name in before.keys() {
                let words = "the operator was removed";
                write.event(now, &NewEvent::new(Code::OperatorChanged, name, words))?;
            }
            Ok(())
        })
    }

    /// The SHA-256 of an operator's token.
    pub fn token_of(&mut self, name: &str) -> Result<[u8; 32], Error> {
        let found = self
            .connection
            .prepare_cached("SELECT token_sha256 FROM operators WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        found.ok_or_else(|| Error::Unknown { what: "operator", name: name.to_owned() })
    }

    /// The operator whose token has that SHA-256.
    pub fn operator(&mut self, token_sha256: &[u8; 32]) -> Result<Option<Operator>, Error> {
        let found: Option<(String, String)> = self
            .connection
            .prepare_cached("SELECT name, role FROM operators WHERE token_sha256 = ?1")?
            .query_row([token_sha256], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((name, role)) = found else { return Ok(None) };
        let role = role.parse().map_err(|_| Error::Row { what: "role" })?;
        Ok(Some(Operator { name, role }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    on_both! {
        an_operator_who_left_the_configuration_can_not_come_back_with_an_old_token
    }

    fn an_operator_who_left_the_configuration_can_not_come_back_with_an_old_token(mut db: Db) {
        let admin = Operator { name: "admin".into(), role: Role::Operator };
        let noc = Operator { name: "noc".into(), role: Role::Viewer };
        db.replace_operators(&[(admin.clone(), [1; 32]), (noc.clone(), [2; 32])], 1).unwrap();
        assert_eq!(db.operator(&[2; 32]).unwrap(), Some(noc));
        db.replace_operators(&[(admin.clone(), [1; 32])], 2).unwrap();
        db.replace_operators(&[(admin.clone(), [3; 32])], 3).unwrap();
        assert_eq!(db.operator(&[2; 32]).unwrap(), None);
        assert_eq!(db.operator(&[1; 32]).unwrap(), None);
        assert_eq!(db.operator(&[3; 32]).unwrap(), Some(admin));
        let told: Vec<_> =
            db.events_after(0, 9).unwrap().into_iter().map(|e| (e.subject, e.message)).collect();
        assert_eq!(told[2], ("noc".into(), "the operator was removed".into()));
        assert_eq!(told[3], ("admin".into(), "role or token of the operator changed".into()));
    }
}
