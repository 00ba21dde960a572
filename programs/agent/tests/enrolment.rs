//! The agent and a fleet, each as it runs: a certificate in answer to a challenge, killed in between, renewed
//! after the fleet was away.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use touchstone_agent::ldevid::{self, Ldevid};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, FOREVER, Name};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_element_tpm2::{Tpm, manufacture};
use touchstone_fleet::state::StateDir;
use touchstone_fleet::trust::Trust;
use touchstone_fleet::{commands, config, run};
use touchstone_peers::Swtpm;

#[path = "enrolment/long_list.rs"]
mod long_list;

const POLICY: &str = r#"policy gateway version 1 schema 1

control onboarded {
  title    "The device is known"
  severity critical
  require  device.onboarded
  else     instance-identity contraindicated
}
"#;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A fleet in this process.
struct Fleet {
    folder: PathBuf,
    at: SocketAddr,
    trust: &'static str,
    running: Option<(run::Running, watch::Sender<bool>)>,
    runtime: Runtime,
}

impl Fleet {
    /// One that believes these `endorsement_roots`, or that wants this proof.
    fn new(folder: &Path, trust: &'static str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let at = ([127, 0, 0, 1], 0).into();
        let mut fleet = Self { folder: folder.to_owned(), at, trust, running: None, runtime };
        fs::write(folder.join("policy.txt"), POLICY).unwrap();
        fleet.start();
        fleet
    }

    /// Starts it, where it was before.
    fn start(&mut self) {
        let text = format!(
            r#"state_dir = "fleet"
[device]
listen = "{}"
names = ["fleet.test"]
[console]
listen = "127.0.0.1:0"
[ocsp]
listen = "127.0.0.1:0"
[trust]
{}
device_roots = ["maker.pem"]
reference_signers = ["maker.pem"]
policy = "policy.txt"
[appraisal]
interval = "1s"
[[authority.profile]]
name = "device"
kind = "device"
lifetime = "90s"
proof = "challenge"
"#,
            self.at, self.trust
        );
        let config = config::read("fleet.toml", &text, &self.folder).unwrap();
        commands::init(&config).unwrap();
        let state = StateDir::open(&config.state_dir).unwrap();
        let trust = Trust::load(&config.trust, &config.tenant).unwrap();
        let (end, stop) = watch::channel(false);
        let running = self.runtime.block_on(run::start(config, trust, &state, stop)).unwrap();
        self.at = running.listening.device;
        self.running = Some((running, end));
    }

    fn stop(&mut self) {
        let (running, end) = self.running.take().unwrap();
        self.runtime.block_on(running.end(&end));
    }
}

/// The agent's program.
struct Agent {
    child: Option<Child>,
    folder: PathBuf,
}

