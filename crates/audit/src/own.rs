//! The log that a program keeps of itself and hands on: opened whatever was done to it, signed in time,
//! in parts of a bounded size, and in pages for whoever takes it over.
//!
//! A log keeps its name for its whole life, since it stands in every signed head, and a new one has
//! another. A log that somebody changed is kept aside as it is, and a new one begins with saying so: a
//! machine that could be silenced by damaging its log would be worse.

use crate::log::sync_folder;
use crate::{Code, Entry, Error, Event, Log, LogKey, Notary, Page, Severity, Tail, parts};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use touchstone_crypto::{Crypto, Signer};

/// Octets of a part of the log, and of all parts.
const PART: u64 = 1 << 20;
const KEEP: u64 = 16 << 20;
/// Octets after which a head is signed, so that what a signed head covers fits a page.
const UNSIGNED: u64 = 512 << 10;
/// Octets of a page, about.
const PAGE: usize = 512 << 10;

/// A log of a program's own.
pub struct OwnLog {
    path: PathBuf,
    /// Where the key lies that others check the log with.
    public: PathBuf,
    crypto: Arc<dyn Crypto>,
    signer: Arc<dyn Signer>,
    /// How a log that begins now is called.
    name: String,
    notary: Notary,
    /// `None` after a failure that only opening it anew can mend.
    log: Option<Log>,
    /// Where the log ended when its head was signed last.
    signed_to: u64,
    aside: Option<PathBuf>,
}

/// What comes next of a log, signed to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The log's key in text, with the log's name.
    pub key: String,
    /// The number of the log's last entry.
    pub last: u64,
    /// Lines of the log, each with its end.
    pub lines: Vec<u8>,
}

impl OwnLog {
    /// Opens the log `audit.jsonl` of that folder; `name` is how a log that begins now is called in its
    /// signed heads. `now` in Unix seconds.
    pub fn open(
        folder: &Path,
        crypto: Arc<dyn Crypto>,
        signer: Arc<dyn Signer>,
        name: &str,
        now: u64,
    ) -> Result<Self, Error> {
        let path = folder.join("audit.jsonl");
        let public = folder.join("audit.pub");
        let begun = begin(&path, &public, &crypto, &signer, name, now)?;
        let Begun { notary, log, aside } = begun;
        let (name, signed_to) = (name.to_owned(), log.length());
        let log = Some(log);
        Ok(Self { path, public, crypto, signer, name, notary, log, signed_to, aside })
    }

    /// How a log that begins from now on is called.
    pub fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// The key that others check the log with.
    pub const fn key(&self) -> &LogKey {
        self.notary.key()
    }

    /// Where a log that somebody changed was put since this was asked last.
    pub const fn put_aside(&mut self) -> Option<PathBuf> {
        self.aside.take()
    }

    /// Writes these with one flush, and signs the head if that is due.
    pub fn write(&mut self, now: u64, events: &[(u64, Event)]) -> Result<(), Error> {
        self.log(now)?;
        let written = self.append(now, events);
        if matches!(written, Err(Error::Stopped)) {
            self.log = None;
        }
        written
    }

    fn log(&mut self, now: u64) -> Result<&mut Log, Error> {
        if self.log.is_none() {
            let (crypto, signer) = (&self.crypto, &self.signer);
            let begun = begin(&self.path, &self.public, crypto, signer, &self.name, now)?;
            let Begun { notary, log, aside } = begun;
            self.aside = aside.or(self.aside.take());
            (self.notary, self.signed_to, self.log) = (notary, log.length(), Some(log));
        }
        self.log.as_mut().ok_or(Error::Stopped)
    }

    fn append(&mut self, now: u64, events: &[(u64, Event)]) -> Result<(), Error> {
        let Some(log) = self.log.as_mut() else { return Err(Error::Stopped) };
        if !events.is_empty() {
            log.append_all(events)?;
        }
        // What a signed head covers has to fit a page.
        let much = log.length().saturating_sub(self.signed_to) > UNSIGNED;
        if log.is_due(now) || much && log.due_at().is_some() {
            log.sign(now, &self.notary)?;
            self.signed_to = log.length();
        }
        if log.length() >= PART {
            log.begin_part(now)?;
            self.signed_to = 0;
            let kept = |log: &Log| {
                let older = parts(log.path())?.iter().map(|part| part.length).sum::<u64>();
                Ok::<u64, Error>(older + log.length())
            };
            while kept(log)? > KEEP && log.prune(now)?.is_some() {}
        }
        Ok(())
    }

