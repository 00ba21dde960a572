//! What the agent observed, as claims: each of the type that the catalogue says, or nothing, with
//! the reason.

use super::Source;
use crate::references::{Signed, View};
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use touchstone_evidence::RuntimeClaims;
use touchstone_evidence::runtime::{Observation, Observed};
use touchstone_policy::{Catalog, Type, Value};

/// The claims that agents make by looking, with their types.
struct Claim {
    name: &'static str,
    kind: fn() -> Type,
    about: &'static str,
}

const CLAIMS: &[Claim] = &[
    claim("runtime.patched-pages", finding, "code pages that differ from their files"),
    claim(
        "runtime.breakpoints",
        finding,
        "code pages that differ by breakpoints only: uprobes, debuggers",
    ),
    claim(
        "runtime.generated-code",
        finding,
        "processes with executable memory that no file backs (JIT)",
    ),
    claim(
        "runtime.writable-code",
        finding,
        "processes with memory that is writable and executable",
    ),
    claim("runtime.deleted-code", finding, "code of files that were deleted, as after an upgrade"),
    claim("runtime.memfd-code", finding, "code of files that never were on a disk"),
    claim("runtime.preloaded", finding, "libraries that were preloaded"),
    claim("runtime.changed-relro", finding, "read-only pages that changed after the start"),
    claim("runtime.unreadable", finding, "processes that the agent may not look into"),
    claim("runtime.mapped-files", mapped, "the files whose code is mapped, with their digests"),
    claim("system.lockdown", text, "the kernel's lockdown: none, integrity or confidentiality"),
    claim("system.module-signatures", boolean, "the kernel loads signed modules only, or none"),
    claim("system.taint", integer, "the kernel's taint, a bit for each reason"),
    claim("system.secure-boot", boolean, "the firmware's variable says that Secure Boot is on"),
    claim("system.security-modules", texts, "the security modules in force"),
    claim("system.kexec-disabled", boolean, "nobody can start another kernel"),
    claim("system.debugfs", boolean, "debugfs is mounted"),
    claim("system.bpf-programs", bpf, "BPF programs that were loaded into the kernel"),
    claim(
        "system.kernel-events",
        events,
        "what tells the agent at once that code may have changed: bpf-lsm, fanotify or none",
    ),
    claim("config.mounts", mounts, "what is mounted, with which protection"),
    claim("config.listening", listening, "sockets that wait for others"),
    claim(
        "config.insecure-services",
        services,
        "services that others can reach and that protect nothing",
    ),
    claim("config.time-synchronised", boolean, "the clock is kept right"),
    claim("config.weak-tls", setting, "weak protocols and ciphers that are configured"),
    claim("config.insecure-settings", setting, "settings that let in whoever should not be"),
    claim(
        "config.weak-passwords",
        accounts,
        "accounts with an empty, given or badly kept password",
    ),
    claim("config.private-keys", keys, "private keys that lie in files"),
    claim("config.world-writable", paths, "programs and units that anybody can change"),
    claim(
        "config.privileged-programs",
        privileged,
        "programs that run as their owner (SUID, SGID)",
    ),
    claim("config.expiring-certificates", certificates, "certificates that run out within 30 days"),
    claim("config.firewall", firewall, "the rules in force, by their digest"),
    claim("operation.uptime", duration, "the time since the last start"),
    claim("operation.pressure", pressure, "waiting for resources, in hundredths of a percent"),
    claim("operation.disks", disks, "how full each disk is"),
    claim("operation.disk-faults", faults, "disks with errors, or at the end of their life"),
    claim(
        "operation.disk-health",
        health,
        "every disk: good, failing, or untold, as far as the kernel says",
    ),
    claim("operation.temperatures", temperatures, "how hot it is, and whether too hot"),
    claim("operation.flapping-units", units, "services that were started anew again and again"),
    claim("operation.clock-jumps", integer, "how often the clock was set since the agent's start"),
    claim(
        "agent.responses",
        responses,
        "the countermeasures that the agent took, or was kept from",
    ),
];

const fn claim(name: &'static str, kind: fn() -> Type, about: &'static str) -> Claim {
    Claim { name, kind, about }
}

/// Claims that are made here of what agents observe.
const FAILED: &str = "agent.failed-collectors";
const UNRELEASED: &str = "runtime.unreleased-files";

/// Their names and types.
pub(crate) fn catalog(catalog: Catalog) -> Catalog {
    let with = |catalog: Catalog, it: &Claim| catalog.with(it.name, (it.kind)(), it.about);
    CLAIMS
        .iter()
        .fold(catalog, with)
        .with(FAILED, failures(), "what the agent could not observe, and why")
        .with(
            UNRELEASED,
            mapped(),
            "files with mapped code that no reference and no publisher knows",
        )
}

