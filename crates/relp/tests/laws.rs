//! The laws of every engine, with a small server of our own at the other end.
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use touchstone_engine::{Answer, Engine, Instant, Output, Path, Ticket};
use touchstone_relp::{Client, Command, Error, Event, Frame};
use touchstone_sim::laws;

/// Takes every message, or refuses one.
struct Server {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    taken: Vec<Vec<u8>>,
    refuses: Option<usize>,
    closed: bool,
}

impl Server {
    fn new(refuses: Option<usize>) -> Self {
        let (incoming, outgoing, taken) = (Vec::new(), Vec::new(), Vec::new());
        Self { incoming, outgoing, taken, refuses, closed: false }
    }
}

impl Engine for Server {
    type Event = ();
    type Error = Error;

    fn handle_wire(&mut self, _: Instant, _: Path, bytes: &mut [u8]) -> usize {
        self.incoming.extend_from_slice(bytes);
        while let Some((frame, len)) = Frame::decode(&self.incoming).unwrap() {
            let data: &[u8] = match frame.command {
                Command::Open => {
                    b"200 OK\nrelp_version=0\nrelp_software=test\ncommands=eventlog,syslog"
                }
                Command::Syslog if self.refuses == Some(self.taken.len()) => b"500 full",
                Command::Syslog => {
                    self.taken.push(frame.data.to_vec());
                    b"200 OK"
                }
                Command::Close => {
                    self.closed = true;
                    b""
                }
                _ => panic!("{frame:?}"),
            };
            Frame { number: frame.number, command: Command::Response, data }
                .encode(&mut self.outgoing);
            self.incoming.drain(..len);
        }
        bytes.len()
    }

    fn handle_answer(&mut self, _: Instant, _: Ticket, _: Answer<'_>) {}

    fn poll_output(&mut self, _: Instant, buf: &mut [u8]) -> Output<(), Error> {
        if !self.outgoing.is_empty() {
            if buf.is_empty() {
                return Output::Grow(1);
            }
            let len = self.outgoing.len().min(buf.len());
            for (into, octet) in buf.iter_mut().zip(self.outgoing.drain(..len)) {
                *into = octet;
            }
            return Output::Transmit { path: Path::ONLY, len };
        }
        if self.closed { Output::Closed(Ok(())) } else { Output::Wait(None) }
    }
}

/// A client with its owner: hands messages in as there is room, then closes.
struct Sender {
    client: Client,
    left: u32,
    taken: u64,
    all: u64,
}

impl Sender {
    fn new(messages: u32) -> Self {
        Self { client: Client::new(4), left: messages, taken: 0, all: messages.into() }
    }
}

impl Engine for Sender {
    type Event = u64;
    type Error = Error;

    fn handle_wire(&mut self, now: Instant, path: Path, bytes: &mut [u8]) -> usize {
        self.client.handle_wire(now, path, bytes)
    }