    /// What comes after entry `after` of the log of that name, for whoever takes it over, signed to its
    /// end; `None` if there is nothing new. From another log than this one nothing was taken yet.
    pub fn after(&mut self, now: u64, name: &str, after: u64) -> Result<Option<Lines>, Error> {
        let ours = self.key().name() == name;
        let after = if ours { after } else { 0 };
        let head = self.log(now)?.head().seq;
        if head < after {
            // The end was cut off: not for us to hide.
            return Ok(Some(self.lines(head, Vec::new())));
        }
        let mut tail = Tail::after(&self.path, Arc::clone(&self.crypto), after);
        // Whether there is more than what tells of signing, before anything is signed for it.
        let first = tail.next(head, 8, PAGE)?;
        if first.iter().all(is_upkeep) && tail.seq() >= head {
            return Ok(None);
        }
        let notary = &self.notary;
        if let Some(log) = self.log.as_mut().filter(|log| log.due_at().is_some()) {
            log.sign(now, notary)?;
            self.signed_to = log.length();
        }
        let head = self.log(now)?.head().seq;
        let mut entries = first;
        let mut octets: usize = entries.iter().map(|entry| entry.line().len()).sum();
        while octets < PAGE || !proves(&entries) {
            let next = tail.next(head, 256, PAGE / 4)?;
            if next.is_empty() || octets > Page::MOST / 2 {
                break;
            }
            octets += next.iter().map(|entry| entry.line().len()).sum::<usize>();
            entries.extend(next);
        }
        // What stands behind the last signed head comes with the next page.
        let end = entries.iter().rposition(|entry| entry.code == Code::AuditSigned.name());
        entries.truncate(end.map_or(0, |end| end + 1));
        let lines = entries.iter().flat_map(|entry| (entry.line() + "\n").into_bytes()).collect();
        Ok(Some(self.lines(head, lines)))
    }

    fn lines(&self, last: u64, lines: Vec<u8>) -> Lines {
        Lines { key: self.key().to_string(), last, lines }
    }
}

/// Entries that only keep the log in order: nothing happened.
pub fn is_upkeep(entry: &Entry) -> bool {
    [Code::AuditSigned.name(), Code::AuditContinued.name()].contains(&&*entry.code)
}

/// Whether a signed head covers the first of these entries.
fn proves(entries: &[Entry]) -> bool {
    entries.iter().skip(1).any(|entry| entry.code == Code::AuditSigned.name())
}

struct Begun {
    notary: Notary,
    log: Log,
    aside: Option<PathBuf>,
}

fn begin(
    path: &Path,
    public: &Path,
    crypto: &Arc<dyn Crypto>,
    signer: &Arc<dyn Signer>,
    called: &str,
    now: u64,
) -> Result<Begun, Error> {
    let notary =
        |name: &str| Notary::new(&**crypto, name, Arc::clone(signer)).map_err(Error::Unsigned);
    let kept =
        fs::read_to_string(public).ok().and_then(|text| LogKey::parse(&**crypto, &text).ok());
    let kept = kept.map(|key| Ok((notary(key.name())?, key))).transpose()?;
    let kept = kept.filter(|(notary, key)| notary.key() == key).map(|(notary, _)| notary);
    let (new, why) = match (Log::open(path, Arc::clone(crypto), now), kept) {
        (Ok((log, found)), _) if found.entries == 0 => (Some(log), String::new()),
        (Ok((log, _)), Some(notary)) => return Ok(Begun { notary, log, aside: None }),
        (Ok(_), None) => (None, "its name or its key is another one".to_owned()),
        (Err(Error::Broken(broken)), _) => (None, broken.to_string()),
        (Err(error), _) => return Err(error),
    };
    let aside = if new.is_none() { Some(put_aside(path, now)?) } else { None };
    let notary = notary(&anew(&**crypto, called)?)?;
    store(public, format!("{}\n", notary.key()).as_bytes())?;
    let mut log = match new {
        Some(log) => log,
        None => Log::open(path, Arc::clone(crypto), now)?.0,
    };
    if let Some(aside) = &aside {
        let event = Event::new(Code::AuditRecovered, "", "audit")
            .severity(Severity::Alert)
            .with("why", why)
            .with("kept", aside.display());
        log.append(now, &event)?;
        log.sign(now, &notary)?;
    }
    Ok(Begun { notary, log, aside })
}

