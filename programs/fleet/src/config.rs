//! The configuration file: raw TOML to a checked [`Config`], every fault told at once.
//! What this is not: a reader of the files it names; `Trust::load` in `verifier` is.

mod audit;
mod authority;
mod collector;
mod crl;
mod database;
mod operator;
mod upstream;

pub use audit::{Audit, LogKeyPlace};
pub use authority::{
    Approval, AuthoritySettings, CaSettings, IssuingSettings, KeyPlace, NamePattern,
    ProfileSettings, Proof,
};
pub use collector::{Collector, Place, Protocol, Tls};
pub use crl::CrlSettings;
pub(crate) use database::server;
pub use database::{Database, PostgresSettings};
pub use operator::{OperatorEntry, Role};
pub use upstream::{ClientKey, UpstreamSettings};

use crate::store::{ListLimits, ResponseLimit, VerdictRules};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use touchstone_crypto::HashAlgorithm;
use touchstone_evidence::PcrSelection;
use touchstone_evidence::endorse::Wanted;
use touchstone_settings::{Faults, Section};

/// What `--print-default` prints, and what a new installation starts from.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Everything that the owner of the fleet decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The fleet's name.
    pub name: String,
    /// The tenant that rows, events and results carry.
    pub tenant: String,
    /// Where keys, the database and the audit log live.
    pub state_dir: PathBuf,
    /// The listener for devices and checkpoints.
    pub device: DeviceListener,
    /// The listener for people and the command line.
    pub console: ConsoleListener,
    /// The listener for certificate status.
    pub ocsp: OcspListener,
    /// The CRLs.
    pub crl: CrlSettings,
    /// Whom to believe, and what to require.
    pub trust: TrustFiles,
    /// The rhythm of attestation.
    pub appraisal: Appraisal,
    /// The CAs, and what they issue.
    pub authority: AuthoritySettings,
    /// How certificates follow the verdict.
    pub verdict: VerdictRules,
    /// How many devices may be told to act at once.
    pub respond: ResponseLimit,
    /// What may be open at once.
    pub limits: Limits,
    /// The audit log.
    pub audit: Audit,
    /// Who gets every entry of it.
    pub collectors: Vec<Collector>,
    /// Where the records are.
    pub database: Database,
    /// Operators beyond the one that `init` creates.
    pub operators: Vec<OperatorEntry>,
}

/// `[device]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceListener {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// DNS names and IP addresses of the server certificate.
    pub names: Vec<String>,
}

/// `[console]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleListener {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Serve it with the fleet's server certificate.
    pub tls: bool,
}

/// `[ocsp]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspListener {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The responder's URL in issued certificates (RFC 5280 §4.2.2.1).
    pub url: Option<String>,
    /// For how long an answer holds.
    pub holds: Duration,
}

/// `[trust]`: files, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFiles {
    /// PEM files with the roots of EK certificates.
    pub endorsement_roots: Vec<PathBuf>,
    /// By what a maker has to vouch for a device's TPM.
    pub onboarding: Wanted,
    /// PEM files with the roots of IDevID certificates, and of IAK certificates.
    pub device_roots: Vec<PathBuf>,
    /// PEM files with the certificates of those who may sign reference values.
    pub reference_signers: Vec<PathBuf>,
    /// The policy.
    pub policy: PathBuf,
    /// Who must have signed the policy: each role with its certificate. Without any it is text.
    pub policy_signers: Vec<(String, PathBuf)>,
    /// What policies may speak of beyond what every verifier knows.
    pub policy_schemas: Vec<PathBuf>,
    /// Signed reference values to import on start.
    pub references: Vec<PathBuf>,
}

/// `[appraisal]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    /// How often a device is asked to attest.
    pub interval: Duration,
    /// For how long a result counts.
    pub max_age: Duration,
    /// Intervals of silence after which a device is unreachable.
    pub unreachable_after: u32,
    /// The bank of PCRs that is quoted.
    pub bank: HashAlgorithm,
    /// The PCRs that a quote covers, ascending.
    pub pcrs: Vec<u32>,
}

impl Default for Appraisal {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            max_age: Duration::from_secs(90),
            unreachable_after: 3,
            bank: HashAlgorithm::Sha256,
            pcrs: PcrSelection::boot().pcrs,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 4096,
            sessions_per_peer: 4,
            session_lifetime: Duration::from_mins(1),
            message: 16 << 20,
            connections: 4096,
            lists: ListLimits::default(),
        }
    }
}

