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
const PAGE: u32 = 200;
/// The longest line of the log.
const LINE: u64 = 2 << 20;
/// Where an entry says which event it is.
const EVENT: &str = "event";
/// How long nothing is done when nothing is due.
const IDLE: Duration = Duration::from_hours(1);

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
    stop: watch::Receiver<bool>,
) -> Result<(watch::Receiver<Head>, impl Future<Output = ()> + Send + 'static), Error> {
    let open = path.clone();
    let opened = tokio::task::spawn_blocking(move || open_log(&open)).await;
    let (log, last) = opened.map_err(|_| Error::Closed)??;
    // The entry may be on the disk although the note of it is not.
    if let Some(seq) = last {
        store.call(move |db| db.set_cursor(READER, seq)).await?;
    }
    let (told, head) = watch::channel(log.head());
    Ok((head, write(store, log, notary, told, stop)))
}

fn open_log(path: &Path) -> Result<(Log, Option<u64>), Error> {
    let (log, recovery) = Log::open(path, Arc::new(AwsLc), clock::now())
        .map_err(|error| Error::content(path, format!("{error} ({})", error.code())))?;
    if recovery.torn > 0 {
        tracing::warn!(octets = recovery.torn, "cut an entry that was never acknowledged");
    }
    Ok((log, last_event(path)?))
}

/// The event that the last entry with one tells of.
fn last_event(path: &Path) -> Result<Option<u64>, Error> {
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
    mut log: Log,
    notary: Notary,
    told: watch::Sender<Head>,
    mut stop: watch::Receiver<bool>,
) {
    let mut news = store.events();
    let mut started = false;
    loop {
        news.borrow_and_update();
        let written = match page(&store, log).await {
            // Signed at once after the start, so that no log is without a signature, and at the end.
            Ok((same, more)) => {
                let now = !started || !more && *stop.borrow();
                sign(same, &notary, now).await.map(|log| (log, more))
            }
            Err(error) => Err(error),
        };
        match written {
            Ok((same, wrote)) => {
                log = same;
                started |= log.head().seq > 0;
                told.send_replace(log.head());
                if wrote {
                    continue;
                }
            }
            Err(error) => {
                tracing::error!(code = error.code(), %error, "the audit log can not be written");
                return;
            }
        }
        if *stop.borrow() {
            return;
        }
        let due = log.due_at().map(|due| Duration::from_secs(due.saturating_sub(clock::now())));
        tokio::select! {
            told = news.changed() => if told.is_err() { return },
            () = tokio::time::sleep(due.unwrap_or(IDLE)) => {}
            // What happened until the end is written before the end.
            () = crate::serve::stopped(&mut stop) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
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
        for together in events.chunk_by(|a, b| a.time == b.time) {
            let time = together.first().map_or(0, |event| event.time);
            let entries: Vec<Event> = together.iter().map(entry).collect();
            log.append_all(time, &entries).map_err(|error| failed(&error))?;
        }
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
    let severity = [
        Severity::Alert,
        Severity::Critical,
        Severity::Error,
        Severity::Warning,
        Severity::Notice,
        Severity::Info,
    ]
    .into_iter()
    .find(|severity| severity.name() == event.severity);
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
            start(store.clone(), path.clone(), notary.clone(), stop).await.unwrap();
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
            start(again.clone(), path.clone(), notary.clone(), stop).await.unwrap();
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
}