/// A claim, if it is one of these: its value and how old it is, or why there is none.
pub(super) fn made(name: &str, source: &Source<'_>) -> Option<Result<(Value, Duration), String>> {
    let runtime = source.evidence.runtime;
    match name {
        FAILED => return Some(Ok((failed(runtime), Duration::ZERO))),
        UNRELEASED => return Some(unreleased(source)),
        _ => {}
    }
    let known = CLAIMS.iter().find(|claim| claim.name == name)?;
    Some(of(known, runtime))
}

/// The name as it stands in the table.
pub(super) fn name_of(name: &str) -> Option<&'static str> {
    let mut known = CLAIMS.iter().map(|claim| claim.name).chain([FAILED, UNRELEASED]);
    known.find(|known| *known == name)
}

fn of(known: &Claim, runtime: &RuntimeClaims) -> Result<(Value, Duration), String> {
    let mut told = runtime.observations.iter().filter(|it| it.name == known.name);
    let one = told.next().ok_or("the agent does not tell; is it older than this claim?")?;
    if told.next().is_some() {
        return Err("the agent tells it twice".to_owned());
    }
    match &one.found {
        Err(failure) => {
            Err(format!("the agent could not tell: {} ({})", failure.words, failure.code))
        }
        Ok(observed) => {
            let value = value(observed);
            if value.is(&(known.kind)()) {
                Ok((value, Duration::from_millis(one.age_ms)))
            } else {
                Err("what the agent tells is of another type".to_owned())
            }
        }
    }
}

fn value(observed: &Observed) -> Value {
    match observed {
        Observed::Boolean(truth) => (*truth).into(),
        Observed::Integer(number) => (*number).into(),
        Observed::Text(text) => text.as_str().into(),
        Observed::Digest(digest) => (*digest).into(),
        Observed::Span(millis) => Duration::from_millis(*millis).into(),
        Observed::Time(seconds) => {
            Value::Time(touchstone_policy::Time::from_unix(u64::try_from(*seconds).unwrap_or(0)))
        }
        Observed::List(values) => Value::list(values.iter().map(value)),
        Observed::Record(fields) => Value::Record(
            fields.iter().map(|(name, field)| (name.clone().into(), value(field))).collect(),
        ),
    }
}

/// Collectors that failed, each with its words.
fn failed(runtime: &RuntimeClaims) -> Value {
    let failed = |it: &Observation| {
        let failure = it.found.as_ref().err()?;
        Some(Value::record([
            ("claim", it.name.as_str().into()),
            ("code", failure.code.as_str().into()),
            ("why", format!("{}: {}", it.name, failure.words).into()),
        ]))
    };
    Value::list(runtime.observations.iter().filter_map(failed))
}

/// Files whose code is mapped and that nobody vouches for: neither a reference by path and digest,
/// nor a publisher's signature over a file of that digest that IMA measured. A file that is known on
/// the disk and was changed in the page cache is among them.
fn unreleased(source: &Source<'_>) -> Result<(Value, Duration), String> {
    let claim = CLAIMS.iter().find(|claim| claim.name == "runtime.mapped-files");
    let claim = claim.ok_or("there is no claim of mapped files")?;
    let (_, age) = of(claim, source.evidence.runtime)?;
    let told = source.evidence.runtime.observations.iter().find(|it| it.name == claim.name);
    let Some(Ok(Observed::List(files))) = told.map(|it| it.found.as_ref()) else {
        return Err("the agent does not list the mapped files".to_owned());
    };
    let unknown = files.iter().filter_map(|file| {
        let Observed::Record(fields) = file else { return None };
        let path = fields.iter().find_map(|(name, value)| match value {
            Observed::Text(path) if name == "path" => Some(path.as_str()),
            _ => None,
        })?;
        let digest = fields.iter().find_map(|(_, value)| match value {
            Observed::Digest(digest) => Some(digest),
            _ => None,
        });
        if !source.references.covers(path) {
            return None;
        }
        if digest.is_some_and(|digest| is_known(source, source.references, path, digest)) {
            return None;
        }
        let is = digest.map_or_else(|| "unreadable".to_owned(), ToString::to_string);
        let why = match source.references.expected(path) {
            Some(expected) => {
                format!("code of {path} is mapped; the file is {is}, expected {expected}")
            }
            None => format!(
                "code of {path} ({is}) is mapped; neither a reference nor a publisher knows it"
            ),
        };
        let mut fields: Vec<_> =
            fields.iter().map(|(name, field)| (name.clone().into(), value(field))).collect();
        fields.push(("why".into(), why.into()));
        Some(Value::Record(fields.into_iter().collect()))
    });
    Ok((Value::list(unknown), age))
}

