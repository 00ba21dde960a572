//! The sans-IO contract that every protocol here keeps.
//!
//! An [`Engine`] is a conversation. It is given bytes from the wire, the time, and answers to what it
//! asked; it gives back one thing to do at a time. It has no socket, clock, thread, random source or
//! key inside, so the same engine runs in a gateway, a microcontroller and a test.
//! What this is not: a runtime. `touchstone-drive` turns engines.
//!
//! ```
//! use touchstone_engine::{Answer, Blame, Engine, Fault, Instant, Output, Path, Ticket};
//!
//! /// Sends back what it hears, once.
//! struct Echo { heard: Option<Vec<u8>>, done: bool }
//!
//! #[derive(Clone, Copy, Debug, PartialEq)]
//! struct Never;
//! impl Fault for Never {
//!     fn blame(&self) -> Blame { Blame::Us }
//!     fn code(&self) -> &'static str { "echo.never" }
//! }
//!
//! impl Engine for Echo {
//!     type Event = ();
//!     type Error = Never;
//!     fn handle_wire(&mut self, _: Instant, _: Path, bytes: &mut [u8]) -> usize {
//!         self.heard = Some(bytes.to_vec());
//!         bytes.len()
//!     }
//!     fn handle_answer(&mut self, _: Instant, _: Ticket, _: Answer<'_>) {}
//!     fn poll_output(&mut self, _: Instant, buf: &mut [u8]) -> Output<(), Never> {
//!         if self.done { return Output::Closed(Ok(())) }
//!         let Some(heard) = &self.heard else { return Output::Wait(None) };
//!         let Some(room) = buf.get_mut(..heard.len()) else { return Output::Grow(heard.len()) };
//!         room.copy_from_slice(heard);
//!         self.done = true;
//!         Output::Transmit { path: Path::ONLY, len: heard.len() }
//!     }
//! }
//!
//! let mut echo = Echo { heard: None, done: false };
//! let now = Instant::from_millis(0);
//! assert_eq!(echo.poll_output(now, &mut []), Output::Wait(None));
//! echo.handle_wire(now, Path::ONLY, &mut *b"hello".to_vec());
//! assert_eq!(echo.poll_output(now, &mut [0; 1]), Output::Grow(5));
//! assert_eq!(echo.poll_output(now, &mut [0; 5]), Output::Transmit { path: Path::ONLY, len: 5 });
//! assert_eq!(echo.poll_output(now, &mut []), Output::Closed(Ok(())));
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod ask;
mod instant;

pub use ask::{Answer, Ask, AskKind, Ticket};
pub use instant::Instant;

/// A conversation without input or output of its own.
///
/// The owner calls [`poll_output`](Self::poll_output) until it says [`Output::Wait`], then gives it
/// whatever comes first: bytes, an answer, or the time it waits for.
pub trait Engine {
    /// What the owner gets told.
    type Event;
    /// Why a conversation ended badly.
    type Error: Fault;

    /// Takes bytes that came by `path`, and says how many it took. A datagram is taken whole; of a
    /// stream the rest is offered again after the next polls. Never fails: what is wrong with the
    /// bytes comes out of [`poll_output`](Self::poll_output), if it matters at all.
    fn handle_wire(&mut self, now: Instant, path: Path, bytes: &mut [u8]) -> usize;

    /// Takes the answer to an ask. A ticket that is not open is ignored.
    fn handle_answer(&mut self, now: Instant, ticket: Ticket, answer: Answer<'_>);

    /// The next thing to do. Timers fire in here.
    fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Output<Self::Event, Self::Error>;
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<Event, Error> {
    /// Send `buf[..len]` by `path`.
    Transmit {
        /// Where to.
        path: Path,
        /// How many octets of the buffer.
        len: usize,
    },
    /// Find the answer to this, now or later; the question stands in `buf[..ask.len]`.
    Ask(Ask),
    /// Tell the application.
    Event(Event),
    /// Poll again with a buffer of at least so many octets; nothing is lost.
    Grow(usize),
    /// Nothing until bytes, an answer, or this time.
    Wait(Option<Instant>),
    /// The end. The peer has been told what it should be, and every later poll says the same.
    Closed(Result<(), Error>),
}

/// One of the ways between the peers: an address, a socket, a stream. The owner says what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub u32);

impl Path {
    /// The path of a conversation that has just one.
    pub const ONLY: Self = Self(0);
}

/// An error that ends a conversation.
pub trait Fault {
    /// Whose doing it was.
    fn blame(&self) -> Blame;
    /// A code that never changes, such as `attest.timed_out`.
    fn code(&self) -> &'static str;
}

/// Whose doing an error was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The peer broke the protocol, or said no.
    Peer,
    /// A mistake in this code.
    Us,
    /// The owner gave a wrong answer, or none.
    Owner,
    /// Bytes were lost for too long.
    Network,
    /// What we run on failed.
    Platform,
}
