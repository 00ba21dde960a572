//! The laws: what every element is held to, whoever made it.
//!
//! An element's own tests call [`all`] with a way to open it and an independent implementation of
//! the algorithms, the [`Other`]. Each law panics, with words, where it is broken; a law about an
//! ability that the element does not claim is not run, and one that it claims cannot be skipped.
//! What this is not: a test of how well a key is protected.
//!
//! The element given is changed: keys, counters and values whose names begin with `law-` are made
//! and removed, and PCR 16 (the debug register) is extended. Do not run it on an element in use.
//!
//! ```no_run
//! use touchstone_element::{Element, laws};
//! # fn open_mine() -> Box<dyn Element> { unimplemented!() }
//! # fn provider() -> &'static dyn touchstone_crypto::TpmCrypto { unimplemented!() }
//!
//! laws::all(&mut || open_mine(), &laws::Other::new(provider()));
//! ```
#![allow(clippy::missing_panics_doc, reason = "a broken law panics: that is what this is for")]

mod kept;
mod keys;
mod state;
mod uses;

pub use kept::{certificates_stay, counters_only_rise, sealed_secrets_come_back, values_stay};
pub use keys::{imported_keys_work, keys_live_and_die, refusals_are_typed};
pub use state::{binding_is_honest, registers_extend, reports_are_made};

use crate::{Ability, Capabilities, Element, Error, KeyAlgorithm, KeyUse, MAX_NAME_LEN};
use std::fmt::Debug;
use touchstone_crypto::TpmCrypto;

/// Encapsulates to a key of that algorithm, given by its `SubjectPublicKeyInfo`: the ciphertext, and
/// the secret inside.
pub type Encapsulate<'a> = dyn Fn(KeyAlgorithm, &[u8]) -> (Vec<u8>, Vec<u8>) + 'a;

/// A fresh private key of that algorithm, PKCS#8 in DER, with its `SubjectPublicKeyInfo`.
pub type Generate<'a> = dyn Fn(KeyAlgorithm) -> (Vec<u8>, Vec<u8>) + 'a;

/// Opens the element under test anew, as after a restart. The one opened before is gone by then.
pub type Open<'a> = dyn FnMut() -> Box<dyn Element> + 'a;

/// An implementation that is not the element: the other end of each operation.
#[derive(Clone, Copy)]
pub struct Other<'a> {
    crypto: &'a dyn TpmCrypto,
    encapsulate: Option<&'a Encapsulate<'a>>,
    generate: Option<&'a Generate<'a>>,
}

impl<'a> Other<'a> {
    /// The other end for elements that neither decapsulate nor take keys from outside.
    pub const fn new(crypto: &'a dyn TpmCrypto) -> Self {
        Self { crypto, encapsulate: None, generate: None }
    }

    /// Also for elements that decapsulate.
    #[must_use]
    pub const fn encapsulating(mut self, encapsulate: &'a Encapsulate<'a>) -> Self {
        self.encapsulate = Some(encapsulate);
        self
    }

    /// Also for elements that take keys from outside: it is asked for keys of the algorithms that
    /// the element creates and that have a public part.
    #[must_use]
    pub const fn generating(mut self, generate: &'a Generate<'a>) -> Self {
        self.generate = Some(generate);
        self
    }
}

/// Every law, one after another.
pub fn all(open: &mut Open<'_>, other: &Other<'_>) {
    let mut element = open();
    let before = listed(element.as_mut());
    says_what_it_does(element.as_mut());
    random_octets_differ(element.as_mut());
    names_are_checked(element.as_mut());
    refusals_are_typed(element.as_mut());
    binding_is_honest(element.as_mut());
    registers_extend(element.as_mut(), other);
    drop(element);
    keys_live_and_die(open, other);
    reports_are_made(open().as_mut());
    imported_keys_work(open().as_mut(), other);
    sealed_secrets_come_back(open);
    counters_only_rise(open);
    values_stay(open);
    certificates_stay(open);
    assert_eq!(listed(open().as_mut()), before, "law: a deleted key is gone, the others stay");
}

/// What the element says it can do and what can be called agree.
pub fn says_what_it_does(element: &mut dyn Element) {
    let about = element.about().expect("law: an element says what it is");
    assert!(
        ["tpm2", "pkcs11", "software"].contains(&about.kind),
        "law: `{}` is no kind of element",
        about.kind
    );
    let can = capabilities(element);
    let abilities = element.abilities();
    let has = |ability| abilities.contains(&ability);
    for (ability, callable) in callable(element) {
        assert_eq!(has(ability), callable, "law: abilities() and the accessors agree: {ability}");
    }
    for (algorithm, uses) in &can.keys {
        assert!(!uses.is_empty(), "law: a key that can be created is for something: {algorithm}");
        for key_use in uses {
            assert!(algorithm.uses().contains(key_use), "law: no {algorithm} key can {key_use}");
        }
    }
    let creates = |key_use| can.keys.iter().any(|(_, uses)| uses.contains(&key_use));
    for (key_use, ability) in [
        (KeyUse::Attest, Ability::Attest),
        (KeyUse::Decrypt, Ability::Decrypt),
        (KeyUse::Agree, Ability::Agree),
        (KeyUse::Decapsulate, Ability::Decapsulate),
        (KeyUse::Mac, Ability::Mac),
    ] {
        assert!(
            !creates(key_use) || has(ability),
            "law: a key that can {key_use} needs `{ability}`"
        );
    }
    let signs = |signature| {
        can.keys.iter().any(|(algorithm, _)| algorithm.signatures().contains(signature))
    };
    assert!(can.signatures.iter().all(signs), "law: each signature listed has a key that makes it");
    assert_eq!(!can.encryptions.is_empty(), has(Ability::Decrypt), "law: encryptions are listed");
    assert_eq!(!can.pcr_banks.is_empty(), has(Ability::Registers), "law: PCR banks are listed");
    assert_eq!(can.seal > 0, has(Ability::Seal), "law: the size of a sealed secret is listed");
    assert_eq!(can.storage > 0, has(Ability::Store), "law: the size of a stored value is listed");
    assert!(!has(Ability::Store) || can.storage >= 128, "law: 128 octets fit everywhere");
}

