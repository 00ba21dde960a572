//! The device's own audit log: what was decided about it and what it did, in a hash-chained log whose
//! heads a key of the element signs. `touchstone audit verify` reads it as it reads a fleet's.
//!
//! An entry is on the disk when [`Trail::tell`] returns. A log that cannot be written stops nothing:
//! a countermeasure matters more than its record, and the next entry tries again.

use crate::state::State;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use touchstone_audit::{Code, Event, Lines, OwnLog, Page};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Attesting, Element, ElementSigner, KeyAlgorithm, KeySpec, KeyUse};
use touchstone_element_tpm2::Tpm;
use touchstone_evidence::endorse::log_binding;

/// The name of the key that signs the log's heads.
const KEY: &str = "audit";

/// Why a device has no audit log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error("the audit log: {0}")]
    Log(#[from] touchstone_audit::Error),
    /// The element, whose key signs it.
    #[error("the key of the audit log: {0}")]
    Element(#[from] touchstone_element::Error),
    /// It is gone from the element.
    #[error("the key of the audit log is gone from the element; restart the agent")]
    NoKey,
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Log(error) => error.code(),
            Self::Element(error) => error.code(),
            Self::NoKey => "agent.audit.key",
        }
    }
}

/// The log, shared by everybody in the keeper who has something to tell.
#[derive(Clone)]
pub struct Trail(Arc<Mutex<Writing>>);

struct Writing {
    tpm: Arc<Mutex<Tpm>>,
    log: OwnLog,
    /// What the attestation key says of the log's key, once it was asked.
    proof: Option<Proof>,
}

#[derive(Clone)]
struct Proof {
    /// Of this key of a log.
    key: String,
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
        let signer = Arc::new(ElementSigner::new(Arc::clone(&tpm), KEY)?);
        let log = OwnLog::open(&state.path(""), Arc::new(AwsLc), signer, device, unix())?;
        let trail = Self(Arc::new(Mutex::new(Writing { tpm, log, proof: None })));
        trail.tell(
            &Event::new(Code::ServiceStarted, "", "agent")
                .with("version", env!("CARGO_PKG_VERSION")),
        );
        Ok(trail)
    }

    /// How a log that begins from now on is called.
    pub fn name(&self, device: &str) {
        self.writing().log.rename(device);
    }

    /// Writes an event, and signs the head if that is due. May wait for disk and element.
    pub fn tell(&self, event: &Event) {
        let now = unix();
        if let Err(error) = self.writing().write(now, &[(now, event.clone())]) {
            let (code, event) = (error.code(), event.code());
            tracing::error!(code, %event, "the audit log lacks an entry: {error}");
        }
    }

    /// Signs the head if that is due: to be called now and then when nothing happens.
    pub fn settle(&self) {
        if let Err(error) = self.writing().write(unix(), &[]) {
            tracing::error!(code = error.code(), "the audit log is not signed: {error}");
        }
    }

    /// What comes after entry `after` of the log of that name, for whoever takes it over, signed to its
    /// end; `None` if there is nothing new. `by` is the attestation key. From another log than this
    /// one nothing was taken yet.
    pub fn page(&self, log: &str, after: u64, by: &str) -> Result<Option<Page>, Error> {
        let mut writing = self.writing();
        let lines = writing.log.after(unix(), log, after)?;
        lines.map(|lines| writing.page(lines, by)).transpose()
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, Writing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    fn write(&mut self, now: u64, events: &[(u64, Event)]) -> Result<(), Error> {
        let written = self.log.write(now, events);
        if let Some(aside) = self.log.put_aside() {
            let kept = aside.display();
            tracing::error!(code = "audit.recovered", %kept, "the audit log was changed");
        }
        Ok(written?)
    }

    fn page(&mut self, lines: Lines, by: &str) -> Result<Page, Error> {
        let Lines { key, last, lines } = lines;
        let proof = if let Some(proof) = self.proof.as_ref().filter(|proof| proof.key == key) {
            proof.clone()
        } else {
            let mut tpm = self.tpm.lock().map_err(|_| touchstone_element::Error::Poisoned)?;
            let public = tpm.public_key(KEY)?.ok_or(Error::NoKey)?.native;
            let binding = log_binding(&AwsLc, self.log.key().name());
            let certified = tpm.certify(KEY, by, &binding)?;
            let (attest, signature) = (certified.attest, certified.signature);
            self.proof.insert(Proof { key: key.clone(), public, attest, signature }).clone()
        };
        let Proof { public, attest, signature, .. } = proof;
        Ok(Page { key, last, public, attest, signature, lines })
    }
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_audit::{Known, LogKey, Severity, is_upkeep, parts, verify};
    use touchstone_peers::Swtpm;

    const LOG: &str = "audit.jsonl";
    const PUBLIC: &str = "audit.pub";

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
        assert_eq!(report.unwrap().signed, 1, "the alert is signed at once");
    }
}
