//! What was measured and is new, as entries of the device's audit log: each finding once, each program
//! at its first start, each change of the configuration. What changes all the time is told no faster
//! than a person or a SIEM could take it, and then how much was left out.

use super::{Keeper, lock};
use crate::collect::exec::Started;
use crate::collect::finding::{Finding, Kind, hex, plain};
use crate::collect::pages::Look;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};
use touchstone_audit::{Code, Room, Severity};
use touchstone_evidence::runtime::{Observation, Observed};

/// Entries that may be written at once, and how soon there is room for one more.
const AT_ONCE: u32 = 120;
const ONE_EVERY: Duration = Duration::from_millis(500);
/// Programs that are remembered as seen.
const PROGRAMS: usize = 16_384;
/// Findings that are remembered as told.
const FINDINGS: usize = 4_096;
/// Elements of a list that are told one by one.
const ELEMENTS: usize = 4;
/// How often it is told that evidence is given: a verdict that changes is told at once.
const EVIDENCE: Duration = Duration::from_mins(15);
/// What differs from look to look although nothing changed.
const RESTLESS: &[&str] = &["config.time-synchronised"];

/// What was told already.
pub(super) struct News {
    keyed: RandomState,
    findings: HashSet<u64>,
    programs: HashSet<u64>,
    configuration: BTreeMap<String, Observation>,
    evidence: Option<Instant>,
    /// Evidence since it was told of.
    given: u64,
    room: Room,
}

impl Default for News {
    fn default() -> Self {
        Self {
            keyed: RandomState::new(),
            findings: HashSet::new(),
            programs: HashSet::new(),
            configuration: BTreeMap::new(),
            evidence: None,
            given: 0,
            room: Room::new(AT_ONCE, ONE_EVERY, Instant::now()),
        }
    }
}

