//! The checkpoint's own log: which flow was let through, refused or cut, in a hash-chained log with
//! signed heads, and its way to the fleet, which takes it over and tells its SIEM.
//!
//! Flows do not wait for it: a thread writes, many entries with one flush. What there is no room for is
//! counted, and the next entry says how much that was. Without the disk a flow is admitted or cut all
//! the same, and stderr tells.

use crate::config::Fleet;
use crate::edge::unix;
use crate::event::Event as Line;
use crate::listen::{Broken, connect};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::header::HOST;
use hyper::{Method, Request};
use serde::Deserialize;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;
use touchstone_audit::{Code, Event, Lines, OwnLog, Page, Room};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_tls::{ClientConfig, ServerName};

const PATH: &str = "/v1/checkpoint/log";
/// Entries that wait for the disk.
const WAITING: usize = 1024;
/// Entries of one flush.
const TOGETHER: usize = 256;
/// Entries that may be written at once, and how soon there is room for one more: a device that opens
/// flows without end fills no log.
const AT_ONCE: u32 = 500;
const ONE_EVERY: Duration = Duration::from_millis(20);
/// How often what is new is brought to the fleet.
const DELIVER: Duration = Duration::from_secs(2);
/// How long nothing is sent after a no.
const PAUSE: Duration = Duration::from_secs(30);
/// How long the fleet may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the last entries may take.
const END: Duration = Duration::from_secs(5);
/// Octets of an answer.
const ANSWER: usize = 16 << 10;
/// Pages of one round.
const PAGES: usize = 16;

/// Where what happens is told. Without a log nothing happens with it.
#[derive(Clone, Default)]
pub struct Trail(Option<Arc<Teller>>);

struct Teller {
    work: SyncSender<Work>,
    room: Mutex<Room>,
}

enum Work {
    Tell(u64, Event),
    Page { log: String, after: u64, answer: oneshot::Sender<Option<Lines>> },
}

