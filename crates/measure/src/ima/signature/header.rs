//! `struct signature_v2_hdr`: what stands in `security.ima` and `security.evm`.

use super::{KeyId, SignatureFault};
use crate::ima::KernelHash;
use core::fmt;
use touchstone_wire::{Malformed, Reader};

/// The kind of a signature: the first octet of the extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Over a file's digest (`EVM_IMA_XATTR_DIGSIG`).
    File,
    /// Over a file's metadata, wherever the file is (`EVM_XATTR_PORTABLE_DIGSIG`).
    EvmPortable,
    /// Over the fs-verity digest of a file (`IMA_VERITY_DIGSIG`).
    Verity,
}

impl Kind {
    /// The octet.
    pub const fn number(self) -> u8 {
        match self {
            Self::File => 3,
            Self::EvmPortable => 5,
            Self::Verity => 6,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "ima",
            Self::EvmPortable => "evm-portable",
            Self::Verity => "verity",
        })
    }
}

/// A signature by a key that it names by four octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Its kind.
    pub kind: Kind,
    /// 2, or 3 for signatures over `struct ima_file_id`.
    pub version: u8,
    /// The algorithm of the signed digest.
    pub hash: KernelHash,
    /// Which key.
    pub key_id: KeyId,
    /// RSASSA-PKCS1-v1_5, or `Ecdsa-Sig-Value` in DER.
    pub signature: &'a [u8],
}

impl<'a> Signature<'a> {
    /// Reads the value of `security.ima` or `security.evm`.
    pub fn decode(xattr: &'a [u8]) -> Result<Self, SignatureFault> {
        let mut reader = Reader::new(xattr);
        let malformed = |error: Malformed| SignatureFault::Malformed(error.at);
        let kind = match reader.u8().map_err(malformed)? {
            3 => Kind::File,
            5 => Kind::EvmPortable,
            6 => Kind::Verity,
            // A digest (1, 4) or an HMAC (2) is no signature.
            _ => return Err(SignatureFault::Absent),
        };
        let version = reader.u8().map_err(malformed)?;
        if !matches!((kind, version), (Kind::File | Kind::EvmPortable, 2) | (_, 3)) {
            return Err(SignatureFault::Version(version));
        }
        let hash = reader.u8().map_err(malformed)?;
        let hash = KernelHash::from_number(hash).ok_or(SignatureFault::Malformed(2))?;
        let key_id = KeyId(reader.array().map_err(malformed)?);
        let signature = reader.sized_u16().map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        Ok(Self { kind, version, hash, key_id, signature })
    }
}
