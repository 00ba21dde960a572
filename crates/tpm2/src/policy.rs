//! Policies (TPM 2.0 Part 1 §19.7, Part 3 §23): who may use something, and in which state of the
//! device.
//!
//! A [`Policy`] is one definition with two uses: [`Policy::digest`] computes away from the TPM what
//! an object is made with, and [`Tpm::with_policy`](crate::Tpm::with_policy) satisfies it in a
//! session. What satisfying it takes beyond the device's state is in [`Means`].
//!
//! ```
//! use touchstone_crypto::HashAlgorithm;
//! use touchstone_tpm2::{Policy, code};
//! # fn provider() -> &'static dyn touchstone_crypto::TpmCrypto { &touchstone_crypto_awslc::AwsLc }
//!
//! let unseal_with_pin = Policy::new().auth_value().command(code::UNSEAL);
//! let recover = Policy::new().secret(&touchstone_tpm2::Hierarchy::Owner.entity());
//! let either = Policy::new().any_of([unseal_with_pin, recover]);
//! let digest = either.digest(provider(), HashAlgorithm::Sha256)?;
//! # Ok::<(), touchstone_tpm2::Error>(())
//! ```

mod digest;
mod profile;
mod run;
mod steps;
mod unsatisfied;

pub use profile::{device_key, device_key_branches, endorsement, endorsement_or_nv};
pub use run::{Approval, Means};
pub use unsatisfied::Unsatisfied;

use crate::Error;
use crate::code::Code;
use crate::command::Command;
use crate::handle::Entity;
use crate::pcr::PcrSelection;
use crate::public::Public;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

/// Assertions, all of which have to hold, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(Vec<Assertion>);

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Assertion {
    /// PCRs hold these values, lowest register first (§23.7).
    Pcr {
        /// The registers.
        selection: PcrSelection,
        /// Their values.
        values: Vec<Digest>,
    },
    /// A policy holds that the key's owner approved of, now or later (§23.16). What stands before
    /// it does not count, so it stands first.
    Authorize {
        /// The key's public part.
        key: Public,
        /// What the approval is for.
        reference: Vec<u8>,
    },
    /// What an index holds is a policy, and that holds (§23.22). What stands before it does not
    /// count, so it stands first.
    AuthorizeNv {
        /// The index, with the name that it has when it is written.
        index: Entity,
    },
    /// A key signs that it agrees, for this session alone (§23.3).
    Signed {
        /// The key's public part.
        key: Public,
        /// What it agrees to.
        reference: Vec<u8>,
    },
    /// Somebody knows another entity's authorization value (§23.4).
    Secret {
        /// The entity.
        entity: Entity,
        /// What it is for.
        reference: Vec<u8>,
    },
    /// Somebody knows the entity's own value, and proves it (§23.17).
    AuthValue,
    /// The same; where it is shown in the clear, in a plain conversation (§23.18).
    Password,
    /// What an index holds compares with the operand (§23.9).
    Nv {
        /// The index, with the name that it has when it is written.
        index: Entity,
        /// Compared with.
        operand: Vec<u8>,
        /// Octets of the index before those compared.
        offset: u16,
        /// How.
        comparison: Comparison,
    },
    /// The TPM's clock and counters, `TPMS_TIME_INFO`, compare with the operand (§23.10).
    CounterTimer {
        /// Compared with.
        operand: Vec<u8>,
        /// Octets before those compared.
        offset: u16,
        /// How.
        comparison: Comparison,
    },
    /// The command is this one (§23.11).
    CommandCode(u32),
    /// One of two to eight policies holds (§23.6). Each goes on where those before it stand.
    Or(Vec<Policy>),
    /// The object is duplicated, and its new parent is this one (§23.15).
    DuplicationSelect {
        /// The object's name.
        object: Vec<u8>,
        /// The new parent's name.
        parent: Vec<u8>,
        /// Whether the policy is for this object alone; else it says nothing of the object.
        include_object: bool,
    },
    /// What is made has this template, as a digest of its `TPMT_PUBLIC` (§23.21).
    Template(Digest),
    /// The command and its parameters are these (§23.13); see [`Command::parameter_hash`].
    CpHash(Digest),
    /// The handles are those of these names (§23.14); see [`Command::name_hash`].
    NameHash(Digest),
    /// The command comes from one of these localities, `TPMA_LOCALITY` (§23.8).
    Locality(u8),
    /// The index was, or was not, written (§23.20).
    NvWritten(bool),
    /// Somebody is at the device and confirms (§23.12).
    PhysicalPresence,
}

