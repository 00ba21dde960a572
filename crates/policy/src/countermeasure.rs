//! What is done about a device that does not meet a control. A verdict carries the names; doing it
//! is for the fleet, the checkpoint and the agent.

use alloc::string::String;
use core::fmt;

/// How deep a countermeasure cuts. A control's countermeasures stand in this order, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// It tells or collects, and changes nothing.
    Observe,
    /// It limits what the device can do or reach, until it is good again.
    Contain,
    /// It brings the device back to a state that is known.
    Recover,
    /// It takes away what only a person gives back.
    Revoke,
}

impl Grade {
    /// Every grade, mildest first.
    pub const ALL: [Self; 4] = [Self::Observe, Self::Contain, Self::Recover, Self::Revoke];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Contain => "contain",
            Self::Recover => "recover",
            Self::Revoke => "revoke",
        }
    }

    /// The grade of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grade| grade.name() == name)
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A countermeasure of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countermeasure {
    /// Its name in policies and verdicts.
    pub name: String,
    /// How deep it cuts.
    pub grade: Grade,
    /// What it does, as a phrase.
    pub about: String,
}

/// Those of every catalogue.
pub(crate) const STANDARD: &[(&str, Grade, &str)] = &[
    ("alert", Grade::Observe, "tell the operators"),
    ("capture", Grade::Observe, "keep what shows what happened: processes, memory, logs"),
    ("quarantine", Grade::Contain, "cut the device off from all but the fleet"),
    ("freeze", Grade::Contain, "stop the offending process where it stands"),
    ("stop-unit", Grade::Contain, "stop the service that the offending process belongs to"),
    ("kill-unit", Grade::Contain, "end that service at once, without asking it"),
    ("safe-mode", Grade::Contain, "call the hook that brings the machine to a safe state"),
    ("restore", Grade::Recover, "install the last release that was good"),
    ("rotate-key", Grade::Recover, "give the device a new key and certificate"),
    ("revoke", Grade::Revoke, "revoke the device's certificates"),
    ("lock-keys", Grade::Revoke, "make the keys in its element unusable"),
];
