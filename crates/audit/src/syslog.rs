//! Entries as syslog messages (RFC 5424), framed for a stream (RFC 5425 §4.3).
//! The connection is the caller's.

use crate::Code;
use crate::entry::Entry;
use std::fmt::Write;

/// Facility "log audit" (RFC 5424 §6.2.1).
const FACILITY: u8 = 13;
/// The enterprise number that RFC 5612 sets aside for those who have none.
const STRUCTURED_DATA_ID: &str = "touchstone@32473";
/// RFC 5425 §4.3.1: what every receiver should be able to take.
const MAX_MESSAGE: usize = 8 * 1024;
/// Room that is left for the end of the structured data and the text.
const RESERVE: usize = 1024;

/// Who speaks: the fixed part of every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    hostname: String,
    program: String,
    process: String,
}

impl Syslog {
    /// Messages of `program` with that process id on `hostname`.
    pub fn new(hostname: &str, program: &str, process: u32) -> Self {
        // RFC 5424 §6: the lengths of HOSTNAME and APP-NAME.
        Self {
            hostname: header(hostname, 255),
            program: header(program, 48),
            process: process.to_string(),
        }
    }

    /// The message of an entry, within 8 KiB: circumstances that do not fit are left out, and
    /// `truncated` says so.
    pub fn message(&self, entry: &Entry) -> String {
        let priority = FACILITY * 8 + entry.severity.number();
        let time = timestamp(entry.time);
        let code = header(&entry.code, 32);
        let Self { hostname, program, process } = self;
        let mut message = format!("<{priority}>1 {time} {hostname} {program} {process} {code} ");
        let _ = write!(
            message,
            "[{STRUCTURED_DATA_ID} seq=\"{}\" hash=\"{}\"",
            entry.seq,
            entry.hash()
        );
        let own = [("tenant", &entry.tenant), ("subject", &entry.subject)];
        let detail = entry.detail.iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in own.into_iter().chain(detail) {
            let parameter = format!(" {}=\"{}\"", parameter_name(name), parameter_value(value));
            if message.len() + parameter.len() > MAX_MESSAGE - RESERVE {
                message.push_str(" truncated=\"true\"");
                break;
            }
            message.push_str(&parameter);
        }
        // RFC 5424 §6.4: text in UTF-8 starts with the byte order mark.
        let about = Code::from_name(&entry.code).map_or(entry.code.as_str(), |code| code.about());
        let subject: String = printable(&entry.subject).chars().take(128).collect();
        let _ = write!(message, "] \u{feff}{subject}: {about}");
        message
    }
}

/// A message with its length in front (RFC 5425 §4.3).
pub fn frame(message: &str) -> Vec<u8> {
    format!("{} {message}", message.len()).into_bytes()
}

/// A field of the header: printable ASCII, or the nil value (RFC 5424 §6).
fn header(text: &str, max: usize) -> String {
    let text: String = text.chars().filter(char::is_ascii_graphic).take(max).collect();
    if text.is_empty() { "-".into() } else { text }
}

/// RFC 5424 §6.3.3: no blank, `=`, `]` or `"`; at most 32 characters.
fn parameter_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | ']' | '"');
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).take(32).collect();
    if name.is_empty() { "_".into() } else { name }
}

/// RFC 5424 §6.3.3: `"`, `\` and `]` are escaped.
fn parameter_value(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in printable(value).chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Controls become visible: a line break in a value must not look like a message of its own to a
/// collector that stores lines.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let _ = write!(shown, "<{:02x}>", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// RFC 3339 in UTC, from Unix seconds; the nil value beyond the year 9999.
fn timestamp(time: u64) -> String {
    let (days, second) = (time / 86_400, time % 86_400);
    let Some((year, month, day)) = date(days) else { return "-".into() };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date of a day since 1970: whole cycles of 400 years, then years that start in
/// March, so that a leap day comes last.
fn date(days: u64) -> Option<(u64, u64, u64)> {
    if days >= 2_932_897 {
        return None;
    }
    let shifted = days + 719_468;
    let (cycle, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    Some((cycle * 400 + year + next, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Head, Severity};
    use touchstone_crypto_awslc::AwsLc;

    fn entry(event: &Event) -> Entry {
        Entry::after(&Head::EMPTY, &AwsLc, 1_793_448_000, event)
    }

    #[test]
    fn a_message_has_the_parts_of_rfc_5424() {
        let event = Event::new(Code::VerdictChanged, "plant", "device:17")
            .with("tier", "contraindicated")
            .severity(Severity::Critical);
        let entry = entry(&event);
        let message = Syslog::new("fleet.example", "touchstone-fleet", 212).message(&entry);
        assert_eq!(
            message,
            format!(
                "<106>1 2026-10-31T12:00:00Z fleet.example touchstone-fleet 212 \
                 attest.verdict.changed [touchstone@32473 seq=\"1\" hash=\"{}\" tenant=\"plant\" \
                 subject=\"device:17\" tier=\"contraindicated\"] \
                 \u{feff}device:17: the trust tier of a device changed",
                entry.hash()
            )
        );
        let framed = frame(&message);
        assert!(framed.starts_with(format!("{} <106>1 ", message.len()).as_bytes()));
    }

    #[test]
    fn a_value_cannot_leave_its_quotes() {
        let event = Event::new(Code::FlowCut, "t", "s").with("a b]=\"", "x\"] evil=\"\\\n<34>1");
        let message = Syslog::new("", "", 1).message(&entry(&event));
        assert!(message.contains(r#" a_b___="x\"\] evil=\"\\<0a><34>1"] "#), "{message}");
        assert!(message.starts_with("<108>1 2026-10-31T12:00:00Z - - 1 flow.cut ["), "{message}");
        assert!(!message.contains('\n'));
    }

    #[test]
    fn a_long_event_still_fits() {
        let event = (0..32).fold(Event::new(Code::FlowCut, &"\n".repeat(300), "s"), |event, at| {
            event.with(&at.to_string(), "]".repeat(4_000))
        });
        let message = Syslog::new(&"h".repeat(999), &"p".repeat(999), 1).message(&entry(&event));
        assert!(
            message.len() <= MAX_MESSAGE && message.contains(" truncated=\"true\"]"),
            "{message}"
        );
    }

    #[test]
    fn time_is_told_in_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "-"),
            (u64::MAX, "-"),
        ];
        for (time, text) in cases {
            assert_eq!(timestamp(time), text);
        }
    }
}