    fn handle_answer(&mut self, now: Instant, ticket: Ticket, answer: Answer<'_>) {
        self.client.handle_answer(now, ticket, answer);
    }

    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<u64, Error> {
        loop {
            while self.left > 0 && self.client.send(&self.left.to_be_bytes()) {
                self.left -= 1;
            }
            if self.taken == self.all {
                self.client.close();
            }
            return match self.client.poll_output(now, buf) {
                Output::Event(Event::Open) => continue,
                Output::Event(Event::Taken { upto }) => {
                    self.taken = upto;
                    // How many answers come together is the link's doing.
                    if upto == self.all { Output::Event(upto) } else { continue }
                }
                Output::Transmit { path, len } => Output::Transmit { path, len },
                Output::Ask(ask) => Output::Ask(ask),
                Output::Grow(need) => Output::Grow(need),
                Output::Wait(until) => Output::Wait(until),
                Output::Closed(how) => Output::Closed(how),
            };
        }
    }
}

fn pair() -> (Sender, Server) {
    (Sender::new(20), Server::new(None))
}

#[test]
fn a_one_byte_buffer_changes_nothing() {
    laws::one_byte_buffer(&pair, &mut |_, _, _| Vec::new());
}

#[test]
fn noise_ends_it_and_the_peer_is_blamed() {
    laws::noise_ends_a_stream(&|| Client::new(8), 0..50);
}

#[test]
fn closed_is_final_and_tickets_are_ignored() {
    let mut client = Client::new(8);
    client.close();
    laws::closed_is_final(client, Instant::from_millis(0));
    let mut client = Client::new(8);
    let mut buf = [0; 4096];
    while let Output::Transmit { .. } = client.poll_output(Instant::from_millis(0), &mut buf) {}
    laws::stale_ticket_is_ignored(&mut client, Instant::from_millis(0));
}

/// Carries octets between the two until neither has more to say.
fn talk(client: &mut Client, server: &mut Server, now: Instant) -> Vec<Output<Event, Error>> {
    let (mut told, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match client.poll_output(now, &mut buf) {
            Output::Transmit { len, .. } => {
                server.handle_wire(now, Path::ONLY, buf.get_mut(..len).unwrap());
            }
            other @ Output::Event(_) => told.push(other),
            other => {
                let Output::Transmit { len, .. } = server.poll_output(now, &mut buf) else {
                    told.push(other);
                    return told;
                };
                client.handle_wire(now, Path::ONLY, buf.get_mut(..len).unwrap());
            }
        }
    }
}

#[test]
fn the_window_bounds_what_is_without_an_answer() {
    let now = Instant::from_millis(0);
    let (mut client, mut server) = (Client::new(3), Server::new(None));
    assert!(!client.send(b"early"), "the session is not open");
    talk(&mut client, &mut server, now);
    assert!(client.send(b"1") && client.send(b"2") && client.send(b"3"));
    assert!(!client.send(b"4"));
    assert!(!client.send(b""));
    let told = talk(&mut client, &mut server, now);
    assert!(told.contains(&Output::Event(Event::Taken { upto: 3 })), "{told:?}");
    assert!(client.send(b"4"));
    assert_eq!(server.taken.len(), 3);
}

#[test]
fn a_message_that_is_refused_ends_the_session_and_is_not_taken() {
    let now = Instant::from_millis(0);
    let (mut client, mut server) = (Client::new(8), Server::new(Some(2)));
    talk(&mut client, &mut server, now);
    for message in [b"1", b"2", b"3", b"4"] {
        assert!(client.send(message));
    }
    let told = talk(&mut client, &mut server, now);
    assert_eq!(
        told,
        [
            Output::Event(Event::Taken { upto: 2 }),
            Output::Closed(Err(Error::Refused { code: 500, message: 3 }))
        ]
    );
}

#[test]
fn a_server_that_falls_silent_lies_or_takes_nothing_ends_it() {
    let now = Instant::from_millis(0);
    let late = Instant::from_millis(30_000);
    let mut buf = [0; 4096];
    let mut client = Client::new(8);
    while let Output::Transmit { .. } = client.poll_output(now, &mut buf) {}
    assert_eq!(client.poll_output(now, &mut buf), Output::Wait(Some(late)));
    assert_eq!(client.poll_output(late, &mut buf), Output::Closed(Err(Error::TimedOut)));

    for (answer, error) in [
        (&b"1 rsp 30 200 OK\nrelp_version=0\ncommands\n"[..], Error::Incompatible),
        (b"1 rsp 9 200 OK\n\n\n\n", Error::Incompatible),
        (b"1 rsp 8 500 busy\n", Error::Refused { code: 500, message: 0 }),
        (b"2 rsp 6 200 OK\n", Error::Unexpected),
        (b"1 syslog 2 hi\n", Error::Unexpected),
        (b"0 serverclose 0\n", Error::PeerClosed),
    ] {
        let mut client = Client::new(8);
        while let Output::Transmit { .. } = client.poll_output(now, &mut buf) {}
        client.handle_wire(now, Path::ONLY, &mut answer.to_vec());
        assert_eq!(client.poll_output(now, &mut buf), Output::Closed(Err(error)));
    }
    // The same answer a second time would count a message that was never taken.
    let (mut client, mut server) = (Client::new(8), Server::new(None));
    talk(&mut client, &mut server, now);
    assert!(client.send(b"1") && client.send(b"2"));
    while let Output::Transmit { .. } = client.poll_output(now, &mut buf) {}
    client.handle_wire(now, Path::ONLY, &mut b"3 rsp 6 200 OK\n3 rsp 6 200 OK\n".to_vec());
    assert_eq!(client.poll_output(now, &mut buf), Output::Closed(Err(Error::Unexpected)));
}
