//! EST and SCEP as others' clients meet them: curl, strongSwan, Bouncy Castle, certmonger.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;

use std::path::Path;
use support::{Lab, curl, tool};
use touchstone_certs::Certificate;
use touchstone_certs::issue::{Kind, Template};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_enroll::est::{self, Given, keygen};
use touchstone_enroll::scep;
use touchstone_peers::{BouncyCastle, attempt, openssl};

fn lab() -> Lab {
    // Nobody is onboarded here, so that any root of endorsements will do.
    Lab::new(
        &support::Party::new(touchstone_certs::issue::Kind::Root, "TPM maker")
            .certificate
            .to_pem()
            .unwrap(),
    )
}

/// A challenge for somebody.
fn invite(lab: &Lab, name: &str) -> String {
    let output = lab.fleet(&["invite", "--name", name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A P-256 key and a request for it, by openssl, as `NAME.key`, `NAME.csr` and `NAME.der`.
fn request(dir: &Path, name: &str) {
    let line = format!(
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key \
         -subj /CN={name} -out {name}.csr"
    );
    openssl(dir, &line.split_whitespace().collect::<Vec<_>>());
    let line = format!("req -in {name}.csr -outform DER -out {name}.der");
    openssl(dir, &line.split_whitespace().collect::<Vec<_>>());
}

fn ask(lab: &Lab, operation: &str, more: &[&str]) -> (u16, Vec<u8>) {
    let url = format!("https://{}/.well-known/est/{operation}", lab.device);
    let roots = lab.roots();
    let mut all = vec!["--cacert", &roots];
    all.extend(more);
    all.push(&url);
    curl(&all)
}

fn enrolled(body: &[u8]) -> Certificate {
    let found = est::decode_certs(est::ENROLLED_TYPE, body).unwrap();
    assert_eq!(found.len(), 1);
    found[0].clone()
}

#[test]
fn curl_enrols_by_digest_and_by_basic_and_a_password_is_good_for_one_key() {
    let lab = lab();
    let dir = lab.dir.path();
    request(dir, "plc-1");
    openssl(dir, &["base64", "-in", "plc-1.der", "-out", "plc-1.b64"]);
    let body = format!("@{}", dir.join("plc-1.b64").display());
    let post = ["-H", "Content-Type: application/pkcs10", "--data-binary", body.as_str()];
    let with = |more: &[&str]| ask(&lab, "simpleenroll", &[&post[..], more].concat());

    let (status, body) = with(&[]);
    assert_eq!(status, 401, "{}", String::from_utf8_lossy(&body));
    let password = invite(&lab, "plc-1");
    assert_eq!(with(&["--digest", "-u", "plc-1:wrong"]).0, 401);
    assert_eq!(with(&["-u", "plc-2:wrong"]).0, 401);
    let user = format!("plc-1:{password}");
    let (status, body) = with(&["--digest", "-u", &user]);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let certificate = enrolled(&body);
    assert_eq!(certificate.subject(), "CN=plc-1");
    // The same key again: its answer may have been lost.
    let (status, body) = with(&["-u", &user]);
    assert_eq!((status, enrolled(&body)), (200, certificate.clone()));
    assert_eq!(lab.ocsp_status(&certificate.serial()), "good");

    request(dir, "plc-9");
    let other = format!("@{}", dir.join("plc-9.der").display());
    let post =
        ["-H", "Content-Type: application/pkcs10", "--data-binary", other.as_str(), "-u", &user];
    let (status, body) = ask(&lab, "simpleenroll", &post);
    assert_eq!(status, 403, "a subject that claims more than it may");
    assert!(String::from_utf8_lossy(&body).contains("CN=plc-1"));
    let line = "req -new -key plc-9.key -subj /CN=plc-1 -outform DER -out plc-9.der";
    openssl(dir, &line.split(' ').collect::<Vec<_>>());
    let (status, body) = ask(&lab, "simpleenroll", &post);
    assert_eq!(status, 403, "used for another key");
    assert!(String::from_utf8_lossy(&body).contains("used for another key"));
    let (status, _) = ask(&lab, "plant7/simpleenroll", &post);
    assert_eq!(status, 403, "a label that nobody knows");
    // The audit log has each certificate once.
    let told = lab.get("/api/v1/events?after=0&limit=1000").to_string();
    assert_eq!(told.matches("certificate issued to CN=plc-1").count(), 1, "{told}");
}

#[test]
fn curl_gets_public_words_with_their_length_and_keys_that_fit() {
    let lab = lab();
    let dir = lab.dir.path();
    let (status, head) = ask(&lab, "cacerts", &["-D", "-", "-o", "/dev/null"]);
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert_eq!(status, 200);
    assert!(
        head.contains("content-length:") && !head.contains("transfer-encoding: chunked"),
        "{head}"
    );
    let (status, body) = ask(&lab, "csrattrs", &[]);
    assert_eq!(status, 200);
    std::fs::write(dir.join("attributes.b64"), &body).unwrap();
    openssl(dir, &["base64", "-d", "-in", "attributes.b64", "-out", "attributes.der"]);
    let said = openssl(dir, &["asn1parse", "-inform", "DER", "-in", "attributes.der"]);
    assert!(said.contains("id-ecPublicKey") && said.contains("prime256v1"), "{said}");

    request(dir, "plc-3");
    let user = format!("plc-3:{}", invite(&lab, "plc-3"));
    let body = format!("@{}", dir.join("plc-3.der").display());
    let post =
        ["-H", "Content-Type: application/pkcs10", "--data-binary", body.as_str(), "-u", &user];
    let (status, body) = ask(&lab, "serverkeygen", &post);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let kind = "multipart/mixed; boundary=touchstone-est-key";
    let (key, certificates) = keygen::decode(kind, &body).unwrap();
    let Given::Plain(pkcs8) = key else { panic!() };
    std::fs::write(dir.join("made.der"), &*pkcs8).unwrap();
    openssl(dir, &["pkey", "-inform", "DER", "-in", "made.der", "-check", "-noout"]);
    let made = SoftSigner::from_pkcs8_der(&pkcs8).unwrap();
    assert_eq!(made.spki_der(), certificates[0].spki_der());
}

#[test]
fn strongswan_enrols_by_est() {
    let lab = lab();
    let dir = lab.dir.path();
    request(dir, "plc-4");
    let url = format!("https://{}", lab.device);
    // It can TLS 1.3, and offers it when it is told to.
    std::fs::write(dir.join("strongswan.conf"), "pki {\n tls {\n version_max = 1.3\n }\n}\n")
        .unwrap();
    let pki = |line: &str| {
        let line = format!("STRONGSWAN_CONF=strongswan.conf pki {line}");
        attempt("env", dir, &line.split_whitespace().collect::<Vec<_>>())
    };
    let (good, said) = pki(&format!(
        "--estca --url {url} --cacert state/root.pem --caout ca.pem --outform pem --force"
    ));
    assert!(good, "{said}");
    let password = invite(&lab, "plc-4");
    let line = format!(
        "--est --url {url} --in plc-4.csr --cacert state/root.pem --cacert state/issuing.pem \
         --userpass plc-4:{password} --outform pem"
    );
    let (good, said) = pki(&line);
    assert!(good, "{said}");
    let start = said.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("{said}"));
    let certificate = Certificate::from_pem(&said.as_bytes()[start..]).unwrap().remove(0);
    assert_eq!(certificate.subject(), "CN=plc-4");
    let (good, said) = pki(&line.replace(&password, "wrong"));
    assert!(!good, "{said}");
}

#[test]
fn bouncy_castle_enrols_by_est_and_reads_full_responses() {
    let (lab, peer) = (lab(), BouncyCastle::new());
    let dir = lab.dir.path();
    let at = format!("{} state/root.pem", lab.device);
    let said = peer.est(dir, &format!("cacerts {at}"));
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(peer.est(dir, &format!("csrattrs {at}")).contains("1.2.840.10045.2.1"));
    request(dir, "plc-5");
    let password = invite(&lab, "plc-5");
    let said = peer.est(dir, &format!("enroll {at} plc-5.csr plc-5 {password}"));
    assert_eq!(said.trim(), "CN=plc-5");
    let password = invite(&lab, "plc-6");
    let said = peer.est(dir, &format!("serverkeygen {at} plc-5.csr plc-6 {password}"));
    assert_eq!(said.trim(), "CN=plc-6");

    request(dir, "plc-7");
    let line = "req -x509 -key plc-7.key -subj /CN=plc-7 -days 1 -out own.pem";
    openssl(dir, &line.split(' ').collect::<Vec<_>>());
    peer.est(dir, "cmc plc-7.csr own.pem plc-7.key full.der");
    let user = format!("plc-7:{}", invite(&lab, "plc-7"));
    let body = format!("@{}", dir.join("full.der").display());
    let kind = "Content-Type: application/pkcs7-mime; smime-type=CMC-request";
    let (status, body) = ask(&lab, "fullcmc", &["-H", kind, "--data-binary", &body, "-u", &user]);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    std::fs::write(dir.join("response.b64"), &body).unwrap();
    openssl(dir, &["base64", "-d", "-in", "response.b64", "-out", "response.der"]);
    let said = peer.est(dir, "cmc-read response.der");
    assert!(said.contains("success true") && said.contains("transaction true"), "{said}");
    assert!(said.contains("CN=plc-7"), "{said}");
}

#[test]
fn strongswan_and_certmonger_meet_a_scep_server() {
    let mut lab = lab();
    let dir = lab.dir.path().to_owned();
    let url = |lab: &Lab| format!("http://{}/scep", lab.ocsp);
    let submit = "/usr/lib/certmonger/scep-submit";
    let (good, said) = attempt(submit, &dir, &["-u", &url(&lab), "-c"]);
    assert!(good && said.contains("SCEPStandard") && said.contains("AES"), "{said}");
    let (good, said) = attempt(submit, &dir, &["-u", &url(&lab), "-C"]);
    assert!(good && said.matches("BEGIN CERTIFICATE").count() >= 2, "{said}");

    let pki = |line: &str| attempt("pki", &dir, &line.split_whitespace().collect::<Vec<_>>());
    for name in ["one.key", "two.key"] {
        tool(
            "openssl",
            &["genpkey", "-algorithm", "RSA", "-out", dir.join(name).to_str().unwrap()],
        );
    }
    let challenge = invite(&lab, "plc-8");
    // The challenge survives a fleet that dies.
    lab.kill_and_restart();
    let enrol = |lab: &Lab, key: &str, extra: &str| {
        pki(&format!(
            "--scep --url {} --in {key} --dn CN=plc-8 --cacert-enc state/ra.pem --cacert-sig \
             state/ra.pem --cacert state/issuing.pem --cacert state/root.pem --interval 1 --outform pem {extra}",
            url(lab)
        ))
    };
    let (good, said) = enrol(&lab, "one.key", "--password wrong");
    assert!(!good, "{said}");
    let (good, said) = enrol(&lab, "one.key", &format!("--password {challenge}"));
    assert!(good, "{said}");
    let start = said.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("{said}"));
    std::fs::write(dir.join("old.pem"), &said[start..]).unwrap();
    let certificate = Certificate::from_pem(&said.as_bytes()[start..]).unwrap().remove(0);
    assert_eq!(certificate.subject(), "CN=plc-8");
    let (good, said) = enrol(&lab, "two.key", &format!("--password {challenge}"));
    assert!(!good, "a challenge that was used for another key: {said}");
    let (good, said) = enrol(&lab, "two.key", "--cert old.pem --key one.key");
    assert!(good, "{said}");
}

#[test]
fn a_list_and_the_ca_to_come_are_told_by_scep() {
    let maker = support::Party::new(touchstone_certs::issue::Kind::Root, "TPM maker");
    let lab = Lab::configured(&maker.certificate.to_pem().unwrap(), |_, config| {
        format!(
            "{config}\n[crl]\nshards = 2\n[[authority.issuing]]\nname = 'issuing'\n\
             [[authority.issuing]]\nname = 'issuing-2'\nnext = true\n"
        )
    });
    let url = format!("http://{}/scep", lab.ocsp);
    let (_, caps) = curl(&[&format!("{url}?operation=GetCACaps")]);
    assert!(String::from_utf8(caps).unwrap().contains("GetNextCACert"));
    let pem = |name: &str| {
        Certificate::from_pem(&std::fs::read(lab.path(name)).unwrap()).unwrap().remove(0)
    };
    let (issuing, ra) = (pem("state/issuing.pem"), pem("state/ra.pem"));
    let (_, body) = curl(&[&format!("{url}?operation=GetNextCACert")]);
    let next = scep::next_ca_certificates(&AwsLc, &body, &issuing).unwrap().into_inner();
    assert!(next.iter().any(|it| it.subject() == "CN=touchstone issuing-2"));
    // What is to come issues nothing yet; a server's certificate is by the CA that is.
    let line = ["issue-certificate", "--kind", "server", "--name", "broker", "--out-dir", "out"];
    assert!(lab.fleet(&line).status.success());
    let broker = pem("out/broker.pem");
    assert_eq!(broker.issuer(), issuing.subject());
    assert!(lab.fleet(&["revoke-certificate", "--serial", &broker.serial()]).status.success());

    let key = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).unwrap();
    let opens = SoftDecrypter::from_pkcs8_der(key.pkcs8_der()).unwrap();
    let name = touchstone_certs::Name::common_name("auditor").unwrap();
    let now = support::now();
    let own =
        Template::new(Kind::Client, name, now - 60, now + 3600).self_sign(&AwsLc, &key).unwrap();
    let asks = scep::Requester { certificate: &own, key: &key, to: &ra };
    let transaction = scep::Transaction::of_key(&AwsLc, key.spki_der());
    let asked = |body: &scep::Body| {
        let sent = asks.send(&AwsLc, body, &transaction, now).unwrap();
        std::fs::write(lab.path("message"), &sent.message).unwrap();
        let data = format!("@{}", lab.path("message").display());
        let (status, reply) =
            curl(&["--data-binary", &data, &format!("{url}?operation=PKIOperation")]);
        assert_eq!(status, 200);
        let (ca, kind) = ([ra.clone()], scep::MessageType::GetCrl);
        scep::read_reply(&AwsLc, &reply, &sent, &ca, (&own, &opens), kind).unwrap().into_inner()
    };
    let listed = || match asked(&scep::Body::revocation_list(&broker)) {
        scep::Reply::RevocationLists(lists) => {
            let crl = touchstone_certs::crl::Crl::decode(&lists[0]).unwrap();
            crl.verify_signature(&AwsLc, issuing.spki_der()).unwrap();
            crl.revoked().any(|one| one.serial.eq_ignore_ascii_case(&broker.serial())).then_some(())
        }
        other => panic!("{other:?}"),
    };
    support::until("the revocation in the list", listed);
    let strange = scep::Body::RevocationList {
        issuer_der: issuing.subject_der().to_vec(),
        serial: vec![1, 2, 3],
    };
    let no = |reply| matches!(reply, scep::Reply::Failed { info: scep::FailInfo::BadCertId, .. });
    assert!(no(asked(&strange)), "a number that nobody has issued");
    assert!(no(asked(&scep::Body::revocation_list(&own))), "a CA that is not here");
}

