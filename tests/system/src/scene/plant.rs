//! The plant beside the device: fleet, checkpoint, and the real broker and syslog collector.

use super::factory::{Factory, write};
use crate::peers::{Broker, Collector, Credentials, free_port, is_listening};
use crate::process::{Launch, Process};
use crate::tools::{self, run};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The names in the certificates of the plant's servers.
pub(super) const FLEET_NAME: &str = "fleet.plant.example";
/// The checkpoint's.
pub(super) const CHECKPOINT_NAME: &str = "checkpoint.plant.example";
/// The broker's.
pub(super) const BROKER_NAME: &str = "broker.plant.example";
/// The route by which devices ask the checkpoint for the broker.
pub(super) const BROKER_ROUTE: &str = "broker.plant.example:8883";
const SIEM_NAME: &str = "siem.plant.example";

const READY: Duration = Duration::from_mins(1);

/// Fleet, checkpoint, broker, collector.
pub struct Plant {
    /// Where devices meet the fleet.
    pub fleet: SocketAddr,
    /// The console and the operator API.
    pub console: SocketAddr,
    /// The OCSP responder.
    pub ocsp: SocketAddr,
    /// Where devices meet the checkpoint.
    pub checkpoint: SocketAddr,
    /// The broker.
    pub broker: Broker,
    /// The collector of syslog messages.
    pub collector: Collector,
    /// The fleet's CA certificates: root, and the issuing CA's.
    pub roots: PathBuf,
    /// The issuing CA's certificate alone.
    pub issuer: PathBuf,
    /// The key that signs attestation results.
    pub verifier: PathBuf,
    programs: PathBuf,
    folder: PathBuf,
    fleet_process: Option<Process>,
    checkpoint_process: Process,
    token: String,
}

impl Plant {
    /// Founds the fleet, issues the certificates of everybody, and starts everything.
    pub fn start(
        programs: &Path,
        folder: &Path,
        factory: &Factory,
        endorsement_roots: &str,
        references: &[Vec<u8>],
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let local = || free_port(Ipv4Addr::LOCALHOST);
        let (fleet, console, ocsp) = (local()?, local()?, local()?);
        let config =
            fleet_config(folder, factory, endorsement_roots, references, [fleet, console, ocsp])?;
        let touchstone_fleet = programs.join("touchstone-fleet");
        run(Command::new(&touchstone_fleet).arg("init").arg("--config").arg(&config))?;

        let certificates = folder.join("certificates");
        let issue = |kind: &str, name: &str, host: &str| -> Result<()> {
            run(Command::new(&touchstone_fleet)
                .args(["issue-certificate", "--kind", kind, "--name", name, "--san", host])
                .arg("--config")
                .arg(&config)
                .arg("--out-dir")
                .arg(&certificates))
            .map(drop)
        };
        issue("checkpoint", "checkpoint", CHECKPOINT_NAME)?;
        issue("server", "broker", BROKER_NAME)?;
        issue("server", "siem", SIEM_NAME)?;
        let file = |name: &str| certificates.join(name);
        let roots = file("roots.pem");
        let issuer = issuing_certificate(&file("broker.pem"), &file("issuing.pem"))?;
        let key = run(Command::new(&touchstone_fleet)
            .arg("show-verifier-key")
            .arg("--config")
            .arg(&config))?;
        let verifier = file("verifier.pem");
        write(&verifier, key.as_ref())?;

        let (broker_chain, broker_key) = (file("broker.pem"), file("broker.key"));
        let broker = Broker::start(
            &folder.join("broker"),
            &Credentials { client_roots: &roots, chain: &broker_chain, key: &broker_key },
        )?;
        let (siem_chain, siem_key) = (file("siem.pem"), file("siem.key"));
        let collector = Collector::start(
            &folder.join("siem"),
            &Credentials { client_roots: &roots, chain: &siem_chain, key: &siem_key },
        )?;
        let mut text = std::fs::read_to_string(&config)?;
        writeln!(
            text,
            "\n[syslog]\ntarget = \"{}\"\nserver_name = \"{SIEM_NAME}\"",
            collector.address
        )?;
        write(&config, text.as_bytes())?;

        let fleet_process = start_fleet(programs, folder, console)?;
        let checkpoint = local()?;
        let checkpoint_process =
            start_checkpoint(programs, folder, &certificates, checkpoint, fleet, broker.address)?;
        let token = std::fs::read_to_string(folder.join("fleet-state/operator.token"))
            .context("the operator's token")?;
        Ok(Self {
            fleet,
            console,
            ocsp,
            checkpoint,
            broker,
            collector,
            roots,
            issuer,
            verifier,
            programs: programs.into(),
            folder: folder.into(),
            fleet_process: Some(fleet_process),
            checkpoint_process,
            token: token.trim().to_owned(),
        })
    }

