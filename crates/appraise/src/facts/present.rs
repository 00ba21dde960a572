//! What evidence says, and about what it is silent. Silence is no claim: a log that is missing is
//! not an empty one.

use crate::verifier::DeviceFacts;
use alloc::vec::Vec;
use touchstone_evidence::claims::BootClaims;
use touchstone_evidence::{Claims, RuntimeClaims};
use touchstone_measure::ima;

/// What stands in for a part that is missing.
#[derive(Default)]
pub(super) struct Nothing {
    boot: BootClaims,
    ima: ima::Log,
    runtime: RuntimeClaims,
}

/// The parts of evidence. One that is missing is empty here, so ask [`Silence`] first.
pub(super) struct Present<'a> {
    pub(super) claims: &'a Claims<'a>,
    pub(super) boot: &'a BootClaims,
    pub(super) ima: &'a ima::Log,
    pub(super) runtime: &'a RuntimeClaims,
    pub(super) boot_aggregate: Option<bool>,
    pub(super) unquoted: usize,
}

impl<'a> Present<'a> {
    pub(super) fn of(claims: &'a Claims<'a>, nothing: &'a Nothing) -> Self {
        Self {
            claims,
            boot: claims.boot.as_ref().unwrap_or(&nothing.boot),
            ima: claims.ima.unwrap_or(&nothing.ima),
            runtime: claims.runtime.unwrap_or(&nothing.runtime),
            boot_aggregate: claims.boot_aggregate,
            unquoted: claims.unquoted,
        }
    }
}

/// The claims that nothing can be said about, by how their names begin, each with the reason.
#[derive(Clone, Debug)]
pub(crate) struct Silence(Vec<(&'static str, &'static str)>);

impl Silence {
    pub(crate) fn of(claims: &Claims<'_>, device: &DeviceFacts) -> Self {
        const NO_AGENT: &str = "no agent reports on the running system";
        const NO_LIST: &str = "there is no IMA list that a quoted PCR vouches for";
        let all = [
            (claims.boot.is_none(), "boot.", "there is no event log"),
            (claims.ima.is_none(), "ima.", NO_LIST),
            (claims.runtime.is_none(), "runtime.", NO_AGENT),
            (claims.runtime.is_none(), "agent.", NO_AGENT),
            (claims.runtime.is_none(), "components", NO_AGENT),
            (
                device.onboarded.is_none(),
                "device.onboarded",
                "nobody says whether the device is onboarded",
            ),
            (
                device.endorsed.is_none(),
                "device.endorsed",
                "no certificate of the element's maker is at hand",
            ),
            (device.element_kind.is_none(), "element.", "nobody says what kind of element it is"),
            (device.evidence_at.is_none(), "evidence.", "nobody says when the nonce was given out"),
        ];
        Self(all.into_iter().filter(|(is, ..)| *is).map(|(_, name, why)| (name, why)).collect())
    }

    /// Why nothing can be said about this claim, if that is so.
    pub(crate) fn about(&self, claim: &str) -> Option<&'static str> {
        // Quoted by itself, whatever explains it.
        if matches!(claim, "boot.firmware" | "boot.unexpected-pcrs") {
            return None;
        }
        self.0.iter().find(|(name, _)| claim.starts_with(name)).map(|(_, why)| *why)
    }
}
