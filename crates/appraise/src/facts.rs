//! The claims that the policy judges, made of evidence, reference values and what the fleet knows
//! of the device. Only what is asked for is made.

use crate::appraisal::{EventRef, LogName};
use crate::judged::Found;
use crate::references::{Database, Standing, View};
use crate::verifier::DeviceFacts;
use alloc::borrow::{Cow, ToOwned};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;
use touchstone_crypto::{Crypto, Digest};
use touchstone_evidence::Claims as Evidenced;
use touchstone_evidence::claims::{CommandLine, Image, Key, measured_forms};
use touchstone_policy::{ClaimSet, Claims, Time, Value, Version};

mod code;
mod files;
mod kept;
mod observed;
mod present;
mod quote;
mod references;
mod registers;
mod secure_boot;

pub(crate) use observed::catalog as observed_catalog;
pub(crate) use present::Silence;
pub use present::rests_on;
use present::{Nothing, Present};
pub(crate) use quote::catalog as quote_catalog;
pub(crate) use references::ReferenceClaims;

/// What is said about a scalar claim when a control that reads it fails.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(crate) event: Option<EventRef>,
}

/// The claims about one device.
pub(crate) struct Facts {
    references: references::Made,
    now: u64,
    /// How old the evidence is; `None` if its nonce is from the future.
    age: Option<Duration>,
    claims: BTreeMap<String, Value>,
    notes: BTreeMap<&'static str, Vec<Note>>,
    /// How long before the evidence was made some claims were so.
    before: BTreeMap<&'static str, Duration>,
    silence: Silence,
}

impl Claims for Facts {
    fn claim(&self, name: &str) -> Option<&Value> {
        self.references.get(name).map(AsRef::as_ref).or_else(|| self.claims.get(name))
    }

    /// What the fleet itself knows is true now; what the device says was so when it said it.
    fn age(&self, name: &str) -> Option<Duration> {
        let known = ["reference.", "device.", "element.", "evidence."];
        if known.iter().any(|prefix| name.starts_with(prefix)) {
            return Some(Duration::ZERO);
        }
        let before = self.before.get(name).copied().unwrap_or_default();
        self.age.map(|age| age.saturating_add(before))
    }

    fn now(&self) -> Time {
        Time::from_unix(self.now)
    }
}

/// What evidence is compared with.
pub(crate) struct By<'a> {
    pub(crate) crypto: &'a dyn Crypto,
    pub(crate) view: &'a View<'a>,
    pub(crate) reference_claims: &'a ReferenceClaims,
    pub(crate) device: &'a DeviceFacts,
    pub(crate) now: u64,
}

impl Facts {
    /// The claims, and what was found of the list: `known` was found before, of so many entries. A
    /// claim that found nothing because it compares with nothing is none.
    pub(crate) fn new<'n>(
        by: &By<'_>,
        evidence: &Evidenced<'_>,
        wanted: impl Iterator<Item = &'n str>,
        known: Option<(&Found, usize)>,
    ) -> (Self, Found) {
        let By { crypto, view, reference_claims, device, now } = *by;
        let wanted: Vec<&str> = wanted.collect();
        let mut facts = Self {
            references: reference_claims.of(view, wanted.iter().copied()),
            now,
            age: device.evidence_at.and_then(|at| now.checked_sub(at)).map(Duration::from_secs),
            claims: BTreeMap::new(),
            notes: BTreeMap::new(),
            before: BTreeMap::new(),
            silence: Silence::of(evidence, device),
        };
        let nothing = Nothing::default();
        let evidence = Present::of(evidence, &nothing);
        let (found, files) = (RefCell::default(), RefCell::default());
        let wanted_files = files::CLAIMS.into_iter().filter(|claim| wanted.contains(claim));
        let wanted_files = RefCell::new(wanted_files.collect());
        let references = view;
        let source =
            Source { crypto, evidence, references, device, now, known, found, wanted_files, files };
        for name in wanted {
            if facts.silence.about(name).is_some() {
                continue;
            }
            if let Some(made) = observed::made(name, &source) {
                facts.take_observed(name, made);
            } else if let Some(value) = source.claim(name, &mut facts.notes) {
                facts.claims.insert(name.into(), value);
            }
            if facts.claim(name).is_none_or(is_empty)
                && let Some((name, why)) = view.lacks(name)
            {
                facts.claims.remove(name);
                facts.notes.entry(name).or_default().push(Note { text: why, event: None });
            }
        }
        (facts, source.found.into_inner())
    }

    fn take_observed(&mut self, name: &str, made: Result<(Value, Duration), String>) {
        let Some(known) = observed::name_of(name) else { return };
        match made {
            Ok((value, before)) => {
                self.claims.insert(name.into(), value);
                self.before.insert(known, before);
            }
            Err(text) => self.notes.entry(known).or_default().push(Note { text, event: None }),
        }
    }

    pub(crate) fn into_claims(self) -> ClaimSet {
        let ages: Vec<_> = self.claims.keys().map(|name| (name.clone(), self.age(name))).collect();
        let now = self.now();
        let mut claims = self.claims.into_iter().collect::<ClaimSet>().at(now);
        for (name, age) in ages {
            if let Some(age) = age {
                claims.set_age(&name, age);
            }
        }
        claims
    }

    /// Why nothing is said about a claim, if that is known.
    pub(crate) fn silence(&self, claim: &str) -> Option<Cow<'static, str>> {
        self.silence.about(claim)
    }

    pub(crate) fn notes(&self, claim: &str) -> &[Note] {
        self.notes.get(claim).map_or(&[], Vec::as_slice)
    }
}

