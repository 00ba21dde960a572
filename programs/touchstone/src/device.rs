//! `touchstone device`: what the fleet says. Nothing is judged here.

use crate::answer::{Answer, Answered, Failure, table};
use crate::cli::{Device, Hold, Override};
use crate::{cert, fleet};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value};
use touchstone_policy::ar4si::Tier;

pub(crate) fn run(verb: &Device) -> Answered {
    match verb {
        Device::List { fleet } => list(fleet::get(fleet, "/api/v1/devices")?),
        Device::Show { id, fleet } => show(fleet::get(fleet, &path(id)?)?),
        Device::Override(verb) => overriding(verb),
        Device::Hold(verb) => holding(verb),
    }
}

fn overriding(verb: &Override) -> Answered {
    match verb {
        Override::Set { id, allow, reason, lasting, fleet, .. } => {
            let effect = if *allow { "allow" } else { "deny" };
            let order = serde_json::json!({
                "effect": effect, "reason": reason, "seconds": seconds(lasting)?,
            });
            let at = format!("{}/override", path(id)?);
            decided(fleet::ask(fleet, Method::POST, &at, Some(&order))?)
        }
        Override::End { id, fleet } => {
            let at = format!("{}/override", path(id)?);
            decided(fleet::ask(fleet, Method::DELETE, &at, None)?)
        }
        Override::List { id, fleet } => {
            let at = match id {
                Some(id) => format!("{}/override", path(id)?),
                None => "/api/v1/overrides".to_owned(),
            };
            overrides(fleet::get(fleet, &at)?)
        }
    }
}

fn holding(verb: &Hold) -> Answered {
    match verb {
        Hold::List { fleet } => holds(fleet::get(fleet, "/api/v1/holds")?),
        Hold::Release { id, fleet } => {
            let at = format!("{}/hold/release", path(id)?);
            let body = fleet::ask(fleet, Method::POST, &at, None)?;
            let Told { device, asked, .. } = read(&body, "hold")?;
            let line = format!("{device} is told with its next result: {asked}");
            Ok(Answer::new("touchstone.device.hold.show/1").line(line).with_all(members(body)))
        }
    }
}

/// A device that is told to act, as the fleet tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    device: String,
    policy: String,
    asked: String,
    since: u64,
    operator: Option<String>,
    held: bool,
}

fn holds(body: Value) -> Answered {
    let all: Vec<Told> = read(&body, "holds")?;
    let head = ["DEVICE", "STATE", "SINCE", "POLICY", "ASKED"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in &all {
        let state = match (&one.operator, one.held) {
            (_, true) => "held".to_owned(),
            (Some(by), false) => format!("released by {by}"),
            (None, false) => "told".to_owned(),
        };
        let since = cert::date(one.since);
        rows.push(vec![one.device.clone(), state, since, one.policy.clone(), one.asked.clone()]);
    }
    let waits = all.iter().any(|one| one.held);
    let answer = Answer::new("touchstone.device.hold.list/1").good(!waits);
    let answer = answer.with_all(members(body));
    if all.is_empty() {
        return Ok(answer.word("no device is told to act"));
    }
    Ok(answer.line(table(&rows)))
}

/// `90s`, `30m`, `2h`, `7d`.
fn seconds(lasting: &str) -> Result<u64, Failure> {
    let unit = lasting.chars().last().and_then(|unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86400),
        _ => None,
    });
    let number = lasting.get(..lasting.len().saturating_sub(1)).and_then(|it| it.parse().ok());
    unit.zip(number).and_then(|(unit, number): (u64, u64)| unit.checked_mul(number)).ok_or_else(
        || Failure::usage(format!("`{lasting}` is no span of time"), "write 30m, 2h or 7d"),
    )
}

/// A decision, as the fleet tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Decision {
    device: String,
    effect: String,
    reason: String,
    operator: String,
    created: u64,
    expires: u64,
    ended: Option<u64>,
    in_force: bool,
}

impl Decision {
    fn state(&self) -> String {
        match self.ended {
            Some(at) => format!("ended {}", cert::date(at)),
            None if self.in_force => format!("until {}", cert::date(self.expires)),
            None => format!("over since {}", cert::date(self.expires)),
        }
    }
}

fn decided(body: Value) -> Answered {
    let decision: Decision = read(&body, "override")?;
    let Decision { device, effect, reason, .. } = &decision;
    let line = format!("{device}: {effect}, {}: {reason}", decision.state());
    Ok(Answer::new("touchstone.device.override.show/1").line(line).with_all(members(body)))
}

