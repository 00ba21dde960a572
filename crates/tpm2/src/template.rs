//! Templates of objects: what a TPM is asked to make. Storage root keys, endorsement keys, device
//! identities, and keys and data of our own.
//!
//! Those of our own are fixed to their TPM, made inside it, free to use with their authorization
//! value and not subject to the lockout; [`Public::exportable`] and its neighbours change that.

mod endorsement;

pub use endorsement::{ENDORSEMENT, EndorsementKind};

use crate::Error;
use crate::object::SigningScheme;
use crate::policy;
use crate::public::attributes::{
    ADMIN_WITH_POLICY, DECRYPT, FIXED_PARENT, FIXED_TPM, NO_DA, RESTRICTED, SENSITIVE_DATA_ORIGIN,
    SIGN, USER_WITH_AUTH,
};
use crate::public::{ALG_HMAC, ALG_OAEP, Key, Public, Symmetric};
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::HashAlgorithm::{self, Sha256};
use touchstone_crypto::{Crypto, Curve, Digest, SignatureAlgorithm};

const BOUND: u32 = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN;
const OURS: u32 = BOUND | USER_WITH_AUTH | NO_DA;

/// A kind of key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPair {
    /// RSA with a modulus of so many bits.
    Rsa(u16),
    /// On a curve.
    Ecc(Curve),
}

impl KeyPair {
    const fn blank(self) -> Key {
        match self {
            Self::Rsa(bits) => Key::Rsa { bits, exponent: 0, modulus: Vec::new() },
            Self::Ecc(curve) => Key::Ecc { curve, x: Vec::new(), y: Vec::new() },
        }
    }
}

/// A signing key. With [`SigningScheme::OfKey`] each signature chooses its own scheme.
pub fn signing(pair: KeyPair, scheme: SigningScheme) -> Public {
    ours(OURS | SIGN, Symmetric::None, scheme, pair.blank())
}

/// An attestation key: it signs only what the TPM states or hashed itself.
pub fn attestation(pair: KeyPair, scheme: SigningScheme) -> Result<Public, Error> {
    if scheme == SigningScheme::OfKey {
        return Err(Error::BadInput("an attestation key has one scheme for all it signs"));
    }
    Ok(ours(OURS | SIGN | RESTRICTED, Symmetric::None, scheme, pair.blank()))
}

/// A key with the scheme of a signature algorithm of X.509: signs anything or, `restricted`, only
/// what the TPM states. RSA keys have 2048 bits.
pub fn signing_for(algorithm: SignatureAlgorithm, restricted: bool) -> Result<Public, Error> {
    use SignatureAlgorithm as S;
    let pair = match algorithm {
        S::EcdsaP256Sha256 => KeyPair::Ecc(Curve::P256),
        S::EcdsaP384Sha256 | S::EcdsaP384Sha384 => KeyPair::Ecc(Curve::P384),
        S::EcdsaP521Sha384 | S::EcdsaP521Sha512 => KeyPair::Ecc(Curve::P521),
        _ => KeyPair::Rsa(2048),
    };
    let scheme = SigningScheme::of(algorithm)?;
    if restricted { attestation(pair, scheme) } else { Ok(signing(pair, scheme)) }
}

/// An RSA key that decrypts: with OAEP and one hash, or as each use says.
pub fn decryption(bits: u16, oaep: Option<HashAlgorithm>) -> Public {
    let blank = KeyPair::Rsa(bits).blank();
    let mut template = ours(OURS | DECRYPT, Symmetric::None, SigningScheme::OfKey, blank);
    template.scheme = oaep.map(|hash| (ALG_OAEP, hash));
    template
}

/// A key that agrees on secrets.
pub fn agreement(curve: Curve) -> Public {
    let blank = KeyPair::Ecc(curve).blank();
    ours(OURS | DECRYPT, Symmetric::None, SigningScheme::OfKey, blank)
}

/// An HMAC key.
pub fn hmac(hash: HashAlgorithm) -> Public {
    let key = Key::KeyedHash { unique: Vec::new() };
    let mut template = ours(OURS | SIGN, Symmetric::None, SigningScheme::OfKey, key);
    template.scheme = Some((ALG_HMAC, hash));
    template
}

/// An AES key of 128 or 256 bits in CFB mode, for both directions.
pub fn cipher(bits: u16) -> Public {
    let key = Key::Cipher { unique: Vec::new() };
    ours(OURS | SIGN | DECRYPT, Symmetric::AesCfb { bits }, SigningScheme::OfKey, key)
}

/// Sealed data. It was not made inside the TPM, and does not say so.
pub fn sealed() -> Public {
    let key = Key::KeyedHash { unique: Vec::new() };
    let attributes = OURS & !SENSITIVE_DATA_ORIGIN;
    ours(attributes, Symmetric::None, SigningScheme::OfKey, key)
}

