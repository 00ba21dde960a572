//! Keys and schemes by name.

use crate::KeyUse;
use std::fmt;
use touchstone_crypto::SignatureAlgorithm as Signature;

macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name on command lines, in configuration and in logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The one of that [`name`](Self::name).
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name() == name)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use named;

named! {
    /// What kind of key, and how long.
    KeyAlgorithm {
        /// RSA of 2048 bits.
        Rsa2048 = "rsa-2048",
        /// RSA of 3072 bits.
        Rsa3072 = "rsa-3072",
        /// RSA of 4096 bits.
        Rsa4096 = "rsa-4096",
        /// NIST P-256 (SP 800-186).
        P256 = "p-256",
        /// NIST P-384.
        P384 = "p-384",
        /// NIST P-521.
        P521 = "p-521",
        /// Ed25519 (RFC 8032).
        Ed25519 = "ed25519",
        /// ML-DSA-44 (FIPS 204).
        MlDsa44 = "ml-dsa-44",
        /// ML-DSA-65.
        MlDsa65 = "ml-dsa-65",
        /// ML-DSA-87.
        MlDsa87 = "ml-dsa-87",
        /// ML-KEM-512 (FIPS 203).
        MlKem512 = "ml-kem-512",
        /// ML-KEM-768.
        MlKem768 = "ml-kem-768",
        /// ML-KEM-1024.
        MlKem1024 = "ml-kem-1024",
        /// HMAC with SHA-256 (RFC 2104).
        HmacSha256 = "hmac-sha256",
        /// HMAC with SHA-384.
        HmacSha384 = "hmac-sha384",
        /// HMAC with SHA-512.
        HmacSha512 = "hmac-sha512",
        /// AES with a key of 128 bits.
        Aes128 = "aes-128",
        /// AES with a key of 256 bits.
        Aes256 = "aes-256",
    }
}

impl KeyAlgorithm {
    /// How such a key can sign, the usual way first; empty when it does not sign.
    pub const fn signatures(self) -> &'static [Signature] {
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                Signature::RsaPkcs1Sha256,
                Signature::RsaPssSha256,
                Signature::RsaPkcs1Sha384,
                Signature::RsaPssSha384,
                Signature::RsaPkcs1Sha512,
                Signature::RsaPssSha512,
            ],
            Self::P256 => &[Signature::EcdsaP256Sha256],
            Self::P384 => &[Signature::EcdsaP384Sha384, Signature::EcdsaP384Sha256],
            Self::P521 => &[Signature::EcdsaP521Sha512, Signature::EcdsaP521Sha384],
            Self::Ed25519 => &[Signature::Ed25519],
            Self::MlDsa44 => &[Signature::MlDsa44],
            Self::MlDsa65 => &[Signature::MlDsa65],
            Self::MlDsa87 => &[Signature::MlDsa87],
            _ => &[],
        }
    }

    /// How one encrypts to such a key, the usual way first.
    pub const fn encryptions(self) -> &'static [Encryption] {
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                Encryption::RsaOaepSha256,
                Encryption::RsaOaepSha384,
                Encryption::RsaOaepSha512,
                Encryption::RsaOaepSha1,
            ],
            Self::Aes128 | Self::Aes256 => &[Encryption::AesGcm, Encryption::AesCfb],
            _ => &[],
        }
    }

    /// What such a key can be for.
    pub const fn uses(self) -> &'static [KeyUse] {
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => {
                &[KeyUse::Sign, KeyUse::Attest, KeyUse::Decrypt]
            }
            Self::P256 | Self::P384 | Self::P521 => &[KeyUse::Sign, KeyUse::Attest, KeyUse::Agree],
            Self::Ed25519 | Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => &[KeyUse::Sign],
            Self::MlKem512 | Self::MlKem768 | Self::MlKem1024 => &[KeyUse::Decapsulate],
            Self::HmacSha256 | Self::HmacSha384 | Self::HmacSha512 => &[KeyUse::Mac],
            Self::Aes128 | Self::Aes256 => &[KeyUse::Decrypt],
        }
    }

    /// Whether there is no public part: one secret serves both ends.
    pub const fn is_symmetric(self) -> bool {
        matches!(
            self,
            Self::HmacSha256 | Self::HmacSha384 | Self::HmacSha512 | Self::Aes128 | Self::Aes256
        )
    }
}

named! {
    /// How something is encrypted to a key.
    Encryption {
        /// RSAES-OAEP with SHA-256 for label and mask (RFC 8017 §7.1), empty label.
        RsaOaepSha256 = "rsa-oaep-sha256",
        /// RSAES-OAEP with SHA-384.
        RsaOaepSha384 = "rsa-oaep-sha384",
        /// RSAES-OAEP with SHA-512.
        RsaOaepSha512 = "rsa-oaep-sha512",
        /// RSAES-OAEP with SHA-1: what some PKCS#11 tokens are limited to.
        RsaOaepSha1 = "rsa-oaep-sha1",
        /// AES-GCM (SP 800-38D): 12 octets of nonce, the ciphertext, 16 octets of tag.
        AesGcm = "aes-gcm",
        /// AES-CFB (SP 800-38A): 16 octets of initial vector, the ciphertext. Nothing shows a
        /// change: what TPMs offer.
        AesCfb = "aes-cfb",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_found_by_its_name_and_is_good_for_something() {
        for &algorithm in KeyAlgorithm::ALL {
            assert_eq!(KeyAlgorithm::from_name(algorithm.name()), Some(algorithm));
            assert!(!algorithm.uses().is_empty(), "{algorithm}");
            let signs = algorithm.uses().contains(&KeyUse::Sign);
            assert_eq!(signs, !algorithm.signatures().is_empty(), "{algorithm}");
            let decrypts = algorithm.uses().contains(&KeyUse::Decrypt);
            assert_eq!(decrypts, !algorithm.encryptions().is_empty(), "{algorithm}");
        }
        assert_eq!(KeyAlgorithm::from_name("P-256"), None);
    }
}
