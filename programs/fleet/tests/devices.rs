//! The fleet as devices and checkpoints meet it: a software TPM is onboarded, judged, certified,
//! caught, and healed; the fleet is killed in between.
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

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use support::{Lab, Party, until};
use touchstone_appraise::{VerifierKey, ear};
use touchstone_certs::issue::Kind;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::Swtpm;
use tpm_device::{Device, Token, request};

/// A TPM with a certificate of its maker, and a fleet that believes this maker.
fn scene() -> (Swtpm, Lab) {
    let swtpm = Swtpm::manufactured();
    let lab = Lab::new(&makers(&swtpm));
    (swtpm, lab)
}

/// Where swtpm keeps what a TPM keeps without power.
const STATE: &str = "tpm2-00.permall";

/// The certificates of the makers of its TPM.
fn makers(swtpm: &Swtpm) -> String {
    let roots = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
        .map(|name| std::fs::read_to_string(swtpm.dir.path().join(name)).unwrap());
    roots.concat()
}

fn tier(lab: &Lab, id: &str) -> String {
    let shown = lab.get(&format!("/api/v1/devices/{id}"));
    shown["device"]["tier"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_device_is_onboarded_judged_certified_caught_and_healed() {
    let (swtpm, mut lab) = scene();
    let mut device = Device::new(&swtpm, &lab, "gateway-7");
    let made = device.maker_identity();
    let unknown = device.attest(&lab, &made).await.unwrap_err();
    assert!(unknown.starts_with("attest.device.unknown"), "{unknown}");

    let welcome = device.onboard(&lab).await.unwrap();
    let id = welcome["device"].as_str().unwrap().to_owned();
    lab.kill_and_restart();
    let again = device.onboard(&lab).await.unwrap();
    assert_eq!(again["device"], id.as_str(), "a killed fleet knows whom it has welcomed");
    let Err((status, code, _)) = device.enroll(&lab, &id, "ldevid-1").await else { panic!() };
    assert_eq!((status, code.as_str()), (403, "est.verdict.not-affirming"), "no verdict yet");

    let result = device.attest(&lab, &made).await.unwrap();
    assert_eq!(result["tier"], "affirming", "{result}");
    let (_, der) =
        pem_rfc7468::decode_vec(welcome["verifier_key_pem"].as_str().unwrap().as_bytes()).unwrap();
    let key = VerifierKey::from_spki(&der).unwrap();
    let jwt = result["ear_jwt"].as_str().unwrap();
    let first = ear::verify_jwt(&AwsLc, jwt, std::slice::from_ref(&key)).unwrap();
    assert_eq!((first.device.as_str(), &first.confirmation), (id.as_str(), &None));

    let ldevid = device.enroll(&lab, &id, "ldevid-1").await.unwrap();
    let serial = ldevid.certificate.serial();
    assert_eq!(ldevid.certificate.subject(), format!("CN={id}"), "the fleet names its devices");
    assert_eq!(device.enroll(&lab, &id, "ldevid-1").await.unwrap().certificate.serial(), serial);
    assert_eq!(lab.ocsp_status(&serial), "good");
    let local = device.local_identity(&ldevid);
    let result = device.attest(&lab, &local).await.unwrap();
    let jwt = result["ear_jwt"].as_str().unwrap();
    let bound = ear::verify_jwt(&AwsLc, jwt, &[key]).unwrap();
    let spki = ldevid.certificate.spki_der();
    assert!(bound.confirmation.as_ref().unwrap().matches(&AwsLc, spki));
    device.renew(&lab, &ldevid).await.unwrap();

    device.foreign_code = 1;
    let caught = device.attest(&lab, &local).await.unwrap();
    assert_eq!(caught["tier"], "contraindicated");
    lab.kill_and_restart();
    assert_eq!(lab.ocsp_status(&serial), "revoked");
    let shown = lab.get(&format!("/api/v1/devices/{id}"));
    let control = &shown["device"]["controls"][0];
    assert_eq!(
        (control["name"].as_str(), control["passed"].as_bool()),
        (Some("code-in-memory"), Some(false))
    );
    let revoked = device.attest(&lab, &local).await.unwrap_err();
    assert!(revoked.starts_with("attest.certificate.revoked"), "{revoked}");
    assert_eq!(device.renew(&lab, &ldevid).await.err().unwrap().0, 403);
    assert_eq!(device.enroll(&lab, &id, "ldevid-2").await.err().unwrap().0, 403);

    device.foreign_code = 0;
    device.attest(&lab, &made).await.unwrap();
    assert_eq!(tier(&lab, &id), "affirming");
    let healed = device.enroll(&lab, &id, "ldevid-2").await.unwrap();
    assert_eq!(lab.ocsp_status(&healed.certificate.serial()), "good");
    assert_eq!(lab.ocsp_status(&serial), "revoked");

    let log = until("the audit log", || {
        let log = std::fs::read_to_string(lab.path("state/audit.jsonl")).unwrap();
        (log.matches("\"cert.issued\"").count() >= 5).then_some(log)
    });
    touchstone_audit::verify(log.as_bytes(), &AwsLc, &touchstone_audit::Known::default()).unwrap();
    assert_eq!(log.matches("attest.verdict.changed").count(), 3, "{log}");
    assert_eq!(log.matches("\"device.onboarded\"").count(), 1, "{log}");
}

#[tokio::test]
async fn a_device_shows_only_what_is_new_of_its_ima_list_and_all_of_it_is_judged() {
    let (swtpm, mut lab) = scene();
    let mut device = Device::new(&swtpm, &lab, "gateway-7");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let made = device.maker_identity();
    let list = |lab: &Lab| {
        let shown = lab.get(&format!("/api/v1/devices/{id}")).to_string();
        let (_, rest) = shown.split_once(r#""IMA log","value":""#).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    for path in ["/bin/a", "/bin/b", "/bin/c"] {
        device.measure(path);
    }
    device.attest(&lab, &made).await.unwrap();
    assert_eq!(*device.shown.lock().unwrap(), (0, 3), "nothing was known");

    device.measure("/bin/d");
    // What the fleet acknowledged is durable.
    lab.kill_and_restart();
    let result = device.attest(&lab, &made).await.unwrap();
    assert_eq!(result["tier"], "affirming", "{result}");
    assert_eq!(*device.shown.lock().unwrap(), (3, 1));
    assert_eq!(list(&lab), "4 entries", "all of it is judged");
    device.attest(&lab, &made).await.unwrap();
    assert_eq!(*device.shown.lock().unwrap(), (4, 0));

    // A program that ran is taken out of the list, and another put in its place.
    device.measure("/bin/e");
    device.list.pop();
    device.list.push(device.list[0].clone());
    let result = device.attest(&lab, &made).await.unwrap();
    assert_eq!(result["tier"], "contraindicated", "{result}");
    let shown = lab.get(&format!("/api/v1/devices/{id}")).to_string();
    assert!(shown.contains("measure.ima.rewritten"), "{shown}");
    let told = lab.get("/api/v1/events?after=0&limit=1000");
    let told = told["events"].as_array().unwrap().iter();
    let refused: Vec<_> = told.filter(|it| it["code"] == "attest.evidence.refused").collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["detail"]["reason_code"], "measure.ima.rewritten");
}

#[tokio::test]
async fn a_device_whose_tpm_has_another_bank_attests_with_that() {
    let swtpm = Swtpm::with_bank("sha384");
    let lab = Lab::configured(&makers(&swtpm), |_, config| {
        config.replace("[appraisal]", "[appraisal]\nbank = \"sha384\"")
    });
    let mut device = Device::new(&swtpm, &lab, "gateway-7");
    device.bank = HashAlgorithm::Sha384;
    device.onboard(&lab).await.unwrap();
    let made = device.maker_identity();
    device.measure("/bin/a");
    device.attest(&lab, &made).await.unwrap();
    device.measure("/bin/b");
    let result = device.attest(&lab, &made).await.unwrap();
    assert_eq!(result["tier"], "affirming", "{result}");
    assert_eq!(*device.shown.lock().unwrap(), (1, 1));
}

/// The TPM counts fewer resets than it did, as one does whose state was copied and put back.
#[tokio::test]
async fn a_tpm_that_was_put_back_is_contraindicated_over_a_restart_of_the_fleet() {
    let (mut swtpm, mut lab) = scene();
    let mut device = Device::new(&swtpm, &lab, "gateway-7");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let made = device.maker_identity();
    device.measure("/bin/a");
    assert_eq!(device.attest(&lab, &made).await.unwrap()["tier"], "affirming");
    swtpm.kill();
    let snapshot = swtpm.read(STATE);
    for _ in 0..2 {
        device.reboot(&mut swtpm);
        let result = device.attest(&lab, &made).await.unwrap();
        assert_eq!(result["tier"], "affirming", "{result}");
    }
    lab.kill_and_restart();
    swtpm.kill();
    swtpm.write(STATE, &snapshot);
    device.reboot(&mut swtpm);
    let result = device.attest(&lab, &made).await.unwrap();
    assert_eq!(result["tier"], "contraindicated", "{result}");
    let shown = lab.get(&format!("/api/v1/devices/{id}")).to_string();
    assert!(shown.contains("evidence.clock.reset-count"), "{shown}");
}

#[tokio::test]
async fn an_endorsement_by_an_unknown_maker_is_refused_and_told() {
    let swtpm = Swtpm::manufactured();
    let lab = Lab::new(&Party::new(Kind::Root, "Somebody Else").certificate.to_pem().unwrap());
    let device = Device::new(&swtpm, &lab, "gateway-8");
    device.onboard(&lab).await.unwrap_err();
    assert!(lab.codes().contains(&"device.refused".to_owned()));
    assert_eq!(lab.get("/api/v1/devices")["devices"], serde_json::json!([]));
}

#[tokio::test]
async fn an_activation_that_is_replayed_is_refused() {
    let (swtpm, lab) = scene();
    let device = Device::new(&swtpm, &lab, "gateway-8");
    let mut recorded = Vec::new();
    let first = device.onboard_answering(&lab, |opened| {
        recorded.clone_from(&opened);
        opened
    });
    first.await.unwrap();
    let said = device.onboard_answering(&lab, |_| recorded.clone()).await.unwrap_err();
    assert!(said.starts_with("enroll.credential.wrong"), "{said}");
    device.onboard(&lab).await.unwrap();
}

#[tokio::test]
async fn a_key_that_the_tpm_does_not_vouch_for_gets_no_certificate() {
    let (swtpm, lab) = scene();
    let device = Device::new(&swtpm, &lab, "gateway-9");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let made = device.maker_identity();
    device.attest(&lab, &made).await.unwrap();
    let other = device.attested_request("dev-somebody-else", "ldevid");
    let refused = device.est(&lab, &made, "simpleenroll", "ldevid", other).await.err().unwrap();
    assert_eq!((refused.0, refused.1.as_str()), (403, "evidence.attest.not-fresh"));
    let bare = {
        let signer = touchstone_element::ElementSigner::new(device.tpm.clone(), "ldevid").unwrap();
        let name = touchstone_certs::Name::common_name("x").unwrap();
        touchstone_certs::request::build(&name, &[], &[], &signer).unwrap()
    };
    let refused = device.est(&lab, &made, "simpleenroll", "ldevid", bare).await.err().unwrap();
    assert_eq!((refused.0, refused.1.as_str()), (403, "enroll.attestation.none"));
    let mine = touchstone_crypto_awslc::SoftSigner::generate(support::P256).unwrap();
    let another = device.misattested_request(&id, &mine);
    let refused = device.est(&lab, &made, "simpleenroll", "ldevid", another).await.err().unwrap();
    assert_eq!((refused.0, refused.1.as_str()), (403, "est.key.other"));
    let mut flipped = device.attested_request(&id, "ldevid");
    *flipped.last_mut().unwrap() ^= 1;
    let refused = device.est(&lab, &made, "simpleenroll", "ldevid", flipped).await.err().unwrap();
    assert_eq!((refused.0, refused.1.as_str()), (400, "est.request.signature"));
    device.enroll(&lab, &id, "ldevid").await.unwrap();
}

#[tokio::test]
async fn a_device_fetches_its_orders_and_reports_once() {
    let (swtpm, lab) = scene();
    let device = Device::new(&swtpm, &lab, "gateway-10");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let made = device.maker_identity();
    let manifest = touchstone_update::Manifest::new(&AwsLc, "meter", 2, b"new", "").unwrap();
    let signer: &[(_, &dyn touchstone_crypto::Signer)] =
        &[(&lab.publisher.certificate, &lab.publisher.key)];
    let envelope =
        touchstone_update::seal(&AwsLc, &manifest, b"new", signer, support::now()).unwrap();
    let file = lab.path("update.cms");
    std::fs::write(&file, &envelope).unwrap();
    let body = format!("@{}", file.display());
    let token = lab.operator_token();
    assert_eq!(lab.api(&token, &["--data-binary", &body], "/api/v1/updates").0, 200);

    let (_, _, body) = request(&lab, &made, "GET", "/v1/device/orders?after=0", &[], vec![]).await;
    let orders: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let order = &orders["orders"][0];
    let path = order["path"].as_str().unwrap();
    assert_eq!(request(&lab, &made, "GET", path, &[], vec![]).await.2, envelope);
    let report = serde_json::json!({
        "schema": "touchstone.report/1", "order": order["id"], "outcome": "applied",
    });
    let json = [("content-type", "application/json")];
    for _ in 0..2 {
        let body = report.to_string().into_bytes();
        let (status, ..) = request(&lab, &made, "POST", "/v1/device/reports", &json, body).await;
        assert_eq!(status, 200);
    }
    let nonsense = b"{\"order\": -1}".to_vec();
    let (status, _, body) =
        request(&lab, &made, "POST", "/v1/device/reports", &json, nonsense).await;
    assert!(status == 400 && String::from_utf8(body).unwrap().contains("report.malformed"));
    let result = device.attest(&lab, &made).await.unwrap();
    assert_eq!(result["orders"], 0);
    let shown = lab.get(&format!("/api/v1/devices/{id}"));
    assert_eq!(shown["device"]["orders"][0]["outcome"], "applied");
    assert_eq!(lab.codes().iter().filter(|code| *code == "update.applied").count(), 1);
}

#[tokio::test]
async fn a_checkpoint_follows_results_and_revocations_and_others_do_not() {
    let (swtpm, lab) = scene();
    let mut device = Device::new(&swtpm, &lab, "gateway-11");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let made = device.maker_identity();
    device.attest(&lab, &made).await.unwrap();
    let issued = lab.fleet(&[
        "issue-certificate",
        "--kind",
        "checkpoint",
        "--name",
        "edge",
        "--out-dir",
        "out",
    ]);
    assert!(issued.status.success());
    let (status, ..) = request(&lab, &made, "GET", "/v1/results/stream", &[], vec![]).await;
    assert_eq!(status, 403, "the feed is not for devices");

    let (chain, key) = (lab.path("out/edge.pem"), lab.path("out/edge.key"));
    let mut curl = Command::new("curl")
        .args(["-sN", "--noproxy", "*", "--max-time", "20", "--cacert", &lab.roots()])
        .arg("--cert")
        .arg(chain)
        .arg("--key")
        .arg(key)
        .arg(format!("https://{}/v1/results/stream?after=0", lab.device))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut feed = BufReader::new(curl.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let first = feed.next().unwrap();
    assert_eq!(
        (first["kind"].as_str(), first["tier"].as_str()),
        (Some("result"), Some("affirming"))
    );
    assert_eq!(first["device"], id.as_str());
    assert_eq!(feed.next().unwrap()["kind"], "heartbeat");
    let ldevid = device.enroll(&lab, &id, "ldevid").await.unwrap();
    device.foreign_code = 3;
    device.attest(&lab, &made).await.unwrap();
    let mut news = feed.filter(|line| line["kind"] != "heartbeat");
    let revoked = news.next().unwrap();
    assert_eq!(revoked["serial"], ldevid.certificate.serial());
    let caught = news.next().unwrap();
    assert_eq!(
        (caught["tier"].as_str(), &caught["jkt"]),
        (Some("contraindicated"), &revoked["jkt"])
    );
    curl.kill().unwrap();
    curl.wait().unwrap();
}

#[tokio::test]
async fn noise_and_strangers_are_refused_and_the_fleet_goes_on() {
    let (swtpm, lab) = scene();
    let device = Device::new(&swtpm, &lab, "gateway-12");
    let made = device.maker_identity();
    let post = async |body: &[u8]| {
        request(&lab, &made, "POST", "/v1/exchange/attest", &[], body.to_vec()).await.0
    };
    assert_eq!(post(b"").await, 400);
    assert_eq!(post(b"TA\x01\x02\x01 nonsense").await, 400);
    let mut response = b"TA\x01\x02\x03".to_vec();
    response.extend([9; 16]);
    response.extend([0; 4]);
    assert_eq!(post(&response).await, 409, "begin anew: this exchange is not known");
    let url = format!("https://{}/v1/exchange/attest", lab.device);
    let (status, _) = support::curl(&["--cacert", &lab.roots(), "-d", "x", &url]);
    assert_eq!(status, 403, "no certificate");
    device.onboard(&lab).await.unwrap();
    device.attest(&lab, &made).await.unwrap();
}

const ASKS_FOR_MORE: &str = r#"
control kernel {
  title    "The kernel is given no parameters"
  severity medium
  require  boot.command-line == "quiet"
  else     configuration warning
  because  "a parameter can switch off what the kernel measures"
}
"#;

#[tokio::test]
async fn operators_get_the_claims_and_what_is_not_known_is_neither_passed_nor_failed() {
    let (swtpm, mut lab) = scene();
    let policy = support::POLICY;
    std::fs::write(lab.path("policy.txt"), format!("{policy}{ASKS_FOR_MORE}")).unwrap();
    lab.kill_and_restart();
    let device = Device::new(&swtpm, &lab, "gateway-13");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/devices/{id}/claims");
    let token = lab.operator_token();
    let (status, none) = lab.api(&token, &[], &path);
    assert_eq!((status, none["code"].as_str()), (404, Some("api.no-claims")));
    assert_eq!(lab.api("0123456789abcdef-viewer", &[], &path).0, 403, "not for viewers");

    let made = device.maker_identity();
    let before = support::now();
    assert_eq!(device.attest(&lab, &made).await.unwrap()["tier"], "warning");
    lab.kill_and_restart();
    let claims = lab.get(&path);
    let time = |name: &str| claims[name].as_u64().unwrap();
    assert!(before <= time("evidence_at") && time("evidence_at") <= time("appraised_at"));
    assert_eq!(
        (time("expires"), claims["stale"].as_bool()),
        (time("appraised_at") + 20, Some(false))
    );
    assert_eq!(claims["policy"], "gateway/1");
    let said = claims["claims"].as_object().unwrap();
    assert_eq!((&said["element.kind"], &said["agent.version"]), (&"tpm2".into(), &"0.1.0".into()));
    assert!(!said.contains_key("boot.command-line"), "nothing is made up");
    let read = touchstone_appraise::claims::from_json(said, &touchstone_appraise::catalog());
    assert!(read.unwrap().iter().count() > 20);

    let shown = lab.get(&format!("/api/v1/devices/{id}"));
    let outcome = |name: &str| {
        let controls = shown["device"]["controls"].as_array().unwrap().iter();
        let control = controls.into_iter().find(|control| control["name"] == name).unwrap();
        (control["outcome"].as_str().unwrap().to_owned(), control["passed"].as_bool().unwrap())
    };
    assert_eq!(outcome("kernel"), ("unknown".to_owned(), false));
    assert_eq!(outcome("onboarded"), ("pass".to_owned(), true));
    let (status, link) = lab.api(
        &token,
        &["-X", "POST"],
        &format!("/api/v1/console/link?next=/console/devices/{id}"),
    );
    assert_eq!(status, 200, "{link}");
    let jar = lab.path("jar").display().to_string();
    let url = format!("http://{}{}", lab.console, link["path"].as_str().unwrap());
    let (_, html) = support::curl(&["-L", "-c", &jar, "-b", &jar, &url]);
    let html = String::from_utf8(html).unwrap();
    assert!(html.contains(r#"<tr class="unknown">"#) && html.contains("not known"), "{html}");
}

#[tokio::test]
async fn what_held_is_not_known_any_more_when_a_device_falls_silent() {
    let (swtpm, mut lab) = scene();
    let config = std::fs::read_to_string(lab.path("fleet.toml")).unwrap();
    let config = config.replace("max_age = \"20s\"", "max_age = \"2s\"");
    std::fs::write(lab.path("fleet.toml"), config).unwrap();
    lab.kill_and_restart();
    let device = Device::new(&swtpm, &lab, "gateway-14");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    device.attest(&lab, &device.maker_identity()).await.unwrap();
    let control = until("a stale verdict", || {
        let shown = lab.get(&format!("/api/v1/devices/{id}"));
        let control = shown["device"]["controls"][0].clone();
        (shown["device"]["stale"] == true).then_some(control)
    });
    assert_eq!(
        (control["outcome"].as_str(), control["passed"].as_bool()),
        (Some("unknown"), Some(false))
    );
    assert!(control["reason"].as_str().unwrap().starts_with("not shown any more in time; last: "));
    assert_eq!(lab.get(&format!("/api/v1/devices/{id}/claims"))["stale"], true);
}

#[tokio::test]
async fn a_warning_gets_a_short_certificate_that_says_so_and_operators_decide_otherwise() {
    let swtpm = Swtpm::manufactured();
    let roots: String = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
        .map(|name| std::fs::read_to_string(swtpm.dir.path().join(name)).unwrap())
        .concat();
    let lab = Lab::configured(&roots, |folder, config| {
        let policy = format!("{}{ASKS_FOR_MORE}", support::POLICY);
        std::fs::write(folder.join("policy.txt"), policy).unwrap();
        format!("{config}\n[verdict]\nwarning_lifetime = \"2m\"\n")
    });
    let mut device = Device::new(&swtpm, &lab, "gateway-15");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let made = device.maker_identity();
    assert_eq!(device.attest(&lab, &made).await.unwrap()["tier"], "warning");
    let ldevid = device.enroll(&lab, &id, "ldevid-1").await.unwrap();
    let names: Vec<&str> = ldevid.certificate.uris().collect();
    assert!(names.contains(&"urn:touchstone:tier:warning"), "{names:?}");
    assert!(ldevid.certificate.not_after() <= support::now() + 120, "ten minutes are for the good");

    let path = format!("/api/v1/devices/{id}/override");
    let token = lab.operator_token();
    let decide = |token: &str, effect: &str, reason: &str| {
        let body = serde_json::json!({ "effect": effect, "reason": reason, "seconds": 600 });
        lab.api(token, &["--data-binary", &body.to_string()], &path)
    };
    assert_eq!(decide("0123456789abcdef-viewer", "deny", "stolen").0, 403);
    for (effect, reason) in [("deny", ""), ("revoke", "stolen"), ("deny", "two\nlines")] {
        let (status, problem) = decide(&token, effect, reason);
        assert_eq!((status, problem["code"].as_str()), (400, Some("api.override")), "{problem}");
    }
    let (status, shown) = decide(&token, "deny", "stolen, see ticket 4711");
    assert_eq!((status, shown["override"]["in_force"].as_bool()), (200, Some(true)), "{shown}");
    assert_eq!(lab.ocsp_status(&ldevid.certificate.serial()), "revoked");
    let refused = device.enroll(&lab, &id, "ldevid-2").await.err().unwrap();
    assert_eq!((refused.0, refused.1.as_str()), (403, "est.override.denied"));
    assert!(String::from_utf8(refused.2).unwrap().contains("stolen, see ticket 4711"));
    assert_eq!(lab.api(&token, &["-X", "DELETE"], &path).0, 200);
    assert_eq!(lab.api(&token, &["-X", "DELETE"], &path).0, 404, "once");

    device.foreign_code = 1;
    assert_eq!(device.attest(&lab, &made).await.unwrap()["tier"], "contraindicated");
    let refused = device.enroll(&lab, &id, "ldevid-2").await.err().unwrap();
    assert_eq!(refused.1, "est.verdict.not-affirming");
    assert_eq!(decide(&token, "allow", "debugger on site until noon").0, 200);
    let allowed = device.enroll(&lab, &id, "ldevid-2").await.unwrap();
    device.attest(&lab, &made).await.unwrap();
    assert_eq!(lab.ocsp_status(&allowed.certificate.serial()), "good", "nothing is revoked");
    let list = lab.get("/api/v1/overrides");
    assert_eq!(list["overrides"].as_array().unwrap().len(), 2);
    assert_eq!(list["overrides"][0]["operator"], "admin");
    let told = lab.codes().iter().filter(|code| *code == "cert.overridden").count();
    assert_eq!(told, 3, "two decisions, and the end of one");
}

#[tokio::test]
async fn a_key_that_renews_for_a_new_one_counts_until_the_next_renewal() {
    let (swtpm, lab) = scene();
    let device = Device::new(&swtpm, &lab, "gateway-16");
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    device.attest(&lab, &device.maker_identity()).await.unwrap();
    let renewed = async |shown: &tpm_device::Ldevid, key: &str| {
        let (identity, csr) = (device.local_identity(shown), device.attested_request(&id, key));
        device.est(&lab, &identity, "simplereenroll", key, csr).await.unwrap()
    };
    let status = |of: &tpm_device::Ldevid| lab.ocsp_status(&of.certificate.serial());
    let first = device.enroll(&lab, &id, "ldevid-1").await.unwrap();
    let second = renewed(&first, "ldevid-2").await;
    assert_ne!(first.certificate.spki_der(), second.certificate.spki_der());
    // Its answer may not have arrived: the device is known by the one before, and gets it again.
    assert_eq!([&first, &second].map(status), ["good", "good"]);
    device.attest(&lab, &device.local_identity(&first)).await.unwrap();
    let again = renewed(&first, "ldevid-2").await;
    assert_eq!(again.certificate.serial(), second.certificate.serial());

    let third = renewed(&second, "ldevid-3").await;
    assert_eq!([&first, &second, &third].map(status), ["revoked", "good", "good"]);
    let said = lab.api(&lab.operator_token(), &[], &format!("/api/v1/devices/{id}"));
    let shown = &said.1["device"]["certificates"][0];
    assert_eq!(shown["issuer"], "CN=touchstone issuing");
    assert_eq!(shown["upstream"], serde_json::Value::Null);
    // A new key by the IDevID leaves none of those before.
    let fourth = device.enroll(&lab, &id, "ldevid-4").await.unwrap();
    assert_eq!([&second, &third, &fourth].map(status), ["revoked", "revoked", "good"]);
}

/// Evidence in an entity attestation token: of the very key that TLS has shown, and for this nonce.
#[tokio::test]
async fn evidence_in_a_token_counts_if_the_key_shown_in_tls_signed_it() {
    let (swtpm, lab) = scene();
    let mut device = Device::new(&swtpm, &lab, "gateway-17");
    let made = device.maker_identity();
    // Onboarding takes endorsements, which go into no token.
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let fact = || {
        let shown = lab.get(&format!("/api/v1/devices/{id}"));
        let facts = shown["device"]["evidence"].as_array().unwrap().iter();
        let fact = facts.into_iter().find(|fact| fact["label"] == "Envelope").unwrap();
        fact["value"].as_str().unwrap().to_owned()
    };
    device.attest(&lab, &made).await.unwrap();
    assert_eq!(fact(), "CMW");

    // Before there is a certificate of the fleet, the maker's key signs.
    device.token = Some(Token::by("idevid"));
    let result = device.attest(&lab, &made).await.unwrap();
    assert_eq!(result["tier"], "affirming", "{result}");
    assert_eq!(fact(), "EAT, signed by the key shown in TLS");
    let ldevid = device.enroll(&lab, &id, "ldevid-1").await.unwrap();
    let local = device.local_identity(&ldevid);
    device.token = Some(Token::by("ldevid-1"));
    let result = device.attest(&lab, &local).await.unwrap();
    assert_eq!(result["tier"], "affirming", "{result}");

    // The evidence is genuine in each of these; it is refused all the same, and told.
    let changed = |change| Token { key: "idevid".to_owned(), change };
    for (token, code) in [
        (Token::by("ldevid-1"), "evidence.token.signature"),
        (changed(|eat| eat.nonces = vec![vec![0; 32]]), "evidence.eat.not-fresh"),
        (changed(|eat| eat.nonces.push(vec![0; 32])), "evidence.eat.not-fresh"),
        (changed(|eat| eat.expires = Some(1)), "evidence.eat.expired"),
        (changed(|eat| eat.profile = None), "evidence.eat.profile"),
        (changed(|eat| eat.ueid = Some(vec![1; 33])), "evidence.eat.device"),
        (changed(|eat| eat.cmw = None), "evidence.eat.missing"),
    ] {
        device.token = Some(token);
        let refused = device.attest(&lab, &made).await.unwrap();
        assert_eq!(refused["tier"], "contraindicated", "{code}: {refused}");
        let control = lab.get(&format!("/api/v1/devices/{id}"))["device"]["controls"][0].clone();
        assert_eq!(control["name"], "evidence");
        assert!(control["reason"].as_str().unwrap().contains(&format!("({code})")), "{control}");
    }
    device.token = Some(Token::by("idevid"));
    assert_eq!(device.attest(&lab, &made).await.unwrap()["tier"], "affirming");
}
