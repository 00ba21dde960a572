//! SCEP: our client and our server, strongSwan's client with our server, and messages that were
//! captured between others.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the peers are programs of their own, with sockets and files"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{Certificate, CertificateRequest, Name, request};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_engine::{Answer, AskKind, Engine, Instant, Output, Path as Way};
use touchstone_enroll::exchange::{self as ex, Headers, Limits, Message, Method};
use touchstone_enroll::scep::client::{self, ClientSetup, Meaning};
use touchstone_enroll::scep::{
    Asked, Body, CHALLENGE_PASSWORD, Capabilities, Enrolment, Error, FailInfo, MessageType,
    Operation, Progress, Refusal, Reply, Replying, Requester, Server, Transaction, answer_to,
    ca_certificates, draw_challenge, encode_ca_certificates, encode_next_ca_certificates,
    next_ca_certificates, read_reply, read_request,
};
use touchstone_peers::{attempt, corpus, files};
use touchstone_sim::{Side, laws};

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn template(kind: Kind, name: &str) -> Template {
    Template::new(kind, Name::common_name(name).unwrap(), now() - 60, now() + 86_400)
}

/// A certificate with both halves of its RSA key.
struct Holder {
    certificate: Certificate,
    key: SoftSigner,
    opens: SoftDecrypter,
}

fn holder(kind: Kind, name: &str) -> Holder {
    let key = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).unwrap();
    let certificate = template(kind, name).self_sign(&AwsLc, &key).unwrap();
    let opens = SoftDecrypter::from_pkcs8_der(key.pkcs8_der()).unwrap();
    Holder { certificate, key, opens }
}

static CA: LazyLock<Holder> = LazyLock::new(|| holder(Kind::Root, "ca"));
static CLIENT: LazyLock<Holder> = LazyLock::new(|| holder(Kind::Client, "pump-3"));
static STRANGER: LazyLock<Holder> = LazyLock::new(|| holder(Kind::Root, "stranger"));

fn requester(who: &Holder) -> Requester<'_> {
    Requester { certificate: &who.certificate, key: &who.key, to: &CA.certificate }
}

fn csr(key: &SoftSigner, challenge: Option<&str>) -> CertificateRequest {
    let attribute = challenge.map(|text| {
        let len = u8::try_from(text.len()).unwrap();
        let value = [&[0x13, len], text.as_bytes()].concat();
        request::Attribute { oid: CHALLENGE_PASSWORD.into(), value }
    });
    let attributes: Vec<_> = attribute.into_iter().collect();
    let subject = Name::common_name("pump-3").unwrap();
    CertificateRequest::decode(&request::build(&subject, &[], &attributes, key).unwrap()).unwrap()
}

/// A CA that lets in whoever has an open challenge or a certificate of its own, after `delay` polls.
#[derive(Default)]
struct Desk {
    /// Whether anybody is let in, and certificates for one key are the same each time.
    open: bool,
    challenges: BTreeSet<String>,
    delay: usize,
    waiting: Vec<(Transaction, CertificateRequest)>,
    issued: Vec<Certificate>,
}

impl Desk {
    /// A challenge that is good once.
    fn invite(&mut self) -> String {
        let challenge = draw_challenge(&AwsLc).unwrap();
        self.challenges.insert(challenge.clone());
        challenge
    }

    fn issue(&mut self, request: &CertificateRequest) -> Reply {
        let same = |it: &&Certificate| self.open && it.spki_der() == request.spki_der();
        if let Some(certificate) = self.issued.iter().find(same).cloned() {
            return Reply::Issued { certificate, others: vec![CA.certificate.clone()] };
        }
        let issuer = Issuer::new(&CA.certificate, &CA.key).unwrap();
        let mut template = template(Kind::Client, "x");
        template.subject = request.subject().clone();
        let certificate = template.issue(&AwsLc, &issuer, request.spki_der()).unwrap();
        self.issued.push(certificate.clone());
        Reply::Issued { certificate, others: vec![CA.certificate.clone()] }
    }

