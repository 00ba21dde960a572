//! An EST server gone mad: whatever it answers, its client comes to an end, and never to a certificate
//! that does not lead to its anchor.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name, request};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_engine::{Answer, AskKind, Engine, Instant, Output, Path};
use touchstone_enroll::est::{Client, ClientSetup, Event, Want, encode_certs, Lines};
use touchstone_enroll::exchange::{Limits, Message, Response, What};

static CA: LazyLock<(Certificate, Vec<u8>, String)> = LazyLock::new(|| {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).expect("a key");
    let name = Name::common_name("ca").expect("a name");
    let template = Template::new(Kind::Root, name.clone(), 0, 4_000_000_000);
    let certificate = template.self_sign(&AwsLc, &key).expect("a certificate");
    let request = request::build(&name, &[], &[], &key).expect("a request");
    let body = encode_certs(std::slice::from_ref(&certificate), Lines::Short).expect("a bag");
    (certificate, request, body)
});
const STATUS: [u16; 8] = [200, 202, 204, 302, 401, 404, 500, 200];
const MEDIA: [&str; 4] = [
    "application/pkcs7-mime; smime-type=certs-only",
    "application/csrattrs",
    "multipart/mixed; boundary=b",
    "text/html",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, mut bytes)) = bytes.split_first() else { return };
    let want = [Want::CaCerts, Want::CsrAttrs, Want::Enroll, Want::ServerKeygen(first & 8 != 0)];
    let setup = ClientSetup {
        crypto: Arc::new(AwsLc),
        now: 1_800_000_000,
        origin: "https://ca.test".into(),
        label: None,
        anchors: vec![CA.0.clone()],
        fingerprint: None,
        csrattrs: first & 16 != 0,
        retries: 5,
        longest_pause: Duration::from_mins(1),
    };
    let mut client = Client::of(want[usize::from(first % 4)], setup, [0; 16], Limits::default());
    let (mut now, mut buf, mut number) = (Instant::from_millis(0), vec![0; 1 << 16], 0);
    loop {
        match client.poll_output(now, &mut buf) {
            Output::Transmit { .. } => {
                number += 1;
                let Some((choice, rest)) = bytes.split_first() else { return };
                let len = rest.first().map_or(0, |len| usize::from(*len) * 4).min(rest.len());
                let (body, rest) = rest.split_at(len);
                bytes = rest;
                // Now and then the CA's certificate, so that more than the first step is reached.
                let body = if choice & 128 != 0 { CA.2.as_bytes() } else { body };
                let text = String::from_utf8_lossy(body.get(..body.len().min(40)).unwrap_or(body));
                let response = Response::with_body(
                    STATUS[usize::from(choice % 8)],
                    MEDIA[usize::from(choice / 8 % 4)],
                    body,
                );
                let response = response
                    .with("location", &text)
                    .with("retry-after", &text)
                    .with("www-authenticate", &text);
                let what = What::Response(response);
                let mut octets = Message { conversation: [0; 16], number, what }.encode();
                client.handle_wire(now, Path::ONLY, &mut octets);
            }
            Output::Ask(ask) => {
                let answer: &[u8] =
                    if ask.kind == AskKind::Request { &CA.1 } else { b"Basic dTpw" };
                client.handle_answer(now, ask.ticket, Answer::Bytes(answer));
            }
            Output::Event(Event::Issued { certificate, .. }) => assert_eq!(certificate, CA.0),
            Output::Event(_) => {}
            Output::Grow(need) => buf.resize(need, 0),
            Output::Wait(Some(until)) if until > now => now = until,
            Output::Wait(_) => panic!("it waits for nothing"),
            Output::Closed(_) => return,
        }
    }
});
