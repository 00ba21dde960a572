//! Where events are shipped to.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use touchstone_audit::Format;
use touchstone_settings::{SecretReference, Section};

/// `[[collector]]`: somebody who gets every entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Its name in events, and that of its place in the log.
    pub name: String,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// How each entry is written.
    pub format: Format,
    /// Where it is.
    pub place: Place,
    /// A token: Splunk's, or a bearer's.
    pub token: Option<SecretReference>,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Syslog over TLS (RFC 5425), which acknowledges nothing.
    Syslog,
    /// RELP.
    Relp,
    /// OTLP/HTTP with JSON.
    Otlp,
    /// Splunk's HTTP Event Collector.
    Hec,
    /// A file on this machine.
    File,
}

/// Where a collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the network.
    Network {
        /// `host:port` to connect to.
        address: String,
        /// The path of requests over HTTP.
        path: String,
        /// How the connection is protected; without it only on this machine.
        tls: Option<Tls>,
    },
    /// A file.
    File(PathBuf),
}

/// TLS with a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name that the server's certificate must bear.
    pub server_name: String,
    /// Roots of the server's certificate; the fleet's own CA otherwise.
    pub roots: Option<PathBuf>,
    /// The client certificate and its key; issued by the fleet's own CA otherwise.
    pub identity: Option<(PathBuf, SecretReference)>,
}

impl Protocol {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Syslog, "syslog"),
        (Self::Relp, "relp"),
        (Self::Otlp, "otlp"),
        (Self::Hec, "hec"),
        (Self::File, "file"),
    ];

    /// The path of requests, unless the target has one.
    const fn path(self) -> &'static str {
        match self {
            Self::Otlp => "/v1/logs",
            Self::Hec => "/services/collector/event",
            _ => "",
        }
    }
}

impl FromStr for Protocol {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(_, name)| *name == word);
        found
            .map(|(protocol, _)| *protocol)
            .ok_or("protocols are `syslog`, `relp`, `otlp`, `hec` and `file`")
    }
}

impl Collector {
    /// The secrets that have to be there.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretReference> {
        let key = match &self.place {
            Place::Network { tls: Some(Tls { identity: Some((_, key)), .. }), .. } => Some(key),
            _ => None,
        };
        key.into_iter().chain(&self.token)
    }
}

pub(super) fn read(section: &Section<'_>, base: &Path) -> Option<Collector> {
    let name = super::word(section, "name", "");
    let protocol = section.required::<Protocol>("protocol");
    let format = section.optional::<Format>("format");
    let target: Option<String> = section.required("target");
    let token: Option<Option<SecretReference>> = section.optional("token");
    let tls = tls(section, base);
    let (protocol, target, format) = (protocol?, target?, format?);
    let place = match protocol {
        Protocol::File => Place::File(base.join(target)),
        Protocol::Otlp | Protocol::Hec => url(section, protocol, &target, tls?)?,
        Protocol::Syslog | Protocol::Relp => {
            let (address, host) = address(section, &target)?;
            network(section, address, &host, String::new(), tls?)?
        }
    };
    let token = token?.map(|token| token.under(base));
    if protocol == Protocol::Hec && token.is_none() {
        section.refuse("target", "Splunk wants a token; give `token = \"file:PATH\"`");
        return None;
    }
    Some(Collector {
        name: name?,
        protocol,
        format: choose(section, protocol, format)?,
        place,
        token,
    })
}

/// `[syslog]`, the collector of earlier releases.
pub(super) fn syslog(section: &Section<'_>, base: &Path) -> Option<Collector> {
    let target: Option<String> = section.required("target");
    let options = tls(section, base);
    let (address, host) = address(section, &target?)?;
    let place = network(section, address, &host, String::new(), options?)?;
    let (protocol, format, token) = (Protocol::Syslog, Format::Rfc5424, None);
    Some(Collector { name: "syslog".into(), protocol, format, place, token })
}

fn choose(section: &Section<'_>, protocol: Protocol, format: Option<Format>) -> Option<Format> {
    let (usual, allowed): (_, &[Format]) = match protocol {
        Protocol::Syslog | Protocol::Relp => {
            (Format::Rfc5424, &[Format::Rfc5424, Format::Cef, Format::Leef, Format::Ocsf])
        }
        Protocol::Otlp => (Format::Otlp, &[Format::Otlp]),
        Protocol::Hec => (Format::Hec, &[Format::Hec]),
        Protocol::File => (Format::Ocsf, Format::ALL),
    };
    let format = format.unwrap_or(usual);
    if allowed.contains(&format) {
        return Some(format);
    }
    let names: Vec<&str> = allowed.iter().map(|format| format.name()).collect();
    section.refuse("format", format!("this protocol carries {}", names.join(", ")));
    None
}

/// What the section says of TLS.
struct Options {
    tls: bool,
    server_name: Option<String>,
    roots: Option<PathBuf>,
    identity: Option<(PathBuf, SecretReference)>,
}

fn tls(section: &Section<'_>, base: &Path) -> Option<Options> {
    let tls = section.flag("tls", true);
    let server_name: Option<Option<String>> = section.optional("server_name");
    let roots: Option<Option<PathBuf>> = section.optional("roots");
    let certificate: Option<Option<PathBuf>> = section.optional("certificate");
    let key: Option<Option<SecretReference>> = section.optional("key");
    let identity = match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some((base.join(certificate), key.under(base))),
        (None, None) => None,
        _ => {
            section.refuse("certificate", "`certificate` and `key` come together or not at all");
            return None;
        }
    };
    let roots = roots?.map(|path| base.join(path));
    Some(Options { tls: tls?, server_name: server_name?, roots, identity })
}

/// `host:port`, and the host by itself.
fn address(section: &Section<'_>, target: &str) -> Option<(String, String)> {
    let host = target.rsplit_once(':').filter(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
    });
    let Some((host, _)) = host else {
        section.refuse("target", "write it as `host:port`, such as `syslog.example:6514`");
        return None;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some((target.to_owned(), host))
}

fn url(section: &Section<'_>, protocol: Protocol, target: &str, options: Options) -> Option<Place> {
    let parsed: Option<hyper::Uri> = target.parse().ok();
    let parts = parsed.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?, uri)));
    let Some((scheme @ ("https" | "http"), host, uri)) = parts else {
        section.refuse("target", "write it as a URL, such as `https://otlp.example:4318`");
        return None;
    };
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
        "/" => protocol.path(),
        path => path,
    };
    let options = Options { tls: scheme == "https", ..options };
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    network(section, format!("{host}:{port}"), plain, path.to_owned(), options)
}

/// What happens in a fleet is not for everybody to read.
fn network(
    section: &Section<'_>,
    address: String,
    host: &str,
    path: String,
    options: Options,
) -> Option<Place> {
    let Options { tls, server_name, roots, identity } = options;
    if !tls {
        let loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !loopback {
            section.refuse("target", "without TLS events go to an address of this machine only");
            return None;
        }
        return Some(Place::Network { address, path, tls: None });
    }
    let server_name = server_name.unwrap_or_else(|| host.to_owned());
    Some(Place::Network { address, path, tls: Some(Tls { server_name, roots, identity }) })
}
