//! What goes into an element and what comes out.

use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm};

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Any message: TLS, certificate requests.
    Sign,
    /// Only statements the element makes itself (a *restricted* key, TPM 2.0 Part 1 §25.1.5).
    Attest,
}

/// The public part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// `SubjectPublicKeyInfo` in DER.
    pub spki_der: Vec<u8>,
    /// How the key signs.
    pub algorithm: SignatureAlgorithm,
    /// As the element writes it: `TPMT_PUBLIC` for a TPM.
    pub native: Vec<u8>,
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

/// What an element says of itself. A claim, not a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `tpm2` or `software`.
    pub kind: &'static str,
    /// The maker, as registered with the TCG: `IBM`, `IFX`, `STM `.
    pub manufacturer: String,
    /// The model, where the element has one.
    pub model: String,
    /// The firmware's version, as the maker counts.
    pub firmware: String,
}

/// What an element can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The algorithms a key can be created for.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// The PCR banks that are in use.
    pub pcr_banks: Vec<HashAlgorithm>,
    /// Whether the element quotes and certifies.
    pub attests: bool,
    /// Octets that fit in one value of its protected storage, 0 without such storage.
    pub storage: usize,
}
