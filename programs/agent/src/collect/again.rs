//! When a process is looked at after something was told of it. Hooks are asked before a deed is done,
//! and whoever takes hold of a process does something to it afterwards: so the first look comes soon,
//! and more follow, close together at first. What is told when it is done is looked at right then. Looks take no more than their share of a processor.
//! No clock in here; the owner says what time it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Processes that wait for a look at once; of more, the next look at all sees what there is.
const MOST: usize = 1024;

/// So long, about, what was found is on its way.
const TELLING: Duration = ms(40);

/// Looks because of signals take at most one part of this many of a core's time.
const SHARE: u32 = 4;

/// What is to be expected after a signal: how soon it is looked, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks(&'static [Duration]);

impl Looks {
    /// It is done.
    pub const DONE: Self = Self(&[Duration::ZERO]);
    /// A program starts, or maps one of its libraries: it gets to map the others first.
    pub const ONCE: Self = Self(&[ms(20)]);
    /// Memory of no file becomes executable: a mapping stays to be seen.
    pub const MAPPED: Self = Self(&[ms(4), ms(40), ms(150)]);
    /// Code of a file may be written to in the next moment, or somebody holds the process; on a busy
    /// machine he may get to it late.
    pub const WRITTEN: Self = Self(&[
        ms(1),
        ms(4),
        ms(10),
        ms(18),
        ms(28),
        ms(40),
        ms(70),
        ms(120),
        ms(200),
        ms(400),
        ms(800),
        ms(1_600),
        ms(3_200),
    ]);
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    next: Instant,
    from: Instant,
    step: usize,
    looks: Looks,
}

/// Who is to be looked at, and when.
#[derive(Debug, Default)]
pub struct Again {
    waiting: BTreeMap<u32, Waiting>,
    /// No look comes before.
    rests: Option<Instant>,
}

impl Again {
    /// Something was told of a process.
    pub fn signal(&mut self, pid: u32, looks: Looks, now: Instant) {
        let Some(first) = looks.0.first().map(|first| now + *first) else { return };
        let anew = Waiting { next: first, from: now, step: 0, looks };
        let full = self.waiting.len() >= MOST;
        match self.waiting.get_mut(&pid) {
            // Signals without end must not put the look off, nor shorten what is to come.
            Some(waiting) if waiting.looks.0.len() > looks.0.len() => {
                waiting.next = waiting.next.min(first);
            }
            Some(waiting) => *waiting = Waiting { next: waiting.next.min(first), ..anew },
            None if !full => {
                self.waiting.insert(pid, anew);
            }
            None => {}
        }
    }

    /// When there is somebody to look at.
    pub fn due(&self) -> Option<Instant> {
        let due = self.waiting.values().map(|waiting| waiting.next).min()?;
        Some(self.rests.map_or(due, |rests| rests.max(due)))
    }

    /// A look that began then has taken so long: there is a rest before the next.
    pub fn looked(&mut self, begun: Instant, took: Duration) {
        self.rests = begun.checked_add(took.saturating_mul(SHARE));
    }

    /// Something was found and is being told, which takes a look of its own: there is a rest meanwhile.
    pub fn told(&mut self, now: Instant) {
        self.rests = self.rests.max(Some(now + TELLING));
    }

