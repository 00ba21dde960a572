//! TLS sessions fed with anything: alone, or in a real conversation that is tampered with. None may
//! panic, take more than it was given, go on after its end, or pass on altered data.
//!
//! Input: a mode, a position in two octets, then the bytes. Mode 0: a client hears the bytes. Mode 1:
//! a server does. Mode 2 and 3: a client and a server talk, and the bytes are mixed into what the
//! client (2) or the server (3) sends, at the position.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, OnceLock};
use touchstone_certs::Name;
use touchstone_certs::issue::{Kind, Template};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_engine::{Engine, Instant, Output, Path};
use touchstone_tls::{
    ClientAuth, ClientConfig, ClientSetup, Event, Identity, ServerConfig, ServerName, ServerSetup,
    Session,
};

const NOW: u64 = 1_767_225_600;
const WORDS: &[u8] = b"seven hundred litres a minute";

fuzz_target!(|data: &[u8]| {
    let [mode, high, low, bytes @ ..] = data else { return };
    let position = usize::from(u16::from_be_bytes([*high, *low]));
    match mode % 4 {
        0 => alone(client(), bytes),
        1 => alone(server(), bytes),
        side => together(side == 2, position, bytes),
    }
});

fn alone(session: Session, bytes: &[u8]) {
    let mut end = End::new(session);
    end.hear(bytes);
    end.session.end_of_wire();
    end.turn();
    assert!(matches!(end.closed, Some(false)), "no noise is a good end");
    assert!(end.data.is_empty());
}

fn together(up: bool, position: usize, bytes: &[u8]) {
    let (mut client, mut server) = (End::new(client()), End::new(server()));
    client.session.send(WORDS);
    server.session.send(WORDS);
    let mut passed = 0;
    for _ in 0..16 {
        for forward in [true, false] {
            let (from, to) = if forward {
                (&mut client, &mut server)
            } else {
                (&mut server, &mut client)
            };
            let mut sent = from.turn();
            if forward == up {
                tamper(&mut sent, position, passed, bytes);
                passed += sent.len();
            }
            to.hear(&sent);
        }
    }
    client.turn();
    server.turn();
    assert!(WORDS.starts_with(&client.data) && WORDS.starts_with(&server.data));
}

/// Mixes `bytes` into what is sent from `position` on; zeros change nothing.
fn tamper(sent: &mut [u8], position: usize, passed: usize, bytes: &[u8]) {
    for (at, octet) in sent.iter_mut().enumerate() {
        let offset = (passed + at).checked_sub(position);
        *octet ^= offset.and_then(|offset| bytes.get(offset)).copied().unwrap_or(0);
    }
}

struct End {
    session: Session,
    data: Vec<u8>,
    closed: Option<bool>,
}

impl End {
    fn new(session: Session) -> Self {
        Self { session, data: Vec::new(), closed: None }
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.session.handle_wire(now(), Path::ONLY, &mut bytes.to_vec());
            assert!(taken <= bytes.len());
            let before = self.data.len();
            self.turn();
            assert!(taken > 0 || self.data.len() > before, "it is stuck");
            bytes = &bytes[taken..];
        }
    }

    fn turn(&mut self) -> Vec<u8> {
        let (mut sent, mut buf) = (Vec::new(), [0; 4096]);
        for _ in 0..10_000 {
            match self.session.poll_output(now(), &mut buf) {
                Output::Closed(end) => {
                    assert!(self.closed.is_none_or(|before| before == end.is_ok()));
                    self.closed = Some(end.is_ok());
                    return sent;
                }
                _ if self.closed.is_some() => panic!("it goes on after its end"),
                Output::Transmit { len, .. } => sent.extend_from_slice(&buf[..len]),
                Output::Event(Event::Data(data)) => self.data.extend_from_slice(&data),
                Output::Event(_) => {}
                Output::Wait(_) => return sent,
                Output::Ask(_) | Output::Grow(_) => panic!("a session asks and needs nothing here"),
            }
        }
        panic!("it never waits");
    }
}

fn now() -> Instant {
    Instant::from_millis(0)
}

fn client() -> Session {
    Session::client(&configs().0, &ServerName::parse("192.0.2.7").unwrap()).unwrap()
}

fn server() -> Session {
    Session::server(&configs().1).unwrap()
}

/// One key and certificate for both: what is under test comes before anybody is believed.
fn configs() -> &'static (ClientConfig, ServerConfig) {
    static CONFIGS: OnceLock<(ClientConfig, ServerConfig)> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        let signer = |name: &str| {
            let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
            (Name::common_name(name).unwrap(), key)
        };
        let (name, ca_key) = signer("root");
        let root = Template::new(Kind::Root, name, NOW - 60, NOW + 60);
        let root = root.self_sign(&AwsLc, &ca_key).unwrap();
        let issuer = touchstone_certs::issue::Issuer::new(&root, &ca_key).unwrap();
        let issued = |kind, name: &str| {
            let (subject, key) = signer(name);
            let address = touchstone_certs::AlternativeName::Ip("192.0.2.7".parse().unwrap());
            let template =
                Template::new(kind, subject, NOW - 60, NOW + 60).with_names(vec![address]);
            let leaf = template.issue(&AwsLc, &issuer, key.spki_der()).unwrap();
            Identity::from_signer(&[leaf.der().to_vec()], Arc::new(key)).unwrap()
        };
        let roots = vec![root.der().to_vec()];
        let client = ClientSetup::new(&roots).identity(issued(Kind::Client, "client"));
        let auth = ClientAuth::Optional(roots);
        let server = ServerSetup::new(issued(Kind::Server, "server"), auth);
        (
            client.clock(|| Some(NOW)).build().unwrap(),
            server.clock(|| Some(NOW)).build().unwrap(),
        )
    })
}
