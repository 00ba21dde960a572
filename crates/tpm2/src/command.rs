//! Commands as they go to the TPM (TPM 2.0 Part 1 §18, Part 3).

use crate::auth::{Auth, AuthValue};
use crate::code::Code;
use crate::handle::Entity;
use crate::kdf::Octets;
use crate::marshal::Writer;
use crate::session::SessionId;
use crate::{Error, MAX_MESSAGE};
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use zeroize::Zeroizing;

const ST_NO_SESSIONS: u16 = 0x8001;
const ST_SESSIONS: u16 = 0x8002;

/// A command before it is sent.
///
/// ```
/// use touchstone_tpm2::{Auth, Command, Entity, code};
/// use touchstone_tpm2::marshal::Writer;
///
/// let reset = Command::new(code::PCR_RESET).authorized(&Entity::pcr(16), Auth::empty());
/// let random = Command::new(code::GET_RANDOM).parameters(Writer::default().u16(32));
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) code: Code,
    pub(crate) handles: Vec<Entity>,
    pub(crate) auths: Vec<Auth>,
    pub(crate) parameters: Octets,
    pub(crate) audit: Option<SessionId>,
    pub(crate) new_value: Option<AuthValue>,
    pub(crate) secret: bool,
}

impl Command {
    /// A command without handles and parameters.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            handles: Vec::new(),
            auths: Vec::new(),
            parameters: Zeroizing::default(),
            audit: None,
            new_value: None,
            secret: true,
        }
    }

    /// The next handle, and what authorizes its use. These come before the other handles.
    #[must_use]
    pub fn authorized(mut self, entity: &Entity, auth: Auth) -> Self {
        self.handles.push(entity.clone());
        self.auths.push(auth);
        self
    }

    /// The next handle, whose use needs no authorization.
    #[must_use]
    pub fn handle(mut self, entity: &Entity) -> Self {
        self.handles.push(entity.clone());
        self
    }

    /// The parameters.
    #[must_use]
    pub fn parameters(mut self, parameters: Writer) -> Self {
        self.parameters = Zeroizing::new(parameters.done());
        self
    }

    /// Counts the command and its response into a session's audit digest (Part 1 §19.8).
    #[must_use]
    pub fn audited(mut self, session: SessionId) -> Self {
        self.audit = Some(session);
        self
    }

    /// States that its parameters hold no secret although those of this command can (the
    /// certificate in an index, the creation of a key without value), so that no session is spent
    /// on them.
    #[must_use]
    pub const fn nothing_secret(mut self) -> Self {
        self.secret = false;
        self
    }

    /// Takes [`nothing_secret`](Self::nothing_secret) back: nobody on the way shall change it either.
    #[must_use]
    pub const fn protected(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The first handle's authorization value once the command is carried out: the response is
    /// authenticated with it.
    #[must_use]
    pub fn changes_value_to(mut self, value: AuthValue) -> Self {
        self.new_value = Some(value);
        self
    }

    pub(crate) const fn sends_secret(&self) -> bool {
        self.secret && self.code.sends_secret
    }

    pub(crate) const fn receives_secret(&self) -> bool {
        self.secret && self.code.receives_secret
    }

    /// The octets to send, `area` being the sessions.
    pub(crate) fn encode(&self, area: &[u8]) -> Result<Octets, Error> {
        let framed = if area.is_empty() { 0 } else { area.len() + 4 };
        let size = 10 + 4 * self.handles.len() + framed + self.parameters.len();
        let fits = u32::try_from(size).ok().filter(|_| size <= MAX_MESSAGE);
        let size = fits.ok_or(Error::BadInput("the command is larger than a TPM takes"))?;
        let tag = if area.is_empty() { ST_NO_SESSIONS } else { ST_SESSIONS };
        let mut writer = Writer::default().u16(tag).u32(size).u32(self.code.number);
        for entity in &self.handles {
            writer = writer.u32(entity.handle);
        }
        if !area.is_empty() {
            let len = u32::try_from(area.len()).unwrap_or(u32::MAX);
            writer = writer.u32(len).octets(area);
        }
        Ok(Zeroizing::new(writer.octets(&self.parameters).done()))
    }

    /// `cpHash` (Part 1 §16.7): what a session's HMAC, and `PolicyCpHash`, bind a command by.
    pub fn parameter_hash(&self, crypto: &dyn Crypto, hash: HashAlgorithm) -> Digest {
        let code = self.code.number.to_be_bytes();
        let mut parts: Vec<&[u8]> = Vec::with_capacity(self.handles.len() + 2);
        parts.push(&code);
        parts.extend(self.handles.iter().map(|entity| entity.name.as_slice()));
        parts.push(&self.parameters);
        crypto.hash(hash, &parts)
    }

    /// What `PolicyNameHash` binds a command by (Part 3 §23.13): the names of its handles.
    pub fn name_hash(&self, crypto: &dyn Crypto, hash: HashAlgorithm) -> Digest {
        let parts: Vec<&[u8]> = self.handles.iter().map(|entity| entity.name.as_slice()).collect();
        crypto.hash(hash, &parts)
    }
}

/// A response that was good: the handle of what was made, and the parameters.
#[derive(Clone)]
pub struct Answer {
    pub(crate) handle: Option<u32>,
    /// The parameters, decrypted where they were encrypted.
    pub parameters: Octets,
}

impl Answer {
    /// The handle of what was made.
    pub fn handle(&self) -> Result<u32, Error> {
        self.handle.ok_or(Error::Malformed("its handle is missing"))
    }
}

impl core::fmt::Debug for Answer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Answer").field("handle", &self.handle).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;
    use crate::handle::Hierarchy;
    use alloc::vec;

    #[test]
    fn a_command_is_framed_as_part_1_says() {
        let command = Command::new(code::CREATE_PRIMARY)
            .authorized(&Hierarchy::Owner.entity(), Auth::empty())
            .parameters(Writer::default().octets(&[0xAA, 0xBB]));
        let area = Writer::default().u32(0x4000_0009).u16(0).u8(1).u16(0).done();
        assert_eq!(
            command.encode(&area).unwrap()[..],
            [
                0x80, 0x02, 0, 0, 0, 29, 0, 0, 0x01, 0x31, 0x40, 0, 0, 1, 0, 0, 0, 9, 0x40, 0, 0,
                9, 0, 0, 1, 0, 0, 0xAA, 0xBB
            ]
        );
    }

    #[test]
    fn a_command_that_no_tpm_takes_is_not_sent() {
        let parameters = Writer::default().octets(&vec![0; 4087]);
        let command = Command::new(code::HASH).parameters(parameters);
        assert!(matches!(command.encode(&[]), Err(Error::BadInput(_))));
    }
}
