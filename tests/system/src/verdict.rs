//! How soon the fleet's verdict follows a write into running code: agent, software TPM and fleet on one
//! machine, made in a folder ([`make`]) and turned here or in a device without a disk ([`Loop`]).
//!
//! The clock of all times is the one since boot: the deed's own, and the one at which the fleet, whose
//! transaction is on the disk by then, says that the verdict has changed.

use crate::peers::free_port;
use crate::scene::factory::{Factory, write};
use crate::scene::gateway;
use crate::tools::{self, run};
use crate::tpm::EndorsementAuthority;
use crate::watching::{Ends, build_victim, since_boot};
use crate::{process, programs};
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What is done to a process, of `victim.c`'s deeds: those that end in code which is not its file's.
pub const DEEDS: [&str; 4] = ["patch", "inject", "own", "other"];

/// Whose time it is.
pub const WORKERS: [&str; 4] = ["TPM", "agent, keys", "agent, network", "fleet"];

const NAME: &str = "fleet.plant.example";
const CONTRAINDICATED: &str = "tier=contraindicated";
const AFFIRMING: &str = "tier=affirming";
/// A verdict comes in milliseconds, or there is something wrong.
const PATIENCE: Duration = Duration::from_mins(1);
/// After a verdict: a new certificate, evidence for it, and rest.
const SETTLES: Duration = Duration::from_millis(1500);

const POLICY: &str = "\
policy verdict version 1 schema 1

control known-instance {
  title    \"The device was onboarded\"
  severity critical
  require  device.onboarded and device.endorsed
  else     instance-identity contraindicated
}

control code-in-memory {
  title    \"Code in memory equals its file\"
  severity critical
  require  runtime.patched-pages is empty
  else     executables contraindicated
  do       alert
}
";

/// Makes a TPM, a fleet that trusts its maker, and the configuration of an agent, all in `folder`, to be
/// turned where `at` is. The fleet listens on these three ports.
pub fn make(folder: &Path, at: &Path, ports: [u16; 3]) -> Result<()> {
    let (programs, factory) = (programs()?, Factory::new()?);
    let authority = tempfile::tempdir()?;
    let authority = EndorsementAuthority::new(authority.path())?;
    gateway::manufacture(folder, "gateway-0001", &authority, &factory)?;
    write(&folder.join("endorsement-roots.pem"), authority.chain_pem()?.as_bytes())?;
    factory.maker.write_certificate(folder, "device-roots")?;
    factory.publisher.write_certificate(folder, "publisher")?;
    write(&folder.join("verdict.policy"), POLICY.as_bytes())?;
    let [device, console, ocsp] = ports;
    let config = folder.join("fleet.toml");
    let text = format!(
        r#"name = "plant"
state_dir = "fleet-state"
[device]
listen = "127.0.0.1:{device}"
names = ["{NAME}"]
[console]
listen = "127.0.0.1:{console}"
[ocsp]
listen = "127.0.0.1:{ocsp}"
url = "http://127.0.0.1:{ocsp}/ocsp"
[trust]
endorsement_roots = ["endorsement-roots.pem"]
device_roots = ["device-roots.pem"]
reference_signers = ["publisher.pem"]
policy = "verdict.policy"
[appraisal]
interval = "2s"
max_age = "10s"
"#
    );
    write(&config, text.as_bytes())?;
    let fleet = programs.join("touchstone-fleet");
    let asked =
        |args: &[&str]| run(Command::new(&fleet).args(args).arg("--config").arg(&config)).map(drop);
    asked(&["init"])?;
    let folder_of = folder.join("certificates");
    let certificates = folder_of.to_str().context("a path that is no text")?;
    let of_a_server = ["--kind", "server", "--name", "other", "--san", "other.example"];
    asked(&[&["issue-certificate"], &of_a_server[..], &["--out-dir", certificates]].concat())?;
    let agent = format!(
        r#"state_dir = "{at}/agent-state"
[fleet]
address = "127.0.0.1:{device}"
name = "{NAME}"
roots = "{at}/certificates/roots.pem"
[element]
use = "tpm-unix:{at}/tpm.sock"
[collect]
event_log = "{at}/event-log"
watch = []
interval = "2s"
# Only what the kernel tells comes in time.
scan = "30s"
[respond]
contraindicated = "report"
trial = "0s"
[network]
user = "65534:65534"
"#,
        at = at.display()
    );
    write(&folder.join("event-log"), &nothing_measured())?;
    write(&folder.join("agent.toml"), agent.as_bytes())
}

/// The log of a boot in which nothing was measured: one event, which says in which form the log is (TCG PC
/// Client Platform Firmware Profile §10.4.5.1).
fn nothing_measured() -> Vec<u8> {
    let sha256 = [0x0B, 0, 32, 0];
    let form = [&b"Spec ID Event03\0"[..], &[0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0], &sha256, &[0]];
    let form = form.concat();
    let no_action = [0, 0, 0, 0, 3, 0, 0, 0];
    let len = u32::try_from(form.len()).unwrap_or_default().to_le_bytes();
    [&no_action[..], &[0; 20], &len, &form].concat()
}

/// The TPM, the fleet and the agent of a folder, while they run.
pub struct Loop {
    // In this order they end.
    agent: Ends,
    fleet: Ends,
    tpm: Ends,
    /// What the fleet says, and when.
    said: Receiver<(Duration, String)>,
}