    /// The operator's token: what the console's login wants.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The fleet's audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("fleet-state/audit.jsonl")
    }

    /// What the checkpoint has logged.
    pub fn checkpoint_log(&self) -> Result<String> {
        self.checkpoint_process.log()
    }

    /// Asks the operator API.
    pub fn api(&self, path: &str) -> Result<Value> {
        self.request(path, None)
    }

    /// Posts octets to the operator API.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<Value> {
        let file = self.folder.join("request");
        write(&file, body)?;
        self.request(path, Some(&file))
    }

    fn request(&self, path: &str, body: Option<&Path>) -> Result<Value> {
        let mut curl = Command::new(tools::find("curl", "curl")?);
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "10"])
            .args(["--noproxy", "*", "--header"])
            .arg(format!("Authorization: Bearer {}", self.token));
        if let Some(body) = body {
            curl.arg("--data-binary").arg(format!("@{}", body.display()));
        }
        let said = run(curl.arg(format!("http://{}{path}", self.console)))?;
        Ok(serde_json::from_slice(said.as_ref())?)
    }

    /// The command line of Touchstone, at this fleet.
    pub fn touchstone(&self, args: &[&str]) -> Result<std::process::Output> {
        let token = self.folder.join("fleet-state/operator.token");
        Command::new(self.programs.join("touchstone"))
            .args(args)
            .env("TOUCHSTONE_FLEET", format!("http://{}", self.console))
            .env("TOUCHSTONE_TOKEN", format!("file:{}", token.display()))
            .output()
            .context("cannot start touchstone")
    }

    /// What OpenSSL hears from the fleet's OCSP responder about a certificate: `good`, `revoked`.
    pub fn ocsp_status(&self, serial: &str) -> Result<String> {
        let said = run(Command::new(tools::find("openssl", "openssl")?)
            .args(["ocsp", "-issuer"])
            .arg(&self.issuer)
            .args([
                "-serial",
                &format!("0x{serial}"),
                "-url",
                &format!("http://{}/ocsp", self.ocsp),
            ])
            .args(["-no_cert_verify", "-CAfile"])
            .arg(&self.roots))?;
        let text = String::from_utf8_lossy(said.as_ref()).into_owned();
        let status = text.lines().find_map(|line| line.split_once(": "));
        match status {
            Some((_, status)) => Ok(status.trim().to_owned()),
            None => bail!("openssl understood no OCSP status: {text}"),
        }
    }

    /// Kills the fleet as a power cut would, and starts it again.
    pub fn kill_and_restart_fleet(&mut self) -> Result<()> {
        if let Some(mut fleet) = self.fleet_process.take() {
            fleet.kill()?;
        }
        self.fleet_process = Some(start_fleet(&self.programs, &self.folder, self.console)?);
        Ok(())
    }
}

fn fleet_config(
    folder: &Path,
    factory: &Factory,
    endorsement_roots: &str,
    references: &[Vec<u8>],
    [device, console, ocsp]: [SocketAddr; 3],
) -> Result<PathBuf> {
    write(&folder.join("endorsement-roots.pem"), endorsement_roots.as_bytes())?;
    factory.maker.write_certificate(folder, "device-roots")?;
    factory.publisher.write_certificate(folder, "publisher")?;
    write(&folder.join("gateway.policy"), include_bytes!("../../scene/gateway.policy"))?;
    let mut files = Vec::new();
    for (number, signed) in references.iter().enumerate() {
        let name = format!("references-{number}.cms");
        write(&folder.join(&name), signed)?;
        files.push(format!("\"{name}\""));
    }
    let config = folder.join("fleet.toml");
    let text = format!(
        r#"name = "plant"
state_dir = "fleet-state"

[device]
listen = "{device}"
names = ["{FLEET_NAME}", "127.0.0.1"]

[console]
listen = "{console}"

[ocsp]
listen = "{ocsp}"
url = "http://{ocsp}/ocsp"

[trust]
endorsement_roots = ["endorsement-roots.pem"]
device_roots = ["device-roots.pem"]
reference_signers = ["publisher.pem"]
policy = "gateway.policy"
references = [{}]

[appraisal]
interval = "2s"
max_age = "10s"

[authority]
certificate_lifetime = "90s"
"#,
        files.join(", ")
    );
    write(&config, text.as_bytes())?;
    Ok(config)
}

fn start_fleet(programs: &Path, folder: &Path, console: SocketAddr) -> Result<Process> {
    let mut fleet =
        Launch::new("fleet", programs.join("touchstone-fleet"), folder.join("fleet.log"))
            .arg("--config")
            .arg(folder.join("fleet.toml"))
            .start()?;
    fleet.wait_until("its console", READY, |_| Ok(is_listening(console)))?;
    Ok(fleet)
}

fn start_checkpoint(
    programs: &Path,
    folder: &Path,
    certificates: &Path,
    listen: SocketAddr,
    fleet: SocketAddr,
    broker: SocketAddr,
) -> Result<Process> {
    let status = free_port(Ipv4Addr::LOCALHOST)?;
    let config = folder.join("checkpoint.toml");
    let text = format!(
        r#"listen = "{listen}"
status = "{status}"
certificate = "{0}/checkpoint.pem"
key = "file:{0}/checkpoint.key"
device_roots = "{0}/roots.pem"
verifier = "{0}/verifier.pem"
state_dir = "{1}"
max_age = "10s"

[fleet]
address = "{fleet}"
name = "{FLEET_NAME}"
roots = "{0}/roots.pem"
silence = "3s"

[[route]]
name = "{BROKER_ROUTE}"
to = "{broker}"
"#,
        certificates.display(),
        folder.join("checkpoint-state").display()
    );
    write(&config, text.as_bytes())?;
    let program = programs.join("touchstone-checkpoint");
    let mut checkpoint = Launch::new("checkpoint", program, folder.join("checkpoint.log"))
        .arg("--config")
        .arg(&config)
        .start()?;
    checkpoint.wait_until("its port", READY, |_| Ok(is_listening(listen)))?;
    Ok(checkpoint)
}

/// The issuing CA's certificate stands second in the chain of what it issued.
fn issuing_certificate(chain: &Path, to: &Path) -> Result<PathBuf> {
    let chain = touchstone_certs::Certificate::from_pem(&std::fs::read(chain)?)?;
    let issuing = chain.get(1).context("the chain ends with the leaf")?;
    write(to, issuing.to_pem()?.as_bytes())?;
    Ok(to.into())
}
