//! Common Event Format, version 0: a header of seven fields between bars, and `key=value`.

use super::text::{about, code, fitting, printable, subject};
use super::{MAX_MESSAGE, Reporter};
use crate::{Entry, Severity};
use std::fmt::Write;

const RESERVE: usize = 2 * 1024;

pub(super) fn event(reporter: &Reporter, entry: &Entry) -> String {
    let Reporter { hostname, program, version, process } = reporter;
    let mut event = format!(
        "CEF:0|Touchstone|{}|{}|{}|{}|{}|",
        header(program),
        header(version),
        header(&code(entry)),
        header(&about(entry)),
        severity(entry.severity),
    );
    let time = u128::from(entry.time) * 1000;
    let subject = value(&subject(entry));
    let tenant: String = printable(&entry.tenant).chars().take(256).collect();
    let _ = write!(
        event,
        "rt={time} externalId={} cn1Label=seq cn1={} dvchost={} dvcpid={process} \
         deviceExternalId={subject} cs1Label=tenant cs1={} msg={}",
        entry.hash(),
        entry.seq,
        value(hostname),
        value(&tenant),
        value(&about(entry)),
    );
    let room = MAX_MESSAGE.saturating_sub(RESERVE + event.len());
    let (details, truncated) =
        fitting(entry, room, |name, text| key(name).len() + value(text).len() + 2);
    for (name, text) in details {
        let _ = write!(event, " {}={}", key(name), value(&text));
    }
    if truncated {
        event.push_str(" touchstoneTruncated=true");
    }
    event
}

/// From 0 to 10.
pub(super) const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Alert => 10,
        Severity::Critical => 9,
        Severity::Error => 7,
        Severity::Warning => 5,
        Severity::Notice => 3,
        Severity::Info => 1,
    }
}

/// In the header bars and backslashes are escaped.
fn header(text: &str) -> String {
    printable(text).chars().take(512).fold(String::new(), |mut shown, c| {
        if matches!(c, '|' | '\\') {
            shown.push('\\');
        }
        shown.push(c);
        shown
    })
}

/// In the extension equals signs and backslashes are escaped.
fn value(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if matches!(c, '=' | '\\') {
            shown.push('\\');
        }
        shown.push(c);
        shown
    })
}

/// A key of our own bears our name, and has letters and digits only.
fn key(name: &str) -> String {
    let mut key = String::from("touchstone");
    for part in name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        let mut letters = part.chars();
        key.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        key.extend(letters);
    }
    key.truncate(64);
    key
}
