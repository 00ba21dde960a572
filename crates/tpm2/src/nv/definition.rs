//! An index that is asked for, and its end (TPM 2.0 Part 3 §31.3, §31.4).

use super::attributes::{Attributes, Kind, NO_DA, PLATFORMCREATE, WRITTEN};
use super::fault::{Why, told};
use super::{Index, NO_INDEX, name_of};
use crate::auth::{Auth, AuthValue};
use crate::code;
use crate::command::Command;
use crate::handle::{Entity, HandleKind, Hierarchy};
use crate::marshal::Writer;
use crate::tpm::Tpm;
use crate::{Error, response_code};
use alloc::vec::Vec;
use touchstone_crypto::HashAlgorithm;

/// An index to be defined.
#[derive(Clone, Debug)]
pub struct NewIndex {
    handle: u32,
    attributes: Attributes,
    size: u16,
    name_algorithm: HashAlgorithm,
    policy: Vec<u8>,
    auth: AuthValue,
}

impl NewIndex {
    /// Octets.
    pub fn ordinary(handle: u32, size: u16) -> Self {
        Self::of(handle, Kind::Ordinary, size)
    }

    /// A counter: its first increment gives one more than any counter of this TPM ever had.
    pub fn counter(handle: u32) -> Self {
        Self::of(handle, Kind::Counter, 8)
    }

    /// Bits that are only ever set.
    pub fn bits(handle: u32) -> Self {
        Self::of(handle, Kind::Bits, 8)
    }

    /// A digest that is extended.
    pub fn extend(handle: u32, hash: HashAlgorithm) -> Self {
        let size = u16::try_from(hash.len()).unwrap_or(u16::MAX);
        Self { name_algorithm: hash, ..Self::of(handle, Kind::Extend, size) }
    }

    /// A PIN that fails for good once too many wrong ones were tried. The TPM counts for itself, so
    /// the lockout of all is none of it.
    pub fn pin_fail(handle: u32) -> Self {
        let new = Self::of(handle, Kind::PinFail, 8);
        Self { attributes: new.attributes.with(NO_DA), ..new }
    }

    /// A PIN that can be used so many times.
    pub fn pin_pass(handle: u32) -> Self {
        Self::of(handle, Kind::PinPass, 8)
    }

    fn of(handle: u32, kind: Kind, size: u16) -> Self {
        Self {
            handle,
            attributes: Attributes::new().of_kind(kind),
            size,
            name_algorithm: HashAlgorithm::Sha256,
            policy: Vec::new(),
            auth: AuthValue::default(),
        }
    }

    /// Who may do what with it. Its kind stays.
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        let kind = self.attributes.kind().unwrap_or(Kind::Ordinary);
        let always = if kind == Kind::PinFail { NO_DA } else { 0 };
        self.attributes = attributes.of_kind(kind).with(always);
        self
    }

    /// Its own authorization value.
    #[must_use]
    pub fn auth(mut self, auth: AuthValue) -> Self {
        self.auth = auth;
        self
    }

    /// The digest of its policy, in the hash of its name (SHA-256 unless said).
    #[must_use]
    pub fn policy(mut self, digest: &[u8]) -> Self {
        self.policy = digest.to_vec();
        self
    }

    /// The hash of its name and policy. Sets the size of an extended index.
    #[must_use]
    pub fn hash(mut self, hash: HashAlgorithm) -> Self {
        self.name_algorithm = hash;
        if self.attributes.kind() == Some(Kind::Extend) {
            self.size = u16::try_from(hash.len()).unwrap_or(u16::MAX);
        }
        self
    }
}

impl Tpm {
    /// `TPM2_NV_DefineSpace`. What the platform defines, `TPM2_Clear` spares.
    pub fn nv_define(&mut self, hierarchy: Hierarchy, new: &NewIndex) -> Result<Index, Error> {
        if HandleKind::of(new.handle) != HandleKind::Nv {
            return Err(NO_INDEX);
        }
        let attributes = match hierarchy {
            Hierarchy::Owner => new.attributes.without(PLATFORMCREATE),
            Hierarchy::Platform => new.attributes.with(PLATFORMCREATE),
            _ => return Err(Error::BadInput("the owner or the platform defines an index")),
        };
        let mut index = Index {
            entity: Entity::fixed(new.handle),
            attributes: attributes.without(WRITTEN),
            size: new.size,
            name_algorithm: new.name_algorithm,
            policy: new.policy.clone(),
        };
        let public = index.encode()?;
        index.entity = Entity::named(new.handle, name_of(self.crypto, new.name_algorithm, &public));
        let command = Command::new(code::NV_DEFINE_SPACE)
            .authorized(&hierarchy.entity(), self.hierarchy_auth(hierarchy))
            .parameters(Writer::default().sized(new.auth.expose())?.sized(&public)?);
        let command = if new.auth.is_empty() { command.nothing_secret() } else { command };
        match self.run(&command) {
            Ok(_) => Ok(index),
            // About the public area, of which only an ordinary index chooses the size.
            Err(Error::Refused(refusal))
                if refusal.is(response_code::SIZE) && index.kind() == Some(Kind::Ordinary) =>
            {
                Err(index.fault(Why::TooLarge))
            }
            Err(error) => Err(told(new.handle, attributes, new.size, error)),
        }
    }

    /// `TPM2_NV_UndefineSpace`. The platform undefines what it defined, the owner the rest.
    pub fn nv_undefine(&mut self, hierarchy: Hierarchy, index: &Index) -> Result<(), Error> {
        let auth = self.hierarchy_auth(hierarchy);
        self.nv_run(
            index,
            &Command::new(code::NV_UNDEFINE_SPACE)
                .authorized(&hierarchy.entity(), auth)
                .handle(&index.entity),
        )?;
        Ok(())
    }

    /// `TPM2_NV_UndefineSpaceSpecial`: the end of an index that only its policy undefines, which
    /// has to be for this command.
    pub fn nv_undefine_special(&mut self, index: &Index, policy: Auth) -> Result<(), Error> {
        let platform = self.hierarchy_auth(Hierarchy::Platform);
        self.nv_run(
            index,
            &Command::new(code::NV_UNDEFINE_SPACE_SPECIAL)
                .authorized(&index.entity, policy)
                .authorized(&Hierarchy::Platform.entity(), platform),
        )?;
        Ok(())
    }
}
