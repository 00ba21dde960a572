//! Events of Splunk's HTTP Event Collector: metadata beside the event, which is our own entry.

use super::text::{about, code, fitting, in_json, printable, subject};
use super::{MAX_MESSAGE, Reporter};
use crate::Entry;
use serde_json::{Map, Value, json};

const RESERVE: usize = 2 * 1024;

pub(super) fn event(reporter: &Reporter, entry: &Entry) -> String {
    let room = MAX_MESSAGE - RESERVE;
    let (details, truncated) =
        fitting(entry, room, |name, value| in_json(&printable(name)) + in_json(value) + 2);
    let detail: Map<String, Value> =
        details.into_iter().map(|(name, value)| (printable(name), value.into())).collect();
    let tenant: String = printable(&entry.tenant).chars().take(256).collect();
    let event = json!({
        "seq": entry.seq,
        "hash": entry.hash(),
        "code": code(entry),
        "severity": entry.severity.name(),
        "tenant": tenant,
        "subject": subject(entry),
        "message": about(entry),
        "detail": detail,
        "truncated": truncated,
    });
    json!({
        "time": entry.time,
        "host": reporter.hostname,
        "source": reporter.program,
        "sourcetype": "touchstone:audit",
        "event": event,
        "fields": { "seq": entry.seq.to_string(), "code": code(entry) },
    })
    .to_string()
}
