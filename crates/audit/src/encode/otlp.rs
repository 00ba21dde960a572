//! OpenTelemetry's `LogsData` in JSON, as OTLP/HTTP takes it. Numbers of 64 bits are strings there.

use super::text::{about, code, fitting, in_json, printable, subject};
use super::{MAX_MESSAGE, Reporter};
use crate::{Entry, Severity};
use serde_json::{Value, json};

const RESERVE: usize = 2 * 1024 + 512;
/// What an attribute costs beside its name and value.
const ATTRIBUTE: usize = 64;

pub(super) fn request(reporter: &Reporter, entries: &[Entry]) -> String {
    let Reporter { hostname, program, version, process } = reporter;
    let records: Vec<Value> = entries.iter().map(record).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": [
            text("service.name", program),
            text("service.version", version),
            text("host.name", hostname),
            { "key": "process.pid", "value": { "intValue": process.to_string() } },
        ] },
        "scopeLogs": [{ "scope": { "name": "touchstone.audit" }, "logRecords": records }],
    }] })
    .to_string()
}

fn record(entry: &Entry) -> Value {
    let tenant: String = printable(&entry.tenant).chars().take(256).collect();
    let mut attributes = vec![
        // The semantic convention for telling duplicates.
        text("log.record.uid", entry.hash()),
        json!({ "key": "touchstone.seq", "value": { "intValue": entry.seq.to_string() } }),
        text("touchstone.subject", &subject(entry)),
        text("touchstone.tenant", &tenant),
    ];
    let room = MAX_MESSAGE - RESERVE;
    let (details, truncated) =
        fitting(entry, room, |name, value| in_json(&printable(name)) + in_json(value) + ATTRIBUTE);
    for (name, value) in details {
        attributes.push(text(&format!("touchstone.detail.{}", printable(name)), &value));
    }
    if truncated {
        attributes.push(json!({ "key": "touchstone.truncated", "value": { "boolValue": true } }));
    }
    let nanos = (u128::from(entry.time) * 1_000_000_000).min(u128::from(u64::MAX)).to_string();
    json!({
        "timeUnixNano": nanos,
        "observedTimeUnixNano": nanos,
        "severityNumber": severity(entry.severity),
        "severityText": entry.severity.name(),
        "eventName": code(entry),
        "body": { "stringValue": format!("{}: {}", subject(entry), about(entry)) },
        "attributes": attributes,
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// The ranges of OpenTelemetry's log data model.
const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Alert => 21,
        Severity::Critical => 18,
        Severity::Error => 17,
        Severity::Warning => 13,
        Severity::Notice => 10,
        Severity::Info => 9,
    }
}
