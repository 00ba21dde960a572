//! `touchstone policy`.

use crate::answer::{Answer, Answered, Failure, table};
use crate::cli::{self, Policy as Verb};
use crate::{device, files, fleet};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;
use touchstone_appraise::{catalog, claims, reason};
use touchstone_policy::ar4si::Tier;
use touchstone_policy::{ClaimSet, Control, Fault, Limits, Policy, tier};

/// Octets of a file of claims.
const MOST_CLAIMS: u64 = 64 << 20;

pub(crate) fn run(verb: &Verb) -> Answered {
    match verb {
        Verb::Check { files } => check(files),
        Verb::Explain { file, control, claims, device, fleet } => {
            let policy = load(file)?;
            let controls = chosen(&policy, control.as_deref())?;
            match (claims, device) {
                (Some(file), _) => Ok(judged(&policy, &controls, &from_file(file)?)),
                (None, Some(id)) => with_device(&policy, &controls, id, fleet),
                (None, None) => Ok(plainly(&policy, &controls)),
            }
        }
        Verb::Claims => Ok(list_claims()),
    }
}

fn check(paths: &[std::path::PathBuf]) -> Answered {
    let mut answer = Answer::new("touchstone.policy.check/1");
    let mut checked = Vec::new();
    let mut good = true;
    for path in paths {
        let shown = path.display().to_string();
        match parse(path)? {
            Ok(policy) => {
                let (name, version) = (policy.name(), policy.version());
                let (controls, claims) = (policy.controls().len(), policy.claims().count());
                answer = answer.line(format_args!(
                    "{shown}: good: policy \"{name}\" version {version}, {controls} controls on \
                     {claims} claims"
                ));
                checked.push(json!({
                    "file": shown, "good": true, "name": name, "version": version,
                    "controls": controls, "claims": claims, "faults": [],
                }));
            }
            Err(faults) => {
                good = false;
                for fault in &faults {
                    answer = answer.word(format_args!("{shown}:{fault}"));
                }
                let faults: Vec<Value> = faults.iter().map(fault_json).collect();
                checked.push(json!({ "file": shown, "good": false, "faults": faults }));
            }
        }
    }
    Ok(answer.good(good).with("policies", checked))
}

fn fault_json(fault: &Fault) -> Value {
    json!({
        "line": fault.at.line, "column": fault.at.column, "code": fault.code(),
        "problem": fault.problem, "remedy": fault.remedy,
    })
}

fn parse(path: &Path) -> Result<Result<Policy, Vec<Fault>>, Failure> {
    let limit = u64::try_from(Limits::TEXT).unwrap_or(u64::MAX);
    Ok(Policy::parse(&files::read_text(path, limit + 1)?, &catalog()))
}

/// A policy that has to be good for what was asked.
pub(crate) fn load(path: &Path) -> Result<Policy, Failure> {
    let shown = path.display();
    parse(path)?.map_err(|faults| {
        let first = faults.first();
        let code = first.map_or("policy", Fault::code);
        let words = first.map_or_else(String::new, Fault::to_string);
        let next = format!("`touchstone policy check {shown}` shows all {} faults", faults.len());
        Failure::unknown(code, format!("{shown}:{words}"), next)
    })
}

fn chosen<'a>(policy: &'a Policy, name: Option<&str>) -> Result<Vec<&'a Control>, Failure> {
    let Some(name) = name else { return Ok(policy.controls().iter().collect()) };
    policy.control(name).map(|control| vec![control]).ok_or_else(|| {
        let names: Vec<&str> = policy.controls().iter().map(Control::name).collect();
        let message = format!("the policy has no control named `{name}`");
        Failure::usage(message, format!("its controls are {}", names.join(", ")))
    })
}

fn explained(policy: &Policy) -> Answer {
    Answer::new("touchstone.policy.explain/1")
        .with("name", policy.name())
        .with("version", policy.version())
}

/// What a control asks for, in JSON.
fn control_json(control: &Control) -> Value {
    json!({
        "name": control.name(),
        "dimension": control.dimension().name(),
        "severity": control.severity().name(),
        "because": control.because(),
        "requires": control.describe(&catalog()),
        "claims": control.claims(),
        "passes": { "value": control.passes().number(), "meaning": control.passes().meaning() },
        "fails": { "value": control.fails().number(), "meaning": control.fails().meaning() },
    })
}

