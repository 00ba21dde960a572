//! The Verifier's end: it challenges whoever opens, and concludes on the response.

use crate::message::{self, Message, MessageKind};
use crate::sending::Sending;
use crate::{Error, Event, Kind, Limits, SessionId};
use alloc::vec::Vec;
use touchstone_engine::{Answer, Ask, AskKind, Engine, Instant, Output, Path, Ticket};

const CHALLENGE: Ticket = Ticket(1);
const CONCLUSION: Ticket = Ticket(2);

/// The Verifier's end of one exchange. It is made when the first message arrives.
#[derive(Debug)]
pub struct Verifier {
    kind: Kind,
    session: Option<SessionId>,
    limits: Limits,
    until: Option<Instant>,
    state: State,
    dropped: u64,
}

#[derive(Debug)]
enum State {
    AwaitBegin,
    Asking { ticket: Ticket, question: Vec<u8> },
    AwaitAnswer { ticket: Ticket },
    AwaitResponse(Sending),
    Concluding { result: Sending, end: Result<(), Error>, told: bool },
    Telling(Event, Error),
    Closed(Result<(), Error>),
}

impl Verifier {
    /// One end that waits for an Attester to open.
    pub fn new(kind: Kind, limits: Limits) -> Self {
        Self { kind, session: None, limits, until: None, state: State::AwaitBegin, dropped: 0 }
    }

    #[cfg(test)]
    pub(crate) fn state_for_tests(&self) -> &impl core::fmt::Debug {
        &self.state
    }

    /// Messages that were not of this exchange, or not due.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the message was of use.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        let Ok(message) = Message::decode(bytes, self.limits.body) else { return false };
        if message.kind != self.kind
            || self.session.is_some_and(|session| session != message.session)
        {
            return false;
        }
        match (&mut self.state, message.what) {
            (State::AwaitBegin, MessageKind::Begin) => {
                self.session = Some(message.session);
                self.state = State::Asking { ticket: CHALLENGE, question: message.body.to_vec() };
            }
            // What we sent was lost, so the Attester repeats itself.
            (State::AwaitResponse(sent), MessageKind::Begin)
            | (
                State::Concluding { result: sent, .. },
                MessageKind::Begin | MessageKind::Response,
            ) => {
                sent.again();
            }
            (State::AwaitResponse(_), MessageKind::Response) => {
                self.state = State::Asking { ticket: CONCLUSION, question: message.body.to_vec() };
            }
            // The Attester cannot go on; nothing is due to it.
            (State::AwaitResponse(_), MessageKind::Refusal) => {
                let Ok((code, text)) = message::decode_refusal(message.body) else { return false };
                self.state =
                    State::Telling(Event::Refused { code, text }, Error::RefusedByAttester);
            }
            _ => return false,
        }
        true
    }

    fn send(&self, what: MessageKind, body: &[u8]) -> Sending {
        let session = self.session.unwrap_or_default();
        Sending::new(Message { kind: self.kind, what, session, body }.encode())
    }

    fn refuse(&self, code: &str, text: &str, error: Error) -> State {
        let result = self.send(MessageKind::Refusal, &message::encode_refusal(code, text));
        State::Concluding { result, end: Err(error), told: true }
    }

    const fn ask_kind(&self, ticket: Ticket) -> AskKind {
        match (self.kind, ticket) {
            (Kind::Enroll, CHALLENGE) => AskKind::Endorse,
            (Kind::Enroll, _) => AskKind::Conclude,
            (Kind::Attest, CHALLENGE) => AskKind::Challenge,
            (Kind::Attest, _) => AskKind::Appraise,
        }
    }
}

impl Engine for Verifier {
    type Event = Event;
    type Error = Error;

    fn handle_wire(&mut self, _now: Instant, _path: Path, bytes: &mut [u8]) -> usize {
        if !self.hear(bytes) {
            self.dropped += 1;
        }
        bytes.len()
    }

    fn handle_answer(&mut self, now: Instant, ticket: Ticket, answer: Answer<'_>) {
        if !matches!(self.state, State::AwaitAnswer { ticket: open } if open == ticket) {
            return;
        }
        self.state = match answer {
            Answer::Bytes(body) if body.len() > self.limits.body => self.refuse(
                "attest.verifier.failed",
                "the Verifier's answer is longer than the exchange allows",
                Error::AnswerTooLong,
            ),
            Answer::Bytes(body) if ticket == CHALLENGE => {
                State::AwaitResponse(self.send(MessageKind::Challenge, body))
            }
            Answer::Bytes(body) => State::Concluding {
                result: self.send(MessageKind::Result, body),
                end: Ok(()),
                told: false,
            },
            Answer::Refused { code, text } => self.refuse(code, text, Error::RefusedByOwner),
            _ => self.refuse(
                "attest.verifier.failed",
                "the Verifier could not answer; try again later",
                Error::OwnerFailed,
            ),
        };
        if matches!(self.state, State::Concluding { .. }) {
            self.until = Some(now + self.limits.linger);
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event, Error> {
        let until = *self.until.get_or_insert(now + self.limits.deadline);
        match &mut self.state {
            State::Closed(end) => return Output::Closed(*end),
            State::Concluding { result, end, .. } if now >= until && result.was_sent() => {
                self.state = State::Closed(*end);
            }
            State::Concluding { .. } | State::Telling(..) => {}
            _ if now >= until => self.state = State::Closed(Err(Error::TimedOut)),
            _ => {}
        }
        match &mut self.state {
            State::AwaitBegin | State::AwaitAnswer { .. } => Output::Wait(Some(until)),
            State::Asking { ticket, question } => {
                let (ticket, len) = (*ticket, question.len());
                let Some(room) = buf.get_mut(..len) else { return Output::Grow(len) };
                room.copy_from_slice(question);
                self.state = State::AwaitAnswer { ticket };
                Output::Ask(Ask { ticket, kind: self.ask_kind(ticket), len })
            }
            // The Attester repeats what it misses, so neither message has a timer of its own.
            State::AwaitResponse(sending) => {
                sending.poll(now, buf, None).unwrap_or(Output::Wait(Some(until)))
            }
            State::Concluding { result, told, .. } => {
                if let Some(output) = result.poll(now, buf, None) {
                    return output;
                }
                if !core::mem::replace(told, true) {
                    return Output::Event(Event::Concluded);
                }
                Output::Wait(Some(until))
            }
            State::Telling(event, error) => {
                let event = event.clone();
                self.state = State::Closed(Err(*error));
                Output::Event(event)
            }
            State::Closed(end) => Output::Closed(*end),
        }
    }
}
