//! A device's own audit log, or a checkpoint's, taken over: signed heads by a key that the device's
//! attestation key vouches for (a checkpoint's is the one that its certificate brought first), entries
//! that follow those that were taken before, and each of them an event of the fleet with its `origin`.
//! What does not follow is refused, and that is an event, too.

use crate::store::{DeviceLog, DeviceRow, NewEvent, Owner, Store, TakenOver};
use crate::{Error, clock};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use touchstone_audit::{Broken, Code, Entry, Flaw, LogKey, Page, Replica, Taken};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::endorse::log_binding;
use touchstone_evidence::tpm::{LakPublic, verify_certify};

/// Entries that one device may bring in an hour: a device that was taken over fills no SIEM.
const HOURLY: usize = 20_000;
const HOUR: u64 = 3600;
/// Seconds for which the same refusal of a device is recorded once.
const QUIET: u64 = 300;
/// Circumstances of an entry that are taken over: with ours they fit an entry of the fleet's log.
const DETAILS: usize = 20;
/// Circumstances that mean something in the fleet's own log, or that are added here: a device's are
/// taken over under another name.
const OURS: [&str; 10] = [
    "event",
    "message",
    "origin",
    "origin_name",
    "device_log",
    "device_seq",
    "device_time",
    "device_hash",
    "device_code",
    "truncated",
];
/// Devices that are counted at once.
const MOST: usize = 65_536;

/// Who brings a log.
#[derive(Clone, Debug)]
pub enum Bringer {
    /// A device, whose attestation key vouches for the log's.
    Device(Box<DeviceRow>),
    /// A checkpoint, by the name in its certificate: TLS vouches for it.
    Checkpoint(String),
}

impl Bringer {
    /// Whose log it is.
    pub fn owner(&self) -> Owner {
        match self {
            Self::Device(device) => Owner::Device(device.id.clone()),
            Self::Checkpoint(name) => Owner::Checkpoint(name.clone()),
        }
    }

    const fn origin(&self) -> &'static str {
        match self {
            Self::Device(_) => "device",
            Self::Checkpoint(_) => "checkpoint",
        }
    }

    fn key(&self, page: &Page) -> Result<LogKey, Refused> {
        match self {
            Self::Device(device) => proven(device, page),
            Self::Checkpoint(_) => {
                LogKey::parse(&AwsLc, &page.key).map_err(|fault| malformed(fault.code(), &fault))
            }
        }
    }
}

/// Why a page is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not a page, or its key is nobody's.
    Malformed {
        /// The stable code.
        code: &'static str,
        /// What is wrong with it.
        text: String,
    },
    /// It does not follow what was taken.
    NotTheSame(Broken),
    /// Somebody else has brought entries meanwhile.
    Meanwhile,
    /// The device has said enough for now.
    TooMuch,
}

/// How much each device has brought lately, and of whom a refusal was recorded.
#[derive(Default)]
pub struct Counts(Mutex<HashMap<String, Count>>);

#[derive(Clone, Copy, Default)]
struct Count {
    since: u64,
    entries: usize,
    refused: Option<u64>,
}

impl Counts {
    fn with<T>(&self, device: &str, now: u64, of: impl FnOnce(&mut Count) -> T) -> Option<T> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST {
            counts.retain(|_, count| now.abs_diff(count.since) < HOUR);
        }
        if counts.len() >= MOST && !counts.contains_key(device) {
            return None;
        }
        let count = counts.entry(device.to_owned()).or_default();
        if now.abs_diff(count.since) >= HOUR {
            *count = Count { since: now, entries: 0, refused: count.refused };
        }
        Some(of(count))
    }

    fn may_bring(&self, device: &str, now: u64) -> bool {
        self.with(device, now, |count| count.entries < HOURLY).unwrap_or(false)
    }

    fn brought(&self, device: &str, now: u64, entries: usize) {
        self.with(device, now, |count| count.entries = count.entries.saturating_add(entries));
    }

    fn may_record_refusal(&self, device: &str, now: u64) -> bool {
        let record = |count: &mut Count| {
            let quiet = count.refused.is_some_and(|at| now.abs_diff(at) < QUIET);
            if !quiet {
                count.refused = Some(now);
            }
            !quiet
        };
        self.with(device, now, record).unwrap_or(false)
    }
}

/// Takes a page over; how far the log is taken then.
pub async fn take(
    store: &Store,
    counts: &Counts,
    by: Bringer,
    octets: Vec<u8>,
) -> Result<Result<DeviceLog, Refused>, Error> {
    let now = clock::now();
    let owner = by.owner();
    let id = owner.subject();
    if !counts.may_bring(&id, now) {
        return Ok(Err(Refused::TooMuch));
    }
    let asked = owner.clone();
    let before = store.call(move |db| db.device_log(&asked)).await?;
    let known = before.clone();
    let work = move || read(&by, &known, &octets);
    let read = tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?;
    let (after, events) = match read {
        Ok(read) => read,
        Err(refused) => {
            if let Refused::NotTheSame(broken) = &refused
                && counts.may_record_refusal(&id, now)
            {
                let event = refusal(&id, &before, broken);
                store.call(move |db| db.record_event(now, &event)).await?;
            }
            return Ok(Err(refused));
        }
    };
    counts.brought(&id, now, events.len());
    if after == before {
        return Ok(Ok(after));
    }
    let taken = TakenOver { owner, before, after: after.clone(), events };
    let done = store.call(move |db| db.take_device_log(&taken, now)).await?;
    Ok(if done { Ok(after) } else { Err(Refused::Meanwhile) })
}

