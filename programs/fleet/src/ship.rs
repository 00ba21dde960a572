//! Shipping the audit log to a syslog server: RFC 5424 messages over mutual TLS (RFC 5425), in
//! order, at least once, from where it was after a restart. Judging never waits for it.
//!
//! Syslog has no acknowledgement. An entry counts as shipped when the connection is still alive a
//! while after it was sent; until then it is sent again on the next connection. Receivers tell
//! duplicates by `seq`.

use crate::serve::stopped;
use crate::store::Store;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use touchstone_audit::{Entry, Head, Syslog, frame};
use touchstone_crypto_awslc::AwsLc;

/// Its name among the readers.
pub const READER: &str = "syslog";
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long the server may take over a page.
const PATIENCE: Duration = Duration::from_secs(20);
/// Octets read from the log at once: at least a line.
const PAGE: u64 = 2 << 20;

/// The rhythm of shipping.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long to wait after the first failure; after each further one twice as long.
    pub first_pause: Duration,
    /// How long a connection must outlive an entry for it to count as shipped.
    pub settles: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first_pause: Duration::from_millis(500), settles: Duration::from_secs(3) }
    }
}

/// What ships.
pub struct Shipper<C> {
    /// Where the place is noted.
    pub store: Store,
    /// The audit log.
    pub log: PathBuf,
    /// Who speaks.
    pub voice: Syslog,
    /// The rhythm.
    pub pace: Pace,
    /// Makes a connection to the server.
    pub connect: C,
}

/// A place in the log: after the entry `seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    seq: u64,
    offset: u64,
}

