//! How much may be told of what goes on without end: so much at once, and then at a bounded pace.

use std::time::{Duration, Instant};

/// Room for entries of a log. What finds none is counted, so that the next entry can say how much that
/// was.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    at_once: u32,
    one_every: Duration,
    left: u32,
    since: Instant,
    left_out: u64,
}

impl Room {
    /// Room for `at_once` entries, and for one more after each `one_every`, which is not 0.
    pub const fn new(at_once: u32, one_every: Duration, now: Instant) -> Self {
        Self { at_once, one_every, left: at_once, since: now, left_out: 0 }
    }

    /// Whether one more may be written.
    pub fn take(&mut self, now: Instant) -> bool {
        let one_every = self.one_every.as_millis().max(1);
        let grown = now.saturating_duration_since(self.since).as_millis() / one_every;
        let grown = u32::try_from(grown).unwrap_or(u32::MAX);
        if grown > 0 {
            self.since += self.one_every.saturating_mul(grown);
            self.left = self.left.saturating_add(grown).min(self.at_once);
        }
        let may = self.left > 0;
        if may {
            self.left -= 1;
        } else {
            self.left_out += 1;
        }
        may
    }

    /// How many were left out since this was asked last.
    pub const fn left_out(&mut self) -> u64 {
        std::mem::replace(&mut self.left_out, 0)
    }

    /// So many more were left out, for another reason.
    pub const fn leave_out(&mut self, more: u64) {
        self.left_out = self.left_out.saturating_add(more);
    }
}
