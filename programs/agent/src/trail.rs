//! The device's own audit log: what was decided about it and what it did, in a hash-chained log whose
//! heads a key of the element signs. `touchstone audit verify` reads it as it reads a fleet's.
//!
//! An entry is on the disk when [`Trail::tell`] returns. A log that cannot be written stops nothing:
//! a countermeasure matters more than its record, and the next entry tries again.

use crate::state::{self, State};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use touchstone_audit::{Code, Event, Log, Notary, Severity, parts};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Element, ElementSigner, KeyAlgorithm, KeySpec, KeyUse};
use touchstone_element_tpm2::Tpm;

/// The name of the key that signs the log's heads.
const KEY: &str = "audit";
const LOG: &str = "audit.jsonl";
/// The key that others check the log with, beside it.
const PUBLIC: &str = "audit.pub";
/// Octets of a part of the log, and of all parts.
const PART: u64 = 1 << 20;
const KEEP: u64 = 16 << 20;

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
            Self::State(error) => error.code(),
        }
    }
}

/// The log, shared by everybody in the keeper who has something to tell.
#[derive(Clone)]
pub struct Trail {
    path: PathBuf,
    notary: Arc<Notary>,
    /// `None` after a failure that only opening it anew can mend.
    log: Arc<Mutex<Option<Log>>>,
}

impl Trail {
    /// Opens the log in the state folder. Its key is made at the first start; `device` is how the log
    /// is called in its signed heads.
    pub fn open(state: &State, tpm: Arc<Mutex<Tpm>>, device: &str) -> Result<Self, Error> {
        {
            let mut tpm = tpm.lock().map_err(|_| touchstone_element::Error::Poisoned)?;
            if tpm.public_key(KEY)?.is_none() {
                tpm.create_key(KEY, &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256))?;
            }
        }
        let signer = ElementSigner::new(tpm, KEY)?;
        let safe = |c: char| if c.is_whitespace() || c.is_control() || c == '+' { '-' } else { c };
        let origin = format!("{}/audit", device.chars().map(safe).collect::<String>());
        let notary = Notary::new(&AwsLc, &origin, Arc::new(signer))?;
        state.store(PUBLIC, format!("{}\n", notary.key()).as_bytes())?;
        let path = state.path(LOG);
        let log = open(&path)?;
        let trail = Self { path, notary: Arc::new(notary), log: Arc::new(Mutex::new(Some(log))) };
        trail.tell(
            &Event::new(Code::ServiceStarted, "", "agent")
                .with("version", env!("CARGO_PKG_VERSION")),
        );
        Ok(trail)
    }

    /// Writes an event, and signs the head if that is due. May wait for disk and element.
    pub fn tell(&self, event: &Event) {
        if let Err(error) = self.write(Some(event)) {
            let (code, event) = (error.code(), event.code());
            tracing::error!(code, %event, "the audit log lacks an entry: {error}");
        }
    }

    /// Signs the head if that is due: to be called now and then when nothing happens.
    pub fn settle(&self) {
        if let Err(error) = self.write(None) {
            tracing::error!(code = error.code(), "the audit log is not signed: {error}");
        }
    }

    fn write(&self, event: Option<&Event>) -> Result<(), Error> {
        let mut slot = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let log = match slot.as_mut() {
            Some(log) => log,
            None => slot.insert(open(&self.path)?),
        };
        let written = append(log, &self.notary, event);
        if matches!(written, Err(touchstone_audit::Error::Stopped)) {
            *slot = None;
        }
        Ok(written?)
    }
}

/// A log that somebody changed is kept aside as it is, and a new one begins with saying so: a device
/// that could be silenced by damaging its log would be worse.
fn open(path: &Path) -> Result<Log, touchstone_audit::Error> {
    let now = unix();
    let broken = match Log::open(path, Arc::new(AwsLc), now) {
        Err(touchstone_audit::Error::Broken(broken)) => broken,
        opened => return opened.map(|(log, _)| log),
    };
    let aside = path.with_extension(format!("broken-{now}"));
    tracing::error!(code = broken.flaw.code(), kept = %aside.display(), "the audit log: {broken}");
    std::fs::rename(path, &aside).map_err(|source| touchstone_audit::Error::Io {
        what: format!("put {} aside", path.display()),
        source,
    })?;
    let (mut log, _) = Log::open(path, Arc::new(AwsLc), now)?;
    let event = Event::new(Code::AuditRecovered, "", "audit")
        .severity(Severity::Alert)
        .with("why", broken)
        .with("kept", aside.display());
    log.append(now, &event)?;
    Ok(log)
}

fn append(
    log: &mut Log,
    notary: &Notary,
    event: Option<&Event>,
) -> Result<(), touchstone_audit::Error> {
    let now = unix();
    if let Some(event) = event {
        log.append(now, event)?;
    }
    if log.is_due(now) {
        log.sign(now, notary)?;
    }
    if log.length() >= PART {
        log.begin_part(now)?;
        let kept = |log: &Log| {
            let older = parts(log.path())?.iter().map(|part| part.length).sum::<u64>();
            Ok::<u64, touchstone_audit::Error>(older + log.length())
        };
        while kept(log)? > KEEP && log.prune(now)?.is_some() {}
    }
    Ok(())
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
        assert_eq!(key.name(), "pump-7/audit");
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
        assert_eq!(check().unwrap().signed, 2);
    }
}
