//! Engines whose messages travel as requests and responses.

use crate::{Reply, now};
use std::fmt;
use touchstone_engine::{AskKind, Engine, Fault, Output, Path};

/// An exchange that did not end well.
#[derive(Debug)]
pub struct ExchangeError<Event, Error, Post> {
    /// How the engine ended; `None` if it waited for something that cannot come.
    pub end: Option<Error>,
    /// What it told before; a refusal in the peer's words is among these.
    pub events: Vec<Event>,
    /// Why the last request failed, if it did.
    pub post: Option<Post>,
}

impl<Event, Error: fmt::Display, Post: fmt::Display> fmt::Display
    for ExchangeError<Event, Error, Post>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            Some(end) => end.fmt(f)?,
            None => f.write_str("the exchange waits for what cannot come")?,
        }
        match &self.post {
            Some(post) => write!(f, "; the last request failed: {post}"),
            None => Ok(()),
        }
    }
}

impl<Event: fmt::Debug, Error: fmt::Debug + fmt::Display, Post: fmt::Debug + fmt::Display>
    std::error::Error for ExchangeError<Event, Error, Post>
{
}

impl<Event, Error: Fault, Post> ExchangeError<Event, Error, Post> {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        self.end.as_ref().map_or("drive.exchange.stuck", Fault::code)
    }
}

/// The next thing that an exchange's driver has to do itself.
pub(crate) enum Step {
    Post(Vec<u8>),
    Ask(touchstone_engine::Ticket, AskKind, Vec<u8>),
    Sleep(std::time::Duration),
}

/// An engine between two steps.
pub(crate) struct Exchange<E: Engine, Post> {
    pub(crate) engine: E,
    buf: Vec<u8>,
    events: Vec<E::Event>,
    post: Option<Post>,
}

/// How an exchange ended: what the engine told, or why it did not end well.
pub type ExchangeEnd<E, Post> = Result<
    Vec<<E as Engine>::Event>,
    ExchangeError<<E as Engine>::Event, <E as Engine>::Error, Post>,
>;

impl<E: Engine, Post> Exchange<E, Post> {
    pub(crate) fn new(engine: E) -> Self {
        Self { engine, buf: Vec::new(), events: Vec::new(), post: None }
    }

    /// Polls until there is something to do or to report.
    pub(crate) fn step(&mut self) -> Result<Step, ExchangeEnd<E, Post>> {
        loop {
            let taken = |buf: &[u8], len| buf.get(..len).unwrap_or(buf).to_vec();
            match self.engine.poll_output(now(), &mut self.buf) {
                Output::Transmit { len, .. } => return Ok(Step::Post(taken(&self.buf, len))),
                Output::Ask(ask) => {
                    return Ok(Step::Ask(ask.ticket, ask.kind, taken(&self.buf, ask.len)));
                }
                Output::Event(event) => self.events.push(event),
                Output::Grow(need) => self.buf.resize(need, 0),
                Output::Wait(Some(until)) => return Ok(Step::Sleep(until.since(now()))),
                Output::Wait(None) => return Err(Err(self.error(None))),
                Output::Closed(Ok(())) => return Err(Ok(std::mem::take(&mut self.events))),
                Output::Closed(Err(end)) => return Err(Err(self.error(Some(end)))),
            }
        }
    }

    /// Takes what became of a request. An empty response says nothing.
    pub(crate) fn posted(&mut self, response: Result<Vec<u8>, Post>) {
        match response {
            Ok(mut message) => {
                self.post = None;
                if !message.is_empty() {
                    self.engine.handle_wire(now(), Path::ONLY, &mut message);
                }
            }
            Err(why) => self.post = Some(why),
        }
    }

    fn error(&mut self, end: Option<E::Error>) -> ExchangeError<E::Event, E::Error, Post> {
        ExchangeError { end, events: std::mem::take(&mut self.events), post: self.post.take() }
    }
}

/// Turns `engine` to its end, and gives back what it told.
///
/// `post` sends one message and brings the response, empty if there is none; when it fails, the
/// engine's own timers say when to try again and when to give up, so it needs a time limit of its
/// own. `owner` answers the engine's asks.
pub async fn run_exchange<E, Post>(
    engine: E,
    mut owner: impl AsyncFnMut(AskKind, Vec<u8>) -> Reply,
    mut post: impl AsyncFnMut(Vec<u8>) -> Result<Vec<u8>, Post>,
) -> ExchangeEnd<E, Post>
where
    E: Engine,
{
    let mut exchange = Exchange::new(engine);
    loop {
        match exchange.step() {
            Ok(Step::Post(message)) => {
                let response = post(message).await;
                exchange.posted(response);
            }
            Ok(Step::Ask(ticket, kind, question)) => {
                let reply = owner(kind, question).await;
                exchange.engine.handle_answer(now(), ticket, reply.as_answer());
            }
            Ok(Step::Sleep(duration)) => tokio::time::sleep(duration).await,
            Err(end) => return end,
        }
    }
}

/// The same for a caller that comes back at its own pace: the first request that fails ends it.
pub async fn try_exchange<E, Post>(
    engine: E,
    mut owner: impl AsyncFnMut(AskKind, Vec<u8>) -> Reply,
    mut post: impl AsyncFnMut(Vec<u8>) -> Result<Vec<u8>, Post>,
) -> Result<ExchangeEnd<E, Post>, Post>
where
    E: Engine,
{
    let mut exchange = Exchange::new(engine);
    loop {
        match exchange.step() {
            Ok(Step::Post(message)) => {
                let response = post(message).await?;
                exchange.posted(Ok(response));
            }
            Ok(Step::Ask(ticket, kind, question)) => {
                let reply = owner(kind, question).await;
                exchange.engine.handle_answer(now(), ticket, reply.as_answer());
            }
            Ok(Step::Sleep(duration)) => tokio::time::sleep(duration).await,
            Err(end) => return Ok(end),
        }
    }
}

/// What became of one message at the end that responds.
#[derive(Debug)]
pub struct Served<Event, Error> {
    /// The response; `None` if there is nothing to say.
    pub reply: Option<Vec<u8>>,
    /// What the engine told.
    pub events: Vec<Event>,
    /// The engine's end, if it has come.
    pub closed: Option<Result<(), Error>>,
}

/// Gives `message` to an engine that responds, and turns it until it has nothing more to do at this
/// moment. The engine is kept by the caller, between messages and until it has closed.
pub async fn serve_message<E: Engine>(
    engine: &mut E,
    message: &mut [u8],
    mut owner: impl AsyncFnMut(AskKind, Vec<u8>) -> Reply,
) -> Served<E::Event, E::Error> {
    let mut served = Served { reply: None, events: Vec::new(), closed: None };
    let mut buf = Vec::new();
    engine.handle_wire(now(), Path::ONLY, message);
    loop {
        match engine.poll_output(now(), &mut buf) {
            Output::Transmit { len, .. } => {
                served.reply = Some(buf.get(..len).unwrap_or(&buf).to_vec());
            }
            Output::Ask(ask) => {
                let question = buf.get(..ask.len).unwrap_or(&buf).to_vec();
                let reply = owner(ask.kind, question).await;
                engine.handle_answer(now(), ask.ticket, reply.as_answer());
            }
            Output::Event(event) => served.events.push(event),
            Output::Grow(need) => buf.resize(need, 0),
            Output::Wait(_) => return served,
            Output::Closed(end) => {
                served.closed = Some(end);
                return served;
            }
        }
    }
}
