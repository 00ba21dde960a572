//! Syslog messages (RFC 5424), framed for a stream (RFC 5425 §4.3). The connection is the caller's.

use super::text::{about, fitting, printable, subject, timestamp};
use super::{MAX_MESSAGE, Reporter};
use crate::entry::Entry;
use std::fmt::Write;

/// Facility "log audit" (RFC 5424 §6.2.1).
const FACILITY: u8 = 13;
/// The enterprise number that RFC 5612 sets aside for those who have none.
const STRUCTURED_DATA_ID: &str = "touchstone@32473";
/// Room for the header, our own parameters and the text.
const RESERVE: usize = 2 * 1024;

/// The message of an entry. With `text` of another format, the circumstances stand there alone.
pub(super) fn message(reporter: &Reporter, entry: &Entry, text: Option<String>) -> String {
    let priority = FACILITY * 8 + entry.severity.number();
    let time = timestamp(entry.time);
    let code = super::text::word(&entry.code, 32);
    let Reporter { hostname, program, process, .. } = reporter;
    let mut message = format!(
        "<{priority}>1 {time} {hostname} {program} {process} {code} [{STRUCTURED_DATA_ID} \
         seq=\"{}\" hash=\"{}\"",
        entry.seq,
        entry.hash()
    );
    if let Some(text) = text {
        let _ = write!(message, "] \u{feff}{text}");
        return message;
    }
    for (name, value) in [("tenant", &entry.tenant), ("subject", &entry.subject)] {
        let value: String = printable(value).chars().take(256).collect();
        let _ = write!(message, " {name}=\"{}\"", escaped(&value));
    }
    let room = MAX_MESSAGE.saturating_sub(RESERVE + message.len());
    let (details, truncated) =
        fitting(entry, room, |name, value| name.len().min(32) + escaped(value).len() + 4);
    for (name, value) in details {
        let _ = write!(message, " {}=\"{}\"", parameter_name(name), escaped(&value));
    }
    if truncated {
        message.push_str(" truncated=\"true\"");
    }
    // RFC 5424 §6.4: text in UTF-8 starts with the byte order mark.
    let _ = write!(message, "] \u{feff}{}: {}", subject(entry), about(entry));
    message
}

/// A message with its length in front (RFC 5425 §4.3).
pub fn frame(message: &str) -> Vec<u8> {
    format!("{} {message}", message.len()).into_bytes()
}

/// RFC 5424 §6.3.3: no blank, `=`, `]` or `"`; at most 32 characters.
fn parameter_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | ']' | '"');
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).take(32).collect();
    if name.is_empty() { "_".into() } else { name }
}

/// RFC 5424 §6.3.3: `"`, `\` and `]` are escaped.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
