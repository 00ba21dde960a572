//! A fleet as its own process, in a folder of its own, with everybody's keys.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

pub(crate) const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Somebody with a key and a certificate.
pub(crate) struct Party {
    pub(crate) key: SoftSigner,
    pub(crate) certificate: Certificate,
}

impl Party {
    pub(crate) fn new(kind: Kind, name: &str) -> Self {
        let key = SoftSigner::generate(P256).unwrap();
        let subject = Name::common_name(name).unwrap();
        let certificate = Template::new(kind, subject, now() - 60, now() + 86400)
            .self_sign(&AwsLc, &key)
            .unwrap();
        Self { key, certificate }
    }

    /// A certificate by this CA.
    pub(crate) fn issue(&self, kind: Kind, name: &str, spki: &[u8]) -> Certificate {
        let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
        Template::new(kind, Name::common_name(name).unwrap(), now() - 60, now() + 86400)
            .issue(&AwsLc, &issuer, spki)
            .unwrap()
    }
}

/// A folder with a configuration, and the fleet that runs on it.
pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    pub(crate) maker: Party,
    pub(crate) publisher: Party,
    fleet: Option<Child>,
    /// More environment for the fleet, from its next start on.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) device: String,
    pub(crate) console: String,
    pub(crate) ocsp: String,
}

pub(crate) const POLICY: &str = r#"policy gateway version 1 schema 1

control onboarded {
  title    "The device is known"
  severity critical
  require  device.onboarded
  else     instance-identity contraindicated
}

control code-in-memory {
  title    "All code in memory is of a file"
  severity critical
  require  runtime.foreign-code is empty
  else     executables contraindicated
  do       alert, quarantine
  because  "code that nothing vouches for can do anything"
}
"#;

impl Lab {
    /// A fleet that believes the makers of TPMs in `endorsement_roots`.
    pub(crate) fn new(endorsement_roots: &str) -> Self {
        Self::configured(endorsement_roots, |_, config| config.to_owned())
    }

    /// The same with another configuration, which may name files of the folder.
    pub(crate) fn configured(
        endorsement_roots: &str,
        change: impl FnOnce(&Path, &str) -> String,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let maker = Party::new(Kind::Root, "Device Maker");
        let publisher = Party::new(Kind::CodeSigner, "Publisher");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("endorsement-roots.pem", endorsement_roots);
        write("device-roots.pem", &maker.certificate.to_pem().unwrap());
        write("publisher.pem", &publisher.certificate.to_pem().unwrap());
        write("policy.txt", POLICY);
        write("viewer.token", "0123456789abcdef-viewer\n");
        let config = r#"
state_dir = "state"
[device]
listen = "127.0.0.1:0"
names = ["fleet.test", "127.0.0.1"]
[console]
listen = "127.0.0.1:0"
[ocsp]
listen = "127.0.0.1:0"
[trust]
endorsement_roots = ["endorsement-roots.pem"]
device_roots = ["device-roots.pem"]
reference_signers = ["publisher.pem"]
policy = "policy.txt"
[appraisal]
interval = "1s"
max_age = "20s"
[authority]
certificate_lifetime = "10m"
[[operator]]
name = "noc"
role = "viewer"
token = "file:viewer.token"
"#;
        write("fleet.toml", &change(dir.path(), config));
        let [device, console, ocsp] = [const { String::new() }; 3];
        let mut lab = Self {
            dir,
            maker,
            publisher,
            fleet: None,
            environment: Vec::new(),
            device,
            console,
            ocsp,
        };
        lab.start();
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn fleet(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_touchstone-fleet"))
            .current_dir(self.dir.path())
            .args(["--config", "fleet.toml"])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Starts the fleet and waits until it serves.
    pub(crate) fn start(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("fleet.log"))
            .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_touchstone-fleet"))
            .current_dir(self.dir.path())
            .args(["--config", "fleet.toml"])
            .envs(self.environment.clone())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.fleet = Some(child);
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the fleet does not start:\n{}", self.log()));
        let at = |name: &str| ready[name].as_str().unwrap().to_owned();
        (self.device, self.console, self.ocsp) = (at("device"), at("console"), at("ocsp"));
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("fleet.log")).unwrap()
    }

