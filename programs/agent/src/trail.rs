//! The device's own audit log: what was decided about it and what it did, in a hash-chained log whose
//! heads a key of the element signs. `touchstone audit verify` reads it as it reads a fleet's.
//!
//! An entry is on the disk when [`Trail::tell`] returns. A log that cannot be written stops nothing:
//! a countermeasure matters more than its record, and the next entry tries again.

use crate::state::{self, State};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use touchstone_audit::{Code, Entry, Event, Log, LogKey, Notary, Page, Severity, Tail, parts};
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Attesting, Element, ElementSigner, KeyAlgorithm, KeySpec, KeyUse};
use touchstone_element_tpm2::Tpm;
use touchstone_evidence::endorse::log_binding;

/// The name of the key that signs the log's heads.
const KEY: &str = "audit";
const LOG: &str = "audit.jsonl";
/// The key that others check the log with, beside it.
const PUBLIC: &str = "audit.pub";
/// Octets of a part of the log, and of all parts.
const PART: u64 = 1 << 20;
const KEEP: u64 = 16 << 20;
/// Octets after which a head is signed, so that what a signed head covers fits a page.
const UNSIGNED: u64 = 512 << 10;
/// Octets of a page, about.
const PAGE: usize = 512 << 10;

/// Why a device has no audit log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error("the audit log: {0}")]
    Log(#[from] touchstone_audit::Error),
    /// The element, whose key signs it.
    #[error("the key of the audit log: {0}")]
    Element(#[from] touchstone_element::Error),
    /// That key.
    #[error("the key of the audit log: {0}")]
    Key(#[from] touchstone_audit::CheckpointFault),
    /// It is gone from the element.
    #[error("the key of the audit log is gone from the element; restart the agent")]
    NoKey,
    /// A new log needs a name that no other has.
    #[error("the system gives no random octets, and a new audit log needs a name of its own")]
    NoRandomness,
    /// State.
    #[error(transparent)]
    State(#[from] state::Error),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Log(error) => error.code(),
            Self::Element(error) => error.code(),
            Self::Key(fault) => fault.code(),
            Self::NoKey => "agent.audit.key",
            Self::NoRandomness => "agent.audit.random",
            Self::State(error) => error.code(),
        }
    }
}

/// The log, shared by everybody in the keeper who has something to tell.
#[derive(Clone)]
pub struct Trail(Arc<Mutex<Writing>>);

struct Writing {
    state: State,
    tpm: Arc<Mutex<Tpm>>,
    /// How a log that begins now is called.
    device: String,
    notary: Notary,
    /// `None` after a failure that only opening it anew can mend.
    log: Option<Log>,
    /// Where the log ended when its head was signed last.
    signed: u64,
    /// What the attestation key says of the log's key, once it was asked.
    proof: Option<Proof>,
}

#[derive(Clone)]
struct Proof {
    public: Vec<u8>,
    attest: Vec<u8>,
    signature: Vec<u8>,
}

impl Trail {
    /// Opens the log in the state folder. Its key is made at the first start; `device` is how a log that
    /// begins now is called in its signed heads.
    pub fn open(state: &State, tpm: Arc<Mutex<Tpm>>, device: &str) -> Result<Self, Error> {
        {
            let mut tpm = tpm.lock().map_err(|_| touchstone_element::Error::Poisoned)?;
            if tpm.public_key(KEY)?.is_none() {
                tpm.create_key(KEY, &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256))?;
            }
        }
        let (notary, log) = begin(state, &tpm, device)?;
        let trail = Self(Arc::new(Mutex::new(Writing {
            state: state.clone(),
            tpm,
            device: device.to_owned(),
            notary,
            signed: log.length(),
            log: Some(log),
            proof: None,
        })));
        trail.tell(
            &Event::new(Code::ServiceStarted, "", "agent")
                .with("version", env!("CARGO_PKG_VERSION")),
        );
        Ok(trail)
    }

    /// How a log that begins from now on is called.
    pub fn name(&self, device: &str) {
        device.clone_into(&mut self.writing().device);
    }

    /// Writes an event, and signs the head if that is due. May wait for disk and element.
    pub fn tell(&self, event: &Event) {
        if let Err(error) = self.writing().write(Some(event)) {
            let (code, event) = (error.code(), event.code());
            tracing::error!(code, %event, "the audit log lacks an entry: {error}");
        }
    }

    /// Signs the head if that is due: to be called now and then when nothing happens.
    pub fn settle(&self) {
        if let Err(error) = self.writing().write(None) {
            tracing::error!(code = error.code(), "the audit log is not signed: {error}");
        }
    }

    /// What comes after entry `after` of the log of that name, for whoever takes it over, signed to its
    /// end; `None` if there is nothing new. `by` is the attestation key. From another log than this
    /// one nothing was taken yet.
    pub fn page(&self, log: &str, after: u64, by: &str) -> Result<Option<Page>, Error> {
        self.writing().page(log, after, by)
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, Writing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    fn log(&mut self) -> Result<&mut Log, Error> {
        if self.log.is_none() {
            let (notary, log) = begin(&self.state, &self.tpm, &self.device)?;
            if notary.key() != self.notary.key() {
                self.proof = None;
            }
            (self.notary, self.signed, self.log) = (notary, log.length(), Some(log));
        }
        self.log.as_mut().ok_or(Error::Log(touchstone_audit::Error::Stopped))
    }

    fn write(&mut self, event: Option<&Event>) -> Result<(), Error> {
        self.log()?;
        let written = self.append(event);
        if matches!(written, Err(touchstone_audit::Error::Stopped)) {
            self.log = None;
        }
        Ok(written?)
    }

    fn append(&mut self, event: Option<&Event>) -> Result<(), touchstone_audit::Error> {
        let Some(log) = self.log.as_mut() else { return Err(touchstone_audit::Error::Stopped) };
        let now = unix();
        if let Some(event) = event {
            log.append(now, event)?;
        }
        // What a signed head covers has to fit a page.
        let much = log.length().saturating_sub(self.signed) > UNSIGNED;
        if log.is_due(now) || much && log.due_at().is_some() {
            log.sign(now, &self.notary)?;
            self.signed = log.length();
        }
        if log.length() >= PART {
            log.begin_part(now)?;
            self.signed = 0;
            let kept = |log: &Log| {
                let older = parts(log.path())?.iter().map(|part| part.length).sum::<u64>();
                Ok::<u64, touchstone_audit::Error>(older + log.length())
            };
            while kept(log)? > KEEP && log.prune(now)?.is_some() {}
        }
        Ok(())
    }

    fn page(&mut self, name: &str, after: u64, by: &str) -> Result<Option<Page>, Error> {
        let ours = self.notary.key().name() == name;
        let after = if ours { after } else { 0 };
        let head = self.log()?.head().seq;
        if head < after {
            // The end was cut off: not for us to hide.
            return self.page_of(head, Vec::new(), by).map(Some);
        }
        let path = self.log()?.path().to_owned();
        let mut tail = Tail::after(&path, Arc::new(AwsLc), after);
        // Whether there is more than what tells of signing, before anything is signed for it.
        let first = tail.next(head, 8, PAGE)?;
        if first.iter().all(is_upkeep) && tail.seq() >= head {
            return Ok(None);
        }
        let notary = &self.notary;
        if let Some(log) = self.log.as_mut().filter(|log| log.due_at().is_some()) {
            log.sign(unix(), notary)?;
            self.signed = log.length();
        }
        let head = self.log()?.head().seq;
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
        let lines: Vec<u8> =
            entries.iter().flat_map(|entry| (entry.line() + "\n").into_bytes()).collect();
        self.page_of(head, lines, by).map(Some)
    }

    fn page_of(&mut self, last: u64, lines: Vec<u8>, by: &str) -> Result<Page, Error> {
        let key = self.notary.key();
        let proof = if let Some(proof) = &self.proof {
            proof.clone()
        } else {
            let mut tpm = self.tpm.lock().map_err(|_| touchstone_element::Error::Poisoned)?;
            let public = tpm.public_key(KEY)?.ok_or(Error::NoKey)?.native;
            let certified = tpm.certify(KEY, by, &log_binding(&AwsLc, key.name()))?;
            let (attest, signature) = (certified.attest, certified.signature);
            self.proof.insert(Proof { public, attest, signature }).clone()
        };
        let Proof { public, attest, signature } = proof;
        Ok(Page { key: key.to_string(), last, public, attest, signature, lines })
    }
}

/// Entries that only keep the log in order: nothing happened to the device.
fn is_upkeep(entry: &Entry) -> bool {
    [Code::AuditSigned.name(), Code::AuditContinued.name()].contains(&&*entry.code)
}

/// Whether a signed head covers the first of these entries.
fn proves(entries: &[Entry]) -> bool {
    entries.iter().skip(1).any(|entry| entry.code == Code::AuditSigned.name())
}

/// The log and who signs it. A log keeps its name for its whole life, since it stands in every signed
/// head, and a new one has another. A log that somebody changed is kept aside as it is, and a new one
/// begins with saying so: a device that could be silenced by damaging its log would be worse.
fn begin(state: &State, tpm: &Arc<Mutex<Tpm>>, device: &str) -> Result<(Notary, Log), Error> {
    let signer = Arc::new(ElementSigner::new(Arc::clone(tpm), KEY)?);
    let notary = |name: &str| Notary::new(&AwsLc, name, Arc::clone(&signer) as _);
    let now = unix();
    let path = state.path(LOG);
    let kept = std::fs::read_to_string(state.path(PUBLIC)).ok();
    let kept = kept.and_then(|text| LogKey::parse(&AwsLc, &text).ok());
    let kept = kept.map(|key| Ok::<_, Error>((notary(key.name())?, key))).transpose()?;
    let kept = kept.filter(|(notary, key)| notary.key() == key).map(|(notary, _)| notary);
    let why = match Log::open(&path, Arc::new(AwsLc), now) {
        Ok((log, recovery)) => match kept {
            Some(notary) if recovery.entries > 0 => return Ok((notary, log)),
            None if recovery.entries > 0 => "its name or its key is another one".to_owned(),
            _ => {
                let notary = notary(&name(device)?)?;
                state.store(PUBLIC, format!("{}\n", notary.key()).as_bytes())?;
                return Ok((notary, log));
            }
        },
        Err(touchstone_audit::Error::Broken(broken)) => broken.to_string(),
        Err(error) => return Err(error.into()),
    };
    let aside = put_aside(&path, now)?;
    tracing::error!(code = "audit.recovered", kept = %aside.display(), "the audit log: {why}");
    let notary = notary(&name(device)?)?;
    state.store(PUBLIC, format!("{}\n", notary.key()).as_bytes())?;
    let (mut log, _) = Log::open(&path, Arc::new(AwsLc), now)?;
    let event = Event::new(Code::AuditRecovered, "", "audit")
        .severity(Severity::Alert)
        .with("why", why)
        .with("kept", aside.display());
    log.append(now, &event)?;
    Ok((notary, log))
}

/// No blanks, no plus signs, and no other log of this device has it.
fn name(device: &str) -> Result<String, Error> {
    let safe = |c: char| if c.is_whitespace() || c.is_control() || c == '+' { '-' } else { c };
    let device: String = device.chars().map(safe).take(128).collect();
    let mut octets = [0; 8];
    AwsLc.random(&mut octets).map_err(|_| Error::NoRandomness)?;
    Ok(format!("{device}/audit/{:016x}", u64::from_be_bytes(octets)))
}

/// Puts a log aside with all of its parts; where its last part is now.
fn put_aside(path: &Path, now: u64) -> Result<PathBuf, touchstone_audit::Error> {
    let ending = format!("broken-{now}");
    let all = parts(path)?.into_iter().map(|part| part.path).chain([path.to_owned()]);
    for part in all {
        std::fs::rename(&part, part.with_extension(&ending)).map_err(|source| {
            touchstone_audit::Error::Io { what: format!("put {} aside", part.display()), source }
        })?;
    }
    Ok(path.with_extension(ending))
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_audit::{Known, LogKey, verify};
    use touchstone_peers::Swtpm;

    #[test]
    fn whoever_takes_the_log_over_gets_each_entry_once_and_a_cut_end_shows() {
        use touchstone_audit::Replica;
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let swtpm = Swtpm::blank_tcp();
        let mut tpm = Tpm::connect_tcp(swtpm.address(), state.path("element")).unwrap();
        tpm.create_key("lak", &KeySpec::new(KeyUse::Attest, KeyAlgorithm::P256)).unwrap();
        let tpm = Arc::new(Mutex::new(tpm));
        let trail = Trail::open(&state, Arc::clone(&tpm), "pump 7").unwrap();
        let text = std::fs::read_to_string(state.path(PUBLIC)).unwrap();
        let key = LogKey::parse(&AwsLc, &text).unwrap();
        let mut replica = Replica::default();
        let mut all = Vec::new();
        for round in 0..3 {
            for at in 0..1_500 {
                let event = Event::new(Code::CodeMapped, "plant", "device:7").with("at", at);
                trail.tell(&event.with("round", round).with("fills", "x".repeat(300)));
            }
            while let Some(page) = trail.page(key.name(), replica.head().seq, "lak").unwrap() {
                assert!(page.encode().len() < Page::MOST);
                let taken = replica.take(&AwsLc, &key, page.last, &page.lines).unwrap();
                assert!(!taken.entries.is_empty() && taken.missing.is_none());
                all.extend(taken.entries.into_iter().filter(|entry| !is_upkeep(entry)));
                replica = taken.replica;
            }
        }
        let told = all.iter().filter(|entry| entry.code == Code::CodeMapped.name());
        assert_eq!(told.count(), 4_500);
        assert!(!parts(&state.path(LOG)).unwrap().is_empty(), "it went on in parts meanwhile");
        drop(trail);
        // Somebody removes all of it; what is there then begins anew, under another name.
        for part in parts(&state.path(LOG)).unwrap() {
            std::fs::remove_file(part.path).unwrap();
        }
        std::fs::remove_file(state.path(LOG)).unwrap();
        let trail = Trail::open(&state, tpm, "pump 7").unwrap();
        let page = trail.page(key.name(), replica.head().seq, "lak").unwrap().unwrap();
        let anew = LogKey::parse(&AwsLc, &page.key).unwrap();
        assert_ne!(anew.name(), key.name());
        let taken = Replica::default().take(&AwsLc, &anew, page.last, &page.lines).unwrap();
        assert_eq!(taken.entries.len(), 1);
    }

    #[test]
    fn the_element_signs_what_the_device_did_and_an_edit_shows() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let swtpm = Swtpm::blank_tcp();
        let open = || {
            let tpm = Tpm::connect_tcp(swtpm.address(), state.path("element")).unwrap();
            Trail::open(&state, Arc::new(Mutex::new(tpm)), "pump 7").unwrap()
        };
        let trail = open();
        let event = Event::new(Code::DeviceQuarantined, "plant", "device:7");
        trail.tell(&event.severity(Severity::Critical).with("why", "boot\u{1b}[2J"));
        let text = std::fs::read_to_string(state.path(PUBLIC)).unwrap();
        let key = LogKey::parse(&AwsLc, &text).unwrap();
        assert!(key.name().starts_with("pump-7/audit/"), "{}", key.name());
        let known = Known { key: Some(&key), ..Known::default() };
        let check = || verify(std::fs::File::open(state.path(LOG)).unwrap(), &AwsLc, &known);
        let report = check().unwrap();
        assert_eq!((report.entries, report.signed), (3, 2), "a critical entry is signed at once");
        drop(trail);
        // The key stays the same, and so does the log.
        open().settle();
        assert_eq!(check().unwrap().entries, 4);
        let log = std::fs::read_to_string(state.path(LOG)).unwrap();
        std::fs::write(state.path(LOG), log.replace("quarantined", "released")).unwrap();
        assert_eq!(check().unwrap_err().code(), "audit.line.changed");
        // The device does not fall silent: it begins anew and says why.
        open();
        let text = std::fs::read_to_string(state.path(LOG)).unwrap();
        assert!(
            text.contains("\"severity\":\"alert\"") && text.contains("line 2: changed"),
            "{text}"
        );
        let other = std::fs::read_to_string(state.path(PUBLIC)).unwrap();
        let other = LogKey::parse(&AwsLc, &other).unwrap();
        assert_ne!(other.name(), key.name(), "a new log has a new name");
        let known = Known { key: Some(&other), ..Known::default() };
        let report = verify(std::fs::File::open(state.path(LOG)).unwrap(), &AwsLc, &known);
        assert_eq!(report.unwrap().signed, 2);
    }
}
