//! `touchstone enrolment`: what waits for an operator at a fleet, and the operator's word.

use crate::answer::{Answer, Answered, table};
use crate::cli::Enrolment;
use crate::device::{members, read};
use crate::{cert, fleet};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) fn run(verb: &Enrolment) -> Answered {
    match verb {
        Enrolment::List { fleet } => list(fleet::get(fleet, "/api/v1/enrolments")?),
        Enrolment::Approve { id, fleet } => {
            let at = format!("/api/v1/enrolments/{id}/approve");
            decided(fleet::ask(fleet, Method::POST, &at, None)?)
        }
        Enrolment::Refuse { id, reason, fleet } => {
            let at = format!("/api/v1/enrolments/{id}/refuse");
            let order = json!({ "reason": reason });
            decided(fleet::ask(fleet, Method::POST, &at, Some(&order))?)
        }
    }
}

/// An enrolment, as the fleet tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    id: u64,
    profile: String,
    protocol: String,
    device: Option<String>,
    invited: bool,
    subject: String,
    names: Vec<String>,
    key: String,
    key_sha256: String,
    since: u64,
    expires: u64,
    state: String,
    operator: Option<String>,
    reason: Option<String>,
}

impl Told {
    fn state(&self) -> String {
        match (self.state.as_str(), &self.operator) {
            ("waiting", _) => format!("waiting until {}", cert::date(self.expires)),
            (state, Some(by)) => format!("{state}, by {by}"),
            (state, None) => state.to_owned(),
        }
    }

    /// What speaks for whoever asks.
    fn shown(&self) -> String {
        match (&self.device, self.invited) {
            (Some(device), _) => format!("the device {device}"),
            (None, true) => "a challenge".to_owned(),
            (None, false) => "nothing but a key".to_owned(),
        }
    }
}

fn list(body: Value) -> Answered {
    let all: Vec<Told> = read(&body, "enrolments")?;
    let head = ["ID", "STATE", "SUBJECT", "PROFILE", "BY", "SHOWN", "SINCE", "KEY", "SHA-256"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in &all {
        let named: Vec<&str> =
            std::iter::once(&one.subject).chain(&one.names).map(String::as_str).collect();
        rows.push(vec![
            one.id.to_string(),
            one.state(),
            named.join(" "),
            one.profile.clone(),
            one.protocol.clone(),
            one.shown(),
            cert::date(one.since),
            one.key.clone(),
            one.key_sha256.clone(),
        ]);
    }
    let waits = all.iter().any(|one| one.state == "waiting");
    let answer = Answer::new("touchstone.enrolment.list/1").good(!waits).with_all(members(body));
    if all.is_empty() {
        return Ok(answer.word("no enrolment waits for an operator"));
    }
    Ok(answer.line(table(&rows)))
}

fn decided(body: Value) -> Answered {
    let told: Told = read(&body, "enrolment")?;
    let Told { id, subject, profile, reason, .. } = &told;
    let why = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let line = format!("{id}: {subject} by the profile {profile} is {}{why}", told.state());
    Ok(Answer::new("touchstone.enrolment.show/1").line(line).with_all(members(body)))
}
