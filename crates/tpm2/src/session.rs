//! Sessions: who holds one shares a key with the TPM, and nobody between reads or changes what they
//! protect (TPM 2.0 Part 1 §19.6, §21).
//!
//! The conversation keeps their state, so that a caller cannot get a nonce wrong; what a caller
//! holds is a [`SessionId`].
//!
//! What this is not: proof that the other end is a TPM at all; that is what the endorsement key's
//! certificate is for.

mod audit;
mod plan;

pub use audit::Stated;
pub(crate) use plan::Plan;

use crate::auth::AuthValue;
use crate::code;
use crate::command::Command;
use crate::handle::{Entity, Hierarchy};
use crate::kdf::{self, Octets};
use crate::marshal::{Reader, Writer};
use crate::object::Object;
use crate::policy::Unsatisfied;
use crate::public::{ALG_AES, ALG_CFB, ALG_NULL, ALG_OAEP, Key, Public};
use crate::tpm::Tpm;
use crate::{Error, response_code};
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::{Digest, HashAlgorithm, TpmCrypto};
use zeroize::Zeroizing;

/// `TPMA_SESSION` (Part 2 §8.4).
pub(crate) mod attributes {
    pub(crate) const CONTINUE: u8 = 1;
    pub(crate) const DECRYPT: u8 = 1 << 5;
    pub(crate) const ENCRYPT: u8 = 1 << 6;
    pub(crate) const AUDIT: u8 = 1 << 7;
}

/// A session of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId {
    handle: u32,
    /// Tells it from an earlier one at the same handle.
    number: u32,
}

impl SessionId {
    /// As a command's handle.
    pub fn entity(self) -> Entity {
        Entity::fixed(self.handle)
    }
}

/// What a session is for, `TPM_SE` (Part 2 §6.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// Proves knowledge of authorization values, protects parameters, audits.
    Hmac,
    /// Earns a policy.
    Policy,
    /// Computes a policy's digest and authorizes nothing.
    Trial,
}

impl SessionKind {
    const fn number(self) -> u8 {
        match self {
            Self::Hmac => 0,
            Self::Policy => 1,
            Self::Trial => 3,
        }
    }
}

/// What a new session shall be.
#[derive(Clone, Debug)]
pub struct NewSession<'a> {
    kind: SessionKind,
    hash: HashAlgorithm,
    key_bits: Option<u16>,
    salt: Salt<'a>,
    bind: Option<(&'a Entity, &'a AuthValue)>,
}

#[derive(Clone, Copy, Debug)]
enum Salt<'a> {
    None,
    /// To the key that the conversation trusts.
    Own,
    To(&'a Object),
}

impl<'a> NewSession<'a> {
    /// An HMAC session with SHA-256 and AES-128, salted to the conversation's own key.
    pub const fn hmac() -> Self {
        Self {
            kind: SessionKind::Hmac,
            hash: HashAlgorithm::Sha256,
            key_bits: Some(128),
            salt: Salt::Own,
            bind: None,
        }
    }

    /// A policy session, unsalted: its authorization is what it earned, not a key.
    pub const fn policy(hash: HashAlgorithm) -> Self {
        Self { kind: SessionKind::Policy, hash, key_bits: None, salt: Salt::None, bind: None }
    }

    /// A trial session.
    pub const fn trial(hash: HashAlgorithm) -> Self {
        Self { kind: SessionKind::Trial, hash, key_bits: None, salt: Salt::None, bind: None }
    }

    /// With another hash algorithm.
    #[must_use]
    pub const fn hash(mut self, hash: HashAlgorithm) -> Self {
        self.hash = hash;
        self
    }

    /// Parameters are encrypted with AES of so many bits, in CFB mode.
    #[must_use]
    pub const fn aes(mut self, bits: u16) -> Self {
        self.key_bits = Some(bits);
        self
    }

    /// Salted to the conversation's own key (Part 1 §19.6.13).
    #[must_use]
    pub const fn salted(mut self) -> Self {
        self.salt = Salt::Own;
        self
    }

    /// Salted to this loaded decryption key, RSA or elliptic-curve.
    #[must_use]
    pub const fn salted_to(mut self, key: &'a Object) -> Self {
        self.salt = Salt::To(key);
        self
    }

    /// Without a salt: who records the session and knows, or guesses, the values in it reads all.
    #[must_use]
    pub const fn dangerous_unsalted(mut self) -> Self {
        self.salt = Salt::None;
        self
    }

    /// Bound to an entity by its authorization value (Part 1 §19.6.11).
    #[must_use]
    pub const fn bound_to(mut self, entity: &'a Entity, value: &'a AuthValue) -> Self {
        self.bind = Some((entity, value));
        self
    }
}

/// How a policy session wants the entity's value with its next use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Nothing,
    /// In the HMAC's key (`PolicyAuthValue`).
    Value,
    /// In the clear (`PolicyPassword`).
    Password,
}

