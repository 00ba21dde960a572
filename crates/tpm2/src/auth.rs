//! How the use of something in the TPM is authorized (TPM 2.0 Part 1 §19).

use crate::handle::Hierarchy;
use crate::session::SessionId;
use core::fmt;
use zeroize::Zeroizing;

use alloc::vec::Vec;

/// An authorization value: wiped when dropped, silent in `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AuthValue(Zeroizing<Vec<u8>>);

impl AuthValue {
    /// The value of these octets. Zeros at the end do not count (Part 1 §17.6.4.3).
    pub fn new(octets: &[u8]) -> Self {
        let zeros = octets.iter().rev().take_while(|octet| **octet == 0).count();
        let len = octets.len() - zeros;
        Self(Zeroizing::new(octets.get(..len).unwrap_or_default().to_vec()))
    }

    /// The octets.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the empty value, which everybody knows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthValue(..)")
    }
}

/// How the use of one handle is authorized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// By the authorization value. It never travels: a session of the conversation proves that we
    /// know it. The empty value needs no proof.
    Value(AuthValue),
    /// The same in a session of the caller's own.
    Session(SessionId, AuthValue),
    /// By a policy session that has earned the entity's policy. The value is that of the entity,
    /// which the session asks for when the policy does (`PolicyAuthValue`, `PolicyPassword`).
    Policy(SessionId, AuthValue),
}

impl Auth {
    /// The empty authorization value.
    pub fn empty() -> Self {
        Self::Value(AuthValue::default())
    }

    /// An authorization value.
    pub fn value(octets: &[u8]) -> Self {
        Self::Value(AuthValue::new(octets))
    }

    /// A policy session, of a policy that asks for no value.
    pub fn policy(session: SessionId) -> Self {
        Self::Policy(session, AuthValue::default())
    }

    /// The value of the entity.
    pub(crate) const fn own(&self) -> &AuthValue {
        match self {
            Self::Value(value) | Self::Session(_, value) | Self::Policy(_, value) => value,
        }
    }
}

/// The authorization values of the hierarchies, all empty to begin with.
#[derive(Clone, Debug, Default)]
pub struct Hierarchies {
    /// The owner's.
    pub owner: AuthValue,
    /// The endorsement hierarchy's.
    pub endorsement: AuthValue,
    /// The platform's.
    pub platform: AuthValue,
    /// The lockout's.
    pub lockout: AuthValue,
}

impl Hierarchies {
    /// How a hierarchy is used.
    pub fn auth(&self, hierarchy: Hierarchy) -> Auth {
        Auth::Value(match hierarchy {
            Hierarchy::Owner => self.owner.clone(),
            Hierarchy::Endorsement => self.endorsement.clone(),
            Hierarchy::Platform => self.platform.clone(),
            Hierarchy::Lockout => self.lockout.clone(),
            Hierarchy::Null => AuthValue::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn zeros_at_the_end_do_not_count_and_a_value_never_shows() {
        assert_eq!(AuthValue::new(b"pin\0\0"), AuthValue::new(b"pin"));
        assert!(AuthValue::new(&[0; 9]).is_empty());
        assert_eq!(AuthValue::new(b"\0pin").expose(), b"\0pin");
        assert_eq!(format!("{:?}", Auth::value(b"pin")), "Value(AuthValue(..))");
    }
}