/// What a verdict took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From the deed to the record of the verdict.
    pub whole: Duration,
    /// What each of [`WORKERS`] had of the processors in that time.
    pub of: [Duration; 4],
}

impl Loop {
    /// Starts everything, and waits until the device is affirmed.
    pub fn start(folder: &Path) -> Result<Self> {
        let programs = programs()?;
        let socket = folder.join("tpm.sock");
        let channel = |kind: &str, name: &str| {
            format!("--{kind}=type=unixio,path={}", folder.join(name).display())
        };
        let mut swtpm = Command::new(tools::find("swtpm", "swtpm")?);
        swtpm.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"]);
        swtpm.arg(format!("dir={},mode=0600", folder.join("tpm").display()));
        swtpm.arg(channel("server", "tpm.sock")).arg(channel("ctrl", "tpm.ctrl"));
        let tpm = Ends(swtpm.stderr(Stdio::null()).spawn()?);
        within("the TPM", || process::listens(&socket))?;
        let of = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.arg("--config").stdout(Stdio::null()).stderr(Stdio::piped());
            command
        };
        let mut fleet = Ends(of("touchstone-fleet").arg(folder.join("fleet.toml")).spawn()?);
        let said = hear(fleet.0.stderr.take().context("no word of the fleet")?)?;
        let log = std::fs::File::create(folder.join("agent.log"))?;
        let agent =
            of("touchstone-agent").arg(folder.join("agent.toml")).stderr(log).spawn().map(Ends)?;
        let begun = Self { agent, fleet, tpm, said };
        begun.until(AFFIRMING).with_context(|| {
            std::fs::read_to_string(folder.join("agent.log")).unwrap_or_default()
        })?;
        Ok(begun)
    }

    /// Has the victim do that, and waits for the verdict; then for the device to be affirmed again.
    pub fn measure(&self, victim: &Path, deed: &str) -> Result<Took> {
        std::thread::sleep(SETTLES);
        let workers = self.workers()?;
        let mut doer = Command::new(victim);
        let mut doer = Ends(doer.arg(deed).stdout(Stdio::piped()).spawn()?);
        let mut line = String::new();
        let word = doer.0.stdout.take().context("no word of the victim")?;
        BufReader::new(word).read_line(&mut line)?;
        let before = spent(&workers);
        let did = line.split_whitespace().nth(3).and_then(|did| did.parse().ok());
        let did = did.with_context(|| format!("{deed}: `{line}`"))?;
        let (at, said) = self.until(CONTRAINDICATED).with_context(|| deed.to_owned())?;
        let after = spent(&workers);
        let about = said.contains("code-in-memory") && said.contains(&victim.display().to_string());
        ensure!(about, "another verdict than expected: {said}");
        drop(doer);
        self.until(AFFIRMING).context("after the end of the process")?;
        let whole = at.saturating_sub(Duration::from_nanos(did));
        let mut of = [Duration::ZERO; 4];
        for (of, (before, after)) in of.iter_mut().zip(before.iter().zip(&after)) {
            *of = after.saturating_sub(*before);
        }
        Ok(Took { whole, of })
    }

    /// What the fleet says that ends in such words, and when.
    fn until(&self, words: &str) -> Result<(Duration, String)> {
        let begun = Instant::now();
        loop {
            match self.said.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok((at, line)) if line.contains("verdict changed") && line.contains(words) => {
                    return Ok((at, line));
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("the fleet does not say `{words}`"),
                Err(RecvTimeoutError::Disconnected) => bail!("the fleet ended"),
            }
        }
    }

    /// The processes of [`WORKERS`].
    fn workers(&self) -> Result<[u32; 4]> {
        let keeper = self.agent.0.id();
        let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"))?;
        let network = children.trim().parse().context("the agent has no network half")?;
        Ok([self.tpm.0.id(), keeper, network, self.fleet.0.id()])
    }
}

/// A thread that notes when each line comes.
fn hear(from: ChildStderr) -> Result<Receiver<(Duration, String)>> {
    let (tell, told) = channel();
    std::thread::Builder::new().spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if tell.send((since_boot(), line)).is_err() {
                return;
            }
        }
    })?;
    Ok(told)
}

/// What each has had of the processors so far.
fn spent(workers: &[u32; 4]) -> [Duration; 4] {
    workers.map(|pid| {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let of = |task: PathBuf| {
            let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(tasks.filter_map(|task| of(task.path())).sum())
    })
}

fn within(what: &str, mut there: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !there()? {
        ensure!(begun.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// From each deed to the verdict, so often, on this machine; told as they come.
pub fn measure(
    rounds: u32,
    deeds: &[&'static str],
    mut tell: impl FnMut(&'static str, Took),
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let local = || Ok::<_, anyhow::Error>(free_port(Ipv4Addr::LOCALHOST)?.port());
    make(folder.path(), folder.path(), [local()?, local()?, local()?])?;
    let victim = folder.path().join("victim");
    build_victim(&victim)?;
    let turned = Loop::start(folder.path())?;
    for _ in 0..rounds {
        for deed in deeds {
            tell(deed, turned.measure(&victim, deed)?);
        }
    }
    Ok(())
}
