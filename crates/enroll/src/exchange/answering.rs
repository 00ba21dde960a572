//! A server's end: each request is answered once, and a repeated one with the same answer.

use crate::exchange::Limits;
use crate::exchange::message::{Message, Request, Response, What};
use core::fmt;
use touchstone_engine::{
    Answer, Ask, AskKind, Blame, Engine, Fault, Instant, Output, Path, Ticket,
};

/// What a server says and asks, without its conversation's mechanics.
pub trait Service {
    /// A request has come.
    fn asked(&mut self, request: Request) -> Step;
    /// The owner has answered what the last step asked.
    fn answered(&mut self, answer: Answer<'_>) -> Step;
}

/// What a [`Service`] does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It asks its owner.
    Ask(AskKind, Vec<u8>),
    /// It answers.
    Respond(Response),
}

/// What a server tells: it has answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// With this status.
    pub status: u16,
}

/// The error of an end that has none: a server's conversation ends by silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

impl Fault for Never {
    fn blame(&self) -> Blame {
        match *self {}
    }

    fn code(&self) -> &'static str {
        match *self {}
    }
}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl core::error::Error for Never {}

/// A server's end of one conversation.
#[derive(Debug)]
pub struct Answering<S> {
    service: S,
    limits: Limits,
    /// Which conversation this is, once a request has come.
    conversation: Option<[u8; 16]>,
    /// The number of the last request that was taken up.
    number: u32,
    tickets: u64,
    quiet_since: Option<Instant>,
    state: State,
    dropped: u64,
}

#[derive(Debug)]
enum State {
    Listening,
    Asking {
        kind: AskKind,
        question: Vec<u8>,
    },
    AwaitAnswer,
    /// The last response, and whether it is due; it is told when it is sent for the first time.
    Responded {
        message: Vec<u8>,
        due: bool,
        tell: Option<Answered>,
    },
    Closed,
}

impl<S: Service> Answering<S> {
    /// An end that waits for a request.
    pub fn new(service: S, limits: Limits) -> Self {
        Self {
            service,
            limits,
            conversation: None,
            number: 0,
            tickets: 0,
            quiet_since: None,
            state: State::Listening,
            dropped: 0,
        }
    }

    /// Messages that were not of this conversation, or not due.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What it says and asks.
    pub fn service(&self) -> &S {
        &self.service
    }

    /// How many octets of messages it holds.
    pub fn held(&self) -> usize {
        match &self.state {
            State::Asking { question, .. } => question.len(),
            State::Responded { message, .. } => message.len(),
            State::Listening | State::AwaitAnswer | State::Closed => 0,
        }
    }

    /// Whether the message was of use.
    fn hear(&mut self, octets: &[u8]) -> bool {
        let Ok(message) = Message::decode(octets, self.limits.message) else { return false };
        let What::Request(request) = message.what else { return false };
        if self.conversation.is_some_and(|known| known != message.conversation) {
            return false;
        }
        match &mut self.state {
            // What was answered was lost on its way.
            State::Responded { due, .. } if message.number == self.number => *due = true,
            // A client that asks anew has had the answer.
            State::Listening | State::Responded { .. } if message.number > self.number => {
                self.conversation = Some(message.conversation);
                self.number = message.number;
                let step = self.service.asked(request);
                self.take(step);
            }
            _ => return false,
        }
        true
    }

    fn take(&mut self, step: Step) {
        self.state = match step {
            Step::Ask(kind, question) => {
                self.tickets += 1;
                State::Asking { kind, question }
            }
            Step::Respond(response) => {
                let tell = Some(Answered { status: response.status });
                let message = Message {
                    conversation: self.conversation.unwrap_or_default(),
                    number: self.number,
                    what: What::Response(response),
                };
                State::Responded { message: message.encode(), due: true, tell }
            }
        };
    }
}

impl<S: Service> Engine for Answering<S> {
    type Event = Answered;
    type Error = Never;

    fn handle_wire(&mut self, now: Instant, _path: Path, bytes: &mut [u8]) -> usize {
        if self.hear(bytes) {
            self.quiet_since = Some(now);
        } else {
            self.dropped += 1;
        }
        bytes.len()
    }

    fn handle_answer(&mut self, now: Instant, ticket: Ticket, answer: Answer<'_>) {
        if ticket.0 == self.tickets && matches!(self.state, State::AwaitAnswer) {
            self.quiet_since = Some(now);
            let step = self.service.answered(answer);
            self.take(step);
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Answered, Never> {
        let until = *self.quiet_since.get_or_insert(now) + self.limits.linger;
        match &mut self.state {
            State::Closed => return Output::Closed(Ok(())),
            // Whoever owes an answer is waited for; a client that is not there any more is not.
            State::Listening | State::Responded { due: false, tell: None, .. } if now >= until => {
                self.state = State::Closed;
                return Output::Closed(Ok(()));
            }
            _ => {}
        }
        match &mut self.state {
            State::Asking { kind, question } => {
                let (kind, len) = (*kind, question.len());
                let Some(room) = buf.get_mut(..len) else { return Output::Grow(len) };
                room.copy_from_slice(question);
                self.state = State::AwaitAnswer;
                Output::Ask(Ask { ticket: Ticket(self.tickets), kind, len })
            }
            State::Responded { message, due, .. } if *due => {
                let len = message.len();
                let Some(room) = buf.get_mut(..len) else { return Output::Grow(len) };
                room.copy_from_slice(message);
                *due = false;
                Output::Transmit { path: Path::ONLY, len }
            }
            State::Responded { tell, .. } if tell.is_some() => {
                tell.take().map_or(Output::Wait(Some(until)), Output::Event)
            }
            State::AwaitAnswer => Output::Wait(None),
            State::Closed => Output::Closed(Ok(())),
            _ => Output::Wait(Some(until)),
        }
    }
}
