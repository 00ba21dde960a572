//! EST's two ends under the laws of engines, and every bad input by the name of its error.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;
use support::{Authority, CA, csr, key, owner, response_of, server, setup, talk};
use touchstone_certs::issue::Kind;
use touchstone_certs::{CertificateRequest, request};
use touchstone_cms::SignedData;
use touchstone_crypto::Signer;
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter};
use touchstone_engine::{Answer, AskKind, Blame, Engine, Fault, Instant, Output, Path, Ticket};
use touchstone_enroll::est::cmc::{self, Outcome, PkiData};
use touchstone_enroll::est::{
    Binding, CHALLENGE_PASSWORD, CSRATTRS_TYPE, Client, ClientSetup, Decision, Error, Event, Given,
    Lines, Operation, REQUEST_TYPE, Server, Want, attributes, encode_certs, encode_request, keygen,
};
use touchstone_enroll::exchange::{Headers, Limits, Method, Request, Response};
use touchstone_sim::{Side, laws};

const NOW: Instant = Instant::from_millis(1_000);

fn client(want: Want) -> Client {
    Client::of(want, setup(), [7; 16], Limits::default())
}

#[test]
fn both_ends_keep_the_laws() {
    for want in [Want::CaCerts, Want::CsrAttrs, Want::Enroll, Want::Reenroll] {
        let limits = Limits {
            deadline: Duration::from_mins(50),
            linger: Duration::from_mins(9),
            ..Limits::default()
        };
        let fresh = || {
            let client =
                Client::of(want, ClientSetup { csrattrs: true, ..setup() }, [7; 16], limits);
            (client, Server::of(server(Binding::default()), limits))
        };
        let mut authority = Authority::default();
        let mut asked = |side: Side, kind: AskKind, question: &[u8]| {
            owner(&mut authority, side == Side::A, kind, question)
        };
        laws::one_byte_buffer(&fresh, &mut asked);
        laws::bad_link_same_end(&fresh, &mut asked, 0..60);
    }
}

#[test]
fn noise_and_stale_tickets_change_nothing() {
    let mut buf = [0; 4096];
    let mut asking = client(Want::Enroll);
    let Output::Transmit { len, .. } = asking.poll_output(NOW, &mut buf) else { panic!() };
    let mut first = buf[..len].to_vec();
    laws::noise_never_closes(&mut asking, NOW, &Client::held);
    laws::stale_ticket_is_ignored(&mut asking, NOW);
    let mut answering = Server::of(server(Binding::default()), Limits::default());
    laws::noise_never_closes(&mut answering, NOW, &Server::held);
    answering.handle_wire(NOW, Path::ONLY, &mut first);
    let Output::Ask(ask) = answering.poll_output(NOW, &mut buf) else { panic!() };
    assert_eq!(ask.kind, AskKind::Authorities);
    laws::noise_never_closes(&mut answering, NOW, &Server::held);
    answering.handle_answer(NOW, Ticket(ask.ticket.0 + 1), Answer::Failed);
    assert!(matches!(answering.poll_output(NOW, &mut buf), Output::Wait(_)), "a stale ticket");
    answering.handle_answer(NOW, ask.ticket, Answer::Failed);
    assert!(matches!(answering.poll_output(NOW, &mut buf), Output::Transmit { .. }));
    let late = NOW + Duration::from_hours(2);
    assert!(matches!(answering.poll_output(NOW, &mut buf), Output::Event(_)));
    assert_eq!(answering.poll_output(late, &mut buf), Output::Closed(Ok(())));
    laws::closed_is_final(answering, late);
    assert_eq!(asking.poll_output(late, &mut buf), Output::Closed(Err(Error::TimedOut)));
    laws::closed_is_final(asking, late);
}

