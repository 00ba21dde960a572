//! The agent's configuration, checked: what is here can be used as it stands.
//!
//! [`Config::read`] tells every fault of the file at once; [`DEFAULT`] is what
//! `--print-default` shows, and it passes its own check.

mod value;

pub use value::{
    Absolute, ElementAt, Envelope, HostPort, Identifier, OnContraindicated, OnExec, RenewKey,
    Scope, Signal, User,
};

use crate::respond::action::Action;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use touchstone_settings::{Faults, Section, read};

/// The configuration that `--print-default` prints, each field with its meaning.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Everything the agent needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where state lives: identity, journals, the status socket.
    pub state_dir: PathBuf,
    /// Whom the agent answers to.
    pub fleet: Fleet,
    /// The secure element.
    pub element: ElementAt,
    /// For which key of it the certificate is renewed.
    pub renew_key: RenewKey,
    /// The maker's certificates, where they are not in the element.
    pub maker: MakersFiles,
    /// What is measured.
    pub collect: Collect,
    /// What happens on a bad verdict.
    pub respond: Respond,
    /// The half that speaks with the network.
    pub network: Network,
    /// Local ports carried through a checkpoint.
    pub tunnels: Vec<Tunnel>,
    /// What may be replaced, and who must have signed it.
    pub update: Update,
}

/// Whom the agent answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Where it listens for devices.
    pub address: HostPort,
    /// The name in its certificate.
    pub name: String,
    /// PEM file of the roots that its certificate must lead to.
    pub roots: PathBuf,
    /// PEM file of the key (`PUBLIC KEY`) that signs attestation results; without one, the key that
    /// the fleet told at onboarding.
    pub verifier: Option<PathBuf>,
}

/// The maker's certificates, where they are not in the element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MakersFiles {
    /// PEM or DER file with those of the IDevID.
    pub idevid: Option<PathBuf>,
    /// PEM or DER file with those of the IAK.
    pub iak: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collect {
    /// The firmware's event log; absent on a device without measured boot.
    pub event_log: Option<PathBuf>,
    /// IMA's binary measurement list.
    pub ima_log: Option<PathBuf>,
    /// Executables whose running code is measured.
    pub watch: Vec<PathBuf>,
    /// What evidence travels in.
    pub envelope: Envelope,
    /// From one attestation to the next.
    pub interval: Duration,
    /// From one local look at the running code to the next.
    pub scan: Duration,
    /// Whose code is looked at.
    pub scope: Scope,
    /// From one reading of the files whose code is mapped to the next.
    pub rehash: Duration,
    /// From one inventory of the configuration to the next.
    pub inventory: Duration,
    /// Whether the start of a program is a reason to look, and whether it waits for that.
    pub on_exec: OnExec,
}

/// What happens on a bad verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// The countermeasure.
    pub contraindicated: OnContraindicated,
    /// What stays reachable in quarantine, beside the fleet.
    pub allow: Vec<SocketAddr>,
    /// The `nft` program.
    pub nft: PathBuf,
    /// What else the device lets its fleet do.
    pub actions: Vec<Action>,
    /// So long a new policy is only tried.
    pub trial: Duration,
    /// So long something stays that no verdict asks for any more; zero is for ever.
    pub dead_man: Duration,
    /// How many of one kind may be taken at once.
    pub burst: u32,
    /// How long it takes until one more may.
    pub every: Duration,
    /// The signed list of safety assets.
    pub assets: Option<PathBuf>,
    /// PEM file of who may approve of what is done to them.
    pub approvers: Option<PathBuf>,
    /// The `systemctl` program.
    pub systemctl: PathBuf,
    /// What brings the machine to a safe state: a program with its arguments.
    pub safe_mode: Vec<String>,
    /// What takes that back.
    pub safe_mode_undo: Vec<String>,
    /// The register that keys are locked by extending.
    pub lock_pcr: Option<u8>,
}

/// The half that speaks with the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The user that it becomes.
    pub user: User,
}

