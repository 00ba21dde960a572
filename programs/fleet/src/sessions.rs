//! Exchanges that are under way: one engine each, in a table with bounds. They live in memory
//! only: after a restart a device begins again, and nothing that was answered is lost.

use crate::judge::{Judge, Memory};
use crate::serve::Peer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant as Clock;
use touchstone_attest::{Event, Kind, Limits, SessionId, Verifier, session_of};
use touchstone_engine::{Answer, Engine, Instant, Output, Path};

/// Octet 4 of a message that opens an exchange (touchstone-attest, messages).
const BEGIN: u8 = 1;
const BUFFER: usize = 4096;

/// The table.
pub struct Sessions {
    table: Mutex<HashMap<Key, Entry>>,
    limits: Limits,
    most: usize,
    most_per_peer: usize,
    began: Clock,
}

type Key = (Kind, SessionId);
type Shared = Arc<tokio::sync::Mutex<Session>>;

struct Entry {
    peer: String,
    until: Instant,
    session: Shared,
}

struct Session {
    engine: Verifier,
    memory: Memory,
}

/// Why a message was not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no message of an exchange.
    #[error("the body is not a message of this exchange")]
    NotAMessage,
    /// No such exchange, and it does not open one.
    #[error("no such exchange is under way; it expired or the fleet was restarted")]
    Unknown,
    /// Somebody else's exchange.
    #[error("the exchange was opened with another certificate")]
    Foreign,
    /// The device has too many open.
    #[error("too many exchanges are open with this certificate")]
    TooMany,
    /// The fleet has too many open.
    #[error("too many exchanges are open")]
    Full,
}

impl Sessions {
    /// An empty table.
    pub fn new(limits: &crate::config::Limits) -> Self {
        Self {
            table: Mutex::default(),
            limits: Limits {
                body: limits.message,
                deadline: limits.session_lifetime,
                ..Limits::default()
            },
            most: limits.sessions,
            most_per_peer: limits.sessions_per_peer,
            began: Clock::now(),
        }
    }

    /// Takes a message of `peer` (the SHA-256 of its certificate) and gives what the engine sends.
    /// Once begun, the work is done even if nobody waits for it any more.
    pub async fn handle(
        self: &Arc<Self>,
        judge: Arc<Judge>,
        kind: Kind,
        sha256: &str,
        peer: Peer,
        message: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let session = self.find(kind, sha256, &message)?;
        let sessions = Arc::clone(self);
        let work = tokio::spawn(async move {
            let mut session = session.lock_owned().await;
            sessions.turn(&judge, &mut session, &peer, message).await
        });
        // A panic in there is a mistake of ours; the device sees silence and begins again.
        Ok(work.await.unwrap_or_else(|error| {
            tracing::error!(%error, "an exchange failed");
            None
        }))
    }

    /// Turns the engine until it waits.
    async fn turn(
        &self,
        judge: &Judge,
        session: &mut Session,
        peer: &Peer,
        mut message: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let mut buf = vec![0; BUFFER];
        let mut reply = None;
        session.engine.handle_wire(self.now(), Path::ONLY, &mut message);
        drop(message);
        loop {
            match session.engine.poll_output(self.now(), &mut buf) {
                Output::Transmit { len, .. } => reply = buf.get(..len).map(<[u8]>::to_vec),
                Output::Ask(ask) => {
                    let mut question = std::mem::take(&mut buf);
                    question.truncate(ask.len);
                    let answer = judge.answer(ask.kind, question, peer, &mut session.memory).await;
                    buf = vec![0; BUFFER];
                    let answer = match &answer {
                        Ok(octets) => Answer::Bytes(octets),
                        Err(no) => no.as_answer(),
                    };
                    session.engine.handle_answer(self.now(), ask.ticket, answer);
                }
                Output::Grow(len) => buf.resize(len.max(BUFFER), 0),
                Output::Event(Event::Concluded | Event::Refused { .. } | Event::Result(_)) => {}
                Output::Wait(_) => return reply,
                Output::Closed(end) => {
                    if let Err(error) = end {
                        tracing::debug!(?error, "exchange ended");
                    }
                    return reply;
                }
            }
        }
    }

    fn find(&self, kind: Kind, peer: &str, message: &[u8]) -> Result<Shared, Refused> {
        let key = session_of(message).filter(|(found, _)| *found == kind);
        let key = key.ok_or(Refused::NotAMessage)?;
        let now = self.now();
        let mut table = self.lock();
        if let Some(entry) = table.get(&key)
            && entry.until > now
        {
            return if entry.peer == peer {
                Ok(Arc::clone(&entry.session))
            } else {
                Err(Refused::Foreign)
            };
        }
        if message.get(4) != Some(&BEGIN) {
            return Err(Refused::Unknown);
        }
        table.retain(|_, entry| entry.until > now);
        if table.len() >= self.most {
            return Err(Refused::Full);
        }
        if self.crowd(&mut table, peer) {
            return Err(Refused::TooMany);
        }
        let engine = Verifier::new(kind, self.limits);
        let session =
            Arc::new(tokio::sync::Mutex::new(Session { engine, memory: Memory::Nothing }));
        let until = now + self.limits.deadline;
        let entry = Entry { peer: peer.to_owned(), until, session: Arc::clone(&session) };
        table.insert(key, entry);
        Ok(session)
    }

    /// Makes room for one more exchange of the peer by forgetting its oldest idle one; true if all
    /// of them are at work. A device that restarts often is not shut out.
    fn crowd(&self, table: &mut HashMap<Key, Entry>, peer: &str) -> bool {
        let mut own: Vec<(Key, Instant, bool)> = table
            .iter()
            .filter(|(_, entry)| entry.peer == peer)
            .map(|(key, entry)| (*key, entry.until, entry.session.try_lock().is_err()))
            .collect();
        if own.len() < self.most_per_peer {
            return false;
        }
        own.sort_unstable_by_key(|(_, until, busy)| (*busy, *until));
        match own.first() {
            Some((key, _, false)) => {
                table.remove(key);
                false
            }
            _ => true,
        }
    }

    /// Forgets what expired.
    pub fn sweep(&self) {
        let now = self.now();
        self.lock().retain(|_, entry| entry.until > now);
    }

    fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        // The table is never left half changed: a panic elsewhere does not spoil it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAMessage => "exchange.malformed",
            Self::Unknown => "exchange.unknown",
            Self::Foreign => "exchange.foreign",
            Self::TooMany => "exchange.too-many",
            Self::Full => "exchange.full",
        }
    }
}
