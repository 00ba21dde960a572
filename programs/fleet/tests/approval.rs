//! Enrolments that wait for an operator: by SCEP, where clients poll, and by EST, where they come back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;

use serde_json::Value;
use support::{Lab, P256, curl, now, tool, until, write_pem};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, CertificateRequest, Name, request};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_enroll::est::{self, Given, keygen};
use touchstone_enroll::scep::{self, FailInfo, MessageType, Reply};
use touchstone_peers::attempt;

const ALONE: &str = "[[authority.profile]]\nname = 'client'\nkind = 'client'\nlifetime = '1h'\n\
                     proof = 'by-hand'\nverdict = false\napproval = 'operator-alone'\n";
const SITE: &str = "[[authority.profile]]\nname = 'site'\nkind = 'client'\nlifetime = '1h'\n\
                    proof = 'idevid'\nverdict = false\nnames = ['cn:{idevid}', 'dns:*.plant-7.example']\n\
                    approval = 'operator'\n";

fn lab() -> Lab {
    let maker = support::Party::new(Kind::Root, "TPM maker");
    Lab::configured(&maker.certificate.to_pem().unwrap(), |_, config| {
        format!("{config}{ALONE}{SITE}")
    })
}

/// Those that wait.
fn waiting(lab: &Lab) -> Vec<Value> {
    let list = lab.get("/api/v1/enrolments");
    assert_eq!(list["schema"], "touchstone.enrolment.list/1");
    let all = list["enrolments"].as_array().unwrap().iter();
    all.filter(|one| one["state"] == "waiting").cloned().collect()
}

fn decide(lab: &Lab, id: &Value, verb: &str, body: &str) -> (u16, Value) {
    let path = format!("/api/v1/enrolments/{id}/{verb}");
    lab.api(&lab.operator_token(), &["-X", "POST", "--data", body], &path)
}

fn approve(lab: &Lab, id: &Value) {
    let (status, body) = decide(lab, id, "approve", "");
    assert_eq!((status, &body["enrolment"]["state"]), (200, &"approved".into()), "{body}");
}

fn pem(lab: &Lab, name: &str) -> Certificate {
    Certificate::from_pem(&std::fs::read(lab.path(name)).unwrap()).unwrap().remove(0)
}

#[test]
fn strongswan_polls_until_an_operator_has_decided() {
    let lab = lab();
    let dir = lab.dir.path().to_owned();
    for name in ["one.key", "two.key"] {
        let path = dir.join(name);
        tool("openssl", &["genpkey", "-algorithm", "RSA", "-out", path.to_str().unwrap()]);
    }
    let begin = |key: &str, name: &str| {
        let line = format!(
            "--scep --url http://{}/scep --in {key} --dn CN={name} --cacert-enc state/ra.pem \
             --cacert-sig state/ra.pem --cacert state/issuing.pem --cacert state/root.pem \
             --interval 1 --outform pem",
            lab.ocsp
        );
        let dir = dir.clone();
        std::thread::spawn(move || {
            attempt("pki", &dir, &line.split_whitespace().collect::<Vec<_>>())
        })
    };
    let asks = begin("one.key", "plc-1");
    let one = until("the enrolment", || waiting(&lab).pop());
    assert_eq!((&one["subject"], &one["protocol"]), (&"plc-1".into(), &"scep".into()));
    assert_eq!((&one["invited"], &one["profile"]), (&false.into(), &"client".into()));
    // What an operator compares is what openssl says of the key.
    let der = tool(
        "openssl",
        &["pkey", "-in", dir.join("one.key").to_str().unwrap(), "-pubout", "-outform", "DER"],
    );
    std::fs::write(dir.join("one.spki"), der).unwrap();
    let path = dir.join("one.spki");
    let said = tool("openssl", &["dgst", "-sha256", "-r", path.to_str().unwrap()]);
    assert!(String::from_utf8(said).unwrap().starts_with(one["key_sha256"].as_str().unwrap()));

    // It has polled by now, and nobody has decided.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(!asks.is_finished());
    approve(&lab, &one["id"]);
    let (good, said) = asks.join().unwrap();
    assert!(good, "{said}");
    let start = said.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("{said}"));
    let certificate = Certificate::from_pem(&said.as_bytes()[start..]).unwrap().remove(0);
    assert_eq!(certificate.subject(), "CN=plc-1");
    assert_eq!(lab.ocsp_status(&certificate.serial()), "good");
    // A renewal needs nobody's word.
    std::fs::write(dir.join("old.pem"), &said[start..]).unwrap();
    let line = format!(
        "--scep --url http://{}/scep --in two.key --dn CN=plc-1 --cert old.pem --key one.key \
         --cacert-enc state/ra.pem --cacert-sig state/ra.pem --cacert state/issuing.pem \
         --cacert state/root.pem --interval 1 --outform pem",
        lab.ocsp
    );
    let (good, said) = attempt("pki", &dir, &line.split_whitespace().collect::<Vec<_>>());
    assert!(good, "{said}");

    tool(
        "openssl",
        &["genpkey", "-algorithm", "RSA", "-out", dir.join("three.key").to_str().unwrap()],
    );
    let asks = begin("three.key", "plc-2");
    let two = until("the enrolment", || waiting(&lab).pop());
    let (status, body) = decide(&lab, &two["id"], "refuse", r#"{"reason": "not one of ours"}"#);
    assert_eq!((status, &body["enrolment"]["state"]), (200, &"refused".into()), "{body}");
    let (good, said) = asks.join().unwrap();
    assert!(!good && said.contains("badRequest"), "{said}");
    let codes = lab.codes();
    let count = |code: &str| codes.iter().filter(|known| *known == code).count();
    assert_eq!(["cert.waiting", "cert.approved", "cert.declined"].map(count), [2, 1, 1]);
}