fn is_known(
    source: &Source<'_>,
    references: &View<'_>,
    path: &str,
    digest: &touchstone_crypto::Digest,
) -> bool {
    if references.file(path, digest).is_some() {
        return true;
    }
    source
        .evidence
        .ima
        .entries()
        .filter(|entry| entry.digest().as_ref() == Some(digest))
        .any(|entry| matches!(references.signed(source.crypto, &entry), Signed::By(..)))
}

fn boolean() -> Type {
    Type::Boolean
}

fn integer() -> Type {
    Type::Integer
}

fn text() -> Type {
    Type::Text
}

fn duration() -> Type {
    Type::Duration
}

fn texts() -> Type {
    Type::list(Type::Text)
}

fn records<const N: usize>(fields: [(&'static str, Type); N]) -> Type {
    Type::list(Type::record(fields))
}

fn finding() -> Type {
    records([
        ("process", Type::Text),
        ("pid", Type::Integer),
        ("path", Type::Text),
        ("offset", Type::Integer),
        ("why", Type::Text),
    ])
}

fn mapped() -> Type {
    records([
        ("path", Type::Text),
        ("digest", Type::Digest),
        ("processes", Type::Integer),
        ("age", Type::Duration),
        ("why", Type::Text),
    ])
}

fn bpf() -> Type {
    records([("tag", Type::Text), ("name", Type::Text)])
}

fn events() -> Type {
    Type::record([("source", Type::Text), ("lost", Type::Integer), ("why", Type::Text)])
}

fn mounts() -> Type {
    records([
        ("target", Type::Text),
        ("type", Type::Text),
        ("source", Type::Text),
        ("read-only", Type::Boolean),
        ("nosuid", Type::Boolean),
        ("nodev", Type::Boolean),
        ("noexec", Type::Boolean),
    ])
}

fn listening() -> Type {
    records([
        ("protocol", Type::Text),
        ("address", Type::Text),
        ("port", Type::Integer),
        ("local", Type::Boolean),
    ])
}

fn services() -> Type {
    records([
        ("protocol", Type::Text),
        ("address", Type::Text),
        ("port", Type::Integer),
        ("local", Type::Boolean),
        ("service", Type::Text),
        ("why", Type::Text),
    ])
}

fn setting() -> Type {
    records([
        ("path", Type::Text),
        ("line", Type::Integer),
        ("setting", Type::Text),
        ("why", Type::Text),
    ])
}

fn accounts() -> Type {
    records([("user", Type::Text), ("why", Type::Text)])
}

fn keys() -> Type {
    records([
        ("path", Type::Text),
        ("encrypted", Type::Boolean),
        ("readable-by-others", Type::Boolean),
        ("why", Type::Text),
    ])
}

fn paths() -> Type {
    records([("path", Type::Text), ("why", Type::Text)])
}

fn privileged() -> Type {
    records([
        ("path", Type::Text),
        ("digest", Type::Digest),
        ("owner", Type::Integer),
        ("mode", Type::Text),
    ])
}

fn certificates() -> Type {
    records([
        ("path", Type::Text),
        ("subject", Type::Text),
        ("not-after", Type::Time),
        ("why", Type::Text),
    ])
}

fn firewall() -> Type {
    Type::record([
        ("digest", Type::Digest),
        ("chains", Type::Integer),
        ("drops-input", Type::Boolean),
    ])
}

fn pressure() -> Type {
    Type::record([("cpu", Type::Integer), ("memory", Type::Integer), ("io", Type::Integer)])
}

fn disks() -> Type {
    records([
        ("target", Type::Text),
        ("used-percent", Type::Integer),
        ("inodes-used-percent", Type::Integer),
    ])
}

fn faults() -> Type {
    records([("device", Type::Text), ("why", Type::Text)])
}

fn health() -> Type {
    records([
        ("device", Type::Text),
        ("kind", Type::Text),
        ("health", Type::Text),
        ("why", Type::Text),
    ])
}

fn temperatures() -> Type {
    records([
        ("zone", Type::Text),
        ("celsius", Type::Integer),
        ("limit", Type::Integer),
        ("too-hot", Type::Boolean),
    ])
}

fn units() -> Type {
    records([("unit", Type::Text), ("restarts", Type::Integer), ("why", Type::Text)])
}

fn failures() -> Type {
    records([("claim", Type::Text), ("code", Type::Text), ("why", Type::Text)])
}

fn responses() -> Type {
    records([
        ("id", Type::Text),
        ("action", Type::Text),
        ("target", Type::Text),
        ("state", Type::Text),
        ("why", Type::Text),
    ])
}
