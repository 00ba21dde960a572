//! The steps by which a policy session earns its digest, one command each.

use crate::Error;
use crate::code::{self, Code};
use crate::command::Command;
use crate::handle::Hierarchy;
use crate::marshal::{Reader, Writer};
use crate::session::{Asks, SessionId};
use crate::tpm::Tpm;
use alloc::vec::Vec;
use touchstone_crypto::Digest;

/// A command whose only handle is the session.
pub(crate) fn on(code: Code, session: SessionId) -> Command {
    Command::new(code).handle(&session.entity())
}

impl Tpm {
    /// `PolicySecret` of a hierarchy, without expiry.
    pub fn policy_secret(&mut self, session: SessionId, hierarchy: Hierarchy) -> Result<(), Error> {
        let auth = self.hierarchy_auth(hierarchy);
        self.run(&super::run::secret(&hierarchy.entity(), auth, session, &[])?)?;
        Ok(())
    }

    /// `PolicyAuthValue`: the session's next use proves the entity's value.
    pub fn policy_auth_value(&mut self, session: SessionId) -> Result<(), Error> {
        self.run(&on(code::POLICY_AUTH_VALUE, session))?;
        self.now_asks(session, Asks::Value)
    }

    /// `PolicyPassword`: the session's next use shows the entity's value to who listens on the bus.
    /// The digest is that of `PolicyAuthValue`, which shows nothing.
    pub fn dangerous_policy_password(&mut self, session: SessionId) -> Result<(), Error> {
        self.run(&on(code::POLICY_PASSWORD, session))?;
        self.now_asks(session, Asks::Password)
    }

    /// `PolicyCommandCode`.
    pub fn policy_command(&mut self, session: SessionId, command: Code) -> Result<(), Error> {
        let parameters = Writer::default().u32(command.number);
        self.run(&on(code::POLICY_COMMAND_CODE, session).parameters(parameters))?;
        Ok(())
    }

    /// `PolicyOR`.
    pub fn policy_or(&mut self, session: SessionId, branches: &[Vec<u8>]) -> Result<(), Error> {
        let count = u32::try_from(branches.len())
            .map_err(|_| Error::BadInput("a policy has too many branches"))?;
        let parameters = branches
            .iter()
            .try_fold(Writer::default().u32(count), |writer, branch| writer.sized(branch))?;
        self.run(&on(code::POLICY_OR, session).parameters(parameters))?;
        Ok(())
    }

    /// `PolicyRestart`: the session has earned nothing.
    pub fn policy_restart(&mut self, session: SessionId) -> Result<(), Error> {
        self.run(&on(code::POLICY_RESTART, session))?;
        self.now_asks(session, Asks::Nothing)?;
        self.now_binds(session, None)
    }

    /// `PolicyGetDigest`: what the session has earned.
    pub fn policy_digest(&mut self, session: SessionId) -> Result<Digest, Error> {
        let hash = self.session(session)?.hash;
        let answer = self.run(&on(code::POLICY_GET_DIGEST, session))?;
        let mut reader = Reader::new(&answer.parameters);
        let digest = reader.sized()?;
        reader.end()?;
        Digest::new(hash, digest).ok_or(Error::Malformed("the digest has not its hash's length"))
    }
}
