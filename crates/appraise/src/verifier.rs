//! The Verifier: claims, policy, conclusion. Pure: no clock, no store, no network.

use crate::appraisal::{Appraisal, ControlResult, EventRef, LogName, NotEvaluated, TrustVector};
use crate::facts::{By, Facts, Silence};
use crate::judged::Judged;
use crate::references::{References, Set, View};
use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use touchstone_crypto::{Crypto, Verified};
use touchstone_evidence::{Claims as Evidenced, Evidence, claims};
use touchstone_policy::ar4si::{Dimension, Tier, TrustValue};
use touchstone_policy::{ClaimSet, Outcome, Policy, Severity, Status, Value};

/// Characters of a reason that are kept.
const MAX_REASON: usize = 800;
/// Findings of one control that are told.
const MAX_TOLD: usize = 3;
/// Log entries of one control that are named.
const MAX_EVENTS: usize = 16;
/// Claims with a record for each file that was measured.
const EVERY_FILE: [&str; 2] = ["ima.entries", "ima.files"];
/// Entries of an IMA list beyond which nobody is given all of them as claims who does not ask.
const MOST_LISTED: usize = 1024;
/// AR4SI: the evidence did not validate cryptographically.
const CRYPTO_FAILED: i8 = 99;
/// AR4SI: the verifier could not do its work.
const MALFUNCTION: i8 = -1;

/// What is known about a device beside its evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Its id in the fleet.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// It was onboarded: its attestation key is proven to live in its element. `None` if nobody
    /// says.
    pub onboarded: Option<bool>,
    /// The element's certificate chain leads to a trusted maker. `None` if nobody looked.
    pub endorsed: Option<bool>,
    /// By what its maker vouches for it: `endorsement-key`, `iak`. `None` if nobody says.
    pub proofs: Option<Vec<String>>,
    /// The kind of element: `tpm2`, `software`.
    pub element_kind: Option<String>,
    /// When the nonce of this evidence was given out, in Unix seconds.
    pub evidence_at: Option<u64>,
}

/// What [`Verifier::judge`] makes of evidence.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The conclusion.
    pub appraisal: Appraisal,
    /// The claims of the whole [`catalog`](crate::catalog()) but `reference.*`; `None` if the
    /// evidence carries no proven PCR values.
    pub claims: Option<ClaimSet>,
    /// Claims that are not among them, since no control asks for them and they list every file of a
    /// long IMA list.
    pub left_out: Vec<String>,
    /// For next time.
    pub judged: Option<Judged>,
}

/// One look at evidence, before anybody asks for its claims.
struct Look<'n> {
    appraisal: Appraisal,
    facts: Facts,
    left_out: Vec<&'n str>,
    judged: Option<Judged>,
}

/// A policy with the reference values that it is judged by.
#[derive(Clone, Debug)]
pub struct Verifier {
    policy: Policy,
    references: References,
    reference_claims: crate::facts::ReferenceClaims,
    /// The claims of evidence that the policy does not ask for.
    others: Vec<String>,
}

impl Verifier {
    /// A verifier for one tenant.
    pub fn new(policy: Policy, references: References) -> Self {
        let asked: Vec<&str> = policy.claims().collect();
        // What the reference values say is the same for every device, and made of these alone.
        let other = |name: &&str| !asked.contains(name) && !name.starts_with("reference.");
        let catalog = crate::catalog();
        let others = catalog.claims().map(|(name, _)| name).filter(other);
        let others = others.map(str::to_owned).collect();
        let reference_claims = crate::facts::ReferenceClaims::default();
        Self { policy, references, reference_claims, others }
    }

    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The reference values.
    pub const fn references(&self) -> &References {
        &self.references
    }

    /// The policy's identity in results: `<name>/<version>`.
    pub fn policy_id(&self) -> String {
        format!("{}/{}", self.policy.name(), self.policy.version())
    }

    /// Judges verified evidence.
    pub fn appraise(
        &self,
        crypto: &dyn Crypto,
        evidence: &Verified<Evidence>,
        device: &DeviceFacts,
        now: u64,
    ) -> Appraisal {
        self.appraise_after(crypto, evidence, device, now, None).0
    }

    /// As [`appraise`](Self::appraise), to the same conclusion, but sooner: with what was found of the
    /// device's IMA list last time, only what followed is looked at. The second is for next time.
    pub fn appraise_after(
        &self,
        crypto: &dyn Crypto,
        evidence: &Verified<Evidence>,
        device: &DeviceFacts,
        now: u64,
        last: Option<&Judged>,
    ) -> (Appraisal, Option<Judged>) {
        match self.look(crypto, evidence, device, now, last, &[]) {
            Some(look) => (look.appraisal, look.judged),
            None => (self.undecided(device, now), None),
        }
    }

