//! The audit trail: every event of the store becomes an entry of the hash-chained log, in order and
//! once, even if the program ends between the two; and the log's heads are signed in time.

use crate::api::types;
use crate::store::Store;
use crate::{Error, clock};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use touchstone_audit::{Code, Entry, Event, Head, Log, Notary, Severity};
use touchstone_crypto_awslc::AwsLc;

/// Its name among the readers of events.
pub const READER: &str = "audit";
/// Events written with one flush.
const PAGE: u32 = 500;
/// The longest line of the log.
const LINE: u64 = 2 << 20;
/// Where an entry says which event it is.
const EVENT: &str = "event";
/// How long nothing is done when nothing is due.
const IDLE: Duration = Duration::from_hours(1);
/// How long to wait after a write that failed; after each further one twice as long.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is kept of the log.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Octets after which it goes on in a new part.
    pub part: u64,
    /// Octets of all parts: beyond, the oldest one goes.
    pub all: u64,
    /// Who should have read a part before it goes.
    pub readers: Vec<String>,
}

/// What a log of this fleet is called in its signed heads: no blanks, no plus signs.
pub fn origin(fleet: &str) -> String {
    let safe = |c: char| if c.is_whitespace() || c.is_control() || c == '+' { '-' } else { c };
    format!("{}/audit", fleet.chars().map(safe).collect::<String>())
}

/// Opens the log. What comes back tells its head whenever it has grown, and is the work itself: it
/// ends after `stop`, when everything is written.
pub async fn start(
    store: Store,
    path: PathBuf,
    notary: Notary,
    keep: Keep,
    stop: watch::Receiver<bool>,
) -> Result<(watch::Receiver<Head>, impl Future<Output = ()> + Send + 'static), Error> {
    let log = reopen(&store, &path).await?;
    let (told, head) = watch::channel(log.head());
    Ok((head, write(store, log, notary, keep, told, stop)))
}

fn open_log(path: &Path) -> Result<(Log, Option<u64>), Error> {
    let (log, recovery) = Log::open(path, Arc::new(AwsLc), clock::now())
        .map_err(|error| Error::content(path, format!("{error} ({})", error.code())))?;
    if recovery.torn > 0 {
        tracing::warn!(octets = recovery.torn, "cut an entry that was never acknowledged");
    }
    Ok((log, last_event(path)?))
}

/// The event that the last entry with one tells of: in the part that is written, or else before it.
fn last_event(path: &Path) -> Result<Option<u64>, Error> {
    let older = touchstone_audit::parts(path).map_err(|error| failed(&error))?;
    let older = older.iter().rev().map(|part| part.path.as_path());
    for path in [path].into_iter().chain(older) {
        if let Some(event) = last_event_in(path)? {
            return Ok(Some(event));
        }
    }
    Ok(None)
}

fn last_event_in(path: &Path) -> Result<Option<u64>, Error> {
    let mut file = File::open(path).map_err(Error::file(path))?;
    let len = file.metadata().map_err(Error::file(path))?.len();
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(len.saturating_sub(LINE)))
        .and_then(|_| file.take(LINE).read_to_end(&mut tail))
        .map_err(Error::file(path))?;
    let lines = tail.split(|&octet| octet == b'\n').rev();
    Ok(lines
        .filter_map(|line| Entry::decode(&AwsLc, line).ok())
        .find_map(|entry| entry.detail.get(EVENT)?.parse().ok()))
}

