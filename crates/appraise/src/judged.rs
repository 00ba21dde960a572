//! What was found of an IMA list, for the time when only what follows is new. Kept are findings about
//! entries, never verdicts: policy and evidence are judged whole each time.

use crate::facts::Note;
use crate::references::{JudgedBy, View};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use touchstone_crypto::Verified;
use touchstone_evidence::Evidence;
use touchstone_measure::ima::Checkpoint;
use touchstone_policy::Value;

/// More findings than this are not kept: whoever has them has another problem.
const MOST: usize = 512;

/// Findings about the first entries of a device's IMA list. Handed in with evidence that goes on from
/// them ([`Evidence::verify_after`]), they save another look at these entries. They count only where
/// the entries are the same and the reference values that they were compared with are, too; so no
/// verdict depends on them.
#[derive(Clone, Debug)]
pub struct Judged {
    checkpoint: Checkpoint,
    by: JudgedBy,
    found: Found,
}

/// Findings by the claims that they are for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) files: BTreeMap<&'static str, Vec<Value>>,
    pub(crate) violations: Option<Vec<Note>>,
}

impl Found {
    fn len(&self) -> usize {
        self.files.values().map(Vec::len).sum::<usize>()
            + self.violations.iter().map(Vec::len).sum::<usize>()
    }

    fn octets(&self) -> usize {
        let note = |note: &Note| size_of::<Note>() + note.text.len();
        self.files.values().flatten().map(octets).sum::<usize>()
            + self.violations.iter().flatten().map(note).sum::<usize>()
    }
}

/// Octets of memory that a value takes.
fn octets(value: &Value) -> usize {
    let beside = match value {
        Value::Text(text) => text.len(),
        Value::Record(record) => {
            record.fields().map(|(_, value)| size_of::<&str>() + octets(value)).sum()
        }
        value => value.elements().unwrap_or(&[]).iter().map(octets).sum(),
    };
    size_of::<Value>() + beside
}

impl Judged {
    /// Octets of memory that it takes, about: for whoever keeps those of many devices.
    pub fn octets(&self) -> usize {
        size_of::<Self>() + self.by.octets() + self.found.octets()
    }

    /// What is to be kept of evidence; `None` if it proves no list, or if too much was found.
    pub(crate) fn of(evidence: &Verified<Evidence>, view: &View<'_>, found: Found) -> Option<Self> {
        let checkpoint = evidence.ima_proven()?.checkpoint;
        (found.len() <= MOST).then(|| Self { checkpoint, by: view.judged_by(), found })
    }

    /// The findings and how many entries they are about, if the evidence goes on from there.
    pub(crate) fn about(
        &self,
        evidence: &Verified<Evidence>,
        view: &View<'_>,
    ) -> Option<(&Found, usize)> {
        let from = evidence.ima_proven()?.from?;
        let same = from == self.checkpoint && view.judged_by() == self.by;
        let entries = usize::try_from(from.entries).ok().filter(|_| same)?;
        Some((&self.found, entries))
    }
}