#[test]
fn a_client_comes_to_a_certificate_with_its_chain() {
    let mut authority = Authority::default();
    let (events, end) = talk(client(Want::Enroll), &mut authority, |_, response| response);
    assert_eq!(end, Ok(()));
    let [Event::Issued { certificate, chain, key: None }] = events.as_slice() else { panic!() };
    assert_eq!(certificate.spki_der(), key().spki_der());
    assert!(chain.is_empty(), "the root issued it");
}

/// What a client says to responses that are changed on their way.
fn told(want: Want, change: impl FnMut(&Request, Response) -> Response) -> Error {
    told_with(want, setup(), change)
}

fn told_with(
    want: Want,
    setup: ClientSetup,
    change: impl FnMut(&Request, Response) -> Response,
) -> Error {
    let client = Client::of(want, setup, [7; 16], Limits::default());
    let error = talk(client, &mut Authority::default(), change).1.unwrap_err();
    assert_eq!(error.blame(), Blame::Peer, "{error}");
    assert!(!error.to_string().is_empty() && error.code().starts_with("est."));
    error
}

/// Changes the response to an enrolment, and no other.
fn enrolled(change: impl Fn(Response) -> Response) -> impl FnMut(&Request, Response) -> Response {
    move |request, response| {
        if request.method == Method::Post { change(response) } else { response }
    }
}

fn certs(certificates: &[touchstone_certs::Certificate]) -> Response {
    let body = encode_certs(certificates, Lines::Short).unwrap();
    Response::with_body(200, "application/pkcs7-mime; smime-type=certs-only", body)
}

#[test]
fn each_bad_reply_has_its_own_name() {
    let with = |response: Response| told(Want::Enroll, enrolled(move |_| response.clone()));
    let other = support::issued(
        "other",
        touchstone_crypto_awslc::SoftSigner::generate(
            touchstone_crypto::SignatureAlgorithm::EcdsaP256Sha256,
        )
        .unwrap()
        .spki_der(),
    );
    let mine = support::issued("pump-3", key().spki_der());
    let twice = support::issued("pump-3", key().spki_der());
    assert_eq!(with(certs(std::slice::from_ref(&other))), Error::AnotherKey);
    assert_eq!(with(certs(&[])), Error::NoCertificate);
    assert_eq!(with(certs(&[mine.clone(), twice])), Error::TwoCertificates);
    let stranger = support::self_signed(Kind::Device, "pump-3", key());
    assert!(matches!(with(certs(&[stranger])), Error::NoChain { .. }));
    let html = Response::with_body(200, "text/html", "<html>");
    assert_eq!(with(html), Error::WrongContentType);
    for body in ["!!", "MAA", "MIIB"] {
        let response = Response::with_body(200, "application/pkcs7-mime", body);
        assert!(matches!(with(response), Error::Malformed { .. }), "{body}");
    }
    let to = |to: &str| Response::status(302).with("location", to);
    for elsewhere in [
        "https://evil.example/x",
        "//evil.example/x",
        "https://ca.test:8443.evil.example/",
        "x",
        "",
    ] {
        assert_eq!(with(to(elsewhere)), Error::CrossHostRedirect, "{elsewhere}");
    }
    assert_eq!(with(to("/.well-known/est/a/simpleenroll")), Error::TooManyRedirects);
    let later = Response::status(202).with("retry-after", "1");
    assert_eq!(with(later), Error::StillPending);
    assert_eq!(with(Response::status(401)), Error::Unauthorized);
    assert_eq!(with(Response::status(404)), Error::NotOffered);
    assert_eq!(with(Response::status(500)), Error::Refused { status: 500 });
    drop(mine);
}

#[test]
fn a_redirect_on_the_same_host_is_followed() {
    let mut seen = Vec::new();
    let mut authority = Authority::default();
    let (events, end) = talk(client(Want::Enroll), &mut authority, |request, response| {
        seen.push(request.path.clone());
        if request.method == Method::Post && !request.path.contains("moved") {
            return Response::status(307)
                .with("location", "https://ca.test:8443/.well-known/est/moved/simpleenroll");
        }
        response
    });
    assert_eq!((events.len(), end), (1, Ok(())));
    assert!(seen.last().unwrap().contains("moved"), "{seen:?}");
}