impl Appraisal {
    /// The silence after which a device is unreachable, in whole seconds, at least one.
    pub fn silence(&self) -> u64 {
        (self.interval * self.unreachable_after).as_millis().div_ceil(1000).try_into().unwrap_or(1)
    }
}

/// `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Exchanges open at once.
    pub sessions: usize,
    /// Exchanges open at once for one client certificate.
    pub sessions_per_peer: usize,
    /// How long an exchange may take.
    pub session_lifetime: Duration,
    /// Octets in a message.
    pub message: usize,
    /// Connections open at once on one listener.
    pub connections: usize,
    /// How much of IMA lists is taken.
    pub lists: ListLimits,
}

/// Reads and checks `text`; relative paths are taken from `base`.
pub fn read(file: &str, text: &str, base: &Path) -> Result<Config, Faults> {
    touchstone_settings::read(file, text, |root| config(root, base))
}

fn config(root: &Section<'_>, base: &Path) -> Option<Config> {
    let name = word(root, "name", "touchstone");
    let tenant = word(root, "tenant", "default");
    let state_dir = root.required("state_dir").map(|path: PathBuf| base.join(path));
    let device = root.section("device").and_then(|section| device(&section));
    let console = root.section("console").and_then(|section| console(&section));
    let ocsp = root.section("ocsp").and_then(|section| ocsp(&section));
    let crl = optional(root, "crl", CrlSettings::default(), crl::read);
    let trust = root.section("trust").and_then(|section| trust(&section, base));
    let appraisal = optional(root, "appraisal", Appraisal::default(), appraisal);
    let authority = authority::read(root, base);
    let verdict = optional(root, "verdict", VerdictRules::default(), verdict);
    let respond = optional(root, "respond", ResponseLimit::default(), respond);
    let limits = optional(root, "limits", Limits::default(), limits);
    let audit = optional(root, "audit", Audit::default(), audit::read);
    let collectors = collectors(root, base);
    let database =
        optional(root, "database", Database::default(), |section| database::read(section, base));
    let operators: Vec<Option<OperatorEntry>> =
        root.sections("operator").iter().map(|section| operator::read(section, base)).collect();
    Some(Config {
        name: name?,
        tenant: tenant?,
        state_dir: state_dir?,
        device: device?,
        console: console?,
        ocsp: ocsp?,
        crl: crl?,
        trust: trust?,
        appraisal: appraisal?,
        authority: authority?,
        verdict: verdict?,
        respond: respond?,
        limits: limits?,
        audit: audit?,
        collectors: collectors?,
        database: database?,
        operators: operators.into_iter().collect::<Option<_>>()?,
    })
}

/// A section that may be left out.
fn optional<T>(
    root: &Section<'_>,
    key: &'static str,
    default: T,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Option<T> {
    match root.optional_section(key) {
        Some(section) => read(&section),
        None => Some(default),
    }
}

fn word(section: &Section<'_>, key: &'static str, default: &str) -> Option<String> {
    let word: String = section.or(key, default.to_owned())?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if word.is_empty() || word.len() > 64 || !word.chars().all(good) {
        section.refuse(key, "use 1 to 64 letters, digits, `-`, `_` or `.`");
        return None;
    }
    Some(word)
}

fn device(section: &Section<'_>) -> Option<DeviceListener> {
    let listen = section.required("listen");
    let names: Option<Vec<String>> = section.list("names");
    if names.as_ref().is_some_and(Vec::is_empty) {
        section.refuse("names", "name at least one DNS name or IP address that devices connect to");
        return None;
    }
    Some(DeviceListener { listen: listen?, names: names? })
}

fn console(section: &Section<'_>) -> Option<ConsoleListener> {
    let listen: Option<SocketAddr> = section.required("listen");
    let tls = section.flag("tls", false);
    if let (Some(listen), Some(false)) = (listen, tls)
        && !listen.ip().is_loopback()
    {
        section.refuse("listen", "beyond loopback the console needs `tls = true`");
        return None;
    }
    Some(ConsoleListener { listen: listen?, tls: tls? })
}

fn ocsp(section: &Section<'_>) -> Option<OcspListener> {
    let listen = section.required("listen");
    let url: Option<Option<String>> = section.optional("url");
    if let Some(Some(url)) = &url
        && !url.starts_with("http://")
    {
        section.refuse("url", "an OCSP responder is named by an http:// URL");
        return None;
    }
    let holds = section.duration("holds", Duration::from_secs(10));
    let holds = holds.and_then(|holds| within(section, "holds", holds, 2, 7 * 86400));
    Some(OcspListener { listen: listen?, url: url?, holds: holds? })
}

fn trust(section: &Section<'_>, base: &Path) -> Option<TrustFiles> {
    let paths = |key: &'static str, needed: bool| -> Option<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = section.list(key)?;
        if needed && paths.is_empty() {
            section.refuse(key, "name at least one PEM file");
            return None;
        }
        Some(paths.into_iter().map(|path| base.join(path)).collect())
    };
    let onboarding = onboarding(section);
    let by_iak = onboarding == Some(Wanted::Iak);
    let endorsement_roots = paths("endorsement_roots", !by_iak);
    if by_iak && endorsement_roots.as_ref().is_some_and(|roots| !roots.is_empty()) {
        section.refuse(
            "endorsement_roots",
            "nothing reads it where `onboarding = \"iak\"`; leave it out",
        );
    }
    let device_roots = paths("device_roots", true);
    let reference_signers = paths("reference_signers", true);
    let policy = section.required("policy").map(|path: PathBuf| base.join(path));
    let policy_signers = policy_signers(section, base);
    let policy_schemas = paths("policy_schemas", false);
    let references = paths("references", false);
    Some(TrustFiles {
        endorsement_roots: endorsement_roots?,
        onboarding: onboarding?,
        device_roots: device_roots?,
        reference_signers: reference_signers?,
        policy: policy?,
        policy_signers: policy_signers?,
        policy_schemas: policy_schemas?,
        references: references?,
    })
}

