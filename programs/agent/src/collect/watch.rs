//! The scanner, and what it saw last: whether a look shows anything new, and what there is to say at once
//! when it does.

use super::Error;
use super::finding::{Finding, Kind};
use super::pages::{Look, MOST, Scanner};
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What somebody is woken for: code that is not its file's, or is of no file of a disk.
const ALARMING: [Kind; 5] =
    [Kind::Patched, Kind::Breakpoint, Kind::Memfd, Kind::Preloaded, Kind::Relro];

/// Watches running code.
#[derive(Debug)]
pub struct Watch {
    scanner: Scanner,
    watched: Vec<PathBuf>,
    /// What the last look at all saw, when, and its mark.
    last: Option<(Look, Instant, u64)>,
    /// What was found since, and somebody was woken for.
    alarmed: HashSet<Finding>,
}

impl Watch {
    /// Watches with this scanner; that processes of `watched` come, go or were replaced counts, too.
    pub fn new(scanner: Scanner, watched: Vec<PathBuf>) -> Self {
        Self { scanner, watched, last: None, alarmed: HashSet::new() }
    }

    /// Looks, and says whether anything that counts is different from the last look; the first look
    /// is not.
    pub fn look(&mut self) -> Result<(Look, bool), Error> {
        let begun = Instant::now();
        let look = self.scanner.look()?;
        let mut hasher = std::hash::DefaultHasher::new();
        look.fingerprint().hash(&mut hasher);
        for process in super::process::running(&self.watched)? {
            (process.pid, process.start, process.replaced).hash(&mut hasher);
        }
        let now = hasher.finish();
        let before = self.last.replace((look.clone(), begun, now));
        self.alarmed.retain(|known| look.findings.contains(known));
        Ok((look, before.is_some_and(|(_, _, before)| before != now)))
    }

    /// Looks at processes to which something happened: whether there is code in them that should not be,
    /// and was not found before, comes second.
    pub fn look_at(&mut self, pids: &[u32]) -> (Look, bool) {
        let look = self.scanner.look_at(pids);
        let mut new = false;
        for it in look.findings.iter().filter(|it| ALARMING.contains(&it.kind)) {
            if self.alarmed.len() >= MOST {
                self.alarmed.clear();
            }
            new |= self.alarmed.insert(it.clone());
        }
        (look, new)
    }

    /// Looks again at those processes in which something was found, and adds what the last look at all saw
    /// of the others; and how long ago that was.
    pub fn look_in_haste(&mut self) -> Result<(Look, Duration), Error> {
        let mut pids: Vec<u32> = self.alarmed.iter().map(|it| it.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        let Some((last, at, _)) = &self.last else {
            return Ok((self.look()?.0, Duration::ZERO));
        };
        let age = at.elapsed();
        let mut look = last.clone();
        look.findings.retain(|it| pids.binary_search(&it.pid).is_err());
        look.findings.extend(self.scanner.look_at(&pids).findings);
        look.findings.sort();
        look.findings.truncate(MOST);
        look.mapped.iter_mut().for_each(|it| it.age += age);
        Ok((look, age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::pages::Scope;
    use crate::tests::Victim;

    fn watch(of: &[&Victim]) -> Watch {
        let scope = Scope::Processes(of.iter().map(|it| it.pid()).collect());
        Watch::new(Scanner::new(scope, Duration::from_mins(10), 1), Vec::new())
    }

    #[test]
    fn somebody_is_woken_once_for_what_was_found_and_again_when_it_changes() {
        let victim = Victim::start();
        let mut watch = watch(&[&victim]);
        watch.look().unwrap();
        let mut woken = || watch.look_at(&[victim.pid()]).1;
        assert!(!woken());
        victim.patch(&[0x5a]);
        assert!(woken() && !woken());
        victim.patch(&[0x5b]);
        assert!(woken() && !woken());
    }

    #[test]
    fn in_haste_what_was_found_is_looked_at_anew_and_the_rest_is_as_old_as_it_says() {
        let (victim, other) = (Victim::start(), Victim::start());
        let mut watch = watch(&[&victim, &other]);
        other.patch(&[0x5a]);
        watch.look().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        victim.patch(&[0x5a]);
        assert!(watch.look_at(&[victim.pid()]).1);
        victim.patch(&[0x5b]);
        let (look, age) = watch.look_in_haste().unwrap();
        assert!(age >= Duration::from_millis(20));
        assert!(look.mapped.iter().all(|it| it.age >= age));
        let mut found: Vec<_> = look.of(Kind::Patched).map(|it| it.pid).collect();
        found.sort_unstable();
        let mut expected = [victim.pid(), other.pid()];
        expected.sort_unstable();
        assert_eq!(found, expected);
        let of_victim = look.findings.iter().find(|it| it.pid == victim.pid()).unwrap();
        assert!(of_victim.why.contains("is 0x5b"), "{}", of_victim.why);
    }

    #[test]
    fn without_a_look_at_all_there_is_one() {
        let victim = Victim::start();
        victim.patch(&[0x5a]);
        let (look, age) = watch(&[&victim]).look_in_haste().unwrap();
        assert_eq!((look.of(Kind::Patched).count(), age), (1, Duration::ZERO));
    }
}
