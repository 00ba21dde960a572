//! What goes into an element and what comes out.

use crate::algorithm::named;
use crate::{Encryption, KeyAlgorithm, Secret};
use std::fmt;
use touchstone_crypto::{Digest, HashAlgorithm, SignatureAlgorithm};

named! {
    /// What a key may do. One key does one thing.
    KeyUse {
        /// Sign any message: TLS, certificate requests.
        Sign = "sign",
        /// Sign only statements the element makes itself (a *restricted* key, TPM 2.0 Part 1
        /// §25.1.5).
        Attest = "attest",
        /// Decrypt, and encrypt where there is no public part.
        Decrypt = "decrypt",
        /// Agree on a secret (ECDH, SP 800-56A §5.7.1.2).
        Agree = "agree",
        /// Open what was encapsulated (FIPS 203 §7.3).
        Decapsulate = "decapsulate",
        /// Make message authentication codes.
        Mac = "mac",
    }
}

/// A key that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// What it may do.
    pub key_use: KeyUse,
    /// What kind of key.
    pub algorithm: KeyAlgorithm,
    /// It works only while these registers have the values that they have now.
    pub pcrs: Option<PcrSelection>,
}

impl KeySpec {
    /// A key that works whatever the state of the device is.
    pub const fn new(key_use: KeyUse, algorithm: KeyAlgorithm) -> Self {
        Self { key_use, algorithm, pcrs: None }
    }

    /// The same key, but usable only while `pcrs` stay as they are now.
    #[must_use]
    pub fn bound_to(mut self, pcrs: PcrSelection) -> Self {
        self.pcrs = Some(pcrs);
        self
    }
}

/// What may be known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What it may do.
    pub key_use: KeyUse,
    /// What kind of key.
    pub algorithm: KeyAlgorithm,
    /// `SubjectPublicKeyInfo` in DER; empty when the key [is
    /// symmetric](KeyAlgorithm::is_symmetric).
    pub spki_der: Vec<u8>,
    /// As the element writes it: `TPMT_PUBLIC` for a TPM, empty where there is no such thing.
    pub native: Vec<u8>,
}

impl PublicKey {
    /// How it signs unless asked otherwise.
    pub fn signature(&self) -> Option<SignatureAlgorithm> {
        match self.key_use {
            KeyUse::Sign | KeyUse::Attest => self.algorithm.signatures().first().copied(),
            _ => None,
        }
    }
}

/// A key and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedKey {
    /// The name.
    pub name: String,
    /// What may be known of it.
    pub public: PublicKey,
}

/// A statement and the signature over it, as the element made them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// `TPMS_ATTEST` for a TPM.
    pub attest: Vec<u8>,
    /// `TPMT_SIGNATURE` for a TPM.
    pub signature: Vec<u8>,
}

/// A secret only one element can open, and only if it also holds a certain key (TPM 2.0 Part 1 §24).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// `TPMS_ID_OBJECT`: what is inside `TPM2B_ID_OBJECT`.
    pub blob: Vec<u8>,
    /// What is inside `TPM2B_ENCRYPTED_SECRET`.
    pub secret: Vec<u8>,
}

/// The key that the element's maker vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsement {
    /// The public part as the element writes it: `TPMT_PUBLIC`.
    pub native_public: Vec<u8>,
    /// X.509 certificates in DER: the key's own, then the chain as far as it is stored.
    pub certificates: Vec<Vec<u8>>,
}

/// The identity that the device's maker put in (IEEE 802.1AR §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// The public key.
    pub public: PublicKey,
    /// X.509 certificates in DER: the key's own, then the chain as far as it is stored.
    pub certificates: Vec<Vec<u8>>,
}

/// Platform Configuration Registers of one bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrSelection {
    /// The bank.
    pub algorithm: HashAlgorithm,
    /// The registers, 0 to 23. Order and repetition carry no meaning: values come lowest first.
    pub pcrs: Vec<u8>,
}

impl PcrSelection {
    /// Registers of one bank, lowest first and each once.
    pub fn new(algorithm: HashAlgorithm, pcrs: &[u8]) -> Self {
        let mut pcrs = pcrs.to_vec();
        pcrs.sort_unstable();
        pcrs.dedup();
        Self { algorithm, pcrs }
    }
}

impl fmt::Display for PcrSelection {
    /// `sha256:0,1,7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm)?;
        for (place, pcr) in self.pcrs.iter().enumerate() {
            write!(f, "{}{pcr}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// What has to hold for a sealed secret to come out again. Nothing set: the same element is enough.
#[derive(Clone, Debug, Default)]
pub struct SealTo {
    /// These registers have these values.
    pub pcrs: Option<SealPcrs>,
    /// This password is given.
    pub password: Option<Secret>,
}

/// Registers that a secret is sealed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealPcrs {
    /// Which.
    pub selection: PcrSelection,
    /// Their values, in the order of the selection; `None` for those that they have now.
    pub values: Option<Vec<Digest>>,
}

/// What an element says of itself. A claim, not a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `tpm2`, `pkcs11` or `software`.
    pub kind: &'static str,
    /// The maker; for a TPM as registered with the TCG: `IBM`, `IFX`, `STM`.
    pub manufacturer: String,
    /// The model, where the element has one.
    pub model: String,
    /// The serial number, where the element tells one.
    pub serial: String,
    /// The firmware's version, as the maker counts.
    pub firmware: String,
}

named! {
    /// What an element can do beyond keys that sign, each a trait of this crate.
    Ability {
        /// [`Importing`](crate::Importing).
        Import = "import",
        /// [`Decrypting`](crate::Decrypting).
        Decrypt = "decrypt",
        /// [`Agreeing`](crate::Agreeing).
        Agree = "agree",
        /// [`Decapsulating`](crate::Decapsulating).
        Decapsulate = "decapsulate",
        /// [`Macs`](crate::Macs).
        Mac = "mac",
        /// [`Sealing`](crate::Sealing).
        Seal = "seal",
        /// [`Registers`](crate::Registers).
        Registers = "registers",
        /// [`Attesting`](crate::Attesting).
        Attest = "attest",
        /// [`Counting`](crate::Counting).
        Count = "count",
        /// [`Storage`](crate::Storage).
        Store = "store",
        /// [`Certificates`](crate::Certificates).
        Certificates = "certificates",
    }
}

/// What an element can do, in lists: what is not listed, it does not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The keys that can be created, with what they may be for.
    pub keys: Vec<(KeyAlgorithm, Vec<KeyUse>)>,
    /// How its keys sign.
    pub signatures: Vec<SignatureAlgorithm>,
    /// How its keys decrypt.
    pub encryptions: Vec<Encryption>,
    /// The PCR banks that are in use. Keys and secrets can be bound to registers of these.
    pub pcr_banks: Vec<HashAlgorithm>,
    /// Octets that fit in one value of its protected storage, 0 without such storage.
    pub storage: usize,
    /// Octets that can be sealed at once, 0 without sealing.
    pub seal: usize,
}

impl Capabilities {
    /// Whether a key like that can be created.
    pub fn creates(&self, key_use: KeyUse, algorithm: KeyAlgorithm) -> bool {
        self.keys.iter().any(|(known, uses)| *known == algorithm && uses.contains(&key_use))
    }
}
