//! What an index is and who may use it: `TPMA_NV` (TPM 2.0 Part 2 §13.4).

use alloc::vec::Vec;
use core::fmt;

/// The platform's authorization writes.
pub const PPWRITE: u32 = 1;
/// The owner's authorization writes.
pub const OWNERWRITE: u32 = 1 << 1;
/// The index' own value writes.
pub const AUTHWRITE: u32 = 1 << 2;
/// Its policy writes.
pub const POLICYWRITE: u32 = 1 << 3;
/// Only its policy, together with the platform, undefines it.
pub const POLICY_DELETE: u32 = 1 << 10;
/// It is locked against writing.
pub const WRITELOCKED: u32 = 1 << 11;
/// It is written whole or not at all.
pub const WRITEALL: u32 = 1 << 12;
/// A write lock is for good.
pub const WRITEDEFINE: u32 = 1 << 13;
/// It can be locked against writing until the TPM starts again.
pub const WRITE_STCLEAR: u32 = 1 << 14;
/// The global lock locks it.
pub const GLOBALLOCK: u32 = 1 << 15;
/// The platform's authorization reads.
pub const PPREAD: u32 = 1 << 16;
/// The owner's authorization reads.
pub const OWNERREAD: u32 = 1 << 17;
/// The index' own value reads.
pub const AUTHREAD: u32 = 1 << 18;
/// Its policy reads.
pub const POLICYREAD: u32 = 1 << 19;
/// Wrong authorizations do not count towards a lockout.
pub const NO_DA: u32 = 1 << 25;
/// It is kept in memory, and stored when the TPM is shut down in order.
pub const ORDERLY: u32 = 1 << 26;
/// What was written is gone when the TPM starts again.
pub const CLEAR_STCLEAR: u32 = 1 << 27;
/// It is locked against reading.
pub const READLOCKED: u32 = 1 << 28;
/// It was written.
pub const WRITTEN: u32 = 1 << 29;
/// The platform defined it, and only the platform undefines it.
pub const PLATFORMCREATE: u32 = 1 << 30;
/// It can be locked against reading until the TPM starts again.
pub const READ_STCLEAR: u32 = 1 << 31;

/// Where `TPM_NT` is.
const KIND_SHIFT: u32 = 4;
const KIND_MASK: u32 = 0xF << KIND_SHIFT;

/// What an index is, `TPM_NT` (Part 2 §13.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Octets.
    Ordinary,
    /// A number of 64 bits that only rises.
    Counter,
    /// 64 bits that are only ever set.
    Bits,
    /// A digest that is extended, as a PCR is.
    Extend,
    /// A PIN whose wrong tries are counted.
    PinFail,
    /// A PIN whose right uses are counted.
    PinPass,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ordinary, Self::Counter, Self::Bits, Self::Extend, Self::PinFail, Self::PinPass];

    /// `TPM_NT`.
    pub const fn number(self) -> u32 {
        match self {
            Self::Ordinary => 0,
            Self::Counter => 1,
            Self::Bits => 2,
            Self::Extend => 4,
            Self::PinFail => 8,
            Self::PinPass => 9,
        }
    }

    /// The name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Counter => "counter",
            Self::Bits => "bits",
            Self::Extend => "extend",
            Self::PinFail => "pin-fail",
            Self::PinPass => "pin-pass",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who may use an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// Who holds the platform's authorization.
    Platform,
    /// Who holds the owner's.
    Owner,
    /// Who knows the index' own value.
    Value,
    /// Who satisfies its policy.
    Policy,
}

impl Party {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Platform, Self::Owner, Self::Value, Self::Policy];

    const fn writes(self) -> u32 {
        match self {
            Self::Platform => PPWRITE,
            Self::Owner => OWNERWRITE,
            Self::Value => AUTHWRITE,
            Self::Policy => POLICYWRITE,
        }
    }

    const fn reads(self) -> u32 {
        self.writes() << 16
    }

    /// The name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Owner => "owner",
            Self::Value => "value",
            Self::Policy => "policy",
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The attributes of an index.
///
/// ```
/// use touchstone_tpm2::nv::{Attributes, Party};
///
/// let boot = Attributes::new().written_by(&[Party::Owner]).read_by(&[Party::Owner, Party::Value]);
/// let locked_after_boot = boot.write_lockable().whole();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(u32);

