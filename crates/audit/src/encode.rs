//! Entries in the formats that collectors read: pure text, one line an entry, bounded.
//!
//! Every format names the entry by its number and its hash, so that a collector can tell
//! duplicates, which are sent again after a failure, and gaps. Text that came from devices is the
//! same in all of them: control characters, terminal escapes and characters that turn the
//! direction of writing are shown as `<1b>`. What was said word by word stands in the log.

mod cef;
mod class;
mod hec;
mod leef;
mod ocsf;
mod otlp;
mod rfc5424;
mod text;

use crate::Entry;
use std::fmt;
use std::str::FromStr;

pub use class::Class;
pub use rfc5424::frame;

/// Octets of a message, at most: what every receiver of RFC 5425 (§4.3.1) should be able to take.
pub const MAX_MESSAGE: usize = 8 * 1024;

/// Who speaks: what every message says of its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    hostname: String,
    program: String,
    version: String,
    process: u32,
}

impl Reporter {
    /// `program` in that version, with that process id, on `hostname`.
    pub fn new(hostname: &str, program: &str, version: &str, process: u32) -> Self {
        Self {
            hostname: text::word(hostname, 255),
            program: text::word(program, 48),
            version: text::word(version, 48),
            process,
        }
    }

    /// An entry in that format, as one line without its end. It fits [`MAX_MESSAGE`]:
    /// circumstances that do not are left out, and `truncated` says so.
    pub fn encode(&self, format: Format, entry: &Entry) -> String {
        match format {
            Format::Rfc5424 => rfc5424::message(self, entry, None),
            Format::Cef => cef::event(self, entry),
            Format::Leef => leef::event(self, entry),
            Format::Ocsf => ocsf::event(self, entry),
            Format::Otlp => otlp::request(self, std::slice::from_ref(entry)),
            Format::Hec => hec::event(self, entry),
        }
    }

    /// A syslog message (RFC 5424) whose text is the entry in that format, for collectors that read
    /// CEF, LEEF or OCSF out of syslog.
    pub fn syslog(&self, format: Format, entry: &Entry) -> String {
        match format {
            Format::Rfc5424 => rfc5424::message(self, entry, None),
            other => rfc5424::message(self, entry, Some(self.encode(other, entry))),
        }
    }

    /// Several entries as the body of one OTLP/HTTP request (`POST /v1/logs`, JSON).
    pub fn otlp(&self, entries: &[Entry]) -> String {
        otlp::request(self, entries)
    }

    /// Several entries as the body of one request to a Splunk HTTP Event Collector.
    pub fn hec(&self, entries: &[Entry]) -> String {
        entries.iter().map(|entry| hec::event(self, entry)).collect::<Vec<_>>().join("\n")
    }
}

/// How an entry is written for a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A syslog message with structured data (RFC 5424).
    Rfc5424,
    /// Common Event Format, version 0.
    Cef,
    /// Log Event Extended Format 2.0.
    Leef,
    /// Open Cybersecurity Schema Framework 1.8, JSON.
    Ocsf,
    /// OpenTelemetry's `LogsData`, JSON.
    Otlp,
    /// An event of Splunk's HTTP Event Collector, JSON.
    Hec,
}

impl Format {
    /// Every format.
    pub const ALL: &[Self] =
        &[Self::Rfc5424, Self::Cef, Self::Leef, Self::Ocsf, Self::Otlp, Self::Hec];

    /// Its name in configurations and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc5424 => "rfc5424",
            Self::Cef => "cef",
            Self::Leef => "leef",
            Self::Ocsf => "ocsf",
            Self::Otlp => "otlp",
            Self::Hec => "hec",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseFormatError;

impl fmt::Display for ParseFormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("formats are `rfc5424`, `cef`, `leef`, `ocsf`, `otlp` and `hec`")
    }
}

impl std::error::Error for ParseFormatError {}

impl FromStr for Format {
    type Err = ParseFormatError;

    fn from_str(text: &str) -> Result<Self, ParseFormatError> {
        Self::ALL.iter().copied().find(|format| format.name() == text).ok_or(ParseFormatError)
    }
}

#[cfg(test)]
mod tests;
