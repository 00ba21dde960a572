//! Whether the fleet is to hear at once of what was just found. Evidence in haste is of the code of every
//! process as it is now; beside it stands what the evidence before said of everything else, with its age.
//! The next evidence, which is in no haste, holds everything anew. What else there is to do about it waits
//! until the fleet has answered.

use super::lock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What was found, what of it evidence has told, and what of that the fleet has heard.
#[derive(Debug, Default)]
pub(super) struct Haste {
    at: Mutex<At>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct At {
    found: u64,
    told: u64,
    heard: u64,
}

/// Evidence in haste, until it is given or could not be.
pub(super) struct Telling<'a>(&'a Haste, u64);

impl Haste {
    /// Something was found.
    pub(super) fn begin(&self) {
        lock(&self.at).found += 1;
    }

    /// Evidence begins: whether it is in haste.
    pub(super) fn telling(&self) -> Option<Telling<'_>> {
        let at = lock(&self.at);
        (at.found > at.told).then(|| Telling(self, at.found))
    }

    /// The fleet has answered the last evidence.
    pub(super) fn heard(&self) {
        let mut at = lock(&self.at);
        at.heard = at.told;
        drop(at);
        self.over.notify_all();
    }

    /// Waits until there is nothing that the fleet has not heard, but no longer than this.
    pub(super) fn wait(&self, patience: Duration) {
        let waited =
            self.over.wait_timeout_while(lock(&self.at), patience, |at| at.found > at.heard);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        let Self(haste, found) = self;
        let mut at = lock(&haste.at);
        at.told = at.told.max(*found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_while_evidence_is_made_is_told_by_the_next() {
        let haste = Haste::default();
        assert!(haste.telling().is_none());
        haste.begin();
        let telling = haste.telling().unwrap();
        haste.begin();
        drop(telling);
        drop(haste.telling().unwrap());
        assert!(haste.telling().is_none());
    }

    #[test]
    fn whoever_waits_goes_on_when_the_fleet_has_heard_or_does_not_answer() {
        let haste = Haste::default();
        haste.begin();
        haste.wait(Duration::from_millis(1));
        std::thread::scope(|scope| {
            scope.spawn(|| haste.wait(Duration::from_hours(1)));
            drop(haste.telling());
            haste.heard();
        });
    }
}
