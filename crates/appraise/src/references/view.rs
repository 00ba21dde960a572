//! The reference values as they count for one device at one time.

use super::assignment::Assigned;
use super::document::SetName;
use super::publisher::{Signatory, Signed};
use super::set::{Kind, Set, Values};
use super::{Database, Range, References};
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::OnceCell;
use touchstone_crypto::{Crypto, Digest};
use touchstone_measure::ima;
use touchstone_measure::ima::signature::{Publishers, SignatureFault};

/// What a value is worth at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It is good.
    Good,
    /// A newer version has superseded it, and the grace is running.
    Outdated,
    /// It does not count any more.
    Unknown,
}

/// What identifies a view: equal keys, equal values.
pub(crate) type ViewKey = (Vec<(Digest, Standing)>, Vec<(String, u64)>);

/// What judging a file depends on: the sets and assignments by their content, and what each publisher's
/// signatures are worth at the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JudgedBy {
    sets: Vec<(Digest, Standing)>,
    assigned: Vec<Digest>,
    publishers: Vec<Standing>,
}

impl JudgedBy {
    /// Octets of memory that it takes beside itself.
    pub(crate) fn octets(&self) -> usize {
        size_of_val(self.sets.as_slice())
            + size_of_val(self.assigned.as_slice())
            + size_of_val(self.publishers.as_slice())
    }
}

/// The values for one device at one time; the good ones before the outdated.
pub(crate) struct View<'a> {
    layers: Vec<Layer<'a>>,
    assigned: Vec<&'a Assigned>,
    sets: Vec<(&'a Set, Standing)>,
    /// Sets that nothing newer has replaced and whose time is over. Their values do not count; that
    /// there were some does.
    over: Vec<&'a Set>,
    now: u64,
    keys_of_publishers: OnceCell<Publishers>,
}

/// Values with one origin.
pub(crate) struct Layer<'a> {
    values: &'a Values,
    set: Option<&'a Set>,
    recorded: bool,
    standing: Standing,
}

/// A value that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) standing: Standing,
    /// Where it comes from, for reasons: `uki.efi of boot version 3`.
    pub(crate) from: String,
}

