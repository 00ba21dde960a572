//! Which sessions go with a command, what each proves, and what their response has to prove.

use super::attributes::{AUDIT, CONTINUE, DECRYPT, ENCRYPT};
use super::{Asks, Session, SessionKind};
use crate::Error;
use crate::auth::{Auth, AuthValue};
use crate::command::Command;
use crate::handle::Entity;
use crate::kdf::{self, Octets};
use crate::marshal::Writer;
use crate::response::SessionResponse;
use crate::tpm::Tpm;
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::{Digest, Direction, HashAlgorithm, TpmCrypto};
use zeroize::Zeroizing;

const RS_PW: u32 = 0x4000_0009;
/// A command takes three sessions at most (Part 1 §18.6.2).
const MAX_SESSIONS: usize = 3;

/// One session's part in one command.
pub(crate) struct Slot {
    /// Which of the open sessions; none for a password.
    pub(crate) place: Option<usize>,
    /// What it authorizes, by its place among the handles.
    pub(crate) authorizes: Option<usize>,
    value: AuthValue,
    attributes: u8,
    nonce: Vec<u8>,
}

/// All sessions of one command.
pub(crate) struct Plan {
    pub(crate) slots: Vec<Slot>,
    /// Which slot encrypts.
    cipher: Option<usize>,
}

impl Tpm {
    /// Chooses the sessions of a command, starting those that are missing.
    pub(crate) fn plan(&mut self, command: &Command) -> Result<Plan, Error> {
        let mut slots = Vec::new();
        let mut own = 0;
        for (index, auth) in command.auths.iter().enumerate() {
            let place = match auth {
                Auth::Value(value) if value.is_empty() || self.is_plain() => None,
                Auth::Value(_) => {
                    own += 1;
                    Some(self.own_session(own - 1)?)
                }
                Auth::Session(session, _) | Auth::Policy(session, _) => Some(self.place(*session)?),
            };
            slots.push(Slot::new(place, Some(index), auth.own().clone()));
        }
        if let Some(audit) = command.audit {
            let place = self.place(audit)?;
            let found = slots.iter_mut().find(|slot| slot.place == Some(place));
            if let Some(slot) = found {
                slot.attributes |= AUDIT;
            } else {
                let mut slot = Slot::new(Some(place), None, AuthValue::default());
                slot.attributes |= AUDIT;
                slots.push(slot);
            }
        }
        let cipher = self.cipher_slot(command, &mut slots, own)?;
        if slots.len() > MAX_SESSIONS {
            return Err(Error::BadInput("the command needs more than three sessions"));
        }
        for slot in &mut slots {
            if let Some(session) = slot.place.and_then(|place| self.sessions.get(place)) {
                slot.nonce = vec![0; session.hash.len()];
                self.crypto.random(&mut slot.nonce)?;
            }
        }
        Ok(Plan { slots, cipher })
    }

    /// The session that encrypts: one that is there anyway, else another of our own.
    fn cipher_slot(
        &mut self,
        command: &Command,
        slots: &mut Vec<Slot>,
        own: usize,
    ) -> Result<Option<usize>, Error> {
        if self.is_plain() || !(command.sends_secret() || command.receives_secret()) {
            return Ok(None);
        }
        let fit = slots.iter().position(|slot| {
            slot.place.and_then(|place| self.sessions.get(place)).is_some_and(|session| {
                session.kind == SessionKind::Hmac && session.salted && session.key_bits.is_some()
            })
        });
        let at = if let Some(at) = fit {
            at
        } else {
            let place = self.own_session(own)?;
            slots.push(Slot::new(Some(place), None, AuthValue::default()));
            slots.len() - 1
        };
        if let Some(slot) = slots.get_mut(at) {
            slot.attributes |= if command.sends_secret() { DECRYPT } else { 0 };
            slot.attributes |= if command.receives_secret() { ENCRYPT } else { 0 };
        }
        Ok(Some(at))
    }
}

impl Slot {
    const fn new(place: Option<usize>, authorizes: Option<usize>, value: AuthValue) -> Self {
        Self { place, authorizes, value, attributes: CONTINUE, nonce: Vec::new() }
    }

    fn session<'a>(&self, sessions: &'a [Session]) -> Option<&'a Session> {
        sessions.get(self.place?)
    }

    fn key(&self, session: &Session, command: &Command) -> Octets {
        let entity = self.authorizes.and_then(|index| command.handles.get(index));
        session.hmac_key(entity, &self.value)
    }
}

impl Plan {
    /// Encrypts the first parameter where a session does that.
    pub(crate) fn encrypt(
        &self,
        crypto: &dyn TpmCrypto,
        sessions: &[Session],
        command: &mut Command,
    ) -> Result<(), Error> {
        let Some((slot, session)) = self.cipher(sessions) else { return Ok(()) };
        if slot.attributes & DECRYPT == 0 {
            return Ok(());
        }
        let nonces = (slot.nonce.as_slice(), session.nonce_tpm.as_slice());
        let parameters = &mut command.parameters;
        session.cipher(crypto, &slot.value, parameters, nonces, Direction::Encrypt)
    }

