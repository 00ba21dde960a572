//! Two engines, a link, a clock and an owner that takes its time.

use crate::Link;
use std::fmt::Debug;
use std::time::Duration;
use touchstone_engine::{Answer, AskKind, Engine, Instant, Output, Path, Ticket};

/// Polls at one moment beyond which an engine is not working but spinning. A stream that sends octet
/// by octet takes many.
const BUSY: u32 = 1_000_000;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first engine.
    A,
    /// The second engine.
    B,
}

/// How one end saw the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending<Event, Error> {
    /// What it told, in order.
    pub events: Vec<Event>,
    /// Its end; `None` if it had not closed when the world stopped.
    pub end: Option<Result<(), Error>>,
}

/// How a pair ended: the first engine's view and the second's.
pub type Endings<A, B> = (
    Ending<<A as Engine>::Event, <A as Engine>::Error>,
    Ending<<B as Engine>::Event, <B as Engine>::Error>,
);

/// The owner's answers: which side asks, what kind, the question.
pub type Owner<'a> = dyn FnMut(Side, AskKind, &[u8]) -> Vec<u8> + 'a;

/// A world with two engines in it.
pub struct World<'a, A: Engine, B: Engine> {
    /// The first engine.
    pub a: A,
    /// The second engine.
    pub b: B,
    /// The link between them.
    pub link: Link,
    /// How long an answer takes: 300 ms is a slow TPM.
    pub thinking: Duration,
    /// The size of the buffer of the first poll; it grows as the engines ask.
    pub buffer: usize,
    /// Who answers.
    pub owner: &'a mut Owner<'a>,
}

struct Answers(Vec<(Instant, Side, Ticket, Vec<u8>)>);

/// Gives bytes to an engine. What a stream does not take stands in `left`, in front of what comes
/// next, and is offered again.
fn deliver<E: Engine>(engine: &mut E, now: Instant, left: &mut Vec<u8>, bytes: &[u8]) {
    left.extend_from_slice(bytes);
    if !left.is_empty() {
        let taken = engine.handle_wire(now, Path::ONLY, left);
        left.drain(..taken.min(left.len()));
    }
}

impl<A: Engine, B: Engine> World<'_, A, B>
where
    A::Event: Debug,
    A::Error: Debug,
    B::Event: Debug,
    B::Error: Debug,
{
    /// Turns both engines until both closed or an hour has passed.
    ///
    /// # Panics
    ///
    /// When nothing is due although the conversation is not over (*something is always due*), or an
    /// engine is busy for ever.
    pub fn run(mut self) -> Endings<A, B> {
        let mut now = Instant::from_millis(1_000);
        let stop = now + Duration::from_hours(1);
        let mut answers = Answers(Vec::new());
        let mut a = Ending { events: Vec::new(), end: None };
        let mut b = Ending { events: Vec::new(), end: None };
        let (mut left_a, mut left_b) = (Vec::new(), Vec::new());
        while now < stop {
            let world = (&mut self.link, &mut answers, &mut *self.owner);
            let wait_a = turn(&mut self.a, Side::A, now, self.buffer, self.thinking, &mut a, world);
            let world = (&mut self.link, &mut answers, &mut *self.owner);
            let wait_b = turn(&mut self.b, Side::B, now, self.buffer, self.thinking, &mut b, world);
            if a.end.is_some() && b.end.is_some() {
                break;
            }
            if !left_a.is_empty() || !left_b.is_empty() {
                let before = (left_a.len(), left_b.len());
                deliver(&mut self.a, now, &mut left_a, &[]);
                deliver(&mut self.b, now, &mut left_b, &[]);
                if before != (left_a.len(), left_b.len()) {
                    continue;
                }
            }
            let due = [wait_a, wait_b, self.link.due(), answers.0.iter().map(|at| at.0).min()];
            let next = due.into_iter().flatten().min();
            now = next
                .expect("law: something is always due unless the conversation is over")
                .max(now);
            while let Some((to, bytes)) = self.link.receive(now) {
                match to {
                    Side::A => deliver(&mut self.a, now, &mut left_a, &bytes),
                    Side::B => deliver(&mut self.b, now, &mut left_b, &bytes),
                }
            }
            while let Some(index) = answers.0.iter().position(|(at, ..)| *at <= now) {
                let (_, side, ticket, bytes) = answers.0.remove(index);
                match side {
                    Side::A => self.a.handle_answer(now, ticket, Answer::Bytes(&bytes)),
                    Side::B => self.b.handle_answer(now, ticket, Answer::Bytes(&bytes)),
                }
            }
        }
        (a, b)
    }
}

/// Polls until the engine waits or has closed; gives back what it waits for.
fn turn<E: Engine>(
    engine: &mut E,
    side: Side,
    now: Instant,
    room: usize,
    thinking: Duration,
    ending: &mut Ending<E::Event, E::Error>,
    (link, answers, owner): (&mut Link, &mut Answers, &mut Owner<'_>),
) -> Option<Instant> {
    let other = if side == Side::A { Side::B } else { Side::A };
    let mut buf = vec![0; room];
    for _ in 0..BUSY {
        match engine.poll_output(now, &mut buf) {
            Output::Transmit { len, .. } => link.send(now, other, buf.get(..len).unwrap_or(&[])),
            Output::Ask(ask) => {
                let answer = owner(side, ask.kind, buf.get(..ask.len).unwrap_or(&[]));
                answers.0.push((now + thinking, side, ask.ticket, answer));
            }
            Output::Event(event) => ending.events.push(event),
            Output::Grow(need) => {
                assert!(need > buf.len(), "law: Grow asks for more than there is");
                buf.resize(need, 0);
            }
            Output::Wait(until) => return until,
            Output::Closed(end) => {
                ending.end = Some(end);
                return None;
            }
        }
    }
    panic!("law: an engine waits in the end, but this one is busy for ever");
}
