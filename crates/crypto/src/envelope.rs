//! What signed and encrypted envelopes take beyond hashing and verifying (RFC 5652, RFC 5083,
//! RFC 5753, RFC 9629): hashing of what does not fit into memory, content encryption, key wrap, key
//! derivation, and the sender's side of key transport, agreement and encapsulation.

use crate::{Crypto, Digest, Error, HashAlgorithm};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroizing;

/// A provider that hashes piece by piece.
pub trait Hashing: Crypto {
    /// A digest that has seen nothing yet.
    fn hasher(&self, algorithm: HashAlgorithm) -> Box<dyn Hasher>;
}

/// A digest under way.
pub trait Hasher: Send {
    /// Takes the next octets.
    fn update(&mut self, octets: &[u8]);

    /// The digest of all that was taken.
    fn finish(self: Box<Self>) -> Digest;
}

/// A provider that can make and open envelopes. AES keys are 16 or 32 octets; what a provider does
/// not offer it answers with [`Error::Unsupported`].
pub trait EnvelopeCrypto: Hashing {
    /// AES-GCM (SP 800-38D), in place; the tag.
    fn aes_gcm_seal(
        &self,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<[u8; 16], Error>;

    /// AES-GCM, in place; [`Error::Undecryptable`] when anything was changed, and then what is in
    /// `data` is nobody's plaintext.
    fn aes_gcm_open(
        &self,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        data: &mut Vec<u8>,
        tag: &[u8; 16],
    ) -> Result<(), Error>;

    /// AES-CBC with the padding of RFC 5652 §6.3, in place. For peers that know nothing better:
    /// nothing shows a change.
    fn aes_cbc_encrypt(&self, key: &[u8], iv: &[u8; 16], data: &mut Vec<u8>) -> Result<(), Error>;

    /// AES-CBC with the padding of RFC 5652 §6.3, in place. Who sends, must not learn whether this
    /// or a later step failed.
    fn aes_cbc_decrypt(&self, key: &[u8], iv: &[u8; 16], data: &mut Vec<u8>) -> Result<(), Error>;

    /// AES key wrap (RFC 3394).
    fn aes_wrap(&self, kek: &[u8], key: &[u8]) -> Result<Vec<u8>, Error>;

    /// Undoes [`aes_wrap`](Self::aes_wrap); [`Error::Undecryptable`] under another key.
    fn aes_unwrap(&self, kek: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error>;

    /// The KDF of ANSI X9.63 (SEC 1 §3.6.1), as RFC 5753 uses it.
    fn x963_kdf(
        &self,
        hash: HashAlgorithm,
        secret: &[u8],
        info: &[u8],
        len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error>;

    /// HKDF (RFC 5869) without salt, as RFC 8619 and RFC 9936 use it.
    fn hkdf(
        &self,
        hash: HashAlgorithm,
        secret: &[u8],
        info: &[u8],
        len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error>;

    /// Encrypts to an RSA key (`SubjectPublicKeyInfo` in DER).
    fn rsa_encrypt(
        &self,
        spki_der: &[u8],
        padding: RsaPadding,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error>;

    /// ECDH between a fresh key and this one (`SubjectPublicKeyInfo` in DER), on its curve.
    fn agree_with(&self, spki_der: &[u8]) -> Result<Shared, Error>;

    /// A secret encapsulated to this ML-KEM key (`SubjectPublicKeyInfo` in DER).
    fn encapsulate(&self, spki_der: &[u8]) -> Result<Shared, Error>;
}

/// How RSA encryption is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RsaPadding {
    /// RSAES-OAEP (RFC 8017 §7.1) with this hash for label and mask, empty label.
    Oaep(HashAlgorithm),
    /// RSAES-PKCS1-v1_5 (RFC 8017 §7.2). Its padding tells attackers more than it should: only for
    /// peers that know nothing better.
    LegacyPkcs1,
}

/// A secret that two share, and what the other one needs to know it too.
pub struct Shared {
    /// For the other one: an encapsulation, or the point of a fresh key (SEC 1 §2.3.3, not
    /// compressed).
    pub public: Vec<u8>,
    /// The secret.
    pub secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("public", &self.public).finish_non_exhaustive()
    }
}

/// What the holder of a private key is asked for, to open an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// Decrypt with RSA.
    Rsa {
        /// How it is padded.
        padding: RsaPadding,
        /// What is to be decrypted.
        ciphertext: Vec<u8>,
    },
    /// Agree on a secret: the x-coordinate, as long as the field.
    Agree {
        /// The other key, on the same curve: `SubjectPublicKeyInfo` in DER.
        peer_spki_der: Vec<u8>,
    },
    /// Open an encapsulated secret.
    Decapsulate {
        /// The encapsulation.
        ciphertext: Vec<u8>,
    },
}

/// A private key that decrypts, agrees or decapsulates, wherever it lives.
pub trait Decrypter: Send + Sync {
    /// Its public key, `SubjectPublicKeyInfo` in DER.
    fn spki_der(&self) -> &[u8];

    /// What was asked for. May take as long as the key's holder needs.
    fn open(&self, opening: &Opening) -> Result<Zeroizing<Vec<u8>>, Error>;
}
