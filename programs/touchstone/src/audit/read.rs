//! Reading entries: to show them, and to write them as a SIEM wants them.

use crate::answer::{Answer, Answered, Failure};
use crate::cli::Filter;
use serde_json::Value;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use touchstone_audit::{Entries, Entry, Error, Format, Reporter, parts};
use touchstone_crypto_awslc::AwsLc;

/// The files of a log, the oldest first.
pub(super) fn files(log: &Path) -> Result<Vec<(PathBuf, File)>, Failure> {
    let older = parts(log).map_err(|error| failed(log, &error))?;
    let older = older.into_iter().map(|part| part.path);
    let open = |path: PathBuf| {
        let opened = File::open(&path);
        opened.map(|file| (path.clone(), file)).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::unknown("touchstone.file.read", message, "check the path and who may read it")
        })
    };
    older.chain([log.to_owned()]).map(open).collect()
}

pub(super) fn failed(log: &Path, error: &Error) -> Failure {
    let next = match error {
        Error::Broken(_) => "keep the file, and see `touchstone audit verify`",
        _ => "check the path and the disk",
    };
    Failure::unknown(error.code(), format!("{}: {error}", log.display()), next)
}

/// Every entry that passes the filter, up to its limit; whether there were more.
pub(super) fn each(
    log: &Path,
    filter: &Filter,
    mut seen: impl FnMut(&Entry),
) -> Result<bool, Failure> {
    let mut left = filter.limit;
    for (path, file) in files(log)? {
        for entry in Entries::new(file, &AwsLc) {
            let entry = entry.map_err(|error| failed(&path, &error))?;
            if !passes(filter, &entry) {
                continue;
            }
            let Some(rest) = left.checked_sub(1) else { return Ok(true) };
            left = rest;
            seen(&entry);
        }
    }
    Ok(false)
}

fn passes(filter: &Filter, entry: &Entry) -> bool {
    (filter.from..=filter.to).contains(&entry.seq)
        && (filter.since..=filter.until).contains(&entry.time)
        && entry.code.starts_with(&filter.code)
        && filter.subject.as_ref().is_none_or(|subject| *subject == entry.subject)
        && entry.severity <= filter.severity
}

pub(super) fn show(log: &Path, filter: &Filter) -> Answered {
    let mut lines = Vec::new();
    let mut entries = Vec::new();
    let more = each(log, filter, |entry| {
        lines.push(line(entry));
        entries.push(serde_json::to_value(entry).unwrap_or_default());
    })?;
    let answer = Answer::new("touchstone.audit.show/1").with("entries", entries);
    Ok(limited(lines.iter().fold(answer, Answer::line), filter, more))
}

pub(super) fn export(
    log: &Path,
    format: Format,
    hostname: Option<&str>,
    filter: &Filter,
) -> Answered {
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hostname = hostname.unwrap_or(own.trim());
    let version = env!("CARGO_PKG_VERSION");
    let reporter = Reporter::new(hostname, "touchstone-fleet", version, std::process::id());
    let mut lines = String::new();
    let more = each(log, filter, |entry| {
        lines.push_str(&reporter.encode(format, entry));
        lines.push('\n');
    })?;
    let answer = Answer::new("touchstone.audit.export/1")
        .with("format", format.name())
        .with("lines", lines.lines().map(Value::from).collect::<Vec<_>>());
    // The lines are safe for terminals already; changing them would change what is exported.
    Ok(limited(answer.lines_as_they_are(&lines), filter, more))
}

fn limited(answer: Answer, filter: &Filter, more: bool) -> Answer {
    let answer = answer.with("more", more);
    if !more {
        return answer;
    }
    let limit = filter.limit;
    answer.word(format_args!("there are more than {limit} entries; see --from and --limit"))
}

fn line(entry: &Entry) -> String {
    let time = i64::try_from(entry.time).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    let time = time.map_or_else(|| entry.time.to_string(), |time| time.to_string());
    let one = |text: &str| text.replace(['\n', '\t'], " ");
    let mut line = format!(
        "{:>8} {time} {:<8} {:<24} {}",
        entry.seq,
        entry.severity.name(),
        entry.code,
        one(&entry.subject)
    );
    for (name, value) in &entry.detail {
        let _ = write!(line, " {}={}", one(name), one(value));
    }
    line
}
