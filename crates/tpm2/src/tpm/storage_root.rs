//! The keys that a conversation keeps for itself: the storage root key, and what its sessions are
//! salted to.

use super::Tpm;
use super::trouble::lost_handle;
use crate::auth::Auth;
use crate::command::Command;
use crate::error::Slots;
use crate::handle::{HandleKind, Hierarchy};
use crate::object::{NewObject, Object};
use crate::public::attributes::{
    DECRYPT, FIXED_PARENT, FIXED_TPM, RESTRICTED, SENSITIVE_DATA_ORIGIN,
};
use crate::public::{Key, Public};
use crate::session::NewSession;
use crate::{Error, response_code, template};

/// Where the owner keeps the storage root key (TCG TPM v2.0 Provisioning Guidance §7.8).
const PERSISTENT: u32 = 0x8100_0001;

/// Whether only this TPM can open what is encrypted to the key.
fn is_salt_key(public: &Public) -> bool {
    let needed = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | RESTRICTED | DECRYPT;
    public.attributes & needed == needed && matches!(public.key, Key::Rsa { .. } | Key::Ecc { .. })
}

impl Tpm {
    /// The storage root key, made once and kept loaded: the one on P-256 that TSS2 key files mean
    /// by the owner's hierarchy.
    pub fn srk(&mut self) -> Result<Object, Error> {
        if let Some(srk) = &self.srk {
            return Ok(srk.clone());
        }
        let srk = self.first_key(Hierarchy::Owner, &template::key_file_parent(false))?;
        self.srk = Some(srk.clone());
        Ok(srk)
    }

    /// Unloads the storage root key until it is asked for again: room for one more object.
    pub fn unload_srk(&mut self) -> Result<(), Error> {
        match self.srk.take() {
            Some(srk) => self.flush(srk.entity.handle),
            None => Ok(()),
        }
    }

    /// From now on sessions of our own are salted to this loaded decryption key. An endorsement key
    /// whose certificate was checked leaves nobody on the bus a way to pose as the TPM; the storage
    /// root key, which is used else, is believed as it was read.
    pub fn salt_to(&mut self, key: &Object) -> Result<(), Error> {
        self.end_own_sessions()?;
        self.salt = Some((key.clone(), false));
        Ok(())
    }

    /// The key that sessions of our own are salted to.
    pub(crate) fn salt_key(&mut self) -> Result<Object, Error> {
        if let Some((key, _)) = &self.salt {
            return Ok(key.clone());
        }
        if let Some(srk) = &self.srk {
            return Ok(srk.clone());
        }
        match self.read_public(PERSISTENT) {
            Ok(kept) if is_salt_key(&kept.public) => {
                self.salt = Some((kept.clone(), true));
                return Ok(kept);
            }
            // Nothing is there, or something else.
            Ok(_) | Err(Error::Refused(_) | Error::Unsupported(_)) => {}
            Err(error) => return Err(error),
        }
        let refusal = match self.srk() {
            Err(Error::WrongAuthorization { refusal, .. } | Error::Refused(refusal)) => refusal,
            result => return result,
        };
        let closed = [response_code::BAD_AUTH, response_code::AUTH_FAIL, response_code::HIERARCHY];
        if !closed.iter().any(|code| refusal.is(*code)) {
            return Err(Error::Refused(refusal));
        }
        // The owner's hierarchy is not ours to use. This one is everybody's.
        let key = self.first_key(Hierarchy::Null, &template::srk())?;
        self.salt = Some((key.clone(), true));
        Ok(key)
    }

    /// Forgets a key of ours that the TPM has lost.
    pub(crate) fn forget_salt_key(&mut self) {
        let salt = self.salt.take_if(|(_, own)| *own).map(|(key, _)| key);
        for key in [salt, self.srk.take()].into_iter().flatten() {
            self.loaded.retain(|handle| *handle != key.entity.handle);
        }
    }

    /// Makes a key before there is a session to protect anything: the hierarchy's value stays
    /// secret all the same, for an unsalted session proves it.
    fn first_key(&mut self, hierarchy: Hierarchy, template: &Public) -> Result<Object, Error> {
        let auth = self.hierarchy_auth(hierarchy);
        let new = NewObject::new(template.clone());
        if auth.own().is_empty() || self.is_plain() {
            return self.create_primary(hierarchy, auth, &new).map(|(key, _)| key);
        }
        let value = auth.own().clone();
        self.with_session(&NewSession::hmac().dangerous_unsalted(), |tpm, session| {
            let auth = Auth::Session(session, value);
            tpm.create_primary(hierarchy, auth, &new).map(|(key, _)| key)
        })
    }

    /// Gives up what the conversation keeps for speed alone when the TPM is full of it: its own keys
    /// and idle sessions. Whether there was something to give up.
    pub(super) fn make_room(&mut self, command: &Command, error: Error) -> Result<bool, Error> {
        let Error::Exhausted(slots) = error else { return Ok(false) };
        if slots != Slots::Sessions
            && let Some(srk) = self.srk.clone()
            && !command.handles.contains(&srk.entity)
        {
            self.flush(srk.entity.handle)?;
            return Ok(true);
        }
        if slots != Slots::Sessions
            && let Some((key, true)) = self.salt.clone()
            && key.entity.kind() == HandleKind::Transient
        {
            // What is open already needs it no more.
            self.flush(key.entity.handle)?;
            return Ok(true);
        }
        let own = self.sessions.iter().any(|session| session.pooled);
        if slots == Slots::Sessions && own {
            self.end_own_sessions()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The same command once more, when all that was wrong is that the storage root key we made is
    /// not loaded any more: the TPM started again, or somebody flushed it.
    pub(super) fn with_new_srk(
        &mut self,
        command: &Command,
        error: Error,
    ) -> Result<Command, Error> {
        let Error::Refused(refusal) = error else { return Err(error) };
        let Some(known) = self.srk.clone() else { return Err(error) };
        let lost = lost_handle(refusal.response).and_then(|index| command.handles.get(index));
        let Some(lost) = lost.filter(|lost| lost.name == known.entity.name) else {
            return Err(error);
        };
        // Else the caller holds on to where it was before.
        if lost.handle == known.entity.handle {
            self.forget_salt_key();
        }
        let srk = self.srk()?;
        if srk.entity.name != known.entity.name {
            return Err(error);
        }
        let mut command = command.clone();
        for entity in command.handles.iter_mut().filter(|entity| entity.name == srk.entity.name) {
            entity.handle = srk.entity.handle;
        }
        Ok(command)
    }
}
