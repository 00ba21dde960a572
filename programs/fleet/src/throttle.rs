//! Keeps somebody who fails again and again from filling the log: one event a minute for each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Of whom something was told, and when.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<String, u64>>);

impl Throttle {
    const PAUSE: u64 = 60;
    const MOST: usize = 4096;

    /// Whether it may be told of `who` now; if so, it counts as told.
    pub(crate) fn may_tell(&self, who: &str, now: u64) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| at.saturating_add(Self::PAUSE) > now);
        if told.contains_key(who) || told.len() >= Self::MOST {
            return false;
        }
        told.insert(who.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_who_fails_again_and_again_is_told_of_once_a_minute() {
        let throttle = Throttle::default();
        assert!(throttle.may_tell("a", 100));
        assert!(!throttle.may_tell("a", 159));
        assert!(throttle.may_tell("b", 159));
        assert!(throttle.may_tell("a", 160));
    }
}
