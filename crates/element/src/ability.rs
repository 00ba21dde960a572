//! What one element can do and another cannot: a trait each.

use crate::{
    Attested, Credential, DeviceIdentity, Element, Encryption, Endorsement, Error, KeyAlgorithm,
    KeyUse, PcrSelection, PublicKey, SealTo, Secret,
};
use touchstone_crypto::Digest;

/// An element that takes keys from outside. Such a key was seen elsewhere, and cannot be undone.
pub trait Importing: Element {
    /// Keeps a key that was made elsewhere: PKCS#8 in DER (RFC 5958), or the key's octets when it
    /// [is symmetric](KeyAlgorithm::is_symmetric). [`Error::KeyExists`] as in
    /// [`create_key`](Element::create_key).
    fn import_key(
        &mut self,
        name: &str,
        key_use: KeyUse,
        algorithm: KeyAlgorithm,
        key: &Secret,
    ) -> Result<PublicKey, Error>;
}

/// An element whose [`KeyUse::Decrypt`] keys decrypt.
pub trait Decrypting: Element {
    /// Encrypts so that only this key can decrypt.
    fn encrypt(
        &mut self,
        name: &str,
        encryption: Encryption,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error>;

    /// Decrypts.
    fn decrypt(
        &mut self,
        name: &str,
        encryption: Encryption,
        ciphertext: &[u8],
    ) -> Result<Secret, Error>;
}

/// An element whose [`KeyUse::Agree`] keys agree on secrets.
pub trait Agreeing: Element {
    /// The secret shared with the peer's key (`SubjectPublicKeyInfo` in DER) on the same curve: the
    /// x-coordinate of the point (SP 800-56A §5.7.1.2), as long as the field.
    fn agree(&mut self, name: &str, peer_spki_der: &[u8]) -> Result<Secret, Error>;
}

/// An element whose [`KeyUse::Decapsulate`] keys open what was encapsulated to them.
pub trait Decapsulating: Element {
    /// The 32 octets that were encapsulated. A ciphertext made for another key gives other octets,
    /// not an error (FIPS 203 §6.3).
    fn decapsulate(&mut self, name: &str, ciphertext: &[u8]) -> Result<Secret, Error>;
}

/// An element whose [`KeyUse::Mac`] keys authenticate messages.
pub trait Macs: Element {
    /// The message authentication code, as long as the key's hash.
    fn mac(&mut self, name: &str, message: &[u8]) -> Result<Vec<u8>, Error>;
}

/// An element that seals secrets to itself, and to the state of the device if it has registers.
pub trait Sealing: Element {
    /// Seals a secret of at most [`Capabilities::seal`](crate::Capabilities::seal) octets. What
    /// comes back is no secret and says itself what it needs to be unsealed.
    fn seal(&mut self, secret: &[u8], to: &SealTo) -> Result<Vec<u8>, Error>;

    /// Unseals. [`Error::StateMoved`] when a register has another value,
    /// [`Error::WrongAuthorization`] when the password is another, [`Error::Foreign`] when another
    /// element sealed it.
    fn unseal(&mut self, sealed: &[u8], password: Option<&Secret>) -> Result<Secret, Error>;
}

/// An element with Platform Configuration Registers.
pub trait Registers: Element {
    /// The values of the selected PCRs, in the order of the selection.
    fn read_pcrs(&mut self, selection: &PcrSelection) -> Result<Vec<Digest>, Error>;

    /// Extends a PCR, in each bank that a digest is given for.
    fn extend_pcr(&mut self, pcr: u8, digests: &[Digest]) -> Result<(), Error>;
}

/// An element that reports on the device and on its own keys.
pub trait Attesting: Registers {
    /// The endorsement key and its certificates, the key's own first. No certificates when the
    /// maker stored none.
    fn endorsement(&mut self) -> Result<Endorsement, Error>;

    /// The IDevID (IEEE 802.1AR) that the maker put in, or `None`. Its key is named `idevid` in
    /// [`Element::sign`] and [`Attesting::certify`].
    fn device_identity(&mut self) -> Result<Option<DeviceIdentity>, Error>;

    /// The IAK (TCG Keys for Device Identity): an attestation key that the maker put in, named
    /// `iak` in [`quote`](Self::quote), [`certify`](Self::certify) and
    /// [`activate`](Self::activate).
    fn initial_attestation(&mut self) -> Result<Option<DeviceIdentity>, Error>;

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
}

/// An element with counters that never go back, also when the disk is rolled back.
pub trait Counting: Element {
    /// Where a counter stands, `None` when it was never incremented.
    fn counter(&mut self, name: &str) -> Result<Option<u64>, Error>;

    /// Adds one, and says where the counter stands now. The first time makes the counter; it starts
    /// above every value that a deleted counter of this element had.
    fn increment(&mut self, name: &str) -> Result<u64, Error>;

    /// Gives the counter's place back; nothing happens when there is none of that name.
    fn delete_counter(&mut self, name: &str) -> Result<(), Error>;
}

/// Small storage inside the element, which a rolled-back disk does not roll back.
pub trait Storage: Element {
    /// What was stored last under `name`, or `None`.
    fn load(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Stores a value, replacing the last one in one step. [`Error::TooLarge`] says how much fits;
    /// 128 octets fit everywhere.
    fn store(&mut self, name: &str, value: &[u8]) -> Result<(), Error>;

    /// Removes a value; nothing happens when there is none of that name.
    fn remove(&mut self, name: &str) -> Result<(), Error>;
}

/// An element that keeps certificates beside their keys.
pub trait Certificates: Element {
    /// The X.509 certificate in DER that goes with a key, or `None`.
    fn certificate(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Keeps a certificate with a key, replacing the last one.
    fn store_certificate(&mut self, name: &str, der: &[u8]) -> Result<(), Error>;
}
