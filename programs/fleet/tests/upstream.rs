//! The fleet as a registration authority in front of CAs that it is not: Bouncy Castle's on the JDK's HTTP
//! server, and another fleet. Who gets a certificate is the fleet's to say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;
#[path = "support/tpm_device.rs"]
mod tpm_device;

use std::path::Path;
use support::{Lab, P256, Party, curl, write_pem};
use touchstone_certs::issue::Kind;
use touchstone_certs::{AlternativeName, Certificate, Name, request};
use touchstone_crypto::Signer;
use touchstone_crypto_awslc::SoftSigner;
use touchstone_enroll::est;
use touchstone_peers::{BouncyCastle, ForeignCa, Swtpm, openssl};
use tpm_device::Device;

/// The labels of the other CA, each an upstream and a profile of ours.
const LABELS: [&str; 9] = ["plain", "slow", "more", "other", "long", "ca", "another", "no", "down"];

/// Upstreams by a password, and one, `shown`, by a certificate whose key is in an element.
fn upstreams(dir: &Path, url: &str) -> String {
    std::fs::write(dir.join("ra.password"), "open sesame\n").unwrap();
    let by_password = |label: &&str| {
        let upstream = format!(
            "[[authority.upstream]]\nname = '{label}-ca'\nurl = '{url}'\nlabel = '{label}'\n\
             trust = ['ca.pem']\nuser = 'ra'\npassword = 'file:ra.password'\npatience = '10s'\n"
        );
        upstream + &profile(label, &format!("{label}-ca"))
    };
    let text: String = LABELS.iter().map(by_password).collect();
    let by_certificate = format!(
        "[[authority.upstream]]\nname = 'shown-ca'\nurl = '{url}'\ntrust = ['ca.pem']\n\
         certificate = 'ra.pem'\nkey = 'element:software/ra'\n"
    );
    text + &by_certificate + &profile("shown", "shown-ca")
}

fn profile(name: &str, issuing: &str) -> String {
    format!(
        "[[authority.profile]]\nname = '{name}'\nkind = 'client'\nissuing = '{issuing}'\n\
         proof = 'idevid'\nverdict = false\nlifetime = '1h'\n\
         names = ['cn:{{idevid}}', 'dns:*.plant-7.example']\n"
    )
}

/// A key of that name in a software element, and a certificate for it.
fn element(dir: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    use touchstone_element::{ElementSigner, KeyAlgorithm, KeySpec, KeyUse};
    let secret = dir.join("secret");
    std::fs::write(&secret, [7; 32]).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let at = format!("software:{}?secret=file:{}", dir.join("keys").display(), secret.display());
    let location: touchstone_drive::element::Location = at.parse().unwrap();
    let mut element = location.open(&dir.join("state")).unwrap();
    element.create_key("ra", &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256)).unwrap();
    let key =
        ElementSigner::new(std::sync::Arc::new(std::sync::Mutex::new(element)), "ra").unwrap();
    let subject = Name::common_name("registration authority").unwrap();
    let now = support::now();
    let template =
        touchstone_certs::issue::Template::new(Kind::Client, subject, now - 60, now + 3600);
    let certificate = template.self_sign(&touchstone_crypto_awslc::AwsLc, &key).unwrap();
    std::fs::write(dir.join("ra.pem"), certificate.to_pem().unwrap()).unwrap();
    at
}

fn scene() -> (Lab, ForeignCa) {
    let peer = BouncyCastle::new();
    let mut other = None;
    let maker = Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap();
    let lab = Lab::configured(&maker, |dir, config| {
        let at = element(dir);
        let ca = peer.authority(dir);
        let more = upstreams(dir, &ca.est);
        other = Some(ca);
        let config =
            config.replacen("[authority]\n", &format!("[authority]\nelements = ['{at}']\n"), 1);
        format!("{config}\n{more}")
    });
    (lab, other.unwrap())
}

/// Somebody with an IDevID, and a key to be certified.
struct Pump {
    identity: (String, String),
    key: SoftSigner,
}

impl Pump {
    fn new(lab: &Lab) -> Self {
        let idevid = SoftSigner::generate(P256).unwrap();
        let made = lab.maker.issue(Kind::Device, "pump-3", idevid.spki_der());
        let identity = write_pem(&lab.path("idevid"), &[&made], &idevid);
        Self { identity, key: SoftSigner::generate(P256).unwrap() }
    }

    fn request(&self, subject: &str) -> Vec<u8> {
        let names = vec![AlternativeName::Dns("a.plant-7.example".into())];
        request::build(&Name::parse(subject).unwrap(), &names, &[], &self.key).unwrap()
    }

    /// Asks with curl: status, the headers, body.
    fn ask(&self, lab: &Lab, path: &str, subject: &str) -> (u16, String, Vec<u8>) {
        ask(lab, &self.identity, path, &self.request(subject))
    }
}