    fn no(info: FailInfo, text: &str) -> Reply {
        Reply::Failed { info, text: Some(text.into()) }
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        match &asked.body {
            Body::Enrol(request) => {
                let challenge = asked.challenge().unwrap_or_default();
                if !self.open && !self.challenges.remove(&challenge) {
                    return Self::no(FailInfo::BadRequest, "no such challenge is open");
                }
                if self.delay > 0 {
                    self.waiting.push((asked.transaction.clone(), request.clone()));
                    return Reply::Pending;
                }
                self.issue(request)
            }
            Body::Renew(request) if self.issued.contains(&asked.certificate) => self.issue(request),
            Body::Renew(_) => Self::no(FailInfo::BadCertId, "not a certificate of ours"),
            Body::Poll { .. } => {
                self.delay = self.delay.saturating_sub(1);
                if self.delay > 0 {
                    return Reply::Pending;
                }
                let found = self.waiting.iter().find(|(id, _)| *id == asked.transaction).cloned();
                match found {
                    Some((_, request)) => self.issue(&request),
                    None => Self::no(FailInfo::BadRequest, "nothing is waiting"),
                }
            }
            Body::Certificate { serial, .. } => {
                let found = self.issued.iter().find(|it| it.serial_octets() == serial);
                found.map_or(Self::no(FailInfo::BadCertId, "unknown"), |it| {
                    Reply::Certificates(vec![it.clone()])
                })
            }
            Body::RevocationList { .. } => Reply::RevocationLists(vec![vec![0x30, 0x00]]),
            _ => Self::no(FailInfo::BadRequest, "not done here"),
        }
    }
}

fn answer(desk: &mut Desk, message: &[u8]) -> Result<Vec<u8>, Error> {
    let by = Replying { certificate: &CA.certificate, key: &CA.key };
    let asked = read_request(&AwsLc, message, by.certificate, &CA.opens)?;
    let reply = desk.answer(&asked);
    answer_to(&AwsLc, &asked, &reply, &by, now())
}

fn enrolment<'a>(ca: &'a [Certificate], challenge: &str) -> Enrolment<'a> {
    let request = csr(&CLIENT.key, Some(challenge));
    Enrolment::new(&AwsLc, requester(&CLIENT), &CLIENT.opens, ca, request, false).unwrap()
}

