//! Secure elements: what each of them can do, behind one API.
//!
//! An element is the Root of Trust for Storage and Reporting of a device (RFC 9334 §2.2): it holds
//! keys that never leave it and signs statements about the device's state. [`Element`] is what every
//! one can do; each further ability is a trait of its own, and an element that lacks it has no such
//! trait: there is nothing to call. What depends on the model (algorithms, sizes) is listed by
//! [`Element::capabilities`].
//!
//! What this is not: an element (`touchstone-element-tpm2` is one), nor a judge of what an element
//! states (`touchstone-evidence` decodes, `touchstone-appraise` judges).
//!
//! ```
//! use touchstone_element::{Element, Error, KeyAlgorithm, KeySpec, KeyUse};
//!
//! fn device_key(element: &mut dyn Element) -> Result<Vec<u8>, Error> {
//!     let spec = KeySpec::new(KeyUse::Sign, KeyAlgorithm::P256);
//!     let key = match element.public_key("ldevid")? {
//!         Some(key) => key,
//!         None => element.create_key("ldevid", &spec)?,
//!     };
//!     if let Some(attesting) = element.attesting() {
//!         attesting.certify("ldevid", "lak", b"the verifier's nonce")?;
//!     }
//!     Ok(key.spki_der)
//! }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod ability;
mod algorithm;
mod boxed;
mod decrypter;
mod error;
pub mod laws;
mod name;
pub mod reference;
mod secret;
mod signer;
mod types;

pub use ability::{
    Agreeing, Attesting, Certificates, Counting, Decapsulating, Decrypting, Importing, Macs,
    Registers, Sealing, Storage,
};
pub use algorithm::{Encryption, KeyAlgorithm};
pub use decrypter::ElementDecrypter;
pub use error::{Error, Refusal};
pub use name::{MAX_NAME_LEN, check_name};
pub use reference::{KeyReference, Reference};
pub use secret::Secret;
pub use signer::ElementSigner;
pub use types::{
    Ability, About, Attested, Capabilities, Credential, DeviceIdentity, Endorsement, KeySpec,
    KeyUse, NamedKey, PcrSelection, PublicKey, SealPcrs, SealTo,
};

use touchstone_crypto::SignatureAlgorithm;

/// Keys that stay inside, and random octets.
///
/// Keys have names: 1 to [`MAX_NAME_LEN`] of `a-z 0-9 - _`. A key that was created is there again
/// after a restart or a power cut.
pub trait Element: Send {
    /// What the element says of itself.
    fn about(&mut self) -> Result<About, Error>;

    /// What this element, as it stands, can do.
    fn capabilities(&mut self) -> Result<Capabilities, Error>;

    /// Fills `out` from the element's random source.
    fn random(&mut self, out: &mut [u8]) -> Result<(), Error>;

    /// Creates and keeps a key; [`Error::KeyExists`] when there is one of that name.
    fn create_key(&mut self, name: &str, spec: &KeySpec) -> Result<PublicKey, Error>;

    /// What may be known of a key, `None` when there is no key of that name.
    fn public_key(&mut self, name: &str) -> Result<Option<PublicKey>, Error>;

    /// All keys, by name.
    fn keys(&mut self) -> Result<Vec<NamedKey>, Error>;

    /// Gives a key another name in one step, replacing the key that had it. How a renewed key takes
    /// the place of the old one.
    fn rename_key(&mut self, name: &str, to: &str) -> Result<(), Error>;

    /// Forgets a key; nothing happens when there is none of that name.
    fn delete_key(&mut self, name: &str) -> Result<(), Error>;

    /// Signs `message` (not its digest) with a [`KeyUse::Sign`] key, in the form that X.509 uses:
    /// ECDSA signatures are in DER.
    fn sign(
        &mut self,
        name: &str,
        algorithm: SignatureAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error>;

    /// Takes keys from outside.
    fn importing(&mut self) -> Option<&mut dyn Importing> {
        None
    }
    /// Decrypts.
    fn decrypting(&mut self) -> Option<&mut dyn Decrypting> {
        None
    }
    /// Agrees on secrets.
    fn agreeing(&mut self) -> Option<&mut dyn Agreeing> {
        None
    }
    /// Opens encapsulated secrets.
    fn decapsulating(&mut self) -> Option<&mut dyn Decapsulating> {
        None
    }
    /// Authenticates messages.
    fn macs(&mut self) -> Option<&mut dyn Macs> {
        None
    }
    /// Seals secrets.
    fn sealing(&mut self) -> Option<&mut dyn Sealing> {
        None
    }
    /// Has Platform Configuration Registers.
    fn registers(&mut self) -> Option<&mut dyn Registers> {
        None
    }
    /// Reports on the device and on its own keys.
    fn attesting(&mut self) -> Option<&mut dyn Attesting> {
        None
    }
    /// Counts without ever going back.
    fn counting(&mut self) -> Option<&mut dyn Counting> {
        None
    }
    /// Keeps small values.
    fn storage(&mut self) -> Option<&mut dyn Storage> {
        None
    }
    /// Keeps certificates beside their keys.
    fn certificates(&mut self) -> Option<&mut dyn Certificates> {
        None
    }

    /// The abilities that the element has.
    fn abilities(&mut self) -> Vec<Ability> {
        let has = [
            (Ability::Import, self.importing().is_some()),
            (Ability::Decrypt, self.decrypting().is_some()),
            (Ability::Agree, self.agreeing().is_some()),
            (Ability::Decapsulate, self.decapsulating().is_some()),
            (Ability::Mac, self.macs().is_some()),
            (Ability::Seal, self.sealing().is_some()),
            (Ability::Registers, self.registers().is_some()),
            (Ability::Attest, self.attesting().is_some()),
            (Ability::Count, self.counting().is_some()),
            (Ability::Store, self.storage().is_some()),
            (Ability::Certificates, self.certificates().is_some()),
        ];
        has.into_iter().filter(|(_, has)| *has).map(|(ability, _)| ability).collect()
    }
}
