//! Claims about code in memory.

use crate::references::View;
use alloc::string::String;
use touchstone_evidence::RuntimeClaims;
use touchstone_evidence::runtime::{CodeRange, Process};
use touchstone_policy::Value;

/// Every code range of every watched process.
pub(super) fn all(runtime: &RuntimeClaims, references: &View<'_>) -> Value {
    Value::list(ranges(runtime).map(|(process, range)| record(process, range, references)))
}

/// Those that are not what the references say, and executables that the references know but that
/// have none of their code in a process of theirs.
pub(super) fn changed(runtime: &RuntimeClaims, references: &View<'_>) -> Value {
    let differing = ranges(runtime)
        .filter(|(_, range)| !is_known(range, references))
        .map(|(process, range)| record(process, range, references));
    let hollow = runtime
        .processes
        .iter()
        .filter(|process| !process.ranges.iter().any(|range| range.path == process.path))
        .map(hollow_record);
    Value::list(differing.chain(hollow))
}

/// Processes with executable memory that no file backs.
pub(super) fn foreign(runtime: &RuntimeClaims) -> Value {
    let processes = runtime.processes.iter().filter(|process| process.anonymous_executable > 0);
    Value::list(processes.map(|process| {
        let why = format!(
            "process {} ({}) has {} executable mappings that no file backs, expected none",
            process.pid, process.path, process.anonymous_executable
        );
        process_record(process, why)
    }))
}

/// Watched executables without a process.
pub(super) fn missing(runtime: &RuntimeClaims) -> Value {
    let missing = runtime
        .watched
        .iter()
        .filter(|path| !runtime.processes.iter().any(|process| process.path == **path));
    Value::list(missing.map(|path| path.as_str().into()))
}

fn ranges(runtime: &RuntimeClaims) -> impl Iterator<Item = (&Process, &CodeRange)> {
    runtime
        .processes
        .iter()
        .flat_map(|process| process.ranges.iter().map(move |range| (process, range)))
}

fn is_known(range: &CodeRange, references: &View<'_>) -> bool {
    references
        .code(&range.path, range.offset)
        .any(|known| known.len == range.len && known.digest == range.digest)
}

fn record(process: &Process, range: &CodeRange, references: &View<'_>) -> Value {
    let of_len = |known: &&crate::references::Range| known.len == range.len;
    let candidates = || references.code(&range.path, range.offset).filter(of_len);
    let expected = candidates()
        .find(|known| known.digest == range.digest)
        .or_else(|| candidates().last())
        .map(|known| known.digest);
    let place = format!(
        "process {} ({}): {} at {:#x}, {} octets of code",
        process.pid, process.path, range.path, range.offset, range.len
    );
    let why = match expected {
        Some(expected) if expected == range.digest => format!("{place}, is as released"),
        Some(expected) => format!("{place}, is {} in memory, expected {expected}", range.digest),
        None if references.knows_code_of(&range.path) => {
            format!("{place}, is mapped otherwise than the released file would be")
        }
        None => format!("{place}, is of a file that is not in the reference values of code"),
    };
    let mut fields = vec![
        ("process", process.path.as_str().into()),
        ("pid", i64::from(process.pid).into()),
        ("path", range.path.as_str().into()),
        ("offset", i64::try_from(range.offset).unwrap_or(i64::MAX).into()),
        ("digest", range.digest.into()),
    ];
    fields.extend(expected.map(|expected| ("expected", Value::from(expected))));
    fields.push(("why", why.into()));
    Value::Record(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn hollow_record(process: &Process) -> Value {
    let why = format!(
        "process {} ({}): none of its executable's code is mapped",
        process.pid, process.path
    );
    process_record(process, why)
}

fn process_record(process: &Process, why: String) -> Value {
    Value::record([
        ("process", process.path.as_str().into()),
        ("pid", i64::from(process.pid).into()),
        ("why", why.into()),
    ])
}
