//! The checkpoint's configuration, checked: what is here can be used as it stands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use touchstone_settings::{Faults, SecretReference, Section, read};

/// The configuration that `--print-default` prints, each field with its meaning.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Everything the checkpoint needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where devices connect.
    pub listen: SocketAddr,
    /// Where the status is shown, on loopback.
    pub status: SocketAddr,
    /// PEM file of our certificate, leaf first.
    pub certificate: PathBuf,
    /// Where its key is, as PEM.
    pub key: SecretReference,
    /// PEM file of the roots that a device's LDevID must lead to.
    pub device_roots: PathBuf,
    /// PEM file of the key that signs attestation results.
    pub verifier: PathBuf,
    /// Where its own log is kept; without it, flows are told on stderr alone.
    pub state_dir: Option<PathBuf>,
    /// The oldest evidence that a flow may rest on.
    pub max_age: Duration,
    /// Where the feed comes from.
    pub fleet: Fleet,
    /// How much is carried.
    pub limits: Limits,
    /// Where to, by the name that is asked for.
    pub routes: BTreeMap<String, String>,
}

/// Where the feed of results comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// `host:port`
    pub address: String,
    /// The name in its certificate.
    pub name: String,
    /// PEM file of the roots that its certificate must lead to.
    pub roots: PathBuf,
    /// A feed that is silent for longer is no feed.
    pub silence: Duration,
}

/// How much is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flows open at a time.
    pub flows: usize,
    /// Flows of one device.
    pub flows_per_device: usize,
    /// From connecting to asking for a route.
    pub handshake: Duration,
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
            Self::Unreadable { .. } => "checkpoint.config.unreadable",
            Self::Faults(faults) => faults.code(),
        }
    }
}

impl Config {
    /// Checks the text of the file named `file`.
    pub fn read(file: &str, text: &str) -> Result<Self, Faults> {
        read(file, text, |root| {
            let listen = root.required("listen");
            let status = root.required::<SocketAddr>("status");
            if status.is_some_and(|status| !status.ip().is_loopback()) {
                root.refuse("status", "it tells who is connected, so it must be on loopback");
            }
            let certificate = path(root, "certificate");
            let key = root.required::<SecretReference>("key");
            let device_roots = path(root, "device_roots");
            let verifier = path(root, "verifier");
            let state_dir = root.optional::<Absolute>("state_dir");
            let max_age = root.duration("max_age", Duration::from_secs(30));
            if max_age.is_some_and(|age| age < Duration::from_secs(1)) {
                root.refuse("max_age", "results count in seconds; allow at least \"1s\"");
            }
            let fleet = root.section("fleet").and_then(|section| fleet(&section));
            let limits = match root.optional_section("limits") {
                Some(section) => limits(&section),
                None => Some(Limits::default()),
            };
            let routes: Vec<_> = root.sections("route").iter().map(route).collect();
            if routes.is_empty() {
                root.fault("nothing can be reached; name what may be, each as [[route]]".into());
            }
            Some(Self {
                listen: listen?,
                status: status?,
                certificate: certificate?,
                key: key?,
                device_roots: device_roots?,
                verifier: verifier?,
                state_dir: state_dir?.map(|path| path.0),
                max_age: max_age?,
                fleet: fleet?,
                limits: limits?,
                routes: routes.into_iter().collect::<Option<_>>()?,
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

impl Default for Limits {
    fn default() -> Self {
        Self { flows: 1024, flows_per_device: 32, handshake: Duration::from_secs(10) }
    }
}

/// A path: `/...`.
struct Absolute(PathBuf);

impl FromStr for Absolute {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = Path::new(text);
        if path.is_absolute() { Ok(Self(path.into())) } else { Err("the path must start with `/`") }
    }
}

/// A host and a port.
struct HostPort(String);

impl FromStr for HostPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        let port = text.rsplit_once(':').and_then(|(host, port)| {
            port.parse::<u16>().ok().filter(|port| *port != 0 && !host.is_empty())
        });
        match port {
            Some(_) if text.chars().all(good) => Ok(Self(text.to_owned())),
            _ => Err("write it as \"name:port\", \"192.0.2.1:port\" or \"[2001:db8::1]:port\""),
        }
    }
}

fn path(section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    section.required::<Absolute>(key).map(|path| path.0)
}

fn fleet(section: &Section<'_>) -> Option<Fleet> {
    let address = section.required::<HostPort>("address");
    let host = |address: &HostPort| {
        let host = address.0.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_matches(['[', ']']).to_owned()
    };
    let name = section.or("name", address.as_ref().map(host).unwrap_or_default());
    let roots = path(section, "roots");
    let silence = section.duration("silence", Duration::from_secs(3));
    if silence.is_some_and(|silence| silence < Duration::from_millis(1500)) {
        section.refuse("silence", "the fleet sends a line every second; allow at least \"1500ms\"");
    }
    Some(Fleet { address: address?.0, name: name?, roots: roots?, silence: silence? })
}

fn limits(section: &Section<'_>) -> Option<Limits> {
    let default = Limits::default();
    let flows = section.integer("flows", 1..=65536, default.flows as u64);
    let per_device = section.integer("flows_per_device", 1..=1024, default.flows_per_device as u64);
    let handshake = section.duration("handshake", default.handshake);
    Some(Limits {
        flows: usize::try_from(flows?).ok()?,
        flows_per_device: usize::try_from(per_device?).ok()?,
        handshake: handshake?,
    })
}

fn route(section: &Section<'_>) -> Option<(String, String)> {
    let name = section.required::<HostPort>("name");
    let to = section.required::<HostPort>("to");
    Some((name?.0, to?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_default_passes_its_own_check() {
        let config = Config::read("default", DEFAULT).unwrap();
        assert_eq!(config.routes["broker.example:8883"], "192.0.2.20:8883");
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.state_dir, Some("/var/lib/touchstone-checkpoint".into()));
        assert_eq!(config.key.to_string(), "file:/etc/touchstone/checkpoint.key");
    }

    #[test]
    fn every_fault_has_its_line_and_a_remedy() {
        let text = DEFAULT
            .replace("status = \"127.0.0.1", "status = \"0.0.0.0")
            .replace("file:/etc", "/etc")
            .replace("max_age", "maxage")
            .replace("to = \"192.0.2.20:8883\"", "to = \"broker\"");
        let told = Config::read("c.toml", &text).unwrap_err().to_string();
        for words in ["on loopback", "file:/path/to/it", "did you mean `max_age`?", "name:port"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(told.lines().count(), 4, "{told}");
    }
}
