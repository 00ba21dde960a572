//! Agent and fleet as they are shipped: evidence travels in a token, first of the maker's key, then of
//! the fleet's. The agent needs root, as ever: it confines its other half.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use touchstone_certs::Name;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_element_tpm2::{Tpm, manufacture};
use touchstone_peers::{Swtpm, tool};
use touchstone_system::process::{Launch, Process};
use touchstone_system::programs;

const LIMIT: Duration = Duration::from_mins(1);

const POLICY: &str = r#"policy gateway version 1 schema 1

control onboarded {
  title    "The device is known"
  severity critical
  require  device.onboarded
  else     instance-identity contraindicated
}
"#;

const FLEET: &str = r#"
state_dir = "HERE/state"
[device]
listen = "127.0.0.1:0"
names = ["fleet.test"]
[console]
listen = "127.0.0.1:0"
[ocsp]
listen = "127.0.0.1:0"
[trust]
endorsement_roots = ["HERE/endorsement-roots.pem"]
device_roots = ["HERE/device-roots.pem"]
reference_signers = ["HERE/device-roots.pem"]
policy = "HERE/policy.txt"
[appraisal]
interval = "1s"
max_age = "20s"
[[operator]]
name = "noc"
role = "viewer"
token = "file:HERE/viewer.token"
"#;

/// A device out of its maker's factory, and the folder that it and its fleet live in.
struct Scene {
    folder: TempDir,
    tpm: Swtpm,
}

impl Scene {
    fn new() -> Self {
        let (folder, tpm) = (tempfile::tempdir().unwrap(), Swtpm::manufactured());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let named = |kind, name| {
            Template::new(kind, Name::common_name(name).unwrap(), now - 60, now + 3600)
        };
        let root = named(Kind::Root, "Maker").self_sign(&AwsLc, &key).unwrap();
        let state = tpm.dir.path().join("maker");
        let mut element = Tpm::connect_tcp(tpm.address().to_string(), state).unwrap();
        manufacture::idevid(&mut element, |public| {
            let issuer = Issuer::new(&root, &key).unwrap();
            let leaf = named(Kind::Device, "serial-1").issue(&AwsLc, &issuer, &public.spki_der);
            Ok::<_, touchstone_element::Error>(leaf.unwrap().der().to_vec())
        })
        .unwrap();
        let scene = Self { folder, tpm };
        let endorsing = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"];
        let endorsing = endorsing.map(|name| scene.tpm.read(name)).concat();
        scene.put("endorsement-roots.pem", &endorsing);
        scene.put("device-roots.pem", root.to_pem().unwrap().as_bytes());
        scene.put("policy.txt", POLICY.as_bytes());
        scene.put("viewer.token", b"0123456789abcdef-viewer\n");
        let here = scene.folder.path().display().to_string();
        scene.put("fleet.toml", FLEET.replace("HERE", &here).as_bytes());
        scene
    }

    fn put(&self, name: &str, octets: &[u8]) {
        std::fs::write(self.at(name), octets).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the fleet: where it serves devices, and where people.
    fn fleet(&self) -> (Process, String, String) {
        let log = self.at("fleet.log");
        let config = self.at("fleet.toml");
        let mut fleet = Launch::new("fleet", programs().unwrap().join("touchstone-fleet"), &log)
            .arg("--config")
            .arg(config)
            .start()
            .unwrap();
        let mut ready = Value::Null;
        fleet
            .wait_until("ready", LIMIT, |fleet| {
                let said = fleet.log()?;
                let line = said.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
                ready = line.unwrap_or_default();
                Ok(ready["device"].is_string())
            })
            .unwrap();
        let at = |name: &str| ready[name].as_str().unwrap().to_owned();
        (fleet, at("device"), at("console"))
    }

    fn agent(&self, fleet: &str, envelope: &str) -> Process {
        self.put("event-log", &event_log());
        self.put("ima-log", b"");
        let at = self.folder.path().display();
        let config = format!(
            r#"state_dir = "{at}/agent"
[fleet]
address = "{fleet}"
name = "fleet.test"
roots = "{at}/state/root.pem"
[element]
use = "tpm-tcp:{}"
[collect]
event_log = "{at}/event-log"
ima_log = "{at}/ima-log"
watch = []
scope = "watched"
envelope = "{envelope}"
interval = "1s"
[network]
user = "65534:65534"
"#,
            self.tpm.address()
        );
        self.put("agent.toml", config.as_bytes());
        let program = programs().unwrap().join("touchstone-agent");
        let launch = Launch::new("agent", program, self.at("agent.log"));
        launch.arg("--config").arg(self.at("agent.toml")).start().unwrap()
    }
}

/// Of a machine that measured nothing: only what banks there are (PFP §10.4.5.1).
fn event_log() -> Vec<u8> {
    let mut id = b"Spec ID Event03\0".to_vec();
    id.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    id.extend(1u32.to_le_bytes());
    id.extend([0x0B, 0, 32, 0, 0]);
    let len = u32::try_from(id.len()).unwrap().to_le_bytes();
    [&[0; 4][..], &3u32.to_le_bytes(), &[0; 20], &len, &id].concat()
}

fn ask(console: &str, path: &str) -> Value {
    let url = format!("http://{console}{path}");
    let token = "Authorization: Bearer 0123456789abcdef-viewer";
    let said = tool(
        "curl",
        Path::new("/"),
        &["-sS", "--noproxy", "*", "--max-time", "10", "-H", token, &url],
    );
    serde_json::from_slice(&said).unwrap_or_default()
}

/// The only device, with what the fleet has of its evidence.
fn device(console: &str) -> Option<(Value, Option<String>)> {
    let id = ask(console, "/api/v1/devices")["devices"][0]["id"].as_str()?.to_owned();
    let device = ask(console, &format!("/api/v1/devices/{id}"))["device"].clone();
    let facts = device["evidence"].as_array()?;
    let envelope = facts.iter().find(|fact| fact["label"] == "Envelope");
    let envelope = envelope.and_then(|fact| fact["value"].as_str()).map(str::to_owned);
    Some((device, envelope))
}

#[test]
fn an_agent_attests_by_tokens_of_the_key_that_its_fleet_sees() {
    let scene = Scene::new();
    let (mut fleet, at, console) = scene.fleet();
    let mut agent = scene.agent(&at, "eat");
    let mut certified = 0;
    agent
        .wait_until("verdict by the fleet's certificate", LIMIT, |_| {
            let Some((device, envelope)) = device(&console) else { return Ok(false) };
            if let Some(envelope) = envelope {
                assert_eq!(envelope, "EAT, signed by the key shown in TLS");
                assert_eq!(device["tier"], "affirming", "{device}");
            }
            // The first verdict is by the maker's key; the ones after the certificate by the fleet's.
            let seen = device["last_seen"].as_u64().unwrap_or_default();
            if device["certificate"]["status"] == "good" && certified == 0 {
                certified = seen;
            }
            Ok(certified > 0 && seen > certified + 1)
        })
        .unwrap();
    let (shown, _) = device(&console).unwrap();
    assert_eq!(shown["tier"], "affirming");
    let log = agent.log().unwrap();
    assert!(log.contains("certificate issued"), "{log}");
    agent.stop().unwrap();

    // The same device, as agents are without a word about it.
    let mut agent = scene.agent(&at, "cmw");
    let bare =
        |_: &mut Process| Ok(device(&console).is_some_and(|(_, is)| is.as_deref() == Some("CMW")));
    agent.wait_until("bare evidence", LIMIT, bare).unwrap();
    agent.stop().unwrap();
    fleet.stop().unwrap();
}