    fn cipher<'a>(&'a self, sessions: &'a [Session]) -> Option<(&'a Slot, &'a Session)> {
        let slot = self.slots.get(self.cipher?)?;
        Some((slot, slot.session(sessions)?))
    }

    /// The authorization area (Part 1 §18.6).
    pub(crate) fn area(
        &self,
        crypto: &dyn TpmCrypto,
        sessions: &[Session],
        command: &Command,
    ) -> Result<Octets, Error> {
        let mut area = Writer::default();
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(session) = slot.session(sessions) else {
                area = area.u32(RS_PW).u16(0).u8(CONTINUE).sized(slot.value.expose())?;
                continue;
            };
            let proof = if session.asks == Asks::Password {
                Zeroizing::new(slot.value.expose().to_vec())
            } else {
                self.proof(crypto, sessions, command, index)?
            };
            area = area
                .u32(session.id.handle)
                .sized(&slot.nonce)?
                .u8(slot.attributes)
                .sized(&proof)?;
        }
        Ok(Zeroizing::new(area.done()))
    }

    /// A command's HMAC (Part 1 §19.6.5).
    fn proof(
        &self,
        crypto: &dyn TpmCrypto,
        sessions: &[Session],
        command: &Command,
        index: usize,
    ) -> Result<Octets, Error> {
        let Some(slot) = self.slots.get(index) else { return Ok(Octets::default()) };
        let Some(session) = slot.session(sessions) else { return Ok(Octets::default()) };
        let key = slot.key(session, command);
        if key.is_empty() && session.kind == SessionKind::Policy {
            return Ok(Octets::default());
        }
        // The session in front vouches for the one that encrypts, lest it is taken out.
        let other = self
            .cipher(sessions)
            .filter(|_| index == 0 && slot.authorizes.is_some() && self.cipher != Some(0))
            .map_or(&[][..], |(_, session)| &session.nonce_tpm);
        let hash = command.parameter_hash(crypto, session.hash);
        let parts = [hash.as_bytes(), &slot.nonce, &session.nonce_tpm, other, &[slot.attributes]];
        Ok(Zeroizing::new(crypto.hmac(session.hash, &key, &parts)?.as_bytes().to_vec()))
    }

    /// Checks what the sessions say of a response, and rolls their nonces. What is left encrypted
    /// is decrypted.
    pub(crate) fn settle(
        &self,
        crypto: &dyn TpmCrypto,
        sessions: &mut [Session],
        command: &Command,
        parameters: &mut [u8],
        responses: &[SessionResponse<'_>],
    ) -> Result<(), Error> {
        for (index, (slot, response)) in self.slots.iter().zip(responses).enumerate() {
            let Some(session) = slot.session(sessions) else { continue };
            if session.asks != Asks::Password {
                slot.check(crypto, session, command, index, parameters, response)?;
            }
        }
        self.count(crypto, sessions, command, parameters);
        if let (Some((slot, session)), Some(response)) =
            (self.cipher(sessions), self.cipher.and_then(|at| responses.get(at)))
            && slot.attributes & ENCRYPT != 0
        {
            let nonces = (response.nonce, slot.nonce.as_slice());
            session.cipher(crypto, &slot.value, parameters, nonces, Direction::Decrypt)?;
        }
        for (slot, response) in self.slots.iter().zip(responses) {
            if let Some(session) = slot.place.and_then(|place| sessions.get_mut(place)) {
                session.nonce_tpm = response.nonce.to_vec();
                if slot.authorizes.is_some() {
                    // Part 1 §19.7.1: a policy is earned for one use.
                    session.asks = Asks::Nothing;
                    session.binds = None;
                }
            }
        }
        Ok(())
    }
}

impl Plan {
    /// Counts command and response, as they went over the wire, into the audit digest
    /// (Part 1 §19.8.5).
    fn count(
        &self,
        crypto: &dyn TpmCrypto,
        sessions: &mut [Session],
        command: &Command,
        parameters: &[u8],
    ) {
        for slot in self.slots.iter().filter(|slot| slot.attributes & AUDIT != 0) {
            let Some(session) = slot.place.and_then(|place| sessions.get_mut(place)) else {
                continue;
            };
            let sent = command.parameter_hash(crypto, session.hash);
            let received = response_hash(crypto, session.hash, command, parameters);
            let old = session.audit.unwrap_or(Digest::zero(session.hash));
            let parts = [old.as_bytes(), sent.as_bytes(), received.as_bytes()];
            session.audit = Some(crypto.hash(session.hash, &parts));
        }
    }
}

/// rpHash (Part 1 §16.8), where the response code is zero.
fn response_hash(
    crypto: &dyn TpmCrypto,
    hash: HashAlgorithm,
    command: &Command,
    parameters: &[u8],
) -> Digest {
    crypto.hash(hash, &[&[0; 4], &command.code.number.to_be_bytes(), parameters])
}

impl Slot {
    /// The response's HMAC (Part 1 §19.6.7).
    fn check(
        &self,
        crypto: &dyn TpmCrypto,
        session: &Session,
        command: &Command,
        index: usize,
        parameters: &[u8],
        response: &SessionResponse<'_>,
    ) -> Result<(), Error> {
        let key = match (&command.new_value, index) {
            (Some(value), 0) => {
                let entity = command.handles.first().cloned().unwrap_or_else(|| Entity::fixed(0));
                session.hmac_key(Some(&entity), value)
            }
            _ => self.key(session, command),
        };
        if key.is_empty() && session.kind == SessionKind::Policy {
            // Nobody shares a key, so nobody can prove anything.
            return Ok(());
        }
        let hash = response_hash(crypto, session.hash, command, parameters);
        let parts = [hash.as_bytes(), response.nonce, &self.nonce, &[response.attributes]];
        let hmac = crypto.hmac(session.hash, &key, &parts)?;
        if kdf::same(hmac.as_bytes(), response.hmac) { Ok(()) } else { Err(Error::Tampered) }
    }
}
