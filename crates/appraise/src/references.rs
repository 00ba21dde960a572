//! Reference values: what a publisher says is good, as JSON inside CMS signed by them.
//!
//! A [`Document`] describes one version of one component. It is compiled into a [`Set`], which is
//! identified by the digest of its content and shared by all devices that it is for. A higher
//! version can give lower ones a grace: good until one time, outdated until another, then unknown.
//! An [`Assignment`] says which sets count for which devices, and the little that is different on
//! these. [`References`] are all of a tenant's; for one device at one time they are a view.
//!
//! Signature first: a document may name [`Publisher`]s, and a file that IMA measured with a good
//! signature of theirs is known without a digest, so that an update of a package breaks nothing.
//!
//! [`keylime`] and [`corim`] read what others have written.

mod assignment;
pub mod corim;
mod coverage;
mod document;
mod error;
mod imported;
pub mod keylime;
mod limits;
mod publisher;
mod set;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod view;

pub use assignment::Assignment;
pub(crate) use coverage::readers;
pub use coverage::{Forgetful, Unevaluated, Unsupplied, forgetful};
pub use document::{Document, MAX_DOCUMENT, MAX_VALUES, Manifest, SCHEMA, SetName, Supersedes};
pub use error::Error;
pub use imported::Imported;
pub(crate) use publisher::Signed;
pub use set::{Kind, Set};
pub use value::{Database, Publisher, Range, ReferenceValue};
pub use view::Standing;
pub(crate) use view::{JudgedBy, View, ViewKey};

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use assignment::Assigned;
use touchstone_crypto::{Crypto, Verified};

/// The reference values of one tenant. Cheap to clone: sets are shared.
#[derive(Clone, Debug, Default)]
pub struct References {
    tenant: Option<String>,
    sets: Vec<Arc<Set>>,
    assignments: BTreeMap<String, Arc<Assigned>>,
}

impl References {
    /// No reference values: nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a document's values to those that are there.
    pub fn merge(
        &mut self,
        crypto: &dyn Crypto,
        document: &Verified<Document>,
    ) -> Result<(), Error> {
        self.add(Arc::new(Set::new(crypto, document)))
    }

    /// Adds a set that may be in use elsewhere; again is the same.
    pub fn add(&mut self, set: Arc<Set>) -> Result<(), Error> {
        self.belongs(&set.tenant)?;
        let same =
            |other: &&Arc<Set>| other.component == set.component && other.version == set.version;
        match self.sets.iter().find(same) {
            Some(other) if other.id == set.id => return Ok(()),
            Some(other) => {
                return Err(Error::VersionTaken {
                    component: set.component.clone(),
                    version: set.version,
                    taken: other.id,
                });
            }
            None => self.sets.push(set),
        }
        Ok(())
    }

    /// Puts an assignment in force, in the place of a lower version of it; again is the same.
    pub fn assign(
        &mut self,
        crypto: &dyn Crypto,
        assignment: &Verified<Assignment>,
    ) -> Result<(), Error> {
        self.belongs(&assignment.tenant)?;
        let assigned = Arc::new(Assigned::new(crypto, assignment));
        if let Some(known) = self.assignments.get(&assignment.name)
            && known.version >= assigned.version
        {
            if known.id == assigned.id {
                return Ok(());
            }
            let (name, version) = (assignment.name.clone(), assignment.version);
            return Err(Error::AssignmentRollback { name, version, newest: known.version });
        }
        self.assignments.insert(assignment.name.clone(), assigned);
        Ok(())
    }

    fn belongs(&mut self, tenant: &str) -> Result<(), Error> {
        match &self.tenant {
            Some(known) if known != tenant => return Err(Error::Tenant(tenant.to_owned())),
            Some(_) => {}
            None => self.tenant = Some(tenant.to_owned()),
        }
        Ok(())
    }

    /// Whether a document may be handed in at `now`: not one whose grace is over, and none that
    /// has other content than the same version before.
    pub fn may_add(&self, set: &Set, now: u64) -> Result<(), Error> {
        let (component, version) = (set.component.clone(), set.version);
        let of_it = self.sets.iter().filter(|other| other.component == set.component);
        for other in of_it {
            if other.version == set.version && other.id != set.id {
                return Err(Error::VersionTaken { component, version, taken: other.id });
            }
        }
        match self.superseded(set, now) {
            Some((newest, Standing::Unknown)) => {
                Err(Error::Superseded { component, version, newest })
            }
            _ => Ok(()),
        }
    }

    /// What became of a set by a higher version, and by which.
    fn superseded(&self, set: &Set, now: u64) -> Option<(u64, Standing)> {
        let later = self
            .sets
            .iter()
            .filter(|other| other.component == set.component && other.version > set.version);
        let worth = |Supersedes { good_until, known_until }: Supersedes| {
            if now < good_until {
                Standing::Good
            } else if now < known_until {
                Standing::Outdated
            } else {
                Standing::Unknown
            }
        };
        let worst = later.filter_map(|other| Some((other.version, worth(other.supersedes?))));
        worst.max_by_key(|(version, standing)| (*standing, *version))
    }

    /// What a set's values are worth at `now`.
    pub fn standing(&self, set: &Set, now: u64) -> Standing {
        if set.valid_until.is_some_and(|until| now >= until) {
            return Standing::Unknown;
        }
        self.superseded(set, now).map_or(Standing::Good, |(_, standing)| standing)
    }

    /// Every set.
    pub fn sets(&self) -> impl Iterator<Item = &Arc<Set>> {
        self.sets.iter()
    }

    /// About how many octets of memory all of it takes: sets once, however many devices they are
    /// for.
    pub fn octets(&self) -> usize {
        let sets = self.sets.iter().map(|set| set.octets());
        let assignments = self.assignments.values().map(|assigned| assigned.octets());
        sets.chain(assignments).sum()
    }

    /// What assignments name and is not there: the assignment, and the set.
    pub fn dangling(&self) -> impl Iterator<Item = (&str, &SetName)> {
        self.assignments.values().flat_map(|assigned| {
            let absent = assigned.sets.iter().filter(|name| match name {
                SetName::Component(component) => {
                    !self.sets.iter().any(|set| set.component == *component)
                }
                SetName::Id(id) => !self.sets.iter().any(|set| set.id == *id),
            });
            absent.map(|name| (assigned.name.as_str(), name))
        })
    }

    /// The tenant, once a document was merged.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The newest version of a component among the documents.
    pub fn newest(&self, component: &str) -> Option<u64> {
        let sets = self.sets.iter().filter(|set| set.component == component);
        sets.map(|set| set.version).max()
    }

    /// The components with their newest version.
    pub fn components(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut newest = BTreeMap::new();
        for set in &self.sets {
            let version: &mut u64 = newest.entry(set.component.as_str()).or_default();
            *version = (*version).max(set.version);
        }
        newest.into_iter()
    }
}