fn callable(element: &mut dyn Element) -> Vec<(Ability, bool)> {
    vec![
        (Ability::Import, element.importing().is_some()),
        (Ability::Decrypt, element.decrypting().is_some()),
        (Ability::Agree, element.agreeing().is_some()),
        (Ability::Decapsulate, element.decapsulating().is_some()),
        (Ability::Mac, element.macs().is_some()),
        (Ability::Seal, element.sealing().is_some()),
        (Ability::Registers, element.registers().is_some()),
        (Ability::Attest, element.attesting().is_some()),
        (Ability::Count, element.counting().is_some()),
        (Ability::Store, element.storage().is_some()),
        (Ability::Certificates, element.certificates().is_some()),
    ]
}

/// Random octets are not the same twice; any number of them can be had.
pub fn random_octets_differ(element: &mut dyn Element) {
    let mut draw = |len: usize| {
        let mut out = vec![0; len];
        element.random(&mut out).expect("law: an element gives random octets");
        out
    };
    draw(0);
    let (first, second) = (draw(32), draw(32));
    assert_ne!(first, second, "law: random octets differ");
    let long = draw(1000);
    let zeros = long.rchunks(16).any(|chunk| chunk.iter().all(|octet| *octet == 0));
    assert!(!zeros, "law: all of the buffer is filled");
}

/// A bad name is refused wherever one is given.
pub fn names_are_checked(element: &mut dyn Element) {
    let can = capabilities(element);
    let (algorithm, key_use) = any_key(&can);
    let spec = crate::KeySpec::new(key_use, algorithm);
    for name in ["", "..", "a/b", "Law", "law 1", "law\0", "läw", &"x".repeat(MAX_NAME_LEN + 1)] {
        let bad = "element.name.bad";
        refused(element.create_key(name, &spec), bad, "create");
        refused(element.public_key(name), bad, "public key");
        refused(element.rename_key(name, "law-good"), bad, "rename from");
        refused(element.rename_key("law-good", name), bad, "rename to");
        refused(element.delete_key(name), bad, "delete");
        refused(element.sign(name, touchstone_crypto::SignatureAlgorithm::Ed25519, b""), bad, "");
        if let Some(counting) = element.counting() {
            refused(counting.increment(name), bad, "increment");
            refused(counting.counter(name), bad, "counter");
        }
        if let Some(storage) = element.storage() {
            refused(storage.store(name, b""), bad, "store");
            refused(storage.load(name), bad, "load");
        }
    }
    let longest = "l".repeat(MAX_NAME_LEN);
    let made = element.create_key(&longest, &spec);
    made.unwrap_or_else(|error| panic!("law: the longest name is good: {error}"));
    element.delete_key(&longest).expect("law: a key is deleted");
}

fn capabilities(element: &mut dyn Element) -> Capabilities {
    let can = element.capabilities().expect("law: an element says what it can do");
    assert!(!can.keys.is_empty(), "law: an element keeps keys");
    can
}

/// A key that can be made quickly: the smallest that is on a curve, else the first listed.
fn any_key(can: &Capabilities) -> (KeyAlgorithm, KeyUse) {
    let listed = |algorithm: KeyAlgorithm| {
        let (_, uses) = can.keys.iter().find(|(known, _)| *known == algorithm)?;
        uses.first().map(|key_use| (algorithm, *key_use))
    };
    let quick = [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519];
    let first = can.keys.first().map(|(algorithm, _)| *algorithm);
    quick.into_iter().chain(first).find_map(listed).expect("law: an element keeps keys")
}

/// The names of all keys, sorted.
fn listed(element: &mut dyn Element) -> Vec<String> {
    let keys = element.keys().expect("law: keys are listed");
    let mut names: Vec<String> = keys.into_iter().map(|key| key.name).collect();
    names.sort();
    names
}

/// That a call failed, with this code.
fn refused<T: Debug>(result: Result<T, Error>, code: &str, what: &str) {
    match result {
        Ok(value) => panic!("law: `{code}` was due, but {what} gave {value:?}"),
        Err(error) => assert_eq!(error.code(), code, "law: {what} failed with: {error}"),
    }
}

/// The value, or the element's own words.
fn works<T>(result: Result<T, Error>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("law: {what} works, but: {error} ({})", error.code()))
}

#[cfg(test)]
mod tests;
