//! The vocabulary of attestation results: tiers, dimensions and the values of each
//! (draft-ietf-rats-ar4si §2.3). Who deserves which value is for the policy to say.

use core::fmt;

/// A trustworthiness tier (draft-ietf-rats-ar4si §3.2). The order is from best known to worst:
/// the tier of a device is the greatest tier among its controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Nothing is asserted.
    None,
    /// The verifier affirms this aspect.
    Affirming,
    /// The verifier warns about this aspect.
    Warning,
    /// The device is untrustworthy in this aspect.
    Contraindicated,
}

impl Tier {
    /// Every tier, best first.
    pub const ALL: [Self; 4] = [Self::None, Self::Affirming, Self::Warning, Self::Contraindicated];

    /// The word in results, policies and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }

    /// The tier of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.name() == name)
    }

    /// The number in `ear.status` (draft-ietf-rats-ear §3.2): 0, 2, 32 or 96.
    pub const fn number(self) -> i8 {
        match self {
            Self::None => 0,
            Self::Affirming => 2,
            Self::Warning => 32,
            Self::Contraindicated => 96,
        }
    }

    /// The tier in which a value lies (draft-ietf-rats-ar4si §2.3.2).
    pub const fn of(value: i8) -> Self {
        match value {
            -1..=1 => Self::None,
            2..=31 | -32..=-2 => Self::Affirming,
            32..=95 | -96..=-33 => Self::Warning,
            96..=127 | -128..=-97 => Self::Contraindicated,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An aspect of trustworthiness: an entry of the trustworthiness vector
/// (draft-ietf-rats-ar4si §2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Which instance this is.
    InstanceIdentity,
    /// How it is configured.
    Configuration,
    /// What was loaded into memory to run.
    Executables,
    /// What its file system holds.
    FileSystem,
    /// Its hardware and firmware.
    Hardware,
    /// Who can see its memory.
    RuntimeOpaque,
    /// How it keeps its secrets.
    StorageOpaque,
    /// Where its data comes from.
    SourcedData,
}

impl Dimension {
    /// Every dimension, in the order of their CBOR keys.
    pub const ALL: [Self; 8] = [
        Self::InstanceIdentity,
        Self::Configuration,
        Self::Executables,
        Self::FileSystem,
        Self::Hardware,
        Self::RuntimeOpaque,
        Self::StorageOpaque,
        Self::SourcedData,
    ];

    /// The name in a JSON trustworthiness vector.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InstanceIdentity => "instance-identity",
            Self::Configuration => "configuration",
            Self::Executables => "executables",
            Self::FileSystem => "file-system",
            Self::Hardware => "hardware",
            Self::RuntimeOpaque => "runtime-opaque",
            Self::StorageOpaque => "storage-opaque",
            Self::SourcedData => "sourced-data",
        }
    }

    /// The dimension of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.name() == name)
    }

    /// The key in a CBOR trustworthiness vector (draft-ietf-rats-ar4si §3.1).
    pub const fn key(self) -> u8 {
        self as u8
    }

    /// The dimension of that [`key`](Self::key).
    pub fn from_key(key: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.key() == key)
    }

    /// The values that the draft enumerates for this dimension beyond the shared 0, 1, -1 and 99.
    pub fn values(self) -> impl Iterator<Item = TrustValue> {
        NAMED.iter().filter(move |(dimension, ..)| *dimension == self).map(
            move |(dimension, number, ..)| TrustValue { dimension: *dimension, number: *number },
        )
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A trustworthiness claim: a value in a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrustValue {
    dimension: Dimension,
    number: i8,
}

impl TrustValue {
    /// The value with that number; any number is possible (draft-ietf-rats-ar4si §2.3.2).
    pub const fn new(dimension: Dimension, number: i8) -> Self {
        Self { dimension, number }
    }

    /// The value of that [`name`](Self::name) in `dimension`.
    pub fn from_name(dimension: Dimension, name: &str) -> Option<Self> {
        let shared = SHARED.iter().find(|(_, known, _)| *known == name).map(|(number, ..)| *number);
        let own = || {
            NAMED
                .iter()
                .find(|(of, _, known, _)| *of == dimension && *known == name)
                .map(|(_, number, ..)| *number)
        };
        shared.or_else(own).map(|number| Self { dimension, number })
    }

    /// The value that a control gives in `tier` if it names none: the mildest that the draft
    /// enumerates, or the first that it leaves to us.
    pub fn usual(dimension: Dimension, tier: Tier) -> Self {
        let number = match tier {
            // The draft enumerates no warning about an instance's identity.
            Tier::Warning if dimension == Dimension::InstanceIdentity => -33,
            tier => tier.number(),
        };
        Self { dimension, number }
    }

    /// The dimension.
    pub const fn dimension(self) -> Dimension {
        self.dimension
    }

    /// The number in the vector.
    pub const fn number(self) -> i8 {
        self.number
    }

    /// The tier in which it lies.
    pub const fn tier(self) -> Tier {
        Tier::of(self.number)
    }

    /// Our short name for a value that the draft enumerates; `None` for a private number.
    pub fn name(self) -> Option<&'static str> {
        self.entry().map(|(name, _)| name)
    }

    /// What the value means; for a private number, what its tier means.
    pub fn meaning(self) -> &'static str {
        self.entry().map_or_else(
            || match self.tier() {
                Tier::None => "nothing is asserted",
                Tier::Affirming => "affirmed for a reason of this verifier's own",
                Tier::Warning => "a warning for a reason of this verifier's own",
                Tier::Contraindicated => "contraindicated for a reason of this verifier's own",
            },
            |(_, meaning)| meaning,
        )
    }

    fn entry(self) -> Option<(&'static str, &'static str)> {
        let shared = SHARED.iter().find(|(number, ..)| *number == self.number);
        let own = || {
            NAMED
                .iter()
                .find(|(of, number, ..)| *of == self.dimension && *number == self.number)
                .map(|(_, _, name, meaning)| (*name, *meaning))
        };
        shared.map(|(_, name, meaning)| (*name, *meaning)).or_else(own)
    }
}

