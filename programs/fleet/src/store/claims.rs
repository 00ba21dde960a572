//! What the last evidence of each device said. One row for each device: a device that attests often
//! is not worth a history of its claims.

use super::results::{from_json, to_json};
use super::value::params;
use super::{Db, Write};
use crate::Error;
use serde_json::{Map, Value};
use touchstone_appraise::claims;
use touchstone_policy::ClaimSet;

/// Characters of one claim in JSON that are kept. What is longer, a list of files for the most part,
/// is named and not kept.
const LONGEST: usize = 1 << 20;

/// The claims of one piece of evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredClaims {
    /// When the nonce of the evidence was given out.
    pub evidence_at: u64,
    /// When they were appraised.
    pub appraised_at: u64,
    /// Until when the result of that counts.
    pub expires: u64,
    /// The policy they were judged by: `<name>/<version>`.
    pub policy: String,
    /// The claims by name, as `touchstone_appraise::claims` writes them.
    pub claims: Map<String, Value>,
    /// Claims that were too long to keep.
    pub omitted: Vec<String>,
}

impl StoredClaims {
    /// Takes what can be kept of `claims`.
    #[must_use]
    pub fn with(mut self, claims: &ClaimSet) -> Self {
        for (name, value) in claims::to_json(claims) {
            if value.to_string().len() > LONGEST {
                self.omitted.push(name);
            } else {
                self.claims.insert(name, value);
            }
        }
        self
    }
}

impl Db {
    /// The claims of a device's last evidence; `None` if there was none that could be believed.
    pub fn claims(&mut self, device: &str) -> Result<Option<StoredClaims>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT evidence_at, appraised_at, expires, policy, claims, omitted FROM claims
             WHERE device = ?1 AND tenant = ?2",
        )?;
        let mut rows = select.query([device, &self.tenant])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(StoredClaims {
            evidence_at: row.get(0)?,
            appraised_at: row.get(1)?,
            expires: row.get(2)?,
            policy: row.get(3)?,
            claims: from_json(&row.get::<String>(4)?, "claims")?,
            omitted: from_json(&row.get::<String>(5)?, "omitted")?,
        }))
    }
}

impl Write<'_> {
    /// Puts claims in the place of those before. Evidence that did not verify leaves none behind:
    /// nothing is known then.
    pub(super) fn replace_claims(
        &self,
        device: &str,
        claims: Option<&StoredClaims>,
    ) -> Result<(), Error> {
        let Some(new) = claims else {
            self.tx.prepare_cached("DELETE FROM claims WHERE device = ?1")?.execute([device])?;
            return Ok(());
        };
        self.tx
            .prepare_cached(
                "INSERT INTO claims (device, tenant, evidence_at, appraised_at, expires, policy,
                                     claims, omitted)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (device) DO UPDATE SET
                     tenant = excluded.tenant, evidence_at = excluded.evidence_at,
                     appraised_at = excluded.appraised_at, expires = excluded.expires,
                     policy = excluded.policy, claims = excluded.claims,
                     omitted = excluded.omitted",
            )?
            .execute(params![
                device,
                self.tenant,
                new.evidence_at,
                new.appraised_at,
                new.expires,
                new.policy,
                to_json(&new.claims, "claims")?,
                to_json(&new.omitted, "omitted")?
            ])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::devices::tests::device;
    use crate::store::results::tests::result;
    use touchstone_policy::Value;

    on_both! {
        the_last_claims_stand_and_evidence_that_cannot_be_believed_leaves_none
    }

    fn the_last_claims_stand_and_evidence_that_cannot_be_believed_leaves_none(mut db: Db) {
        let id = db.enroll(&device(1), 1).unwrap().id;
        let mut attested = |at: u64, claims: Option<StoredClaims>| {
            let new = crate::store::NewResult { claims, ..result(&id, "affirming", at) };
            db.record_result(&new).unwrap();
            db.claims(&id).unwrap()
        };
        let first = StoredClaims { appraised_at: 10, policy: "p/1".into(), ..Default::default() }
            .with(&ClaimSet::from_iter([("boot.secure-boot", true)]));
        assert_eq!(attested(10, Some(first.clone())), Some(first));
        let second = StoredClaims { appraised_at: 11, ..Default::default() };
        assert_eq!(attested(11, Some(second.clone())), Some(second));
        assert_eq!(attested(12, None), None);
    }

    #[test]
    fn a_claim_that_is_too_long_is_named_and_not_kept() {
        let long = Value::list((0..100_000).map(|_| Value::from("0123456789")));
        let set = ClaimSet::from_iter([("ima.entries", long), ("element.kind", "tpm2".into())]);
        let kept = StoredClaims::default().with(&set);
        assert_eq!(kept.omitted, ["ima.entries"]);
        assert_eq!(kept.claims.len(), 1);
    }
}
