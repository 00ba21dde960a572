//! What was proven of each device last: a TPM whose state was put back shows by it, and the device sends
//! only what is new in its IMA list, while the fleet judges it all. A fleet that lost this asks for
//! everything once.

use super::connection::OptionalExtension;
use super::value::params;
use super::{Db, Write};
use crate::Error;
use touchstone_evidence::{History, ImaMark};
use touchstone_measure::ima::Boot;

impl Db {
    /// What is known of a device's list already.
    pub fn ima_mark(&mut self, device: &str) -> Result<Option<ImaMark>, Error> {
        let mut select = self.connection.prepare_cached(
            "SELECT resets, restarts, entries FROM history
             WHERE device = ?1 AND tenant = ?2 AND entries > 0",
        )?;
        let mark = select.query_row([device, &self.tenant], |row| {
            let boot = Boot { resets: row.get(0)?, restarts: row.get(1)? };
            Ok(ImaMark { boot, entries: row.get(2)? })
        });
        Ok(mark.optional()?)
    }

    /// All of it, as [`History::encode`] wrote it.
    pub fn history(&mut self, device: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut select = self
            .connection
            .prepare_cached("SELECT history FROM history WHERE device = ?1 AND tenant = ?2")?;
        Ok(select.query_row([device, &self.tenant], |row| row.get(0)).optional()?)
    }
}

impl Write<'_> {
    /// Puts what is proven now in the place of what was proven before.
    pub(super) fn replace_history(&self, device: &str, history: &History) -> Result<(), Error> {
        let Boot { resets, restarts } = history.moment().boot();
        let entries = history.mark().map_or(0, |mark| mark.entries);
        self.tx
            .prepare_cached(
                "INSERT INTO history (device, tenant, resets, restarts, entries, history)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (device) DO UPDATE SET
                     tenant = excluded.tenant, resets = excluded.resets,
                     restarts = excluded.restarts, entries = excluded.entries,
                     history = excluded.history",
            )?
            .execute(params![device, self.tenant, resets, restarts, entries, history.encode()])?;
        Ok(())
    }

    /// Forgets it: the counters of a TPM are disguised by each key in another way.
    pub(super) fn forget_history(&self, device: &str) -> Result<(), Error> {
        self.tx.prepare_cached("DELETE FROM history WHERE device = ?1")?.execute([device])?;
        Ok(())
    }
}
