//! Who holds the TPM: values, policies and states of the hierarchies, clearing, and what is audited
//! (TPM 2.0 Part 3 §21, §24).

use crate::Error;
use crate::auth::{Auth, AuthValue};
use crate::code::{self, Code};
use crate::command::Command;
use crate::handle::Hierarchy;
use crate::marshal::Writer;
use crate::public::ALG_NULL;
use crate::tpm::Tpm;
use touchstone_crypto::{Digest, HashAlgorithm};

/// The command that every command audit counts, whatever is chosen (Part 3 §21.2).
pub const AUDITED_ALWAYS: Code = code::SET_COMMAND_CODE_AUDIT_STATUS;

impl Tpm {
    fn by(&self, code: Code, hierarchy: Hierarchy) -> Command {
        Command::new(code).authorized(&hierarchy.entity(), self.hierarchy_auth(hierarchy))
    }

    /// `TPM2_HierarchyChangeAuth`: another authorization value, encrypted on its way. The
    /// conversation uses it from then on.
    pub fn change_hierarchy_auth(
        &mut self,
        hierarchy: Hierarchy,
        new: &AuthValue,
    ) -> Result<(), Error> {
        let command = self
            .by(code::HIERARCHY_CHANGE_AUTH, hierarchy)
            .parameters(Writer::default().sized(new.expose())?)
            .changes_value_to(new.clone());
        self.run(&command)?;
        self.now_has_value(hierarchy, new);
        Ok(())
    }

    fn now_has_value(&mut self, hierarchy: Hierarchy, value: &AuthValue) {
        let place = match hierarchy {
            Hierarchy::Owner => &mut self.hierarchies.owner,
            Hierarchy::Endorsement => &mut self.hierarchies.endorsement,
            Hierarchy::Platform => &mut self.hierarchies.platform,
            Hierarchy::Lockout => &mut self.hierarchies.lockout,
            Hierarchy::Null => return,
        };
        *place = value.clone();
    }

    /// `TPM2_HierarchyControl`: enables a hierarchy, or disables it until the TPM starts again. The
    /// platform may do both, a hierarchy disable itself. What is loaded in it is unloaded.
    pub fn control_hierarchy(
        &mut self,
        by: Hierarchy,
        hierarchy: Hierarchy,
        enabled: bool,
    ) -> Result<(), Error> {
        let parameters = Writer::default().u32(hierarchy.handle()).u8(u8::from(enabled));
        self.run(&self.by(code::HIERARCHY_CONTROL, by).parameters(parameters))?;
        if hierarchy == Hierarchy::Owner && !enabled {
            self.forget_salt_key();
        }
        Ok(())
    }

    /// `TPM2_SetPrimaryPolicy`: the policy of a hierarchy, or none.
    pub fn set_primary_policy(
        &mut self,
        hierarchy: Hierarchy,
        policy: Option<&Digest>,
    ) -> Result<(), Error> {
        let parameters = match policy {
            Some(policy) => {
                Writer::default().sized(policy.as_bytes())?.u16(policy.algorithm().tpm_id())
            }
            None => Writer::default().u16(0).u16(ALG_NULL),
        };
        self.run(&self.by(code::SET_PRIMARY_POLICY, hierarchy).parameters(parameters))?;
        Ok(())
    }

    /// `TPM2_Clear`: every key, sealed secret and index that the owner made is gone for good, and so
    /// are the values of owner, endorsement and lockout. By the lockout's or the platform's
    /// authorization.
    pub fn clear(&mut self, by: Hierarchy) -> Result<(), Error> {
        let empty = AuthValue::default();
        let command = self.by(code::CLEAR, by);
        // Part 3 §24.6: the response is authenticated with what the value is from now on.
        let command = if by == Hierarchy::Lockout {
            command.changes_value_to(empty.clone())
        } else {
            command
        };
        self.run(&command)?;
        for hierarchy in [Hierarchy::Owner, Hierarchy::Endorsement, Hierarchy::Lockout] {
            self.now_has_value(hierarchy, &empty);
        }
        self.forget_salt_key();
        Ok(())
    }

    /// `TPM2_ClearControl`: whether [`clear`](Self::clear) works. The lockout's authorization can
    /// forbid it, the platform's both.
    pub fn control_clear(&mut self, by: Hierarchy, allowed: bool) -> Result<(), Error> {
        let parameters = Writer::default().u8(u8::from(!allowed));
        self.run(&self.by(code::CLEAR_CONTROL, by).parameters(parameters))?;
        Ok(())
    }

    /// `TPM2_SetCommandCodeAuditStatus`: the hash of the command audit.
    pub fn set_audit_hash(&mut self, by: Hierarchy, hash: HashAlgorithm) -> Result<(), Error> {
        let parameters = Writer::default().u16(hash.tpm_id()).u32(0).u32(0);
        self.run(&self.by(AUDITED_ALWAYS, by).parameters(parameters))?;
        Ok(())
    }

    /// `TPM2_SetCommandCodeAuditStatus`: which commands are counted into the command audit from now
    /// on, and which no longer.
    pub fn audit_commands(
        &mut self,
        by: Hierarchy,
        count: &[Code],
        no_longer: &[Code],
    ) -> Result<(), Error> {
        let list = |writer: Writer, codes: &[Code]| {
            let len = u32::try_from(codes.len())
                .map_err(|_| Error::BadInput("there are not so many commands"))?;
            Ok::<_, Error>(codes.iter().fold(writer.u32(len), |w, code| w.u32(code.number)))
        };
        let parameters = list(list(Writer::default().u16(ALG_NULL), count)?, no_longer)?;
        self.run(&self.by(AUDITED_ALWAYS, by).parameters(parameters))?;
        Ok(())
    }

    /// `TPM2_PCR_SetAuthValue`: a value for the group of a register, where the TPM has such groups.
    pub fn set_pcr_auth(&mut self, pcr: u8, old: Auth, new: &AuthValue) -> Result<(), Error> {
        let command = Command::new(code::PCR_SET_AUTH_VALUE)
            .authorized(&crate::Entity::pcr(pcr), old)
            .parameters(Writer::default().sized(new.expose())?)
            .changes_value_to(new.clone());
        self.run(&command)?;
        Ok(())
    }
}