type Notes = BTreeMap<&'static str, Vec<Note>>;

/// What claims are made from.
struct Source<'a> {
    crypto: &'a dyn Crypto,
    evidence: Present<'a>,
    references: &'a View<'a>,
    device: &'a DeviceFacts,
    now: u64,
    /// What was found before, and of how many entries.
    known: Option<(&'a Found, usize)>,
    found: RefCell<Found>,
    /// Claims about files that will be asked for, until they are made.
    wanted_files: RefCell<Vec<&'static str>>,
    /// Those that are made and were not asked for yet.
    files: RefCell<BTreeMap<&'static str, Vec<Value>>>,
}

impl Source<'_> {
    fn claim(&self, name: &str, notes: &mut Notes) -> Option<Value> {
        let boot = self.evidence.boot;
        let value = match name {
            "device.id" => said(&self.device.id)?,
            "device.tenant" => said(&self.device.tenant)?,
            "device.onboarded" => self.device.onboarded?.into(),
            "device.endorsed" => self.device.endorsed?.into(),
            "device.proofs" => {
                let proofs = self.device.proofs.as_ref()?.iter();
                Value::list(proofs.map(|proof| proof.as_str().into()))
            }
            "element.kind" => self.device.element_kind.as_deref()?.into(),
            // A nonce from the future has no age; the control is not met.
            "evidence.age" => {
                Duration::from_secs(self.now.checked_sub(self.device.evidence_at?)?).into()
            }
            _ if name.starts_with("quote.") => quote::claim(name, self.evidence.claims)?,
            "agent.version" => self.evidence.runtime.agent_version.parse::<Version>().ok()?.into(),
            "components" => self.components(|_, _| true),
            "components.outdated" => self.outdated_components(notes)?,
            "boot.secure-boot" => self.secure_boot(notes)?,
            "boot.pk" => {
                self.variable("boot.pk", boot.platform_keys.as_deref(), Database::Pk, notes)?
            }
            "boot.kek" => {
                self.variable("boot.kek", boot.key_exchange_keys.as_deref(), Database::Kek, notes)?
            }
            "boot.db" => {
                self.variable("boot.db", boot.signature_db.as_deref(), Database::Db, notes)?
            }
            "boot.authorities" => {
                self.keys("boot.authorities", &boot.authorities, Database::Db, notes)
            }
            "boot.dbx" => secure_boot::revoked(self, notes)?,
            "boot.missing-revocations" => secure_boot::missing(self, notes)?,
            "boot.shim-authorities" => {
                Value::list(boot.shim_authorities.iter().map(|key| key.fingerprint.into()))
            }
            "boot.shim-variables" => secure_boot::shim_variables(self),
            "boot.sbat" => secure_boot::sbat(self, notes)?,
            "boot.sbat-date" => secure_boot::sbat_date(self, notes)?,
            "boot.images" => Value::list(boot.images.iter().map(|image| self.image(image))),
            "boot.unknown-images" => {
                let unknown = |image: &&Image| self.references.image(&image.digest).is_none();
                Value::list(boot.images.iter().filter(unknown).map(|image| self.image(image)))
            }
            "boot.unknown-measurements" => self.unknown_measurements(),
            "boot.outdated" => self.outdated(),
            "boot.unexpected-pcrs" => registers::unexpected(self, notes)?,
            "boot.command-line" => self.command_line(notes)?,
            "boot.firmware" => self.evidence.claims.pcr(0)?.into(),
            "boot.contradictions" => self.contradictions(),
            _ if files::CLAIMS.contains(&name) => self.files(name)?,
            "ima.violations" => self.violations(notes),
            "ima.boot-aggregate" => self.boot_aggregate(notes)?,
            "ima.unquoted" => count(self.evidence.unquoted),
            "runtime.watched" => {
                let watched = &self.evidence.runtime.watched;
                Value::list(watched.iter().map(|path| path.as_str().into()))
            }
            "runtime.missing" => code::missing(self.evidence.runtime),
            "runtime.code" => code::all(self.evidence.runtime, self.references),
            "runtime.changed-code" => code::changed(self.evidence.runtime, self.references),
            "runtime.foreign-code" => code::foreign(self.evidence.runtime),
            _ => return None,
        };
        Some(value)
    }

    fn components(&self, keep: impl Fn(u64, u64) -> bool) -> Value {
        let installed = self.evidence.runtime.components.iter();
        Value::list(installed.filter_map(|component| {
            let newest = self.references.newest(&component.name).unwrap_or(0);
            keep(component.version, newest).then(|| {
                let why = format!(
                    "component {} is version {}, the newest release is {newest}",
                    component.name, component.version
                );
                Value::record([
                    ("name", component.name.as_str().into()),
                    ("version", i64::try_from(component.version).unwrap_or(i64::MAX).into()),
                    ("why", why.into()),
                ])
            })
        }))
    }

    /// Those older than their newest release. If there are none, but one of which no release is known,
    /// nothing is known.
    fn outdated_components(&self, notes: &mut Notes) -> Option<Value> {
        let outdated = self.components(|version, newest| newest > version);
        let mut installed = self.evidence.runtime.components.iter();
        let stray = installed.find(|it| !self.references.knows_component(&it.name));
        let Some(stray) = stray.filter(|_| is_empty(&outdated)) else { return Some(outdated) };
        let text = format!(
            "component {} is version {}, and no reference values in force tell which is the newest",
            stray.name, stray.version
        );
        note(notes, "components.outdated", None, text);
        None
    }

    fn secure_boot(&self, notes: &mut Notes) -> Option<Value> {
        let Some(fact) = self.evidence.boot.secure_boot else {
            note(
                notes,
                "boot.secure-boot",
                None,
                "no event says whether Secure Boot was on".into(),
            );
            return None;
        };
        if !fact.value {
            let text =
                format!("event {} (PCR {}): SecureBoot is 0, expected 1", fact.event, fact.pcr);
            note(notes, "boot.secure-boot", Some(fact.event), text);
        }
        Some(fact.value.into())
    }

    /// The keys of a variable, if an event tells it.
    fn variable(
        &self,
        claim: &'static str,
        keys: Option<&[Key]>,
        database: Database,
        notes: &mut Notes,
    ) -> Option<Value> {
        let Some(keys) = keys else {
            let name = claim.trim_start_matches("boot.");
            note(notes, claim, None, format!("no event tells what {name} holds"));
            return None;
        };
        Some(self.keys(claim, keys, database, notes))
    }

    fn keys(
        &self,
        claim: &'static str,
        keys: &[Key],
        database: Database,
        notes: &mut Notes,
    ) -> Value {
        let known: Vec<&Digest> = self.references.keys(database).collect();
        let name = claim.trim_start_matches("boot.");
        for key in keys.iter().filter(|key| !known.contains(&&key.fingerprint)) {
            let text = format!(
                "event {} (PCR 7): {name} holds {}, which is not in the reference values",
                key.event, key.fingerprint
            );
            note(notes, claim, Some(key.event), text);
        }
        Value::list(keys.iter().map(|key| key.fingerprint.into()))
    }

    fn image(&self, image: &Image) -> Value {
        let known = self.references.image(&image.digest);
        let place = format!("event {} (PCR {}, {})", image.event, image.pcr, image.kind);
        let why = match known {
            Some(known) => format!("{place}: image {} is {}", image.digest, known.from),
            None => format!(
                "{place}: image {} is not in the reference values of boot-image",
                image.digest
            ),
        };
        Value::record([
            ("event", i64::from(image.event).into()),
            ("pcr", i64::from(image.pcr).into()),
            ("type", image.kind.to_string().into()),
            ("digest", image.digest.into()),
            ("name", image.path.as_str().into()),
            ("why", why.into()),
        ])
    }

    fn unknown_measurements(&self) -> Value {
        let others = self.evidence.boot.others.iter();
        let unknown = others.filter(|other| self.references.measurement(&other.digest).is_none());
        Value::list(unknown.map(|other| {
            let why = format!(
                "event {} (PCR {}, {}): {} ({}) is not in the reference values of measurement",
                other.event, other.pcr, other.kind, other.digest, other.text
            );
            Value::record([
                ("event", i64::from(other.event).into()),
                ("pcr", i64::from(other.pcr).into()),
                ("type", other.kind.to_string().into()),
                ("digest", other.digest.into()),
                ("why", why.into()),
            ])
        }))
    }

    /// The command line, if every event about it says the same. A digest that is that of no known
    /// line is shown as itself, which no set of command lines holds.
    fn command_line(&self, notes: &mut Notes) -> Option<Value> {
        let mut lines: Vec<String> = Vec::new();
        for event in &self.evidence.boot.command_lines {
            let line = self.line_of(event);
            if !line
                .as_ref()
                .is_some_and(|line| self.references.command_lines().any(|known| known == line))
            {
                let was = match &line {
                    Some(line) => format!("the kernel's command line is `{line}`"),
                    None => format!("the kernel's command line is unknown ({})", event.digest),
                };
                let text = format!(
                    "event {} (PCR {}): {was}, expected {}",
                    event.event,
                    event.pcr,
                    self.expected_lines()
                );
                note(notes, "boot.command-line", Some(event.event), text);
            }
            let line = line.unwrap_or_else(|| event.digest.to_string());
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        if lines.is_empty() {
            let text = "no event carries the kernel's command line".to_owned();
            note(notes, "boot.command-line", None, text);
            return None;
        }
        Some(lines.join("\n").into())
    }

    /// The text behind a measurement: told by the event, by the references, or by the device where
    /// its word is what was measured.
    fn line_of(&self, event: &CommandLine) -> Option<String> {
        let told = self.evidence.runtime.command_line.as_str();
        let candidates = self.references.command_lines();
        let algorithm = event.digest.algorithm();
        event.text.clone().or_else(|| {
            candidates
                .chain([told])
                .find(|line| {
                    measured_forms(line)
                        .iter()
                        .any(|form| self.crypto.hash(algorithm, &[form]) == event.digest)
                })
                .map(str::to_owned)
        })
    }

    fn expected_lines(&self) -> String {
        let lines: Vec<&str> = self.references.command_lines().collect();
        match lines.as_slice() {
            [] => "one of the reference values, of which there are none".to_owned(),
            [line] => format!("`{line}`"),
            [line, rest @ ..] => format!("`{line}` or one of {} others", rest.len()),
        }
    }

    fn contradictions(&self) -> Value {
        Value::list(self.evidence.boot.contradictions.iter().map(|event| {
            let why = format!(
                "event {} (PCR {}, {}): {}",
                event.event, event.pcr, event.kind, event.what
            );
            Value::record([("event", i64::from(event.event).into()), ("why", why.into())])
        }))
    }

    /// What was measured at boot and is known by an outdated version only.
    fn outdated(&self) -> Value {
        let boot = &self.evidence.boot;
        let images = boot.images.iter().map(|image| {
            (image.event, image.pcr, image.kind, self.references.image(&image.digest))
        });
        let others = boot.others.iter().map(|other| {
            (other.event, other.pcr, other.kind, self.references.measurement(&other.digest))
        });
        Value::list(images.chain(others).filter_map(|(event, pcr, kind, known)| {
            let known = known.filter(|known| known.standing == Standing::Outdated)?;
            let why = format!(
                "event {event} (PCR {pcr}, {kind}) is {}, which a newer version has superseded",
                known.from
            );
            Some(Value::record([("event", i64::from(event).into()), ("why", why.into())]))
        }))
    }

    /// A claim about files: findings go on from those that are known.
    fn files(&self, name: &str) -> Option<Value> {
        let claim = *files::CLAIMS.iter().find(|claim| **claim == name)?;
        let made = self.files.borrow_mut().remove(claim);
        let new = made.or_else(|| self.made_files(claim))?;
        if files::is_of_all(claim) {
            return Some(Value::List(new));
        }
        let known = self.known.and_then(|(found, _)| found.files.get(claim));
        let mut all = known.cloned().unwrap_or_default();
        all.extend(new);
        self.found.borrow_mut().files.insert(claim, all.clone());
        Some(Value::List(all))
    }

    /// A claim about files, with all others that are wanted and not made yet: the list is gone over once.
    fn made_files(&self, claim: &'static str) -> Option<Vec<Value>> {
        let mut wanted = self.wanted_files.take();
        if !wanted.contains(&claim) {
            wanted = Vec::from([claim]);
        }
        let wanted: Vec<_> = wanted.into_iter().map(|it| (it, self.begins(it))).collect();
        let mut made = files::made(self, &wanted);
        let new = made.remove(claim);
        self.files.borrow_mut().append(&mut made);
        new
    }

    /// The entry from which on files are looked at for a claim.
    fn begins(&self, claim: &str) -> usize {
        let known = self.known.filter(|(found, _)| found.files.contains_key(claim));
        known.map_or(0, |(_, from)| from)
    }

    fn violations(&self, notes: &mut Notes) -> Value {
        let known = self.known.and_then(|(found, from)| Some((found.violations.as_ref()?, from)));
        let (mut all, from) = known.map_or((Vec::new(), 0), |(known, from)| (known.clone(), from));
        let entries = self.evidence.ima.entries_from(from);
        all.extend(entries.filter(|entry| entry.violation).map(|entry| {
            let text = format!(
                "IMA entry {}: {} was open for writing while it was measured",
                entry.index,
                entry.path()
            );
            Note { text, event: Some(EventRef { log: LogName::Ima, index: entry.index }) }
        }));
        let total = count(all.len());
        self.found.borrow_mut().violations = Some(all.clone());
        if !all.is_empty() {
            notes.entry("ima.violations").or_default().extend(all);
        }
        total
    }

    fn boot_aggregate(&self, notes: &mut Notes) -> Option<Value> {
        let same = self.evidence.boot_aggregate;
        if same != Some(true) {
            let text = format!("IMA entry 0: the boot aggregate {}", self.aggregate_is(same));
            let event = Some(EventRef { log: LogName::Ima, index: 0 });
            notes.entry("ima.boot-aggregate").or_default().push(Note { text, event });
        }
        same.map(Value::from)
    }

    /// What is wrong with the boot aggregate, and what to do about it.
    fn aggregate_is(&self, same: Option<bool>) -> String {
        let claims = self.evidence.claims;
        let digest = self.evidence.ima.get(0).and_then(|first| first.digest());
        let zeros = digest.is_some_and(|digest| digest == Digest::zero(digest.algorithm()));
        let unquoted = (0..=9).find(|pcr| !claims.is_quoted(*pcr));
        match (same, unquoted) {
            (Some(_), _) if zeros => {
                "is zeros: IMA began without the TPM; build the TPM's driver into the kernel".into()
            }
            (Some(_), _) => "is not that of the quoted PCRs".into(),
            (None, Some(pcr)) => {
                format!("cannot be compared: PCR {pcr} was not quoted; ask for PCR 0 to 9")
            }
            (None, None) => {
                let bank = claims.bank;
                format!("is of another bank than the quote; start the kernel with ima_hash={bank}")
            }
        }
    }
}

/// A list or a set of nothing.
fn is_empty(value: &Value) -> bool {
    value.elements().is_some_and(<[Value]>::is_empty)
}

/// A name, if there is one.
fn said(name: &str) -> Option<Value> {
    (!name.is_empty()).then(|| name.into())
}

fn count(number: usize) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn note(notes: &mut Notes, claim: &'static str, event: Option<u32>, text: String) {
    let event = event.map(|index| EventRef { log: LogName::EventLog, index });
    notes.entry(claim).or_default().push(Note { text, event });
}
