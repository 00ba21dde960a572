//! When what did not succeed is tried again: attesting when the fleet is not there, and asking for a
//! certificate when it says no, or not yet. No clock: the time and the dice are given.

use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The longest time between two requests that the fleet refuses.
const LONGEST_REFUSED: Duration = Duration::from_mins(15);
/// The longest that the fleet may put a request off at a time (`Retry-After`).
const LONGEST_PUT_OFF: Duration = Duration::from_hours(1);

/// Three quarters of `pause` to five quarters, by an octet of chance, so that a fleet that comes back is
/// not overrun.
pub fn jittered(pause: Duration, chance: u8) -> Duration {
    pause * 3 / 4 + pause * u32::from(chance) / 512
}

/// How long to wait after rounds that came to nothing. It does not end: a fleet may be down for days.
#[derive(Debug)]
pub struct Patience {
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { pause: FIRST_PAUSE }
    }
}

impl Patience {
    /// A round came to nothing; so long until the next. Twice as long each time, up to a minute or four
    /// usual intervals, whichever is less.
    pub fn failed(&mut self, interval: Duration, chance: u8) -> Duration {
        let wait = jittered(self.pause, chance);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE.min(interval * 4).max(FIRST_PAUSE));
        wait
    }

    /// One succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

/// When a certificate may be asked for again. Attesting and healing go on meanwhile, at their pace.
#[derive(Debug, Default)]
pub struct Pace {
    refused: u32,
    until: Option<Instant>,
}

impl Pace {
    /// Whether it is time.
    pub fn is_due(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// The fleet said no: ask again after `pause`, twice as long after the next no, and so on.
    pub fn refused(&mut self, now: Instant, pause: Duration, chance: u8) {
        let pause = jittered(pause, chance).saturating_mul(2_u32.saturating_pow(self.refused));
        self.refused = self.refused.saturating_add(1);
        self.until = now.checked_add(pause.min(LONGEST_REFUSED));
    }

    /// Somebody has yet to decide: ask again when the fleet says so, within bounds.
    pub fn put_off(&mut self, now: Instant, after: Duration) {
        self.until = now.checked_add(after.clamp(FIRST_PAUSE, LONGEST_PUT_OFF));
    }

    /// There is a certificate.
    pub fn granted(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither longer nor shorter.
    const EVEN: u8 = 128;

    #[test]
    fn a_device_that_is_refused_asks_less_and_less_often_and_never_stops() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut pace = Pace::default();
        let mut now = start;
        assert!(pace.is_due(now));
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
            pace.refused(now, second, EVEN);
            let almost = Duration::from_millis(u64::from(expected) * 1000 - 1);
            assert!(!pace.is_due(now + almost), "{expected}");
            now += second * expected;
            assert!(pace.is_due(now), "{expected}");
        }
        pace.granted();
        assert!(pace.is_due(start));
    }

    #[test]
    fn a_fleet_puts_a_request_off_for_an_hour_at_the_most() {
        let now = Instant::now();
        for (said, kept) in [(0, 1), (30, 30), (u64::MAX, 3600)] {
            let mut pace = Pace::default();
            pace.put_off(now, Duration::from_secs(said));
            assert!(!pace.is_due(now + Duration::from_millis(kept * 1000 - 1)), "{said}");
            assert!(pace.is_due(now + Duration::from_secs(kept)), "{said}");
        }
    }

    #[test]
    fn a_fleet_that_is_not_there_is_looked_for_every_minute_whatever_the_dice_say() {
        for chance in [0, EVEN, u8::MAX] {
            let mut patience = Patience::default();
            let interval = Duration::from_mins(5);
            let waits: Vec<u64> =
                (0..9).map(|_| patience.failed(interval, chance).as_secs()).collect();
            assert!(waits.is_sorted() && waits[8] >= 45 && waits[8] <= 75, "{waits:?}");
            patience.succeeded();
            assert!(patience.failed(interval, chance) <= Duration::from_millis(1250));
        }
    }
}
