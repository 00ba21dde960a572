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

    /// Turns the engine until it waits. (`drive::serve_message` does it for owners that stay on one
    /// thread; here any thread may go on after an answer.)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(most: usize, per_peer: usize, lifetime: std::time::Duration) -> Sessions {
        Sessions::new(&crate::config::Limits {
            sessions: most,
            sessions_per_peer: per_peer,
            session_lifetime: lifetime,
            ..crate::config::Limits::default()
        })
    }

    fn message(what: u8, session: u8) -> Vec<u8> {
        let mut message = b"TA\x01\x02".to_vec();
        message.push(what);
        message.extend([session; 16]);
        message.extend([0; 4]);
        message
    }

    const LONG: std::time::Duration = std::time::Duration::from_mins(1);

    #[test]
    fn an_exchange_belongs_to_who_opened_it() {
        let sessions = sessions(9, 9, LONG);
        let first = sessions.find(Kind::Attest, "a", &message(BEGIN, 1)).unwrap();
        let again = sessions.find(Kind::Attest, "a", &message(3, 1)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let refused = |peer, message: &[u8]| sessions.find(Kind::Attest, peer, message).err();
        assert_eq!(refused("b", &message(3, 1)), Some(Refused::Foreign));
        assert_eq!(refused("a", &message(3, 2)), Some(Refused::Unknown));
        assert_eq!(refused("a", b"nonsense"), Some(Refused::NotAMessage));
        let other = sessions.find(Kind::Enroll, "a", &message(BEGIN, 3)).err();
        assert_eq!(other, Some(Refused::NotAMessage), "a message of the other exchange");
    }

    #[test]
    fn the_table_has_room_for_so_many_and_no_more() {
        let sessions = sessions(3, 9, LONG);
        for session in 1..=3 {
            sessions.find(Kind::Attest, "a", &message(BEGIN, session)).unwrap();
        }
        let full = sessions.find(Kind::Attest, "b", &message(BEGIN, 4)).err();
        assert_eq!(full, Some(Refused::Full));
    }

    #[test]
    fn a_device_that_begins_again_and_again_loses_its_oldest_idle_exchange() {
        let sessions = sessions(9, 2, LONG);
        let find = |session| sessions.find(Kind::Attest, "a", &message(BEGIN, session));
        let busy = find(1).unwrap();
        let at_work = busy.try_lock().unwrap();
        find(2).unwrap();
        let third = find(3).unwrap();
        assert_eq!(sessions.find(Kind::Attest, "a", &message(3, 2)).err(), Some(Refused::Unknown));
        let _also = third.try_lock().unwrap();
        assert_eq!(find(4).err(), Some(Refused::TooMany), "both are at work");
        drop(at_work);
        find(4).unwrap();
    }

    #[test]
    fn an_exchange_expires() {
        let sessions = sessions(1, 1, std::time::Duration::ZERO);
        sessions.find(Kind::Attest, "a", &message(BEGIN, 1)).unwrap();
        sessions.find(Kind::Attest, "b", &message(BEGIN, 2)).unwrap();
        sessions.sweep();
        assert!(sessions.lock().is_empty());
    }
}
