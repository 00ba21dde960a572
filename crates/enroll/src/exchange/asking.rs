//! A client's end: one request after the other, each repeated until its response has come.

use crate::exchange::Limits;
use crate::exchange::message::{Message, Request, Response, What};
use core::time::Duration;
use touchstone_engine::{Answer, Ask, AskKind, Engine, Fault, Instant, Output, Path, Ticket};

/// What a client says and asks, without its conversation's mechanics.
pub trait Conversation {
    /// What it tells.
    type Event: Clone;
    /// Why it ends badly.
    type Error: Fault + Clone;
    /// No end was reached before the deadline.
    fn timed_out() -> Self::Error;
    /// The first thing to do.
    fn begin(&mut self) -> Next<Self::Event, Self::Error>;
    /// The response to the last request.
    fn heard(&mut self, response: Response) -> Next<Self::Event, Self::Error>;
    /// The owner's answer to what was asked last.
    fn answered(&mut self, answer: Answer<'_>) -> Next<Self::Event, Self::Error>;
}

/// What a [`Conversation`] does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<Event, Error> {
    /// It asks the server.
    Send(Request),
    /// It asks the server, after a while.
    SendAfter(Duration, Request),
    /// It asks its owner.
    Ask(AskKind, Vec<u8>),
    /// It tells its owner this, and ends so.
    End(Event, Result<(), Error>),
    /// It ends so, without more words.
    Close(Result<(), Error>),
}

/// A client's end of one conversation.
#[derive(Debug)]
pub struct Asking<C: Conversation> {
    conversation: C,
    id: [u8; 16],
    limits: Limits,
    number: u32,
    tickets: u64,
    until: Option<Instant>,
    state: State<C::Event, C::Error>,
    dropped: u64,
}

#[derive(Debug)]
enum State<Event, Error> {
    Begin,
    /// A request, when it is due, and how often it was sent.
    Sending {
        message: Vec<u8>,
        due: Instant,
        sent: u32,
    },
    /// A request that is sent after a while, which counts from the next poll.
    Pausing {
        pause: Duration,
        request: Option<Request>,
        until: Option<Instant>,
    },
    Asking {
        kind: AskKind,
        question: Vec<u8>,
    },
    AwaitAnswer,
    Telling {
        event: Event,
        end: Result<(), Error>,
    },
    Closed(Result<(), Error>),
}

impl<C: Conversation> Asking<C> {
    /// An end that begins with its first poll. `id` must be random where several conversations share
    /// a link.
    pub fn new(conversation: C, id: [u8; 16], limits: Limits) -> Self {
        let (number, tickets, dropped) = (0, 0, 0);
        let state = State::Begin;
        Self { conversation, id, limits, number, tickets, until: None, state, dropped }
    }

    /// Messages that were not of this conversation, or not due.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many octets of messages it holds.
    pub fn held(&self) -> usize {
        match &self.state {
            State::Sending { message, .. } => message.len(),
            State::Pausing { request, .. } => request.as_ref().map_or(0, |it| it.body.len()),
            State::Asking { question, .. } => question.len(),
            _ => 0,
        }
    }

    fn take(&mut self, next: Next<C::Event, C::Error>) {
        self.state = match next {
            Next::Send(request) => self.sending(request),
            Next::SendAfter(pause, request) => {
                State::Pausing { pause, request: Some(request), until: None }
            }
            Next::Ask(kind, question) => {
                self.tickets += 1;
                State::Asking { kind, question }
            }
            Next::End(event, end) => State::Telling { event, end },
            Next::Close(end) => State::Closed(end),
        };
    }

    fn sending(&mut self, request: Request) -> State<C::Event, C::Error> {
        self.number = self.number.saturating_add(1);
        let message =
            Message { conversation: self.id, number: self.number, what: What::Request(request) };
        State::Sending { message: message.encode(), due: Instant::default(), sent: 0 }
    }

    fn hear(&mut self, octets: &[u8]) -> Option<Response> {
        // A response to what was not sent is nobody's.
        if !matches!(self.state, State::Sending { sent: 1.., .. }) {
            return None;
        }
        let message = Message::decode(octets, self.limits.message).ok()?;
        if message.conversation != self.id || message.number != self.number {
            return None;
        }
        match message.what {
            What::Response(response) => Some(response),
            What::Request(_) => None,
        }
    }
}

impl<C: Conversation> Engine for Asking<C> {
    type Event = C::Event;
    type Error = C::Error;

    fn handle_wire(&mut self, _now: Instant, _path: Path, bytes: &mut [u8]) -> usize {
        match self.hear(bytes) {
            Some(response) => {
                let next = self.conversation.heard(response);
                self.take(next);
            }
            None => self.dropped += 1,
        }
        bytes.len()
    }

    fn handle_answer(&mut self, _now: Instant, ticket: Ticket, answer: Answer<'_>) {
        if ticket.0 == self.tickets && matches!(self.state, State::AwaitAnswer) {
            let next = self.conversation.answered(answer);
            self.take(next);
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<C::Event, C::Error> {
        let deadline = *self.until.get_or_insert(now + self.limits.deadline);
        if matches!(self.state, State::Begin) {
            let next = self.conversation.begin();
            self.take(next);
        }
        // What has ended already says more than the time.
        let over = matches!(self.state, State::Telling { .. } | State::Closed(_));
        if now >= deadline && !over {
            self.state = State::Closed(Err(C::timed_out()));
        }
        if let State::Pausing { pause, request, until } = &mut self.state {
            let until = *until.get_or_insert(now + *pause);
            if now < until {
                return Output::Wait(Some(until.min(deadline)));
            }
            if let Some(request) = request.take() {
                self.state = self.sending(request);
            }
        }
        match &mut self.state {
            State::Sending { message, due, sent } => {
                if *due > now {
                    return Output::Wait(Some((*due).min(deadline)));
                }
                let len = message.len();
                let Some(room) = buf.get_mut(..len) else { return Output::Grow(len) };
                room.copy_from_slice(message);
                *due = now + self.limits.retry.saturating_mul(1 << (*sent).min(4));
                *sent = sent.saturating_add(1);
                Output::Transmit { path: Path::ONLY, len }
            }
            State::Asking { kind, question } => {
                let (kind, len) = (*kind, question.len());
                let Some(room) = buf.get_mut(..len) else { return Output::Grow(len) };
                room.copy_from_slice(question);
                self.state = State::AwaitAnswer;
                Output::Ask(Ask { ticket: Ticket(self.tickets), kind, len })
            }
            State::Telling { event, end } => {
                let (event, end) = (event.clone(), end.clone());
                self.state = State::Closed(end);
                Output::Event(event)
            }
            State::Closed(end) => Output::Closed(end.clone()),
            State::Begin | State::Pausing { .. } | State::AwaitAnswer => {
                Output::Wait(Some(deadline))
            }
        }
    }
}
