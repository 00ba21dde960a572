//! The desk: answers asks from an element that takes its time.
//!
//! An engine's ask is begun here and answered later, while the engine's timers go on. One thread
//! owns the element and does one thing after another, as elements do.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, TrySendError, channel,
    sync_channel,
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use touchstone_element::{Element, Error, Secret};
use touchstone_engine::{Answer, AskKind, Ticket};

/// What is done at the element for one ticket.
pub type Job = Box<dyn FnOnce(&mut dyn Element) -> Result<Secret, Error> + Send>;

/// An element behind a queue.
///
/// Dropped, it forgets what was not begun and does not wait; [`close`](Self::close) waits and gives
/// the element back.
pub struct Desk {
    questions: SyncSender<Question>,
    answers: Receiver<Answered>,
    ready: Arc<Notify>,
    thread: Option<JoinHandle<Box<dyn Element>>>,
    stop: Arc<AtomicBool>,
    open: BTreeMap<Ticket, (u64, Arc<AtomicBool>)>,
    room: usize,
    next: u64,
}

struct Question {
    ticket: Ticket,
    number: u64,
    cancelled: Arc<AtomicBool>,
    job: Job,
}

/// An answer, for the engine that asked.
#[derive(Debug)]
pub struct Answered {
    /// Whose answer it is.
    pub ticket: Ticket,
    /// The octets, or the element's own words for why not. Those are for the owner's log: the peer
    /// is told only that it failed.
    pub result: Result<Secret, Error>,
    number: u64,
}

impl Answered {
    /// As the engine takes it.
    pub fn as_answer(&self) -> Answer<'_> {
        self.result.as_ref().map_or(Answer::Failed, |octets| Answer::Bytes(octets.expose()))
    }
}

/// Why the desk did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeskError {
    /// As many tickets are open as there is room for: answer the engine [`Answer::Failed`], or hold
    /// its ask until one is done.
    Full,
    /// This ticket is open already.
    TicketOpen,
    /// An element alone cannot answer asks of that kind.
    Kind(AskKind),
    /// The element's thread has ended: an earlier call panicked.
    Gone,
}

impl DeskError {
    /// The stable code of this error.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Full => "drive.desk.full",
            Self::TicketOpen => "drive.desk.ticket-open",
            Self::Kind(_) => "drive.desk.kind",
            Self::Gone => "drive.desk.gone",
        }
    }
}

impl fmt::Display for DeskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the element has as many questions waiting as there is room"),
            Self::TicketOpen => f.write_str("the element is at work on this ticket already"),
            Self::Kind(kind) => write!(f, "an element alone cannot answer {kind:?}"),
            Self::Gone => {
                f.write_str("an earlier failure left the element in an unknown state; restart")
            }
        }
    }
}

impl std::error::Error for DeskError {}

impl Desk {
    /// A desk with `room` for so many open tickets, at least one.
    pub fn new(element: Box<dyn Element>, room: usize) -> io::Result<Self> {
        let room = room.max(1);
        let (questions, asked) = sync_channel(room);
        let (answer, answers) = channel();
        let (ready, stop) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let end = End { answer: Some(answer), ready: Arc::clone(&ready) };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("element".to_owned())
            .spawn(move || work(element, &asked, &end, &stopped))?;
        let (thread, open) = (Some(thread), BTreeMap::new());
        Ok(Self { questions, answers, ready, thread, stop, open, room, next: 0 })
    }

    /// Begins to answer an ask:
    ///
    /// * [`AskKind::Sign`]: `key` signs the question, in its usual way;
    /// * [`AskKind::Agree`]: `key` agrees with the question, a `SubjectPublicKeyInfo`;
    /// * [`AskKind::Secret`]: what the element's storage holds by the name in the question.
    ///
    /// The other kinds take more than an element: see [`begin_job`](Self::begin_job).
    pub fn begin(
        &mut self,
        ticket: Ticket,
        kind: AskKind,
        key: &str,
        question: &[u8],
    ) -> Result<(), DeskError> {
        let (key, question) = (key.to_owned(), question.to_vec());
        match kind {
            AskKind::Sign => {
                self.begin_job(ticket, Box::new(move |element| sign(element, &key, &question)))
            }
            AskKind::Agree => {
                self.begin_job(ticket, Box::new(move |element| agree(element, &key, &question)))
            }
            AskKind::Secret => {
                self.begin_job(ticket, Box::new(move |element| secret(element, &question)))
            }
            other => Err(DeskError::Kind(other)),
        }
    }

