//! What is in a TPM: handles and the names that stand for them (TPM 2.0 Part 1 §15, §16).

use alloc::vec::Vec;

/// First and last of the ranges that handles are told apart by (Part 2 §7.2).
const NV: u32 = 0x01;
const HMAC_SESSION: u32 = 0x02;
const POLICY_SESSION: u32 = 0x03;
const TRANSIENT: u32 = 0x80;
const PERSISTENT: u32 = 0x81;

/// What a handle is the handle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleKind {
    /// A Platform Configuration Register.
    Pcr,
    /// A non-volatile index.
    Nv,
    /// An HMAC session.
    HmacSession,
    /// A policy session.
    PolicySession,
    /// A hierarchy or another fixed entity.
    Permanent,
    /// A loaded object.
    Transient,
    /// An object that stays.
    Persistent,
    /// None of these.
    Other,
}

impl HandleKind {
    /// The kind of a handle.
    pub const fn of(handle: u32) -> Self {
        match handle >> 24 {
            0x00 => Self::Pcr,
            NV => Self::Nv,
            HMAC_SESSION => Self::HmacSession,
            POLICY_SESSION => Self::PolicySession,
            0x40 => Self::Permanent,
            TRANSIENT => Self::Transient,
            PERSISTENT => Self::Persistent,
            _ => Self::Other,
        }
    }
}

/// A hierarchy, or the lockout's own authorization (Part 1 §13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The storage hierarchy, which the device's owner controls.
    Owner,
    /// The hierarchy of the TPM's identity.
    Endorsement,
    /// The firmware's hierarchy.
    Platform,
    /// Not a hierarchy of objects: who holds its authorization resets a lockout.
    Lockout,
    /// The hierarchy whose keys are gone with the next start.
    Null,
}

impl Hierarchy {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Owner, Self::Endorsement, Self::Platform, Self::Lockout, Self::Null];

    /// `TPM_RH` (Part 2 §7.4).
    pub const fn handle(self) -> u32 {
        match self {
            Self::Owner => 0x4000_0001,
            Self::Null => 0x4000_0007,
            Self::Lockout => 0x4000_000A,
            Self::Endorsement => 0x4000_000B,
            Self::Platform => 0x4000_000C,
        }
    }

    /// As a command's handle.
    pub fn entity(self) -> Entity {
        Entity::fixed(self.handle())
    }
}

/// Something in the TPM: where it is, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// The handle.
    pub handle: u32,
    /// The name, without a size in front.
    pub name: Vec<u8>,
}

impl Entity {
    /// An object or an index with the name that was computed from its public area.
    pub const fn named(handle: u32, name: Vec<u8>) -> Self {
        Self { handle, name }
    }

    /// A hierarchy, a PCR or a session: its name is its handle.
    pub fn fixed(handle: u32) -> Self {
        Self { handle, name: handle.to_be_bytes().to_vec() }
    }

    /// A PCR.
    pub fn pcr(number: u8) -> Self {
        Self::fixed(u32::from(number))
    }

    /// What the handle is the handle of.
    pub const fn kind(&self) -> HandleKind {
        HandleKind::of(self.handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_says_what_it_is_the_handle_of() {
        for (handle, kind) in [
            (0x0000_0010, HandleKind::Pcr),
            (0x01C0_0002, HandleKind::Nv),
            (0x0200_0000, HandleKind::HmacSession),
            (0x0300_0001, HandleKind::PolicySession),
            (Hierarchy::Owner.handle(), HandleKind::Permanent),
            (0x80FF_FFFF, HandleKind::Transient),
            (0x8101_0001, HandleKind::Persistent),
            (0xFFFF_FFFF, HandleKind::Other),
        ] {
            assert_eq!(HandleKind::of(handle), kind);
        }
    }
}
