//! The agent as it runs: two processes, of which the one with the network has nothing to lose.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use touchstone_certs::Name;
use touchstone_certs::issue::{Kind, Template};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_element_tpm2::{Tpm, manufacture};
use touchstone_peers::Swtpm;

const NOBODY: u32 = 65534;

struct Agent {
    child: Child,
    manager: UnixDatagram,
    folder: PathBuf,
    _tpm: Swtpm,
}

impl Agent {
    /// An agent with a TPM, and a fleet that is not there.
    fn start() -> Self {
        let tpm = Swtpm::blank();
        let folder = tpm.dir.path().to_owned();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let ca = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let name = Name::common_name("CA").unwrap();
        let root = Template::new(Kind::Root, name, now - 60, now + 3600);
        let root = root.self_sign(&AwsLc, &ca).unwrap();
        fs::write(folder.join("roots.pem"), root.to_pem().unwrap()).unwrap();
        let mut element = Tpm::connect_unix(tpm.socket(), tpm.dir.path().join("maker")).unwrap();
        manufacture::idevid(&mut element, |public| {
            let issuer = touchstone_certs::issue::Issuer::new(&root, &ca).unwrap();
            let name = Name::common_name("serial-1").unwrap();
            let leaf = Template::new(Kind::Device, name, now - 60, now + 3600)
                .issue(&AwsLc, &issuer, &public.spki_der)
                .unwrap();
            Ok::<_, touchstone_element::Error>(leaf.der().to_vec())
        })
        .unwrap();
        // A simulator serves one at a time.
        drop(element);
        let config = format!(
            r#"state_dir = "{0}/agent"
[fleet]
address = "127.0.0.1:9"
name = "fleet.example"
roots = "{0}/roots.pem"
[element]
use = "tpm-unix:{1}"
[collect]
watch = []
scope = "watched"
[network]
user = "{NOBODY}:{NOBODY}"
"#,
            folder.display(),
            tpm.socket().display()
        );
        fs::write(folder.join("agent.toml"), config).unwrap();
        let notify = folder.join("notify");
        let manager = UnixDatagram::bind(&notify).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_touchstone-agent"))
            .arg("--config")
            .arg(folder.join("agent.toml"))
            .env("NOTIFY_SOCKET", notify)
            .env("WATCHDOG_USEC", "1500000")
            .stderr(fs::File::create(folder.join("agent.log")).unwrap())
            .spawn()
            .unwrap();
        let agent = Self { child, manager, folder, _tpm: tpm };
        assert!(agent.hears().starts_with("READY=1"), "{}", agent.log());
        agent
    }

    fn hears(&self) -> String {
        let mut heard = [0; 1024];
        let len = self.manager.recv(&mut heard).unwrap_or_else(|_| panic!("{}", self.log()));
        String::from_utf8(heard[..len].to_vec()).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("agent.log")).unwrap()
    }

    /// The half with the network, once it is confined.
    fn other(&self) -> u32 {
        let id = self.child.id();
        self.until("a confined network half", || {
            let path = format!("/proc/{id}/task/{id}/children");
            let other = fs::read_to_string(path).ok()?.trim().parse().ok()?;
            (field(other, "NoNewPrivs")? == "1").then_some(other)
        })
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            assert!(Instant::now() < patience, "no {what}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of `/proc/PID/status`.
fn field(process: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What a process has open, and is not its standard output or error.
fn open_files(process: u32) -> BTreeSet<PathBuf> {
    fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !["1", "2"].iter().any(|name| path.ends_with(name)))
        .filter_map(|path| fs::read_link(path).ok())
        .collect()
}

fn kill(process: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn is_there(process: u32) -> bool {
    field(process, "State").is_some_and(|state| !state.starts_with('Z'))
}

#[test]
fn the_half_with_the_network_has_no_rights_no_files_and_no_way_to_the_element() {
    let agent = Agent::start();
    let other = agent.other();
    let nobody = format!("{NOBODY} {NOBODY} {NOBODY} {NOBODY}");
    assert_eq!(field(other, "Uid").unwrap(), nobody);
    assert_eq!(field(other, "Gid").unwrap(), nobody);
    assert_eq!(field(other, "Groups").unwrap(), "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(other, set).unwrap(), "0000000000000000", "{set}");
    }
    let view = agent.folder.join("agent/view");
    assert_eq!(fs::read_link(format!("/proc/{other}/root")).unwrap(), view);
    assert_eq!(fs::read_dir(&view).unwrap().count(), 0, "the fleet has an address, not a name");
    let environment = fs::read(format!("/proc/{other}/environ")).unwrap();
    assert_eq!(String::from_utf8(environment).unwrap(), "MALLOC_ARENA_MAX=1\0");
    // Whoever starts these tests may have left something open for all of us.
    let inherited = open_files(std::process::id());
    let own = |process| open_files(process).difference(&inherited).cloned().collect::<Vec<_>>();
    for file in own(other) {
        let kind = file.to_string_lossy();
        assert!(kind.starts_with("socket:") || kind.starts_with("anon_inode:"), "{kind} is open");
    }
    // The keeper lets go of the other end of the line when the child has it.
    agent.until("separate sockets", || {
        let (ours, theirs) = (own(agent.child.id()), own(other));
        let shared =
            |file: &PathBuf| ours.contains(file) && file.to_string_lossy().starts_with("socket:");
        (!theirs.iter().any(shared)).then_some(())
    });
}

#[test]
fn a_half_that_dies_is_missed_and_started_anew() {
    let agent = Agent::start();
    let first = agent.other();
    kill(first, Signal::KILL);
    agent.until("end", || (!is_there(first)).then_some(()));
    let second = agent.until("second half", || Some(agent.other()).filter(|id| *id != first));
    assert!(is_there(second));
    assert!(agent.log().contains("the network half ended"), "{}", agent.log());
    assert!(agent.log().contains("agent.link.closed"), "{}", agent.log());
}

#[test]
fn no_half_outlives_the_keeper_and_one_that_stops_takes_it_along() {
    let mut agent = Agent::start();
    let other = agent.other();
    kill(agent.child.id(), Signal::KILL);
    agent.until("end of both", || (!is_there(other)).then_some(()));
    agent.child.wait().unwrap();

    let mut agent = Agent::start();
    let other = agent.other();
    for _ in 0..3 {
        agent.until("sign of life", || (agent.hears() == "WATCHDOG=1").then_some(()));
    }
    kill(agent.child.id(), Signal::TERM);
    agent.until("word of the end", || (agent.hears() == "STOPPING=1").then_some(()));
    assert!(agent.child.wait().unwrap().success());
    agent.until("end of both", || (!is_there(other)).then_some(()));
}

#[test]
fn an_agent_that_could_not_separate_its_halves_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    for (user, code) in [("0:0", "agent.network.root"), ("no-such-user", "agent.network.user")] {
        let config = fs::read_to_string("src/config/default.toml").unwrap();
        let config = config.replace("user = \"touchstone-network\"", &format!("user = \"{user}\""));
        let config = config.replace("/var/lib/touchstone", &folder.path().display().to_string());
        let path = folder.path().join("agent.toml");
        let config = touchstone_agent::config::Config::read("agent.toml", &config).unwrap();
        let refused = touchstone_agent::network::confine::identity(&config).unwrap_err();
        assert_eq!(refused.code(), code, "{}", path.display());
    }
}