fn ask(lab: &Lab, identity: &(String, String), path: &str, csr: &[u8]) -> (u16, String, Vec<u8>) {
    std::fs::write(lab.path("csr"), est::encode_request(csr)).unwrap();
    let (data, head) =
        (format!("@{}", lab.path("csr").display()), lab.path("head").display().to_string());
    let url = format!("https://{}/.well-known/est/{path}", lab.device);
    let (roots, kind) = (lab.roots(), "Content-Type: application/pkcs10");
    let (status, body) = curl(&[
        "--cacert",
        &roots,
        "--cert",
        &identity.0,
        "--key",
        &identity.1,
        "-D",
        &head,
        "-H",
        kind,
        "--data-binary",
        &data,
        &url,
    ]);
    (status, std::fs::read_to_string(head).unwrap().to_lowercase(), body)
}

fn code(head: &str) -> &str {
    head.lines().find_map(|line| line.strip_prefix("touchstone-code: ")).unwrap_or_default().trim()
}

#[test]
fn another_ca_signs_what_the_fleet_decides_and_what_it_signs_beyond_that_is_refused() {
    let (lab, mut other) = scene();
    let pump = Pump::new(&lab);
    for path in ["plain/simpleenroll", "shown/simpleenroll"] {
        let (status, head, body) = pump.ask(&lab, path, "CN=pump-3");
        assert_eq!(status, 200, "{path}: {head}{}", String::from_utf8_lossy(&body));
        let issued = est::decode_enrolled(est::ENROLLED_TYPE, &body, pump.key.spki_der()).unwrap();
        assert_eq!((issued.issuer(), issued.subject()), ("CN=Elsewhere CA", "CN=pump-3"));
        std::fs::write(lab.path("leaf.pem"), issued.to_pem().unwrap()).unwrap();
        openssl(lab.dir.path(), &["verify", "-CAfile", "ca.pem", "leaf.pem"]);
        let again = pump.ask(&lab, path, "CN=pump-3").2;
        let again = est::decode_enrolled(est::ENROLLED_TYPE, &again, pump.key.spki_der()).unwrap();
        assert_eq!(again.serial(), issued.serial(), "recorded, and answered as before");
    }
    // What we would not certify does not reach it.
    let (status, head, _) = pump.ask(&lab, "plain/simpleenroll", "CN=pump-4");
    assert_eq!((status, code(&head)), (403, "est.subject.claims"));
    // Its answers, one by one.
    let (status, head, _) = pump.ask(&lab, "slow/simpleenroll", "CN=pump-3");
    assert_eq!(status, 202, "{head}");
    assert!(head.contains("retry-after: 1"), "{head}");
    assert_eq!(pump.ask(&lab, "slow/simpleenroll", "CN=pump-3").0, 200, "and then it has decided");
    for (label, status, expected) in [
        ("more", 503, "est.upstream.more-names"),
        ("other", 503, "est.upstream.other-subject"),
        ("long", 503, "est.upstream.too-long"),
        ("ca", 503, "est.upstream.is-ca"),
        ("another", 503, "est.upstream.reply"),
        ("no", 403, "est.upstream.refused"),
        ("down", 503, "est.upstream.failed"),
    ] {
        let (found, head, body) = pump.ask(&lab, &format!("{label}/simpleenroll"), "CN=pump-3");
        assert_eq!((found, code(&head)), (status, expected), "{label}");
        assert_eq!(head.contains("retry-after"), status == 503, "{label}: {head}");
        let words = String::from_utf8_lossy(&body).into_owned();
        assert!(label != "no" || words.contains("this is not for you"), "{words}");
    }
    let told = lab.get("/api/v1/events?after=0&limit=1000").to_string();
    assert_eq!(told.matches("\"cert.refused\"").count(), 5, "signed and not accepted: {told}");
    assert_eq!(told.matches("certificate issued to CN=pump-3").count(), 3, "{told}");

    // With what it has, the pump renews through the fleet; revoked here, it does not.
    let (_, _, body) = pump.ask(&lab, "plain/simpleenroll", "CN=pump-3");
    let issued = est::decode_enrolled(est::ENROLLED_TYPE, &body, pump.key.spki_der()).unwrap();
    let mine = write_pem(&lab.path("held"), &[&issued], &pump.key);
    let next = Pump { identity: mine, key: SoftSigner::generate(P256).unwrap() };
    let (status, head, _) = next.ask(&lab, "plain/simplereenroll", "CN=pump-3");
    assert_eq!(status, 200, "{head}");
    let out = lab.fleet(&["revoke-certificate", "--serial", &issued.serial()]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let (status, head, _) = next.ask(&lab, "plain/simplereenroll", "CN=pump-3");
    assert_eq!((status, code(&head)), (403, "attest.certificate.revoked"));
    let told = lab.get("/api/v1/events?after=0&limit=1000").to_string();
    assert!(
        told.contains("\"cert.revoked-here\"") && told.contains("have the CA `plain-ca`"),
        "{told}"
    );

    // The certificates that lead from it to its anchor come by its label, beside the fleet's own.
    let roots = lab.roots();
    let url = format!("https://{}/.well-known/est/plain/cacerts", lab.device);
    let found = est::decode_certs(est::CERTS_TYPE, &curl(&["--cacert", &roots, &url]).1).unwrap();
    let subjects: Vec<&str> = found.iter().map(Certificate::subject).collect();
    assert!(subjects.contains(&"CN=Elsewhere CA") && subjects.len() == 3, "{subjects:?}");

    other.kill();
    let fresh = Pump { key: SoftSigner::generate(P256).unwrap(), ..pump };
    let (status, head, _) = fresh.ask(&lab, "plain/simpleenroll", "CN=pump-3");
    assert_eq!((status, code(&head)), (503, "est.upstream.unreachable"), "{head}");
    assert!(head.contains("retry-after: 30"), "{head}");
}

#[test]
fn another_fleet_is_such_a_ca_too() {
    let maker = Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap();
    let above = Lab::new(&maker);
    let out = above.fleet(&["invite", "--name", "pump-3"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lab = Lab::configured(&maker, |dir, config| {
        std::fs::copy(above.path("state/root.pem"), dir.join("above.pem")).unwrap();
        std::fs::write(dir.join("ra.password"), &out.stdout).unwrap();
        format!(
            "{config}\n[[authority.upstream]]\nname = 'above'\nurl = 'https://{}'\nlabel = 'client'\n\
             trust = ['above.pem']\nuser = 'pump-3'\npassword = 'file:ra.password'\n{}",
            above.device,
            profile("site", "above")
                .replace("'1h'", "'2d'")
                .replace(", 'dns:*.plant-7.example'", "")
        )
    });
    let pump = Pump::new(&lab);
    let csr = request::build(&Name::parse("CN=pump-3").unwrap(), &[], &[], &pump.key).unwrap();
    let (status, head, body) = ask(&lab, &pump.identity, "site/simpleenroll", &csr);
    assert_eq!(status, 200, "{head}{}", String::from_utf8_lossy(&body));
    let issued = est::decode_enrolled(est::ENROLLED_TYPE, &body, pump.key.spki_der()).unwrap();
    assert_eq!(above.ocsp_status(&issued.serial()), "good", "recorded there");
    // Its invitation is used up: what it says comes through.
    let fresh = Pump { key: SoftSigner::generate(P256).unwrap(), ..pump };
    let csr = request::build(&Name::parse("CN=pump-3").unwrap(), &[], &[], &fresh.key).unwrap();
    let (status, head, body) = ask(&lab, &fresh.identity, "site/simpleenroll", &csr);
    assert_eq!((status, code(&head)), (403, "est.upstream.refused"));
    assert!(String::from_utf8_lossy(&body).contains("used for another key"));
}

#[test]
fn two_other_cas_may_give_the_same_serial_number() {
    let (peer, mut others) = (BouncyCastle::new(), Vec::new());
    let maker = Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap();
    let lab = Lab::configured(&maker, |dir, config| {
        std::fs::write(dir.join("ra.password"), "open sesame\n").unwrap();
        let more = ["north", "south"].map(|name| {
            // Each counts from the same number.
            let folder = dir.join(name);
            std::fs::create_dir(&folder).unwrap();
            let ca = peer.authority(&folder);
            let upstream = format!(
                "[[authority.upstream]]\nname = '{name}-ca'\nurl = '{}'\ntrust = ['{name}/ca.pem']\n\
                 user = 'ra'\npassword = 'file:ra.password'\n",
                ca.est
            );
            others.push(ca);
            upstream + &profile(name, &format!("{name}-ca"))
        });
        format!("{config}\n{}", more.concat())
    });
    let got = ["north", "south"].map(|path| {
        let pump = Pump::new(&lab);
        let (status, head, body) = pump.ask(&lab, &format!("{path}/simpleenroll"), "CN=pump-3");
        assert_eq!(status, 200, "{path}: {head}{}", String::from_utf8_lossy(&body));
        let issued = est::decode_enrolled(est::ENROLLED_TYPE, &body, pump.key.spki_der()).unwrap();
        let mine = write_pem(&lab.path(&format!("held-{path}")), &[&issued], &pump.key);
        (issued, Pump { identity: mine, key: SoftSigner::generate(P256).unwrap() })
    });
    let [(first, north), (second, south)] = got;
    assert_eq!((first.serial(), first.issuer()), (second.serial(), second.issuer()));

    let serial = first.serial();
    let out = lab.fleet(&["revoke-certificate", "--serial", &serial]);
    let words = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && words.contains("`north-ca`, `south-ca`"), "{words}");
    let out = lab.fleet(&["revoke-certificate", "--serial", &serial, "--issuer", "south-ca"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // Each is known by its own certificate.
    let (status, head, _) = south.ask(&lab, "south/simplereenroll", "CN=pump-3");
    assert_eq!((status, code(&head)), (403, "attest.certificate.revoked"));
    assert_eq!(north.ask(&lab, "north/simplereenroll", "CN=pump-3").0, 200);
}

#[tokio::test]
async fn a_device_gets_it_only_while_the_verdict_is_good() {
    let swtpm = Swtpm::manufactured();
    let roots: String = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
        .map(|name| std::fs::read_to_string(swtpm.dir.path().join(name)).unwrap())
        .concat();
    let (peer, mut other) = (BouncyCastle::new(), None);
    let lab = Lab::configured(&roots, |dir, config| {
        let ca = peer.authority(dir);
        std::fs::write(dir.join("ra.password"), "open sesame\n").unwrap();
        let text = format!(
            "{config}\n[[authority.upstream]]\nname = 'elsewhere'\nurl = '{}'\ntrust = ['ca.pem']\n\
             user = 'ra'\npassword = 'file:ra.password'\n\
             [[authority.profile]]\nname = 'device'\nkind = 'device'\nissuing = 'elsewhere'\n\
             lifetime = '1h'\n\
             [[authority.upstream]]\nname = 'late-ca'\nurl = '{}'\nlabel = 'late'\ntrust = ['ca.pem']\n\
             user = 'ra'\npassword = 'file:ra.password'\n\
             [[authority.profile]]\nname = 'late'\nkind = 'device'\nissuing = 'late-ca'\n\
             lifetime = '1h'\n",
            ca.est, ca.est
        );
        other = Some(ca);
        text
    });
    let mut device = Device::new(&swtpm, &lab, "gateway-7");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let Err((status, refused, _)) = device.enroll(&lab, &id, "ldevid-1").await else { panic!() };
    assert_eq!((status, refused.as_str()), (403, "est.verdict.not-affirming"));
    device.attest(&lab, &device.maker_identity()).await.unwrap();
    let ldevid = device.enroll(&lab, &id, "ldevid-1").await.unwrap();
    assert_eq!(ldevid.certificate.issuer(), "CN=Elsewhere CA");
    let local = device.local_identity(&ldevid);
    assert_eq!(device.attest(&lab, &local).await.unwrap()["tier"], "affirming");
    device.renew(&lab, &ldevid).await.unwrap();

    // While the other CA signs, an operator decides otherwise: it is recorded, revoked and told.
    let csr = device.attested_request(&id, "ldevid-2");
    let maker = device.maker_identity();
    let path = format!("/api/v1/devices/{id}/override");
    let asked = device.est(&lab, &maker, "late/simpleenroll", "ldevid-2", csr);
    let denied = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let body = r#"{"effect":"deny","reason":"stolen","seconds":600}"#;
        lab.api(&lab.operator_token(), &["--data-binary", body], &path)
    };
    let (refused, (status, shown)) = tokio::join!(asked, denied);
    assert_eq!(status, 200, "{shown}");
    let Err((status, refused, _)) = refused else { panic!("it was handed out") };
    assert_eq!((status, refused.as_str()), (403, "est.override.denied"));
    let told = lab.get("/api/v1/events?after=0&limit=1000");
    let about = |code: &str| {
        let events = told["events"].as_array().unwrap().iter();
        let mut of = events.filter(|it| it["code"] == code && it.to_string().contains("late-ca"));
        of.next_back().map(|it| it["message"].as_str().unwrap().to_owned())
    };
    let words = about("cert.refused").unwrap();
    assert!(words.contains("signed a certificate") && words.contains("not handed out"), "{words}");
    assert!(about("cert.revoked-here").unwrap().contains("have the CA `late-ca` revoke"));
    assert_eq!(lab.api(&lab.operator_token(), &["-X", "DELETE"], &path).0, 200);
    device.attest(&lab, &maker).await.unwrap();
    let ldevid = device.enroll(&lab, &id, "ldevid-1").await.unwrap();
    let local = device.local_identity(&ldevid);
    device.foreign_code = 1;
    assert_eq!(device.attest(&lab, &local).await.unwrap()["tier"], "contraindicated");
    let revoked = device.attest(&lab, &local).await.unwrap_err();
    assert!(revoked.starts_with("attest.certificate.revoked"), "{revoked}");
    assert!(lab.codes().contains(&"cert.revoked-here".to_owned()));
    drop(other);
}