async fn write(
    store: Store,
    log: Log,
    notary: Notary,
    keep: Keep,
    told: watch::Sender<Head>,
    mut stop: watch::Receiver<bool>,
) {
    let path = log.path().to_owned();
    let mut writing = Some(log);
    let mut news = store.events();
    let mut started = false;
    let mut pause = PAUSE;
    loop {
        news.borrow_and_update();
        let ending = *stop.borrow();
        // Signed at once after the start, so that no log is without a signature, and at the end.
        let wrote = match writing.take() {
            Some(log) => step(&store, log, &notary, &keep, !started, ending).await,
            None => reopen(&store, &path).await.map(|log| (log, true)),
        };
        match wrote {
            Ok((log, wrote)) => {
                pause = PAUSE;
                started |= log.head().seq > 0;
                told.send_replace(log.head());
                writing = Some(log);
                if wrote {
                    continue;
                }
            }
            // The events stay in the database until they are in the log: nothing is lost, and
            // with room on the disk the log goes on.
            Err(error) => {
                tracing::error!(code = error.code(), %error, again_in = ?pause, "the audit log waits");
                if ending {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = crate::serve::stopped(&mut stop) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        }
        if ending {
            return;
        }
        let due = writing.as_ref().and_then(Log::due_at);
        let due = due.map(|due| Duration::from_secs(due.saturating_sub(clock::now())));
        tokio::select! {
            told = news.changed() => if told.is_err() { return },
            () = tokio::time::sleep(due.unwrap_or(IDLE)) => {}
            // What happened until the end is written before the end.
            () = crate::serve::stopped(&mut stop) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One page, one signature if it is due, one part; whether there may be more to write.
async fn step(
    store: &Store,
    log: Log,
    notary: &Notary,
    keep: &Keep,
    first: bool,
    ending: bool,
) -> Result<(Log, bool), Error> {
    let (log, wrote) = page(store, log).await?;
    let log = sign(log, notary, first || ending && !wrote).await?;
    if log.length() < keep.part {
        return Ok((log, wrote));
    }
    Ok((part(store, log, keep).await?, wrote))
}

/// Goes on in a new part, and lets the oldest go if too much is kept.
async fn part(store: &Store, mut log: Log, keep: &Keep) -> Result<Log, Error> {
    let mut places = Vec::new();
    for reader in keep.readers.clone() {
        places.push(store.call(move |db| db.cursor(&reader)).await?);
    }
    let (all, behind) = (keep.all, places.into_iter().min().unwrap_or(u64::MAX));
    let work = move || {
        log.begin_part(clock::now()).map_err(|error| failed(&error))?;
        let kept = |log: &Log| {
            let older = touchstone_audit::parts(log.path()).map_err(|error| failed(&error))?;
            Ok::<u64, Error>(older.iter().map(|part| part.length).sum::<u64>() + log.length())
        };
        while kept(&log)? > all {
            let gone = log.prune(clock::now()).map_err(|error| failed(&error))?;
            let Some((from, to)) = gone else { break };
            if to > behind {
                tracing::error!(from, to, "a collector missed entries that are not kept any more");
            }
        }
        Ok(log)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
}

/// The log, and the place of its last entry noted, from what is on the disk: the entry may be there
/// although the note of it is not.
async fn reopen(store: &Store, path: &Path) -> Result<Log, Error> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || open_log(&path)).await;
    let (log, last) = opened.map_err(|_| Error::Closed)??;
    if let Some(seq) = last {
        store.call(move |db| db.set_cursor(READER, seq)).await?;
    }
    Ok(log)
}

/// Signs the head if that is due, or if all has to be signed `now`. Without its key the log goes on:
/// an entry says so, and so does whoever verifies it.
async fn sign(mut log: Log, notary: &Notary, now: bool) -> Result<Log, Error> {
    if !(log.is_due(clock::now()) || now && log.due_at().is_some()) {
        return Ok(log);
    }
    let notary = notary.clone();
    let work = move || match log.sign(clock::now(), &notary) {
        Ok(_) => Ok(log),
        Err(error @ touchstone_audit::Error::Unsigned(_)) => {
            tracing::error!(code = error.code(), %error, "the audit log goes on without a signature");
            Ok(log)
        }
        Err(error) => Err(failed(&error)),
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
}

fn failed(error: &touchstone_audit::Error) -> Error {
    Error::content(Path::new("audit.jsonl"), format!("{error} ({})", error.code()))
}

/// Writes the next page; whether there was one.
async fn page(store: &Store, mut log: Log) -> Result<(Log, bool), Error> {
    let events = store
        .call(|db| {
            let after = db.cursor(READER)?;
            db.events_after(after, PAGE)
        })
        .await?;
    let Some(last) = events.last().map(|event| event.seq) else { return Ok((log, false)) };
    let work = move || {
        // One flush for all of them.
        let entries: Vec<(u64, Event)> =
            events.iter().map(|event| (event.time, entry(event))).collect();
        log.append_all(&entries).map_err(|error| failed(&error))?;
        Ok::<Log, Error>(log)
    };
    let log = tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)??;
    store.call(move |db| db.set_cursor(READER, last)).await?;
    Ok((log, true))
}

/// An event as the log has it.
fn entry(event: &types::Event) -> Event {
    // A code of an older version of this program is kept by name.
    let code = Code::from_name(&event.code).unwrap_or(Code::ServiceStarted);
    let subject = match event.subject.strip_prefix("dev-") {
        Some(_) => format!("device:{}", event.subject),
        None => event.subject.clone(),
    };
    let severity = Severity::ALL.iter().copied().find(|severity| severity.name() == event.severity);
    let mut entry = Event::new(code, &event.tenant, &subject)
        .severity(severity.unwrap_or(code.severity()))
        .with(EVENT, event.seq)
        .with("message", &event.message);
    for (name, value) in &event.detail {
        entry = match value {
            Value::String(text) => entry.with(name, text),
            other => entry.with(name, other),
        };
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Db, NewEvent};
    use touchstone_audit::Known;
    use touchstone_crypto::SignatureAlgorithm;
    use touchstone_crypto_awslc::SoftSigner;

    fn notary() -> Notary {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        Notary::new(&AwsLc, &origin("my plant"), Arc::new(key)).unwrap()
    }

    fn keep() -> Keep {
        Keep { part: 1 << 20, all: 1 << 30, readers: Vec::new() }
    }

    async fn settled(store: &Store, seq: u64) {
        for _ in 0..500 {
            if store.call(|db| db.cursor(READER)).await.unwrap() >= seq {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the audit log did not come to event {seq}");
    }

    async fn happen(store: &Store, subject: &str) {
        let event = NewEvent::new(Code::CertIssued, subject, "issued").with("serial", "0A");
        store.call(move |db| db.record_event(clock::now(), &event)).await.unwrap();
    }

    #[tokio::test]
    async fn every_event_is_in_the_log_once_even_if_the_note_of_it_was_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let store = Store::start(Db::in_memory("default").unwrap()).unwrap();
        let (end, stop) = watch::channel(false);
        happen(&store, "dev-1").await;
        let notary = notary();
        let (mut head, work) =
            start(store.clone(), path.clone(), notary.clone(), keep(), stop).await.unwrap();
        let work = tokio::spawn(work);
        head.wait_for(|head| head.seq == 2).await.unwrap();
        happen(&store, "dev-2").await;
        settled(&store, 2).await;
        head.wait_for(|head| head.seq == 3).await.unwrap();
        end.send_replace(true);
        tokio::time::timeout(Duration::from_secs(5), work).await.unwrap().unwrap();

        // As if the program had ended between the log and the note.
        let again = Store::start(Db::in_memory("default").unwrap()).unwrap();
        for device in ["dev-1", "dev-2", "dev-3"] {
            happen(&again, device).await;
        }
        let (_end, stop) = watch::channel(false);
        let (mut head, work) =
            start(again.clone(), path.clone(), notary.clone(), keep(), stop).await.unwrap();
        tokio::spawn(work);
        settled(&again, 3).await;
        head.wait_for(|head| head.seq == 6).await.unwrap();
        let known = Known { key: Some(notary.key()), ..Known::default() };
        let report = touchstone_audit::verify(File::open(&path).unwrap(), &AwsLc, &known).unwrap();
        assert_eq!((report.entries, report.signed), (6, 5));
        let log = std::fs::read_to_string(&path).unwrap();
        let told: Vec<&str> = ["audit.signed", "device:dev-1", "device:dev-2", "device:dev-3"]
            .into_iter()
            .flat_map(|what| log.lines().map(move |line| (line, what)))
            .filter_map(|(line, what)| line.contains(what).then_some(what))
            .collect();
        let signed = "audit.signed";
        assert_eq!(told, [signed, signed, signed, "device:dev-1", "device:dev-2", "device:dev-3"]);
        assert!(log.lines().nth(4).unwrap().contains("\"event\":\"3\""), "{log}");
    }

    #[tokio::test]
    async fn the_log_goes_on_in_parts_and_keeps_what_it_should() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let store = Store::start(Db::in_memory("default").unwrap()).unwrap();
        let (_end, stop) = watch::channel(false);
        let keep = Keep { part: 2_000, all: 6_000, readers: vec!["collector:slow".into()] };
        let notary = notary();
        let (mut head, work) =
            start(store.clone(), path.clone(), notary.clone(), keep, stop).await.unwrap();
        tokio::spawn(work);
        for at in 0..60 {
            happen(&store, &format!("dev-{at}")).await;
            settled(&store, at + 1).await;
        }
        head.wait_for(|head| head.seq > 60).await.unwrap();
        let older = touchstone_audit::parts(&path).unwrap();
        assert!((1..=4).contains(&older.len()), "{older:?}");
        let all = older.into_iter().map(|part| part.path).chain([path.clone()]);
        let known = Known { key: Some(notary.key()), ..Known::default() };
        let files = all.map(|path| File::open(path).unwrap());
        let report = touchstone_audit::verify_parts(files, &AwsLc, &known).unwrap();
        assert!(report.first > 1 && report.pruned + 1 == report.first, "{report:?}");
        assert_eq!(last_event(&path).unwrap(), Some(60));
    }
}
