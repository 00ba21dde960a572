//! The laws. Each takes a way to make a fresh pair of engines and what their owner answers, and
//! panics, with the seed, where the law is broken.

use crate::world::Endings;
use crate::{Chance, Link, Side, Weather, World};
use std::fmt::Debug;
use std::time::Duration;
use touchstone_engine::{Answer, AskKind, Blame, Engine, Fault, Instant, Output, Path, Ticket};

/// What the pair's owner answers.
type Asked<'a> = dyn FnMut(Side, AskKind, &[u8]) -> Vec<u8> + 'a;

/// Runs one fresh pair to its end.
fn run<A, B>(
    pair: &dyn Fn() -> (A, B),
    owner: &mut Asked<'_>,
    link: Link,
    thinking: Duration,
    buffer: usize,
) -> Endings<A, B>
where
    A: Engine<Event: Debug, Error: Debug>,
    B: Engine<Event: Debug, Error: Debug>,
{
    let (a, b) = pair();
    World {
        a,
        b,
        link,
        thinking,
        buffer,
        owner: &mut |side, kind, question| owner(side, kind, question),
    }
    .run()
}

/// A buffer of one octet changes nothing but the number of polls.
pub fn one_byte_buffer<A, B>(pair: &dyn Fn() -> (A, B), owner: &mut Asked<'_>)
where
    A: Engine<Event: Debug + PartialEq, Error: Debug + PartialEq>,
    B: Engine<Event: Debug + PartialEq, Error: Debug + PartialEq>,
{
    let link = || Link::new(Weather::FAIR, 0);
    let roomy = run(pair, owner, link(), Duration::ZERO, 1 << 16);
    let tight = run(pair, owner, link(), Duration::ZERO, 1);
    assert_eq!(roomy, tight, "law: a one-byte buffer changes nothing");
}

/// A link that loses, delays, reorders and duplicates, and a key store that takes 300 ms, still end
/// in the same place as a fair day.
pub fn bad_link_same_end<A, B>(
    pair: &dyn Fn() -> (A, B),
    owner: &mut Asked<'_>,
    seeds: std::ops::Range<u64>,
) where
    A: Engine<Event: Debug + PartialEq, Error: Debug + PartialEq>,
    B: Engine<Event: Debug + PartialEq, Error: Debug + PartialEq>,
{
    let fair = run(pair, owner, Link::new(Weather::FAIR, 0), Duration::ZERO, 64);
    for seed in seeds {
        let slow = Duration::from_millis(300);
        let foul = run(pair, owner, Link::new(Weather::FOUL, seed), slow, 64);
        assert_eq!(fair, foul, "law: a bad link ends in the same place (seed {seed})");
    }
}

/// After `Closed` every poll says the same, whatever comes.
pub fn closed_is_final<E>(mut closed: E, now: Instant)
where
    E: Engine<Event: Debug + PartialEq, Error: Debug + PartialEq>,
{
    let mut buf = [0; 4096];
    let end = closed.poll_output(now, &mut buf);
    assert!(matches!(end, Output::Closed(_)), "the engine given must have closed: {end:?}");
    let mut chance = Chance::new(1);
    for round in 0..100 {
        let later = now + Duration::from_secs(round);
        let mut noise: Vec<u8> = (0..chance.below(64)).map(|_| octet(&mut chance)).collect();
        closed.handle_wire(later, Path::ONLY, &mut noise);
        closed.handle_answer(later, Ticket(round), Answer::Bytes(&noise));
        assert_eq!(closed.poll_output(later, &mut buf), end, "law: Closed is final");
    }
}

/// An answer to a ticket that is not open changes nothing.
pub fn stale_ticket_is_ignored<E>(engine: &mut E, now: Instant)
where
    E: Engine<Event: Debug + PartialEq, Error: Debug + PartialEq>,
{
    let mut buf = [0; 4096];
    let before = engine.poll_output(now, &mut buf);
    assert!(matches!(before, Output::Wait(_)), "the engine given must wait: {before:?}");
    for ticket in (0..64).chain([u64::MAX]) {
        engine.handle_answer(now, Ticket(ticket), Answer::Bytes(b"stale"));
        engine.handle_answer(now, Ticket(ticket), Answer::Failed);
        assert_eq!(engine.poll_output(now, &mut buf), before, "law: a stale ticket is ignored");
    }
}

/// Noise never closes an engine that takes messages and never grows its state, which `footprint`
/// measures in octets.
pub fn noise_never_closes<E>(engine: &mut E, now: Instant, footprint: &dyn Fn(&E) -> usize)
where
    E: Engine<Event: Debug + PartialEq, Error: Debug + PartialEq>,
{
    let mut buf = vec![0; 1 << 16];
    let before = engine.poll_output(now, &mut buf);
    assert!(matches!(before, Output::Wait(_)), "the engine given must wait: {before:?}");
    let size = footprint(engine);
    let mut chance = Chance::new(7);
    for _ in 0..2_000 {
        let mut noise: Vec<u8> = (0..chance.below(200)).map(|_| octet(&mut chance)).collect();
        assert_eq!(engine.handle_wire(now, Path::ONLY, &mut noise), noise.len());
        assert_eq!(engine.poll_output(now, &mut buf), before, "law: noise never closes");
    }
    assert_eq!(footprint(engine), size, "law: noise never grows state");
}

/// Noise on a stream never panics, and ends the conversation with an error that names the peer.
pub fn noise_ends_a_stream<E>(fresh: &dyn Fn() -> E, seeds: std::ops::Range<u64>)
where
    E: Engine<Event: Debug, Error: Debug + Fault>,
{
    for seed in seeds {
        let mut engine = fresh();
        let mut chance = Chance::new(seed);
        let mut buf = vec![0; 1 << 16];
        let mut now = Instant::from_millis(0);
        let mut closed = false;
        for _ in 0..400 {
            now = now + Duration::from_millis(10);
            let mut noise: Vec<u8> = (0..256).map(|_| octet(&mut chance)).collect();
            engine.handle_wire(now, Path::ONLY, &mut noise);
            while !closed {
                match engine.poll_output(now, &mut buf) {
                    Output::Wait(_) => break,
                    Output::Grow(need) => buf.resize(need, 0),
                    Output::Closed(end) => {
                        let error = end.expect_err("law: noise is no orderly end");
                        assert_eq!(error.blame(), Blame::Peer, "seed {seed}");
                        closed = true;
                    }
                    _ => {}
                }
            }
        }
        assert!(closed, "law: noise ends a stream (seed {seed})");
    }
}

fn octet(chance: &mut Chance) -> u8 {
    chance.draw().to_le_bytes()[0]
}
