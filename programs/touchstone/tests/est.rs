//! `touchstone est`, with a CA on the library's server part behind TLS and HTTP, and replies that were
//! captured from other servers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::{Ran, folder, now, run};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, CertificateRequest, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_drive::blocking::TlsStream;
use touchstone_drive::element::Location;
use touchstone_element::{Attesting, Element, KeyAlgorithm, KeySpec, KeyUse};
use touchstone_engine::{Answer, AskKind, Engine, Instant, Output, Path as Way};
use touchstone_enroll::est::attributes::{Attributes, Template as Form, Wanted};
use touchstone_enroll::est::{
    Binding, CHALLENGE_PASSWORD, Decision, Given, Operation, Question, Server, ServerSetup, keygen,
};
use touchstone_enroll::exchange::{Headers, Limits, Message, Method, Request, Response};
use touchstone_enroll::{Activation, AttestedRequest};
use touchstone_evidence::endorse::{challenge_binding, ldevid_binding};
use touchstone_evidence::tpm::{LakPublic, verify_certify};
use touchstone_httpauth::{Digest, Nonces, secret};
use touchstone_peers::{BouncyCastle, Swtpm};
use touchstone_peers::{corpus, openssl};
use touchstone_tls::{ClientAuth, Identity, ServerSetup as TlsSetup};
use touchstone_tpm2::{credential, name_of};

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

/// How the server of a test behaves.
#[derive(Clone, Default)]
struct Manner {
    /// What a request has to contain.
    attributes: Vec<u8>,
    /// Whether requests have to be bound to their connection.
    bound: bool,
    /// How often an enrolment is put off.
    later: usize,
    /// Responses that are sent whatever is asked, by the end of the path.
    fixed: Vec<(&'static str, Response)>,
    /// Requests that came.
    asked: Arc<Mutex<Vec<CertificateRequest>>>,
}

struct Ca {
    certificate: Certificate,
    key: SoftSigner,
    manner: Manner,
    nonces: Nonces,
}

fn template(kind: Kind, name: &str) -> Template {
    Template::new(kind, Name::common_name(name).unwrap(), now() - 60, now() + 86_400)
}

/// A CA on a thread of its own, whose certificate is `ca.pem`; its address.
fn ca(here: &Path, manner: Manner) -> String {
    let key = SoftSigner::generate(P256).unwrap();
    let certificate = template(Kind::Root, "ca").self_sign(&AwsLc, &key).unwrap();
    std::fs::write(here.join("ca.pem"), certificate.to_pem().unwrap()).unwrap();
    let own = SoftSigner::generate(P256).unwrap();
    let names = vec![AlternativeName::Ip([127, 0, 0, 1].into())];
    let issuer = Issuer::new(&certificate, &key).unwrap();
    let server = template(Kind::Server, "est").with_names(names);
    let server = server.issue(&AwsLc, &issuer, own.spki_der()).unwrap();
    let identity = Identity::from_signer(&[server.der().to_vec()], Arc::new(own)).unwrap();
    let auth = ClientAuth::Optional(vec![certificate.der().to_vec()]);
    let config = TlsSetup::new(identity, auth).alpn(&[b"http/1.1"]).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let mut ca = Ca { certificate, key, manner, nonces: Nonces::new(&AwsLc).unwrap() };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if let Ok(mut stream) = TlsStream::accept(stream.unwrap(), &config) {
                while ca.serve(&mut stream).is_some() {}
            }
        }
    });
    url
}

impl Ca {
    /// Answers one request; none if there is no more.
    fn serve(&mut self, stream: &mut TlsStream<std::net::TcpStream>) -> Option<()> {
        let request = read(stream)?;
        let fixed = self.manner.fixed.iter().find(|(end, _)| request.path.ends_with(end));
        let response = if let Some((_, response)) = fixed {
            response.clone()
        } else {
            let shown = stream.peer_certificates().first().cloned();
            let octets = stream.channel_binding().map(|it| it.to_vec());
            let binding = Binding { octets, required: self.manner.bound };
            self.answer(request, shown.as_deref(), binding)
        };
        write!(stream, "HTTP/1.1 {} X\r\n", response.status).ok()?;
        for (name, value) in response.headers.iter() {
            write!(stream, "{name}: {value}\r\n").ok()?;
        }
        write!(stream, "content-length: {}\r\n\r\n", response.body.len()).ok()?;
        stream.write_all(&response.body).ok()?;
        stream.flush().ok()
    }

