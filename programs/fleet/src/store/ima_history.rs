//! The quoted part of each device's IMA list: the device sends what is new, the fleet judges it all.
//! A fleet that lost this asks for everything once.

use super::connection::OptionalExtension;
use super::value::params;
use super::{Db, Write};
use crate::Error;
use touchstone_evidence::{ImaHistory, ImaMark};

impl Db {
    /// What is known of a device's list already.
    pub fn ima_mark(&mut self, device: &str) -> Result<Option<ImaMark>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT boot, entries FROM ima_history WHERE device = ?1 AND tenant = ?2",
        )?;
        let mark = select.query_row([device, &self.tenant], |row| {
            Ok(ImaMark { boot: row.get(0)?, entries: row.get(1)? })
        });
        Ok(mark.optional()?)
    }

    /// The list, as [`ImaHistory::encode`] wrote it.
    pub fn ima_history(&mut self, device: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT history FROM ima_history WHERE device = ?1 AND tenant = ?2")?;
        Ok(select.query_row([device, &self.tenant], |row| row.get(0)).optional()?)
    }
}

impl Write<'_> {
    /// Puts a list in the place of the one before.
    pub(super) fn replace_ima_history(
        &self,
        device: &str,
        history: &ImaHistory,
    ) -> Result<(), Error> {
        let ImaMark { boot, entries } = history.mark();
        self.tx
            .prepare_cached(
                "INSERT INTO ima_history (device, tenant, boot, entries, history)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (device) DO UPDATE SET
                     tenant = excluded.tenant, boot = excluded.boot, entries = excluded.entries,
                     history = excluded.history",
            )?
            .execute(params![device, self.tenant, boot, entries, history.encode()])?;
        Ok(())
    }
}
