//! The countermeasures that an agent knows, mildest first, and what each is taken against.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A countermeasure, by the name that policies have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Tell; change nothing.
    Alert,
    /// Keep what shows what happened, packed and signed.
    Capture,
    /// Cut the device off from all but the fleet.
    Quarantine,
    /// Stop the offending process where it stands.
    Freeze,
    /// Stop the service that the offending process belongs to.
    StopUnit,
    /// End the service at once, without asking it.
    KillUnit,
    /// Call the maker's hook that brings the machine to a safe state.
    SafeMode,
    /// Put the last release that was good in place again.
    Restore,
    /// Give the key up and have a new one certified.
    RotateKey,
    /// Revoke the certificates; the fleet does that.
    Revoke,
    /// Make keys that are bound to a register unusable until the next start.
    LockKeys,
}

impl Action {
    /// Every countermeasure, mildest first.
    pub const ALL: [Self; 11] = [
        Self::Alert,
        Self::Capture,
        Self::Quarantine,
        Self::Freeze,
        Self::StopUnit,
        Self::KillUnit,
        Self::SafeMode,
        Self::Restore,
        Self::RotateKey,
        Self::Revoke,
        Self::LockKeys,
    ];

    /// Its name in policies.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Capture => "capture",
            Self::Quarantine => "quarantine",
            Self::Freeze => "freeze",
            Self::StopUnit => "stop-unit",
            Self::KillUnit => "kill-unit",
            Self::SafeMode => "safe-mode",
            Self::Restore => "restore",
            Self::RotateKey => "rotate-key",
            Self::Revoke => "revoke",
            Self::LockKeys => "lock-keys",
        }
    }

    /// The countermeasure of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Whether it only tells or collects. Everything else is subject to the interlocks.
    pub const fn only_observes(self) -> bool {
        matches!(self, Self::Alert | Self::Capture)
    }

    /// Whether it is taken against a process and not against the device.
    pub const fn is_against_a_process(self) -> bool {
        matches!(
            self,
            Self::Capture | Self::Freeze | Self::StopUnit | Self::KillUnit | Self::Restore
        )
    }

    /// Whether it ends by itself when nobody asks for it any more.
    pub const fn reverts(self) -> bool {
        matches!(
            self,
            Self::Quarantine | Self::Freeze | Self::StopUnit | Self::KillUnit | Self::SafeMode
        )
    }
}

impl std::str::FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::from_name(text).ok_or_else(|| format!("choose from {}", names()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a countermeasure is taken against.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Target {
    /// The device as a whole.
    Device,
    /// A process.
    Process {
        /// Its number.
        pid: u32,
        /// When it started, in clock ticks since boot: another process of that number is not meant.
        start: u64,
        /// Its executable.
        program: String,
        /// The service that it belongs to, as the service manager names it.
        unit: Option<String>,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => f.write_str("this device"),
            Self::Process { pid, program, unit: None, .. } => {
                write!(f, "process {pid} ({program})")
            }
            Self::Process { pid, program, unit: Some(unit), .. } => {
                write!(f, "process {pid} ({program}) of {unit}")
            }
        }
    }
}
