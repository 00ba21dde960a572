//! What evidence says, and about what it is silent. Silence is no claim: a log that is missing is
//! not an empty one.

use crate::verifier::DeviceFacts;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use touchstone_evidence::claims::{BootClaims, CODE_PCRS};
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

/// The PCRs that a claim about the boot rests on. An event of a PCR that was not quoted may be made up
/// or left out, so without all of these nothing is known.
pub fn rests_on(claim: &str) -> &'static [u32] {
    match claim {
        "boot.secure-boot"
        | "boot.pk"
        | "boot.kek"
        | "boot.db"
        | "boot.dbx"
        | "boot.missing-revocations"
        | "boot.authorities"
        | "boot.shim-authorities"
        | "boot.sbat"
        | "boot.sbat-date" => &[7],
        "boot.firmware" => &[0],
        "boot.images" | "boot.unknown-images" => &[2, 4],
        "boot.unknown-measurements" | "boot.outdated" => &CODE_PCRS,
        "boot.shim-variables" => &[14],
        "boot.command-line" => &[8, 9, 11, 12],
        "boot.contradictions" => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14],
        claim if claim.starts_with("ima.") => &[10],
        _ => &[],
    }
}

/// IMA's first act is to measure the boot (`boot_aggregate`). Without it the kernel measured nothing,
/// and whatever is in the list was put there by others.
fn begins(list: &ima::Log) -> bool {
    list.get(0).is_some_and(|first| first.is_boot_aggregate())
}

/// The claims that nothing can be said about, each with the reason.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    /// By how their names begin.
    missing: Vec<(&'static str, &'static str)>,
    /// A bit for each PCR that was quoted.
    quoted: u32,
}

impl Silence {
    pub(crate) fn of(claims: &Claims<'_>, device: &DeviceFacts) -> Self {
        const NO_AGENT: &str = "no agent reports on the running system";
        const NO_LIST: &str = "there is no IMA list that a quoted PCR vouches for";
        const NOT_BEGUN: &str = "IMA measured nothing: its list does not begin with a boot \
            aggregate; is there an IMA policy in the kernel's command line?";
        let all = [
            (claims.boot.is_none(), "boot.", "there is no event log"),
            (claims.ima.is_none(), "ima.", NO_LIST),
            (claims.ima.is_some_and(|list| !begins(list)), "ima.", NOT_BEGUN),
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
            (
                device.proofs.is_none(),
                "device.proofs",
                "nobody says by what its maker vouches for its element",
            ),
            (device.element_kind.is_none(), "element.", "nobody says what kind of element it is"),
            (device.evidence_at.is_none(), "evidence.", "nobody says when the nonce was given out"),
        ];
        let missing = all.into_iter().filter(|(is, ..)| *is);
        Self {
            missing: missing.map(|(_, name, why)| (name, why)).collect(),
            quoted: claims.pcrs().fold(0, |quoted, (pcr, _)| quoted | 1 << pcr),
        }
    }

    /// Why nothing can be said about this claim, if that is so.
    pub(crate) fn about(&self, claim: &str) -> Option<Cow<'static, str>> {
        // Quoted by itself, whatever explains it.
        let by_itself = matches!(claim, "boot.firmware" | "boot.unexpected-pcrs");
        let missing = self.missing.iter().find(|(name, _)| !by_itself && claim.starts_with(name));
        let missing = missing.map(|(_, why)| Cow::Borrowed(*why));
        missing.or_else(|| {
            let unquoted = rests_on(claim).iter().find(|pcr| self.quoted & 1 << **pcr == 0)?;
            Some(format!("PCR {unquoted} was not quoted; ask for it in the quote").into())
        })
    }
}
