//! The claims `reference.*`: what the reference values in force say. The same for every device
//! that is judged by the same sets, so they are made once and shared.

use super::is_empty;
use super::kept::Kept;
use crate::references::{Database, View};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use touchstone_crypto::Digest;
use touchstone_policy::Value;

/// Each claim that was asked for.
pub(crate) type Made = BTreeMap<&'static str, Arc<Value>>;

/// The claims `reference.*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReferenceClaims(Kept);

const NAMES: [&str; 10] = [
    "reference.pk",
    "reference.kek",
    "reference.db",
    "reference.dbx",
    "reference.boot-images",
    "reference.firmware",
    "reference.files",
    "reference.command-lines",
    "reference.publishers",
    "reference.generators",
];

impl ReferenceClaims {
    /// Those claims among `wanted` that are made of reference values alone. A set that is empty
    /// because nothing supplies it is none.
    pub(crate) fn of<'n>(&self, view: &View<'_>, wanted: impl Iterator<Item = &'n str>) -> Made {
        let wanted = wanted.filter_map(|name| NAMES.into_iter().find(|known| *known == name));
        self.0.with(view.key(), |made| {
            let of = |name| {
                let value = made.entry(name).or_insert_with(|| Arc::new(claim(view, name)));
                (name, Arc::clone(value))
            };
            let said = |(name, value): &(&'static str, Arc<Value>)| {
                // Every one of the revocations is wanted, so one less is no less to ask for.
                let counts = !is_empty(value) && *name != "reference.dbx";
                counts || view.lacks(name).is_none()
            };
            wanted.map(of).filter(said).collect()
        })
    }

    pub(crate) fn all(&self, view: &View<'_>) -> Made {
        self.of(view, NAMES.into_iter())
    }
}

fn claim(view: &View<'_>, name: &str) -> Value {
    let digests = |digests: &mut dyn Iterator<Item = Digest>| Value::set(digests.map(Value::from));
    match name {
        "reference.pk" => digests(&mut view.keys(Database::Pk).copied()),
        "reference.kek" => digests(&mut view.keys(Database::Kek).copied()),
        "reference.db" => digests(&mut view.keys(Database::Db).copied()),
        "reference.dbx" => digests(&mut view.keys(Database::Dbx).copied()),
        "reference.boot-images" => digests(&mut view.images().copied()),
        "reference.firmware" => digests(&mut view.firmware().copied()),
        "reference.files" => digests(&mut view.file_digests()),
        "reference.command-lines" => Value::set(view.command_lines().map(Value::from)),
        "reference.generators" => Value::set(view.generators().map(Value::from)),
        _ => Value::set(view.publishers().map(|(of, _)| Value::from(of.name()))),
    }
}
