//! What happened, and how far its readers have come.

use super::connection::Fault;
use super::connection::OptionalExtension;
use super::value::{Row, params};
use super::{Db, Write};
use crate::Error;
use crate::api::types::Event;
use serde_json::{Map, Value};
use touchstone_audit::{Code, Severity};

/// An event that has no number yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    code: Code,
    severity: Severity,
    subject: String,
    message: String,
    detail: Map<String, Value>,
}

impl NewEvent {
    /// An event with its stable code, what it is about, and what happened in words.
    pub fn new(code: Code, subject: impl Into<String>, message: impl Into<String>) -> Self {
        let (severity, subject, message) = (code.severity(), subject.into(), message.into());
        Self { code, severity, subject, message, detail: Map::new() }
    }

    /// The same event with another severity than its code has.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The same event with one more detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// Whether that event says the same.
    pub fn is_told_by(&self, event: &Event) -> bool {
        event.code == self.code.name()
            && event.message == self.message
            && event.detail.len() == self.detail.len()
            && event.detail.iter().all(|(name, value)| self.detail.get(name) == Some(value))
    }
}

impl Write<'_> {
    pub(super) fn event(&self, now: u64, event: &NewEvent) -> Result<(), Error> {
        let detail = Value::Object(event.detail.clone()).to_string();
        self.tx
            .prepare_cached(
                "INSERT INTO events (tenant, time, code, severity, subject, message, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                self.tenant,
                now,
                event.code.name(),
                event.severity.name(),
                event.subject,
                event.message,
                detail
            ])?;
        Ok(())
    }
}

impl Db {
    /// Records an event that stands alone.
    pub fn record_event(&mut self, now: u64, event: &NewEvent) -> Result<(), Error> {
        self.write(|write| write.event(now, event))
    }

    /// Events after `after`, oldest first, at most `limit`.
    pub fn events_after(&mut self, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT seq, time, tenant, code, severity, subject, message, detail FROM events
             WHERE seq > ?1 AND tenant = ?2 ORDER BY seq LIMIT ?3",
        )?;
        let rows = select.query_map(params![after, self.tenant, limit], event)?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// The newest events, newest first: of one subject, or of all.
    pub fn newest_events(
        &mut self,
        subject: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT seq, time, tenant, code, severity, subject, message, detail FROM events
             WHERE tenant = ?1 AND (subject = ?2 OR ?2 IS NULL) ORDER BY seq DESC LIMIT ?3",
        )?;
        let rows = select.query_map(params![self.tenant, subject, limit], event)?;
        rows.map(|row| row.map_err(Error::from)).collect()
    }

    /// The number of the newest event, 0 if there is none.
    pub fn last_event(&self) -> Result<u64, Error> {
        let last = self
            .connection
            .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'events'")?
            .query_row(params![], |row| row.get(0))
            .optional()?;
        Ok(last.unwrap_or(0))
    }

    /// How far `reader` has come.
    pub fn cursor(&mut self, reader: &str) -> Result<u64, Error> {
        let seq = self
            .connection
            .prepare_cached("SELECT seq FROM cursors WHERE reader = ?1")?
            .query_row([reader], |row| row.get(0))
            .optional()?;
        Ok(seq.unwrap_or(0))
    }

    /// Notes that `reader` has done everything up to `seq`.
    pub fn set_cursor(&mut self, reader: &str, seq: u64) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO cursors (reader, tenant, seq) VALUES (?1, ?2, ?3)
                 ON CONFLICT (reader) DO UPDATE SET seq = excluded.seq
                 WHERE cursors.seq < excluded.seq",
            )?
            .execute(params![reader, self.tenant, seq])?;
        Ok(())
    }

    /// Forgets events beyond the newest `keep` that every one of `readers` has done.
    pub fn prune_events(&mut self, keep: u64, readers: &[&str]) -> Result<usize, Error> {
        let mut upto = self.last_event()?.saturating_sub(keep);
        for reader in readers {
            upto = upto.min(self.cursor(reader)?);
        }
        Ok(self.connection.execute("DELETE FROM events WHERE seq <= ?1", [upto])?)
    }
}

fn event(row: &Row) -> Result<Event, Fault> {
    let detail: String = row.get(7)?;
    Ok(Event {
        seq: row.get(0)?,
        time: row.get(1)?,
        tenant: row.get(2)?,
        code: row.get(3)?,
        severity: row.get(4)?,
        subject: row.get(5)?,
        message: row.get(6)?,
        detail: serde_json::from_str(&detail)
            .map_err(|_| Fault::Failed(Error::Row { what: "event" }))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    on_both! {
        a_reader_picks_up_where_it_was
        an_event_that_was_not_shipped_is_not_forgotten
    }

    fn a_reader_picks_up_where_it_was(mut db: Db) {
        for n in 1..=5 {
            let event = NewEvent::new(Code::CertIssued, "dev-1", format!("{n}"));
            db.record_event(n, &event.with("n", n)).unwrap();
        }
        db.set_cursor("syslog", 3).unwrap();
        db.set_cursor("syslog", 2).unwrap();
        let from = db.cursor("syslog").unwrap();
        let rest = db.events_after(from, 10).unwrap();
        assert_eq!(rest.iter().map(|event| event.seq).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(rest[0].detail["n"], 4);
        assert_eq!(db.newest_events(Some("dev-1"), 1).unwrap()[0].seq, 5);
        assert_eq!(db.newest_events(Some("dev-2"), 1).unwrap(), []);
    }

    fn an_event_that_was_not_shipped_is_not_forgotten(mut db: Db) {
        for n in 1..=5 {
            db.record_event(n, &NewEvent::new(Code::CertIssued, "s", "m")).unwrap();
        }
        db.set_cursor("audit", 5).unwrap();
        db.set_cursor("syslog", 1).unwrap();
        assert_eq!(db.prune_events(2, &["audit", "syslog"]).unwrap(), 1);
        db.set_cursor("syslog", 5).unwrap();
        assert_eq!(db.prune_events(2, &["audit", "syslog"]).unwrap(), 2);
        assert_eq!(db.last_event().unwrap(), 5);
    }
}