/// What a page says, and what is to be recorded of it.
fn read(
    by: &Bringer,
    before: &DeviceLog,
    octets: &[u8],
) -> Result<(DeviceLog, Vec<NewEvent>), Refused> {
    let page = Page::decode(octets).map_err(|fault| malformed(fault.code(), &fault))?;
    let key = by.key(&page)?;
    let subject = by.owner().subject();
    let replaced = !before.log.is_empty() && before.log != key.name();
    let place = if before.place.is_empty() || replaced {
        Replica::default()
    } else {
        let text = "the fleet's own note of this device's log is damaged";
        before.place.parse().map_err(|_| malformed("device.log.place", &text))?
    };
    let taken = place.take(&AwsLc, &key, page.last, &page.lines).map_err(|broken| {
        match broken.flaw {
            // Sent again: the answer to it was lost.
            Flaw::Sequence { expected, found } if found < expected => Refused::Meanwhile,
            _ => Refused::NotTheSame(broken),
        }
    })?;
    if taken.entries.is_empty() {
        return Ok((before.clone(), Vec::new()));
    }
    let mut events = Vec::with_capacity(taken.entries.len() + 2);
    if replaced {
        events.push(
            NewEvent::new(
                Code::DeviceLogReplaced,
                &subject,
                format!(
                    "began a new log; what followed entry {} of the old one is not known",
                    before.seq
                ),
            )
            .with("old", before.log.as_str())
            .with("taken", before.seq)
            .with("new", key.name()),
        );
    }
    events.extend(gap(&subject, &taken));
    events.extend(taken.entries.iter().filter_map(|entry| event(by, key.name(), entry)));
    let seq = taken.replica.head().seq;
    let place = taken.replica.to_string();
    Ok((DeviceLog { log: key.name().to_owned(), seq, place }, events))
}

/// The log's key, which lives in the device's TPM: its attestation key says so.
fn proven(device: &DeviceRow, page: &Page) -> Result<LogKey, Refused> {
    let key = LogKey::parse(&AwsLc, &page.key).map_err(|fault| malformed(fault.code(), &fault))?;
    let refused = |error: touchstone_evidence::Error| malformed(error.code(), &error);
    let lak = LakPublic::from_native(&device.lak_public).map_err(refused)?;
    let binding = log_binding(&AwsLc, key.name());
    let (attest, signature) = (&page.attest, &page.signature);
    let certified =
        verify_certify(&AwsLc, attest, signature, &lak, &page.public, &binding).map_err(refused)?;
    if certified.public.spki_der != key.spki_der() {
        let text = "the TPM certified another key than the log's";
        return Err(malformed("device.log.key", &text));
    }
    if !certified.public.attributes.is_bound() || !certified.public.attributes.signs() {
        let text = "the log's key is not a signing key that is bound to the TPM";
        return Err(malformed("device.log.key", &text));
    }
    Ok(key)
}

fn malformed(code: &'static str, text: &dyn std::fmt::Display) -> Refused {
    Refused::Malformed { code, text: text.to_string() }
}

fn refusal(device: &str, before: &DeviceLog, broken: &Broken) -> NewEvent {
    let words = format!("the device's audit log was refused after entry {}: {broken}", before.seq);
    NewEvent::new(Code::DeviceLogRefused, device, words)
        .with("log", before.log.as_str())
        .with("taken", before.seq)
        .with("reason_code", broken.flaw.code())
}

fn gap(device: &str, taken: &Taken) -> Option<NewEvent> {
    let (from, to) = taken.missing?;
    let words = format!("entries {from} to {to} of the device's audit log never came");
    Some(NewEvent::new(Code::DeviceLogGap, device, words).with("from", from).with("to", to))
}

const fn of_a_checkpoint(code: Code) -> bool {
    use Code as C;
    matches!(
        code,
        C::FlowAdmitted | C::FlowRefused | C::FlowCut | C::ServiceStarted | C::ServiceStopped
    )
}

/// An entry of a device as an event of the fleet. What only keeps a log in order is none.
fn event(by: &Bringer, log: &str, entry: &Entry) -> Option<NewEvent> {
    let known = Code::from_name(&entry.code);
    let subject = match by {
        // What a checkpoint tells is about the device whose flow it is.
        Bringer::Checkpoint(_) => entry.subject.strip_prefix("device:").map(str::to_owned),
        Bringer::Device(_) => None,
    };
    let subject = subject.unwrap_or_else(|| by.owner().subject());
    let code = match known {
        Some(Code::AuditSigned | Code::AuditContinued) => return None,
        // The fleet's own log reads these as being about itself.
        Some(Code::AuditPruned | Code::AuditUnsigned | Code::AuditRecovered) | None => {
            Code::DeviceTold
        }
        // A checkpoint speaks of flows and of itself.
        Some(code) if matches!(by, Bringer::Checkpoint(_)) && !of_a_checkpoint(code) => {
            Code::DeviceTold
        }
        Some(code) => code,
    };
    let about = known.map_or("something that is not known here", Code::about);
    let why = entry.detail.get("why").map(|why| format!(": {why}")).unwrap_or_default();
    let origin = by.origin();
    let mut event = NewEvent::new(code, subject, format!("the {origin} tells: {about}{why}"))
        .severity(entry.severity)
        .with("origin", origin)
        .with("origin_name", by.owner().name())
        .with("device_log", log)
        .with("device_seq", entry.seq)
        .with("device_time", entry.time)
        .with("device_hash", entry.hash());
    if code == Code::DeviceTold {
        event = event.with("device_code", entry.code.as_str());
    }
    for (name, value) in entry.detail.iter().take(DETAILS) {
        let name = if OURS.contains(&name.as_str()) { format!("its_{name}") } else { name.clone() };
        event = event.with(&name, value.as_str());
    }
    Some(event)
}
