//! Open Cybersecurity Schema Framework 1.8: an event of the class that its code has.
//!
//! What a class requires and an entry does not say is said as the schema has it for that: a device
//! of type "Other", an actor that is the program. Circumstances that the class has no place for
//! stand in `unmapped`.

use super::class::{
    BASE, COMPLIANCE, CONFIG, DETECTION, ENTITY, LIFECYCLE, LOG, LOGON, MEMORY, MODULE, NETWORK,
    PROCESS, REMEDIATION,
};
use super::text::{about, code, fitting, in_json, printable, subject};
use super::{Class, MAX_MESSAGE, Reporter};
use crate::{Code, Entry, Severity};
use serde_json::{Map, Value, json};

const VERSION: &str = "1.8.0";
const RESERVE: usize = 3 * 1024;

pub(super) fn event(reporter: &Reporter, entry: &Entry) -> String {
    let class = Code::from_name(&entry.code).map_or(BASE, Class::of);
    let room = MAX_MESSAGE - RESERVE;
    let (details, truncated) =
        fitting(entry, room, |name, value| in_json(&printable(name)) + in_json(value) + 2);
    let about = format!("{}: {}", subject(entry), about(entry));
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| event.insert(name.to_owned(), value);
    put("class_uid", class.uid.into());
    put("class_name", class.name.into());
    put("category_uid", class.category().into());
    put("category_name", class.category_name().into());
    put("activity_id", class.activity.into());
    put("activity_name", class.activity_name.into());
    put("type_uid", (u64::from(class.uid) * 100 + u64::from(class.activity)).into());
    put("type_name", format!("{}: {}", class.name, class.activity_name).into());
    put("time", entry.time.saturating_mul(1000).into());
    put("severity_id", severity(entry.severity).0.into());
    put("severity", severity(entry.severity).1.into());
    put("message", about.clone().into());
    put("metadata", metadata(reporter, entry, truncated));
    if let Some(success) = class.success {
        put("status_id", if success { 1 } else { 2 }.into());
        put("status", if success { "Success" } else { "Failure" }.into());
    }
    for (name, value) in own(class, reporter, entry, &about) {
        put(name, value);
    }
    let unmapped: Map<String, Value> =
        details.into_iter().map(|(name, value)| (printable(name), value.into())).collect();
    if !unmapped.is_empty() {
        put("unmapped", unmapped.into());
    }
    Value::Object(event).to_string()
}

fn metadata(reporter: &Reporter, entry: &Entry, truncated: bool) -> Value {
    let tenant: String = printable(&entry.tenant).chars().take(256).collect();
    json!({
        "version": VERSION,
        "product": {
            "name": reporter.program,
            "vendor_name": "Touchstone",
            "version": reporter.version,
        },
        "uid": entry.hash(),
        "event_code": code(entry),
        "sequence": entry.seq,
        "log_name": "audit",
        "tenant_uid": tenant,
        "is_truncated": truncated,
    })
}

/// What the class has beyond what every event has.
fn own(
    class: Class,
    reporter: &Reporter,
    entry: &Entry,
    about: &str,
) -> Vec<(&'static str, Value)> {
    let detail = |name: &str| {
        let text = printable(entry.detail.get(name)?);
        Some(text.chars().take(256).collect::<String>())
    };
    let named = subject(entry);
    let device = device(reporter, entry);
    let actor = json!({ "app_name": reporter.program });
    let class = Class { activity: 0, activity_name: "Unknown", success: None, ..class };
    match class {
        COMPLIANCE => {
            let (id, status) = match detail("tier").or_else(|| detail("to")).as_deref() {
                Some("affirming") => (1, "Pass"),
                Some("warning") => (2, "Warning"),
                _ => (3, "Fail"),
            };
            vec![
                ("finding_info", json!({ "uid": named, "title": about })),
                (
                    "compliance",
                    json!({ "control": "attestation", "standards": ["RFC 9334"], "status_id": id, "status": status }),
                ),
                ("resources", json!([{ "uid": named }])),
                ("device", device),
            ]
        }
        DETECTION => vec![
            ("finding_info", json!({ "uid": format!("{}:{named}", code(entry)), "title": about })),
            ("is_alert", (entry.severity <= Severity::Error).into()),
            ("resources", json!([{ "uid": named }])),
            ("device", device),
        ],
        MEMORY | PROCESS => vec![
            ("device", device),
            ("actor", actor),
            ("process", process(&named, detail("pid"), detail("path"))),
        ],
        CONFIG => vec![("device", device), ("actor", actor)],
        MODULE => {
            let name = detail("path").unwrap_or_else(|| "of memory".to_owned());
            let file = json!({ "name": name, "type_id": 1 });
            vec![("device", device), ("actor", actor), ("module", json!({ "file": file }))]
        }
        LOG => vec![("device", device), ("actor", actor), ("log_name", "audit".into())],
        REMEDIATION => vec![
            ("command_uid", detail("token").unwrap_or_else(|| entry.hash().into()).into()),
            ("device", device),
        ],
        ENTITY => vec![("entity", json!({ "uid": named, "type": kind(&entry.subject) }))],
        LOGON => vec![
            ("user", json!({ "name": named })),
            ("service", json!({ "name": reporter.program })),
        ],
        NETWORK => vec![("src_endpoint", json!({ "uid": named })), ("device", device)],
        LIFECYCLE => {
            let name = detail("component").unwrap_or_else(|| reporter.program.clone());
            vec![("app", json!({ "name": name, "vendor_name": "Touchstone" })), ("device", device)]
        }
        _ => Vec::new(),
    }
}

/// Devices are what a subject `device:ID` names; anything else happened on the reporter's machine.
fn device(reporter: &Reporter, entry: &Entry) -> Value {
    match entry.subject.strip_prefix("device:") {
        Some(_) => json!({ "uid": subject(entry), "type_id": 99, "type": "Attester" }),
        None => json!({ "hostname": reporter.hostname, "type_id": 99, "type": "Verifier" }),
    }
}

fn process(named: &str, pid: Option<String>, path: Option<String>) -> Value {
    let pid = pid.and_then(|pid| pid.parse::<u32>().ok()).map(|pid| ("pid", pid.into()));
    let path = path.map(|path| ("path", path.into()));
    let members = [Some(("uid", named.into())), pid, path].into_iter().flatten();
    members.map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect()
}

fn kind(subject: &str) -> String {
    let kind = subject.split_once(':').map_or("thing", |(kind, _)| kind);
    printable(kind).chars().take(32).collect()
}

const fn severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Alert => (6, "Fatal"),
        Severity::Critical => (5, "Critical"),
        Severity::Error => (4, "High"),
        Severity::Warning => (3, "Medium"),
        Severity::Notice => (2, "Low"),
        Severity::Info => (1, "Informational"),
    }
}