#[test]
fn the_ca_is_known_by_its_fingerprint_or_not_at_all() {
    let fingerprint = |octets: &[u8]| {
        let digest = touchstone_crypto::Crypto::hash(
            &AwsLc,
            touchstone_crypto::HashAlgorithm::Sha256,
            &[octets],
        );
        Some(<[u8; 32]>::try_from(digest.as_bytes()).unwrap())
    };
    let bootstrap = |fingerprint| ClientSetup { anchors: Vec::new(), fingerprint, ..setup() };
    let client =
        Client::of(Want::CaCerts, bootstrap(fingerprint(CA.0.der())), [1; 16], Limits::default());
    let (events, _) = talk(client, &mut Authority::default(), |_, response| response);
    let [Event::Authorities { believed, .. }] = events.as_slice() else { panic!() };
    assert_eq!(believed, std::slice::from_ref(&CA.0));
    let wrong = told_with(Want::CaCerts, bootstrap(fingerprint(b"other")), |_, response| response);
    assert_eq!(wrong, Error::NotTheCa);
    let stranger = support::self_signed(Kind::Root, "stranger", key());
    assert_eq!(told(Want::CaCerts, |_, _| certs(std::slice::from_ref(&stranger))), Error::NotTheCa);
}

#[test]
fn a_server_asks_who_it_is_before_it_reads() {
    let mut authority =
        Authority { challenges: vec!["Basic realm=\"est\"".into()], ..Default::default() };
    let garbage = post(Operation::SimpleEnroll, REQUEST_TYPE, "garbage");
    let response = response_of(&garbage, &mut authority, Binding::default());
    assert_eq!(response.status, 401);
    assert_eq!(response.headers.one("www-authenticate"), Some("Basic realm=\"est\""));
    let known =
        Request { headers: garbage.headers.clone().with("authorization", "Basic dTpw"), ..garbage };
    assert_eq!(response_of(&known, &mut authority, Binding::default()).status, 400);
    // And a client answers a challenge once.
    let (events, end) = talk(client(Want::Enroll), &mut authority, |_, response| response);
    assert_eq!((events.len(), end), (1, Ok(())));
}

fn post(operation: Operation, media_type: &str, body: &str) -> Request {
    Request {
        method: Method::Post,
        path: operation.path(),
        headers: Headers::new().with("content-type", media_type).with("user-agent", "curl/8"),
        body: body.as_bytes().to_vec(),
    }
}

fn code(request: &Request, binding: Binding) -> (u16, String) {
    let response = response_of(request, &mut Authority::default(), binding);
    (response.status, response.headers.one("touchstone-code").unwrap_or_default().to_owned())
}

#[test]
fn each_bad_request_has_its_own_name() {
    let good = encode_request(&csr(&[]));
    let enroll = |media: &str, body: &str| {
        code(&post(Operation::SimpleEnroll, media, body), Binding::default())
    };
    assert_eq!(enroll(REQUEST_TYPE, &good).0, 200);
    assert_eq!(enroll("application/json", &good), (400, "enroll.content-type".into()));
    assert_eq!(enroll(REQUEST_TYPE, "?"), (400, "enroll.base64".into()));
    assert_eq!(enroll(REQUEST_TYPE, "MAA="), (400, "certs.malformed".into()));
    let mut forged = csr(&[]);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(
        enroll(REQUEST_TYPE, &encode_request(&forged)),
        (400, "est.request.signature".into())
    );
    let trailing = [csr(&[]), vec![0]].concat();
    assert_eq!(enroll(REQUEST_TYPE, &encode_request(&trailing)), (400, "certs.malformed".into()));
    let huge = "A".repeat(600 * 1024);
    assert_eq!(enroll(REQUEST_TYPE, &huge), (400, "enroll.too-long".into()));
    let get = Request { method: Method::Get, ..post(Operation::SimpleEnroll, "", "") };
    assert_eq!(code(&get, Binding::default()), (405, "est.method".into()));
    for path in
        ["/.well-known/est/", "/.well-known/est/a/b/cacerts", "/.well-known/est/../cacerts/x"]
    {
        let request = Request { path: path.into(), ..get.clone() };
        assert_eq!(code(&request, Binding::default()).0, 404, "{path}");
    }
}