#[test]
fn a_client_enrols_waits_renews_and_asks_for_lists() {
    let (mut desk, ca) = (Desk { delay: 2, ..Desk::default() }, [CA.certificate.clone()]);
    let challenge = desk.invite();
    let mut client = enrolment(&ca, &challenge);
    let mut pending = 0;
    let certificate = loop {
        let message = client.next(&AwsLc, now()).unwrap();
        let reply = answer(&mut desk, &message).unwrap();
        match client.read(&AwsLc, &reply).unwrap() {
            Progress::Issued { certificate, others } => {
                assert_eq!(others, ca);
                break certificate;
            }
            Progress::Pending => pending += 1,
            other @ Progress::Failed { .. } => panic!("{other:?}"),
        }
    };
    assert_eq!(pending, 2);
    certificate.verify_signature(&AwsLc, CA.key.spki_der()).unwrap();
    assert_eq!(client.next(&AwsLc, now()).unwrap_err(), Refusal::WrongType.into(), "it is over");

    // The challenge was good once.
    let mut again = enrolment(&ca, &challenge);
    let reply = answer(&mut desk, &again.next(&AwsLc, now()).unwrap()).unwrap();
    let Progress::Failed { info, text } = again.read(&AwsLc, &reply).unwrap() else { panic!() };
    assert_eq!((info, text.as_deref()), (FailInfo::BadRequest, Some("no such challenge is open")));

    // A renewal is for a new key, signed with the certificate that there is.
    let next = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).unwrap();
    let old = Requester { certificate: &certificate, ..requester(&CLIENT) };
    let mut renewal =
        Enrolment::new(&AwsLc, old, &CLIENT.opens, &ca, csr(&next, None), true).unwrap();
    let reply = answer(&mut desk, &renewal.next(&AwsLc, now()).unwrap()).unwrap();
    let Progress::Issued { certificate: renewed, .. } = renewal.read(&AwsLc, &reply).unwrap()
    else {
        panic!("renewed")
    };
    assert_eq!(renewed.spki_der(), next.spki_der());
    // Not with one that is a stranger's.
    let mut foreign =
        Enrolment::new(&AwsLc, requester(&STRANGER), &STRANGER.opens, &ca, csr(&next, None), true)
            .unwrap();
    let reply = answer(&mut desk, &foreign.next(&AwsLc, now()).unwrap()).unwrap();
    let said = foreign.read(&AwsLc, &reply).unwrap();
    assert!(matches!(said, Progress::Failed { info: FailInfo::BadCertId, .. }), "{said:?}");

    for (body, kind) in [
        (Body::revocation_list(&certificate), MessageType::GetCrl),
        (
            Body::Certificate {
                issuer_der: certificate.issuer_der().to_vec(),
                serial: certificate.serial_octets().to_vec(),
            },
            MessageType::GetCert,
        ),
    ] {
        let id = Transaction::of_key(&AwsLc, CLIENT.key.spki_der());
        let sent = old.send(&AwsLc, &body, &id, now()).unwrap();
        let reply = answer(&mut desk, &sent.message).unwrap();
        let ours = (&certificate, &CLIENT.opens as _);
        let said = read_reply(&AwsLc, &reply, &sent, &ca, ours, kind).unwrap();
        match (&*said, kind) {
            (Reply::RevocationLists(lists), MessageType::GetCrl) => assert_eq!(lists.len(), 1),
            (Reply::Certificates(found), MessageType::GetCert) => {
                assert_eq!(found, std::slice::from_ref(&certificate));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn refusal<T: std::fmt::Debug>(said: Result<T, Error>) -> &'static str {
    said.unwrap_err().code()
}

#[test]
fn every_wrong_reply_is_told_and_changes_nothing() {
    let (mut desk, ca) = (Desk::default(), [CA.certificate.clone()]);
    let challenge = desk.invite();
    let mut client = enrolment(&ca, &challenge);
    let first = client.next(&AwsLc, now()).unwrap();
    let asked = read_request(&AwsLc, &first, &CA.certificate, &CA.opens).unwrap();
    let by = |who: &'static Holder| Replying { certificate: &who.certificate, key: &who.key };
    let good = desk.issue(&csr(&CLIENT.key, None));
    let Reply::Issued { certificate, .. } = &good else { panic!() };
    let reply = |asked: &Asked, reply: &Reply| by(&CA).reply(&AwsLc, asked, reply, now()).unwrap();

    let foreign = by(&STRANGER).reply(&AwsLc, &asked, &good, now()).unwrap();
    assert_eq!(refusal(client.read(&AwsLc, &foreign)), "scep.refused.not-the-ca");
    let mut other = (*asked).clone();
    other.nonce.0[0] ^= 1;
    assert_eq!(refusal(client.read(&AwsLc, &reply(&other, &good))), "scep.refused.nonce");
    let mut other = (*asked).clone();
    other.transaction = Transaction::of_key(&AwsLc, b"another key");
    assert_eq!(refusal(client.read(&AwsLc, &reply(&other, &good))), "scep.refused.transaction");
    let another = desk.issue(&csr(&STRANGER.key, None));
    let said = client.read(&AwsLc, &reply(&asked, &another));
    assert_eq!(refusal(said), "scep.refused.no-certificate");
    let Reply::Issued { certificate: second, .. } = desk.issue(&csr(&CLIENT.key, None)) else {
        panic!()
    };
    let two = Reply::Issued { certificate: certificate.clone(), others: vec![second] };
    assert_eq!(refusal(client.read(&AwsLc, &reply(&asked, &two))), "scep.refused.two-certificates");
    assert_eq!(refusal(client.read(&AwsLc, &first)), "scep.refused.message-type");
    let whole = reply(&asked, &good);
    for index in (0..whole.len()).step_by(7) {
        let mut bad = whole.clone();
        bad[index] ^= 1;
        if let Ok(said) = client.read(&AwsLc, &bad) {
            // What nobody signs (a version number) may change.
            assert!(matches!(said, Progress::Issued { certificate: it, .. } if it == *certificate));
            return;
        }
    }
    assert!(matches!(client.read(&AwsLc, &whole), Ok(Progress::Issued { .. })));
}

#[test]
fn every_wrong_request_is_told() {
    let ca = [CA.certificate.clone()];
    // For another key than the one that signs.
    let key = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).unwrap();
    let made =
        Enrolment::new(&AwsLc, requester(&CLIENT), &CLIENT.opens, &ca, csr(&key, None), false);
    assert_eq!(made.err().unwrap(), Refusal::AnotherKey.into());
    let id = Transaction::of_key(&AwsLc, b"x");
    let send = |body: &Body| requester(&CLIENT).send(&AwsLc, body, &id, now()).unwrap().message;
    let mut desk = Desk::default();
    let foreign = send(&Body::Enrol(csr(&key, None)));
    assert_eq!(refusal(answer(&mut desk, &foreign)), "scep.refused.another-key");
    // With a signature that is not by its key.
    let mut der = csr(&CLIENT.key, None).der().to_vec();
    *der.last_mut().unwrap() ^= 1;
    let broken = send(&Body::Enrol(CertificateRequest::decode(&der).unwrap()));
    assert_eq!(refusal(answer(&mut desk, &broken)), "certs.refused.signature");
    // Encrypted to somebody else.
    let elsewhere = Requester { to: &STRANGER.certificate, ..requester(&CLIENT) };
    let body = Body::Enrol(csr(&CLIENT.key, None));
    let strayed = elsewhere.send(&AwsLc, &body, &id, now()).unwrap();
    assert_eq!(refusal(answer(&mut desk, &strayed.message)), "cms.refused.not-a-recipient");
    assert_eq!(refusal(answer(&mut desk, b"noise")), "cms.malformed.other-type");
    let cut = send(&Body::Enrol(csr(&CLIENT.key, None)));
    assert_eq!(refusal(answer(&mut desk, &cut[..cut.len() - 1])), "cms.malformed.cut-off");
    // By two, and by one who says neither what it is nor of which transaction.
    let by: [(&Certificate, &dyn Signer); 2] =
        [(&CLIENT.certificate, &CLIENT.key), (&STRANGER.certificate, &STRANGER.key)];
    let signed = |by: &[(&Certificate, &dyn Signer)]| {
        touchstone_cms::SignedData::sign(&AwsLc, b"x", touchstone_cms::DATA, by, now()).unwrap()
    };
    assert_eq!(refusal(answer(&mut desk, &signed(&by))), "scep.refused.not-one-signer");
    assert_eq!(refusal(answer(&mut desk, &signed(&by[..1]))), "scep.refused.attributes");
    // What is inside is no issuer with a serial number.
    let bad = Body::Certificate { issuer_der: vec![0x30, 5], serial: vec![1] };
    assert_eq!(refusal(answer(&mut desk, &send(&bad))), "scep.refused.content");
    // A CA whose key cannot be encrypted to.
    let key = SoftSigner::generate(SignatureAlgorithm::Ed25519).unwrap();
    let signs = template(Kind::Root, "ca").self_sign(&AwsLc, &key).unwrap();
    let unfit = Requester { to: &signs, ..requester(&CLIENT) };
    let said = unfit.send(&AwsLc, &Body::Enrol(csr(&CLIENT.key, None)), &id, now());
    assert_eq!(refusal(said), "scep.refused.no-encryption-key");
    assert_eq!(refusal(answer(&mut desk, &vec![0x30; 2 << 20])), "scep.refused.too-long");
    // No two challenges are alike, and nobody guesses one: 130 bits.
    let drawn: BTreeSet<String> = (0..100).map(|_| draw_challenge(&AwsLc).unwrap()).collect();
    assert!(drawn.len() == 100 && drawn.iter().all(|one| one.len() == 26));
}

#[test]
fn what_a_ca_says_of_itself_is_read() {
    let all = Capabilities::OURS;
    assert_eq!(Capabilities::decode(all.encode().as_bytes()), Ok(all));
    let old = Capabilities::decode(b"DES3\r\nSHA-1\r\nPOSTPKIOperation\r\n").unwrap();
    assert_eq!(old.check().unwrap_err(), Refusal::WeakCa.into());
    let several = [CA.certificate.clone(), CLIENT.certificate.clone()];
    for some in [&several[..1], &several] {
        let (body, _) = encode_ca_certificates(some).unwrap();
        let read = ca_certificates(&body).unwrap();
        assert!(read.len() == some.len() && some.iter().all(|it| read.contains(it)));
    }
    assert!(ca_certificates(b"nothing").is_err());
    // The CA to come, by the word of the one that is.
    let by = |who: &'static Holder| Replying { certificate: &who.certificate, key: &who.key };
    let next = [STRANGER.certificate.clone()];
    let body = encode_next_ca_certificates(&AwsLc, &next, &by(&CA), now()).unwrap();
    let read = next_ca_certificates(&AwsLc, &body, &CA.certificate).unwrap();
    assert_eq!(read.as_slice(), next);
    let forged = encode_next_ca_certificates(&AwsLc, &next, &by(&STRANGER), now()).unwrap();
    let said = next_ca_certificates(&AwsLc, &forged, &CA.certificate);
    assert_eq!(said.unwrap_err(), Refusal::NotTheCa.into());
    assert_eq!(Operation::from_name("GetCACaps"), Some(Operation::GetCaCaps));
}

/// Serves HTTP until nobody needs it any more; the desk lives on the thread.
fn serve(mut desk: Desk) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/scep", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let said = exchange(&mut stream.unwrap(), &mut desk);
            if tell.send(said).is_err() {
                return;
            }
        }
    });
    (url, told)
}

