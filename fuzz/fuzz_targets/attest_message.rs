//! Messages at both ends of the exchange: neither may panic, whatever arrives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_attest::{Attester, Kind, Limits, Verifier};
use touchstone_engine::{Answer, Engine, Instant, Output, Path};

fuzz_target!(|data: &[u8]| {
    let now = Instant::from_millis(0);
    let mut buf = vec![0; 1 << 17];
    let mut device = Attester::new(Kind::Attest, [0; 16], b"begin", Limits::default());
    let mut fleet = Verifier::new(Kind::Attest, Limits::default());
    for message in data.chunks(40) {
        device.handle_wire(now, Path::ONLY, &mut message.to_vec());
        if let Output::Ask(ask) = device.poll_output(now, &mut buf) {
            device.handle_answer(now, ask.ticket, Answer::Bytes(b"answer"));
        }
        fleet.handle_wire(now, Path::ONLY, &mut message.to_vec());
        if let Output::Ask(ask) = fleet.poll_output(now, &mut buf) {
            fleet.handle_answer(now, ask.ticket, Answer::Bytes(b"answer"));
        }
    }
});