/// A session's state.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) kind: SessionKind,
    pub(crate) hash: HashAlgorithm,
    pub(crate) key: Octets,
    pub(crate) key_bits: Option<u16>,
    pub(crate) salted: bool,
    pub(crate) nonce_tpm: Vec<u8>,
    /// The bound entity's name, and its value at that time.
    bound: Option<(Vec<u8>, AuthValue)>,
    pub(crate) asks: Asks,
    /// What its policy binds the next use to, which the TPM checks only then.
    pub(crate) binds: Option<Unsatisfied>,
    /// What was counted so far, once it audits.
    pub(crate) audit: Option<Digest>,
    /// Started by the conversation for its own use.
    pub(crate) pooled: bool,
}

impl Session {
    /// The HMAC's key when the session authorizes `entity`, or nothing (Part 1 §19.6.5).
    pub(crate) fn hmac_key(&self, entity: Option<&Entity>, value: &AuthValue) -> Octets {
        let counts = match (self.kind, entity) {
            (_, None) | (SessionKind::Trial, _) => false,
            (SessionKind::Policy, _) => self.asks == Asks::Value,
            (SessionKind::Hmac, Some(entity)) => {
                !self.bound.as_ref().is_some_and(|(name, bound)| {
                    *name == entity.name && bound.expose() == value.expose()
                })
            }
        };
        let mut key = self.key.clone();
        if counts {
            key.extend_from_slice(value.expose());
        }
        key
    }

    /// The first parameter, a sized buffer, in place (Part 1 §21.3). Its size stays readable.
    pub(crate) fn cipher(
        &self,
        crypto: &dyn TpmCrypto,
        extra: &AuthValue,
        parameters: &mut [u8],
        (newer, older): (&[u8], &[u8]),
        direction: touchstone_crypto::Direction,
    ) -> Result<(), Error> {
        let bits = self.key_bits.ok_or(Error::BadInput("the session has no cipher"))?;
        let key_len = usize::from(bits) / 8;
        let len = Reader::new(parameters).sized()?.len();
        let data = parameters
            .get_mut(2..2 + len)
            .ok_or(Error::Malformed("its first parameter is cut short"))?;
        let mut secret = self.key.clone();
        secret.extend_from_slice(extra.expose());
        let derived = kdf::kdfa(crypto, self.hash, &secret, b"CFB", newer, older, key_len + 16)?;
        let (key, iv) = derived.split_at_checked(key_len).unwrap_or_default();
        let iv = iv.try_into().map_err(|_| Error::BadInput("the session has no cipher"))?;
        Ok(crypto.aes_cfb(key, iv, data, direction)?)
    }
}

impl Tpm {
    /// Starts a session. It is there until [`end`](Self::end), or the conversation's end.
    pub fn start(&mut self, new: &NewSession<'_>) -> Result<SessionId, Error> {
        if let Salt::To(key) = new.salt {
            return self.start_salted(new, Some(key));
        }
        if let Salt::None = new.salt {
            return self.start_salted(new, None);
        }
        let key = self.salt_key()?;
        match self.start_salted(new, Some(&key)) {
            // The key went with a restart of the TPM, or somebody flushed it.
            Err(Error::Refused(refusal))
                if refusal.is(response_code::REFERENCE_H0)
                    || refusal.is(response_code::HANDLE)
                    || refusal.is(response_code::VALUE) =>
            {
                self.forget_salt_key();
                let key = self.salt_key()?;
                self.start_salted(new, Some(&key))
            }
            result => result,
        }
    }

    fn start_salted(
        &mut self,
        new: &NewSession<'_>,
        salt_key: Option<&Object>,
    ) -> Result<SessionId, Error> {
        let crypto = self.crypto;
        let (salt, encrypted) = match salt_key {
            Some(key) => secret_for(crypto, &key.public, b"SECRET")?,
            None => Default::default(),
        };
        let mut nonce = vec![0; new.hash.len()];
        crypto.random(&mut nonce)?;
        let mut parameters =
            Writer::default().sized(&nonce)?.sized(&encrypted)?.u8(new.kind.number());
        parameters = match new.key_bits {
            Some(bits) => parameters.u16(ALG_AES).u16(bits).u16(ALG_CFB),
            None => parameters.u16(ALG_NULL),
        };
        let null = Hierarchy::Null.entity();
        let answer = self.run(
            &Command::new(code::START_AUTH_SESSION)
                .handle(salt_key.map_or(&null, |key| &key.entity))
                .handle(new.bind.map_or(&null, |(entity, _)| entity))
                .parameters(parameters.u16(new.hash.tpm_id())),
        )?;
        let handle = answer.handle()?;
        let made = nonce_of(&answer.parameters).and_then(|nonce_tpm| {
            let mut secret: Octets = Zeroizing::default();
            if let Some((_, value)) = new.bind {
                secret.extend_from_slice(value.expose());
            }
            secret.extend_from_slice(&salt);
            let key = if salt_key.is_none() && new.bind.is_none() {
                Octets::default()
            } else {
                let len = new.hash.len();
                kdf::kdfa(crypto, new.hash, &secret, b"ATH", &nonce_tpm, &nonce, len)?
            };
            Ok((nonce_tpm, key))
        });
        let (nonce_tpm, key) = match made {
            Ok(made) => made,
            Err(error) => return self.flush(handle).and(Err(error)),
        };
        let id = SessionId { handle, number: self.next_session_number() };
        self.sessions.push(Session {
            id,
            kind: new.kind,
            hash: new.hash,
            key,
            key_bits: new.key_bits,
            salted: salt_key.is_some(),
            nonce_tpm,
            bound: new.bind.map(|(entity, value)| (entity.name.clone(), value.clone())),
            asks: Asks::Nothing,
            binds: None,
            audit: None,
            pooled: false,
        });
        Ok(id)
    }

