//! Templates of keys: the storage root key, endorsement keys, device identities and our own.

use crate::Error;
use crate::policy;
use crate::public::attributes::{
    ADMIN_WITH_POLICY, DECRYPT, FIXED_PARENT, FIXED_TPM, NO_DA, RESTRICTED, SENSITIVE_DATA_ORIGIN,
    SIGN, USER_WITH_AUTH,
};
use crate::public::{ALG_ECDSA, ALG_RSAPSS, ALG_RSASSA, Key, Public, Symmetric};
use alloc::vec;
use alloc::vec::Vec;
use touchstone_crypto::HashAlgorithm::{self, Sha256, Sha384};
use touchstone_crypto::{Crypto, Curve, Digest, SignatureAlgorithm};

/// The algorithms a key can be created for, given a TPM that has them.
pub const ALGORITHMS: [SignatureAlgorithm; 4] = [
    SignatureAlgorithm::EcdsaP256Sha256,
    SignatureAlgorithm::EcdsaP384Sha384,
    SignatureAlgorithm::RsaPkcs1Sha256,
    SignatureAlgorithm::RsaPssSha256,
];

const BOUND: u32 = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN;

/// A signing key without an authorization value: signs anything or, `restricted`, only what the TPM
/// states.
pub fn signing(algorithm: SignatureAlgorithm, restricted: bool) -> Result<Public, Error> {
    let (scheme, key) = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => ((ALG_ECDSA, Sha256), blank_ecc(Curve::P256)),
        SignatureAlgorithm::EcdsaP384Sha384 => ((ALG_ECDSA, Sha384), blank_ecc(Curve::P384)),
        SignatureAlgorithm::RsaPkcs1Sha256 => ((ALG_RSASSA, Sha256), blank_rsa()),
        SignatureAlgorithm::RsaPssSha256 => ((ALG_RSAPSS, Sha256), blank_rsa()),
        _ => return Err(Error::Unsupported("keys of this signature algorithm")),
    };
    let restricted = if restricted { RESTRICTED } else { 0 };
    Ok(Public {
        name_algorithm: Sha256,
        attributes: BOUND | USER_WITH_AUTH | NO_DA | SIGN | restricted,
        policy: Vec::new(),
        symmetric: Symmetric::None,
        scheme: Some(scheme),
        key,
    })
}

/// The storage root key: ECC P-256 of the TCG TPM v2.0 Provisioning Guidance §7.5.1.
pub fn srk() -> Public {
    Public {
        name_algorithm: Sha256,
        attributes: BOUND | USER_WITH_AUTH | NO_DA | RESTRICTED | DECRYPT,
        policy: Vec::new(),
        symmetric: Symmetric::AesCfb { bits: 128 },
        scheme: None,
        key: Key::Ecc { curve: Curve::P256, x: vec![0; 32], y: vec![0; 32] },
    }
}

/// One of the endorsement keys of the TCG EK Credential Profile (v2.5 §2.2.1, Annex B).
pub struct EndorsementKind {
    /// Where the maker puts the certificate.
    pub certificate: u32,
    /// Where the maker may have put the key.
    pub persistent: u32,
    /// Whether use takes the policy, as keys of the low range do.
    pub by_policy: bool,
    /// Its template.
    pub template: fn(&dyn Crypto) -> Public,
}

/// The kinds, the ones found most first.
pub static ENDORSEMENT: [EndorsementKind; 5] = [
    EndorsementKind {
        certificate: 0x01C0_0002,
        persistent: 0x8101_0001,
        by_policy: true,
        template: |crypto| low(crypto, Key::Rsa { bits: 2048, exponent: 0, modulus: vec![0; 256] }),
    },
    EndorsementKind {
        certificate: 0x01C0_000A,
        persistent: 0x8101_0002,
        by_policy: true,
        template: |crypto| low(crypto, Key::Ecc { curve: Curve::P256, x: vec![0; 32], y: vec![0; 32] }),
    },
    EndorsementKind {
        certificate: 0x01C0_0012,
        persistent: 0x8101_0012,
        by_policy: false,
        template: |crypto| high(crypto, Sha256, blank_rsa()),
    },
    EndorsementKind {
        certificate: 0x01C0_0014,
        persistent: 0x8101_0014,
        by_policy: false,
        template: |crypto| high(crypto, Sha256, blank_ecc(Curve::P256)),
    },
    EndorsementKind {
        certificate: 0x01C0_0016,
        persistent: 0x8101_0016,
        by_policy: false,
        template: |crypto| high(crypto, Sha384, blank_ecc(Curve::P384)),
    },
];

/// Templates L-1 and L-2.
fn low(crypto: &dyn Crypto, key: Key) -> Public {
    Public {
        name_algorithm: Sha256,
        attributes: BOUND | ADMIN_WITH_POLICY | RESTRICTED | DECRYPT,
        policy: policy::endorsement(crypto, Sha256),
        symmetric: Symmetric::AesCfb { bits: 128 },
        scheme: None,
        key,
    }
}

/// Templates H-1 to H-3.
fn high(crypto: &dyn Crypto, hash: HashAlgorithm, key: Key) -> Public {
    Public {
        name_algorithm: hash,
        attributes: BOUND | USER_WITH_AUTH | ADMIN_WITH_POLICY | RESTRICTED | DECRYPT,
        policy: policy::endorsement_or_nv(crypto, hash),
        symmetric: Symmetric::AesCfb { bits: if hash.len() > 32 { 256 } else { 128 } },
        scheme: None,
        key,
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
            scheme: Some((ALG_ECDSA, Sha256)),
            key: Key::Ecc { curve: Curve::P256, x: unique.to_vec(), y: unique.to_vec() },
        }
    }
}

const fn blank_ecc(curve: Curve) -> Key {
    Key::Ecc { curve, x: Vec::new(), y: Vec::new() }
}

const fn blank_rsa() -> Key {
    Key::Rsa { bits: 2048, exponent: 0, modulus: Vec::new() }
}

/// The digest of a message under the hash of a signature algorithm.
pub fn message_digest(
    crypto: &dyn Crypto,
    algorithm: SignatureAlgorithm,
    message: &[u8],
) -> Result<Digest, Error> {
    let hash = match algorithm {
        SignatureAlgorithm::EcdsaP384Sha384 | SignatureAlgorithm::RsaPkcs1Sha384 => Sha384,
        SignatureAlgorithm::EcdsaP256Sha256
        | SignatureAlgorithm::EcdsaP384Sha256
        | SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::RsaPssSha256 => Sha256,
        _ => return Err(Error::Unsupported("signing with this algorithm")),
    };
    Ok(crypto.hash(hash, &[message]))
}