/// Somebody who speaks SCEP by our own client.
struct Client {
    key: SoftSigner,
    opens: SoftDecrypter,
    own: Certificate,
    request: CertificateRequest,
}

impl Client {
    fn new(name: &str) -> Self {
        let key = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).unwrap();
        let opens = SoftDecrypter::from_pkcs8_der(key.pkcs8_der()).unwrap();
        let name = Name::common_name(name).unwrap();
        let der = request::build(&name, &[], &[], &key).unwrap();
        let own = Template::new(Kind::Client, name, now() - 60, now() + 3600);
        let own = own.self_sign(&AwsLc, &key).unwrap();
        Self { key, opens, own, request: CertificateRequest::decode(&der).unwrap() }
    }

    fn ask(&self, lab: &Lab, poll: bool, transaction: &scep::Transaction) -> Reply {
        let (ra, issuing) = (pem(lab, "state/ra.pem"), pem(lab, "state/issuing.pem"));
        let (body, kind) = if poll {
            (scep::Body::poll(&issuing, &self.request).unwrap(), MessageType::CertPoll)
        } else {
            (scep::Body::Enrol(self.request.clone()), MessageType::PkcsReq)
        };
        let by = scep::Requester { certificate: &self.own, key: &self.key, to: &ra };
        let sent = by.send(&AwsLc, &body, transaction, now()).unwrap();
        std::fs::write(lab.path("message"), &sent.message).unwrap();
        let data = format!("@{}", lab.path("message").display());
        let url = format!("http://{}/scep?operation=PKIOperation", lab.ocsp);
        let (status, reply) = curl(&["--data-binary", &data, &url]);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&reply));
        let (ca, ours) = ([ra.clone()], (&self.own, &self.opens as _));
        scep::read_reply(&AwsLc, &reply, &sent, &ca, ours, kind).unwrap().into_inner()
    }

    fn transaction(&self) -> scep::Transaction {
        scep::Transaction::of_key(&AwsLc, self.key.spki_der())
    }
}

fn refused(reply: &Reply, wanted: FailInfo, words: &str) {
    let Reply::Failed { info, text: Some(text) } = reply else { panic!("{reply:?}") };
    assert!(*info == wanted && text.contains(words), "{reply:?}");
}

