//! What listens, and what filters.

use super::{Collected, Fault, Root, list};
use aws_lc_rs::digest::{SHA256, digest};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Command, Stdio};
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_evidence::runtime::Observed;

/// Ports whose protocol shows everything, or lets everybody in, unless something is around it.
const INSECURE: &[(&str, u16, &str)] = &[
    ("tcp", 21, "ftp"),
    ("tcp", 23, "telnet"),
    ("udp", 69, "tftp"),
    ("tcp", 79, "finger"),
    ("tcp", 80, "http"),
    ("tcp", 102, "s7comm"),
    ("tcp", 111, "rpcbind"),
    ("udp", 111, "rpcbind"),
    ("udp", 161, "snmp"),
    ("tcp", 502, "modbus"),
    ("tcp", 512, "rexec"),
    ("tcp", 513, "rlogin"),
    ("tcp", 514, "rsh"),
    ("tcp", 873, "rsync"),
    ("tcp", 1883, "mqtt"),
    ("tcp", 2323, "telnet"),
    ("tcp", 2375, "docker"),
    ("tcp", 3389, "rdp"),
    ("tcp", 5900, "vnc"),
    ("tcp", 6000, "x11"),
    ("tcp", 6379, "redis"),
    ("tcp", 20000, "dnp3"),
    ("udp", 47808, "bacnet"),
];

/// A socket that waits for others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listening {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Where.
    pub at: SocketAddr,
}

/// Every socket that waits for others, of this network namespace.
pub fn listening(root: &Root) -> Collected {
    list(sockets(root)?.iter().map(|it| observed(it, None)).collect())
}

/// Those that others can reach, and whose protocol protects nothing.
pub fn insecure_services(root: &Root) -> Collected {
    let sockets = sockets(root)?;
    let open = sockets.iter().filter(|it| !it.at.ip().is_loopback());
    let insecure = open.filter_map(|it| {
        let known = INSECURE
            .iter()
            .find(|(protocol, port, _)| (*protocol, *port) == (it.protocol, it.at.port()))?;
        Some(observed(it, Some(known.2)))
    });
    list(insecure.collect())
}

fn observed(socket: &Listening, service: Option<&str>) -> Observed {
    let mut fields = vec![
        ("protocol".to_owned(), socket.protocol.into()),
        ("address".to_owned(), socket.at.ip().to_string().into()),
        ("port".to_owned(), i64::from(socket.at.port()).into()),
        ("local".to_owned(), socket.at.ip().is_loopback().into()),
    ];
    if let Some(service) = service {
        let why = format!("{service} listens at {}", socket.at);
        fields.push(("service".to_owned(), service.into()));
        fields.push(("why".to_owned(), why.into()));
    }
    Observed::Record(fields)
}

fn sockets(root: &Root) -> Result<Vec<Listening>, Fault> {
    // The state of a TCP socket that listens, and of a UDP socket that is connected to nobody.
    let tables = [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")];
    let mut found = Vec::new();
    for (table, state) in tables {
        let name = format!("/proc/net/{table}");
        // A kernel without IPv6 has no table of it.
        let Some(text) = root.read(&name)? else { continue };
        for line in text.lines().skip(1) {
            let path = root.path(&name);
            let malformed = || Fault::Malformed { path, why: "a line of another form".to_owned() };
            let (at, is) = socket(line).ok_or_else(malformed)?;
            if is == state && at.port() != 0 {
                let protocol = if table.starts_with("tcp") { "tcp" } else { "udp" };
                found.push(Listening { protocol, at });
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The local address and the state in a line of /proc/net/tcp (proc(5)); addresses are words of 32
/// bits in the order of the host.
pub fn socket(line: &str) -> Option<(SocketAddr, &str)> {
    let mut words = line.split_ascii_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    let state = words.nth(1)?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut octets = Vec::with_capacity(16);
    for word in address.as_bytes().chunks(8) {
        let word = std::str::from_utf8(word).ok().filter(|word| word.len() == 8)?;
        octets.extend(u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
    }
    let ip = match octets.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)).to_canonical(),
        _ => return None,
    };
    Some((SocketAddr::new(ip, port), state))
}

/// The digest of the rules in force, and whether what no rule names is dropped on its way in.
pub fn firewall(root: &Root) -> Collected {
    if !root.is_live() {
        return Err(Fault::Absent("only a running system has rules in force"));
    }
    let program = "nft".to_owned();
    let fault = |why: String| Fault::Program { program: program.clone(), why };
    let output = Command::new("/usr/sbin/nft")
        .args(["--stateless", "list", "ruleset"])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fault(error.to_string()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(fault(words.trim().chars().take(200).collect()));
    }
    let rules = String::from_utf8_lossy(&output.stdout);
    let of_rules = Digest::new(HashAlgorithm::Sha256, digest(&SHA256, &output.stdout).as_ref());
    let of_rules = of_rules.ok_or_else(|| fault("no digest".to_owned()))?;
    let count =
        rules.lines().filter(|line| line.trim_start().starts_with("type filter hook")).count();
    Ok(Observed::record([
        ("digest", of_rules.into()),
        ("chains", i64::try_from(count).unwrap_or(i64::MAX).into()),
        ("drops-input", drops_input(&rules).into()),
    ]))
}

/// Whether a base chain for what comes in drops what none of its rules names.
fn drops_input(rules: &str) -> bool {
    rules.lines().any(|line| line.contains("hook input") && line.contains("policy drop"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read_as_proc_shows_them() {
        let line = "   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1";
        assert_eq!(socket(line), Some(("127.0.0.1:3306".parse().unwrap(), "0A")));
        let line = "   1: 00000000000000000000000000000000:0016 0:0 0A 0";
        assert_eq!(socket(line), Some(("[::]:22".parse().unwrap(), "0A")));
        let mapped = "   1: 0000000000000000FFFF00000100007F:0016 0:0 0A 0";
        assert_eq!(socket(mapped), Some(("127.0.0.1:22".parse().unwrap(), "0A")));
        assert_eq!(socket("   1: 0100:0016 0:0 0A"), None);
    }

    #[test]
    fn a_dropping_chain_is_found() {
        assert!(drops_input("chain i {\n  type filter hook input priority 0; policy drop;\n}"));
        assert!(!drops_input("chain i {\n  type filter hook input priority 0; policy accept;\n}"));
    }
}
