//! The client's part of a session.

use crate::frame::{Command, Frame, MAX_DATA};
use crate::{Error, Malformed};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use touchstone_engine::{Answer, Engine, Instant, Output, Path, Ticket};

/// Messages that may be without an answer, at most.
pub const MAX_WINDOW: usize = 1024;
/// How long a server may take over an answer.
const PATIENCE: Duration = Duration::from_secs(30);
const OFFERS: &[u8] =
    b"relp_version=0\nrelp_software=touchstone,0.1,https://github.com/touchstone-trust\ncommands=syslog";
/// The largest transaction number; after it comes 1.
const LAST: u32 = 999_999_999;

/// What the owner gets told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session is open: messages can be sent.
    Open,
    /// The server took every message up to this one, the first being 1.
    Taken {
        /// The last of them.
        upto: u64,
    },
}

enum State {
    Start,
    Opening,
    Open,
    Closing,
    Closed(Result<(), Error>),
}

/// A client's session over one connection.
pub struct Client {
    state: State,
    window: usize,
    /// Frames to send, and how much of them is sent.
    outgoing: Vec<u8>,
    sent: usize,
    incoming: Vec<u8>,
    /// The number of the next transaction.
    next: u32,
    /// Transactions without an answer, or with one that came before its turn.
    pending: VecDeque<Pending>,
    /// Messages that were handed in, and that were taken without a gap.
    given: u64,
    taken: u64,
    told: u64,
    opened: bool,
    /// When the server has to have answered.
    until: Option<Instant>,
}

struct Pending {
    number: u32,
    answered: bool,
}

impl Client {
    /// A session in which `window` messages may be without an answer: 1 to [`MAX_WINDOW`].
    pub fn new(window: usize) -> Self {
        Self {
            state: State::Start,
            window: window.clamp(1, MAX_WINDOW),
            outgoing: Vec::new(),
            sent: 0,
            incoming: Vec::new(),
            next: 1,
            pending: VecDeque::new(),
            given: 0,
            taken: 0,
            told: 0,
            opened: false,
            until: None,
        }
    }

    /// Hands a message in. False, and nothing happened, when the session is not open, the window is
    /// full, or the message is empty or longer than [`MAX_DATA`].
    pub fn send(&mut self, message: &[u8]) -> bool {
        let fits = (1..=MAX_DATA).contains(&message.len());
        if !matches!(self.state, State::Open) || self.pending.len() >= self.window || !fits {
            return false;
        }
        self.transact(Command::Syslog, message);
        self.given += 1;
        true
    }

    /// How many messages are without an answer.
    pub fn unanswered(&self) -> usize {
        self.pending.iter().filter(|pending| !pending.answered).count()
    }

    /// Ends the session once what was handed in is answered.
    pub fn close(&mut self) {
        match self.state {
            State::Open => {
                self.transact(Command::Close, b"");
                self.state = State::Closing;
            }
            State::Start | State::Opening => self.state = State::Closed(Ok(())),
            State::Closing | State::Closed(_) => {}
        }
    }

    fn transact(&mut self, command: Command, data: &[u8]) {
        let number = self.next;
        Frame { number, command, data }.encode(&mut self.outgoing);
        self.pending.push_back(Pending { number, answered: false });
        self.next = if number == LAST { 1 } else { number + 1 };
    }

    fn handle(
        &mut self,
        number: u32,
        command: Command,
        code: Option<u16>,
        offers: &Offers,
    ) -> Result<(), Error> {
        match command {
            Command::ServerClose => return Err(Error::PeerClosed),
            Command::Response => {}
            _ => return Err(Error::Unexpected),
        }
        let at = self.pending.iter().position(|pending| pending.number == number);
        let at = at.filter(|at| self.pending.get(*at).is_some_and(|pending| !pending.answered));
        let at = at.ok_or(Error::Unexpected)?;
        let last = at + 1 == self.pending.len();
        match self.state {
            State::Opening => {
                let code = code.ok_or(Error::Malformed(Malformed::Code))?;
                if code != 200 {
                    return Err(Error::Refused { code, message: 0 });
                }
                if !offers.version || !offers.syslog {
                    return Err(Error::Incompatible);
                }
                self.pending.clear();
                self.until = None;
                (self.state, self.opened) = (State::Open, true);
                return Ok(());
            }
            // The answer to the close itself need not say anything.
            State::Closing if last => self.state = State::Closed(Ok(())),
            State::Open | State::Closing => {
                let code = code.ok_or(Error::Malformed(Malformed::Code))?;
                if code != 200 {
                    let message = self.taken + u64::try_from(at).unwrap_or(u64::MAX) + 1;
                    return Err(Error::Refused { code, message });
                }
            }
            State::Start | State::Closed(_) => return Err(Error::Unexpected),
        }
        // An answer, and not just octets, shows that the server is alive.
        self.until = None;
        if let Some(pending) = self.pending.get_mut(at) {
            pending.answered = true;
        }
        while self.pending.front().is_some_and(|pending| pending.answered) {
            self.pending.pop_front();
            self.taken = (self.taken + 1).min(self.given);
        }
        Ok(())
    }

