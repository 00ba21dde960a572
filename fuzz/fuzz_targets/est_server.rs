//! An EST client gone mad: whatever it asks, in whatever order, it gets a response, and what is not
//! signed by the key that it is for is never brought before the owner.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use touchstone_certs::CertificateRequest;
use touchstone_crypto_awslc::AwsLc;
use touchstone_engine::{Answer, AskKind, Engine, Instant, Output, Path};
use touchstone_enroll::est::{
    Binding, Decision, Operation, Question, Server, ServerSetup, path_with,
};
use touchstone_enroll::exchange::{Headers, Limits, Message, Method, Request, What};

fn next<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first()?;
    let (part, rest) = rest.split_at(usize::from(*len).min(rest.len()));
    *bytes = rest;
    Some(part)
}

fn request(choice: u8, bytes: &mut &[u8]) -> Option<Request> {
    let operation = Operation::ALL[usize::from(choice % 6)];
    let label = (choice & 64 != 0).then_some("plant7");
    let path = match choice {
        255 => String::from_utf8_lossy(next(bytes)?).into_owned(),
        _ => path_with(operation, label),
    };
    let method = if choice & 128 == 0 { operation.method() } else { Method::Get };
    let media = match choice % 7 {
        0 => "application/pkcs7-mime; smime-type=CMC-request",
        _ => "application/pkcs10",
    };
    let authorization = String::from_utf8_lossy(next(bytes)?).into_owned();
    let headers = Headers::new().with("content-type", media).with("authorization", &authorization);
    let body = if choice & 32 == 0 { next(bytes)?.to_vec() } else { std::mem::take(bytes).to_vec() };
    Some(Request { method, path, headers, body })
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes;
    let binding = Binding { octets: Some(vec![7; 32]), required: bytes.len() % 2 == 0 };
    let setup = ServerSetup { crypto: Arc::new(AwsLc), now: 1_800_000_000, binding };
    let mut server = Server::of(setup, Limits::default());
    let (now, mut buf) = (Instant::from_millis(0), vec![0; 1 << 16]);
    let mut number = 0;
    while let Some((choice, rest)) = bytes.split_first() {
        bytes = rest;
        let mut octets = match request(*choice, &mut bytes) {
            Some(request) if choice % 11 != 0 => {
                number += 1;
                let what = What::Request(request);
                Message { conversation: [1; 16], number, what }.encode()
            }
            _ => next(&mut bytes).unwrap_or_default().to_vec(),
        };
        server.handle_wire(now, Path::ONLY, &mut octets);
        loop {
            match server.poll_output(now, &mut buf) {
                Output::Ask(ask) => {
                    let decision = decide(ask.kind, &buf[..ask.len], *choice);
                    let decision = decision.map(|it| it.encode());
                    let answer = match &decision {
                        Some(octets) => Answer::Bytes(octets),
                        None => Answer::Refused { code: "fuzz.no", text: "no" },
                    };
                    server.handle_answer(now, ask.ticket, answer);
                }
                Output::Transmit { len, .. } => {
                    let response = Message::response(&buf[..len]).expect("a response");
                    assert!((200..=599).contains(&response.status));
                }
                Output::Grow(need) => buf.resize(need, 0),
                Output::Event(_) => {}
                Output::Wait(_) | Output::Closed(_) => break,
            }
        }
    }
});

fn decide(kind: AskKind, question: &[u8], choice: u8) -> Option<Decision> {
    match kind {
        AskKind::Admit => Some(Decision::Admitted),
        AskKind::Authorities => Some(Decision::Certificates(Vec::new())),
        AskKind::Attributes => Some(Decision::Attributes(vec![0x30, 0])),
        AskKind::Issue => {
            let question = Question::decode(question).expect("a question");
            let request = CertificateRequest::decode(&question.request).expect("a request");
            if question.operation != Operation::ServerKeygen {
                request.verify(&AwsLc).expect("signed by its key");
            }
            (choice & 1 == 0).then_some(Decision::Later(3))
        }
        _ => None,
    }
}