/// A local port carried through a checkpoint to one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Where applications connect; loopback only.
    pub listen: SocketAddr,
    /// The checkpoint.
    pub checkpoint: HostPort,
    /// The name in the checkpoint's certificate.
    pub checkpoint_name: String,
    /// The destination, as the checkpoint's routes name it.
    pub broker: HostPort,
    /// The name in the broker's certificate.
    pub broker_name: String,
    /// PEM file of the roots that the broker's certificate must lead to.
    pub broker_roots: PathBuf,
    /// The most connections at a time.
    pub connections: usize,
}

/// What may be replaced, and who must have signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Folder where an envelope may be put by hand.
    pub inbox: Option<PathBuf>,
    /// Who must sign.
    pub roles: Vec<Role>,
    /// What may be replaced.
    pub components: Vec<Component>,
}

/// Someone who must sign every update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name in reasons: `publisher`.
    pub name: Identifier,
    /// PEM file of the certificate, or of the roots its certificate must lead to.
    pub roots: PathBuf,
}

/// A file that updates may replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name in manifests.
    pub name: Identifier,
    /// The file.
    pub path: PathBuf,
    /// How what runs from the old file makes room for the new one.
    pub restart: Restart,
}

/// How what runs from a replaced file is started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Nothing has to be done.
    No,
    /// Processes that run the file get this signal, and are killed if they do not heed it; their
    /// supervisor starts them again.
    Signal(Signal),
    /// A program with its arguments.
    Command(Vec<String>),
}

impl Config {
    /// Checks the text of the file named `file`.
    pub fn read(file: &str, text: &str) -> Result<Self, Faults> {
        read(file, text, |root| {
            let state_dir = root.required::<Absolute>("state_dir");
            let fleet = root.section("fleet").and_then(|section| fleet(&section));
            let element = root.section("element").and_then(|section| element(&section));
            let collect = root.section("collect").and_then(|section| collect(&section));
            let respond = match root.optional_section("respond") {
                Some(section) => respond(&section, fleet.as_ref()),
                None => Some(Respond::default()),
            };
            let network = match root.optional_section("network") {
                Some(section) => section.or("user", User::default()).map(|user| Network { user }),
                None => Some(Network { user: User::default() }),
            };
            let tunnels: Vec<_> = root.sections("tunnel").iter().map(tunnel).collect();
            let update = match root.optional_section("update") {
                Some(section) => update(&section),
                None => Some(Update { inbox: None, roles: Vec::new(), components: Vec::new() }),
            };
            let (element, renew_key, maker) = element?;
            Some(Self {
                state_dir: state_dir?.0,
                fleet: fleet?,
                element,
                renew_key,
                maker,
                collect: collect?,
                respond: respond?,
                network: network?,
                tunnels: tunnels.into_iter().collect::<Option<_>>()?,
                update: update?,
            })
        })
    }

    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::read(&file, &text)?),
            Err(source) => Err(Error::Unreadable { file, source }),
        }
    }
}

impl Default for Respond {
    fn default() -> Self {
        Self {
            contraindicated: OnContraindicated::Report,
            allow: Vec::new(),
            nft: "/usr/sbin/nft".into(),
            actions: vec![Action::Alert, Action::Capture],
            trial: Duration::from_mins(10),
            dead_man: Duration::from_hours(24),
            burst: 3,
            every: Duration::from_mins(10),
            assets: None,
            approvers: None,
            systemctl: "/usr/bin/systemctl".into(),
            safe_mode: Vec::new(),
            safe_mode_undo: Vec::new(),
            lock_pcr: None,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can not be read.
    #[error(
        "{file}: cannot be read: {source}; name another with --config, or start from --print-default"
    )]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has faults.
    #[error(transparent)]
    Faults(#[from] Faults),
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "agent.config.unreadable",
            Self::Faults(faults) => faults.code(),
        }
    }
}

fn path(section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    section.required::<Absolute>(key).map(|path| path.0)
}

fn named(section: &Section<'_>, key: &'static str, address: Option<&HostPort>) -> Option<String> {
    let default = address.map_or_else(String::new, |address| address.host().to_owned());
    section.or(key, default)
}

fn fleet(section: &Section<'_>) -> Option<Fleet> {
    let address = section.required::<HostPort>("address");
    let name = named(section, "name", address.as_ref());
    let roots = path(section, "roots");
    let verifier = section.optional::<Absolute>("verifier");
    let verifier = verifier?.map(|path| path.0);
    Some(Fleet { address: address?, name: name?, roots: roots?, verifier })
}

