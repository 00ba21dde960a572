//! Hash algorithms by name, and the digests they make.

use alloc::string::String;
use core::fmt::{self, Write as _};

/// A hash algorithm (TCG Algorithm Registry §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// SHA-1: read in old logs, never relied upon.
    Sha1,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-384 (FIPS 180-4).
    Sha384,
    /// SHA-512 (FIPS 180-4).
    Sha512,
}

impl HashAlgorithm {
    /// Every algorithm, shortest digest first.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name in logs, policies and configuration: `sha256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Octets in a digest.
    #[expect(clippy::len_without_is_empty, reason = "no digest is empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// `TPM_ALG_ID` (TCG Algorithm Registry §6.4).
    pub const fn tpm_id(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000B,
            Self::Sha384 => 0x000C,
            Self::Sha512 => 0x000D,
        }
    }

    /// The algorithm of that `TPM_ALG_ID`.
    pub fn from_tpm_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.tpm_id() == id)
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A digest and the algorithm that made it; shown as `sha256:ab12..`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: HashAlgorithm,
    bytes: [u8; 64],
}

impl Digest {
    /// A digest from its octets; `None` if there are not [`HashAlgorithm::len`] of them.
    pub fn new(algorithm: HashAlgorithm, digest: &[u8]) -> Option<Self> {
        if digest.len() != algorithm.len() {
            return None;
        }
        let mut bytes = [0; 64];
        bytes.get_mut(..digest.len())?.copy_from_slice(digest);
        Some(Self { algorithm, bytes })
    }

    /// A digest of zeros: the value of a PCR before its first extend.
    pub const fn zero(algorithm: HashAlgorithm) -> Self {
        Self { algorithm, bytes: [0; 64] }
    }

    /// The algorithm.
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The octets, [`HashAlgorithm::len`] of them.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.algorithm.len()).unwrap_or(&[])
    }

    /// The octets in lower-case hexadecimal.
    pub fn to_hex(&self) -> String {
        alloc::format!("{:x}", Hex(self.as_bytes()))
    }

    /// Reads `sha256:<hex>`.
    pub fn parse(text: &str) -> Result<Self, ParseDigestError> {
        let (name, hex) = text.split_once(':').ok_or(ParseDigestError::NoAlgorithm)?;
        let algorithm = HashAlgorithm::from_name(name).ok_or(ParseDigestError::UnknownAlgorithm)?;
        if hex.len() != algorithm.len() * 2 {
            return Err(ParseDigestError::WrongLength);
        }
        let half = |digit: u8| {
            let value = char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            value.ok_or(ParseDigestError::NotHex)
        };
        let mut digest = Self::zero(algorithm);
        let (pairs, _) = hex.as_bytes().as_chunks();
        for (byte, &[high, low]) in digest.bytes.iter_mut().zip(pairs) {
            *byte = half(high)? << 4 | half(low)?;
        }
        Ok(digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:x}", self.algorithm, Hex(self.as_bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
        self.0.iter().try_for_each(|byte| {
            f.write_char(digit(byte >> 4))?;
            f.write_char(digit(byte & 0xf))
        })
    }
}

/// Why a text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseDigestError {
    /// No `<algorithm>:` in front.
    NoAlgorithm,
    /// Not a hash algorithm known here.
    UnknownAlgorithm,
    /// Too few or too many digits for the algorithm.
    WrongLength,
    /// Something other than hexadecimal digits.
    NotHex,
}

impl fmt::Display for ParseDigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAlgorithm => "no algorithm in front of the digest; write it as `sha256:<hex>`",
            Self::UnknownAlgorithm => {
                "hash algorithm unknown; known are sha1, sha256, sha384, sha512"
            }
            Self::WrongLength => "not as many hexadecimal digits as the algorithm has",
            Self::NotHex => "not hexadecimal",
        })
    }
}

impl core::error::Error for ParseDigestError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_digest_reads_back_what_it_shows() {
        for algorithm in HashAlgorithm::ALL {
            let digest = Digest::new(algorithm, &[0xA5; 64][..algorithm.len()]).unwrap();
            assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
            assert_eq!(HashAlgorithm::from_tpm_id(algorithm.tpm_id()), Some(algorithm));
        }
    }

    #[test]
    fn a_bad_digest_says_what_is_wrong() {
        assert_eq!(Digest::parse("abcd"), Err(ParseDigestError::NoAlgorithm));
        assert_eq!(Digest::parse("md5:00"), Err(ParseDigestError::UnknownAlgorithm));
        assert_eq!(Digest::parse("sha1:00"), Err(ParseDigestError::WrongLength));
        assert_eq!(
            Digest::parse("sha1:+00000000000000000000000000000000000000g"),
            Err(ParseDigestError::NotHex)
        );
        assert_eq!(Digest::new(HashAlgorithm::Sha256, &[0; 31]), None);
    }
}
