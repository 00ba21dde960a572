//! A device's own audit log, signed by a key of its TPM, as a fleet takes it over: each entry once,
//! whoever is killed in between, and nothing that was put together differently.
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

use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use support::{Lab, until};
use tempfile::TempDir;
use touchstone_audit::{Code, Event, Lines, Log, Notary, OwnLog, Page, Tail};
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Attesting, Element, ElementSigner, KeyAlgorithm, KeySpec, KeyUse};
use touchstone_evidence::endorse::log_binding;
use touchstone_peers::Swtpm;
use tpm_device::{Answer, Device, request};

fn scene() -> (Swtpm, Lab, Device) {
    let swtpm = Swtpm::manufactured();
    let roots: String = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]
        .map(|name| std::fs::read_to_string(swtpm.dir.path().join(name)).unwrap())
        .concat();
    let lab = Lab::new(&roots);
    let device = Device::new(&swtpm, &lab, "gateway-7");
    (swtpm, lab, device)
}

/// The device's log.
struct Own {
    folder: TempDir,
    log: Log,
    notary: Notary,
    by: &'static str,
}

impl Own {
    fn new(device: &Device, name: &str) -> Self {
        let mut tpm = device.tpm.lock().unwrap();
        if tpm.public_key("audit").unwrap().is_none() {
            tpm.create_key("audit", &KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256)).unwrap();
        }
        drop(tpm);
        let signer = ElementSigner::new(Arc::clone(&device.tpm), "audit").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(&folder.path().join("audit.jsonl"), Arc::new(AwsLc), 1).unwrap();
        let notary = Notary::new(&AwsLc, name, Arc::new(signer)).unwrap();
        Self { folder, log, notary, by: "lak" }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn happens(&mut self, code: Code, what: &str) {
        let event = Event::new(code, "", "device:x").with("why", what).with("event", "77");
        self.log.append(1_700_000_000, &event).unwrap();
    }

    fn page(&mut self, device: &Device, after: u64) -> Page {
        self.log.sign(2, &self.notary).unwrap();
        let last = self.log.head().seq;
        let entries = Tail::after(&self.path(), Arc::new(AwsLc), after).next(last, 999, 1 << 20);
        let lines = entries.unwrap().iter().map(|entry| entry.line() + "\n").collect::<String>();
        let binding = log_binding(&AwsLc, self.notary.key().name());
        let mut tpm = device.tpm.lock().unwrap();
        let public = tpm.public_key("audit").unwrap().unwrap().native;
        let certified = tpm.certify("audit", self.by, &binding).unwrap();
        Page {
            key: self.notary.key().to_string(),
            last,
            public,
            attest: certified.attest,
            signature: certified.signature,
            lines: lines.into_bytes(),
        }
    }
}

async fn send(lab: &Lab, device: &Device, page: &Page) -> Answer {
    let identity = device.maker_identity();
    request(lab, &identity, "POST", "/v1/device/log", &[], page.encode()).await
}

async fn taken(lab: &Lab, device: &Device) -> (String, u64) {
    let identity = device.maker_identity();
    let answer = request(lab, &identity, "GET", "/v1/device/log", &[], Vec::new()).await;
    assert_eq!(answer.0, 200);
    place(&answer)
}

fn place(answer: &Answer) -> (String, u64) {
    let told: Value = serde_json::from_slice(&answer.2).unwrap();
    assert_eq!(told["schema"], "touchstone.device.log/1");
    (told["log"].as_str().unwrap().to_owned(), told["acknowledged"].as_u64().unwrap())
}