impl<C, F, S> Shipper<C>
where
    C: Fn() -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Ships until `stop`.
    pub async fn run(self, head: watch::Receiver<Head>, mut stop: watch::Receiver<bool>) {
        let mut pause = self.pace.first_pause;
        let mut place = None;
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                ended = self.once(&mut place, head.clone()) => ended,
                () = stopped(&mut stop) => return,
            };
            if began.elapsed() > LONGEST_PAUSE {
                pause = self.pace.first_pause;
            }
            let Err(error) = ended else { return };
            tracing::warn!(%error, again_in = ?pause, "events do not reach the syslog server; they wait");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut stop) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection, for as long as it lasts. `Ok` when the log will not grow any more.
    async fn once(
        &self,
        noted: &mut Option<Place>,
        mut head: watch::Receiver<Head>,
    ) -> io::Result<()> {
        let noted = match noted {
            Some(noted) => noted,
            None => noted.insert(self.find().await?),
        };
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let server = timeout(PATIENCE, (self.connect)()).await.map_err(|_| late())??;
        tracing::info!(after = noted.seq, "shipping events to the syslog server");
        let (mut input, mut output) = tokio::io::split(server);
        let mut sent = *noted;
        let mut unsettled: VecDeque<(Instant, Place)> = VecDeque::new();
        let mut ignored = [0; 256];
        loop {
            head.borrow_and_update();
            let (page, place) = self.page(sent).await?;
            if place != sent {
                timeout(PATIENCE, async {
                    output.write_all(&page).await?;
                    output.flush().await
                })
                .await
                .map_err(|_| late())??;
                sent = place;
                unsettled.push_back((Instant::now() + self.pace.settles, place));
                continue;
            }
            let settles = unsettled.front().map(|(at, _)| *at);
            tokio::select! {
                told = head.changed() => if told.is_err() && unsettled.is_empty() { return Ok(()) },
                octets = input.read(&mut ignored) => if octets? == 0 {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                },
                () = tokio::time::sleep_until(settles.unwrap_or_else(Instant::now)), if settles.is_some() => {
                    if let Some((_, place)) = unsettled.pop_front() {
                        self.note(place).await?;
                        *noted = place;
                    }
                }
            }
        }
    }

    async fn note(&self, place: Place) -> io::Result<()> {
        self.store.call(move |db| db.set_cursor(READER, place.seq)).await.map_err(io::Error::other)
    }

    /// The place that was noted last.
    async fn find(&self) -> io::Result<Place> {
        let seq = self.store.call(|db| db.cursor(READER)).await.map_err(io::Error::other)?;
        let mut place = Place::default();
        while place.seq < seq {
            let log = self.log.clone();
            let (entries, next) = blocking(move || read(&log, place)).await?;
            if next == place {
                break;
            }
            let Some(beyond) = entries.iter().position(|(_, end)| end.seq > seq) else {
                place = next;
                continue;
            };
            if let Some((_, end)) = beyond.checked_sub(1).and_then(|last| entries.get(last)) {
                place = *end;
            }
            break;
        }
        Ok(place)
    }

    /// The frames after a place, and the place after them.
    async fn page(&self, after: Place) -> io::Result<(Vec<u8>, Place)> {
        let (log, voice) = (self.log.clone(), self.voice.clone());
        blocking(move || {
            let (entries, next) = read(&log, after)?;
            let frames = entries.iter().flat_map(|(entry, _)| frame(&voice.message(entry)));
            Ok((frames.collect(), next))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The whole lines after a place, each with the place after it.
fn read(log: &Path, after: Place) -> io::Result<(Vec<(Entry, Place)>, Place)> {
    let mut file = std::fs::File::open(log)?;
    file.seek(SeekFrom::Start(after.offset))?;
    let mut octets = Vec::new();
    file.take(PAGE).read_to_end(&mut octets)?;
    let mut entries = Vec::new();
    let mut place = after;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        let Some((b'\n', text)) = line.split_last() else { break };
        let entry = Entry::decode(&AwsLc, text).map_err(|flaw| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {flaw}", log.display()))
        })?;
        place = Place { seq: entry.seq, offset: place.offset + line.len() as u64 };
        entries.push((entry, place));
    }
    Ok((entries, place))
}

/// What the machine calls itself, for the header of messages.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Db;
    use std::sync::{Arc, Mutex};
    use tokio::io::DuplexStream;
    use touchstone_audit::{Code, Event, Log};

    const SETTLES: Duration = Duration::from_millis(200);

    type Servers = Arc<Mutex<Vec<DuplexStream>>>;

    struct Scene {
        store: Store,
        log: Log,
        path: PathBuf,
        head: watch::Sender<Head>,
        servers: Servers,
        _dir: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("audit.jsonl");
            let (log, _) = Log::open(&path, Arc::new(AwsLc), 1).unwrap();
            let store = Store::start(Db::in_memory("default").unwrap()).unwrap();
            let (head, _) = watch::channel(log.head());
            Self { store, log, path, head, servers: Servers::default(), _dir: dir }
        }

        fn happen(&mut self, n: u32) {
            let event = Event::new(Code::FlowCut, "default", &format!("device:{n}"));
            self.log.append(u64::from(n), &event).unwrap();
            self.head.send_replace(self.log.head());
        }

        fn start(&self) -> watch::Sender<bool> {
            let (end, stop) = watch::channel(false);
            let servers = Arc::clone(&self.servers);
            let shipper = Shipper {
                store: self.store.clone(),
                log: self.path.clone(),
                pace: Pace { first_pause: Duration::from_millis(5), settles: SETTLES },
                voice: Syslog::new("lab", "touchstone-fleet", 1),
                connect: move || {
                    let (ours, theirs) = tokio::io::duplex(1 << 16);
                    servers.lock().unwrap().push(theirs);
                    std::future::ready(Ok(ours))
                },
            };
            tokio::spawn(shipper.run(self.head.subscribe(), stop));
            end
        }

        async fn noted(&self, seq: u64) {
            for _ in 0..1000 {
                if self.store.call(|db| db.cursor(READER)).await.unwrap() >= seq {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("entry {seq} was never noted as shipped");
        }

        async fn server(&self) -> DuplexStream {
            for _ in 0..1000 {
                if let Some(server) = self.servers.lock().unwrap().pop() {
                    return server;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("nobody connected");
        }
    }

    /// The next message, by its length in front.
    async fn message(server: &mut DuplexStream) -> String {
        let mut len = 0;
        loop {
            match server.read_u8().await.unwrap() {
                b' ' => break,
                digit => len = len * 10 + usize::from(digit - b'0'),
            }
        }
        let mut message = vec![0; len];
        server.read_exact(&mut message).await.unwrap();
        String::from_utf8(message).unwrap()
    }

    #[tokio::test]
    async fn entries_that_a_broken_connection_may_have_lost_are_sent_again() {
        let mut scene = Scene::new();
        scene.happen(1);
        let _end = scene.start();
        let mut server = scene.server().await;
        assert!(message(&mut server).await.contains("subject=\"device:1\""));
        scene.noted(1).await;
        scene.happen(2);
        assert!(message(&mut server).await.contains("device:2"));
        drop(server);
        scene.happen(3);
        let mut server = scene.server().await;
        assert!(message(&mut server).await.contains("device:2"), "1 is settled, 2 is not");
        assert!(message(&mut server).await.contains("device:3"));
    }

    #[tokio::test]
    async fn after_a_restart_it_goes_on_where_it_was() {
        let mut scene = Scene::new();
        scene.happen(1);
        scene.happen(2);
        let end = scene.start();
        let mut server = scene.server().await;
        message(&mut server).await;
        message(&mut server).await;
        scene.noted(2).await;
        end.send_replace(true);
        drop(server);
        scene.happen(3);
        let _end = scene.start();
        let mut server = scene.server().await;
        assert!(message(&mut server).await.contains("device:3"));
    }
}
