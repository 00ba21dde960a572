//! A CA, and the two ends of EST brought together.
#![allow(dead_code, reason = "each test uses its part")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{Certificate, CertificateRequest, Name, request};
use touchstone_cms::SignedData;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_engine::{Answer, AskKind, Engine, Instant, Output, Path};
use touchstone_enroll::est::{
    Binding, Client, ClientSetup, Decision, Error, Event, Given, Operation, Question, Sealing,
    Server, ServerSetup, keygen,
};
use touchstone_enroll::exchange::{Limits, Message, Request, Response, What};

pub(crate) const TIME: u64 = 1_800_000_000;
const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

pub(crate) static CA: LazyLock<(Certificate, SoftSigner)> = LazyLock::new(|| {
    let key = SoftSigner::generate(P256).unwrap();
    (template(Kind::Root, "ca").self_sign(&AwsLc, &key).unwrap(), key)
});

/// The client's key.
pub(crate) fn key() -> &'static SoftSigner {
    static KEY: LazyLock<SoftSigner> = LazyLock::new(|| SoftSigner::generate(P256).unwrap());
    &KEY
}

fn template(kind: Kind, name: &str) -> Template {
    Template::new(kind, Name::common_name(name).unwrap(), TIME - 60, TIME + 86_400)
}

pub(crate) fn self_signed(kind: Kind, name: &str, key: &SoftSigner) -> Certificate {
    template(kind, name).self_sign(&AwsLc, key).unwrap()
}

pub(crate) fn issued(name: &str, spki: &[u8]) -> Certificate {
    let issuer = Issuer::new(&CA.0, &CA.1).unwrap();
    template(Kind::Device, name).issue(&AwsLc, &issuer, spki).unwrap()
}

/// A request for the client's key.
pub(crate) fn csr(attributes: &[request::Attribute]) -> Vec<u8> {
    let subject = Name::common_name("pump-3").unwrap();
    request::build(&subject, &[], attributes, key()).unwrap()
}

pub(crate) fn setup() -> ClientSetup {
    ClientSetup {
        crypto: Arc::new(AwsLc),
        now: TIME,
        origin: "https://ca.test:8443".into(),
        label: None,
        anchors: vec![CA.0.clone()],
        fingerprint: None,
        csrattrs: false,
        retries: 3,
        longest_pause: Duration::from_mins(1),
    }
}

pub(crate) fn server(binding: Binding) -> ServerSetup {
    ServerSetup { crypto: Arc::new(AwsLc), now: TIME, binding }
}

/// Who answers what the server asks.
#[derive(Default)]
pub(crate) struct Authority {
    /// Whoever does not say who it is gets these.
    pub(crate) challenges: Vec<String>,
    /// After so many certificates there are no more.
    pub(crate) refuse_after: Option<usize>,
    /// Whether keys are encrypted to the client's key.
    pub(crate) encrypting: bool,
    pub(crate) encrypted_to: Option<Certificate>,
    /// The certificate for the client's key, the same each time.
    pub(crate) issued: Option<Certificate>,
    pub(crate) count: usize,
}

