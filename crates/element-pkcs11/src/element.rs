//! What every element can do, on a token.

use crate::create::{self, Wanted};
use crate::encoding;
use crate::object::{self, Key, OLD};
use crate::offers::{Calls, Input};
use crate::refusal::Fault;
use crate::token::{Token, Work, present};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::{Session, UserType};
use touchstone_crypto::{SignatureAlgorithm, ecdsa};
use touchstone_element::{
    About, Agreeing, Capabilities, Certificates, Decrypting, Element, Error, Importing, KeySpec,
    KeyUse, Macs, NamedKey, PublicKey, Secret, check_name,
};

impl Element for Token {
    fn about(&mut self) -> Result<About, Error> {
        self.run(Work::Repeatable, |session| Ok(session.get_session_info().map(drop)?))?;
        let known = self.known().ok_or(Error::Removed)?;
        Ok(About {
            kind: "pkcs11",
            manufacturer: known.manufacturer.clone(),
            model: known.model.clone(),
            serial: known.serial.clone(),
            firmware: known.firmware.clone(),
        })
    }

    fn capabilities(&mut self) -> Result<Capabilities, Error> {
        let random = self.known().is_some_and(|known| known.random);
        Ok(self.offers.capabilities(random))
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), Error> {
        // Modules are made for nonces: a page at a time.
        for page in out.chunks_mut(256) {
            let len = u32::try_from(page.len()).map_err(|_| Error::TooLarge { limit: 256 })?;
            let drawn =
                self.run(Work::Repeatable, |session| Ok(session.generate_random_vec(len)?))?;
            page.copy_from_slice(Secret::new(drawn).expose());
        }
        Ok(())
    }

    fn create_key(&mut self, name: &str, spec: &KeySpec) -> Result<PublicKey, Error> {
        check_name(name)?;
        if spec.pcrs.is_some() {
            return Err(Error::Unsupported("keys bound to registers: a token has none"));
        }
        let mechanism = self
            .offers
            .generator(spec.algorithm)
            .filter(|_| self.offers.uses(spec.algorithm).contains(&spec.key_use))
            .ok_or(Error::Unsupported("keys of this algorithm for this use"))?;
        let wanted = Wanted { name, key_use: spec.key_use, algorithm: spec.algorithm };
        self.run(Work::Once, |session| create::create(session, &wanted, &mechanism))
    }

    fn public_key(&mut self, name: &str) -> Result<Option<PublicKey>, Error> {
        check_name(name)?;
        let found = self.run(Work::Repeatable, |session| match object::find(session, name)? {
            Some(key) => object::public(session, &key),
            None => Ok(None),
        })?;
        if found.is_none() {
            self.stand_by_absence()?;
        }
        Ok(found)
    }

    fn keys(&mut self) -> Result<Vec<NamedKey>, Error> {
        let keys = self.run(Work::Repeatable, |session| {
            let mut keys = Vec::new();
            for (name, key) in object::named(session)? {
                if let Some(public) = object::public(session, &key)? {
                    keys.push(NamedKey { name, public });
                }
            }
            Ok(keys)
        })?;
        if keys.is_empty() {
            self.stand_by_absence()?;
        }
        Ok(keys)
    }

    fn rename_key(&mut self, name: &str, to: &str) -> Result<(), Error> {
        check_name(name)?;
        check_name(to)?;
        self.run(Work::Once, |session| rename(session, name, to))
    }

    fn delete_key(&mut self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        self.run(Work::Once, |session| {
            // A power cut in a renewal may have left the one that was replaced.
            for _ in 0..2 {
                let Some(key) = object::find(session, name)? else { break };
                create::delete(session, &key)?;
            }
            Ok(())
        })?;
        self.stand_by_absence()
    }

    fn sign(
        &mut self,
        name: &str,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (key, made) = self.with_key(name, KeyUse::Sign, "a key that signs", |token, key| {
            if !key.algorithm.signatures().contains(&algorithm) {
                let needed = "a key for this signature algorithm";
                return Err(Error::WrongKind { name: name.to_owned(), needed });
            }
            let (mechanism, input) = token
                .offers
                .signer(algorithm, if key.asks_each_time { Calls::Several } else { Calls::One })
                .ok_or(Error::Unsupported("this signature algorithm on this token"))?;
            let input = token.prepare(input, message)?;
            let pin = if key.asks_each_time { Some(token.authenticate()?) } else { None };
            Ok((mechanism, input, pin))
        })?;
        let (mechanism, input, pin) = made;
        let signature = self.run(Work::Repeatable, |session| {
            let key = object::known(session, name)?;
            match &pin {
                None => Ok(session.sign(&mechanism, key.handle, &input)?),
                Some(pin) => sign_asked(session, &mechanism, &key, &input, pin.as_ref()),
            }
        })?;
        // PKCS#11 3.0 §2.3.1: r and s side by side, where X.509 has DER.
        let ecdsa = encoding::is_ecdsa(key.algorithm);
        if !ecdsa {
            return Ok(signature);
        }
        if signature.len() != 2 * encoding::field_len(key.algorithm) {
            return Err(Error::Malformed(
                "an ECDSA signature of another length than its curve has",
            ));
        }
        ecdsa::fixed_to_der(&signature).map_err(Error::Crypto)
    }

