//! Doors for the fuzzer: what is read of keys from outside and from tokens.

use crate::encoding;
use touchstone_element::KeyAlgorithm;

/// Reads octets as everything that holds a key. What is taken is of the algorithm that was said.
pub fn keys(octets: &[u8]) {
    for &algorithm in KeyAlgorithm::ALL {
        drop(encoding::pkcs8(algorithm, octets));
        if encoding::ec_params(algorithm).is_some()
            && let Ok(spki) = encoding::ec_spki(algorithm, octets)
        {
            assert_eq!(encoding::spki_algorithm(&spki), Some(algorithm));
        }
        if let Ok(point) = encoding::peer_point(algorithm, octets) {
            let spki = encoding::ec_spki(algorithm, &point);
            assert_eq!(encoding::spki_algorithm(&spki.unwrap_or_default()), Some(algorithm));
        }
    }
    let (modulus, exponent) = octets.split_at(octets.len().min(256));
    if let Ok(spki) = encoding::rsa_spki(modulus, exponent) {
        assert!(encoding::rsa_parts(&spki).is_ok());
    }
    let _ = encoding::ec_algorithm(octets);
}
