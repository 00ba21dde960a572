//! Two sessions and what lies between them.

use super::pki::{self, Authority};
use crate::{ClientAuth, ClientSetup, Error, Event, ServerName, ServerSetup, Session};
use touchstone_engine::{Answer, Engine, Instant, Output, Path, Ticket};

pub(super) const START: Instant = Instant::from_millis(0);

/// How it ended, if it did.
pub(super) type Outcome = Option<Result<(), Error>>;

/// One end, and what was heard from it.
pub(super) struct Half {
    pub(super) session: Session,
    pub(super) events: Vec<Event>,
    pub(super) end: Outcome,
}

impl Half {
    pub(super) fn new(session: Session) -> Self {
        Self { session, events: Vec::new(), end: None }
    }

    /// Polls until it waits; gives back the bytes it sent.
    pub(super) fn turn(&mut self) -> Vec<u8> {
        let (mut sent, mut buf) = (Vec::new(), vec![0; 4096]);
        loop {
            match self.session.poll_output(START, &mut buf) {
                Output::Transmit { len, .. } => sent.extend_from_slice(&buf[..len]),
                Output::Event(event) => self.events.push(event),
                Output::Wait(_) => return sent,
                Output::Closed(end) => {
                    self.end = Some(end);
                    return sent;
                }
                other => panic!("a session never says {other:?}"),
            }
        }
    }

    /// Gives it bytes until all are taken.
    pub(super) fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.session.handle_wire(START, Path::ONLY, &mut bytes.to_vec());
            bytes = &bytes[taken..];
            if taken == 0 {
                // What it had to send goes nowhere in this case, and no test counts on it.
                assert!(self.turn().is_empty());
            }
        }
    }

    pub(super) fn data(&self) -> Vec<u8> {
        let data = self.events.iter().filter_map(|event| match event {
            Event::Data(data) => Some(data.as_slice()),
            _ => None,
        });
        data.flatten().copied().collect()
    }

    pub(super) fn peer(&self) -> Option<&[Vec<u8>]> {
        self.events.iter().find_map(|event| match event {
            Event::Connected { peer_certificates, .. } => Some(peer_certificates.as_slice()),
            _ => None,
        })
    }
}

pub(super) struct Pair {
    pub(super) client: Half,
    pub(super) server: Half,
}

impl Pair {
    pub(super) fn new(client: ClientSetup, name: &str, server: ServerSetup) -> Self {
        let name = ServerName::parse(name).unwrap();
        Self {
            client: Half::new(Session::client(&client.build().unwrap(), &name).unwrap()),
            server: Half::new(Session::server(&server.build().unwrap()).unwrap()),
        }
    }

    /// A pair where all is as it should be and only the server shows a certificate.
    pub(super) fn simple() -> Self {
        let ca = Authority::new();
        let server = pki::server(ca.identity("fleet.example"), ClientAuth::None);
        Self::new(pki::client(&ca.roots()), "fleet.example", server)
    }

    /// Carries bytes until neither end has any.
    pub(super) fn run(mut self) -> Self {
        loop {
            let (up, down) = (self.client.turn(), self.server.turn());
            if up.is_empty() && down.is_empty() {
                return self;
            }
            self.server.hear(&up);
            self.client.hear(&down);
        }
    }

    pub(super) fn ends(&self) -> (Outcome, Outcome) {
        (self.client.end, self.server.end)
    }
}

/// Octets that a [`Talker`] says: more than one record.
pub(super) const END_OF_TALK: usize = 40_000;

/// A session whose owner says its piece, hears the other's, and ends.
pub(super) struct Talker {
    session: Session,
    said: usize,
    heard: usize,
}

impl Talker {
    pub(super) fn new(session: Session) -> Self {
        Self { session, said: 0, heard: 0 }
    }

    fn talk(&mut self) {
        self.said += self.session.send(&vec![b't'; END_OF_TALK - self.said]);
        if self.said == END_OF_TALK && self.heard == END_OF_TALK {
            self.session.close();
        }
    }
}

impl Engine for Talker {
    type Event = usize;
    type Error = Error;

    fn handle_wire(&mut self, now: Instant, path: Path, bytes: &mut [u8]) -> usize {
        self.session.handle_wire(now, path, bytes)
    }

    fn handle_answer(&mut self, now: Instant, ticket: Ticket, answer: Answer<'_>) {
        self.session.handle_answer(now, ticket, answer);
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<usize, Error> {
        self.talk();
        loop {
            return match self.session.poll_output(now, buf) {
                Output::Event(Event::Data(data)) => {
                    self.heard += data.len();
                    self.talk();
                    continue;
                }
                Output::Event(Event::Connected { peer_certificates, .. }) => {
                    Output::Event(peer_certificates.len())
                }
                Output::Event(Event::PeerClosed) => Output::Event(self.heard),
                Output::Transmit { path, len } => Output::Transmit { path, len },
                Output::Ask(ask) => Output::Ask(ask),
                Output::Grow(need) => Output::Grow(need),
                Output::Wait(until) => Output::Wait(until),
                Output::Closed(end) => Output::Closed(end),
            };
        }
    }
}
