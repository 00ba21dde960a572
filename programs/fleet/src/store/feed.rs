//! What checkpoints follow: the newest result of every device, and revocations.

use super::connection::OptionalExtension;
use super::value::params;
use super::{Db, Write};
use crate::Error;
use crate::api::types::Feed;

impl Write<'_> {
    /// Appends a line; `until` is when it may be forgotten. Results of the same device replace
    /// each other.
    pub(super) fn feed(&self, device: &str, line: &Feed, until: u64) -> Result<u64, Error> {
        let kind = match line {
            Feed::Result { .. } => "result",
            Feed::Revoked { .. } => "revoked",
            Feed::Heartbeat { .. } => return Err(Error::Row { what: "feed" }),
        };
        if kind == "result" {
            self.tx
                .prepare_cached("DELETE FROM feed WHERE device = ?1 AND kind = 'result'")?
                .execute([device])?;
        }
        let body = serde_json::to_string(line).map_err(|_| Error::Row { what: "feed" })?;
        let seq = self
            .tx
            .prepare_cached(
                "INSERT INTO feed (tenant, device, kind, body, until) VALUES (?1, ?2, ?3, ?4, ?5)
                 RETURNING seq",
            )?
            .query_row(params![self.tenant, device, kind, body, until], |row| row.get(0))?;
        Ok(seq)
    }
}

impl Db {
    /// Lines after `after`, oldest first, at most `limit`.
    pub fn feed_after(&mut self, after: u64, limit: u32) -> Result<Vec<Feed>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT seq, body FROM feed WHERE seq > ?1 AND tenant = ?2 ORDER BY seq LIMIT ?3",
        )?;
        let mut rows = select.query(params![after, self.tenant, limit])?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            let body: String = row.get(1)?;
            let mut line: Feed =
                serde_json::from_str(&body).map_err(|_| Error::Row { what: "feed" })?;
            match &mut line {
                Feed::Result { seq, .. }
                | Feed::Revoked { seq, .. }
                | Feed::Heartbeat { seq, .. } => *seq = row.get(0)?,
            }
            lines.push(line);
        }
        Ok(lines)
    }

    /// The number of the newest line, 0 if there is none.
    pub fn last_feed(&self) -> Result<u64, Error> {
        let last = self
            .connection
            .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'feed'")?
            .query_row(params![], |row| row.get(0))
            .optional()?;
        Ok(last.unwrap_or(0))
    }

    /// Forgets revocations of certificates that have expired.
    pub fn prune_feed(&mut self, now: u64) -> Result<usize, Error> {
        Ok(self
            .connection
            .execute("DELETE FROM feed WHERE kind = 'revoked' AND until < ?1", [now])?)
    }
}