fn overrides(body: Value) -> Answered {
    let decisions: Vec<Decision> = read(&body, "overrides")?;
    let head = ["DEVICE", "EFFECT", "STATE", "SINCE", "BY", "REASON"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in &decisions {
        rows.push(vec![
            one.device.clone(),
            one.effect.clone(),
            one.state(),
            cert::date(one.created),
            one.operator.clone(),
            one.reason.clone(),
        ]);
    }
    let answer = Answer::new("touchstone.device.override.list/1").with_all(members(body));
    if decisions.is_empty() {
        return Ok(answer.word("no operator has decided anything"));
    }
    Ok(answer.line(table(&rows)))
}

/// The path of a device; its id stands in a URL as it is.
pub(crate) fn path(id: &str) -> Result<String, Failure> {
    let good = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'~' | b':');
    if id.is_empty() || id.starts_with('.') || !id.bytes().all(good) {
        let message = format!("`{id}` is not the id of a device");
        return Err(Failure::usage(message, "`touchstone device list` shows the ids"));
    }
    Ok(format!("/api/v1/devices/{id}"))
}

/// What this program reads of a device; the fleet may say more.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Summary {
    id: String,
    name: String,
    tier: String,
    contact: String,
    stale: bool,
    why: String,
    identity: Identity,
    certificate: Certificate,
    controls: Vec<Finding>,
    vector: Vec<VectorEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Identity {
    proofs: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Certificate {
    serial: String,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VectorEntry {
    dimension: String,
    value: i64,
    name: String,
    tier: String,
}

/// What a control found, as the fleet tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Finding {
    name: String,
    passed: bool,
    outcome: String,
    tier: String,
    severity: String,
    countermeasures: Vec<String>,
    exception: Option<String>,
    reason: String,
    because: String,
}

impl Finding {
    /// `passed`, `failed` or `unknown`.
    fn outcome(&self) -> &'static str {
        match (self.passed, self.outcome.as_str()) {
            (true, _) => "passed",
            (false, "unknown") => "unknown",
            (false, _) => "failed",
        }
    }
}

pub(crate) fn read<T: for<'de> Deserialize<'de>>(body: &Value, member: &str) -> Result<T, Failure> {
    let member = body.get(member).cloned().unwrap_or_default();
    serde_json::from_value(member).map_err(|error| {
        let message = format!("the fleet's answer has another form: {error}");
        let next = "check that the fleet and this program are of one release";
        Failure::unknown("touchstone.fleet.answer", message, next)
    })
}

fn list(body: Value) -> Answered {
    let devices: Vec<Summary> = read(&body, "devices")?;
    let mut rows = vec![
        ["DEVICE", "NAME", "TIER", "CONTACT", "CERTIFICATE", "WHY"].map(str::to_owned).to_vec(),
    ];
    for device in &devices {
        rows.push(vec![
            device.id.clone(),
            device.name.clone(),
            tier_words(device),
            device.contact.clone(),
            device.certificate.status.clone(),
            device.why.clone(),
        ]);
    }
    let answer = Answer::new("touchstone.device.list/1").with_all(members(body));
    if devices.is_empty() {
        return Ok(
            answer.word("the fleet has no devices; a device is onboarded when its agent starts")
        );
    }
    Ok(answer.line(table(&rows)))
}

fn tier_words(device: &Summary) -> String {
    if device.stale { format!("{} (stale)", device.tier) } else { device.tier.clone() }
}

fn show(body: Value) -> Answered {
    let device: Summary = read(&body, "device")?;
    let good = device.tier == Tier::Affirming.name() && !device.stale;
    let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let certificate = format!("{} {}", device.certificate.status, device.certificate.serial);
    let mut answer = Answer::new("touchstone.device.show/1").good(good).line(table(&[
        row("device", &device.id),
        row("name", &device.name),
        row("tier", &tier_words(&device)),
        row("why", &device.why),
        row("contact", &device.contact),
        row("proven by", &device.identity.proofs.join(", ")),
        row("certificate", certificate.trim_end()),
    ]));
    for entry in &device.vector {
        let VectorEntry { dimension, value, name, tier } = entry;
        answer = answer.line(format_args!("  {dimension:18} {tier:16} {value:4}  {name}"));
    }
    for control in &device.controls {
        answer = answer.line(format_args!(
            "{:8} {}: {}",
            control.outcome(),
            control.name,
            control.reason
        ));
        if let Some(exception) = &control.exception {
            answer = answer.line(format_args!("         excepted by `{exception}`"));
        } else if !control.passed {
            let Finding { tier, severity, because, .. } = control;
            answer = answer.line(format_args!("         {tier} ({severity}), because {because}"));
            if !control.countermeasures.is_empty() {
                let names = control.countermeasures.join(", ");
                answer = answer.line(format_args!("         to do: {names}"));
            }
        }
    }
    Ok(answer.with_all(members(body)))
}

/// The body of an answer without the name of its schema, which is ours to say.
pub(crate) fn members(body: Value) -> Map<String, Value> {
    match body {
        Value::Object(mut members) => {
            members.remove("schema");
            members
        }
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_lead_elsewhere() {
        assert_eq!(path("gateway-17").unwrap(), "/api/v1/devices/gateway-17");
        for bad in ["", "..", "a/b", "a?b", "a b", "a%2fb", "a\r\nb"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
