//! Claims about what Secure Boot and shim refuse, and whom shim trusts.

use super::{Notes, Source, note};
use crate::references::Database;
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use touchstone_crypto::Digest;
use touchstone_evidence::claims::{Fact, SbatLevel};
use touchstone_policy::Value;

/// The entries of dbx, if an event tells them.
pub(super) fn revoked(source: &Source<'_>, notes: &mut Notes) -> Option<Value> {
    let revoked = dbx(source, "boot.dbx", notes)?;
    Some(Value::list(revoked.into_iter().map(Value::from)))
}

/// Revocations that the references name and that dbx does not have: what they revoke would be started.
pub(super) fn missing(source: &Source<'_>, notes: &mut Notes) -> Option<Value> {
    let revoked: BTreeSet<Digest> =
        dbx(source, "boot.missing-revocations", notes)?.into_iter().collect();
    let missing = source.references.keys(Database::Dbx).filter(|known| !revoked.contains(*known));
    Some(Value::list(missing.map(|digest| {
        let why = format!("dbx does not revoke {digest}");
        Value::record([("digest", (*digest).into()), ("why", why.into())])
    })))
}

fn dbx(
    source: &Source<'_>,
    claim: &'static str,
    notes: &mut Notes,
) -> Option<alloc::vec::Vec<Digest>> {
    let boot = source.evidence.boot;
    let revoked = boot.revoked(source.crypto);
    if revoked.is_none() {
        let event = boot.forbidden_db.as_ref().map(|fact| fact.event);
        let text = event.map_or_else(
            || "no event tells what dbx holds".to_string(),
            |event| format!("event {event} (PCR 7): dbx does not parse"),
        );
        note(notes, claim, event, text);
    }
    revoked
}

pub(super) fn shim_variables(source: &Source<'_>) -> Value {
    Value::list(source.evidence.boot.shim_variables.iter().map(|variable| {
        let why =
            format!("event {} (PCR 14): {} is {}", variable.event, variable.name, variable.digest);
        Value::record([
            ("event", i64::from(variable.event).into()),
            ("name", variable.name.as_str().into()),
            ("digest", variable.digest.into()),
            ("why", why.into()),
        ])
    }))
}

/// The lowest generation of each component that shim starts.
pub(super) fn sbat(source: &Source<'_>, notes: &mut Notes) -> Option<Value> {
    let level = level(source, "boot.sbat", notes)?;
    let generations = level.value.generations.iter();
    let generations = generations.map(|(name, number)| (name.clone(), integer(*number)));
    Some(Value::Map(generations.collect()))
}

pub(super) fn sbat_date(source: &Source<'_>, notes: &mut Notes) -> Option<Value> {
    let level = level(source, "boot.sbat-date", notes)?;
    Some(integer(level.value.date))
}

fn level<'a>(
    source: &Source<'a>,
    claim: &'static str,
    notes: &mut Notes,
) -> Option<&'a Fact<SbatLevel>> {
    let level = source.evidence.boot.sbat_level.as_ref();
    match level {
        Some(level) => {
            let components = level.value.generations.iter();
            let told = components.map(|(name, number)| format!("{name},{number}"));
            let told = told.collect::<alloc::vec::Vec<_>>().join(" ");
            let text = format!(
                "event {} (PCR {}): the SBAT level is of {}: {told}",
                level.event, level.pcr, level.value.date
            );
            note(notes, claim, Some(level.event), text);
        }
        None => {
            note(
                notes,
                claim,
                None,
                "no event tells an SBAT level: no shim that has one".to_string(),
            );
        }
    }
    level
}

fn integer(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}
