//! `touchstone policy explain`: a policy in plain words, and what would become of a device.

use super::{MOST_CLAIMS, Words, load};
use crate::answer::{Answer, Answered, Failure};
use crate::{cli, device, files, fleet};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use touchstone_appraise::{claims, reason};
use touchstone_policy::ar4si::Tier;
use touchstone_policy::{Catalog, ClaimSet, Control, Override, Policy, Time, tier};

pub(super) fn explain(
    file: &Path,
    control: Option<&str>,
    from: (Option<&PathBuf>, Option<&String>),
    words: &Words,
    fleet: &cli::Fleet,
) -> Answered {
    let catalog = words.catalog()?;
    let policy = load(file, &catalog)?;
    let controls = chosen(&policy, control)?;
    match from {
        (Some(file), _) => Ok(judged(&policy, &controls, &from_file(file, &catalog)?, &catalog)),
        (None, Some(id)) => with_device(&policy, &controls, id, fleet, &catalog),
        (None, None) => Ok(plainly(&policy, &controls, &catalog)),
    }
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
    let layers: Vec<Value> = policy
        .layers()
        .iter()
        .map(|layer| json!({ "name": layer.name, "version": layer.version }))
        .collect();
    let removed: Vec<Value> = policy
        .removed()
        .iter()
        .map(|removed| {
            json!({ "control": removed.control.name(), "by": removed.layer,
                    "because": removed.because })
        })
        .collect();
    Answer::new("touchstone.policy.explain/1")
        .with("name", policy.name())
        .with("version", policy.version())
        .with("layers", layers)
        .with("removed", removed)
}

/// What a control asks for, in JSON.
fn control_json(control: &Control, catalog: &Catalog) -> Value {
    let countermeasures = control.countermeasures().iter();
    let overrides = control.overrides().iter().map(override_json);
    json!({
        "name": control.name(),
        "title": control.title(),
        "severity": control.severity().name(),
        "maps": control.maps(),
        "fresh": control.fresh().map(|fresh| touchstone_policy::Value::from(fresh).to_string()),
        "dimension": control.dimension().name(),
        "otherwise": control.tier().name(),
        "because": control.because(),
        "requires": control.describe(catalog),
        "claims": control.claims(),
        "passes": { "value": control.passes().number(), "meaning": control.passes().meaning() },
        "fails": { "value": control.fails().number(), "meaning": control.fails().meaning() },
        "do": countermeasures.map(|known| known.name.as_str()).collect::<Vec<_>>(),
        "from": control.layer(),
        "overrides": overrides.collect::<Vec<Value>>(),
    })
}

fn override_json(change: &Override) -> Value {
    json!({ "by": change.layer, "because": change.because, "before": change.before })
}

/// The policy without any device.
fn plainly(policy: &Policy, controls: &[&Control], catalog: &Catalog) -> Answer {
    let mut answer = explained(policy).line(format_args!(
        "Policy {} version {}: a device is trusted if all of this holds.",
        policy.name(),
        policy.version()
    ));
    for control in controls {
        answer = answer.line(control_lines(control, catalog));
    }
    for removed in policy.removed() {
        answer = answer.line(format_args!(
            "\n{} is not required: {} removes it, because {}",
            removed.control.name(),
            removed.layer,
            removed.because
        ));
    }
    for reference in policy.references() {
        for change in &reference.overrides {
            answer = answer.line(format_args!(
                "\nreference.{} is overridden by {}, because {}; before: {}",
                reference.name,
                change.layer,
                change.because,
                change.before.join("; ")
            ));
        }
    }
    for exception in policy.exceptions() {
        answer = answer.line(format_args!(
            "\nException {}: {} may be missed until {}, says {}, because {}",
            exception.name(),
            exception.controls().join(", "),
            exception.until(),
            exception.by(),
            exception.because()
        ));
    }
    let controls: Vec<Value> =
        controls.iter().map(|control| control_json(control, catalog)).collect();
    let exceptions = policy.exceptions().iter().map(|exception| {
        json!({ "name": exception.name(), "for": exception.controls(), "by": exception.by(),
                "because": exception.because(), "until": exception.until().to_string(),
                "from": exception.layer() })
    });
    answer.with("controls", controls).with("exceptions", exceptions.collect::<Vec<Value>>())
}