impl Layer<'_> {
    fn origin(&self) -> String {
        let recorded = if self.recorded { " (recorded)" } else { "" };
        match self.set {
            Some(set) => format!("{} version {}{recorded}", set.component, set.version),
            None => "this device's assignment".to_owned(),
        }
    }

    fn known(&self, name: &str) -> Known {
        Known { standing: self.standing, from: format!("{name} of {}", self.origin()) }
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(references: &'a References, device: &str, now: u64) -> Self {
        let assignments = references.assignments.values().map(AsRef::as_ref);
        let assigned: Vec<&Assigned> = assignments.filter(|of| of.is_for(device)).collect();
        let chosen = assigned.iter().any(|of| !of.sets.is_empty());
        let (sets, over): (Vec<_>, Vec<_>) = references
            .sets
            .iter()
            .map(AsRef::as_ref)
            .filter(|set| !chosen || assigned.iter().any(|of| names(of, set)))
            .map(|set| (set, references.standing(set, now)))
            .partition(|(_, standing)| *standing != Standing::Unknown);
        let replaced = |set: &Set| {
            let newer =
                |other: &Set| other.component == set.component && other.version > set.version;
            sets.iter().any(|(other, _)| newer(other))
        };
        let over = over.into_iter().map(|(set, _)| set).filter(|set| !replaced(set)).collect();
        let mut layers: Vec<Layer<'_>> = Vec::with_capacity(sets.len() + assigned.len());
        let mut layer = |values: &'a Values, set, recorded, standing| {
            if !values.is_empty() {
                layers.push(Layer { values, set, recorded, standing });
            }
        };
        for (set, standing) in &sets {
            layer(&set.released, Some(*set), false, *standing);
            layer(&set.recorded, Some(*set), true, *standing);
        }
        for of in &assigned {
            layer(&of.add, None, false, Standing::Good);
        }
        layers.sort_by_key(|layer| layer.standing);
        Self { layers, assigned, sets, over, now, keys_of_publishers: OnceCell::new() }
    }

    /// What identifies it.
    pub(crate) fn key(&self) -> ViewKey {
        let sets = self.sets.iter().map(|(set, standing)| (set.id, *standing)).collect();
        (sets, self.assigned.iter().map(|of| (of.name.clone(), of.version)).collect())
    }

    pub(crate) fn judged_by(&self) -> JudgedBy {
        let over = self.over.iter().map(|set| (set.id, Standing::Unknown));
        JudgedBy {
            sets: self.sets.iter().map(|(set, standing)| (set.id, *standing)).chain(over).collect(),
            assigned: self.assigned.iter().map(|of| of.id).collect(),
            publishers: self.publishers().map(|(_, standing)| standing).collect(),
        }
    }

    fn removed(&self) -> impl Iterator<Item = &'a Values> {
        self.assigned.iter().map(|of| &of.remove)
    }

    /// The newest version of a component. That one was released stays so when its values run out.
    pub(crate) fn newest(&self, component: &str) -> Option<u64> {
        let sets = self.sets.iter().map(|(set, _)| set).chain(&self.over);
        sets.filter(|set| set.component == component).map(|set| set.version).max()
    }

    /// Whether a set in force is about that component.
    pub(crate) fn knows_component(&self, component: &str) -> bool {
        self.sets.iter().any(|(set, _)| set.component == component)
    }

    /// Whether values of that kind are in force.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.layers.iter().any(|layer| layer.values.kinds.contains_key(&kind))
    }

    /// A set with values of one of these kinds whose time is over.
    pub(super) fn has_run_out(&self, kinds: &[Kind]) -> Option<&'a Set> {
        let has = |set: &&Set| kinds.iter().any(|kind| set.kinds().contains_key(kind));
        self.over.iter().copied().find(has)
    }

    pub(crate) fn image(&self, digest: &Digest) -> Option<Known> {
        if self.removed().any(|values| values.images.contains_key(digest)) {
            return None;
        }
        let mut layers = self.layers.iter();
        layers.find_map(|layer| Some(layer.known(layer.values.images.get(digest)?)))
    }

    pub(crate) fn images(&self) -> impl Iterator<Item = &Digest> {
        let all = self.layers.iter().flat_map(|layer| layer.values.images.keys());
        all.filter(|digest| !self.removed().any(|values| values.images.contains_key(digest)))
    }

    pub(crate) fn measurement(&self, digest: &Digest) -> Option<Known> {
        if self.removed().any(|values| values.measurements.contains(digest)) {
            return None;
        }
        let mut layers = self.layers.iter();
        let layer = layers.find(|layer| layer.values.measurements.contains(digest))?;
        Some(layer.known("a measurement"))
    }

    pub(crate) fn keys(&self, database: Database) -> impl Iterator<Item = &Digest> {
        let of = move |values: &'a Values| values.keys.get(&database).into_iter().flatten();
        let all = self.layers.iter().flat_map(move |layer| of(layer.values));
        all.filter(move |key| !self.removed().any(|values| of(values).any(|other| other == *key)))
    }

    pub(crate) fn firmware(&self) -> impl Iterator<Item = &Digest> {
        let all = self.layers.iter().flat_map(|layer| layer.values.firmware.keys());
        all.filter(|pcr0| !self.removed().any(|values| values.firmware.contains_key(pcr0)))
    }

    /// The PCRs that values are known of, and the values.
    pub(crate) fn pcrs(&self) -> impl Iterator<Item = (u32, &Digest)> {
        let of = |values: &'a Values| {
            values.pcrs.iter().flat_map(|(index, values)| values.iter().map(|v| (*index, v)))
        };
        let all = self.layers.iter().flat_map(move |layer| of(layer.values));
        all.filter(move |known| !self.removed().any(|values| of(values).any(|v| v == *known)))
    }

    pub(crate) fn command_lines(&self) -> impl Iterator<Item = &'a str> {
        let all = self.layers.iter().flat_map(|layer| &layer.values.command_lines);
        all.filter(|line| !self.removed().any(|values| values.command_lines.contains(line)))
            .map(String::as_str)
    }

    pub(crate) fn publishers(&self) -> impl Iterator<Item = (&'a Signatory, Standing)> {
        let all = self.layers.iter().flat_map(move |layer| {
            let worth = move |of: &Signatory| of.standing(self.now).max(layer.standing);
            layer.values.publishers.iter().map(move |of| (of, worth(of)))
        });
        all.filter(move |(of, standing)| {
            let same = |other: &Signatory| other.has_key(of.spki_der());
            *standing != Standing::Unknown
                && !self.removed().any(|values| values.publishers.iter().any(same))
        })
    }

    /// Who signed a measured file.
    pub(crate) fn signed(&self, crypto: &dyn Crypto, entry: &ima::Entry<'_>) -> Signed<'a> {
        if !entry.is_signed() {
            return Signed::Not;
        }
        let keys = self.keys_of_publishers.get_or_init(|| {
            let mut keys = Publishers::new();
            for (signatory, _) in self.publishers() {
                // A key of another kind was refused when the document was opened; it signs nothing.
                let _ = signatory.add_to(crypto, &mut keys);
            }
            keys
        });
        match entry.verify_signature(crypto, keys) {
            Ok(key) => self.by(key.spki_der(), &entry.path()),
            Err(SignatureFault::Absent | SignatureFault::Unproven) => Signed::Not,
            Err(
                fault @ (SignatureFault::UnknownKey(_)
                | SignatureFault::UnknownSigner
                | SignatureFault::NoMetadata),
            ) => Signed::Strangely(fault.to_string()),
            Err(fault) => Signed::Badly(fault.to_string()),
        }
    }

    /// The publisher with that key who may have files at `path`.
    fn by(&self, spki_der: &[u8], path: &str) -> Signed<'a> {
        let same = self.publishers().filter(|(of, _)| of.has_key(spki_der));
        let mut elsewhere = None;
        let mut by: Option<(&Signatory, Standing)> = None;
        for (signatory, standing) in same {
            if !signatory.covers(path) {
                elsewhere = Some(signatory);
            } else if by.is_none_or(|(_, best)| standing < best) {
                by = Some((signatory, standing));
            }
        }
        match (by, elsewhere) {
            (Some((signatory, standing)), _) => Signed::By(signatory, standing),
            (None, Some(signatory)) => Signed::Elsewhere(signatory),
            (None, None) => Signed::Not,
        }
    }

    /// Whether the file at `path` may have this content.
    pub(crate) fn file(&self, path: &str, digest: &Digest) -> Option<Standing> {
        let layer = self.layers.iter().find(|layer| layer.values.files.contains(path, digest))?;
        let removed = self.removed().any(|values| values.files.contains(path, digest));
        (!removed).then_some(layer.standing)
    }

    /// Where a file that is known comes from.
    pub(crate) fn origin_of_file(&self, path: &str, digest: &Digest) -> Option<String> {
        let mut layers = self.layers.iter();
        Some(layers.find(|layer| layer.values.files.contains(path, digest))?.origin())
    }

    /// A content that the file at `path` may have; `None` for a path that is not named.
    pub(crate) fn expected(&self, path: &str) -> Option<Digest> {
        let mut layers = self.layers.iter();
        layers.find_map(|layer| layer.values.files.digests_of(path).next())
    }

    pub(crate) fn file_digests(&self) -> impl Iterator<Item = Digest> {
        self.layers.iter().flat_map(|layer| layer.values.files.digests())
    }

    /// Whether a file at `path` is to be judged: the references claim to know all that are there,
    /// and nobody excluded it.
    pub(crate) fn covers(&self, path: &str) -> bool {
        let begins = |prefix: &String| path.starts_with(prefix.as_str());
        // What a publisher claims to know does not end with the values.
        let over = self.over.iter().flat_map(|set| [&set.released, &set.recorded]);
        let values = self.layers.iter().map(|layer| layer.values).chain(over);
        let mut scopes = values.flat_map(|values| &values.scopes).peekable();
        let inside = scopes.peek().is_none() || scopes.any(begins);
        let excludes = || self.layers.iter().flat_map(|layer| &layer.values.excludes);
        let taken_back =
            |prefix: &String| self.removed().any(|values| values.excludes.contains(prefix));
        let ignored = || self.layers.iter().any(|layer| layer.values.ignored.contains(path));
        inside && !excludes().any(|prefix| begins(prefix) && !taken_back(prefix)) && !ignored()
    }

    /// Programs that may make code while they run.
    pub(crate) fn generators(&self) -> impl Iterator<Item = &str> {
        let all = self.layers.iter().flat_map(|layer| &layer.values.generators);
        all.filter(|path| !self.removed().any(|values| values.generators.contains(*path)))
            .map(String::as_str)
    }

    /// The known digests of the code at `offset` of the file at `path`, with their lengths.
    pub(crate) fn code(&self, path: &str, offset: u64) -> impl Iterator<Item = &Range> {
        let of = move |values: &'a Values| values.code.get(path).into_iter().flatten();
        let all = self.layers.iter().flat_map(move |layer| of(layer.values));
        all.filter(move |range| {
            range.offset == offset
                && !self.removed().any(|values| of(values).any(|other| other == *range))
        })
    }

    pub(crate) fn knows_code_of(&self, path: &str) -> bool {
        self.layers.iter().any(|layer| layer.values.code.contains_key(path))
    }
}

fn names(assigned: &Assigned, set: &Set) -> bool {
    assigned.sets.iter().any(|name| match name {
        SetName::Component(component) => *component == set.component,
        SetName::Id(id) => *id == set.id,
    })
}