impl Agent {
    /// One with more in its configuration about its element.
    fn configured(tpm: &Swtpm, fleet: &Fleet, element: &str) -> Self {
        let folder = tpm.dir.path().to_owned();
        let config = format!(
            r#"state_dir = "{0}/agent"
[fleet]
address = "{1}"
name = "fleet.test"
roots = "{0}/fleet/root.pem"
[element]
use = "tpm-tcp:{2}"
{element}
[collect]
interval = "2s"
event_log = "{0}/event-log"
watch = []
scope = "watched"
[network]
user = "65534:65534"
"#,
            folder.display(),
            fleet.at,
            tpm.address()
        );
        fs::write(folder.join("agent.toml"), config).unwrap();
        fs::write(folder.join("event-log"), empty_event_log()).unwrap();
        Self { child: None, folder }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    fn start(&mut self) {
        let path = self.folder.join("agent.log");
        let log = fs::File::options().create(true).append(true).open(path).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_touchstone-agent"))
            .arg("--config")
            .arg(self.folder.join("agent.toml"))
            .stdout(std::process::Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// By SIGKILL; the other half ends with it.
    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join("agent").join(name)).ok()
    }

    /// The certificate that is kept.
    fn certificate(&self) -> Option<Certificate> {
        let held: Ldevid = serde_json::from_slice(&self.file("ldevid.json")?).ok()?;
        Some(ldevid::chain(&held).unwrap().remove(0))
    }

    fn until<T>(&self, seconds: u64, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let patience = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            let log = || fs::read_to_string(self.folder.join("agent.log")).unwrap();
            assert!(Instant::now() < patience, "no {what}:\n{}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// A log of a boot in which nothing was measured: its first event says in which form it is written
/// (TCG PC Client Platform Firmware Profile §10.4.5).
fn empty_event_log() -> Vec<u8> {
    let id = [
        &b"Spec ID Event03\0"[..],
        &[0, 0, 0, 0, 0, 2, 0, 2],
        // One bank: SHA-256.
        &[1, 0, 0, 0, 0x0B, 0, 32, 0, 0],
    ]
    .concat();
    let head = [&[0, 0, 0, 0, 3, 0, 0, 0][..], &[0; 20]].concat();
    [&head[..], &u32::try_from(id.len()).unwrap().to_le_bytes(), &id].concat()
}

/// Who makes devices: its CA.
fn maker(tpm: &Swtpm) -> (SoftSigner, Certificate) {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let name = Name::common_name("Device Maker").unwrap();
    let root = Template::new(Kind::Root, name, now() - 60, now() + 86_400);
    let root = root.self_sign(&AwsLc, &key).unwrap();
    fs::write(tpm.dir.path().join("maker.pem"), root.to_pem().unwrap()).unwrap();
    (key, root)
}

/// A TPM with certificates of its maker and of the device's.
fn manufactured() -> Swtpm {
    let tpm = Swtpm::manufactured();
    let (key, root) = maker(&tpm);
    let at = tpm.address().to_string();
    let mut element = Tpm::connect_tcp(at, tpm.dir.path().join("maker")).unwrap();
    manufacture::idevid(&mut element, |public| {
        let issuer = Issuer::new(&root, &key).unwrap();
        let name = Name::common_name("gateway-7").unwrap();
        let leaf = Template::new(Kind::Device, name, now() - 60, now() + 86_400)
            .issue(&AwsLc, &issuer, &public.spki_der)
            .unwrap();
        Ok::<_, touchstone_element::Error>(leaf.der().to_vec())
    })
    .unwrap();
    tpm
}

#[test]
fn an_agent_that_is_killed_gets_its_certificate_and_renews_it_after_its_fleet_was_away() {
    let tpm = manufactured();
    let folder = tpm.dir.path().to_owned();
    let roots = r#"endorsement_roots = ["issuercert.pem", "swtpm-localca-rootca-cert.pem"]"#;
    let mut fleet = Fleet::new(&folder, roots);
    let mut agent = Agent::configured(&tpm, &fleet, "");
    agent.start();

    // Killed as soon as there is a request: it goes on by the same key.
    agent.until(60, "request", || agent.file("request.json").or_else(|| agent.file("ldevid.json")));
    agent.kill();
    agent.start();
    let first = agent.until(60, "certificate", || agent.certificate());
    agent.until(5, "end of the request", || agent.file("request.json").is_none().then_some(()));

    // The fleet goes, and comes back before the renewal is due. What is longer takes a clock that nobody has
    // to wait for: `ldevid/tests.rs`.
    fleet.stop();
    std::thread::sleep(Duration::from_secs(12));
    assert!(agent.child.as_mut().unwrap().try_wait().unwrap().is_none(), "it goes on looking");
    assert_eq!(agent.certificate().unwrap().serial(), first.serial());
    fleet.start();
    let renewed = agent.until(100, "renewal", || {
        agent.certificate().filter(|held| held.serial() != first.serial())
    });
    assert!(now() < first.not_after(), "early");
    assert_eq!(renewed.spki_der(), first.spki_der(), "for the same key");
    agent.until(5, "end of the request", || agent.file("request.json").is_none().then_some(()));
    agent.kill();
    fleet.stop();
}

/// Keys by tpm2-tools in a TPM without any certificate of an endorsement key. What is signed of the IDevID
/// goes into the TPM, the IAK's is what comes back.
fn made(tpm: &Swtpm, iak_is: &str) -> Certificate {
    let (key, root) = maker(tpm);
    let issuer = Issuer::new(&root, &key).unwrap();
    let certify = |kind, spki: &[u8], until| {
        // 2.23.133.1.2: a TPM 2.0.
        let (kind_of_module, serial) = ("2.23.133.1.2".into(), b"0007".to_vec());
        let module = AlternativeName::HardwareModule { kind: kind_of_module, serial };
        let name = Name::common_name("gateway-7").unwrap();
        let template = Template::new(kind, name, now() - 60, until).with_names(vec![module]);
        template.issue(&AwsLc, &issuer, spki).unwrap()
    };
    let idevid = tpm.makers_key("0x81020000", "");
    let idevid = certify(Kind::IDevId, &idevid, FOREVER);
    tpm.keep_certificate("0x1C90000", idevid.der());
    let iak = tpm.makers_key("0x81020001", iak_is);
    certify(Kind::AttestationKey, &iak, now() + 86_400)
}

/// The profile wants a challenge, which endorsement key and attestation key open together.
#[test]
fn an_agent_is_onboarded_and_certified_by_the_iak_of_its_maker() {
    let tpm = Swtpm::blank_tcp();
    let iak = made(&tpm, "|restricted");
    tpm.keep_certificate("0x1C90008", iak.der());
    let mut fleet = Fleet::new(tpm.dir.path(), r#"onboarding = "iak""#);
    let mut agent = Agent::configured(&tpm, &fleet, "");
    agent.start();
    let held = agent.until(60, "certificate", || agent.certificate());
    assert!(held.uris().any(|name| name.starts_with("urn:")), "{:?}", agent.log());
    agent.kill();
    fleet.stop();
}

#[test]
fn an_agent_finds_the_certificate_of_its_iak_in_a_file_and_shows_no_iak_that_signs_anything() {
    let tpm = Swtpm::blank_tcp();
    let iak = made(&tpm, "");
    fs::write(tpm.dir.path().join("iak.pem"), iak.to_pem().unwrap()).unwrap();
    let mut fleet = Fleet::new(tpm.dir.path(), r#"onboarding = "iak""#);
    let file = tpm.dir.path().join("iak.pem");
    let element = format!("iak_certificates = \"{}\"", file.display());
    let mut agent = Agent::configured(&tpm, &fleet, &element);
    agent.start();
    agent.until(60, "refusal", || agent.log().contains("evidence.maker.no-iak").then_some(()));
    assert!(agent.log().contains("element.key.kind"), "{}", agent.log());
    agent.kill();
    fleet.stop();
}
