//! Secure elements: what each of them can do, behind one API.
//!
//! An element is the Root of Trust for Storage and Reporting of a device (RFC 9334 §2.2): it holds
//! keys that never leave it and signs statements about the device's state. What one cannot do is an
//! [`Error::Unsupported`], never a pretence in software.
//!
//! What this is not: an element (`touchstone-element-tpm2` is one), nor a judge of what an element
//! states (`touchstone-evidence` decodes, `touchstone-appraise` judges).
//!
//! ```
//! use touchstone_crypto::SignatureAlgorithm;
//! use touchstone_element::{Element, Error, KeyUse};
//!
//! fn device_key(element: &mut dyn Element) -> Result<Vec<u8>, Error> {
//!     let key = match element.public_key("ldevid")? {
//!         Some(key) => key,
//!         None => element.create_key("ldevid", KeyUse::Sign, SignatureAlgorithm::EcdsaP256Sha256)?,
//!     };
//!     Ok(key.spki_der)
//! }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

mod error;
mod name;
mod secret;
mod signer;
mod types;

pub use error::{Error, Refusal};
pub use name::{MAX_NAME_LEN, check_name};
pub use secret::Secret;
pub use signer::ElementSigner;
pub use types::{
    About, Attested, Capabilities, Credential, DeviceIdentity, Endorsement, KeyUse, PcrSelection,
    PublicKey,
};

use touchstone_crypto::{Digest, SignatureAlgorithm};

/// Keys that stay inside, and random octets.
///
/// Keys have names: 1 to [`MAX_NAME_LEN`] of `a-z 0-9 - _`. A key that was created is there again
/// after a restart or a power cut.
pub trait Element: Send {
    /// What the element says of itself.
    fn about(&mut self) -> Result<About, Error>;

    /// What the element can do.
    fn capabilities(&mut self) -> Result<Capabilities, Error>;

    /// Fills `out` from the element's random source.
    fn random(&mut self, out: &mut [u8]) -> Result<(), Error>;

    /// Creates and keeps a key; [`Error::KeyExists`] when there is one of that name.
    fn create_key(
        &mut self,
        name: &str,
        key_use: KeyUse,
        algorithm: SignatureAlgorithm,
    ) -> Result<PublicKey, Error>;

    /// The public part of a key, `None` when there is no key of that name.
    fn public_key(&mut self, name: &str) -> Result<Option<PublicKey>, Error>;

    /// Gives a key another name in one step, replacing the key that had it. How a renewed key takes
    /// the place of the old one.
    fn rename_key(&mut self, name: &str, to: &str) -> Result<(), Error>;

    /// Forgets a key; nothing happens when there is none of that name.
    fn delete_key(&mut self, name: &str) -> Result<(), Error>;

    /// Signs `message` (not its digest) with a [`KeyUse::Sign`] key. ECDSA signatures are in DER.
    fn sign(&mut self, name: &str, message: &[u8]) -> Result<Vec<u8>, Error>;
}

/// An element that reports on the device and on its own keys.
pub trait Attesting: Element {
    /// The endorsement key and its certificates, the key's own first. No certificates when the
    /// maker stored none.
    fn endorsement(&mut self) -> Result<Endorsement, Error>;

    /// The IDevID (IEEE 802.1AR) that the maker put in, or `None`. Its key is named `idevid` in
    /// [`Element::sign`] and [`Attesting::certify`].
    fn device_identity(&mut self) -> Result<Option<DeviceIdentity>, Error>;

    /// A signed statement of the selected PCRs, made by a [`KeyUse::Attest`] key. `qualifying` is
    /// the freshness the verifier asked for, at most 64 octets.
    fn quote(
        &mut self,
        key: &str,
        selection: &PcrSelection,
        qualifying: &[u8],
    ) -> Result<Attested, Error>;

    /// A statement signed by `by_key` that `object` is a key of this element.
    fn certify(&mut self, object: &str, by_key: &str, qualifying: &[u8])
    -> Result<Attested, Error>;

    /// Opens a credential made for this element's endorsement key and the [`KeyUse::Attest`] key.
    fn activate(&mut self, key: &str, credential: &Credential) -> Result<Secret, Error>;

    /// The values of the selected PCRs, in the order of the selection.
    fn read_pcrs(&mut self, selection: &PcrSelection) -> Result<Vec<Digest>, Error>;
}

/// Small storage inside the element, which a rolled-back disk does not roll back.
pub trait Storage: Element {
    /// What was stored last under `name`, or `None`.
    fn load(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Stores a value, replacing the last one in one step. [`Error::TooLarge`] says how much fits;
    /// 128 octets fit everywhere.
    fn store(&mut self, name: &str, value: &[u8]) -> Result<(), Error>;
}
