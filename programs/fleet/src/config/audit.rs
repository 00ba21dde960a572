//! The audit log: how large its parts are, what is kept, and whose key signs its heads.

use touchstone_drive::element::Location;
use touchstone_settings::Section;

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Octets after which the log goes on in a new part.
    pub part: u64,
    /// Octets that are kept at the most: beyond, the oldest part goes. This is how far a collector
    /// can fall behind without losing anything.
    pub keep: u64,
    /// Where the key is that signs the log's heads.
    pub key: LogKeyPlace,
}

/// Where the key is that signs the log's heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogKeyPlace {
    /// `audit.key` in the state directory.
    File,
    /// A key of a secure element, made there if there is none.
    Element {
        /// The element.
        at: Location,
        /// The key's name on it.
        name: String,
    },
}

impl Default for Audit {
    fn default() -> Self {
        Self { part: 64 << 20, keep: 16 << 30, key: LogKeyPlace::File }
    }
}

pub(super) fn read(section: &Section<'_>) -> Option<Audit> {
    let usual = Audit::default();
    let part = section.integer("part", 65_536..=(1 << 32), usual.part);
    let keep = section.integer("keep", 65_536..=(1 << 50), usual.keep);
    let element: Option<Option<Location>> = section.optional("element");
    let key: Option<Option<String>> = section.optional("key");
    let (part, keep) = (part?, keep?);
    if keep < part.saturating_mul(2) {
        section.refuse("keep", "keep at least twice as much as a part has");
        return None;
    }
    let key = match (element?, key?) {
        (None, None) => LogKeyPlace::File,
        (Some(at), Some(name)) => LogKeyPlace::Element { at, name },
        _ => {
            section.refuse("element", "`element` and `key`, the key's name there, come together");
            return None;
        }
    };
    Some(Audit { part, keep, key })
}
