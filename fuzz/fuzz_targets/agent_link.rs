//! The line between the agent's halves, as the keeper reads it from a network half that was taken
//! over: a head, and what follows it. Handshakes, which it may have signed, beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_agent::keeper::{Handshake, credential};
use touchstone_agent::link::{Ask, HEADER, Head, Reply, Toward};

fuzz_target!(|bytes: &[u8]| {
    if let Some((head, body)) = bytes.split_first_chunk::<HEADER>() {
        if let Ok(head) = Head::decode(head, Toward::Keeper) {
            // What is longest is an envelope, and nothing is longer.
            assert!(head.len <= (32 << 20) + 8);
            if let Ok(ask) = Ask::decode(head.kind, body) {
                if let Ask::Sign { message, .. } = &ask {
                    let signed = Handshake::decode(message).is_some();
                    assert!(!signed || message.len() == 64 + 34 + 32 || message.len() == 64 + 34 + 48);
                }
                if let Ask::Activate(question) = &ask {
                    let _ = credential(question);
                }
            }
        }
        if let Ok(head) = Head::decode(head, Toward::Network) {
            let _ = Reply::decode(head.kind, body);
        }
    }
});