#[test]
fn a_request_is_bound_to_its_connection() {
    let bound = |octets: &[u8]| {
        use base64ct::Encoding as _;
        let text = base64ct::Base64::encode_string(octets);
        let value = [&[0x13, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let attribute = request::Attribute { oid: CHALLENGE_PASSWORD.into(), value };
        encode_request(&csr(&[attribute]))
    };
    let ask = |body: &str, octets: Option<&[u8]>, required| {
        let binding = Binding { octets: octets.map(<[u8]>::to_vec), required };
        code(&post(Operation::SimpleEnroll, REQUEST_TYPE, body), binding)
    };
    let (ours, others, none) = (bound(&[1; 32]), bound(&[2; 32]), encode_request(&csr(&[])));
    assert_eq!(ask(&ours, Some(&[1; 32]), true).0, 200);
    assert_eq!(ask(&others, Some(&[1; 32]), false), (400, "est.binding.mismatch".into()));
    assert_eq!(ask(&none, Some(&[1; 32]), true), (400, "est.binding.missing".into()));
    assert_eq!(ask(&ours, None, true), (400, "est.binding.unknown".into()));
    assert_eq!(ask(&none, Some(&[1; 32]), false).0, 200);
}

#[test]
fn lines_are_broken_as_each_client_reads_them() {
    let ask = |agent: Option<&str>| {
        let headers = Headers::new();
        let headers = agent.map_or(headers.clone(), |agent| headers.with("user-agent", agent));
        let path = Operation::CaCerts.path();
        let request = Request { method: Method::Get, path, headers, body: Vec::new() };
        let body = response_of(&request, &mut Authority::default(), Binding::default()).body;
        String::from_utf8(body).unwrap()
    };
    assert!(!ask(None).contains('\n') && !ask(Some("strongSwan/5.9.8")).contains('\n'));
    let libest = ask(Some("Cisco EST client 1.0"));
    assert!(libest.lines().all(|line| line.len() <= 64) && libest.ends_with('\n'));
}

#[test]
fn a_key_of_the_server_comes_in_the_clear_or_to_its_holder_alone() {
    for encrypt in [false, true] {
        let mut authority = Authority::default();
        let client = Client::of(Want::ServerKeygen(encrypt), setup(), [7; 16], Limits::default());
        authority.encrypting = encrypt;
        let (events, end) = talk(client, &mut authority, |_, response| response);
        assert_eq!(end, Ok(()));
        let [Event::Issued { certificate, key: Some(given), .. }] = events.as_slice() else {
            panic!()
        };
        let pkcs8 = match given {
            Given::Plain(pkcs8) => pkcs8.clone(),
            Given::Encrypted(der) => {
                let opens = SoftDecrypter::from_pkcs8_der(key().pkcs8_der()).unwrap();
                let holder = support::issued("holder", key().spki_der());
                // Encrypted to the holder's certificate of before, of the same key.
                let to = authority.encrypted_to.clone().unwrap_or(holder);
                let opened = keygen::decrypt(&AwsLc, der, &to, &opens).unwrap().into_inner();
                assert_eq!(opened.by, CA.0);
                opened.key
            }
        };
        let made = touchstone_crypto_awslc::SoftSigner::from_pkcs8_der(&pkcs8).unwrap();
        assert_eq!(made.spki_der(), certificate.spki_der());
    }
    let error = told(Want::ServerKeygen(true), |_, response| response);
    assert_eq!(error, Error::KeyInTheClear);
    let two = told(
        Want::ServerKeygen(false),
        enrolled(|response| {
            let body = String::from_utf8(response.body).unwrap();
            let (first, _) = body.split_once("--touchstone-est-key--").unwrap();
            Response::with_body(
                200,
                "multipart/mixed; boundary=touchstone-est-key",
                format!("{first}{body}"),
            )
        }),
    );
    assert_eq!(two, Error::Malformed { code: "enroll.multipart" });
}

#[test]
fn a_full_request_is_answered_part_by_part() {
    let first = CertificateRequest::decode(&csr(&[])).unwrap();
    let data = PkiData {
        transaction: Some(vec![2, 1, 42]),
        sender_nonce: Some(vec![9; 16]),
        requests: vec![(1, first.clone()), (2, first)],
        unsupported: Vec::new(),
    };
    let signer = support::self_signed(Kind::Client, "pump-3", key());
    let by: [(&_, &dyn Signer); 1] = [(&signer, key())];
    let sign = |content: &[u8], kind| SignedData::sign(&AwsLc, content, kind, &by, 1).unwrap();
    let ask = |der: &[u8], authority: &mut Authority| {
        let body = encode_request(der);
        let request = post(Operation::FullCmc, cmc::REQUEST_TYPE, &body);
        response_of(&request, authority, Binding::default())
    };
    let mut authority = Authority { refuse_after: Some(1), ..Authority::default() };
    let response = ask(&sign(&data.encode(), cmc::PKI_DATA), &mut authority);
    assert_eq!(response.status, 200);
    let text: String = String::from_utf8(response.body).unwrap().split_whitespace().collect();
    let der = <base64ct::Base64 as base64ct::Encoding>::decode_vec(&text).unwrap();
    let cmc::Received { response: said, certificates, signers } =
        cmc::read_response(&AwsLc, &der, &data).unwrap().into_inner();
    assert_eq!(signers, std::slice::from_ref(&CA.0));
    assert!(certificates.iter().any(|it| it.spki_der() == key().spki_der()));
    assert_eq!(said.outcomes[0], (vec![1], Outcome::Issued));
    assert!(
        matches!(&said.outcomes[1], (ids, Outcome::Failed { text, .. }) if ids == &[2] && text == "enough")
    );
    let other = PkiData { sender_nonce: Some(vec![8; 16]), ..data.clone() };
    let mismatch = cmc::read_response(&AwsLc, &der, &other).unwrap_err();
    assert_eq!(mismatch.code(), "enroll.cmc.mismatch");

    let error = |der: &[u8]| {
        let response = ask(der, &mut Authority::default());
        (response.status, response.headers.one("touchstone-code").unwrap_or_default().to_owned())
    };
    assert_eq!(
        error(&sign(&data.encode(), touchstone_cms::DATA)),
        (400, "enroll.cmc.malformed".into())
    );
    assert_eq!(error(&sign(b"x", cmc::PKI_DATA)), (400, "enroll.cmc.malformed".into()));
    let twice = PkiData {
        requests: vec![data.requests[0].clone(), data.requests[0].clone()],
        ..data.clone()
    };
    assert_eq!(error(&sign(&twice.encode(), cmc::PKI_DATA)), (400, "enroll.cmc.malformed".into()));
    let many: Vec<_> = (0..9).map(|id| (id, data.requests[0].1.clone())).collect();
    let many = PkiData { requests: many, ..data.clone() };
    assert_eq!(error(&sign(&many.encode(), cmc::PKI_DATA)), (400, "enroll.cmc.too-many".into()));
    let mut forged = csr(&[]);
    *forged.last_mut().unwrap() ^= 1;
    let forged =
        PkiData { requests: vec![(1, CertificateRequest::decode(&forged).unwrap())], ..data };
    assert_eq!(
        error(&sign(&forged.encode(), cmc::PKI_DATA)),
        (400, "certs.refused.signature".into())
    );
}

#[test]
fn what_a_request_has_to_contain_reads_back() {
    use attributes::{Attributes, KeyKind, Template, Valued, Wanted};
    let curve = vec![0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22];
    let plain = Attributes {
        named: vec![CHALLENGE_PASSWORD.into()],
        valued: vec![Valued { oid: "1.2.840.10045.2.1".into(), values: vec![curve] }],
        template: None,
    };
    let read = Attributes::decode(&plain.encode().unwrap()).unwrap();
    assert_eq!(read, plain);
    assert!(read.wants(CHALLENGE_PASSWORD));
    assert_eq!(read.key(), Some(KeyKind::Ec(Some("1.3.132.0.34".into()))));
    // RFC 9908 §4: where there is a form to fill in, it alone counts.
    let rsa = [0x30, 0x0D, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0].to_vec();
    let san = Wanted { oid: "2.5.29.17".into(), critical: false, value: None };
    let template = Template {
        subject: Some(vec![
            ("2.5.4.3".into(), None),
            ("2.5.4.10".into(), Some(vec![0x0C, 1, b'A'])),
        ]),
        key: Some((rsa, Some(3072))),
        extensions: vec![san.clone()],
        attributes: Vec::new(),
    };
    let form = Attributes { template: Some(template), ..plain };
    let read = Attributes::decode(&form.encode().unwrap()).unwrap();
    assert_eq!(read, form);
    assert!(!read.wants(CHALLENGE_PASSWORD));
    assert_eq!((read.key(), read.extensions()), (Some(KeyKind::Rsa(Some(3072))), vec![san]));
    for bad in [&[][..], &[0x30, 1], &[0x30, 2, 5, 0], &[0x30, 4, 6, 0, 0, 0], &[0x31, 0]] {
        assert!(Attributes::decode(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_empty_answer_about_attributes_asks_for_nothing() {
    for response in [
        Response::status(204),
        Response::status(404),
        Response::with_body(200, CSRATTRS_TYPE, "MAA="),
    ] {
        let client = Client::of(
            Want::Enroll,
            ClientSetup { csrattrs: true, ..setup() },
            [7; 16],
            Limits::default(),
        );
        let (_, end) = talk(client, &mut Authority::default(), |request, good| {
            if request.path.ends_with("csrattrs") { response.clone() } else { good }
        });
        assert_eq!(end, Ok(()), "{response:?}");
    }
    let bad = |response: Response| told(Want::CsrAttrs, move |_, _| response.clone());
    assert_eq!(bad(Response::with_body(200, CSRATTRS_TYPE, "MAE=")), Error::BadAttributes);
    assert_eq!(bad(Response::with_body(200, "text/plain", "MAA=")), Error::WrongContentType);
}

#[test]
fn an_owner_that_cannot_go_on_is_told_apart() {
    let mut buf = vec![0; 1 << 16];
    for (answer, end) in [
        (Answer::Failed, Error::OwnerFailed),
        (Answer::Refused { code: "x", text: "y" }, Error::OwnerRefused),
        (Answer::Bytes(b"no request"), Error::OwnerFailed),
    ] {
        let mut client = client(Want::Enroll);
        let Output::Transmit { .. } = client.poll_output(NOW, &mut buf) else { panic!() };
        let certs = touchstone_enroll::exchange::Message {
            conversation: [7; 16],
            number: 1,
            what: touchstone_enroll::exchange::What::Response(certs(std::slice::from_ref(&CA.0))),
        };
        client.handle_wire(NOW, Path::ONLY, &mut certs.encode());
        let Output::Ask(ask) = client.poll_output(NOW, &mut buf) else { panic!() };
        assert_eq!(ask.kind, AskKind::Request);
        client.handle_answer(NOW, ask.ticket, answer);
        assert_eq!(client.poll_output(NOW, &mut buf), Output::Closed(Err(end.clone())));
        assert_eq!(end.blame(), Blame::Owner);
    }
    let _ = (Arc::new(()), Decision::Admitted);
}
