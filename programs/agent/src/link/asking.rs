//! The network half's end of the line.

use super::frame::{Broken, Frame, HEADER, Head, Toward};
use super::message::{Ask, Refused, Reply, State};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};

/// The keeper does not answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keeper is gone")]
pub struct Gone;

/// Asks the keeper. Cheap to clone.
#[derive(Clone)]
pub struct Line(Arc<Shared>);

struct Shared {
    out: mpsc::UnboundedSender<Frame>,
    open: Mutex<BTreeMap<u32, Waiting>>,
    next: AtomicU32,
    look: Notify,
}

/// Who waits for an answer. When it is dropped, they hear that none will come.
enum Waiting {
    Task(oneshot::Sender<Reply>),
    Thread(blocking::SyncSender<Reply>),
}

impl Waiting {
    /// One who does not wait any more has given up.
    fn hear(self, reply: Reply) {
        match self {
            Self::Task(waiting) => drop(waiting.send(reply)),
            Self::Thread(waiting) => drop(waiting.send(reply)),
        }
    }
}

impl Line {
    /// A line over `stream`, and what carries it: to be polled until it breaks.
    pub fn new(stream: UnixStream) -> (Self, impl Future<Output = Broken>) {
        let (read, write) = stream.into_split();
        let (out, frames) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            out,
            open: Mutex::default(),
            next: AtomicU32::new(1),
            look: Notify::new(),
        });
        let line = Self(shared);
        (line.clone(), line.carry(read, write, frames))
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, ask: Ask) -> Result<Reply, Gone> {
        let (answer, answered) = oneshot::channel();
        self.send(ask, Waiting::Task(answer))?;
        answered.await.map_err(|_| Gone)
    }

    /// As [`ask`](Self::ask), for a thread beside the one that carries the line: it waits, too.
    pub fn ask_from_thread(&self, ask: Ask) -> Result<Reply, Gone> {
        let (answer, answered) = blocking::sync_channel(1);
        self.send(ask, Waiting::Thread(answer))?;
        answered.recv().map_err(|_| Gone)
    }

    /// Tells what is not answered.
    pub fn tell(&self, state: State) -> Result<(), Gone> {
        // A state always fits: its words are cut.
        let Some(frame) = Frame::ask(0, Ask::State(state)) else { return Ok(()) };
        self.0.out.send(frame).map_err(|_| Gone)
    }

    /// Returns when the keeper says *look*.
    pub async fn look(&self) {
        self.0.look.notified().await;
    }

    fn send(&self, ask: Ask, waiting: Waiting) -> Result<(), Gone> {
        let ticket = self.ticket();
        let Some(frame) = Frame::ask(ticket, ask) else {
            waiting.hear(Reply::Refused(Refused {
                code: "agent.link.too-long".to_owned(),
                words: "what the fleet sends is longer than the keeper takes".to_owned(),
            }));
            return Ok(());
        };
        self.open().insert(ticket, waiting);
        self.0.out.send(frame).map_err(|_| {
            self.open().remove(&ticket);
            Gone
        })
    }

    /// Zero is for what is not answered.
    fn ticket(&self) -> u32 {
        match self.0.next.fetch_add(1, Ordering::Relaxed) {
            0 => self.ticket(),
            ticket => ticket,
        }
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u32, Waiting>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry(
        self,
        mut read: OwnedReadHalf,
        mut write: OwnedWriteHalf,
        mut frames: mpsc::UnboundedReceiver<Frame>,
    ) -> Broken {
        let send = async {
            while let Some(frame) = frames.recv().await {
                write.write_all(&frame.head).await?;
                write.write_all(&frame.tail).await?;
            }
            Err(Broken::Closed)
        };
        let hear = async {
            loop {
                self.hear(&mut read).await?;
            }
        };
        let ended: Result<(), Broken> = tokio::select! {
            ended = send => ended,
            ended = hear => ended,
        };
        // Nobody waits for an answer that does not come.
        self.open().clear();
        ended.err().unwrap_or(Broken::Closed)
    }

    async fn hear(&self, read: &mut OwnedReadHalf) -> Result<(), Broken> {
        let mut head = [0; HEADER];
        read.read_exact(&mut head).await?;
        let head = Head::decode(&head, Toward::Network)?;
        if head.is_look() {
            self.0.look.notify_one();
            return Ok(());
        }
        let mut octets = vec![0; head.len];
        read.read_exact(&mut octets).await?;
        let reply = Reply::decode(head.kind, &octets)?;
        match self.open().remove(&head.ticket) {
            Some(waiting) => waiting.hear(reply),
            None => return Err(Broken::Unexpected("an answer to what was not asked")),
        }
        Ok(())
    }
}