    /// Reads every frame that is there.
    fn read(&mut self) -> Result<(), Error> {
        let mut at = 0;
        let read = loop {
            if matches!(self.state, State::Closed(_)) {
                break Ok(());
            }
            match Frame::decode(self.incoming.get(at..).unwrap_or_default()) {
                Err(malformed) => break Err(Error::Malformed(malformed)),
                Ok(None) => break Ok(()),
                Ok(Some((frame, len))) => {
                    at += len;
                    let (number, command) = (frame.number, frame.command);
                    let (code, offers) = (code(frame.data), Offers::of(frame.data));
                    if let Err(error) = self.handle(number, command, code, &offers) {
                        break Err(error);
                    }
                }
            }
        };
        self.incoming.drain(..at);
        read
    }
}

impl Engine for Client {
    type Event = Event;
    type Error = Error;

    fn handle_wire(&mut self, _: Instant, _: Path, bytes: &mut [u8]) -> usize {
        if matches!(self.state, State::Closed(_)) {
            return bytes.len();
        }
        // A frame is taken in as a whole, and never more than one is kept waiting.
        let room = Frame::room(MAX_DATA).saturating_sub(self.incoming.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.incoming.extend_from_slice(taken);
        let taken = taken.len();
        if let Err(error) = self.read() {
            self.state = State::Closed(Err(error));
            self.incoming = Vec::new();
        }
        taken
    }

    fn handle_answer(&mut self, _: Instant, _: Ticket, _: Answer<'_>) {}

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Event, Error> {
        if matches!(self.state, State::Start) {
            self.transact(Command::Open, OFFERS);
            self.state = State::Opening;
        }
        if self.opened {
            self.opened = false;
            return Output::Event(Event::Open);
        }
        if self.told < self.taken {
            self.told = self.taken;
            return Output::Event(Event::Taken { upto: self.taken });
        }
        if let State::Closed(how) = self.state {
            return Output::Closed(how);
        }
        let rest = self.outgoing.get(self.sent..).unwrap_or_default();
        if !rest.is_empty() {
            if buf.is_empty() {
                return Output::Grow(rest.len().min(1024));
            }
            let len = rest.len().min(buf.len());
            for (into, octet) in buf.iter_mut().zip(rest) {
                *into = *octet;
            }
            self.sent += len;
            if self.sent == self.outgoing.len() {
                (self.outgoing, self.sent) = (Vec::new(), 0);
            }
            return Output::Transmit { path: Path::ONLY, len };
        }
        if self.unanswered() == 0 {
            self.until = None;
            return Output::Wait(None);
        }
        let until = *self.until.get_or_insert(now + PATIENCE);
        if now >= until {
            self.state = State::Closed(Err(Error::TimedOut));
            return Output::Closed(Err(Error::TimedOut));
        }
        Output::Wait(Some(until))
    }
}

/// The three digits that a response starts with.
fn code(data: &[u8]) -> Option<u16> {
    let (digits, rest) = data.split_first_chunk::<3>()?;
    let ends = rest.first().is_none_or(|c| matches!(c, b' ' | b'\n'));
    let good = ends && digits.iter().all(u8::is_ascii_digit);
    good.then(|| digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}

/// What a server offers in its answer to an opening.
struct Offers {
    version: bool,
    syslog: bool,
}

impl Offers {
    fn of(data: &[u8]) -> Self {
        let mut offers = Self { version: false, syslog: false };
        for line in data.split(|octet| *octet == b'\n').skip(1) {
            if let Some(version) = line.strip_prefix(b"relp_version=") {
                offers.version = matches!(version, b"0" | b"1");
            }
            if let Some(commands) = line.strip_prefix(b"commands=") {
                offers.syslog = commands.split(|c| *c == b',').any(|name| name == b"syslog");
            }
        }
        offers
    }
}
