//! The Attester's end: it opens, answers one challenge, and hears the result.

use crate::message::{self, Message, MessageKind};
use crate::sending::Sending;
use crate::{Error, Event, Kind, Limits, SessionId};
use alloc::vec::Vec;
use touchstone_engine::{Answer, Ask, AskKind, Engine, Instant, Output, Path, Ticket};

const TICKET: Ticket = Ticket(1);

/// The Attester's end of one exchange.
#[derive(Debug)]
pub struct Attester {
    kind: Kind,
    session: SessionId,
    limits: Limits,
    until: Option<Instant>,
    state: State,
    dropped: u64,
}

#[derive(Debug)]
enum State {
    AwaitChallenge(Sending),
    Challenged(Vec<u8>),
    AwaitAnswer,
    AwaitResult(Sending),
    /// The Verifier hears once that nothing will follow; if that is lost, its deadline tells it.
    GivingUp(Sending, Error),
    Telling(Event, Result<(), Error>),
    Closed(Result<(), Error>),
}

impl Attester {
    /// An exchange that opens with `begin`. `session` must be random.
    pub fn new(kind: Kind, session: SessionId, begin: &[u8], limits: Limits) -> Self {
        let state = if begin.len() > limits.body {
            State::Closed(Err(Error::AnswerTooLong))
        } else {
            State::AwaitChallenge(Sending::new(encode(kind, session, MessageKind::Begin, begin)))
        };
        Self { kind, session, limits, until: None, state, dropped: 0 }
    }

    #[cfg(test)]
    pub(crate) fn state_for_tests(&self) -> &impl core::fmt::Debug {
        &self.state
    }

    /// Messages that were not of this exchange, or not due.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn give_up(&self, code: &str, text: &str, error: Error) -> State {
        let body = message::encode_refusal(code, text);
        let refusal = encode(self.kind, self.session, MessageKind::Refusal, &body);
        State::GivingUp(Sending::new(refusal), error)
    }

    fn hear(&mut self, bytes: &[u8]) -> Option<State> {
        let message = Message::decode(bytes, self.limits.body).ok()?;
        if message.kind != self.kind || message.session != self.session {
            return None;
        }
        match (&self.state, message.what) {
            (State::AwaitChallenge(_), MessageKind::Challenge) => {
                Some(State::Challenged(message.body.to_vec()))
            }
            (State::AwaitResult(_), MessageKind::Result) => {
                Some(State::Telling(Event::Result(message.body.to_vec()), Ok(())))
            }
            (State::AwaitChallenge(_) | State::AwaitResult(_), MessageKind::Refusal) => {
                let (code, text) = message::decode_refusal(message.body).ok()?;
                let event = Event::Refused { code, text };
                Some(State::Telling(event, Err(Error::RefusedByVerifier)))
            }
            _ => None,
        }
    }
}

impl Engine for Attester {
    type Event = Event;
    type Error = Error;

    fn handle_wire(&mut self, _now: Instant, _path: Path, bytes: &mut [u8]) -> usize {
        match self.hear(bytes) {
            Some(next) => self.state = next,
            None => self.dropped += 1,
        }
        bytes.len()
    }

    fn handle_answer(&mut self, _now: Instant, ticket: Ticket, answer: Answer<'_>) {
        if ticket != TICKET || !matches!(self.state, State::AwaitAnswer) {
            return;
        }
        self.state = match answer {
            Answer::Bytes(body) if body.len() <= self.limits.body => State::AwaitResult(
                Sending::new(encode(self.kind, self.session, MessageKind::Response, body)),
            ),
            Answer::Bytes(_) => self.give_up(
                "attest.attester.failed",
                "the Attester's answer is longer than the exchange allows",
                Error::AnswerTooLong,
            ),
            Answer::Refused { code, text } => self.give_up(code, text, Error::RefusedByOwner),
            _ => self.give_up(
                "attest.attester.failed",
                "the Attester could not answer",
                Error::OwnerFailed,
            ),
        };
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event, Error> {
        let until = *self.until.get_or_insert(now + self.limits.deadline);
        // What has ended already says more than the time.
        let over =
            matches!(self.state, State::GivingUp(..) | State::Telling(..) | State::Closed(_));
        if now >= until && !over {
            self.state = State::Closed(Err(Error::TimedOut));
        }
        match &mut self.state {
            State::AwaitChallenge(sending) | State::AwaitResult(sending) => {
                if let Some(output) = sending.poll(now, buf, Some(&self.limits)) {
                    return output;
                }
                Output::Wait(sending.due().map(|due| due.min(until)))
            }
            State::Challenged(challenge) => {
                let len = challenge.len();
                let Some(room) = buf.get_mut(..len) else { return Output::Grow(len) };
                room.copy_from_slice(challenge);
                self.state = State::AwaitAnswer;
                let kind = match self.kind {
                    Kind::Enroll => AskKind::Activate,
                    Kind::Attest => AskKind::Evidence,
                };
                Output::Ask(Ask { ticket: TICKET, kind, len })
            }
            State::AwaitAnswer => Output::Wait(Some(until)),
            State::GivingUp(refusal, error) => {
                let error = *error;
                if let Some(output) = refusal.poll(now, buf, None) {
                    return output;
                }
                self.state = State::Closed(Err(error));
                Output::Closed(Err(error))
            }
            State::Telling(event, end) => {
                let event = event.clone();
                self.state = State::Closed(*end);
                Output::Event(event)
            }
            State::Closed(end) => Output::Closed(*end),
        }
    }
}

fn encode(kind: Kind, session: SessionId, what: MessageKind, body: &[u8]) -> Vec<u8> {
    Message { kind, what, session, body }.encode()
}