    /// As [`appraise_after`](Self::appraise_after), and what the evidence says beside what the policy
    /// asks for, for another policy to be tried on: everything is looked at once.
    pub fn judge(
        &self,
        crypto: &dyn Crypto,
        evidence: &Verified<Evidence>,
        device: &DeviceFacts,
        now: u64,
        last: Option<&Judged>,
    ) -> Judgement {
        let Some(look) = self.look(crypto, evidence, device, now, last, &self.others) else {
            let appraisal = self.undecided(device, now);
            return Judgement { appraisal, claims: None, left_out: Vec::new(), judged: None };
        };
        Judgement {
            appraisal: look.appraisal,
            claims: Some(look.facts.into_claims()),
            left_out: look.left_out.into_iter().map(str::to_owned).collect(),
            judged: look.judged,
        }
    }

    /// With these claims beside what the policy asks for; `None` if no PCR values are proven.
    fn look<'n>(
        &self,
        crypto: &dyn Crypto,
        evidence: &Verified<Evidence>,
        device: &DeviceFacts,
        now: u64,
        last: Option<&Judged>,
        others: &'n [String],
    ) -> Option<Look<'n>> {
        let claims = claims(crypto, evidence)?;
        let view = View::new(&self.references, &device.id, now);
        let known = last.and_then(|last| last.about(evidence, &view));
        let by = self.by(crypto, &view, device, now);
        let long = claims.ima.is_some_and(|list| list.len() > MOST_LISTED);
        let (left_out, others): (Vec<&str>, Vec<&str>) =
            others.iter().map(String::as_str).partition(|name| long && EVERY_FILE.contains(name));
        let wanted = self.policy.claims().chain(others);
        let (facts, found) = Facts::new(&by, &claims, wanted, known);
        let appraisal = self.conclude(&claims, &facts, device, now);
        Some(Look { appraisal, facts, left_out, judged: Judged::of(evidence, &view, found) })
    }

    fn conclude(
        &self,
        claims: &Evidenced<'_>,
        facts: &Facts,
        device: &DeviceFacts,
        now: u64,
    ) -> Appraisal {
        let outcomes = self.policy.evaluate(facts);
        let mut vector = TrustVector::default();
        for outcome in &outcomes {
            vector.take(outcome.value());
        }
        let controls: Vec<ControlResult> =
            outcomes.iter().map(|outcome| control(outcome, facts)).collect();
        let not_evaluated = self.not_evaluated(claims, &controls);
        Appraisal {
            tier: touchstone_policy::tier(&outcomes),
            vector,
            controls,
            not_evaluated,
            policy_id: self.policy_id(),
            appraised_at: now,
            evidence_at: device.evidence_at,
        }
    }

    fn by<'a>(
        &'a self,
        crypto: &'a dyn Crypto,
        view: &'a View<'a>,
        device: &'a DeviceFacts,
        now: u64,
    ) -> By<'a> {
        By { crypto, view, reference_claims: &self.reference_claims, device, now }
    }

    /// Why values of a set, one of these references, were never evaluated for this evidence: the
    /// reason for each kind of which none was, and nothing if all were. A value that is supplied and
    /// never evaluated is a mistake of whoever supplied it.
    pub fn never_evaluated(
        &self,
        crypto: &dyn Crypto,
        evidence: &Verified<Evidence>,
        device: &DeviceFacts,
        set: &Set,
    ) -> Vec<String> {
        let Some(claims) = claims(crypto, evidence) else { return Vec::new() };
        let silence = Silence::of(&claims, device);
        crate::evaluated::never(set, &self.policy, &silence, claims.bank)
    }

    /// The controls that could not be decided, and the parts of the evidence that no control asks
    /// for.
    fn not_evaluated(
        &self,
        claims: &Evidenced<'_>,
        controls: &[ControlResult],
    ) -> Vec<NotEvaluated> {
        let unknown = controls.iter().filter(|control| control.status == Status::Unknown);
        let undecided = unknown.map(|control| {
            NotEvaluated::new(format!("control {}", control.name), control.reason.as_str())
        });
        let asks = |prefixes: &[&str]| {
            self.policy.claims().any(|claim| prefixes.iter().any(|name| claim.starts_with(name)))
        };
        let parts = [
            (claims.boot.is_some(), "event log", &["boot."][..]),
            (claims.ima.is_some(), "IMA list", &["ima."]),
            (claims.runtime.is_some(), "run-time claims", &["runtime.", "agent.", "components"]),
        ];
        let unasked = parts.into_iter().filter(|(there, _, names)| *there && !asks(names));
        let unasked = unasked.map(|(_, part, _)| {
            NotEvaluated::new(part, "it is genuine, and no control of the policy asks for it")
        });
        undecided.chain(unasked).collect()
    }

    /// The claims `reference.*`: what the reference values say that are in force for a device at
    /// `now`.
    pub fn reference_claims(&self, device: &str, now: u64) -> ClaimSet {
        let made = self.reference_claims.all(&View::new(&self.references, device, now));
        let claims = made.iter().map(|(name, value)| (name, Value::clone(value)));
        claims.collect::<ClaimSet>().aged(Duration::ZERO)
    }

    /// The conclusion about evidence that did not verify: contraindicated, because what cannot be
    /// believed is worse than what is not said.
    pub fn appraise_unverified(
        &self,
        error: &touchstone_evidence::Error,
        device: &DeviceFacts,
        now: u64,
    ) -> Appraisal {
        let reason = format!("the evidence does not verify: {error} ({})", error.code());
        self.single(Status::Failed, CRYPTO_FAILED, reason, device, now)
    }

    fn undecided(&self, device: &DeviceFacts, now: u64) -> Appraisal {
        let reason = "the evidence carries no proven PCR values".to_owned();
        self.single(Status::Unknown, MALFUNCTION, reason, device, now)
    }

    fn single(
        &self,
        status: Status,
        value: i8,
        reason: String,
        device: &DeviceFacts,
        now: u64,
    ) -> Appraisal {
        let mut vector = TrustVector::default();
        // draft-ietf-rats-ar4si §2.3.2: 99 and -1 are said in every dimension.
        for dimension in Dimension::ALL {
            vector.set(dimension, value);
        }
        let control = ControlResult {
            name: "evidence".into(),
            status,
            dimension: Dimension::InstanceIdentity.name().into(),
            value,
            reason,
            events: Vec::new(),
            severity: Severity::Critical.name().into(),
            countermeasures: Vec::new(),
            exception: None,
        };
        Appraisal {
            tier: Tier::of(value),
            vector,
            controls: vec![control],
            not_evaluated: vec![NotEvaluated::new(
                "the policy",
                "there are no verified claims that it could judge",
            )],
            policy_id: self.policy_id(),
            appraised_at: now,
            evidence_at: device.evidence_at,
        }
    }
}