    fn importing(&mut self) -> Option<&mut dyn Importing> {
        let random = self.known().is_some_and(|known| known.random);
        if self.offers.capabilities(random).keys.is_empty() { None } else { Some(self) }
    }

    fn decrypting(&mut self) -> Option<&mut dyn Decrypting> {
        if self.makes(KeyUse::Decrypt) { Some(self) } else { None }
    }

    fn agreeing(&mut self) -> Option<&mut dyn Agreeing> {
        if self.makes(KeyUse::Agree) { Some(self) } else { None }
    }

    fn macs(&mut self) -> Option<&mut dyn Macs> {
        if self.makes(KeyUse::Mac) { Some(self) } else { None }
    }

    fn certificates(&mut self) -> Option<&mut dyn Certificates> {
        Some(self)
    }
}

impl Token {
    fn makes(&self, key_use: KeyUse) -> bool {
        let random = self.known().is_some_and(|known| known.random);
        self.offers.capabilities(random).keys.iter().any(|(_, uses)| uses.contains(&key_use))
    }

    /// Finds a key, refuses it for another use than its own, and prepares what to do with it.
    pub(crate) fn with_key<T>(
        &mut self,
        name: &str,
        key_use: KeyUse,
        needed: &'static str,
        prepare: impl FnOnce(&Self, &Key) -> Result<T, Error>,
    ) -> Result<(Key, T), Error> {
        check_name(name)?;
        let found = self.run(Work::Repeatable, |session| object::find(session, name))?;
        let Some(key) = found else {
            self.stand_by_absence()?;
            return Err(Error::UnknownKey(name.to_owned()));
        };
        if !key.uses.contains(&key_use) {
            return Err(Error::WrongKind { name: name.to_owned(), needed });
        }
        let prepared = prepare(self, &key)?;
        Ok((key, prepared))
    }

    /// Nothing found is only an answer while the token is there: some modules show an empty one in
    /// place of one that is away.
    pub(crate) fn stand_by_absence(&self) -> Result<(), Error> {
        if self.is_present()? { Ok(()) } else { Err(Error::Removed) }
    }

    fn prepare(&self, input: Input, message: &[u8]) -> Result<Vec<u8>, Error> {
        match input {
            Input::Message => Ok(message.to_vec()),
            Input::Digest(hash) => Ok(self.crypto().hash(hash, &[message]).as_bytes().to_vec()),
            Input::DigestInfo(hash) => {
                encoding::digest_info(hash, self.crypto().hash(hash, &[message]).as_bytes())
            }
        }
    }
}

/// Signs with a key that wants the PIN for each signature (`CKA_ALWAYS_AUTHENTICATE`).
fn sign_asked(
    session: &Session,
    mechanism: &Mechanism<'_>,
    key: &Key,
    input: &[u8],
    pin: Option<&Secret>,
) -> Result<Vec<u8>, Fault> {
    session.sign_init(mechanism, key.handle)?;
    present(session, UserType::ContextSpecific, pin)?;
    session.sign_update(input)?;
    Ok(session.sign_final()?)
}

/// One label changes hands at a time, and the one that counts is the private key's: see
/// [`object`] on `~old`.
fn rename(session: &Session, name: &str, to: &str) -> Result<(), Fault> {
    let key = object::known(session, name)?;
    if name == to {
        return Ok(());
    }
    let label = |label: &str| [Attribute::Label(label.into())];
    // By its id a key can be renamed to the label that it has.
    let replaced = object::find(session, to)?.filter(|other| other.handle != key.handle);
    // Before any label changes hands: it may be all that links them.
    let belongings = object::belongings(session, &key)?;
    let leftover = match &replaced {
        Some(old) => object::belongings(session, old)?,
        None => Vec::new(),
    };
    if let Some(old) = &replaced {
        session.update_attributes(old.handle, &label(&format!("{to}{OLD}")))?;
    }
    session.update_attributes(key.handle, &label(to))?;
    for gone in replaced.into_iter().map(|old| old.handle).chain(leftover) {
        session.destroy_object(gone)?;
    }
    for belonging in belongings {
        session.update_attributes(belonging, &label(to))?;
    }
    Ok(())
}