impl fmt::Display for TrustValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.number),
        }
    }
}

/// Values that every dimension has.
const SHARED: &[(i8, &str, &str)] = &[
    (0, "no-claim", "nothing is asserted"),
    (1, "unexpected-evidence", "the evidence holds elements that the verifier cannot appraise"),
    (-1, "verifier-malfunction", "the verifier failed while appraising"),
    (99, "crypto-failed", "the evidence did not validate cryptographically"),
];

use Dimension as D;

/// Values of one dimension each; the names are ours, the numbers are the draft's.
const NAMED: &[(Dimension, i8, &str, &str)] = &[
    (
        D::InstanceIdentity,
        2,
        "recognized-instance",
        "a known instance, not known to be compromised",
    ),
    (D::InstanceIdentity, 96, "untrustworthy-instance", "a known instance that is not trustworthy"),
    (D::InstanceIdentity, 97, "unrecognized-instance", "not a known instance, but it should be"),
    (D::Configuration, 2, "approved-config", "a known and approved configuration"),
    (D::Configuration, 3, "no-config-vulns", "a configuration without known vulnerabilities"),
    (D::Configuration, 32, "unsafe-config", "a configuration with known vulnerabilities"),
    (D::Configuration, 36, "unavailable-config", "parts of the configuration cannot be seen"),
    (D::Configuration, 96, "unsupportable-config", "a configuration that cannot be accepted"),
    (
        D::Executables,
        2,
        "approved-runtime",
        "only approved executables loaded during and after boot",
    ),
    (D::Executables, 3, "approved-boot", "only approved executables loaded during boot"),
    (
        D::Executables,
        32,
        "unsafe-runtime",
        "recognized executables, some with known vulnerabilities",
    ),
    (D::Executables, 33, "unrecognized-runtime", "executables in memory that are not recognized"),
    (D::Executables, 96, "contraindicated-runtime", "executables in memory that must not be there"),
    (D::FileSystem, 2, "approved-files", "only approved files are found"),
    (D::FileSystem, 32, "unrecognized-files", "files that are not recognized"),
    (D::FileSystem, 96, "contraindicated-files", "files that must not be there"),
    (D::Hardware, 2, "genuine-hardware", "genuine, supported hardware and firmware"),
    (D::Hardware, 32, "unsafe-hardware", "genuine hardware or firmware with known vulnerabilities"),
    (D::Hardware, 96, "contraindicated-hardware", "recognized hardware that is not trustworthy"),
    (D::Hardware, 97, "unrecognized-hardware", "hardware that is not recognized, but should be"),
    (D::RuntimeOpaque, 2, "encrypted-memory", "memory encrypted and closed to the host"),
    (
        D::RuntimeOpaque,
        32,
        "isolated-memory",
        "memory isolated from other workloads, not encrypted",
    ),
    (D::RuntimeOpaque, 96, "visible-memory", "memory unacceptably visible to the host"),
    (D::StorageOpaque, 2, "hardware-encrypted-secrets", "secrets encrypted by keys in hardware"),
    (D::StorageOpaque, 32, "software-encrypted-secrets", "secrets encrypted by keys in software"),
    (D::StorageOpaque, 96, "unencrypted-secrets", "secrets stored in the clear"),
    (D::SourcedData, 2, "trusted-sources", "data only from affirmed sources"),
    (D::SourcedData, 32, "untrusted-sources", "data from sources that are not attested"),
    (D::SourcedData, 96, "contraindicated-sources", "data from contraindicated sources"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use Tier::{Affirming as A, Contraindicated as C, None as N, Warning as W};

    #[test]
    fn every_enumerated_value_reads_back_by_name() {
        for dimension in Dimension::ALL {
            assert_eq!(Dimension::from_name(dimension.name()), Some(dimension));
            assert_eq!(Dimension::from_key(dimension.key()), Some(dimension));
            for value in dimension.values() {
                let name = value.name().unwrap();
                assert_eq!(TrustValue::from_name(dimension, name), Some(value));
                assert_ne!(value.tier(), Tier::None);
            }
        }
    }

    #[test]
    fn the_usual_value_lies_in_its_tier() {
        for dimension in Dimension::ALL {
            for tier in Tier::ALL {
                assert_eq!(TrustValue::usual(dimension, tier).tier(), tier);
            }
        }
        let warning = TrustValue::usual(Dimension::InstanceIdentity, Tier::Warning);
        assert_eq!((warning.name(), warning.number()), (None, -33));
    }

    #[test]
    fn tiers_split_the_numbers_as_the_draft_does() {
        let tiers = [-128, -97, -96, -33, -32, -2, -1, 1, 2, 31, 32, 95, 96, 127].map(Tier::of);
        assert_eq!(tiers, [C, C, W, W, A, A, N, N, A, A, W, W, C, C]);
    }
}