/// By what a maker has to vouch for a device's TPM.
fn onboarding(section: &Section<'_>) -> Option<Wanted> {
    let written: String = section.or("onboarding", "either".to_owned())?;
    match written.as_str() {
        "either" => Some(Wanted::Either),
        "endorsement-key" => Some(Wanted::EndorsementKey),
        "iak" => Some(Wanted::Iak),
        "both" => Some(Wanted::Both),
        _ => {
            let words = "write \"either\", \"endorsement-key\", \"iak\" or \"both\"";
            section.refuse("onboarding", words);
            None
        }
    }
}

/// Roles with the certificates that fill them: `"security=security.pem"`.
fn policy_signers(section: &Section<'_>, base: &Path) -> Option<Vec<(String, PathBuf)>> {
    let written: Vec<String> = section.list("policy_signers")?;
    let mut signers: Vec<(String, PathBuf)> = Vec::new();
    for entry in &written {
        let sides = entry.split_once('=').filter(|(name, file)| {
            !name.is_empty() && !file.is_empty() && !signers.iter().any(|(known, _)| known == name)
        });
        let Some((name, file)) = sides else {
            section.refuse("policy_signers", "write each as `ROLE=FILE`, and each role once");
            return None;
        };
        signers.push((name.to_owned(), base.join(file)));
    }
    Some(signers)
}

fn appraisal(section: &Section<'_>) -> Option<Appraisal> {
    let interval = section.duration("interval", Duration::from_secs(30));
    let max_age = section.duration("max_age", Duration::from_secs(90));
    let unreachable_after = section.integer("unreachable_after", 1..=1000, 3);
    let (bank, pcrs) = (bank(section), pcrs(section));
    if let (Some(interval), Some(max_age)) = (interval, max_age) {
        if interval < Duration::from_millis(100) || interval > Duration::from_hours(24) {
            section.refuse("interval", "use 100ms to 1d");
            return None;
        }
        if max_age < interval || max_age.subsec_millis() != 0 || max_age.is_zero() {
            section.refuse("max_age", "use whole seconds, and no less than `interval`");
            return None;
        }
    }
    Some(Appraisal {
        interval: interval?,
        max_age: max_age?,
        unreachable_after: u32::try_from(unreachable_after?).ok()?,
        bank: bank?,
        pcrs: pcrs?,
    })
}

/// SHA-1 is none: whoever can write a log can forge what leads to its values.
fn bank(section: &Section<'_>) -> Option<HashAlgorithm> {
    let name: String = section.or("bank", HashAlgorithm::Sha256.name().to_owned())?;
    let bank = HashAlgorithm::from_name(&name).filter(|bank| *bank != HashAlgorithm::Sha1);
    if bank.is_none() {
        section.refuse("bank", "use sha256, sha384 or sha512, as the devices' TPMs have it");
    }
    bank
}

