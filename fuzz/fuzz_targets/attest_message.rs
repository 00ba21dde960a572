//! Messages at both ends of the exchange: neither may panic, spin, or hold more than its limit,
//! whatever arrives.
//!
//! Input: the kind of exchange, then messages, each behind its length in two octets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_attest::{Attester, Kind, Limits, Verifier, session_of};
use touchstone_engine::{Answer, Engine, Instant, Output, Path};
use touchstone_wire::Reader;

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    let Ok(kind) = reader.u8() else { return };
    let kind = if kind % 2 == 0 { Kind::Enroll } else { Kind::Attest };
    let limits = Limits { body: 1 << 12, ..Limits::default() };
    let mut device = Attester::new(kind, [0; 16], b"begin", limits);
    let mut fleet = Verifier::new(kind, limits);
    let mut now = 0;
    while let Ok(message) = reader.u16().and_then(|len| reader.take(len.into())) {
        now += 100;
        let _ = session_of(message);
        let taken = device.handle_wire(Instant::from_millis(now), Path::ONLY, &mut message.to_vec());
        assert_eq!(taken, message.len());
        fleet.handle_wire(Instant::from_millis(now), Path::ONLY, &mut message.to_vec());
        turn(&mut device, Instant::from_millis(now));
        turn(&mut fleet, Instant::from_millis(now));
    }
    // Whatever came, it ends.
    for engine in [&mut turn_dyn(device) as &mut dyn FnMut(Instant) -> bool, &mut turn_dyn(fleet)] {
        engine(Instant::from_millis(now + 3_600_000));
        assert!(engine(Instant::from_millis(now + 7_200_000)), "it never ends");
    }
});

fn turn_dyn<E: Engine>(mut engine: E) -> impl FnMut(Instant) -> bool {
    move |now| turn(&mut engine, now)
}

/// Turns an engine until it waits or has closed; says whether it has closed.
fn turn<E: Engine>(engine: &mut E, now: Instant) -> bool {
    let mut buf = Vec::new();
    for _ in 0..64 {
        match engine.poll_output(now, &mut buf) {
            Output::Transmit { len, .. } => assert!(len <= buf.len()),
            Output::Ask(ask) => {
                assert!(ask.len <= buf.len());
                engine.handle_answer(now, ask.ticket, Answer::Bytes(b"answer"));
            }
            Output::Event(_) => {}
            Output::Grow(need) => {
                assert!(need > buf.len() && need < 1 << 13);
                buf.resize(need, 0);
            }
            Output::Wait(_) => return false,
            Output::Closed(_) => return true,
        }
    }
    panic!("it never waits");
}