/// An entry that is to be written.
pub(super) type Told = (Code, Option<Severity>, Vec<(&'static str, String)>);

impl News {
    /// What a look at running code has found and none before. After a look at all, what is gone may
    /// be told again when it comes back.
    fn findings(&mut self, look: &Look, of_all: bool) -> Vec<Told> {
        let (mut now, mut told) = (HashSet::new(), Vec::new());
        for finding in &look.findings {
            let mark = self.keyed.hash_one(mark(finding));
            now.insert(mark);
            if self.findings.insert(mark) {
                told.extend(of_finding(finding));
            }
        }
        if of_all || self.findings.len() > FINDINGS {
            self.findings = now;
        }
        told
    }

    /// Programs that started, each at its first start; those that were refused, always.
    fn started(&mut self, started: &[Started]) -> Vec<Told> {
        let mut told = Vec::new();
        for it in started {
            let about = |why: Option<&str>| {
                let why = why.map(|why| ("why", why.to_owned()));
                let fields = [("path", plain(&it.path)), ("pid", it.pid.to_string())];
                fields.into_iter().chain(why).collect()
            };
            if let Some(why) = it.refused {
                told.push((Code::ProcessSuspect, None, about(Some(why))));
                continue;
            }
            if self.programs.len() >= PROGRAMS {
                self.programs.clear();
            }
            if self.programs.insert(self.keyed.hash_one(&it.path)) {
                told.push((Code::ProcessStarted, None, about(None)));
            }
        }
        told
    }

    /// How configuration and kernel are set up differently than at the last look; the first look is not.
    fn configured(&mut self, observations: &[Observation]) -> Vec<Told> {
        let counts = |name: &str| {
            (name.starts_with("config.") || name.starts_with("system."))
                && !RESTLESS.contains(&name)
        };
        let mut told = Vec::new();
        for now in observations.iter().filter(|it| counts(&it.name)) {
            let before = self.configuration.insert(now.name.clone(), now.clone());
            let Some(before) = before.filter(|before| before.found != now.found) else { continue };
            let why = difference(&before, now);
            let fields = vec![("claim", now.name.clone()), ("why", why)];
            told.push((Code::ConfigChanged, None, fields));
        }
        told
    }
}

impl News {
    /// Evidence was given; how much was since it was told of, if it is told of now.
    fn given(&mut self, now: Instant) -> Option<u64> {
        self.given += 1;
        if self.evidence.is_some_and(|last| now.saturating_duration_since(last) < EVIDENCE) {
            return None;
        }
        self.evidence = Some(now);
        Some(std::mem::take(&mut self.given))
    }
}

/// What makes a finding another one. Many processes have the same deleted library: it is told once.
fn mark(finding: &Finding) -> (Kind, u32, u64, &str, u64, &str) {
    let Finding { kind, pid, start, path, offset, why, .. } = finding;
    match kind {
        Kind::Deleted => (*kind, 0, 0, path, 0, ""),
        // How much there is of it changes while a compiler works.
        Kind::Generated | Kind::Writable => (*kind, *pid, *start, "", 0, ""),
        Kind::Patched => (*kind, *pid, *start, path, *offset, why),
        _ => (*kind, *pid, *start, path, *offset, ""),
    }
}

fn of_finding(finding: &Finding) -> Option<Told> {
    let (code, severity) = match finding.kind {
        Kind::Patched | Kind::Relro => (Code::CodeChanged, None),
        // A uprobe or a debugger, unless somebody hides behind one.
        Kind::Breakpoint => (Code::CodeChanged, Some(Severity::Warning)),
        Kind::Generated | Kind::Deleted => (Code::CodeMapped, Some(Severity::Notice)),
        Kind::Writable | Kind::Memfd | Kind::Preloaded => (Code::CodeMapped, None),
        // That is the claim's to say: it concerns the agent, not the process.
        Kind::Unreadable => return None,
    };
    let fields = vec![
        ("kind", finding.kind.claim().to_owned()),
        ("pid", finding.pid.to_string()),
        ("process", finding.process.clone()),
        ("path", finding.path.clone()),
        ("offset", format!("{:#x}", finding.offset)),
        ("why", finding.why.clone()),
    ];
    Some((code, severity, fields))
}

/// What came and what went, in a few words.
fn difference(before: &Observation, now: &Observation) -> String {
    match (&before.found, &now.found) {
        (Ok(Observed::List(before)), Ok(Observed::List(now))) => {
            let some = |these: &[Observed], those: &[Observed]| {
                let other: Vec<_> = these.iter().filter(|it| !those.contains(it)).collect();
                let more = other.len().saturating_sub(ELEMENTS);
                let mut words: Vec<String> = other.into_iter().take(ELEMENTS).map(shown).collect();
                if more > 0 {
                    words.push(format!("and {more} more"));
                }
                words.join("; ")
            };
            match (some(now, before), some(before, now)) {
                (came, went) if went.is_empty() => format!("came: {came}"),
                (came, went) if came.is_empty() => format!("went: {went}"),
                (came, went) => format!("came: {came}; went: {went}"),
            }
        }
        (before, now) => {
            let word = |it: &Result<Observed, _>| match it {
                Ok(value) => shown(value),
                Err(touchstone_evidence::runtime::Failure { words, .. }) => {
                    format!("unknown ({words})")
                }
            };
            format!("{}, was {}", word(now), word(before))
        }
    }
}

fn shown(value: &Observed) -> String {
    match value {
        Observed::Boolean(value) => value.to_string(),
        Observed::Integer(value) | Observed::Time(value) => value.to_string(),
        Observed::Text(text) => plain(Path::new(text)),
        Observed::Digest(digest) => digest.to_string(),
        Observed::Span(milliseconds) => format!("{milliseconds} ms"),
        Observed::List(values) => {
            values.iter().take(ELEMENTS).map(shown).collect::<Vec<_>>().join(", ")
        }
        Observed::Record(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} {}", shown(value)));
            fields.collect::<Vec<_>>().join(", ")
        }
    }
}

impl Keeper {
    /// Writes down what a look has found, of all processes or of some.
    pub(super) fn tell_findings(&self, look: &Look, of_all: bool) {
        let told = lock(&self.news).findings(look, of_all);
        self.tell_news(told);
    }

    /// Writes down programs that started.
    pub(super) fn tell_started(&self, started: &[Started]) {
        let told = lock(&self.news).started(started);
        self.tell_news(told);
    }

    /// Writes down that evidence was given for this nonce, the first time and then now and then.
    pub(super) fn tell_evidence(&self, nonce: &[u8], entries: u32) {
        let Some(given) = lock(&self.news).given(Instant::now()) else { return };
        let nonce = hex(nonce.get(..32).unwrap_or(nonce));
        let fields = vec![
            ("nonce", nonce),
            ("ima_from", entries.to_string()),
            ("given_since", given.to_string()),
        ];
        self.tell_news(vec![(Code::EvidenceSent, None, fields)]);
    }

    /// Writes down how the configuration has changed.
    pub(super) fn tell_configuration(&self, observations: &[Observation]) {
        let told = lock(&self.news).configured(observations);
        self.tell_news(told);
    }

    pub(super) fn tell_news(&self, told: Vec<Told>) {
        for (code, severity, fields) in told {
            // What somebody has to act on always has room.
            let urgent = severity.unwrap_or(code.severity()) <= Severity::Critical;
            let dropped = {
                let mut news = lock(&self.news);
                if !news.room.take(Instant::now()) && !urgent {
                    continue;
                }
                news.room.left_out()
            };
            self.tell(code, |event| {
                let event = match severity {
                    Some(severity) => event.severity(severity),
                    None => event,
                };
                let event = fields.iter().fold(event, |event, (name, value)| {
                    if value.is_empty() { event } else { event.with(name, value) }
                });
                if dropped > 0 { event.with("left_out_before", dropped) } else { event }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: Kind, pid: u32, path: &str) -> Finding {
        let (process, why) = ("/bin/app".to_owned(), "because".to_owned());
        Finding { kind, pid, start: 5, process, path: path.to_owned(), offset: 16, why }
    }

    fn look(findings: Vec<Finding>) -> Look {
        Look { findings, ..Look::default() }
    }

    #[test]
    fn a_finding_is_told_once_and_again_after_it_was_gone() {
        let mut news = News::default();
        let patched = look(vec![finding(Kind::Patched, 1, "/lib/a.so")]);
        let told = news.findings(&patched, true);
        assert_eq!(told.iter().map(|it| it.0).collect::<Vec<_>>(), [Code::CodeChanged]);
        assert!(news.findings(&patched, true).is_empty());
        assert!(news.findings(&look(Vec::new()), false).is_empty(), "a look at some others");
        assert!(news.findings(&patched, true).is_empty());
        news.findings(&look(Vec::new()), true);
        assert_eq!(news.findings(&patched, true).len(), 1);
        let upgraded = (1..50).map(|pid| finding(Kind::Deleted, pid, "/lib/c.so")).collect();
        let told = news.findings(&look(upgraded), true);
        assert_eq!(told.len(), 1, "one library, however many have it");
        assert_eq!(told[0].1, Some(Severity::Notice));
        assert!(news.findings(&look(vec![finding(Kind::Unreadable, 9, "")]), true).is_empty());
    }

    #[test]
    fn a_program_is_told_at_its_first_start_and_always_when_it_was_refused() {
        let mut news = News::default();
        let start = |refused| Started { pid: 7, path: "/bin/a\nb".into(), refused };
        let told = news.started(&[start(None), start(None), start(Some("no")), start(Some("no"))]);
        let codes: Vec<_> = told.iter().map(|it| it.0).collect();
        assert_eq!(codes, [Code::ProcessStarted, Code::ProcessSuspect, Code::ProcessSuspect]);
        assert_eq!(told[0].2[0], ("path", "/bin/a\\u{a}b".to_owned()));
    }

    #[test]
    fn evidence_is_told_at_first_and_then_now_and_then_with_how_much_there_was() {
        let (mut news, start) = (News::default(), Instant::now());
        assert_eq!(news.given(start), Some(1));
        for seconds in 1..100 {
            assert_eq!(news.given(start + Duration::from_secs(seconds)), None);
        }
        assert_eq!(news.given(start + EVIDENCE), Some(100));
    }

    #[test]
    fn a_change_of_the_configuration_says_what_came_and_what_went() {
        let mut news = News::default();
        let of = |name: &str, found| Observation { name: name.to_owned(), age_ms: 0, found };
        let list = |items: &[&str]| Ok(Observed::list(items.iter().map(|it| (*it).into())));
        assert!(news.configured(&[of("config.listening", list(&["22"]))]).is_empty());
        assert!(news.configured(&[of("config.listening", list(&["22"]))]).is_empty());
        let told = news.configured(&[of("config.listening", list(&["23"]))]);
        assert_eq!(told[0].2[1], ("why", "came: 23; went: 22".to_owned()));
        assert!(news.configured(&[of("operation.uptime", Ok(1_i64.into()))]).is_empty());
        assert!(news.configured(&[of("operation.uptime", Ok(2_i64.into()))]).is_empty());
    }

    #[test]
    fn whoever_makes_news_without_end_is_told_of_at_a_persons_pace() {
        let start = Instant::now();
        let mut room = Room::new(AT_ONCE, ONE_EVERY, start);
        let taken = (0..1_000).filter(|_| room.take(start)).count();
        assert_eq!((taken, room.left_out()), (120, 880));
        assert!(room.take(start + ONE_EVERY) && !room.take(start + ONE_EVERY));
    }
}
