//! The keeper's end of the line. Whoever is at the other end may have been taken over: it can ask
//! what the list of [`Ask`] allows, as fast as the answers come, and no more.

use super::frame::{Broken, Frame, HEADER, Head, Toward};
use super::message::{Ask, Reply, State};
use crate::offloop::off_loop;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

/// Questions that may be open at a time: fewer than there are threads, so that whoever asks without
/// end does not keep the keeper from looking at the running code.
const OPEN: usize = 8;

/// A message longer than this is long, and of those there is one at a time.
const LONG: usize = 1 << 20;

/// Answers that may lie ready while the other half does not read.
const READY: usize = 2;

/// Who answers.
pub trait Answer: Send + Sync + 'static {
    /// The answer. May take its time; several are asked for at once.
    fn answer(&self, ask: Ask) -> Reply;
    /// How the other half finds things.
    fn hear(&self, state: State);
}

/// How the line ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// It broke.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The other half said nothing for too long.
    #[error("the network half said nothing for {0:?}")]
    Silent(Duration),
}

impl End {
    /// The stable code of this end.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Broken(broken) => broken.code(),
            Self::Silent(_) => "agent.link.silent",
        }
    }
}

/// Answers what is asked over `stream`, and passes each `look` on, until the line ends. A half that
/// says nothing for `silence`, or takes no answer, hangs.
pub async fn serve<A: Answer>(
    stream: UnixStream,
    answerer: Arc<A>,
    look: &Notify,
    silence: Duration,
) -> End {
    let (read, write) = stream.into_split();
    let (out, frames) = mpsc::channel(READY);
    let mut serving = Serving {
        read,
        silence,
        answerer,
        out: out.clone(),
        places: Arc::new(Semaphore::new(OPEN)),
        long: Arc::new(Semaphore::new(1)),
    };
    let hear = async {
        loop {
            if let Err(end) = serving.hear().await {
                return end;
            }
        }
    };
    let pass_on = async {
        loop {
            look.notified().await;
            if out.send(Frame::look()).await.is_err() {
                return End::Broken(Broken::Closed);
            }
        }
    };
    tokio::select! {
        end = hear => end,
        end = pass_on => end,
        end = send(write, frames, silence) => end,
    }
}

async fn send(
    mut write: OwnedWriteHalf,
    mut frames: mpsc::Receiver<Frame>,
    silence: Duration,
) -> End {
    while let Some(frame) = frames.recv().await {
        let sent = async {
            write.write_all(&frame.head).await?;
            write.write_all(&frame.tail).await
        };
        match timeout(silence, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return End::Broken(error.into()),
            Err(_) => return End::Silent(silence),
        }
    }
    End::Broken(Broken::Closed)
}

struct Serving<A> {
    read: OwnedReadHalf,
    silence: Duration,
    answerer: Arc<A>,
    out: mpsc::Sender<Frame>,
    places: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl<A: Answer> Serving<A> {
    /// Takes one message.
    async fn hear(&mut self) -> Result<(), End> {
        // Without a place nothing more is read: whoever asks too much waits.
        let place = permit(&self.places).await?;
        let mut head = [0; HEADER];
        match timeout(self.silence, self.read.read_exact(&mut head)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Broken::from(error).into()),
            Err(_) => return Err(End::Silent(self.silence)),
        }
        let head = Head::decode(&head, Toward::Keeper).map_err(Broken::Malformed)?;
        let mut long = if head.len > LONG { Some(permit(&self.long).await?) } else { None };
        let octets = self.body(head.len).await?;
        let ask = Ask::decode(head.kind, &octets).map_err(Broken::Malformed)?;
        drop(octets);
        if long.is_none() && matches!(ask, Ask::Evidence { .. }) {
            // Evidence is long, too.
            long = Some(permit(&self.long).await?);
        }
        match (ask, head.ticket) {
            (Ask::State(state), 0) => self.answerer.hear(state),
            (Ask::State(_), _) => {
                return Err(Broken::Unexpected("a state with a ticket").into());
            }
            (_, 0) => return Err(Broken::Unexpected("a question without a ticket").into()),
            (ask, ticket) => self.work(ticket, ask, (place, long)),
        }
        Ok(())
    }

    async fn body(&mut self, len: usize) -> Result<Vec<u8>, End> {
        // Room grows with what comes, not with what was announced.
        let mut octets = Vec::with_capacity(len.min(LONG));
        let limit = u64::try_from(len).unwrap_or(u64::MAX);
        let mut part = (&mut self.read).take(limit);
        match timeout(self.silence, part.read_to_end(&mut octets)).await {
            Ok(Ok(read)) if read == len => Ok(octets),
            Ok(Ok(_)) => Err(Broken::Closed.into()),
            Ok(Err(error)) => Err(Broken::from(error).into()),
            Err(_) => Err(End::Silent(self.silence)),
        }
    }

    fn work(
        &self,
        ticket: u32,
        ask: Ask,
        places: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
    ) {
        let (answerer, out) = (Arc::clone(&self.answerer), self.out.clone());
        tokio::spawn(async move {
            let reply = off_loop(move || answerer.answer(ask)).await;
            // If the line has ended meanwhile, nobody waits for it.
            drop(out.send(Frame::reply(ticket, reply)).await);
            drop(places);
        });
    }
}

async fn permit(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, End> {
    // Closed only with the line.
    Arc::clone(places).acquire_owned().await.map_err(|_| Broken::Closed.into())
}
