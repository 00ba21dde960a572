//! Shipping the audit log to collectors: every entry, in order, at least once, from where it was
//! after a restart. Judging never waits for it.
//!
//! The log is the spool: a collector's place in it is the number of the last entry that it took.
//! What was sent and not acknowledged is sent again on the next connection; receivers tell
//! duplicates by `seq` and `hash`. Memory holds a page of entries a collector; the disk holds what
//! `[audit] keep` allows. Beyond that the oldest part of the log goes, whether a collector took it or
//! not, and an entry `audit.export.lost` says from which to which entry it missed.
//!
//! Syslog has no acknowledgement. There an entry counts as taken when the connection is still alive a
//! while after it was sent; when one breaks before, an entry tells which ones are in doubt, and they
//! are sent again.

mod file;
mod http;
mod relp;
mod route;
mod stream;

pub use route::{Route, Secure};

use crate::serve::stopped;
use crate::store::{NewEvent, Store};
use crate::{Error, clock};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use touchstone_audit::{Code, Entry, Head, Tail};
use touchstone_crypto_awslc::AwsLc;

/// How long a collector may take over one step: a connection, a page, an answer.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });
/// Entries, and octets of the log, that are in memory for a collector.
const PAGE: usize = 500;
const OCTETS: usize = 1 << 20;

/// The rhythm of shipping.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long to wait after the first failure; after each further one twice as long.
    pub first_pause: Duration,
    /// The longest wait.
    pub longest_pause: Duration,
    /// How long a connection without acknowledgements must outlive an entry for it to count as taken.
    pub settles: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_mins(1),
            settles: Duration::from_secs(3),
        }
    }
}

/// What ships to one collector.
pub struct Shipper {
    /// Where the place in the log is noted.
    pub store: Store,
    /// The audit log.
    pub log: PathBuf,
    /// The collector's name.
    pub name: String,
    /// The rhythm.
    pub pace: Pace,
    /// The way to the collector.
    pub route: Route,
}

/// What became of a page.
#[derive(Debug, Default)]
struct Outcome {
    /// How many of its entries are out of the sender's hands.
    taken: usize,
    /// Entries that the collector will never take, and why.
    refused: Vec<(u64, String)>,
}

/// The reader of the log that ships to the collector `name`.
pub fn reader(name: &str) -> String {
    // As it was called when there was only one.
    if name == "syslog" { name.to_owned() } else { format!("collector:{name}") }
}