/// PCRs 0 to 23 (TCG PC Client Platform TPM Profile §4.6).
fn pcrs(section: &Section<'_>) -> Option<Vec<u32>> {
    let mut pcrs: Vec<u32> = section.list("pcrs")?;
    if pcrs.is_empty() {
        pcrs = PcrSelection::boot().pcrs;
    }
    pcrs.sort_unstable();
    pcrs.dedup();
    if pcrs.last().is_some_and(|&last| last > 23) {
        section.refuse("pcrs", "a platform has the registers 0 to 23");
        return None;
    }
    Some(pcrs)
}

fn verdict(section: &Section<'_>) -> Option<VerdictRules> {
    let default = VerdictRules::default();
    let span = |key: &'static str, default: u64, most: u64| {
        let span = section.duration(key, Duration::from_secs(default))?;
        within(section, key, span, 0, most).map(|span| span.as_secs())
    };
    let warning_lifetime = span("warning_lifetime", default.warning_lifetime, 30 * 86400);
    let revoke_after = section.integer("revoke_after", 1..=20, default.revoke_after.into());
    let settle = span("settle", default.settle, 86400);
    let settle_most = span("settle_most", default.settle_most, 86400);
    Some(VerdictRules {
        warning_lifetime: warning_lifetime?,
        revoke_after: u32::try_from(revoke_after?).ok()?,
        settle: settle?,
        settle_most: settle_most?,
    })
}

fn respond(section: &Section<'_>) -> Option<ResponseLimit> {
    let default = ResponseLimit::default();
    let devices = section.integer("devices", 0..=1_000_000, default.devices.into());
    let every = section.duration("every", default.every);
    let every = every.and_then(|every| within(section, "every", every, 1, 30 * 86400));
    Some(ResponseLimit { devices: u32::try_from(devices?).ok()?, every: every? })
}

fn limits(section: &Section<'_>) -> Option<Limits> {
    let sessions = section.integer("sessions", 1..=1_000_000, 4096);
    let per_peer = section.integer("sessions_per_peer", 1..=1000, 4);
    let lifetime = section.duration("session_lifetime", Duration::from_mins(1));
    let message = section.integer("message", 65536..=(64 << 20), 16 << 20);
    let connections = section.integer("connections", 1..=1_000_000, 4096);
    let lifetime = lifetime.and_then(|it| within(section, "session_lifetime", it, 1, 3600));
    let lists = list_limits(section);
    Some(Limits {
        sessions: usize::try_from(sessions?).ok()?,
        sessions_per_peer: usize::try_from(per_peer?).ok()?,
        session_lifetime: lifetime?,
        message: usize::try_from(message?).ok()?,
        connections: usize::try_from(connections?).ok()?,
        lists: lists?,
    })
}

fn list_limits(section: &Section<'_>) -> Option<ListLimits> {
    let default = ListLimits::default();
    let octets = section.integer("ima_list", (1 << 20)..=(1 << 30), default.octets);
    let entries = section.integer("ima_entries", 1000..=4_000_000, default.entries.into());
    let pending = section.integer("ima_pending", (1 << 20)..=(1 << 40), default.pending);
    let lifetime = section.duration("ima_pending_lifetime", default.lifetime);
    let lifetime = lifetime.and_then(|it| within(section, "ima_pending_lifetime", it, 10, 86400));
    Some(ListLimits {
        octets: octets?,
        entries: u32::try_from(entries?).ok()?,
        pending: pending?,
        lifetime: lifetime?,
    })
}

fn collectors(root: &Section<'_>, base: &Path) -> Option<Vec<Collector>> {
    let syslog = root.optional_section("syslog").map(|section| collector::syslog(&section, base));
    let sections = root.sections("collector");
    let mut named = sections.iter().map(|section| (section, collector::read(section, base)));
    let mut collectors: Vec<Collector> = syslog.into_iter().collect::<Option<_>>()?;
    let mut good = true;
    for (section, collector) in named.by_ref() {
        let Some(collector) = collector else {
            good = false;
            continue;
        };
        if collectors.iter().any(|other| other.name == collector.name) {
            section.refuse("name", "another collector has this name; give each their own");
            good = false;
        }
        collectors.push(collector);
    }
    good.then_some(collectors)
}