    fn answer(&mut self, request: Request, shown: Option<&[u8]>, binding: Binding) -> Response {
        let setup = ServerSetup { crypto: Arc::new(AwsLc), now: now(), binding };
        let mut server = Server::of(setup, Limits::default());
        let (at, mut buf) = (Instant::from_millis(0), vec![0; 1 << 20]);
        server.handle_wire(at, Way::ONLY, &mut Message::only(request).encode());
        loop {
            match server.poll_output(at, &mut buf) {
                Output::Transmit { len, .. } => return Message::response(&buf[..len]).unwrap(),
                Output::Ask(ask) => {
                    let question = Question::decode(&buf[..ask.len]).unwrap();
                    let decision = self.decide(ask.kind, &question, shown);
                    server.handle_answer(at, ask.ticket, Answer::Bytes(&decision.encode()));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn decide(&mut self, kind: AskKind, question: &Question, shown: Option<&[u8]>) -> Decision {
        let path = &question.path;
        match kind {
            AskKind::Authorities => Decision::Certificates(vec![self.certificate.clone()]),
            AskKind::Attributes => Decision::Attributes(self.manner.attributes.clone()),
            AskKind::Admit => {
                let digest = question.authorization.as_deref().map(Digest::parse);
                let kept = secret(&AwsLc, "pump-3", "est", "open sesame");
                let known = digest.is_some_and(|digest| {
                    digest.is_ok_and(|it| {
                        it.verify(&AwsLc, "est", "POST", path, &kept).is_ok()
                            && self.nonces.check(&AwsLc, &it, now()).is_ok()
                    })
                });
                if known || shown.is_some() {
                    return Decision::Admitted;
                }
                let challenge = self.nonces.challenge(&AwsLc, "est", now(), false).unwrap();
                Decision::Unauthorized(vec![challenge.to_string()])
            }
            AskKind::Issue if self.manner.later > 0 => {
                self.manner.later -= 1;
                Decision::Later(1)
            }
            AskKind::Issue => {
                let request = CertificateRequest::decode(&question.request).unwrap();
                self.manner.asked.lock().unwrap().push(request.clone());
                let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
                let mut template = template(Kind::Client, "x");
                template.subject = request.subject().clone();
                template.names = request.alternative_names().to_vec();
                if question.operation != Operation::ServerKeygen {
                    let ours = template.issue(&AwsLc, &issuer, request.spki_der()).unwrap();
                    return Decision::Certificates(vec![ours]);
                }
                let new = SoftSigner::generate(P256).unwrap();
                let certificates = vec![template.issue(&AwsLc, &issuer, new.spki_der()).unwrap()];
                let key = match &question.encrypt_to {
                    None => Given::Plain(new.pkcs8_der().to_vec().into()),
                    Some(id) => {
                        let to = Certificate::decode(shown.unwrap()).unwrap();
                        assert_eq!(to.subject_key_id(), Some(id.as_slice()));
                        let by: (&_, &dyn Signer) = (&self.certificate, &self.key);
                        Given::Encrypted(
                            keygen::encrypt(&AwsLc, new.pkcs8_der(), by, &to, now()).unwrap(),
                        )
                    }
                };
                Decision::Key { certificates, key }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn read(stream: &mut TlsStream<std::net::TcpStream>) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut one = [0];
        if stream.read(&mut one).ok()? == 0 {
            return None;
        }
        head.push(one[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let first: Vec<&str> = lines.next()?.split(' ').collect();
    let mut headers = Headers::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers = headers.with(name, value.trim());
    }
    let len = headers.one("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method: Method::from_name(first[0])?, path: first[1].into(), headers, body })
}

fn touchstone(here: &Path, line: &str) -> Ran {
    run(here, &line.split_whitespace().collect::<Vec<_>>())
}

fn key(here: &Path, name: &str) {
    let key = SoftSigner::generate(P256).unwrap();
    std::fs::write(here.join(name), key.to_pkcs8_pem().as_bytes()).unwrap();
}

#[test]
fn a_device_is_enrolled_renewed_and_given_a_key() {
    let here = folder(&[("password", "open sesame\n"), ("wrong", "close sesame\n")]);
    let here = here.path();
    key(here, "pump.key");
    let url = ca(here, Manner { later: 1, ..Manner::default() });
    let at = format!("--url {url} --trust ca.pem");
    let ran = touchstone(here, &format!("est cacerts {at} --out got.pem")).expect(0);
    assert!(ran.out.starts_with("CN=ca  sha256:"), "{}", ran.out);
    touchstone(here, &format!("est csrattrs {at}")).expect(0);

    let enroll = format!(
        "--json est enroll {at} --subject CN=pump-3 --san pump-3.example --new-key file:pump.key --out pump.pem"
    );
    let ran = touchstone(here, &enroll).expect(3);
    assert!(ran.err.contains("the server wants to know who asks"), "{}", ran.err);
    assert!(ran.err.contains("touchstone.est.unauthorized"), "{}", ran.err);
    let away = enroll.replace(&url, "https://127.0.0.1:1");
    let ran = touchstone(here, &away).expect(3);
    assert!(ran.err.contains("touchstone.est.unreachable"), "{}", ran.err);
    let ran = touchstone(here, &format!("{enroll} --user pump-3 --password file:wrong")).expect(1);
    assert_eq!(ran.json("touchstone.est.enroll/1")["code"], "est.refused.unauthorized");
    assert!(!here.join("pump.pem").exists());
    let ran =
        touchstone(here, &format!("{enroll} --user pump-3 --password file:password")).expect(0);
    assert_eq!(ran.json("touchstone.est.enroll/1")["certificate"]["subject"], "CN=pump-3");
    let said = openssl(here, &["x509", "-in", "pump.pem", "-noout", "-ext", "subjectAltName"]);
    assert!(said.contains("DNS:pump-3.example"), "{said}");
    openssl(here, &["verify", "-CAfile", "ca.pem", "pump.pem"]);

    let shown = "--cert pump.pem --key file:pump.key";
    touchstone(here, &format!("est renew {at} {shown} --out again.pem")).expect(0);
    openssl(here, &["verify", "-CAfile", "ca.pem", "again.pem"]);
    let keygen = format!(
        "est serverkeygen {at} {shown} --subject CN=pump-4 --out made.pem --key-out made.key"
    );
    for more in ["", "--encrypted"] {
        touchstone(here, &format!("{keygen} {more}")).expect(0);
        let public = openssl(here, &["pkey", "-in", "made.key", "-pubout"]);
        assert_eq!(openssl(here, &["x509", "-in", "made.pem", "-noout", "-pubkey"]), public);
    }
    for bad in ["http://127.0.0.1", "https://127.0.0.1/path", "https://u@127.0.0.1"] {
        touchstone(here, &format!("est cacerts --url {bad} --trust ca.pem --out x.pem")).expect(2);
    }
    touchstone(here, "est cacerts --url https://127.0.0.1:1 --trust ca.pem --out x.pem").expect(3);
}

#[test]
fn what_the_server_asks_for_is_in_the_request() {
    let here = folder(&[("password", "open sesame\n")]);
    let here = here.path();
    key(here, "pump.key");
    let usage = Wanted { oid: "2.5.29.37".into(), critical: false, value: Some(vec![0x30, 0]) };
    let san = Wanted { oid: "2.5.29.17".into(), critical: false, value: None };
    let form = Form {
        subject: Some(vec![
            ("2.5.4.3".into(), None),
            ("2.5.4.10".into(), Some(vec![0x0C, 1, b'A'])),
        ]),
        key: None,
        extensions: vec![usage, san],
        attributes: vec![touchstone_enroll::est::attributes::Valued {
            oid: CHALLENGE_PASSWORD.into(),
            values: Vec::new(),
        }],
    };
    let attributes = Attributes { template: Some(form), ..Attributes::default() };
    let attributes = attributes.encode().unwrap();
    let url = ca(here, Manner { attributes, bound: true, ..Manner::default() });
    let line = format!(
        "est enroll --url {url} --trust ca.pem --new-key file:pump.key --out pump.pem --user pump-3 \
         --password file:password --subject CN=pump-3"
    );
    let ran = touchstone(here, &line).expect(3);
    assert!(ran.err.contains("give --san"), "{}", ran.err);
    touchstone(here, &format!("{line} --san pump-3.example")).expect(0);
    let said =
        openssl(here, &["x509", "-in", "pump.pem", "-noout", "-subject", "-nameopt", "RFC2253"]);
    assert!(said.contains("O=A,CN=pump-3") || said.contains("CN=pump-3,O=A"), "{said}");
    let ran = touchstone(here, &line.replace("CN=pump-3", "CN=pump-3,O=B")).expect(3);
    assert!(ran.err.contains("dictates another subject"), "{}", ran.err);
    let ran = touchstone(here, &format!("{line} --no-csrattrs")).expect(1);
    assert!(ran.err.contains("est.binding.missing"), "{}", ran.err);
}

#[test]
fn replies_of_other_servers_are_read_and_bad_ones_named() {
    let here = folder(&[("password", "open sesame\n")]);
    let here = here.path();
    key(here, "pump.key");
    if let Some(dir) = corpus("pki/captured/est") {
        for server in ["globalsign", "libest"] {
            let body = std::fs::read(dir.join(format!("{server}-csrattrs.b64"))).unwrap();
            let response = Response::with_body(200, "application/csrattrs", body);
            let url = ca(here, Manner { fixed: vec![("csrattrs", response)], ..Manner::default() });
            let line = format!("--json est csrattrs --url {url} --trust ca.pem");
            touchstone(here, &line).expect(0).json("touchstone.est.csrattrs/1");
            let body = std::fs::read(dir.join(format!("{server}-cacerts.b64"))).unwrap();
            let response = Response::with_body(200, "application/pkcs7-mime", body);
            let url = ca(here, Manner { fixed: vec![("cacerts", response)], ..Manner::default() });
            let line = format!("--json est cacerts --url {url} --trust ca.pem --out x.pem");
            let json = touchstone(here, &line).expect(1).json("touchstone.est.cacerts/1");
            assert_eq!(json["code"], "est.refused.not-the-ca", "{server}");
        }
    }
    let moved = Response::status(302).with("location", "https://elsewhere.example/");
    let url = ca(here, Manner { fixed: vec![("simpleenroll", moved)], ..Manner::default() });
    let line = format!(
        "--json est enroll --url {url} --trust ca.pem --new-key file:pump.key --out pump.pem --subject CN=x"
    );
    let json = touchstone(here, &line).expect(1).json("touchstone.est.enroll/1");
    assert_eq!(json["code"], "est.refused.cross-host-redirect");
}

#[test]
fn bouncy_castle_s_ca_is_known_by_its_fingerprint_and_then_certifies() {
    let here = folder(&[("password", "open sesame\n")]);
    let here = here.path();
    key(here, "pump.key");
    let ca = BouncyCastle::new().authority(here);
    let said = openssl(here, &["x509", "-in", "ca.pem", "-noout", "-fingerprint", "-sha256"]);
    let fingerprint = said.trim().rsplit('=').next().unwrap();
    let bootstrap = format!("--json est cacerts --url {} --out known.pem", ca.est);
    touchstone(here, &bootstrap).expect(2);
    let ran = touchstone(here, &format!("{bootstrap} --fingerprint {}", "00".repeat(32))).expect(1);
    assert_eq!(ran.json("touchstone.est.cacerts/1")["code"], "est.refused.not-the-ca");
    assert!(!here.join("known.pem").exists());
    touchstone(here, &format!("{bootstrap} --fingerprint {fingerprint}")).expect(0);
    let at = format!("--url {} --trust known.pem", ca.est);
    touchstone(here, &format!("est csrattrs {at}")).expect(0);
    let password = "--user ra --password file:password";
    let enroll = format!(
        "--json est enroll {at} --subject CN=pump-3 --san pump-3.example --new-key file:pump.key --out pump.pem"
    );
    touchstone(here, &enroll).expect(3);
    touchstone(here, &format!("{enroll} {password}")).expect(0);
    openssl(here, &["verify", "-CAfile", "ca.pem", "pump.pem"]);
    let renew = format!("est renew {at} --cert pump.pem --key file:pump.key --out again.pem");
    touchstone(here, &renew).expect(0);
    let told = |label: &str, retries: u32, code: i32| {
        let line = format!("{enroll} {password} --no-csrattrs --label {label} --retries {retries}");
        let ran = touchstone(here, &line).expect(code);
        ran.json("touchstone.est.enroll/1")["code"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(told("slow", 0, 1), "est.pending");
    assert_eq!(told("slow", 5, 0), "");
    assert_eq!(told("another", 0, 1), "est.refused.another-key");
    assert_eq!(told("no", 0, 1), "est.refused");
    assert_eq!(told("down", 0, 1), "est.refused");
    // Somebody else under the same name of a host: nothing is sent to it.
    let other = BouncyCastle::new().authority(here);
    let line = enroll.replace(&ca.est, &other.est);
    touchstone(here, &format!("{line} {password}")).expect(3);
}

#[test]
fn a_credential_of_the_server_is_opened_by_the_tpm_and_its_attestation_key_says_so() {
    let swtpm = Swtpm::blank_tcp();
    let here = swtpm.dir.path();
    std::fs::write(here.join("password"), "open sesame\n").unwrap();
    let at = format!("tpm-tcp:{}", swtpm.address());
    let (endorsement, lak, ldevid) = {
        let location: Location = at.parse().unwrap();
        let mut tpm = location.open_tpm(&here.join("keys")).unwrap();
        for (name, is_for) in [("lak", KeyUse::Attest), ("ldevid", KeyUse::Sign)] {
            tpm.create_key(name, &KeySpec::new(is_for, KeyAlgorithm::P256)).unwrap();
        }
        let mut native = |name| tpm.public_key(name).unwrap().unwrap().native;
        let keys = (native("lak"), native("ldevid"));
        (tpm.endorsement().unwrap().native_public, keys.0, keys.1)
    };
    let key = name_of(&AwsLc, &lak).unwrap();
    let made = credential::make(&endorsement, &key, &[7; 32], &AwsLc).unwrap();
    let activation = Activation { blob: made.blob, secret: made.secret };
    let valued = vec![activation.to_attribute().unwrap()];
    let attributes = Attributes { valued, ..Attributes::default() }.encode().unwrap();
    let asked = Arc::<Mutex<Vec<CertificateRequest>>>::default();
    let manner = Manner { attributes, asked: Arc::clone(&asked), ..Manner::default() };
    let url = ca(here, manner);
    let line = format!(
        "--json est enroll --url {url} --trust ca.pem --subject CN=dev-17 --new-key \
         element:tpm/ldevid --element {at} --state keys --out dev.pem --user pump-3 \
         --password file:password"
    );
    // Without the attestation key there is no answer to it.
    let ran = touchstone(here, &line).expect(3);
    assert!(ran.err.contains("touchstone.est.attestation"), "{}", ran.err);
    let line = format!("{line} --attest-key element:tpm/lak");
    touchstone(here, &line).expect(0).json("touchstone.est.enroll/1");
    let proven = |binding: &[u8]| {
        let request = asked.lock().unwrap().pop().unwrap();
        let request = AttestedRequest::from_request(request).unwrap();
        let said = request.certify();
        assert_eq!(said.public, ldevid);
        let by = LakPublic::from_native(&lak).unwrap();
        verify_certify(&AwsLc, &said.attest, &said.signature, &by, &said.public, binding).unwrap();
    };
    proven(&challenge_binding(&AwsLc, "dev-17", &[7; 32]));
    touchstone(here, &format!("{line} --device gateway-9")).expect(0);
    proven(&challenge_binding(&AwsLc, "gateway-9", &[7; 32]));
    // Where no credential is asked for, it says where the key lives all the same.
    touchstone(here, &format!("{line} --no-csrattrs")).expect(0);
    proven(&ldevid_binding(&AwsLc, "dev-17"));

    // A credential for another TPM, or for another of its keys.
    let other = credential::make(&endorsement, &[0; 34], &[7; 32], &AwsLc).unwrap();
    let activation = Activation { blob: other.blob, secret: other.secret };
    let valued = vec![activation.to_attribute().unwrap()];
    let attributes = Attributes { valued, ..Attributes::default() }.encode().unwrap();
    let elsewhere = ca(here, Manner { attributes, ..Manner::default() });
    let ran = touchstone(here, &line.replace(&url, &elsewhere)).expect(3);
    assert!(ran.err.contains("credential does not open"), "{}", ran.err);
    let two = line.replace("element:tpm/ldevid", "file:pump.key");
    touchstone(here, &two).expect(2);
    swtpm.assert_nothing_is_loaded();
}