fn refused(answer: &Answer) -> (u16, String) {
    let told: Value = serde_json::from_slice(&answer.2).unwrap();
    (answer.0, told["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_a_device_logged_reaches_the_fleets_log_once_whoever_is_killed() {
    let (_swtpm, mut lab, device) = scene();
    device.onboard(&lab).await.unwrap();
    let mut own = Own::new(&device, "gateway-7/audit/1");
    assert_eq!(taken(&lab, &device).await, (String::new(), 0));
    own.happens(Code::CodeChanged, "patched\u{1b}[2J");
    own.happens(Code::ProcessStarted, "/bin/new");
    let first = own.page(&device, 0);
    assert_eq!(place(&send(&lab, &device, &first).await), ("gateway-7/audit/1".to_owned(), 2));
    lab.kill_and_restart();
    let no = refused(&send(&lab, &device, &first).await);
    assert_eq!(no, (409, "device.log.meanwhile".to_owned()), "it has that already");
    let (_, after) = taken(&lab, &device).await;
    assert_eq!(after, 2, "acknowledged is durable");
    own.happens(Code::ConfigChanged, "sshd");
    let second = own.page(&device, after);
    assert_eq!(place(&send(&lab, &device, &second).await).1, 4);

    let log = until("the audit log", || {
        let log = std::fs::read_to_string(lab.path("state/audit.jsonl")).unwrap();
        log.contains("sshd").then_some(log)
    });
    touchstone_audit::verify(log.as_bytes(), &AwsLc, &touchstone_audit::Known::default()).unwrap();
    let of_device: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| entry["detail"]["origin"] == "device")
        .collect();
    let told: Vec<_> = of_device
        .iter()
        .map(|it| (it["code"].as_str().unwrap(), it["detail"]["device_seq"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("code.changed", "1"), ("process.started", "2"), ("config.changed", "4")]);
    let one = &of_device[0];
    assert_eq!(
        (one["severity"].as_str(), &one["detail"]["its_event"]),
        (Some("critical"), &"77".into())
    );
    assert_eq!(one["detail"]["device_time"], "1700000000");
}

#[tokio::test]
async fn a_log_that_does_not_follow_what_was_taken_is_refused_and_that_is_an_event() {
    let (_swtpm, lab, device) = scene();
    device.onboard(&lab).await.unwrap();
    let mut own = Own::new(&device, "gateway-7/audit/1");
    own.happens(Code::CodeChanged, "one");
    own.happens(Code::CodeChanged, "two");
    send(&lab, &device, &own.page(&device, 0)).await;

    // The same name and key, another past: a disk that was rolled back.
    let mut fork = Own::new(&device, "gateway-7/audit/1");
    for what in ["one", "another", "more"] {
        fork.happens(Code::CodeChanged, what);
    }
    let no = refused(&send(&lab, &device, &fork.page(&device, 2)).await);
    assert_eq!(no, (409, "audit.chain.previous".to_owned()));
    let short = Own::new(&device, "gateway-7/audit/1").page(&device, 0);
    let short = Page { last: 0, lines: Vec::new(), ..short };
    let no = refused(&send(&lab, &device, &short).await);
    assert_eq!(no, (409, "audit.chain.cut".to_owned()));
    let refused = lab.codes().iter().filter(|code| *code == "device.log.refused").count();
    assert_eq!(refused, 1, "told once for a while");

    // A key that the TPM does not vouch for, by whomever it was certified.
    let mut forged = own.page(&device, 2);
    forged.signature[20] ^= 1;
    assert_eq!(send(&lab, &device, &forged).await.0, 400);
    let mut other = own.page(&device, 2);
    other.key = fork_key();
    assert_eq!(send(&lab, &device, &other).await.0, 400);
    assert_eq!(taken(&lab, &device).await.1, 2, "nothing of all that was taken");

    // What the device let go is told as missing, and a new log as a new one.
    own.happens(Code::CodeChanged, "gone");
    own.log.begin_part(3).unwrap();
    own.log.prune(3).unwrap();
    own.happens(Code::CodeChanged, "kept");
    let answer = send(&lab, &device, &own.page(&device, 2)).await;
    assert_eq!(answer.0, 200, "{}", String::from_utf8_lossy(&answer.2));
    let mut anew = Own::new(&device, "gateway-7/audit/2");
    anew.happens(Code::AuditRecovered, "broken");
    let answer = send(&lab, &device, &anew.page(&device, 0)).await;
    assert_eq!(place(&answer), ("gateway-7/audit/2".to_owned(), 1));
    let codes = lab.codes();
    let of = |code: &str| codes.iter().filter(|it| *it == code).count();
    assert_eq!((of("device.log.gap"), of("device.log.replaced"), of("device.told")), (1, 1, 2));
}

/// The text of a key that no TPM has.
fn fork_key() -> String {
    use touchstone_crypto::Signer;
    let key = touchstone_crypto_awslc::SoftSigner::generate(support::P256).unwrap();
    let algorithm = key.algorithm();
    let name = "gateway-7/audit/1";
    touchstone_audit::LogKey::new(&AwsLc, name, algorithm, key.spki_der()).unwrap().to_string()
}

/// A checkpoint with its certificate and its own log.
fn checkpoint(lab: &Lab, name: &str) -> touchstone_tls::Identity {
    let issue = ["issue-certificate", "--kind", "checkpoint", "--name", name, "--out-dir", "out"];
    assert!(lab.fleet(&issue).status.success());
    let read = |ending: &str| std::fs::read(lab.path(&format!("out/{name}.{ending}"))).unwrap();
    touchstone_tls::Identity::from_pem(&read("pem"), &read("key")).unwrap()
}

#[tokio::test]
async fn what_a_checkpoint_logged_reaches_the_fleets_log_about_the_device_whose_flow_it_was() {
    let (_swtpm, lab, device) = scene();
    let id = device.onboard(&lab).await.unwrap()["device"].as_str().unwrap().to_owned();
    let (edge, other) = (checkpoint(&lab, "edge-1"), checkpoint(&lab, "edge-2"));
    let key = || Arc::new(touchstone_crypto_awslc::SoftSigner::generate(support::P256).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut log = OwnLog::open(folder.path(), Arc::new(AwsLc), key(), "edge-1", 5).unwrap();
    let about = format!("device:{id}");
    for (code, subject) in [
        (Code::FlowAdmitted, about.as_str()),
        (Code::FlowCut, &about),
        (Code::FlowRefused, "checkpoint"),
        (Code::PolicyLoaded, "policy"),
    ] {
        let event = Event::new(code, "", subject).with("why", "a reason").with("route", "broker:1");
        log.write(6, &[(6, event)]).unwrap();
    }
    let page = |log: &mut OwnLog, name: &str, after| {
        let Lines { key, last, lines } = log.after(7, name, after).unwrap().unwrap();
        Page { key, last, public: vec![], attest: vec![], signature: vec![], lines }.encode()
    };
    let path = "/v1/checkpoint/log";
    let first = page(&mut log, "", 0);
    let answer = request(&lab, &edge, "POST", path, &[], first.clone()).await;
    assert_eq!(place(&answer).1, 4, "up to the signed head");
    let again = refused(&request(&lab, &edge, "POST", path, &[], first.clone()).await);
    assert_eq!(again, (409, "device.log.meanwhile".to_owned()));
    let made = device.maker_identity();
    let no = request(&lab, &made, "POST", path, &[], first.clone()).await;
    assert_eq!(refused(&no), (403, "checkpoint.certificate".to_owned()), "not for devices");
    let place_of_other = request(&lab, &other, "GET", path, &[], Vec::new()).await;
    assert_eq!(place(&place_of_other), (String::new(), 0), "each checkpoint has its own place");

    let told = lab.get("/api/v1/events?after=0&limit=1000");
    let told: Vec<_> = told["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["detail"]["origin"] == "checkpoint")
        .map(|it| (it["code"].as_str().unwrap().to_owned(), it["subject"].clone()))
        .collect();
    let edge_1 = "checkpoint:CN=edge-1";
    let expected = [
        ("flow.admitted", id.as_str()),
        ("flow.cut", &id),
        ("flow.refused", edge_1),
        ("device.told", edge_1),
    ];
    assert_eq!(told, expected.map(|(code, of)| (code.to_owned(), Value::from(of))));

    // Somebody who has the checkpoint's certificate and rewrites its log.
    let mut forged = page(&mut log, "", 0);
    let at = forged.windows(8).position(|it| it == b"a reason").unwrap();
    forged[at] = b'x';
    let no = request(&lab, &other, "POST", path, &[], forged).await;
    assert_eq!(
        refused(&no),
        (409, "audit.line.changed".to_owned()),
        "{}",
        String::from_utf8_lossy(&no.2)
    );
}
