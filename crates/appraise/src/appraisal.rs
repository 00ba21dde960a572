//! What an appraisal concludes: a tier, a vector, and for every control the reason.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use touchstone_policy::Status;
use touchstone_policy::ar4si::{Dimension, Tier, TrustValue};

/// The conclusion about one device from one piece of evidence. Only a
/// [`Verifier`](crate::Verifier) makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appraisal {
    /// The overall tier: the worst among the controls.
    pub tier: Tier,
    /// The trustworthiness vector (draft-ietf-rats-ar4si §2.3).
    pub vector: TrustVector,
    /// Every control, in the order of the policy.
    pub controls: Vec<ControlResult>,
    /// What of the evidence, or of the policy, was not evaluated.
    pub not_evaluated: Vec<NotEvaluated>,
    /// The policy: `<name>/<version>`.
    pub policy_id: String,
    /// When, in Unix seconds.
    pub appraised_at: u64,
    /// When the evidence was made, in Unix seconds: when its nonce was given out. `None` if nobody
    /// says.
    pub evidence_at: Option<u64>,
}

impl Appraisal {
    /// The controls that are neither met nor excepted.
    pub fn failed(&self) -> impl Iterator<Item = &ControlResult> {
        self.controls.iter().filter(|control| control.failed())
    }

    /// One line for a person: the tier, and the reasons if there are any.
    pub fn summary(&self) -> String {
        let failed: Vec<String> =
            self.failed().map(|control| format!("{}: {}", control.name, control.reason)).collect();
        match failed.as_slice() {
            [] => self.tier.to_string(),
            failed => format!("{}: {}", self.tier, failed.join("; ")),
        }
    }
}

/// Something that no verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotEvaluated {
    /// What it is: `event log`, `control patched`.
    pub what: String,
    /// Why.
    pub why: String,
}

impl NotEvaluated {
    /// This, because of that.
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

/// How the device fares with one control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlResult {
    /// The control's name in the policy.
    pub name: String,
    /// Whether it is met, or the evidence does not say.
    #[serde(with = "status_text")]
    pub status: Status,
    /// The AR4SI dimension that it speaks about.
    pub dimension: String,
    /// The AR4SI value that the device gets in that dimension.
    pub value: i8,
    /// What was found, in words that name the event, what it was and what was expected.
    pub reason: String,
    /// The log entries that decided it, if it failed by some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventRef>,
    /// How much the control matters: `low`, `medium`, `high` or `critical`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// What is to be done, mildest first; empty if the control is met or excepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countermeasures: Vec<String>,
    /// The exception by which the control may be missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
}

impl ControlResult {
    /// Whether it is met. What the evidence does not say is not met.
    pub const fn passed(&self) -> bool {
        matches!(self.status, Status::Passed)
    }

    /// Whether it counts against the device: it is neither met nor excepted.
    pub const fn failed(&self) -> bool {
        !self.passed() && self.exception.is_none()
    }

    /// The tier of its value.
    pub const fn tier(&self) -> Tier {
        Tier::of(self.value)
    }
}

mod status_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use touchstone_policy::Status;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
    pub(super) fn serialize<S: Serializer>(status: &Status, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(status.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Status, D::Error> {
        let name = alloc::borrow::Cow::<'de, str>::deserialize(from)?;
        Status::from_name(&name)
            .ok_or_else(|| D::Error::custom("a status is `passed`, `failed` or `unknown`"))
    }
}

/// An entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRef {
    /// Which log.
    pub log: LogName,
    /// The entry's index in it; the first is 0.
    pub index: u32,
}

/// A log of the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogName {
    /// The firmware's TCG event log.
    EventLog,
    /// The kernel's IMA list.
    Ima,
}

/// The trustworthiness vector: a value for each of AR4SI's eight dimensions; 0 claims nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustVector([i8; 8]);

impl TrustVector {
    /// The value of a dimension.
    pub fn value(&self, dimension: Dimension) -> i8 {
        self.0.get(usize::from(dimension.key())).copied().unwrap_or(0)
    }

    /// Every dimension with its value, in the order of their CBOR keys.
    pub fn iter(&self) -> impl Iterator<Item = (Dimension, i8)> + '_ {
        Dimension::ALL.into_iter().map(|dimension| (dimension, self.value(dimension)))
    }

    /// The worst tier in it.
    pub fn tier(&self) -> Tier {
        self.iter().map(|(_, value)| Tier::of(value)).max().unwrap_or(Tier::None)
    }

    pub(crate) fn set(&mut self, dimension: Dimension, value: i8) {
        if let Some(slot) = self.0.get_mut(usize::from(dimension.key())) {
            *slot = value;
        }
    }

    /// Takes a control's value: the worse tier wins, and the first value within one tier.
    pub(crate) fn take(&mut self, value: TrustValue) {
        if value.tier() > Tier::of(self.value(value.dimension())) {
            self.set(value.dimension(), value.number());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_control_spoils_its_dimension_only() {
        let mut vector = TrustVector::default();
        for (dimension, number) in [
            (Dimension::Configuration, 2),
            (Dimension::Executables, 2),
            (Dimension::Executables, 96),
            (Dimension::Executables, 3),
        ] {
            vector.take(TrustValue::new(dimension, number));
        }
        assert_eq!(vector.value(Dimension::Executables), 96);
        assert_eq!(vector.value(Dimension::Configuration), 2);
        assert_eq!(vector.value(Dimension::Hardware), 0);
        assert_eq!(vector.tier(), Tier::Contraindicated);
    }
}
