//! A SCEP client gone mad: whatever it asks, it gets a response, and no message comes before the owner
//! whose envelope is not signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use touchstone_cms::SignedData;
use touchstone_crypto_awslc::AwsLc;
use touchstone_engine::{Answer, AskKind, Engine, Instant, Output, Path};
use touchstone_enroll::exchange::{Headers, Limits, Message, Method, Request, What};
use touchstone_enroll::scep::{Capabilities, Desk, Operation, Server};

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes;
    let mut server = Server::of(Arc::new(AwsLc), Capabilities::OURS, Limits::default());
    let (now, mut buf) = (Instant::from_millis(0), vec![0; 1 << 16]);
    let mut number = 0;
    while let Some(([choice, len], rest)) = bytes.split_first_chunk::<2>() {
        let (body, rest) = rest.split_at((usize::from(*len) * 16).min(rest.len()));
        bytes = rest;
        number += 1;
        let operation = Operation::ALL[usize::from(choice % 4)];
        let path = match choice & 64 {
            0 => format!("/scep?operation={}&message=x", operation.name()),
            _ => format!("/scep?{}", String::from_utf8_lossy(body)),
        };
        let method = if choice & 128 == 0 { Method::Post } else { Method::Get };
        let request = Request { method, path, headers: Headers::new(), body: body.to_vec() };
        let message = Message { conversation: [1; 16], number, what: What::Request(request) };
        server.handle_wire(now, Path::ONLY, &mut message.encode());
        loop {
            match server.poll_output(now, &mut buf) {
                Output::Ask(ask) => {
                    let answer = match ask.kind {
                        AskKind::Issue => {
                            let message = SignedData::decode(&buf[..ask.len]).expect("an envelope");
                            assert!(message.unverified_signatures() > 0);
                            None
                        }
                        _ => Desk::authorities(&[]),
                    };
                    let answer = answer.as_deref().map_or(Answer::Failed, Answer::Bytes);
                    server.handle_answer(now, ask.ticket, answer);
                }
                Output::Transmit { len, .. } => {
                    assert!(Message::response(&buf[..len]).is_some(), "a response");
                }
                Output::Grow(need) => buf.resize(need, 0),
                Output::Event(_) => {}
                Output::Wait(_) | Output::Closed(_) => break,
            }
        }
    }
});