impl Trail {
    /// Opens the log in a folder, with a key of its own, which is made at the first start.
    pub fn open(folder: &Path, name: &str) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let signer = Arc::new(key(&folder.join("audit.key"))?);
        let log = OwnLog::open(folder, Arc::new(AwsLc), signer, name, unix());
        let log = log.map_err(|error| io::Error::other(format!("{error} ({})", error.code())))?;
        let (work, queue) = sync_channel(WAITING);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || write(log, &queue))?;
        let room = Mutex::new(Room::new(AT_ONCE, ONE_EVERY, Instant::now()));
        let trail = Self(Some(Arc::new(Teller { work, room })));
        trail.tell(Code::ServiceStarted, "checkpoint", |event| {
            event.with("version", env!("CARGO_PKG_VERSION"))
        });
        Ok(trail)
    }

    /// Tells; returns at once.
    pub fn tell(&self, code: Code, subject: &str, with: impl FnOnce(Event) -> Event) {
        let Some(teller) = &self.0 else { return };
        let mut room = teller.room.lock().unwrap_or_else(PoisonError::into_inner);
        if !room.take(Instant::now()) {
            return;
        }
        let dropped = room.left_out();
        let mut event = with(Event::new(code, "", subject));
        if dropped > 0 {
            event = event.with("left_out_before", dropped);
        }
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            teller.work.try_send(Work::Tell(unix(), event))
        {
            room.leave_out(dropped + 1);
        }
    }

    /// Writes that the checkpoint ends, and waits until everything is on the disk.
    pub async fn end(&self) {
        self.tell(Code::ServiceStopped, "checkpoint", |event| event);
        // A disk that hangs must not keep it from ending.
        let _ = timeout(END, self.after("", u64::MAX)).await;
    }

    /// What follows that entry of the log of that name, signed.
    async fn after(&self, log: &str, after: u64) -> Option<Lines> {
        let teller = self.0.as_ref()?;
        let (answer, answered) = oneshot::channel();
        let mut work = Work::Page { log: log.to_owned(), after, answer };
        // The writer may be busy; whoever asks has time.
        loop {
            match teller.work.try_send(work) {
                Ok(()) => break,
                Err(TrySendError::Full(again)) => work = again,
                Err(TrySendError::Disconnected(_)) => return None,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answered.await.ok().flatten()
    }

    /// Brings the fleet what is new, for as long as the program runs.
    pub async fn deliver(&self, fleet: &Fleet, tls: &ClientConfig, name: &ServerName) {
        if self.0.is_none() {
            return std::future::pending().await;
        }
        let mut said = String::new();
        loop {
            let pause = match self.round(fleet, tls, name).await {
                Ok(()) => {
                    said.clear();
                    DELIVER
                }
                Err(broken) => {
                    let words = broken.to_string();
                    // The same again and again is said once.
                    if words != said {
                        Line::new(unix(), "audit", broken.code(), &broken).write();
                        said = words;
                    }
                    PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn round(
        &self,
        fleet: &Fleet,
        tls: &ClientConfig,
        name: &ServerName,
    ) -> Result<(), Broken> {
        let (mut sender, connection) = connect(fleet, tls, name).await?;
        let delivered = self.pages(&mut sender, fleet).await;
        connection.abort();
        delivered
    }

    async fn pages(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        fleet: &Fleet,
    ) -> Result<(), Broken> {
        let mut taken = ask(sender, fleet, Method::GET, Vec::new()).await?;
        for _ in 0..PAGES {
            let Some(lines) = self.after(&taken.log, taken.acknowledged).await else { break };
            let Lines { key, last, lines } = lines;
            // What a device's TPM says of its key, TLS says of ours.
            let none = Vec::new;
            let page = Page { key, last, public: none(), attest: none(), signature: none(), lines };
            taken = ask(sender, fleet, Method::POST, page.encode()).await?;
        }
        Ok(())
    }
}

/// How far the fleet has the log.
#[derive(Deserialize)]
struct Taken {
    #[serde(default)]
    log: String,
    #[serde(default)]
    acknowledged: u64,
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    fleet: &Fleet,
    method: Method,
    body: Vec<u8>,
) -> Result<Taken, Broken> {
    let http = |error: &dyn ToString| Broken::Http(error.to_string());
    let request = Request::builder()
        .method(method)
        .uri(PATH)
        .header(HOST, fleet.name.as_str())
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| http(&error))?;
    let asked = async {
        let answer = sender.send_request(request).await.map_err(|error| http(&error))?;
        if !answer.status().is_success() {
            return Err(Broken::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), ANSWER).collect().await;
        let body = body.map_err(|error| http(&error))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| http(&error))
    };
    timeout(PATIENCE, asked).await.map_err(|_| Broken::Silent)?
}

/// Does what comes, one after the other; ends with the last who could tell something.
fn write(mut log: OwnLog, queue: &Receiver<Work>) {
    let mut said = false;
    while let Ok(first) = queue.recv() {
        let (mut events, mut page) = (Vec::new(), None);
        let mut next = Some(first);
        while let Some(work) = next.take() {
            match work {
                Work::Tell(time, event) => events.push((time, event)),
                Work::Page { log, after, answer } => page = Some((log, after, answer)),
            }
            if page.is_none() && events.len() < TOGETHER {
                next = queue.try_recv().ok();
            }
        }
        let mut written = log.write(unix(), &events);
        if let Some(kept) = log.put_aside() {
            let words = format!("the log was changed; it is kept as {}", kept.display());
            Line::new(unix(), "audit", "audit.recovered", &words).write();
        }
        if let Some((name, after, answer)) = page {
            let lines = written.and_then(|()| log.after(unix(), &name, after));
            written = lines.map(|lines| {
                // Whoever asked may be gone.
                let _ = answer.send(lines);
            });
        }
        match written {
            Ok(()) => said = false,
            Err(error) if !said => {
                said = true;
                Line::new(unix(), "audit", error.code(), &error).write();
            }
            Err(_) => {}
        }
    }
}

/// The key that signs the log's heads.
fn key(path: &Path) -> io::Result<SoftSigner> {
    let unusable =
        |error: touchstone_crypto::Error| io::Error::other(format!("{}: {error}", path.display()));
    match std::fs::read_to_string(path) {
        Ok(pem) => SoftSigner::from_pkcs8_pem(&pem).map_err(unusable),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key =
                SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).map_err(unusable)?;
            let beside = path.with_extension("new");
            let mut options = std::fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(key.to_pkcs8_pem().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, path)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_audit::{Known, verify};

    #[test]
    fn whoever_opens_flows_without_end_is_told_of_at_a_bounded_pace() {
        let start = Instant::now();
        let mut room = Room::new(AT_ONCE, ONE_EVERY, start);
        let told = (0..10_000).filter(|_| room.take(start)).count();
        let dropped = room.left_out();
        assert_eq!((told, dropped), (500, 9_500));
        room.leave_out(dropped);
        assert!(room.take(start + Duration::from_secs(1)));
        assert_eq!(room.left_out(), 9_500);
        let told = (0..10_000).filter(|_| room.take(start + Duration::from_secs(1)));
        assert_eq!(told.count(), 49);
    }

    #[tokio::test]
    async fn what_was_told_is_on_the_disk_and_signed_and_goes_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Trail::open(folder.path(), "edge 1").unwrap();
        let trail = open();
        trail.tell(Code::FlowRefused, "device:dev-7", |event| event.with("why", "a\nb\u{1b}[2J"));
        let first = trail.after("", 0).await.unwrap();
        trail.end().await;
        drop(trail);
        // The thread that wrote ends by itself, and with it its hold on the log.
        let mut again = None;
        for _ in 0..100 {
            again = Trail::open(folder.path(), "edge 1").ok();
            if again.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let second = again.unwrap().after("", 0).await.unwrap();
        assert_eq!(second.key, first.key, "the same log by the same key");
        assert!(second.lines.starts_with(&first.lines));
        let key = touchstone_audit::LogKey::parse(&AwsLc, &second.key).unwrap();
        let known = Known { key: Some(&key), ..Known::default() };
        let report = verify(&*second.lines, &AwsLc, &known).unwrap();
        let text = String::from_utf8(second.lines).unwrap();
        let stopped = text.contains("service.stopped") && text.contains("flow.refused");
        assert!(stopped && report.signed > 0, "{text}");
    }
}