#[test]
fn operators_invite_by_the_api_and_viewers_do_not() {
    let lab = lab();
    let post = |token: &str, body: &str| {
        lab.api(token, &["-X", "POST", "--data", body], "/api/v1/invitations")
    };
    let good = r#"{"name": "plc-9", "kind": "client", "minutes": 5}"#;
    let (status, body) = post(&lab.operator_token(), good);
    assert_eq!((status, &body["schema"]), (200, &"touchstone.invitation.show/1".into()), "{body}");
    let challenge = body["challenge"].as_str().unwrap();
    request(lab.dir.path(), "plc-9");
    let (data, user) =
        (format!("@{}", lab.path("plc-9.der").display()), format!("plc-9:{challenge}"));
    let post_it = ["-H", "Content-Type: application/pkcs10", "--data-binary", &data, "-u", &user];
    assert_eq!(ask(&lab, "simpleenroll", &post_it).0, 200);
    assert_eq!(post("0123456789abcdef-viewer", good).0, 403);
    for bad in [
        r#"{"name": "plc 9", "kind": "client", "minutes": 5}"#,
        r#"{"name": "plc-9", "kind": "ca", "minutes": 5}"#,
        r#"{"name": "plc-9", "kind": "client", "minutes": 0}"#,
        r#"{"name": "plc-9"}"#,
    ] {
        let (status, body) = post(&lab.operator_token(), bad);
        assert_eq!((status, &body["code"]), (400, &"api.invitation".into()), "{bad}");
    }
    let codes = lab.codes();
    assert_eq!(codes.iter().filter(|code| *code == "cert.invited").count(), 1);
}