fn within(
    section: &Section<'_>,
    key: &'static str,
    span: Duration,
    least: u64,
    most: u64,
) -> Option<Duration> {
    if (least..=most).contains(&span.as_secs()) {
        return Some(span);
    }
    section.refuse(key, format!("use {least} to {most} seconds"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Config, Faults> {
        read("fleet.toml", text, Path::new("/etc/touchstone"))
    }

    fn faults(from: &str, to: &str) -> String {
        assert!(DEFAULT.contains(from), "{from}");
        check(&DEFAULT.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn the_printed_default_is_a_configuration() {
        let config = check(DEFAULT).unwrap();
        assert_eq!(config.trust.policy, Path::new("/etc/touchstone/policy.txt"));
        assert_eq!(config.appraisal.silence(), 90);
        assert!(
            config.device.listen.ip().is_loopback() && config.console.listen.ip().is_loopback()
        );
        assert_eq!((config.collectors.len(), config.audit), (0, Audit::default()));
    }

    #[test]
    fn a_section_that_is_left_out_is_as_printed() {
        let end = DEFAULT.find("[appraisal]").unwrap();
        assert_eq!(check(&DEFAULT[..end]).unwrap(), check(DEFAULT).unwrap());
    }

    #[test]
    fn the_commented_examples_are_a_configuration_too() {
        let mut text = String::new();
        let mut example = false;
        for line in DEFAULT.lines() {
            example |= line.starts_with("# [");
            text.push_str(if example { line.trim_start_matches("# ") } else { line });
            text.push('\n');
            example &= !line.is_empty();
        }
        let config = check(&text).unwrap();
        assert_eq!(config.operators[0].role, Role::Viewer);
        let names: Vec<&str> = config.collectors.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["soc", "lake", "splunk", "local"]);
        let key = config.collectors[0].secrets().next().unwrap();
        assert_eq!(key.path(), Path::new("/etc/touchstone/fleet-collector.key"));
    }

    #[test]
    fn every_fault_is_told_with_its_line_and_remedy() {
        let text = DEFAULT
            .replace("listen = \"127.0.0.1:8080\"", "listen = \"0.0.0.0:8080\"")
            .replace("interval = \"30s\"", "interval = \"30 parsecs\"")
            .replace("sessions_per_peer", "session_per_peer")
            .replace("bank = \"sha256\"", "bank = \"sha1\"")
            .replace("pcrs = [\"0\",", "pcrs = [\"24\",");
        let told = check(&text).unwrap_err().to_string();
        for expected in [
            "`listen` is not usable: beyond loopback the console needs `tls = true`",
            "`interval` is not a duration",
            "no field named `session_per_peer` in [limits]; did you mean `sessions_per_peer`?",
            "`bank` is not usable: use sha256, sha384 or sha512",
            "`pcrs` is not usable: a platform has the registers 0 to 23",
        ] {
            assert!(told.contains(expected), "{expected}\n---\n{told}");
        }
        assert_eq!(told.lines().count(), 5, "{told}");
        assert!(told.lines().all(|line| line.starts_with("fleet.toml:")), "{told}");
    }

    #[test]
    fn a_secret_in_the_file_is_refused() {
        let text =
            format!("{DEFAULT}\n[[operator]]\nname = 'noc'\nrole = 'viewer'\ntoken = 'hunter2'\n");
        let told = check(&text).unwrap_err().to_string();
        assert!(told.contains(r#"write "file:/path/to/it""#), "{told}");
        assert!(!told.contains("hunter2"), "a secret is not repeated: {told}");
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        assert!(
            faults("max_age = \"90s\"", "max_age = \"9s\"").contains("no less than `interval`")
        );
        assert!(faults("[\"localhost\", \"127.0.0.1\"]", "[]").contains("at least one DNS name"));
        assert!(faults("\"http://127", "\"https://127").contains("an http:// URL"));
        assert!(faults("name = \"touchstone\"", "name = \"a b\"").contains("letters, digits"));
        let half = format!("{DEFAULT}\n[syslog]\ntarget = 'h:1'\ncertificate = 'c.pem'\n");
        assert!(check(&half).unwrap_err().to_string().contains("come together or not at all"));
        let no_port = format!("{DEFAULT}\n[syslog]\ntarget = 'host'\n");
        assert!(check(&no_port).unwrap_err().to_string().contains("`host:port`"));
        assert!(faults("keep = 17179869184", "keep = 70000000").contains("twice as much"));
        assert!(faults("# key = \"audit\"", "key = \"audit\"").contains("come together"));
    }

    #[test]
    fn another_ca_that_could_not_be_asked_is_refused() {
        let told = |more: &str, profile: &str| {
            let text = format!(
                "{DEFAULT}\n[[authority.upstream]]\nname = 'corp'\n{more}\n\
                 [[authority.profile]]\nname = 'site'\nkind = 'client'\nissuing = 'corp'\n{profile}\n"
            );
            check(&text).map_or_else(|faults| faults.to_string(), |_| String::new())
        };
        let place = "url = 'https://ca.example'\ntrust = ['ca.pem']\n";
        let shown = format!("{place}certificate = 'ra.pem'\nkey = 'file:ra.key'");
        assert_eq!(told(&shown, ""), "");
        for (more, profile, words) in [
            (place, "", "wants to know who asks"),
            ("url = 'http://ca.example'\ntrust = ['ca.pem']", "", "https://HOST[:PORT], without"),
            ("url = 'https://ca.example/est'\ntrust = ['ca.pem']", "", "without a path"),
            ("url = 'https://ca.example'\nuser = 'a'\npassword = 'file:p'", "", "at least one PEM"),
            (&format!("{place}user = 'a'"), "", "come together or not at all"),
            (&format!("{place}certificate = 'ra.pem'"), "", "come together or not at all"),
            (&format!("{place}certificate = 'c'\nkey = 'hunter2'"), "", "a client's key is"),
            (
                &format!("{place}certificate = 'c'\nkey = 'element:tpm/ra'"),
                "",
                "name the tpm element",
            ),
            (&format!("{shown}\nlabel = 'a/b'"), "", "one part of a path"),
            (&format!("{shown}\npatience = '1h'"), "", "use 1 to 300 seconds"),
            (&shown, "proof = 'by-hand'", "not for `corp`"),
            (&shown, "must_staple = true", "not for `corp`"),
            (&shown, "approval = 'operator-alone'", "for the profile `client` alone"),
            (&shown, "proof = 'by-hand'\napproval = 'operator'", "nothing to approve"),
            (&shown, "approval = 'somebody'", "`none`, `operator` or `operator-alone`"),
            (&shown, "approval = 'operator'\napproval_lasts = '1s'", "use 60 to"),
        ] {
            let told = told(more, profile);
            assert!(told.contains(words), "{more} {profile}: {told}");
        }
        let next = DEFAULT.replacen("next = false", "next = true", 1);
        assert!(check(&next).unwrap_err().to_string().contains("cannot be the next one"));
    }

    #[test]
    fn a_collector_that_could_not_be_spoken_to_is_refused() {
        let told = |section: &str| {
            let text = format!("{DEFAULT}\n[[collector]]\nname = 'a'\n{section}\n");
            check(&text).unwrap_err().to_string()
        };
        for (section, words) in [
            ("protocol = 'kafka'\ntarget = 'h:1'", "protocols are `syslog`, `relp`"),
            ("protocol = 'relp'\ntarget = 'h'", "`host:port`"),
            ("protocol = 'relp'\ntarget = 'h:1'\ntls = false", "of this machine only"),
            ("protocol = 'relp'\ntarget = '10.0.0.1:1'\ntls = false", "of this machine only"),
            ("protocol = 'otlp'\ntarget = 'h:1'", "write it as a URL"),
            ("protocol = 'otlp'\ntarget = 'http://h:1'", "of this machine only"),
            ("protocol = 'otlp'\ntarget = 'https://h'\nformat = 'cef'", "carries otlp"),
            ("protocol = 'hec'\ntarget = 'https://h'", "Splunk wants a token"),
            (
                "protocol = 'file'\ntarget = 'f'\n[[collector]]\nname = 'a'\nprotocol = 'file'\ntarget = 'g'",
                "another collector has this name",
            ),
        ] {
            let told = told(section);
            assert!(told.contains(words), "{section}: {told}");
        }
        let text = format!(
            "{DEFAULT}\n[[collector]]\nname = 'a'\nprotocol = 'otlp'\ntarget = 'http://127.0.0.1:4318'\n"
        );
        let config = check(&text).unwrap();
        let (address, path) = ("127.0.0.1:4318".to_owned(), "/v1/logs".to_owned());
        assert_eq!(config.collectors[0].place, Place::Network { address, path, tls: None });
    }
}