/// No blanks, no plus signs, and no other log of this machine has it.
fn anew(crypto: &dyn Crypto, called: &str) -> Result<String, Error> {
    let safe = |c: char| if c.is_whitespace() || c.is_control() || c == '+' { '-' } else { c };
    let called: String = called.chars().map(safe).take(128).collect();
    let mut octets = [0; 8];
    crypto.random(&mut octets).map_err(|_| Error::NoRandomness)?;
    Ok(format!("{called}/audit/{:016x}", u64::from_be_bytes(octets)))
}

/// Puts a log aside with all of its parts; where its last part is now.
fn put_aside(path: &Path, now: u64) -> Result<PathBuf, Error> {
    let ending = format!("broken-{now}");
    let all = parts(path)?.into_iter().map(|part| part.path).chain([path.to_owned()]);
    for part in all {
        let shown = part.display();
        fs::rename(&part, part.with_extension(&ending))
            .map_err(Error::io(format_args!("put {shown} aside")))?;
    }
    Ok(path.with_extension(ending))
}

/// Replaces a file; after this it is on the disk.
fn store(path: &Path, content: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    written.map_err(Error::io(format_args!("write {}", path.display())))?;
    sync_folder(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Known, Replica, verify};
    use touchstone_crypto::SignatureAlgorithm;
    use touchstone_crypto_awslc::{AwsLc, SoftSigner};

    fn key() -> Arc<dyn Signer> {
        Arc::new(SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap())
    }

    fn open(folder: &Path, key: &Arc<dyn Signer>) -> OwnLog {
        OwnLog::open(folder, Arc::new(AwsLc), Arc::clone(key), "edge 1", 5).unwrap()
    }

    fn happens(log: &mut OwnLog, what: &str) {
        let event = Event::new(Code::FlowCut, "plant", "device:7").with("why", what);
        log.write(6, &[(6, event)]).unwrap();
    }

    #[test]
    fn a_log_is_taken_over_once_and_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let key = key();
        let mut log = open(folder.path(), &key);
        let name = log.key().name().to_owned();
        assert!(name.starts_with("edge-1/audit/"), "{name}");
        assert_eq!(log.after(7, "", 0).unwrap(), None);
        happens(&mut log, "one");
        let lines = log.after(7, "", 0).unwrap().unwrap();
        let taken = Replica::default().take(&AwsLc, log.key(), lines.last, &lines.lines).unwrap();
        // The head that covers it comes again with the next page.
        assert_eq!(taken.entries.len(), 1);
        assert_eq!(log.after(8, &name, taken.replica.head().seq).unwrap(), None);
        drop(log);
        let mut log = open(folder.path(), &key);
        assert_eq!((log.put_aside(), log.key().name()), (None, name.as_str()));
        let from_start = log.after(9, "another/audit/1", 44).unwrap().unwrap();
        assert_eq!(from_start.lines, lines.lines, "nothing was taken of this one");
        let cut = log.after(9, &name, 1_000).unwrap().unwrap();
        assert_eq!((cut.last, cut.lines.len()), (2, 0), "a cut end is not hidden");
    }

    #[test]
    fn a_log_that_was_changed_or_has_another_key_is_put_aside_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (key(), key());
        let mut log = open(folder.path(), &first);
        happens(&mut log, "one");
        drop(log);
        let mut log = open(folder.path(), &second);
        assert!(log.put_aside().unwrap().is_file());
        assert_eq!(log.put_aside(), None, "told once");
        happens(&mut log, "two");
        let name = log.key().name().to_owned();
        drop(log);
        let path = folder.path().join("audit.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("its name or its key is another one"), "{text}");
        fs::write(&path, text.replace("two", "six")).unwrap();
        let log = open(folder.path(), &second);
        assert_ne!(log.key().name(), name, "a new log has a new name");
        let known = Known { key: Some(log.key()), ..Known::default() };
        let report = verify(fs::File::open(&path).unwrap(), &AwsLc, &known).unwrap();
        assert_eq!((report.entries, report.signed), (2, 1), "an alert is signed at once");
    }
}