    /// As a power cut would, and on again.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.start();
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.fleet.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        let mut child = self.fleet.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap()
    }

    pub(crate) fn operator_token(&self) -> String {
        std::fs::read_to_string(self.path("state/operator.token")).unwrap()
    }

    pub(crate) fn roots(&self) -> String {
        self.path("state/root.pem").display().to_string()
    }

    /// Asks the operator API with curl.
    pub(crate) fn api(&self, token: &str, arguments: &[&str], path: &str) -> (u16, Value) {
        let bearer = format!("Authorization: Bearer {token}");
        let url = format!("http://{}{path}", self.console);
        let mut all = vec!["-H", &bearer];
        all.extend(arguments);
        all.push(&url);
        let (status, body) = curl(&all);
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.api(&self.operator_token(), &[], path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What openssl hears about a certificate from the OCSP responder.
    pub(crate) fn ocsp_status(&self, serial: &str) -> String {
        let issuer = self.path("state/issuing.pem").display().to_string();
        let (serial, url) = (format!("0x{serial}"), format!("http://{}/ocsp", self.ocsp));
        let roots = self.roots();
        let output = Command::new("openssl")
            .args(["ocsp", "-issuer", &issuer, "-serial", &serial, "-url", &url])
            .args(["-CAfile", &roots])
            .output()
            .expect("openssl is missing; run cargo xtask test, which installs it");
        let said = String::from_utf8(output.stdout).unwrap();
        let verified = String::from_utf8(output.stderr).unwrap();
        assert!(verified.contains("Response verify OK"), "{said}{verified}");
        let line = said.lines().next().unwrap_or_default();
        line.split(": ").nth(1).unwrap_or_default().trim().to_owned()
    }

    /// The codes of everything that has happened.
    pub(crate) fn codes(&self) -> Vec<String> {
        let list = self.get("/api/v1/events?after=0&limit=1000");
        let events = list["events"].as_array().unwrap();
        events.iter().map(|event| event["code"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the fleet's log:\n{}", self.log());
        }
    }
}

/// Runs a program that has to succeed; its standard output.
pub(crate) fn tool(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| {
        panic!("{program}: {error}; run cargo xtask test, which installs it")
    });
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {words}");
    output.stdout
}

/// Asks with curl: status and body.
pub(crate) fn curl(arguments: &[&str]) -> (u16, Vec<u8>) {
    let mut all = vec!["-s", "-S", "--noproxy", "*", "--max-time", "10", "-w", "\n%{http_code}"];
    all.extend(arguments);
    let mut output = tool("curl", &all);
    let at = output.iter().rposition(|&octet| octet == b'\n').unwrap();
    let status = String::from_utf8(output.split_off(at)).unwrap().trim().parse().unwrap();
    (status, output)
}

/// Waits for something that takes a moment.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(found) = ask() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come");
}

pub(crate) fn write_pem(path: &Path, chain: &[&Certificate], key: &SoftSigner) -> (String, String) {
    let certificates: String = chain.iter().map(|cert| cert.to_pem().unwrap()).collect();
    let (certificate_path, key_path) = (path.with_extension("pem"), path.with_extension("key"));
    std::fs::write(&certificate_path, certificates).unwrap();
    std::fs::write(&key_path, key.to_pkcs8_pem().as_bytes()).unwrap();
    (certificate_path.display().to_string(), key_path.display().to_string())
}

/// Used by some of the rigs only.
pub(crate) fn spki_sha256(signer: &dyn Signer) -> String {
    use touchstone_crypto::{Crypto, HashAlgorithm};
    AwsLc.hash(HashAlgorithm::Sha256, &[signer.spki_der()]).to_hex()
}