/// The policy without any device.
fn plainly(policy: &Policy, controls: &[&Control]) -> Answer {
    let catalog = catalog();
    let mut answer = explained(policy).line(format_args!(
        "Policy \"{}\" version {}: a device is trusted if all of this holds.",
        policy.name(),
        policy.version()
    ));
    for control in controls {
        answer = answer
            .line(format_args!("\n{} ({})", control.name(), control.dimension()))
            .line(format_args!("  requires   {}", control.describe(&catalog)))
            .line(format_args!("  because    {}", control.because()))
            .line(format_args!(
                "  otherwise  {}: {}",
                control.severity(),
                control.fails().meaning()
            ));
    }
    let controls: Vec<Value> = controls.iter().map(|control| control_json(control)).collect();
    answer.with("controls", controls)
}

/// The claims in a file.
fn from_file(path: &Path) -> Result<ClaimSet, Failure> {
    claims::from_file(&files::read(path, MOST_CLAIMS)?, &catalog()).map_err(|error| {
        let next = "`touchstone policy explain --help` shows the form, `policy claims` the types";
        Failure::unknown(error.code(), format!("{}: {error}", path.display()), next)
    })
}

/// The policy judged here, by claims.
fn judged(policy: &Policy, controls: &[&Control], claims: &ClaimSet) -> Answer {
    let mut outcomes = policy.evaluate(claims);
    outcomes.retain(|outcome| controls.iter().any(|control| control.name() == outcome.name()));
    let tier = tier(&outcomes);
    let mut answer = explained(policy).good(tier == Tier::Affirming).with("tier", tier.name());
    let mut judged = Vec::new();
    for outcome in &outcomes {
        let explanation = reason(outcome);
        answer = answer.line(format_args!(
            "{:8} {}: {explanation}",
            outcome.status().name(),
            outcome.name()
        ));
        if !outcome.passed() {
            answer = answer
                .line(format_args!("         {}: {}", outcome.tier(), outcome.value().meaning()))
                .line(format_args!("         asked because {}", outcome.because()));
        }
        let mut json = control_json(outcome.control());
        if let Value::Object(members) = &mut json {
            members.insert("status".into(), outcome.status().name().into());
            members.insert("explanation".into(), explanation.into());
            members.insert("tier".into(), outcome.tier().name().into());
        }
        judged.push(json);
    }
    answer.with("controls", judged).line(format_args!("the device would be {tier}"))
}

/// What this program reads of the fleet's answer.
#[derive(Deserialize)]
struct DeviceClaims {
    policy: String,
    evidence_at: u64,
    appraised_at: u64,
    stale: bool,
    claims: Map<String, Value>,
    omitted: Vec<String>,
}

/// The policy judged here, by what the device proved last.
fn with_device(policy: &Policy, controls: &[&Control], id: &str, fleet: &cli::Fleet) -> Answered {
    let body = fleet::get(fleet, &format!("{}/claims", device::path(id)?))?;
    let of_one_release = "check that the fleet and this program are of one release";
    let known: DeviceClaims = serde_json::from_value(body).map_err(|error| {
        let message = format!("the fleet's answer has another form: {error}");
        Failure::unknown("touchstone.fleet.answer", message, of_one_release)
    })?;
    let set = claims::from_json(&known.claims, &catalog())
        .map_err(|error| Failure::unknown(error.code(), error, of_one_release))?;
    let mut answer = judged(policy, controls, &set)
        .with("device", id)
        .with("judged_by", known.policy.as_str())
        .with("evidence_at", known.evidence_at)
        .with("appraised_at", known.appraised_at)
        .with("stale", known.stale)
        .with("omitted", known.omitted.clone());
    if !known.omitted.is_empty() {
        let names = known.omitted.join(", ");
        answer = answer.word(format_args!("too long for the fleet to keep, so not known: {names}"));
    }
    if known.stale {
        answer = answer.good(false).word(
            "the claims are stale: the device has not attested again in time, so this is how it \
             was and not how it is",
        );
    }
    Ok(answer)
}

fn list_claims() -> Answer {
    let catalog = catalog();
    let mut rows = Vec::new();
    let mut list = Vec::new();
    for (name, claim) in catalog.claims() {
        rows.push(vec![name.to_owned(), claim.about.clone()]);
        rows.push(vec![String::new(), claim.kind.to_string()]);
        list.push(json!({ "name": name, "type": claim.kind.to_string(), "about": claim.about }));
    }
    Answer::new("touchstone.policy.claims/1").with("claims", list).line(table(&rows))
}