    /// Begins anything else: evidence, a credential's secret, a renewed key.
    pub fn begin_job(&mut self, ticket: Ticket, job: Job) -> Result<(), DeskError> {
        if self.open.contains_key(&ticket) {
            return Err(DeskError::TicketOpen);
        }
        if self.open.len() >= self.room {
            return Err(DeskError::Full);
        }
        let (number, cancelled) = (self.next, Arc::new(AtomicBool::new(false)));
        let question = Question { ticket, number, cancelled: Arc::clone(&cancelled), job };
        self.questions.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => DeskError::Full,
            TrySendError::Disconnected(_) => DeskError::Gone,
        })?;
        self.next += 1;
        self.open.insert(ticket, (number, cancelled));
        Ok(())
    }

    /// Gives a ticket up: there will be no answer. What the element has begun it finishes, because
    /// elements cannot be interrupted; what it has not begun it never begins.
    pub fn cancel(&mut self, ticket: Ticket) {
        if let Some((_, cancelled)) = self.open.remove(&ticket) {
            cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Tickets that have no answer yet.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// The next answer, if there is one now.
    pub fn poll(&mut self) -> Option<Answered> {
        loop {
            match self.answers.try_recv() {
                Ok(answered) => {
                    if let Some(answered) = self.take(answered) {
                        return Some(answered);
                    }
                }
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => return self.lost(),
            }
        }
    }

    /// Waits for the next answer, for at most `patience`; `None` at once when no ticket is open.
    pub fn wait(&mut self, patience: Duration) -> Option<Answered> {
        let end = Instant::now() + patience;
        while !self.open.is_empty() {
            match self.answers.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(answered) => {
                    if let Some(answered) = self.take(answered) {
                        return Some(answered);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => return self.lost(),
            }
        }
        None
    }

    /// The next answer, for whoever has a runtime; `None` at once when no ticket is open. May be
    /// dropped and called again: nothing is lost.
    pub async fn answer(&mut self) -> Option<Answered> {
        let ready = Arc::clone(&self.ready);
        while !self.open.is_empty() {
            if let Some(answered) = self.poll() {
                return Some(answered);
            }
            // A notice that came since the poll is kept, so this does not sleep through it.
            ready.notified().await;
        }
        None
    }

    /// Finishes what was begun, forgets the rest, and gives the element back; `None` when an earlier
    /// call panicked.
    pub fn close(mut self) -> Option<Box<dyn Element>> {
        let thread = self.thread.take();
        drop(self);
        thread?.join().ok()
    }

    /// The answer, unless its ticket was given up.
    fn take(&mut self, answered: Answered) -> Option<Answered> {
        let (number, _) = self.open.get(&answered.ticket)?;
        if *number != answered.number {
            return None;
        }
        self.open.remove(&answered.ticket);
        Some(answered)
    }

    /// The thread is gone: each open ticket fails.
    fn lost(&mut self) -> Option<Answered> {
        let (ticket, (number, _)) = self.open.pop_first()?;
        Some(Answered { ticket, number, result: Err(Error::Poisoned) })
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // The queue ends with this, so the thread wakes and sees it.
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

/// The thread's end of the answers. However the thread ends, whoever waits is woken.
struct End {
    answer: Option<Sender<Answered>>,
    ready: Arc<Notify>,
}

impl End {
    fn send(&self, answered: Answered) {
        if let Some(answer) = &self.answer {
            // Nobody there: the desk was dropped, and nobody wants to know.
            let _ = answer.send(answered);
            self.ready.notify_one();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.answer = None;
        self.ready.notify_one();
    }
}

fn work(
    mut element: Box<dyn Element>,
    asked: &Receiver<Question>,
    end: &End,
    stop: &AtomicBool,
) -> Box<dyn Element> {
    while let Ok(question) = asked.recv() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if !question.cancelled.load(Ordering::Relaxed) {
            let result = (question.job)(element.as_mut());
            let Question { ticket, number, .. } = question;
            end.send(Answered { ticket, result, number });
        }
    }
    element
}

fn sign(element: &mut dyn Element, key: &str, question: &[u8]) -> Result<Secret, Error> {
    let public = element.public_key(key)?.ok_or_else(|| Error::UnknownKey(key.to_owned()))?;
    let needed = "a key that signs";
    let usual = public.signature().ok_or(Error::WrongKind { name: key.to_owned(), needed })?;
    element.sign(key, usual, question).map(Secret::new)
}

fn agree(element: &mut dyn Element, key: &str, question: &[u8]) -> Result<Secret, Error> {
    let lacking = "agreeing on secrets";
    element.agreeing().ok_or(Error::Unsupported(lacking))?.agree(key, question)
}

fn secret(element: &mut dyn Element, question: &[u8]) -> Result<Secret, Error> {
    let name = std::str::from_utf8(question).map_err(|_| Error::BadName)?;
    let storage = element.storage().ok_or(Error::Unsupported("storing values"))?;
    let value = storage.load(name)?;
    value.map(Secret::new).ok_or(Error::BadInput("the element stores no value by that name"))
}
