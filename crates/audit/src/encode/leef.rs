//! Log Event Extended Format 2.0: a header between bars, attributes between tabs. No control
//! character is left in a value, so a tab always ends one.

use super::cef::severity;
use super::text::{about, code, fitting, printable, subject};
use super::{MAX_MESSAGE, Reporter};
use crate::Entry;
use std::fmt::Write;

const RESERVE: usize = 2 * 1024;

pub(super) fn event(reporter: &Reporter, entry: &Entry) -> String {
    let Reporter { hostname, program, version, process } = reporter;
    let mut event = format!(
        "LEEF:2.0|Touchstone|{}|{}|{}|x09|",
        header(program),
        header(version),
        header(&code(entry))
    );
    let time = u128::from(entry.time) * 1000;
    let tenant: String = printable(&entry.tenant).chars().take(256).collect();
    let _ = write!(
        event,
        "devTime={time}\tsev={}\tcat={}\tidentHostName={hostname}\tpid={process}\t\
         resource={}\ttenant={tenant}\tseq={}\texternalId={}\tmsg={}",
        severity(entry.severity).max(1),
        header(code(entry).split('.').next().unwrap_or_default()),
        subject(entry),
        entry.seq,
        entry.hash(),
        about(entry),
    );
    let room = MAX_MESSAGE.saturating_sub(RESERVE + event.len());
    let (details, truncated) = fitting(entry, room, |name, text| name.len() + text.len() + 13);
    for (name, text) in details {
        let _ = write!(event, "\t{}={text}", key(name));
    }
    if truncated {
        event.push_str("\ttruncated=true");
    }
    event
}

/// The header has no way to escape a bar.
fn header(text: &str) -> String {
    let plain = |c: char| if c == '|' { '_' } else { c };
    printable(text).chars().map(plain).take(256).collect()
}

/// A key has no blanks and no equals sign; those that the format knows already are not ours to use.
fn key(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = name.chars().map(plain).take(64).collect();
    format!("touchstone_{name}")
}
