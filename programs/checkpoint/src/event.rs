//! What happened, as one JSON line each on stderr.

use crate::refusal::Refusal;
use serde::Serialize;
use std::io::Write;

/// One line.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    /// `touchstone.checkpoint.event/1`
    pub schema: &'static str,
    /// Unix seconds.
    pub time: u64,
    /// `admitted`, `refused`, `cut`, `closed`, `feed`, `peer`, `service`, `status`.
    pub event: &'static str,
    /// The stable code.
    pub code: &'a str,
    /// Why, in words.
    pub reason: String,
    /// The device, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<&'a str>,
    /// The route that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'a str>,
    /// The peer's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The number of the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<u64>,
    /// Octets from the device and to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub octets: Option<(u64, u64)>,
}

impl<'a> Event<'a> {
    /// A line with no more than these.
    pub fn new(time: u64, event: &'static str, code: &'a str, reason: &dyn ToString) -> Self {
        Self {
            schema: "touchstone.checkpoint.event/1",
            time,
            event,
            code,
            reason: reason.to_string(),
            device: None,
            route: None,
            peer: None,
            flow: None,
            octets: None,
        }
    }

    /// A line about a refusal or a cut.
    pub fn of(time: u64, event: &'static str, refusal: &'a Refusal) -> Self {
        Self::new(time, event, refusal.code(), &refusal)
    }

    /// Writes the line. A log that can not be written must not stop what it tells about.
    pub fn write(&self) {
        if let Ok(mut line) = serde_json::to_vec(self) {
            line.push(b'\n');
            let _ = std::io::stderr().lock().write_all(&line);
        }
    }
}