    /// Ends a session. Nothing happens when it has ended already.
    pub fn end(&mut self, session: SessionId) -> Result<(), Error> {
        let before = self.sessions.len();
        self.sessions.retain(|open| open.id != session);
        if self.sessions.len() == before { Ok(()) } else { self.flush(session.handle) }
    }

    /// Starts a session, lends it out and ends it, whatever came of it.
    pub fn with_session<T, E: From<Error>>(
        &mut self,
        new: &NewSession<'_>,
        serve: impl FnOnce(&mut Self, SessionId) -> Result<T, E>,
    ) -> Result<T, E> {
        let session = self.start(new)?;
        let served = serve(self, session);
        let ended = self.end(session);
        let served = served?;
        ended?;
        Ok(served)
    }

    /// A session's place among the open ones.
    pub(crate) fn place(&self, session: SessionId) -> Result<usize, Error> {
        self.sessions
            .iter()
            .position(|open| open.id == session)
            .ok_or(Error::BadInput("the session has ended; start another"))
    }

    /// A session.
    pub(crate) fn session(&self, session: SessionId) -> Result<&Session, Error> {
        let place = self.place(session)?;
        self.sessions.get(place).ok_or(Error::BadInput("the session has ended; start another"))
    }

    /// What a policy session binds its next use to.
    pub(crate) fn now_binds(
        &mut self,
        session: SessionId,
        binds: Option<Unsatisfied>,
    ) -> Result<(), Error> {
        let place = self.place(session)?;
        if let Some(open) = self.sessions.get_mut(place) {
            open.binds = binds;
        }
        Ok(())
    }

    /// What a policy session asks for from now on.
    pub(crate) fn now_asks(&mut self, session: SessionId, asks: Asks) -> Result<(), Error> {
        let place = self.place(session)?;
        if let Some(open) = self.sessions.get_mut(place) {
            open.asks = asks;
        }
        Ok(())
    }
}

fn nonce_of(parameters: &[u8]) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::new(parameters);
    let nonce = reader.sized()?.to_vec();
    reader.end()?;
    Ok(nonce)
}

/// A fresh secret, and the same as only `key` can read it: a salt, a seed for a credential or a
/// duplicate, as the label says (Part 1 Annex B.10, C.6).
pub(crate) fn secret_for(
    crypto: &dyn TpmCrypto,
    key: &Public,
    label: &[u8],
) -> Result<(Octets, Vec<u8>), Error> {
    let hash = key.name_algorithm;
    match &key.key {
        Key::Rsa { exponent, modulus, .. } => {
            let mut secret = Zeroizing::new(vec![0; hash.len()]);
            crypto.random(&mut secret)?;
            // Annex B.4: the label's terminating zero is part of it.
            let label = [label, &[0]].concat();
            let exponent = if *exponent == 0 { 65537 } else { *exponent };
            let hash = match key.scheme {
                Some((ALG_OAEP, scheme_hash)) => scheme_hash,
                _ => hash,
            };
            let encrypted = crypto.rsa_oaep(modulus, exponent, hash, &label, &secret)?;
            Ok((secret, encrypted))
        }
        Key::Ecc { curve, x, y } => {
            let (x, y) = (kdf::padded(x, curve.len())?, kdf::padded(y, curve.len())?);
            let agreed = crypto.agree(*curve, &x, &y)?;
            let secret = kdf::kdfe(crypto, hash, &agreed.z, label, &agreed.x, &x);
            let point = Writer::default().sized(&agreed.x)?.sized(&agreed.y)?.done();
            Ok((secret, point))
        }
        Key::KeyedHash { .. } | Key::Cipher { .. } => {
            Err(Error::BadInput("a secret can be encrypted to an RSA or elliptic-curve key only"))
        }
    }
}