fn control(outcome: &Outcome<'_>, facts: &Facts) -> ControlResult {
    let value: TrustValue = outcome.value();
    let mut result = ControlResult {
        name: outcome.name().into(),
        status: outcome.status(),
        dimension: value.dimension().name().into(),
        value: value.number(),
        reason: String::new(),
        events: Vec::new(),
        severity: outcome.control().severity().name().into(),
        countermeasures: outcome.countermeasures().iter().map(|known| known.name.clone()).collect(),
        exception: outcome.exception().map(|exception| exception.name().into()),
    };
    if outcome.passed() {
        result.reason = clip(&outcome.explanation());
        return result;
    }
    let offenders = outcome.offenders();
    let mut told: Vec<Cow<'_, str>> =
        offenders.iter().filter_map(|record| why(record)).map(Cow::Borrowed).collect();
    result.events = offenders.iter().filter_map(|record| event(record)).collect();
    for claim in outcome.control().claims() {
        // What several claims lack is told once.
        told.extend(facts.silence(claim).filter(|why| !told.contains(why)));
        for note in facts.notes(claim) {
            told.push(Cow::Borrowed(&note.text));
            result.events.extend(note.event);
        }
    }
    result.events.sort_unstable();
    result.events.dedup();
    result.events.truncate(MAX_EVENTS);
    result.reason = clip(&words(&told, outcome));
    result
}

/// What was found by a control, in the words of the claims that decided it; where these have none,
/// in those of the policy.
pub fn reason(outcome: &Outcome<'_>) -> String {
    if outcome.passed() {
        return clip(&outcome.explanation());
    }
    let offenders = outcome.offenders();
    let told = offenders.iter().filter_map(|record| why(record)).map(Cow::Borrowed);
    clip(&words(&told.collect::<Vec<_>>(), outcome))
}

fn words(told: &[Cow<'_, str>], outcome: &Outcome<'_>) -> String {
    match told {
        [] => outcome.explanation(),
        [first @ .., _] if told.len() > MAX_TOLD => {
            let shown = first.get(..MAX_TOLD).unwrap_or(first).join("; ");
            format!("{shown}; and {} more", told.len() - MAX_TOLD)
        }
        _ => told.join("; "),
    }
}

fn why(record: &Value) -> Option<&str> {
    match record.field("why")? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn event(record: &Value) -> Option<EventRef> {
    let at = |name: &str, log| {
        let index = u32::try_from(record.field(name)?.as_integer()?).ok()?;
        Some(EventRef { log, index })
    };
    at("event", LogName::EventLog).or_else(|| at("index", LogName::Ima))
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}
