//! The smallest protocol with a signature in it: a prover says that it lives while its key is at
//! work, sends the signature until it is confirmed, and a checker confirms.

use std::time::Duration;
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::PublicKey;
use touchstone_engine::{
    Answer, Ask, AskKind, Blame, Engine, Fault, Instant, Output, Path, Ticket,
};

/// What a prover says while it waits for its signature.
pub(crate) const ALIVE: u8 = b'A';
const PROOF: u8 = b'P';
const GOOD: u8 = b'G';

const BEAT: Duration = Duration::from_millis(50);
const AGAIN: Duration = Duration::from_millis(500);
const LINGER: Duration = Duration::from_mins(5);
const TICKET: Ticket = Ticket(7);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NoSignature;

impl Fault for NoSignature {
    fn blame(&self) -> Blame {
        Blame::Owner
    }
    fn code(&self) -> &'static str {
        "signing.none"
    }
}

#[derive(Debug)]
enum State {
    Ask,
    AwaitSignature { beat: Instant },
    SendProof { proof: Vec<u8>, at: Instant },
    Closed(Result<(), NoSignature>),
}

#[derive(Debug)]
pub(crate) struct Prover {
    nonce: Vec<u8>,
    state: State,
}

impl Prover {
    pub(crate) fn new(nonce: &[u8]) -> Self {
        Self { nonce: nonce.to_vec(), state: State::Ask }
    }
}

fn fill<Event, Error>(buf: &mut [u8], message: &[u8]) -> Result<usize, Output<Event, Error>> {
    let room = buf.get_mut(..message.len()).ok_or(Output::Grow(message.len()))?;
    room.copy_from_slice(message);
    Ok(message.len())
}

impl Engine for Prover {
    type Event = ();
    type Error = NoSignature;

    fn handle_wire(&mut self, _: Instant, _: Path, bytes: &mut [u8]) -> usize {
        if let (State::SendProof { .. }, [GOOD]) = (&self.state, &*bytes) {
            self.state = State::Closed(Ok(()));
        }
        bytes.len()
    }

    fn handle_answer(&mut self, now: Instant, ticket: Ticket, answer: Answer<'_>) {
        if let (State::AwaitSignature { .. }, TICKET) = (&self.state, ticket) {
            self.state = match answer {
                Answer::Bytes(signature) => {
                    State::SendProof { proof: [&[PROOF], signature].concat(), at: now }
                }
                _ => State::Closed(Err(NoSignature)),
            };
        }
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<(), NoSignature> {
        match &mut self.state {
            State::Ask => match fill(buf, &self.nonce) {
                Ok(len) => {
                    self.state = State::AwaitSignature { beat: now + BEAT };
                    Output::Ask(Ask { ticket: TICKET, kind: AskKind::Sign, len })
                }
                Err(grow) => grow,
            },
            State::AwaitSignature { beat } if *beat <= now => match fill(buf, &[ALIVE]) {
                Ok(len) => {
                    *beat = now + BEAT;
                    Output::Transmit { path: Path::ONLY, len }
                }
                Err(grow) => grow,
            },
            State::AwaitSignature { beat } => Output::Wait(Some(*beat)),
            State::SendProof { proof, at } if *at <= now => match fill(buf, proof) {
                Ok(len) => {
                    *at = now + AGAIN;
                    Output::Transmit { path: Path::ONLY, len }
                }
                Err(grow) => grow,
            },
            State::SendProof { at, .. } => Output::Wait(Some(*at)),
            State::Closed(end) => Output::Closed(*end),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Checker {
    nonce: Vec<u8>,
    key: PublicKey,
    told: bool,
    confirm: bool,
    /// Confirms again what comes again until then.
    until: Option<Instant>,
}

impl Checker {
    pub(crate) fn new(nonce: &[u8], key: PublicKey) -> Self {
        Self { nonce: nonce.to_vec(), key, told: false, confirm: false, until: None }
    }
}

impl Engine for Checker {
    type Event = &'static str;
    type Error = NoSignature;

    fn handle_wire(&mut self, now: Instant, _: Path, bytes: &mut [u8]) -> usize {
        if let [PROOF, signature @ ..] = &*bytes {
            let how = self.key.signature().expect("a key that signs");
            let good = AwsLc.verify(how, &self.key.spki_der, &self.nonce, signature).is_ok();
            if good && self.until.is_none_or(|until| now < until) {
                self.confirm = true;
                self.until.get_or_insert(now + LINGER);
            }
        }
        bytes.len()
    }

    fn handle_answer(&mut self, _: Instant, _: Ticket, _: Answer<'_>) {}

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<&'static str, NoSignature> {
        if self.confirm {
            return match fill(buf, &[GOOD]) {
                Ok(len) => {
                    self.confirm = false;
                    Output::Transmit { path: Path::ONLY, len }
                }
                Err(grow) => grow,
            };
        }
        match self.until {
            None => Output::Wait(None),
            Some(_) if !self.told => {
                self.told = true;
                Output::Event("signed by the key")
            }
            Some(until) if until <= now => Output::Closed(Ok(())),
            until => Output::Wait(until),
        }
    }
}
