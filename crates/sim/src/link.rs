//! A link that loses, delays, reorders and duplicates messages, as its seed says.

use crate::Side;
use std::collections::VecDeque;
use touchstone_engine::Instant;

/// Numbers by chance, the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The chance of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a link does to messages.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Lost, of a hundred.
    pub loss: u64,
    /// Delivered twice, of a hundred.
    pub duplicates: u64,
    /// Delayed by up to so many milliseconds; what was sent later may arrive earlier.
    pub delay: u64,
}

impl Weather {
    /// Everything arrives, at once, once.
    pub const FAIR: Self = Self { loss: 0, duplicates: 0, delay: 0 };
    /// A third is lost, a fifth comes twice, all of it late and out of order.
    pub const FOUL: Self = Self { loss: 33, duplicates: 20, delay: 400 };
}

/// A link between two sides.
#[derive(Debug)]
pub struct Link {
    weather: Weather,
    chance: Chance,
    flying: VecDeque<(Instant, Side, Vec<u8>)>,
}

impl Link {
    /// A link with this weather; what happens to which message is in the seed.
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self { weather, chance: Chance::new(seed), flying: VecDeque::new() }
    }

    /// Sends `bytes` to `to`.
    pub fn send(&mut self, now: Instant, to: Side, bytes: &[u8]) {
        let copies = 1 + u64::from(self.chance.percent(self.weather.duplicates));
        for _ in 0..copies {
            if !self.chance.percent(self.weather.loss) {
                let delay = self.chance.below(self.weather.delay + 1);
                let at = now + std::time::Duration::from_millis(delay);
                self.flying.push_back((at, to, bytes.to_vec()));
            }
        }
    }

    /// When the next message arrives.
    pub fn due(&self) -> Option<Instant> {
        self.flying.iter().map(|(at, ..)| *at).min()
    }

    /// The next message that has arrived by now.
    pub fn receive(&mut self, now: Instant) -> Option<(Side, Vec<u8>)> {
        let index = self.flying.iter().position(|(at, ..)| *at <= now)?;
        let (_, to, bytes) = self.flying.remove(index)?;
        Some((to, bytes))
    }
}