fn control_lines(control: &Control, catalog: &Catalog) -> String {
    let mut lines = vec![
        format!("\n{}: {} ({})", control.name(), control.title(), control.severity()),
        format!("  requires   {}", control.describe(catalog)),
    ];
    if !control.because().is_empty() {
        lines.push(format!("  because    {}", control.because()));
    }
    lines.push(format!(
        "  otherwise  {} in {}: {}",
        control.tier(),
        control.dimension(),
        control.fails().meaning()
    ));
    let names: Vec<&str> =
        control.countermeasures().iter().map(|known| known.name.as_str()).collect();
    if !names.is_empty() {
        lines.push(format!("  then do    {}", names.join(", ")));
    }
    if !control.maps().is_empty() {
        lines.push(format!("  answers    {}", control.maps().join(", ")));
    }
    for change in control.overrides() {
        lines.push(format!("  overridden by {}, because {}", change.layer, change.because));
        lines.extend(change.before.iter().map(|before| format!("    before   {before}")));
    }
    lines.join("\n")
}

/// The claims in a file.
fn from_file(path: &Path, catalog: &Catalog) -> Result<ClaimSet, Failure> {
    claims::from_file(&files::read(path, MOST_CLAIMS)?, catalog).map_err(|error| {
        let next = "`touchstone policy explain --help` shows the form, `policy claims` the types";
        Failure::unknown(error.code(), format!("{}: {error}", path.display()), next)
    })
}

/// The policy judged here, by claims.
fn judged(policy: &Policy, controls: &[&Control], claims: &ClaimSet, catalog: &Catalog) -> Answer {
    let mut outcomes = policy.evaluate(claims);
    outcomes.retain(|outcome| controls.iter().any(|control| control.name() == outcome.name()));
    let tier = tier(&outcomes);
    let mut answer = explained(policy).good(tier == Tier::Affirming).with("tier", tier.name());
    let mut judged = Vec::new();
    for outcome in &outcomes {
        let explanation = reason(outcome);
        let word = outcome.exception().map_or(outcome.status().name(), |_| "excepted");
        answer = answer.line(format_args!("{word:8} {}: {explanation}", outcome.name()));
        if !outcome.passed() && outcome.exception().is_none() {
            answer = answer.line(format_args!(
                "         {}: {}",
                outcome.tier(),
                outcome.value().meaning()
            ));
            if !outcome.because().is_empty() {
                answer = answer.line(format_args!("         asked because {}", outcome.because()));
            }
        }
        let names: Vec<&str> =
            outcome.countermeasures().iter().map(|known| known.name.as_str()).collect();
        if !names.is_empty() {
            answer = answer.line(format_args!("         to do: {}", names.join(", ")));
        }
        let mut json = control_json(outcome.control(), catalog);
        if let Value::Object(members) = &mut json {
            members.insert("status".into(), outcome.status().name().into());
            members.insert("explanation".into(), explanation.into());
            members.insert("tier".into(), outcome.tier().name().into());
            members.insert("countermeasures".into(), names.into());
            let exception = outcome.exception().map(touchstone_policy::Exception::name);
            members.insert("exception".into(), exception.into());
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
fn with_device(
    policy: &Policy,
    controls: &[&Control],
    id: &str,
    fleet: &cli::Fleet,
    catalog: &Catalog,
) -> Answered {
    let body = fleet::get(fleet, &format!("{}/claims", device::path(id)?))?;
    let of_one_release = "check that the fleet and this program are of one release";
    let known: DeviceClaims = serde_json::from_value(body).map_err(|error| {
        let message = format!("the fleet's answer has another form: {error}");
        Failure::unknown("touchstone.fleet.answer", message, of_one_release)
    })?;
    let set = claims::from_json(&known.claims, catalog)
        .map_err(|error| Failure::unknown(error.code(), error, of_one_release))?;
    // As old as they were when the fleet judged them; a nonce from the future has no age.
    let set = match known.appraised_at.checked_sub(known.evidence_at) {
        Some(age) => set.aged(Duration::from_secs(age)),
        None => set,
    };
    let set = set.at(Time::from_unix(known.appraised_at));
    let mut answer = judged(policy, controls, &set, catalog)
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
