//! Claims that were made of a view are kept for the next device that is judged by the same. Without
//! an operating system there is no lock to share them under: then they are made anew, and are the same.

use super::references::Made;
use crate::references::ViewKey;
#[cfg(feature = "std")]
use alloc::{collections::BTreeMap, sync::Arc};
#[cfg(feature = "std")]
use std::sync::{Mutex, PoisonError};

/// Views whose claims are kept: devices without values of their own share a few.
#[cfg(feature = "std")]
const KEPT: usize = 16;

/// The claims of the views that were judged last.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(#[cfg(feature = "std")] Arc<Mutex<BTreeMap<ViewKey, Made>>>);

impl Kept {
    /// What is kept for a view, to be taken from and added to.
    #[cfg(feature = "std")]
    pub(super) fn with<T>(&self, key: ViewKey, take: impl FnOnce(&mut Made) -> T) -> T {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT && !kept.contains_key(&key) {
            kept.clear();
        }
        take(kept.entry(key).or_default())
    }

    /// Nothing is kept.
    #[cfg(not(feature = "std"))]
    #[expect(clippy::unused_self, reason = "the same calls with and without an operating system")]
    pub(super) fn with<T>(&self, _: ViewKey, take: impl FnOnce(&mut Made) -> T) -> T {
        take(&mut Made::new())
    }
}
