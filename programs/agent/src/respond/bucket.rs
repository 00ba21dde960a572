//! A token bucket for each countermeasure: a policy that is wrong, or a verifier that was taken over,
//! does not stop a plant in one go.

use super::action::Action;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many may be taken at once, and how long it takes until one more may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At once.
    pub burst: u32,
    /// Until one more.
    pub every: Duration,
}

/// The buckets. They start full.
#[derive(Clone, Debug)]
pub struct Buckets {
    limit: Limit,
    /// Seconds of credit that are missing, and when that was so.
    missing: BTreeMap<Action, (u64, u64)>,
}

impl Buckets {
    /// Full ones.
    pub const fn new(limit: Limit) -> Self {
        Self { limit, missing: BTreeMap::new() }
    }

    /// Takes a token at `now` (Unix seconds); false if there is none.
    pub fn take(&mut self, action: Action, now: u64) -> bool {
        let price = self.limit.every.as_secs();
        let most = price.saturating_mul(self.limit.burst.into());
        let (missing, at) = self.missing.get(&action).copied().unwrap_or((0, now));
        // A clock that was set back gives nothing.
        let missing = missing.saturating_sub(now.saturating_sub(at));
        let enough = missing.saturating_add(price) <= most;
        let missing = if enough { missing + price } else { missing };
        self.missing.insert(action, (missing, now.max(at)));
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_at_a_time() {
        let mut buckets = Buckets::new(Limit { burst: 2, every: Duration::from_mins(1) });
        let taken: Vec<bool> = (0..3).map(|_| buckets.take(Action::Freeze, 100)).collect();
        assert_eq!(taken, [true, true, false]);
        assert!(buckets.take(Action::StopUnit, 100), "each has its own");
        assert!(!buckets.take(Action::Freeze, 159));
        assert!(buckets.take(Action::Freeze, 160));
        assert!(!buckets.take(Action::Freeze, 50), "a clock that was set back gives nothing");
    }
}