/// A storage key, under which others are kept.
pub fn storage(pair: KeyPair) -> Public {
    let attributes = OURS | RESTRICTED | DECRYPT;
    ours(attributes, Symmetric::AesCfb { bits: 128 }, SigningScheme::OfKey, pair.blank())
}

/// The storage root key: ECC P-256 of the TCG TPM v2.0 Provisioning Guidance §7.5.1, whose unique
/// field is zeros.
pub fn srk() -> Public {
    let key = Key::Ecc { curve: Curve::P256, x: vec![0; 32], y: vec![0; 32] };
    Public { key, ..storage(KeyPair::Ecc(Curve::P256)) }
}

/// The same of RSA 2048.
pub fn srk_rsa() -> Public {
    let key = Key::Rsa { bits: 2048, exponent: 0, modulus: vec![0; 256] };
    Public { key, ..storage(KeyPair::Rsa(2048)) }
}

/// The parent that TSS2 key files mean by a hierarchy's handle: the unique field is empty
/// (draft-bottomley-tpm-keys §3.1.8).
pub fn key_file_parent(rsa: bool) -> Public {
    storage(if rsa { KeyPair::Rsa(2048) } else { KeyPair::Ecc(Curve::P256) })
}

fn ours(attributes: u32, symmetric: Symmetric, scheme: SigningScheme, key: Key) -> Public {
    Public {
        name_algorithm: Sha256,
        attributes,
        policy: Vec::new(),
        symmetric,
        scheme: scheme.parts(),
        key,
    }
}

/// Changes to a template.
impl Public {
    /// Usable with this policy, too.
    #[must_use]
    pub fn with_policy(mut self, policy: &Digest) -> Self {
        self.policy = policy.as_bytes().to_vec();
        self
    }

    /// Usable with this policy alone: knowing the authorization value is not enough.
    #[must_use]
    pub fn only_with_policy(mut self, policy: &Digest) -> Self {
        self.attributes &= !USER_WITH_AUTH;
        self.with_policy(policy)
    }

    /// Free to be duplicated to another TPM, when its policy allows that.
    #[must_use]
    pub const fn exportable(mut self) -> Self {
        self.attributes &= !(FIXED_TPM | FIXED_PARENT);
        self
    }

    /// Holding a secret that was made outside.
    #[must_use]
    pub const fn from_outside(mut self) -> Self {
        self.attributes &= !SENSITIVE_DATA_ORIGIN;
        self
    }

    /// Wrong authorizations count towards a lockout.
    #[must_use]
    pub const fn guarded_by_lockout(mut self) -> Self {
        self.attributes &= !NO_DA;
        self
    }
}

/// A key the device's maker vouches for (TCG TPM 2.0 Keys for Device Identity and Attestation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKey {
    /// IDevID: signs anything.
    IDevId,
    /// IAK: signs what the TPM states.
    Iak,
}

impl DeviceKey {
    /// The name it has in the API; nobody else's key can have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IDevId => "idevid",
            Self::Iak => "iak",
        }
    }

    /// The key of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::IDevId, Self::Iak].into_iter().find(|key| key.name() == name)
    }

    /// Where its certificate is, in the range that the specification's §7.3.2 sets aside.
    pub const fn certificate(self) -> u32 {
        match self {
            Self::IDevId => 0x01C9_0000,
            Self::Iak => 0x01C9_0008,
        }
    }

    /// The index whose content may replace the policy, in its last branch.
    pub const fn policy_index(self) -> u32 {
        match self {
            Self::IDevId => 0x01C9_0010,
            Self::Iak => 0x01C9_0018,
        }
    }

    /// Template H-2: ECC P-256 with SHA-256 (§7.3.4), recoverable because it is primary (§7.3.1).
    pub fn template(self, crypto: &dyn Crypto) -> Public {
        let (unique, restricted) = match self {
            Self::IDevId => (b"IDEVID".as_slice(), 0),
            Self::Iak => (b"IAK".as_slice(), RESTRICTED),
        };
        Public {
            name_algorithm: Sha256,
            attributes: BOUND | USER_WITH_AUTH | ADMIN_WITH_POLICY | SIGN | restricted,
            policy: policy::device_key(crypto, self),
            symmetric: Symmetric::None,
            scheme: SigningScheme::Ecdsa(Sha256).parts(),
            key: Key::Ecc { curve: Curve::P256, x: unique.to_vec(), y: unique.to_vec() },
        }
    }
}

/// The digest of a message under the hash of a signature algorithm.
pub fn message_digest(
    crypto: &dyn Crypto,
    algorithm: SignatureAlgorithm,
    message: &[u8],
) -> Result<Digest, Error> {
    let hash = SigningScheme::of(algorithm)?.hash().unwrap_or(Sha256);
    Ok(crypto.hash(hash, &[message]))
}