#[test]
fn what_waits_survives_a_kill_and_is_nobody_elses() {
    let mut lab = lab();
    let (client, other) = (Client::new("plc-3"), Client::new("plc-3"));
    let (mine, its) = (client.transaction(), other.transaction());
    refused(&client.ask(&lab, true, &mine), FailInfo::BadCertId, "nothing is pending");
    assert_eq!(client.ask(&lab, false, &mine), Reply::Pending);
    assert_eq!(client.ask(&lab, true, &mine), Reply::Pending);
    lab.kill_and_restart();
    assert_eq!(client.ask(&lab, true, &mine), Reply::Pending);
    assert_eq!(client.ask(&lab, false, &mine), Reply::Pending, "the request again is the same");
    refused(&other.ask(&lab, true, &mine), FailInfo::BadCertId, "this key and transaction");
    refused(&client.ask(&lab, true, &its), FailInfo::BadCertId, "this key and transaction");

    let [one] = &waiting(&lab)[..] else { panic!("one waits") };
    let path = format!("/api/v1/enrolments/{}/approve", one["id"]);
    assert_eq!(lab.api("0123456789abcdef-viewer", &["-X", "POST"], &path).0, 403);
    for (verb, body, expected) in [
        ("refuse", "{}", (400, "api.enrolment")),
        ("refuse", r#"{"reason": "no"}"#, (400, "api.enrolment")),
    ] {
        let (status, body) = decide(&lab, &one["id"], verb, body);
        assert_eq!((status, body["code"].as_str().unwrap()), expected);
    }
    let (status, body) = decide(&lab, &999.into(), "approve", "");
    assert_eq!((status, &body["code"]), (404, &"fleet.unknown".into()));
    approve(&lab, &one["id"]);
    let (status, body) = decide(&lab, &one["id"], "approve", "");
    assert_eq!((status, &body["code"]), (409, &"fleet.conflict".into()), "{body}");
    // An approval outlives the fleet as well.
    lab.kill_and_restart();
    refused(&other.ask(&lab, true, &mine), FailInfo::BadCertId, "this key and transaction");
    let Reply::Issued { certificate, .. } = client.ask(&lab, true, &mine) else { panic!() };
    assert_eq!(certificate.spki_der(), client.key.spki_der());
    // Its reply may not have arrived.
    for poll in [true, false] {
        let Reply::Issued { certificate: again, .. } = client.ask(&lab, poll, &mine) else {
            panic!()
        };
        assert_eq!(again, certificate);
    }
    assert_eq!(other.ask(&lab, false, &its), Reply::Pending, "each key is decided by itself");
    let told = lab.get("/api/v1/events?after=0&limit=1000").to_string();
    assert_eq!(told.matches("certificate issued to CN=plc-3").count(), 1, "{told}");
    let console = curl(&[&format!("http://{}/console/login", lab.console)]).0;
    assert_eq!(console, 200);
}

#[test]
fn whoever_asks_otherwise_than_est_has_it_is_told_so() {
    let lab = lab();
    let (key, name) = (SoftSigner::generate(P256).unwrap(), Name::common_name("plc-7").unwrap());
    let plain = request::build(&name, &[], &[], &key).unwrap();
    let code = |path: &str, csr: &[u8], more: &[&str]| {
        let (status, code, ..) = est(&lab, path, csr, more);
        (status, code)
    };
    assert_eq!(code("simplyenroll", &plain, &[]), (404, "est.not-found".into()));
    assert_eq!(code("simpleenroll", &plain, &[]), (401, "est.certificate.none".into()));
    let output = lab.fleet(&["invite", "--name", "plc-7"]);
    let user = format!("plc-7:{}", String::from_utf8(output.stdout).unwrap().trim());
    let value = keygen::encrypt_to_attribute(&[9; 20]);
    let asked = request::Attribute { oid: keygen::DECRYPT_KEY_ID.into(), value };
    let csr = request::build(&name, &[], &[asked], &key).unwrap();
    let output = lab.fleet(&["invite", "--name", "plc-8", "--kind", "server"]);
    let server = format!("plc-8:{}", String::from_utf8(output.stdout).unwrap().trim());
    let refused = code("serverkeygen", &csr, &["-u", &server]);
    assert_eq!(refused, (403, "est.key.recipient".into()), "nobody showed that key in TLS");
    assert_eq!(code("site/simpleenroll", &plain, &["-u", &user]).1, "est.profile.unknown");
}

#[test]
fn whoever_names_itself_otherwise_by_scep_is_told_so() {
    let lab = lab();
    let strange = Client::new("plc 4");
    let reply = strange.ask(&lab, false, &strange.transaction());
    refused(&reply, FailInfo::BadRequest, "letters, digits");
}

/// An answer of EST: status, code, seconds until it is worth to ask again, and the body.
fn est(lab: &Lab, path: &str, csr: &[u8], more: &[&str]) -> (u16, String, String, Vec<u8>) {
    let body = lab.path("csr");
    std::fs::write(&body, est::encode_request(csr)).unwrap();
    let (data, head) = (format!("@{}", body.display()), lab.path("head").display().to_string());
    let (url, roots) = (format!("https://{}/.well-known/est/{path}", lab.device), lab.roots());
    let kind = "Content-Type: application/pkcs10";
    let mut all = vec!["--cacert", &roots, "-D", &head, "-H", kind, "--data-binary", &data];
    all.extend(more);
    all.push(&url);
    let (status, body) = curl(&all);
    let head = std::fs::read_to_string(&head).unwrap();
    let one = |name: &str| {
        let found = head.lines().rev().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().trim().to_owned()
    };
    (status, one("touchstone-code: "), one("retry-after: "), body)
}

#[test]
fn by_est_whoever_waits_is_told_when_to_come_back() {
    let mut lab = lab();
    let output = lab.fleet(&["invite", "--name", "plc-5"]);
    let user = format!("plc-5:{}", String::from_utf8(output.stdout).unwrap().trim());
    let (key, second) = (SoftSigner::generate(P256).unwrap(), SoftSigner::generate(P256).unwrap());
    let csr = |name: &str, names: &[AlternativeName], key: &SoftSigner| {
        request::build(&Name::common_name(name).unwrap(), names, &[], key).unwrap()
    };
    let invited = ["-u", user.as_str()];
    let (status, _, after, _) = est(&lab, "simpleenroll", &csr("plc-5", &[], &key), &invited);
    assert_eq!((status, after.as_str()), (202, "15"));
    let (status, code, ..) = est(&lab, "simpleenroll", &csr("plc-5", &[], &second), &invited);
    assert_eq!((status, code.as_str()), (403, "est.approval.other"), "one challenge, one key");
    lab.kill_and_restart();
    assert_eq!(est(&lab, "simpleenroll", &csr("plc-5", &[], &key), &invited).0, 202);
    let [one] = &waiting(&lab)[..] else { panic!("one waits") };
    assert_eq!((&one["invited"], &one["protocol"]), (&true.into(), &"est".into()));
    approve(&lab, &one["id"]);
    let (status, _, _, body) = est(&lab, "simpleenroll", &csr("plc-5", &[], &key), &invited);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    est::decode_enrolled(est::ENROLLED_TYPE, &body, key.spki_der()).unwrap();

    // Its key is made when somebody has decided.
    let output = lab.fleet(&["invite", "--name", "plc-6"]);
    let user = format!("plc-6:{}", String::from_utf8(output.stdout).unwrap().trim());
    let invited = ["-u", user.as_str()];
    let request = csr("plc-6", &[], &second);
    assert_eq!(est(&lab, "serverkeygen", &request, &invited).0, 202);
    let [one] = &waiting(&lab)[..] else { panic!("one waits") };
    assert_eq!((&one["key"], &one["key_sha256"]), (&"made by the fleet".into(), &"".into()));
    approve(&lab, &one["id"]);
    let (status, _, _, body) = est(&lab, "serverkeygen", &request, &invited);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let kind = "multipart/mixed; boundary=touchstone-est-key";
    let (made, certificates) = keygen::decode(kind, &body).unwrap();
    let Given::Plain(pkcs8) = made else { panic!() };
    let made = SoftSigner::from_pkcs8_der(&pkcs8).unwrap();
    assert_eq!(made.spki_der(), certificates[0].spki_der());
    let (status, code, ..) = est(&lab, "serverkeygen", &request, &invited);
    assert_eq!((status, code.as_str()), (403, "est.challenge.used"));

    // A device shows its maker's certificate, and waits all the same; its renewal does not.
    let idevid = SoftSigner::generate(P256).unwrap();
    let certificate = lab.maker.issue(Kind::Device, "pump-3", idevid.spki_der());
    let (cert, secret) = write_pem(&lab.path("idevid"), &[&certificate], &idevid);
    let shown = ["--cert", cert.as_str(), "--key", secret.as_str()];
    let names = [AlternativeName::Dns("a.plant-7.example".into())];
    let wanted = csr("pump-3", &names, &second);
    assert_eq!(est(&lab, "site/simpleenroll", &wanted, &shown).0, 202);
    let (status, code, ..) = est(&lab, "site/simpleenroll", &csr("pump-3", &[], &second), &shown);
    assert_eq!(
        (status, code.as_str()),
        (403, "est.approval.other"),
        "another name than it waits for"
    );
    let [one] = &waiting(&lab)[..] else { panic!("one waits") };
    assert_eq!(one["names"][0], "dns:a.plant-7.example");
    decide(&lab, &one["id"], "refuse", r#"{"reason": "who is that?"}"#);
    let (status, code, _, body) = est(&lab, "site/simpleenroll", &wanted, &shown);
    assert_eq!((status, code.as_str()), (403, "est.approval.refused"));
    assert!(String::from_utf8_lossy(&body).contains("who is that?"));
    approve(&lab, &one["id"]);
    let (status, _, _, body) = est(&lab, "site/simpleenroll", &wanted, &shown);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let issued = est::decode_enrolled(est::ENROLLED_TYPE, &body, second.spki_der()).unwrap();
    let issuing = pem(&lab, "state/issuing.pem");
    let (cert, secret) = write_pem(&lab.path("site"), &[&issued, &issuing], &second);
    let mine = ["--cert", cert.as_str(), "--key", secret.as_str()];
    let (status, ..) = est(&lab, "site/simplereenroll", &csr("pump-3", &names, &key), &mine);
    assert_eq!(status, 200);
}