fn collect(section: &Section<'_>) -> Option<Collect> {
    let event_log = section.optional::<Absolute>("event_log");
    let ima_log = section.optional::<Absolute>("ima_log");
    let watch = section.list::<Absolute>("watch");
    let envelope = section.or("envelope", Envelope::default());
    let interval = section.duration("interval", Duration::from_secs(30));
    let scan = section.duration("scan", Duration::from_secs(5));
    let scope = section.or("scope", Scope::All);
    let rehash = section.duration("rehash", Duration::from_mins(10));
    let inventory = section.duration("inventory", Duration::from_mins(10));
    let on_exec = section.or("on_exec", OnExec::Ignore);
    let spans =
        [("interval", interval), ("scan", scan), ("rehash", rehash), ("inventory", inventory)];
    for (key, value) in spans {
        if value.is_some_and(|value| value < Duration::from_millis(100)) {
            section.refuse(key, "shorter than 100 ms would keep the device busy with itself");
        }
    }
    Some(Collect {
        event_log: event_log?.map(|path| path.0),
        ima_log: ima_log?.map(|path| path.0),
        watch: watch?.into_iter().map(|path| path.0).collect(),
        envelope: envelope?,
        interval: interval?,
        scan: scan?,
        scope: scope?,
        rehash: rehash?,
        inventory: inventory?,
        on_exec: on_exec?,
    })
}

fn respond(section: &Section<'_>, fleet: Option<&Fleet>) -> Option<Respond> {
    let default = Respond::default();
    let contraindicated = section.or("contraindicated", default.contraindicated);
    let allow = section.list::<SocketAddr>("allow");
    let nft = section.or("nft", Absolute(default.nft));
    let literal = fleet.is_some_and(|fleet| fleet.address.socket().is_some());
    let quarantine = contraindicated == Some(OnContraindicated::Quarantine);
    if quarantine && !literal && allow.as_ref().is_some_and(Vec::is_empty) {
        section.refuse(
            "allow",
            "in quarantine no name can be looked up, so the way to the fleet must be written as \
             \"ip:port\", here or as the address in [fleet]",
        );
    }
    let actions = section.list::<Action>("actions");
    let trial = section.duration("trial", default.trial);
    let dead_man = section.duration("dead_man", default.dead_man);
    let burst = section.integer("burst", 1..=1000, default.burst.into());
    let every = section.duration("every", default.every);
    let assets = section.optional::<Absolute>("assets");
    let approvers = section.optional::<Absolute>("approvers");
    let systemctl = section.or("systemctl", Absolute(default.systemctl));
    let safe_mode = section.list::<String>("safe_mode");
    let safe_mode_undo = section.list::<String>("safe_mode_undo");
    // Registers 16 and 23 can be reset by whoever asks, and so lock nothing.
    let lock_pcr = section.integer("lock_pcr", 0..=15, 0);
    let actions = actions?;
    Some(Respond {
        contraindicated: contraindicated?,
        allow: allow?,
        nft: nft?.0,
        actions: if actions.is_empty() { default.actions } else { actions },
        trial: trial?,
        dead_man: dead_man?,
        burst: u32::try_from(burst?).ok()?,
        every: every?,
        assets: assets?.map(|path| path.0),
        approvers: approvers?.map(|path| path.0),
        systemctl: systemctl?.0,
        safe_mode: safe_mode?,
        safe_mode_undo: safe_mode_undo?,
        // 0 holds the firmware and is nobody's to extend.
        lock_pcr: u8::try_from(lock_pcr?).ok().filter(|pcr| *pcr > 0),
    })
}

fn element(section: &Section<'_>) -> Option<(ElementAt, RenewKey, MakersFiles)> {
    let at = section.required("use");
    let renew_key = section.or("renew_key", RenewKey::default());
    let idevid = section.optional::<Absolute>("idevid_certificates");
    let iak = section.optional::<Absolute>("iak_certificates");
    let file = |path: Option<Absolute>| path.map(|path| path.0);
    Some((at?, renew_key?, MakersFiles { idevid: file(idevid?), iak: file(iak?) }))
}

