//! The TPM's derivations (TPM 2.0 Part 1 §11.4.9). Hashes and HMAC themselves are the provider's.

use crate::Error;
use alloc::vec;
use alloc::vec::Vec;
use subtle::ConstantTimeEq;
use touchstone_crypto::{Crypto, HashAlgorithm, TpmCrypto};
use zeroize::Zeroizing;

/// Octets that are wiped when dropped.
pub type Octets = Zeroizing<Vec<u8>>;

/// Compares in constant time.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// `KDFa` (Part 1 §11.4.9.2): `len` octets in counter mode of SP 800-108.
pub fn kdfa(
    crypto: &dyn TpmCrypto,
    algorithm: HashAlgorithm,
    key: &[u8],
    label: &[u8],
    context_u: &[u8],
    context_v: &[u8],
    len: usize,
) -> Result<Octets, Error> {
    let too_long = |_| Error::BadInput("more octets are derived at once than a TPM ever does");
    let bits = u32::try_from(len * 8).map_err(too_long)?.to_be_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(len + algorithm.len()));
    let mut counter = 1u32;
    while out.len() < len {
        let number = counter.to_be_bytes();
        let parts = [number.as_slice(), label, &[0], context_u, context_v, &bits];
        out.extend_from_slice(crypto.hmac(algorithm, key, &parts)?.as_bytes());
        counter += 1;
    }
    out.truncate(len);
    Ok(out)
}

/// `KDFe` (Part 1 §11.4.9.3): one digest's worth from an ECDH secret.
pub fn kdfe(
    crypto: &dyn Crypto,
    algorithm: HashAlgorithm,
    z: &[u8],
    label: &[u8],
    party_u: &[u8],
    party_v: &[u8],
) -> Octets {
    let counter = 1u32.to_be_bytes();
    let parts: [&[u8]; 6] = [&counter, z, label, &[0], party_u, party_v];
    Zeroizing::new(crypto.hash(algorithm, &parts).as_bytes().to_vec())
}

/// A number with zeros in front, `len` octets in all.
pub(crate) fn padded(number: &[u8], len: usize) -> Result<Vec<u8>, Error> {
    let long = Error::Malformed("a number is longer than its curve or modulus");
    let zeros = len.checked_sub(number.len()).ok_or(long)?;
    let mut out = vec![0; zeros];
    out.extend_from_slice(number);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_crypto_awslc::AwsLc;

    #[test]
    fn a_longer_derivation_differs_because_its_length_is_part_of_it() {
        let derive =
            |len| kdfa(&AwsLc, HashAlgorithm::Sha256, b"key", b"CFB", b"u", b"v", len).unwrap();
        assert_eq!(derive(48).len(), 48);
        assert_ne!(derive(16)[..], derive(48)[..16]);
    }

    #[test]
    fn a_number_gets_its_zeros_back_and_a_longer_one_is_refused() {
        assert_eq!(padded(&[7], 3).unwrap(), [0, 0, 7]);
        assert!(padded(&[7; 4], 3).is_err());
    }
}
