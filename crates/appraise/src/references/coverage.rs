//! Which reference values a policy reads. One that nobody reads protects nothing, and whoever
//! handed it in believes that it does.

use super::set::Kind;
use super::{References, View};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use touchstone_policy::Policy;

/// Reference values that the policy never looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unevaluated {
    /// What they are about.
    pub kind: Kind,
    /// How many there are.
    pub count: usize,
    /// Where they stand: `boot version 3`, or the name of an assignment.
    pub of: String,
}

/// A claim that a control reads, and that no document supplies anything for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupplied {
    /// The claim.
    pub claim: String,
    /// What it would take, any of these.
    pub kinds: &'static [Kind],
}

/// A claim about what is outdated, in a policy that does not ask what is unknown: when the grace ends,
/// what was outdated is unknown, and the claim finds nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgetful {
    /// The claim that is read.
    pub claim: &'static str,
    /// The claim that should be read as well.
    pub and: &'static str,
}

/// The claims of the policy that stop finding something when a grace ends.
pub fn forgetful(policy: &Policy) -> Vec<Forgetful> {
    let pairs =
        [("boot.outdated", "boot.unknown-images"), ("ima.outdated-files", "ima.unknown-files")];
    let reads = |claim: &str| policy.claims().any(|read| read == claim);
    let pairs = pairs.into_iter().filter(|(claim, and)| reads(claim) && !reads(and));
    pairs.map(|(claim, and)| Forgetful { claim, and }).collect()
}

/// The claims that values of a kind are looked up for.
pub(crate) const fn readers(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::BootImage => &["reference.boot-images", "boot.unknown-images", "boot.outdated"],
        Kind::Measurement => &["boot.unknown-measurements", "boot.outdated"],
        Kind::PlatformKey => &["reference.pk"],
        Kind::KeyExchangeKey => &["reference.kek"],
        Kind::SignatureDatabase => &["reference.db"],
        Kind::Revocation => &["reference.dbx", "boot.missing-revocations"],
        Kind::Firmware => &["reference.firmware"],
        Kind::Pcr => &["boot.unexpected-pcrs"],
        Kind::CommandLine => &["reference.command-lines"],
        Kind::Publisher => &[
            "reference.publishers",
            "ima.files",
            "ima.unknown-files",
            "ima.outdated-files",
            "ima.badly-signed",
            "runtime.unreleased-files",
        ],
        Kind::File => &[
            "reference.files",
            "ima.files",
            "ima.unknown-files",
            "ima.outdated-files",
            "runtime.unreleased-files",
        ],
        Kind::FileScope => &[
            "ima.entries",
            "ima.files",
            "ima.unknown-files",
            "ima.outdated-files",
            "ima.badly-signed",
            "runtime.unreleased-files",
        ],
        Kind::Generator => &["reference.generators"],
        Kind::Code => &["runtime.code", "runtime.changed-code"],
    }
}

/// What a claim cannot be met without.
pub(super) const SUPPLIES: &[(&str, &[Kind])] = &[
    ("reference.boot-images", &[Kind::BootImage]),
    ("reference.pk", &[Kind::PlatformKey]),
    ("reference.kek", &[Kind::KeyExchangeKey]),
    ("reference.db", &[Kind::SignatureDatabase]),
    ("reference.firmware", &[Kind::Firmware]),
    ("reference.command-lines", &[Kind::CommandLine]),
    ("reference.publishers", &[Kind::Publisher]),
    ("reference.files", &[Kind::File]),
    ("reference.dbx", &[Kind::Revocation]),
    ("boot.missing-revocations", &[Kind::Revocation]),
    ("boot.unknown-images", &[Kind::BootImage]),
    ("boot.unexpected-pcrs", &[Kind::Pcr]),
    ("boot.outdated", &[Kind::BootImage, Kind::Measurement]),
    ("ima.unknown-files", &[Kind::File, Kind::Publisher]),
    ("ima.outdated-files", &[Kind::File, Kind::Publisher]),
    ("ima.badly-signed", &[Kind::Publisher]),
    ("runtime.unreleased-files", &[Kind::File, Kind::Publisher]),
    ("runtime.changed-code", &[Kind::Code]),
];

/// Claims that values ask something for: with a value less, they find less. So what has run out must
/// not be forgotten.
const DEMANDS: &[&str] =
    &["reference.dbx", "boot.missing-revocations", "boot.unexpected-pcrs", "ima.badly-signed"];

impl View<'_> {
    /// Why a claim that found nothing says nothing: what it compares with is not there. Its name, and
    /// the reason.
    pub(crate) fn lacks(&self, claim: &str) -> Option<(&'static str, String)> {
        let (name, kinds) = *SUPPLIES.iter().find(|(name, _)| *name == claim)?;
        if !kinds.iter().any(|kind| self.has(*kind)) {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let kinds = kinds.join(" or ");
            return Some((name, format!("no reference values of {kinds} are in force; give some")));
        }
        let over = DEMANDS.contains(&name).then(|| self.has_run_out(kinds)).flatten()?;
        let (component, version) = (over.component(), over.version());
        let why = format!("the reference values of {component} version {version} have run out");
        Some((name, format!("{why}; give newer ones")))
    }
}

impl References {
    /// The values that no control of the policy reads, in the order of the sets.
    pub fn unevaluated(&self, policy: &Policy) -> Vec<Unevaluated> {
        let read =
            |kind: Kind| readers(kind).iter().any(|name| policy.claims().any(|c| c == *name));
        let mut found = Vec::new();
        let mut look = |kinds: &mut dyn Iterator<Item = (Kind, usize)>, of: &str| {
            for (kind, count) in kinds.filter(|(kind, _)| !read(*kind)) {
                found.push(Unevaluated { kind, count, of: of.to_owned() });
            }
        };
        for set in &self.sets {
            let of = format!("{} version {}", set.component, set.version);
            look(&mut set.kinds().into_iter(), &of);
        }
        for assigned in self.assignments.values() {
            look(&mut assigned.kinds(), &format!("assignment {}", assigned.name));
        }
        found
    }

    /// The claims of the policy that no document supplies anything for.
    pub fn unsupplied(&self, policy: &Policy) -> Vec<Unsupplied> {
        let sets = self.sets.iter().flat_map(|set| set.kinds().into_keys());
        let mut supplied: Vec<Kind> = sets.collect();
        supplied.extend(self.assignments.values().flat_map(|of| of.kinds()).map(|(kind, _)| kind));
        let claims = policy.claims().filter_map(|claim| {
            let (_, kinds) = SUPPLIES.iter().find(|(name, _)| *name == claim)?;
            let missing = !kinds.iter().any(|kind| supplied.contains(kind));
            missing.then(|| Unsupplied { claim: claim.to_owned(), kinds })
        });
        claims.collect()
    }
}

impl Unevaluated {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        "references.unevaluated"
    }
}

impl fmt::Display for Unevaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, count, of } = self;
        write!(
            f,
            "no control of the policy reads the {count} values of {} in {of}; let one read {}, or \
             leave them out",
            kind.name(),
            readers(*kind).join(" or ")
        )
    }
}

impl Unsupplied {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        "references.unsupplied"
    }
}

impl Forgetful {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        "references.forgetful"
    }
}

impl fmt::Display for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { claim, and } = self;
        write!(
            f,
            "the policy reads {claim} and not {and}: when the grace of a version ends, what it knew is \
             unknown and not outdated; let a control read {and}"
        )
    }
}

impl fmt::Display for Unsupplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let kinds = kinds.join(" or ");
        write!(f, "the policy reads {}, and no document has values of {kinds}", self.claim)
    }
}