fn tunnel(section: &Section<'_>) -> Option<Tunnel> {
    let listen = section.required::<SocketAddr>("listen");
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        section.refuse("listen", "the local side is not encrypted, so it must be on loopback");
    }
    let checkpoint = section.required::<HostPort>("checkpoint");
    let checkpoint_name = named(section, "checkpoint_name", checkpoint.as_ref());
    let broker = section.required::<HostPort>("broker");
    let broker_name = named(section, "broker_name", broker.as_ref());
    let broker_roots = path(section, "broker_roots");
    let connections = section.integer("connections", 1..=256, 16);
    Some(Tunnel {
        listen: listen?,
        checkpoint: checkpoint?,
        checkpoint_name: checkpoint_name?,
        broker: broker?,
        broker_name: broker_name?,
        broker_roots: broker_roots?,
        connections: usize::try_from(connections?).ok()?,
    })
}

fn update(section: &Section<'_>) -> Option<Update> {
    let inbox = section.optional::<Absolute>("inbox");
    let roles: Vec<_> = section.sections("role").iter().map(role).collect();
    let components: Vec<_> = section.sections("component").iter().map(component).collect();
    if !components.is_empty() && roles.is_empty() {
        section.fault("nobody has to sign; name the signers, each as [[update.role]]".to_owned());
    }
    Some(Update {
        inbox: inbox?.map(|path| path.0),
        roles: roles.into_iter().collect::<Option<_>>()?,
        components: components.into_iter().collect::<Option<_>>()?,
    })
}

fn role(section: &Section<'_>) -> Option<Role> {
    let name = section.required("name");
    let roots = path(section, "roots");
    Some(Role { name: name?, roots: roots? })
}

fn component(section: &Section<'_>) -> Option<Component> {
    let name = section.required("name");
    let path = path(section, "path");
    let signal = section.optional::<Signal>("restart_signal");
    let command = section.list::<String>("restart_command");
    let restart = match (signal?, command?) {
        (None, command) if command.is_empty() => Restart::No,
        (None, command) => Restart::Command(command),
        (Some(signal), command) => {
            if !command.is_empty() {
                section.refuse("restart_command", "there is a `restart_signal` too; keep one");
            }
            Restart::Signal(signal)
        }
    };
    Some(Component { name: name?, path: path?, restart })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> String {
        Config::read("agent.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn the_printed_default_passes_its_own_check() {
        let config = Config::read("default", DEFAULT).unwrap();
        assert_eq!(config.fleet.name, "fleet.example");
        assert_eq!(config.tunnels.len(), 1);
        assert_eq!(config.update.roles.len(), 2);
        assert_eq!(config.respond.contraindicated, OnContraindicated::Quarantine);
    }

    #[test]
    fn every_fault_has_its_line_and_a_remedy() {
        let text = DEFAULT
            .replace("interval = ", "intervall = ")
            .replace("listen = \"127.0.0.1:1883\"", "listen = \"0.0.0.0:1883\"")
            .replace("tpm:/dev/tpmrm0", "tmp:/dev/tpmrm0");
        let told = faults(&text);
        assert!(told.contains("did you mean `interval`?"), "{told}");
        assert!(told.contains("must be on loopback"), "{told}");
        assert!(told.contains("write \"tpm:/dev/tpmrm0\""), "{told}");
        assert!(told.lines().all(|line| line.starts_with("agent.toml:")), "{told}");
        assert_eq!(told.lines().count(), 3, "{told}");
    }

    #[test]
    fn a_quarantine_that_could_lock_out_the_fleet_is_refused() {
        let text = DEFAULT
            .replace("address = \"192.0.2.10:8443\"", "address = \"fleet.example:8443\"")
            .replace("allow = [\"192.0.2.10:8443\"]", "allow = []");
        assert!(faults(&text).contains("no name can be looked up"), "{}", faults(&text));
    }

    #[test]
    fn updates_that_nobody_signs_are_refused() {
        let start = DEFAULT.find("[[update.role]]").unwrap();
        let end = DEFAULT.find("[[update.component]]").unwrap();
        let text = format!("{}{}", &DEFAULT[..start], &DEFAULT[end..]);
        assert!(faults(&text).contains("nobody has to sign"), "{}", faults(&text));
    }
}