fn exchange(stream: &mut TcpStream, desk: &mut Desk) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut len) = (String::new(), 0);
    lines.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        if line.to_lowercase().starts_with("expect:") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
    }
    let mut body = vec![0; len];
    lines.read_exact(&mut body).unwrap();
    let name = first.split("operation=").nth(1).unwrap_or_default();
    let name = name.split(['&', ' ']).next().unwrap_or_default();
    let (status, kind, out) = match Operation::from_name(name) {
        Some(Operation::GetCaCaps) => {
            ("200 OK", "text/plain", Capabilities::OURS.encode().into_bytes())
        }
        Some(Operation::GetCaCert) => {
            let (body, kind) =
                encode_ca_certificates(std::slice::from_ref(&CA.certificate)).unwrap();
            ("200 OK", kind, body)
        }
        Some(Operation::PkiOperation) => match answer(desk, &body) {
            Ok(reply) => ("200 OK", touchstone_enroll::scep::MESSAGE_TYPE, reply),
            Err(error) => ("400 Bad Request", "text/plain", error.to_string().into_bytes()),
        },
        _ => ("404 Not Found", "text/plain", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        out.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&out).unwrap();
    format!("{name} {status}")
}

/// Both ends' owners: the client's enrolment begins anew with each conversation.
fn turned(
    client: &mut Option<Enrolment<'static>>,
    desk: &mut Desk,
    side: Side,
    kind: AskKind,
    question: &[u8],
) -> Vec<u8> {
    static ANCHORS: LazyLock<Vec<Certificate>> = LazyLock::new(|| vec![CA.certificate.clone()]);
    match (side, kind) {
        (Side::A, AskKind::Request) => {
            if client::first(question) {
                *client = Some(enrolment(&ANCHORS, "open sesame"));
                *desk =
                    Desk { delay: 2, issued: std::mem::take(&mut desk.issued), ..Desk::default() };
            }
            client.as_mut().unwrap().next(&AwsLc, now()).unwrap()
        }
        (Side::A, AskKind::Conclude) => {
            let meaning = match client.as_mut().unwrap().read(&AwsLc, question).unwrap() {
                Progress::Issued { certificate, .. } => Meaning::Issued(vec![certificate]),
                Progress::Pending => Meaning::Pending,
                Progress::Failed { info, text } => {
                    Meaning::Failed { info: info.name().into(), text: text.unwrap_or_default() }
                }
            };
            meaning.encode().unwrap()
        }
        (Side::B, AskKind::Issue) => answer(desk, question).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_ends_keep_the_laws() {
    let limits = Limits {
        deadline: Duration::from_mins(50),
        linger: Duration::from_mins(9),
        ..Limits::default()
    };
    let setup =
        ClientSetup { path: "/scep".into(), ca: None, retries: 5, pause: Duration::from_secs(5) };
    let fresh = || {
        let client = client::Client::of(setup.clone(), [3; 16], limits);
        (client, Server::of(Arc::new(AwsLc), Capabilities::OURS, limits))
    };
    let (mut enrolment, mut desk) = (None, Desk { open: true, ..Desk::default() });
    let mut asked = |side: Side, kind: AskKind, question: &[u8]| {
        desk.open = true;
        turned(&mut enrolment, &mut desk, side, kind, question)
    };
    laws::one_byte_buffer(&fresh, &mut asked);
    laws::bad_link_same_end(&fresh, &mut asked, 0..20);

    let at = Instant::from_millis(0);
    let (mut asking, mut answering) = fresh();
    let mut buf = [0; 4096];
    let Output::Transmit { .. } = asking.poll_output(at, &mut buf) else { panic!() };
    laws::noise_never_closes(&mut asking, at, &client::Client::held);
    laws::stale_ticket_is_ignored(&mut asking, at);
    laws::noise_never_closes(&mut answering, at, &Server::held);
    laws::stale_ticket_is_ignored(&mut answering, at);
}

/// A server's response to one request, whose owner has nothing to say.
fn told(method: Method, query: &str, body: &[u8]) -> (u16, String) {
    let mut server = Server::of(Arc::new(AwsLc), Capabilities::OURS, Limits::default());
    let (path, headers) = (format!("/scep?{query}"), Headers::new());
    let request = ex::Request { method, path, headers, body: body.to_vec() };
    let (at, mut buf) = (Instant::from_millis(0), vec![0; 1 << 20]);
    server.handle_wire(at, Way::ONLY, &mut Message::only(request).encode());
    loop {
        match server.poll_output(at, &mut buf) {
            Output::Transmit { len, .. } => {
                let response = Message::response(&buf[..len]).unwrap();
                let code = response.headers.one("touchstone-code").unwrap_or_default();
                return (response.status, code.to_owned());
            }
            Output::Ask(ask) => server.handle_answer(at, ask.ticket, Answer::Failed),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn each_bad_request_of_the_url_has_its_own_name() {
    let message = {
        let mut client = enrolment(std::slice::from_ref(&CA.certificate), "x");
        client.next(&AwsLc, now()).unwrap()
    };
    let post = |body: &[u8]| told(Method::Post, "operation=PKIOperation", body);
    assert_eq!(told(Method::Get, "operation=GetCACaps", &[]), (200, String::new()));
    assert_eq!(told(Method::Get, "operation=Dance", &[]), (400, "scep.operation".into()));
    assert_eq!(told(Method::Get, "", &[]), (400, "scep.operation".into()));
    assert_eq!(told(Method::Post, "operation=GetCACert", &[]), (405, "scep.method".into()));
    assert_eq!(told(Method::Get, "operation=PKIOperation", &[]), (405, "scep.method".into()));
    assert_eq!(post(&message), (503, "fleet.failed".into()), "it comes before the owner");
    assert_eq!(post(b"nonsense"), (400, "cms.malformed.other-type".into()));
    assert_eq!(post(&[message.as_slice(), &[0]].concat()), (400, "cms.malformed.trailing".into()));
    let mut forged = message;
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(post(&forged).0, 400);
}

#[test]
fn strongswan_enrols_polls_and_renews_and_is_refused_with_a_used_challenge() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("ca.pem"), CA.certificate.to_pem().unwrap()).unwrap();
    std::fs::write(dir.join("client.key"), CLIENT.key.to_pkcs8_pem().as_bytes()).unwrap();
    let next = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).unwrap();
    std::fs::write(dir.join("next.key"), next.to_pkcs8_pem().as_bytes()).unwrap();
    let mut desk = Desk { delay: 2, ..Desk::default() };
    let challenge = desk.invite();
    let (url, told) = serve(desk);
    let enrol = |key: &str, extra: &str| {
        let line = format!(
            "--scep --url {url} --in {key} --dn CN=pump-3 --cacert-enc ca.pem --cacert-sig ca.pem \
             --interval 1 --outform pem {extra}"
        );
        let (good, said) = attempt("pki", dir, &line.split_whitespace().collect::<Vec<_>>());
        let seen: Vec<String> = told.try_iter().collect();
        (good, said, seen)
    };
    let (good, said, seen) = enrol("client.key", &format!("--password {challenge}"));
    assert!(good, "{said} {seen:?}");
    let certificate = only_certificate(&said);
    assert_eq!(certificate.spki_der(), CLIENT.key.spki_der());
    certificate.verify_signature(&AwsLc, CA.key.spki_der()).unwrap();
    let messages = seen.iter().filter(|it| *it == "PKIOperation 200 OK").count();
    assert_eq!(messages, 3, "one request and two polls: {seen:?}");

    let (good, said, _) = enrol("client.key", &format!("--password {challenge}"));
    assert!(!good, "{said}");

    std::fs::write(dir.join("old.pem"), certificate.to_pem().unwrap()).unwrap();
    let (good, said, seen) = enrol("next.key", "--cert old.pem --key client.key");
    assert!(good, "{said} {seen:?}");
    assert_eq!(only_certificate(&said).spki_der(), next.spki_der());
}

fn only_certificate(said: &str) -> Certificate {
    let start = said.find("-----BEGIN CERTIFICATE").unwrap();
    Certificate::from_pem(&said.as_bytes()[start..]).unwrap().remove(0)
}

#[test]
fn captured_messages_are_read_and_sha1_is_refused() {
    let Some(dir) = corpus("pki/captured/scep") else { return };
    let mut seen = 0;
    for path in files(&dir) {
        let name = path.strip_prefix(&dir).unwrap().to_string_lossy().into_owned();
        let body = std::fs::read(&path).unwrap();
        if name.ends_with("GetCACaps.resp") {
            Capabilities::decode(&body).unwrap().check().unwrap();
        } else if name.ends_with("GetCACert.resp") {
            assert!(ca_certificates(&body).unwrap().iter().any(Certificate::is_ca), "{name}");
        } else if name.ends_with("PKIOperation.req") || name.ends_with("PKIOperation.resp") {
            // The CA's key is not there, so no request opens; that comes after its signature.
            let said = read_request(&AwsLc, &body, &CA.certificate, &CA.opens);
            assert_eq!(refusal(said), verdict(&name), "{name}");
        } else {
            continue;
        }
        seen += 1;
    }
    assert!(seen >= 25, "{seen}");
}

/// strongSwan signs by SHA-256; micromdm and step-ca answer by SHA-1, and scepclient asks so. sscep has
/// a certificate of its own whose serial number is longer than RFC 5280 §4.1.2.2 allows.
fn verdict(name: &str) -> &'static str {
    match name.split_once('/').unwrap() {
        (folder, file) if folder.ends_with("-pki") && file.ends_with("req") => {
            "cms.refused.not-a-recipient"
        }
        (folder, file) if folder.ends_with("-sscep") && file.ends_with("req") => "certs.malformed",
        _ => "cms.refused.algorithm",
    }
}
