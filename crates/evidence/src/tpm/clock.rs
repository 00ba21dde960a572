//! A TPM's clock against what it was before (TPM 2.0 Part 1 §36): a TPM whose state was put back,
//! or a quote that is older than one that we have seen, shows by it.

use super::attest::{Attest, ClockInfo};
use core::fmt;
use touchstone_measure::ima::Boot;

/// How far the clock may fall back when power was lost, in milliseconds: TPMs save it at least
/// every 2^22 (TPM 2.0 Part 1 §36.2).
const MOST_LOST: u64 = 1 << 22;

/// A moment in the life of a TPM, as it signed it.
///
/// For a key outside the endorsement and the platform hierarchy the counters and the version are
/// disguised, by numbers that stay the same for this key (TPM 2.0 Part 1 §36.7): compare only
/// moments that the same key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The clock.
    pub clock: ClockInfo,
    /// The TPM's firmware version.
    pub firmware_version: u64,
}

/// What went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnedBack {
    /// resetCount.
    ResetCount {
        /// As it was.
        last: u32,
        /// As it is said to be.
        now: u32,
    },
    /// restartCount, without a reset.
    RestartCount {
        /// As it was.
        last: u32,
        /// As it is said to be.
        now: u32,
    },
    /// The clock, further than a loss of power explains.
    Clock {
        /// As it was, in milliseconds.
        last: u64,
        /// As it is said to be.
        now: u64,
    },
}

impl Moment {
    /// The moment of a statement.
    pub const fn of(attest: &Attest) -> Self {
        Self { clock: attest.clock, firmware_version: attest.firmware_version }
    }

    /// The boot that it is in.
    pub const fn boot(&self) -> Boot {
        Boot { resets: self.clock.reset_count, restarts: self.clock.restart_count }
    }

    /// That this moment is not before `last`, both signed by the same key.
    pub fn check_after(&self, last: &Self) -> Result<(), TurnedBack> {
        let (now, last) = (&self.clock, &last.clock);
        if is_back(last.reset_count, now.reset_count) {
            let (last, now) = (last.reset_count, now.reset_count);
            return Err(TurnedBack::ResetCount { last, now });
        }
        let same_boot = last.reset_count == now.reset_count;
        if same_boot && is_back(last.restart_count, now.restart_count) {
            let (last, now) = (last.restart_count, now.restart_count);
            return Err(TurnedBack::RestartCount { last, now });
        }
        let same_power = same_boot && last.restart_count == now.restart_count;
        let slack = if now.safe || same_power { 0 } else { MOST_LOST };
        if now.clock.saturating_add(slack) < last.clock {
            return Err(TurnedBack::Clock { last: last.clock, now: now.clock });
        }
        Ok(())
    }

    /// Whether the TPM runs another firmware than it did.
    pub const fn is_other_firmware(&self, last: &Self) -> bool {
        self.firmware_version != last.firmware_version
    }
}

/// A disguised counter may wrap, so the nearer way round counts.
const fn is_back(last: u32, now: u32) -> bool {
    now.wrapping_sub(last) > u32::MAX / 2
}

impl TurnedBack {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ResetCount { .. } => "evidence.clock.reset-count",
            Self::RestartCount { .. } => "evidence.clock.restart-count",
            Self::Clock { .. } => "evidence.clock.back",
        }
    }
}

impl fmt::Display for TurnedBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResetCount { last, now } => {
                write!(f, "the TPM counts {now} resets and counted {last} before")
            }
            Self::RestartCount { last, now } => {
                write!(f, "the TPM counts {now} restarts and counted {last} before")
            }
            Self::Clock { last, now } => {
                write!(f, "the TPM's clock stands at {now} ms and stood at {last} ms before")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(reset_count: u32, restart_count: u32, clock: u64, safe: bool) -> Moment {
        let clock = ClockInfo { clock, reset_count, restart_count, safe };
        Moment { clock, firmware_version: 1 }
    }

    #[test]
    fn time_goes_on_through_restarts_and_resets() {
        let last = at(3, 1, 10_000_000, true);
        for now in [
            at(3, 1, 10_000_000, true),
            at(3, 1, 10_000_001, false),
            at(3, 2, 10_000_001, true),
            at(4, 0, 10_000_001, true),
            // Power was lost: what was not saved is gone, and the TPM says so.
            at(4, 0, 10_000_000 - MOST_LOST, false),
        ] {
            assert_eq!(now.check_after(&last), Ok(()), "{now:?}");
        }
        assert_eq!(at(0, 0, 0, false).check_after(&at(u32::MAX, 0, 0, true)), Ok(()));
    }

    #[test]
    fn each_way_back_is_told() {
        let last = at(3, 1, 10_000_000, true);
        let back = |now: Moment| now.check_after(&last).unwrap_err();
        assert_eq!(back(at(2, 9, 99_000_000, true)), TurnedBack::ResetCount { last: 3, now: 2 });
        assert_eq!(back(at(3, 0, 99_000_000, true)), TurnedBack::RestartCount { last: 1, now: 0 });
        for now in [
            at(3, 1, 9_999_999, false),
            at(3, 2, 9_999_999, true),
            at(4, 0, 9_999_999, true),
            at(4, 0, 10_000_000 - MOST_LOST - 1, false),
        ] {
            let clock = TurnedBack::Clock { last: 10_000_000, now: now.clock.clock };
            assert_eq!(back(now), clock);
        }
    }
}
