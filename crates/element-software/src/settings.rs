//! Where the element lives, and what opens it.

use std::fmt;
use std::path::PathBuf;
use touchstone_element::{Element, Secret};

/// How to open a software element.
#[derive(Debug)]
pub struct Settings {
    /// The folder of the store; made, with mode 0700, when it is not there.
    pub folder: PathBuf,
    /// What the store is encrypted under.
    pub key: KeySource,
    /// Where else the store's generation is kept.
    pub second: Second,
}

impl Settings {
    /// An element in `folder`, opened by `key`, without a second place.
    pub fn new(folder: impl Into<PathBuf>, key: KeySource) -> Self {
        Self { folder: folder.into(), key, second: Second::None }
    }

    /// The same, with a second place for the generation.
    #[must_use]
    pub fn with_second(mut self, second: Second) -> Self {
        self.second = second;
        self
    }
}

/// What the store is encrypted under.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file of 32 to 4096 octets that only this machine has. Made, with mode 0600, when neither it
    /// nor the store is there; a store without its secret is an error.
    MachineSecret(PathBuf),
    /// A systemd credential of that name (systemd.exec(5), `LoadCredentialEncrypted=`): 32 to 4096
    /// octets in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// Something that a person types. It goes through Argon2id (RFC 9106).
    Passphrase {
        /// The passphrase, of any length but none.
        passphrase: Secret,
        /// What a guess costs; used when the store is made, and kept in it.
        cost: Cost,
    },
}

/// What a guess at a passphrase costs: the parameters of Argon2id (RFC 9106 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB, 8 MiB to 1 GiB.
    pub memory_kib: u32,
    /// Passes over it, 1 to 64.
    pub passes: u32,
    /// Lanes, 1 to 16.
    pub lanes: u32,
}

impl Cost {
    /// Whether it is within the bounds.
    pub(crate) fn is_sound(self) -> bool {
        (8 * 1024..=1024 * 1024).contains(&self.memory_kib)
            && (1..=64).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }
}

impl Default for Cost {
    /// RFC 9106 §4, second recommended option: 64 MiB, three passes, four lanes.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

/// Where the store's generation is kept a second time, so that an older copy of the store is noticed.
///
/// It protects as far as whoever puts back the store cannot put back this too. A store that was once
/// opened with a second place does not open without one.
#[derive(Default)]
pub enum Second {
    /// Nowhere: an older copy of the store is not noticed, and there are no counters and no storage.
    #[default]
    None,
    /// A file, best on another file system. Whoever can restore both together is not noticed.
    File(PathBuf),
    /// A value in another element's storage: generation and digest, in 80 octets. Each change of the
    /// store writes it once.
    Storage {
        /// The element.
        element: Box<dyn Element>,
        /// The value's name.
        name: String,
    },
    /// A counter of another element. Each change of the store increments it once. It knows the
    /// generation but no digest, so of a change that a power cut interrupted either copy is good. The
    /// counter is new, or this store's: delete one that was left over when its first use was cut off.
    Counter {
        /// The element.
        element: Box<dyn Element>,
        /// The counter's name.
        name: String,
    },
}

impl fmt::Debug for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Storage { name, .. } => f.debug_tuple("Storage").field(name).finish(),
            Self::Counter { name, .. } => f.debug_tuple("Counter").field(name).finish(),
        }
    }
}
