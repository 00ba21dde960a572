//! What a RELP server says: whatever it is and however it is cut, the client ends or waits, counts no
//! message as taken that was never sent, and keeps no more than a frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_engine::{Engine, Instant, Output, Path};
use touchstone_relp::{Client, Event, Frame};

fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    if let Ok(Some((frame, len))) = Frame::decode(data) {
        assert!(len <= data.len() && len <= Frame::room(frame.data.len()) + 1);
    }
    let now = Instant::from_millis(0);
    let mut client = Client::new(usize::from(*cut % 16) + 1);
    let mut buf = [0; 512];
    let (mut sent, mut taken) = (0, 0);
    for chunk in data.chunks(usize::from(*cut).max(1)) {
        let mut chunk = chunk.to_vec();
        let mut rest = &mut chunk[..];
        while !rest.is_empty() {
            let took = client.handle_wire(now, Path::ONLY, rest);
            assert!(took > 0);
            rest = &mut rest[took..];
        }
        loop {
            match client.poll_output(now, &mut buf) {
                Output::Transmit { len, .. } => assert!(len > 0),
                Output::Event(Event::Open) => {}
                Output::Event(Event::Taken { upto }) => {
                    assert!(upto > taken && upto <= sent);
                    taken = upto;
                }
                Output::Wait(_) => break,
                Output::Closed(_) => return,
                Output::Grow(_) | Output::Ask(_) => panic!("not by this engine"),
            }
        }
        if client.send(b"<13>1 - - - - - - m") {
            sent += 1;
        }
        assert!(client.unanswered() <= 17);
    }
});