/// How numbers compare, `TPM_EO` (Part 2 §6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It equals the operand.
    Equal,
    /// It differs from the operand.
    Different,
    /// As signed numbers, it is greater.
    SignedGreater,
    /// It is greater.
    Greater,
    /// As signed numbers, it is less.
    SignedLess,
    /// It is less.
    Less,
    /// As signed numbers, it is not less.
    SignedAtLeast,
    /// It is not less.
    AtLeast,
    /// As signed numbers, it is not greater.
    SignedAtMost,
    /// It is not greater.
    AtMost,
    /// All bits of the operand are set in it.
    BitsSet,
    /// All bits of the operand are clear in it.
    BitsClear,
}

impl Comparison {
    const fn number(self) -> u16 {
        self as u16
    }
}

impl Policy {
    /// A policy that asks for nothing yet. Its digest is that of nobody.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// And this.
    #[must_use]
    pub fn and(mut self, assertion: Assertion) -> Self {
        self.0.push(assertion);
        self
    }

    /// The assertions, in their order.
    pub fn assertions(&self) -> &[Assertion] {
        &self.0
    }

    /// And the PCRs hold these values, lowest register first.
    #[must_use]
    pub fn pcrs(self, selection: PcrSelection, values: &[Digest]) -> Self {
        self.and(Assertion::Pcr { selection, values: values.to_vec() })
    }

    /// And one of the policies approved by the key holds.
    #[must_use]
    pub fn authorized_by(self, key: Public, reference: &[u8]) -> Self {
        self.and(Assertion::Authorize { key, reference: reference.to_vec() })
    }

    /// And the policy holds whose digest the index holds, as [`Self::to_index`] puts it there.
    #[must_use]
    pub fn kept_in(self, index: Entity) -> Self {
        self.and(Assertion::AuthorizeNv { index })
    }

    /// What an index has to hold so that [`Assertion::AuthorizeNv`] means this policy: its digest as
    /// a `TPMT_HA` (§23.22). `hash` is that of the sessions.
    pub fn to_index(&self, crypto: &dyn Crypto, hash: HashAlgorithm) -> Result<Vec<u8>, Error> {
        let digest = self.digest(crypto, hash)?;
        Ok([&hash.tpm_id().to_be_bytes(), digest.as_bytes()].concat())
    }

    /// And the key agrees.
    #[must_use]
    pub fn signed_by(self, key: Public, reference: &[u8]) -> Self {
        self.and(Assertion::Signed { key, reference: reference.to_vec() })
    }

    /// And somebody knows the value of this other entity.
    #[must_use]
    pub fn secret(self, entity: &Entity) -> Self {
        self.and(Assertion::Secret { entity: entity.clone(), reference: Vec::new() })
    }

    /// And somebody knows the entity's value.
    #[must_use]
    pub fn auth_value(self) -> Self {
        self.and(Assertion::AuthValue)
    }

    /// And the command is this one.
    #[must_use]
    pub fn command(self, code: Code) -> Self {
        self.and(Assertion::CommandCode(code.number))
    }

    /// And one of these holds.
    #[must_use]
    pub fn any_of(self, branches: impl IntoIterator<Item = Self>) -> Self {
        self.and(Assertion::Or(branches.into_iter().collect()))
    }

    /// And the command has these handles and parameters, in a session of this hash algorithm.
    #[must_use]
    pub fn exactly(self, command: &Command, crypto: &dyn Crypto, hash: HashAlgorithm) -> Self {
        self.and(Assertion::CpHash(command.parameter_hash(crypto, hash)))
    }

    /// Whether a session proves the entity's own value by it.
    pub(crate) fn asks_value(&self) -> bool {
        self.0.iter().any(|assertion| match assertion {
            Assertion::AuthValue
            | Assertion::Password
            | Assertion::Authorize { .. }
            | Assertion::AuthorizeNv { .. } => true,
            Assertion::Or(branches) => branches.iter().any(Self::asks_value),
            _ => false,
        })
    }
}
