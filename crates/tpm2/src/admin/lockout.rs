//! The end of a lockout, and when there is one (TPM 2.0 Part 1 §19.8, Part 3 §25). How the TPM stands
//! says [`Tpm::lockout`].

use crate::command::Command;
use crate::handle::Hierarchy;
use crate::marshal::Writer;
use crate::tpm::Tpm;
use crate::{Error, code};

impl Tpm {
    /// `TPM2_DictionaryAttackLockReset`: forgives every wrong try. A wrong value of the lockout is
    /// tried once, and the next try is refused for [`recovery`](crate::Lockout::recovery) seconds.
    pub fn reset_lockout(&mut self) -> Result<(), Error> {
        let auth = self.hierarchy_auth(Hierarchy::Lockout);
        let command = Command::new(code::DICTIONARY_ATTACK_LOCK_RESET);
        self.run(&command.authorized(&Hierarchy::Lockout.entity(), auth))?;
        Ok(())
    }

    /// `TPM2_DictionaryAttackParameters`: wrong tries that lock, seconds until one is forgiven, and
    /// seconds until the lockout authorization works again after a wrong one.
    pub fn set_lockout(&mut self, allowed: u32, interval: u32, recovery: u32) -> Result<(), Error> {
        let auth = self.hierarchy_auth(Hierarchy::Lockout);
        let parameters = Writer::default().u32(allowed).u32(interval).u32(recovery);
        let command = Command::new(code::DICTIONARY_ATTACK_PARAMETERS);
        let command = command.authorized(&Hierarchy::Lockout.entity(), auth);
        self.run(&command.parameters(parameters))?;
        Ok(())
    }
}