impl Attributes {
    /// Nobody may do anything.
    pub const fn new() -> Self {
        Self(0)
    }

    /// These bits of `TPMA_NV`.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// `TPMA_NV`.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of these bits are set.
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    /// With these bits set too.
    #[must_use]
    pub const fn with(self, bits: u32) -> Self {
        Self(self.0 | bits)
    }

    pub(crate) const fn without(self, bits: u32) -> Self {
        Self(self.0 & !bits)
    }

    pub(crate) const fn of_kind(self, kind: Kind) -> Self {
        Self(self.0 & !KIND_MASK | kind.number() << KIND_SHIFT)
    }

    /// What the index is; `None` for a kind that is not in the TPM 2.0 library.
    pub fn kind(self) -> Option<Kind> {
        let number = (self.0 & KIND_MASK) >> KIND_SHIFT;
        Kind::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// These may write, increment, set and extend.
    #[must_use]
    pub fn written_by(self, parties: &[Party]) -> Self {
        self.with(parties.iter().fold(0, |bits, party| bits | party.writes()))
    }

    /// These may read.
    #[must_use]
    pub fn read_by(self, parties: &[Party]) -> Self {
        self.with(parties.iter().fold(0, |bits, party| bits | party.reads()))
    }

    /// It can be locked against writing until the TPM starts again.
    #[must_use]
    pub const fn write_lockable(self) -> Self {
        self.with(WRITE_STCLEAR)
    }

    /// It can be locked against writing for good.
    #[must_use]
    pub const fn write_lockable_for_good(self) -> Self {
        self.with(WRITEDEFINE)
    }

    /// It can be locked against reading until the TPM starts again.
    #[must_use]
    pub const fn read_lockable(self) -> Self {
        self.with(READ_STCLEAR)
    }

    /// The global lock locks it against writing until the TPM starts again.
    #[must_use]
    pub const fn globally_lockable(self) -> Self {
        self.with(GLOBALLOCK)
    }

    /// It is written whole or not at all.
    #[must_use]
    pub const fn whole(self) -> Self {
        self.with(WRITEALL)
    }

    /// Wrong authorizations do not count towards a lockout.
    #[must_use]
    pub const fn no_lockout(self) -> Self {
        self.with(NO_DA)
    }

    /// Kept in memory, and stored when the TPM is shut down in order.
    #[must_use]
    pub const fn orderly(self) -> Self {
        self.with(ORDERLY)
    }

    /// What was written is gone when the TPM starts again.
    #[must_use]
    pub const fn cleared_at_start(self) -> Self {
        self.with(CLEAR_STCLEAR)
    }

    /// Only its policy, together with the platform, undefines it: not even `TPM2_Clear` does.
    #[must_use]
    pub const fn undefined_by_policy(self) -> Self {
        self.with(POLICY_DELETE | PLATFORMCREATE)
    }

    /// Who may write.
    pub fn writers(self) -> Vec<Party> {
        Party::ALL.into_iter().filter(|party| self.has(party.writes())).collect()
    }

    /// Who may read.
    pub fn readers(self) -> Vec<Party> {
        Party::ALL.into_iter().filter(|party| self.has(party.reads())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_and_its_users_come_back_from_the_bits() {
        for kind in Kind::ALL {
            let attributes = Attributes::new()
                .written_by(&[Party::Policy])
                .read_by(&[Party::Owner, Party::Value])
                .of_kind(kind);
            assert_eq!(attributes.kind(), Some(kind));
            assert_eq!(attributes.writers(), [Party::Policy]);
            assert_eq!(attributes.readers(), [Party::Owner, Party::Value]);
        }
        assert_eq!(Attributes::from_bits(0x50).kind(), None);
    }
}
