//! Which devices are judged by which sets, and by what more or less than these.

use super::document::SetName;
use super::set::{Kind, Values};
use super::{Error, MAX_DOCUMENT, MAX_VALUES, ReferenceValue, limits};
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// The schema that assignments name.
pub(super) const SCHEMA: &str = "touchstone.assignment/1";
/// The most devices and sets that one names.
const MAX_NAMES: usize = 200_000;

/// Sets for a group of devices, and what is different on these. Small: what many devices share
/// stands in sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// `touchstone.assignment/1`.
    pub schema: String,
    /// Whose devices it is for.
    pub tenant: String,
    /// Its name; a higher version of the same name replaces it.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// The devices' ids; one that ends in `*` stands for all that begin so.
    pub devices: Vec<String>,
    /// The sets that count for them. If no assignment of a device names any, all of them do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetName>,
    /// What is good on them beside the sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<ReferenceValue>,
    /// What is not good on them although a set says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<ReferenceValue>,
}

impl Assignment {
    /// An assignment without devices, to be filled.
    pub fn new(tenant: &str, name: &str, version: u64) -> Self {
        Self {
            schema: SCHEMA.into(),
            tenant: tenant.into(),
            name: name.into(),
            version,
            devices: Vec::new(),
            sets: Vec::new(),
            add: Vec::new(),
            remove: Vec::new(),
        }
    }

    /// JSON, as it is signed.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// Parses JSON: what it says, not that it may be believed.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        if json.len() > MAX_DOCUMENT {
            return Err(Error::TooLarge);
        }
        let assignment: Self = serde_json::from_slice(json)
            .map_err(|error| Error::Json { line: error.line(), why: error.to_string() })?;
        if assignment.schema != SCHEMA {
            return Err(Error::Schema(assignment.schema));
        }
        let values = assignment.add.len() + assignment.remove.len();
        let names = assignment.devices.len() + assignment.sets.len();
        if values > MAX_VALUES || names > MAX_NAMES {
            return Err(Error::TooLarge);
        }
        limits::check(assignment.add.iter())?;
        limits::check(assignment.remove.iter())?;
        Ok(assignment)
    }
}

/// An assignment, compiled.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) id: Digest,
    pub(super) name: String,
    pub(super) version: u64,
    devices: Vec<String>,
    beginnings: Vec<String>,
    pub(super) sets: Vec<SetName>,
    pub(super) add: Values,
    pub(super) remove: Values,
}

impl Assigned {
    pub(super) fn new(crypto: &dyn Crypto, assignment: &Assignment) -> Self {
        let (beginnings, mut devices): (Vec<String>, Vec<String>) =
            assignment.devices.iter().cloned().partition(|device| device.ends_with('*'));
        devices.sort_unstable();
        let beginnings = beginnings.iter().map(|b| b.trim_end_matches('*').to_owned()).collect();
        Self {
            id: crypto.hash(HashAlgorithm::Sha256, &[&assignment.to_json()]),
            name: assignment.name.clone(),
            version: assignment.version,
            devices,
            beginnings,
            sets: assignment.sets.clone(),
            add: Values::new(&assignment.add),
            remove: Values::new(&assignment.remove),
        }
    }

    pub(super) fn is_for(&self, device: &str) -> bool {
        self.devices.binary_search_by(|known| known.as_str().cmp(device)).is_ok()
            || self.beginnings.iter().any(|beginning| device.starts_with(beginning.as_str()))
    }

    /// About how many octets of memory it takes.
    pub(super) fn octets(&self) -> usize {
        let names = self.devices.iter().chain(&self.beginnings).map(String::len).sum::<usize>();
        size_of::<Self>() + names + self.add.octets() + self.remove.octets()
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = (Kind, usize)> {
        self.add.kinds.iter().map(|(kind, count)| (*kind, *count))
    }
}