impl Shipper {
    /// Ships until `stop`.
    pub async fn run(self, head: watch::Receiver<Head>, mut stop: watch::Receiver<bool>) {
        let mut pause = self.pace.first_pause;
        let mut interrupted = false;
        loop {
            let began = Instant::now();
            let mut sent = None;
            let ended = tokio::select! {
                ended = self.once(head.clone(), &mut sent, &mut interrupted) => ended,
                () = stopped(&mut stop) => return,
            };
            let Err(error) = ended else { return };
            interrupted = true;
            if began.elapsed() > self.pace.longest_pause || sent.is_some_and(|doubt| doubt.progress)
            {
                pause = self.pace.first_pause;
            }
            let name = &self.name;
            tracing::warn!(collector = %name, %error, again_in = ?pause, "events wait for their collector");
            let open = |doubt: &Doubt| (1..=doubt.upto).contains(&doubt.from);
            if let Some(Doubt { from, upto, .. }) = sent.filter(open) {
                let why = format!("the connection broke: {error}");
                self.tell(from, upto, true, &why).await;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut stop) => return,
            }
            pause = (pause * 2).min(self.pace.longest_pause);
        }
    }

    /// One connection, for as long as it lasts. `Ok` when the log will not grow any more.
    async fn once(
        &self,
        mut head: watch::Receiver<Head>,
        doubt: &mut Option<Doubt>,
        interrupted: &mut bool,
    ) -> io::Result<()> {
        let reader = reader(&self.name);
        let noted =
            self.store.call(move |db| db.cursor(&reader)).await.map_err(io::Error::other)?;
        let mut way = within(self.route.open()).await?;
        tracing::info!(collector = %self.name, after = noted, "shipping events");
        let mut tail = Tail::after(&self.log, Arc::new(AwsLc), noted);
        let mut sent = noted;
        let mut unsettled: VecDeque<(Instant, u64)> = VecDeque::new();
        loop {
            let upto = head.borrow_and_update().seq;
            let (page, same) = next(tail, upto).await?;
            tail = same;
            if let (Some(first), Some(last)) = (page.first(), page.last().map(|last| last.seq)) {
                if first.seq > sent + 1 {
                    self.tell(sent + 1, first.seq - 1, false, "the log no longer holds them").await;
                }
                let mut outcome = Outcome::default();
                let delivered = way.deliver(&page, &mut outcome).await;
                for (seq, why) in outcome.refused {
                    // An entry that tells of a refusal and is refused itself would tell of the next.
                    let own = page.iter().any(|entry| entry.seq == seq && is_own(entry));
                    if !own {
                        self.tell(seq, seq, false, &format!("the collector refused it: {why}"))
                            .await;
                    }
                }
                let taken = outcome.taken.checked_sub(1).and_then(|at| page.get(at));
                if way.acknowledges() {
                    if let Some(entry) = taken {
                        self.note(entry.seq).await?;
                        doubt.get_or_insert_default().progress = true;
                        self.resumed(interrupted, entry.seq).await;
                    }
                    delivered?;
                } else {
                    let before = doubt.unwrap_or(Doubt { from: noted + 1, ..Doubt::default() });
                    *doubt = Some(Doubt { upto: last, ..before });
                    delivered?;
                    unsettled.push_back((Instant::now() + self.pace.settles, last));
                }
                sent = last;
                continue;
            }
            let settles = unsettled.front().map(|(at, _)| *at);
            tokio::select! {
                told = head.changed() => if told.is_err() && unsettled.is_empty() { return Ok(()) },
                broken = way.broken() => return Err(broken),
                () = tokio::time::sleep_until(settles.unwrap_or_else(Instant::now)), if settles.is_some() => {
                    if let Some((_, seq)) = unsettled.pop_front() {
                        self.note(seq).await?;
                        self.resumed(interrupted, seq).await;
                        *doubt = Some(Doubt { from: seq + 1, upto: sent, progress: true });
                    }
                }
            }
        }
    }

    async fn note(&self, seq: u64) -> io::Result<()> {
        let reader = reader(&self.name);
        self.store.call(move |db| db.set_cursor(&reader, seq)).await.map_err(io::Error::other)
    }

    /// Says in the log itself that a collector takes entries again, once after each interruption.
    async fn resumed(&self, interrupted: &mut bool, upto: u64) {
        if !std::mem::take(interrupted) {
            return;
        }
        let words = format!("entries reach the collector {} again, up to {upto}", self.name);
        let subject = format!("collector:{}", self.name);
        let event = NewEvent::new(Code::AuditExportResumed, subject, words).with("to", upto);
        let told = self.store.call(move |db| db.record_event(clock::now(), &event)).await;
        if let Err(error) = told {
            tracing::error!(%error, "that a collector is back could not be recorded");
        }
    }

    /// Says in the log itself which entries a collector missed, or may have missed.
    async fn tell(&self, from: u64, to: u64, again: bool, why: &str) {
        let what = if again { "may not have reached" } else { "did not reach" };
        let words = format!("entries {from} to {to} {what} the collector {}: {why}", self.name);
        tracing::error!(collector = %self.name, from, to, again, "{words}");
        let event = NewEvent::new(Code::AuditExportLost, format!("collector:{}", self.name), words)
            .with("from", from)
            .with("to", to)
            .with("sent_again", again);
        let told = self.store.call(move |db| db.record_event(clock::now(), &event)).await;
        if let Err(error) = told {
            tracing::error!(%error, "that could not be recorded");
        }
    }
}

/// Entries that were sent and may not have arrived; none if the first is 0 or beyond the last.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    from: u64,
    upto: u64,
    /// Whether anything was taken on this connection.
    progress: bool,
}

fn is_own(entry: &Entry) -> bool {
    [Code::AuditExportLost.name(), Code::AuditExportResumed.name()].contains(&&*entry.code)
}

/// The next page of the log, read on a thread that may wait for the disk.
async fn next(mut tail: Tail, upto: u64) -> io::Result<(Vec<Entry>, Tail)> {
    if upto <= tail.seq() {
        return Ok((Vec::new(), tail));
    }
    let work = move || {
        let page = tail.next(upto, PAGE, OCTETS).map_err(io::Error::other)?;
        Ok((page, tail))
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// No collector may take longer over anything.
async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// What the machine calls itself, for the header of messages.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// An error of the configuration's files.
fn unready(what: &'static str) -> impl Fn(String) -> Error {
    move |reason| Error::Crypto { what, reason }
}

#[cfg(test)]
mod tests;