/// The answer to an ask of either side; a refusal is an empty one, which the tests' turning knows.
pub(crate) fn owner(
    authority: &mut Authority,
    client: bool,
    kind: AskKind,
    question: &[u8],
) -> Vec<u8> {
    if client {
        return match kind {
            AskKind::Request => csr(&[]),
            AskKind::Secret => b"Basic dTpw".to_vec(),
            other => panic!("{other:?}"),
        };
    }
    if kind == AskKind::Seal {
        let sealing = Sealing::decode(question).unwrap();
        let by: [(&_, &dyn Signer); 1] = [(&CA.0, &CA.1)];
        let (content, kind, beside) =
            (&sealing.content, &sealing.content_type, &sealing.certificates);
        let der = SignedData::sign_beside(&AwsLc, content, kind, &by, TIME, &[], beside).unwrap();
        return Decision::Sealed(der).encode().to_vec();
    }
    let question = Question::decode(question).unwrap();
    let decision = match kind {
        AskKind::Authorities => Decision::Certificates(vec![CA.0.clone()]),
        AskKind::Attributes => Decision::Attributes(vec![0x30, 0]),
        AskKind::Admit if question.authorization.is_none() && !authority.challenges.is_empty() => {
            Decision::Unauthorized(authority.challenges.clone())
        }
        AskKind::Admit => Decision::Admitted,
        AskKind::Issue if question.operation == Operation::ServerKeygen => made(authority),
        AskKind::Issue => {
            authority.count += 1;
            if authority.refuse_after.is_some_and(|most| authority.count > most) {
                return Vec::new();
            }
            let request = CertificateRequest::decode(&question.request).unwrap();
            let issued =
                authority.issued.get_or_insert_with(|| issued("pump-3", request.spki_der()));
            Decision::Certificates(vec![issued.clone()])
        }
        other => panic!("{other:?}"),
    };
    decision.encode().to_vec()
}

fn made(authority: &mut Authority) -> Decision {
    let key = SoftSigner::generate(P256).unwrap();
    let certificates = vec![issued("made", key.spki_der())];
    let pkcs8 = key.pkcs8_der();
    let key = if authority.encrypting {
        let to = issued("holder", self::key().spki_der());
        let der = keygen::encrypt(&AwsLc, pkcs8, (&CA.0, &CA.1), &to, TIME).unwrap();
        authority.encrypted_to = Some(to);
        Given::Encrypted(der)
    } else {
        Given::Plain(pkcs8.to_vec().into())
    };
    Decision::Key { certificates, key }
}

/// A server's response to one request.
pub(crate) fn response_of(
    request: &Request,
    authority: &mut Authority,
    binding: Binding,
) -> Response {
    let mut server = Server::of(self::server(binding), Limits::default());
    let now = Instant::from_millis(0);
    server.handle_wire(now, Path::ONLY, &mut Message::only(request.clone()).encode());
    let mut buf = vec![0; 1 << 20];
    loop {
        match server.poll_output(now, &mut buf) {
            Output::Transmit { len, .. } => return Message::response(&buf[..len]).unwrap(),
            Output::Ask(ask) => {
                let answer = owner(authority, false, ask.kind, &buf[..ask.len]);
                let answer = if answer.is_empty() {
                    Answer::Refused { code: "test.enough", text: "enough" }
                } else {
                    Answer::Bytes(&answer)
                };
                server.handle_answer(now, ask.ticket, answer);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Turns a client against servers, whose responses `change` may change on their way.
pub(crate) fn talk(
    mut client: Client,
    authority: &mut Authority,
    mut change: impl FnMut(&Request, Response) -> Response,
) -> (Vec<Event>, Result<(), Error>) {
    let (mut events, mut now) = (Vec::new(), Instant::from_millis(0));
    let mut buf = vec![0; 1 << 20];
    loop {
        match client.poll_output(now, &mut buf) {
            Output::Transmit { len, .. } => {
                let message = Message::decode(&buf[..len], usize::MAX).unwrap();
                let What::Request(request) = &message.what else { panic!() };
                let response = response_of(request, authority, Binding::default());
                let what = What::Response(change(request, response));
                let mut octets = Message { what, ..message }.encode();
                client.handle_wire(now, Path::ONLY, &mut octets);
            }
            Output::Ask(ask) => {
                let answer = owner(authority, true, ask.kind, &buf[..ask.len]);
                client.handle_answer(now, ask.ticket, Answer::Bytes(&answer));
            }
            Output::Event(event) => events.push(event),
            Output::Closed(end) => return (events, end),
            Output::Wait(until) => now = until.unwrap(),
            Output::Grow(need) => buf.resize(need, 0),
        }
    }
}
