//! The values of single fields, each with what it refuses and why.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// An absolute path: the agent is started from anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absolute(pub PathBuf);

impl FromStr for Absolute {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = Path::new(text);
        if path.is_absolute() && !text.contains('\0') {
            Ok(Self(path.to_owned()))
        } else {
            Err("the path must start with `/`")
        }
    }
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, if the host is written as an address.
    pub fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse().ok()?, self.port))
    }
}

impl FromStr for HostPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "write it as \"name:port\", \"192.0.2.1:port\" or \"[2001:db8::1]:port\"";
        let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(FORM)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().map_err(|_| FORM)?.to_string(),
            None => host.to_owned(),
        };
        let of_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let v6 = host.contains(':') && text.starts_with('[');
        if host.is_empty() || host.len() > 253 || !(v6 || host.chars().all(of_name)) {
            return Err(FORM);
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A short name that is safe in file names and in logs: letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier(String);

impl Identifier {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Identifier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let good = text.chars().all(safe) && (1..=48).contains(&text.len());
        if good && !text.starts_with('.') {
            Ok(Self(text.to_owned()))
        } else {
            Err("a name has 1 to 48 letters, digits, `-`, `_` or `.`, and does not start with `.`")
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// As `/etc/passwd` names it.
    Name(Identifier),
    /// By the numbers of user and group.
    Numbers(u32, u32),
}

impl Default for User {
    /// The one that `packaging/sysusers.d` makes.
    fn default() -> Self {
        Self::Name(Identifier("touchstone-network".to_owned()))
    }
}

impl FromStr for User {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write the name of a user, or \"user:group\" as numbers";
        match text.split_once(':') {
            Some((user, group)) => match (user.parse(), group.parse()) {
                (Ok(user), Ok(group)) => Ok(Self::Numbers(user, group)),
                _ => Err(FORM),
            },
            None => text.parse().map(Self::Name).map_err(|_| FORM),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Numbers(user, group) => write!(f, "{user}:{group}"),
        }
    }
}

/// Where the secure element is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementAt {
    /// A TPM 2.0 at a character device, by the kernel's resource manager.
    Device(PathBuf),
    /// A TPM 2.0 simulator at a Unix socket.
    Unix(PathBuf),
    /// A TPM 2.0 simulator at a TCP port.
    Tcp(SocketAddr),
}

impl FromStr for ElementAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORMS: &str =
            "write \"tpm:/dev/tpmrm0\", \"tpm-unix:/run/swtpm.sock\" or \"tpm-tcp:127.0.0.1:2321\"";
        let (kind, rest) = text.split_once(':').ok_or(FORMS)?;
        let path = || rest.parse::<Absolute>().map(|path| path.0);
        Ok(match kind {
            "tpm" => Self::Device(path()?),
            "tpm-unix" => Self::Unix(path()?),
            "tpm-tcp" => {
                Self::Tcp(rest.parse().map_err(|_| "after `tpm-tcp:` comes address:port")?)
            }
            _ => return Err(format!("no element of kind `{kind}`; {FORMS}")),
        })
    }
}

/// The countermeasure to a contraindicated verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnContraindicated {
    /// Say so, in the log and in the status.
    Report,
    /// Cut the device off from all but the fleet.
    Quarantine,
}

impl FromStr for OnContraindicated {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "report" => Ok(Self::Report),
            "quarantine" => Ok(Self::Quarantine),
            _ => Err("choose \"report\" or \"quarantine\""),
        }
    }
}

/// What evidence travels in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// A conceptual message wrapper alone (RFC 9999).
    #[default]
    Cmw,
    /// An entity attestation token with the wrapper in it (RFC 9711).
    Eat,
}

impl FromStr for Envelope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cmw" => Ok(Self::Cmw),
            "eat" => Ok(Self::Eat),
            _ => Err("choose \"cmw\" or \"eat\""),
        }
    }
}

/// For which key a certificate is renewed (RFC 7030 §4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewKey {
    /// The one that it is for.
    #[default]
    Same,
    /// A new one each time: what was learned of the one before is worth nothing then.
    New,
}

impl FromStr for RenewKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "same" => Ok(Self::Same),
            "new" => Ok(Self::New),
            _ => Err("choose \"same\" or \"new\""),
        }
    }
}

/// Whose code is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// That of every process.
    All,
    /// That of the watched executables.
    Watched,
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "watched" => Ok(Self::Watched),
            _ => Err("choose \"all\" or \"watched\""),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Watched => "watched",
        })
    }
}

/// What the start of a program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExec {
    /// Nothing.
    Ignore,
    /// It is a reason to look.
    Look,
    /// Files that were found to be bad do not start, and it is a reason to look.
    Enforce,
}

impl FromStr for OnExec {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ignore" => Ok(Self::Ignore),
            "look" => Ok(Self::Look),
            "enforce" => Ok(Self::Enforce),
            _ => Err("choose \"ignore\", \"look\" or \"enforce\""),
        }
    }
}

/// A signal that asks a process to go or to load itself anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`
    Term,
    /// `SIGHUP`
    Hup,
    /// `SIGKILL`
    Kill,
}

impl FromStr for Signal {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "TERM" => Ok(Self::Term),
            "HUP" => Ok(Self::Hup),
            "KILL" => Ok(Self::Kill),
            _ => Err("choose \"TERM\", \"HUP\" or \"KILL\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_port_reads_back_what_it_shows() {
        for text in ["fleet.example:8443", "192.0.2.1:1", "[2001:db8::1]:65535"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        assert!("[2001:db8::1]:1".parse::<HostPort>().unwrap().socket().is_some());
        for text in ["fleet", "fleet:0", ":80", "2001:db8::1:80", "a b:80", "a\r\nb:80", "[x]:1"] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }

    #[test]
    fn evidence_travels_in_one_of_two_envelopes() {
        assert_eq!("eat".parse(), Ok(Envelope::Eat));
        assert_eq!(("cmw".parse(), Envelope::default()), (Ok(Envelope::Cmw), Envelope::Cmw));
        assert_eq!("jwt".parse::<Envelope>(), Err("choose \"cmw\" or \"eat\""));
    }

    #[test]
    fn an_identifier_can_not_leave_its_folder() {
        for text in ["", "..", "a/b", ".hidden", "a b", &"x".repeat(49)] {
            assert!(text.parse::<Identifier>().is_err(), "{text}");
        }
        assert!("app-1.2_x".parse::<Identifier>().is_ok());
    }
}