    /// Those who are to be looked at now.
    pub fn take(&mut self, now: Instant) -> Vec<u32> {
        let mut taken = Vec::new();
        if self.rests.is_some_and(|rests| now < rests) {
            return taken;
        }
        self.waiting.retain(|pid, waiting| {
            if waiting.next > now {
                return true;
            }
            taken.push(*pid);
            // Looks that were missed are one.
            loop {
                match waiting.looks.0.get(waiting.step) {
                    Some(after) if waiting.from + *after > now => {
                        waiting.next = waiting.from + *after;
                        return true;
                    }
                    Some(_) => waiting.step += 1,
                    None => return false,
                }
            }
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds after `start` at which `pid` is looked at.
    fn looks_of(again: &mut Again, start: Instant, until: u64) -> Vec<u64> {
        (0..until).filter(|at| !again.take(start + ms(*at)).is_empty()).collect()
    }

    #[test]
    fn looks_come_close_together_at_first_and_end() {
        let start = Instant::now();
        let mut again = Again::default();
        again.signal(7, Looks::WRITTEN, start);
        assert_eq!(again.due(), Some(start + ms(1)));
        let looks = looks_of(&mut again, start, 4_000);
        assert_eq!(looks, [1, 4, 10, 18, 28, 40, 70, 120, 200, 400, 800, 1_600, 3_200]);
        assert_eq!(again.due(), None);
        let close = looks.windows(2).take_while(|it| it[1] <= 40).all(|it| it[1] - it[0] <= 12);
        assert!(close, "a write in the first 40 ms is seen within 12");
    }

    #[test]
    fn what_is_done_is_looked_at_right_then_whatever_else_is_to_come() {
        let start = Instant::now();
        let mut again = Again::default();
        again.signal(8, Looks::DONE, start);
        assert_eq!(looks_of(&mut again, start, 4_000), [0]);
        again.signal(7, Looks::WRITTEN, start);
        again.signal(7, Looks::DONE, start);
        let looks = looks_of(&mut again, start, 4_000);
        assert_eq!(looks, [0, 1, 4, 10, 18, 28, 40, 70, 120, 200, 400, 800, 1_600, 3_200]);
    }

    #[test]
    fn signals_without_end_neither_put_a_look_off_nor_shorten_what_is_to_come() {
        let start = Instant::now();
        let mut again = Again::default();
        let mut looks = 0;
        for at in 0..100 {
            again.signal(7, Looks::WRITTEN, start + ms(at));
            again.signal(7, Looks::ONCE, start + ms(at));
            looks += again.take(start + ms(at)).len();
        }
        assert!((20..=100).contains(&looks), "{looks}");
        assert!(looks_of(&mut again, start + ms(99), 4_000).len() >= 12);
    }

    #[test]
    fn a_look_that_came_late_counts_for_all_that_were_due() {
        let start = Instant::now();
        let mut again = Again::default();
        again.signal(7, Looks::WRITTEN, start);
        assert_eq!(again.take(start + ms(150)), [7]);
        assert_eq!(again.due(), Some(start + ms(200)));
    }

    #[test]
    fn a_look_that_takes_long_is_followed_by_a_rest() {
        let start = Instant::now();
        let mut again = Again::default();
        again.signal(7, Looks::WRITTEN, start);
        assert_eq!(again.take(start + ms(4)), [7]);
        again.looked(start + ms(4), ms(5));
        assert_eq!(again.due(), Some(start + ms(24)));
        again.signal(8, Looks::MAPPED, start + ms(10));
        assert_eq!(again.take(start + ms(23)), [0; 0]);
        assert_eq!(again.take(start + ms(24)), [7, 8], "nothing that was due is lost");
    }

    #[test]
    fn while_something_is_told_nobody_is_looked_at_and_nothing_is_lost() {
        let start = Instant::now();
        let mut again = Again::default();
        again.signal(7, Looks::WRITTEN, start);
        assert_eq!(again.take(start + ms(4)), [7]);
        again.looked(start + ms(4), ms(1));
        again.told(start + ms(5));
        again.signal(8, Looks::DONE, start + ms(6));
        assert_eq!(again.due(), Some(start + ms(45)));
        assert_eq!(again.take(start + ms(45)), [7, 8]);
    }

    #[test]
    fn as_many_wait_as_there_is_room_for() {
        let start = Instant::now();
        let mut again = Again::default();
        (0..5_000).for_each(|pid| again.signal(pid, Looks::ONCE, start));
        assert_eq!(again.take(start + ms(20)).len(), MOST);
    }
}
