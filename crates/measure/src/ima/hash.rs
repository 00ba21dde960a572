//! Hash algorithms by the kernel's name and number, whether they can be computed here or not
//! (Linux, `include/uapi/linux/hash_info.h`).

use core::fmt;
use touchstone_crypto::HashAlgorithm;

/// A hash algorithm as the kernel numbers it (`enum hash_algo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelHash(u8);

/// Name and octets of a digest, by number.
const ALL: [(&str, usize); 23] = [
    ("md4", 16),
    ("md5", 16),
    ("sha1", 20),
    ("rmd160", 20),
    ("sha256", 32),
    ("sha384", 48),
    ("sha512", 64),
    ("sha224", 28),
    ("rmd128", 16),
    ("rmd256", 32),
    ("rmd320", 40),
    ("wp256", 32),
    ("wp384", 48),
    ("wp512", 64),
    ("tgr128", 16),
    ("tgr160", 20),
    ("tgr192", 24),
    ("sm3", 32),
    ("streebog256", 32),
    ("streebog512", 64),
    ("sha3-256", 32),
    ("sha3-384", 48),
    ("sha3-512", 64),
];

impl KernelHash {
    /// MD5.
    pub const MD5: Self = Self(1);
    /// SHA-1.
    pub const SHA1: Self = Self(2);
    /// SHA-256.
    pub const SHA256: Self = Self(4);

    /// The algorithm of that number.
    pub const fn from_number(number: u8) -> Option<Self> {
        if (number as usize) < ALL.len() { Some(Self(number)) } else { None }
    }

    /// The algorithm of that name. SM3 was called `sm3-256` by kernels before 5.19.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if matches!(name, "sm3-256" | "sm3_256") { "sm3" } else { name };
        let number = ALL.iter().position(|(known, _)| *known == name)?;
        u8::try_from(number).ok().map(Self)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        ALL.get(usize::from(self.0)).map_or("", |(name, _)| name)
    }

    /// Octets in a digest.
    #[expect(clippy::len_without_is_empty, reason = "no digest is empty")]
    pub fn len(self) -> usize {
        ALL.get(usize::from(self.0)).map_or(0, |(_, len)| *len)
    }

    /// The same among those that can be computed here.
    pub fn algorithm(self) -> Option<HashAlgorithm> {
        match self {
            Self::SHA256 => Some(HashAlgorithm::Sha256),
            other => HashAlgorithm::from_name(other.name()),
        }
    }
}

impl From<HashAlgorithm> for KernelHash {
    fn from(algorithm: HashAlgorithm) -> Self {
        // Every algorithm of ours has the kernel's name; the fallback is never taken.
        Self::from_name(algorithm.name()).unwrap_or(Self::SHA256)
    }
}

impl fmt::Display for KernelHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_to_each_other() {
        for number in 0..=u8::MAX {
            let Some(hash) = KernelHash::from_number(number) else {
                assert!(usize::from(number) >= ALL.len());
                continue;
            };
            assert_eq!(hash.number(), number);
            assert_eq!(KernelHash::from_name(hash.name()), Some(hash));
            assert!(hash.algorithm().is_none_or(|algorithm| algorithm.len() == hash.len()));
        }
        for algorithm in HashAlgorithm::ALL {
            assert_eq!(KernelHash::from(algorithm).algorithm(), Some(algorithm));
        }
        assert_eq!(KernelHash::from_name("sm3-256"), KernelHash::from_name("sm3"));
        assert_eq!(KernelHash::from_name("unknown"), None);
    }
}
