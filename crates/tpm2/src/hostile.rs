//! Every parser of this crate at once, for the fuzzer. Not part of the API.

use crate::admin::capability::decode_page;
use crate::admin::{TestResult, Time};
use crate::nv::{Index, split_certificates};
use crate::object::{CreationData, Point, SoftwareKey};
use crate::pem::KeyFile;
use crate::public::{Public, name_of, to_spki};
use crate::response::Response;
use crate::{credential, pcr, signature};
use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm, TpmCrypto};

/// Hands the same octets to every parser. Returning is all that is asked of them; what they read is
/// written again where there is a writer, and has to be the same.
///
/// # Panics
/// When an encoding does not come back as it was.
pub fn parse(crypto: &dyn TpmCrypto, octets: &[u8]) {
    for (handle, sessions) in [(false, 0), (true, 0), (true, 1), (false, 3)] {
        drop(Response::decode(octets, handle, sessions));
    }
    if let Ok(public) = Public::decode(octets) {
        assert!(public.encode().is_ok_and(|again| again == octets), "a public area changed");
        drop(public.spki_der());
        drop(credential::make(octets, b"name", b"secret", crypto));
    }
    drop(name_of(crypto, octets));
    drop(to_spki(octets));
    for algorithm in SignatureAlgorithm::ALL {
        drop(signature::to_x509(octets, algorithm));
    }
    for algorithm in HashAlgorithm::ALL {
        drop(pcr::decode_batch(algorithm, octets));
    }
    drop(pcr::decode_digests(octets));
    drop(decode_page(octets, 0, |reader| Ok((reader.u16()?, reader.u32()?))));
    drop(TestResult::decode(octets));
    let _ = Time::decode(octets);
    if let Ok(index) = Index::decode(crypto, 0x01C0_0002, octets) {
        assert!(index.encode().is_ok_and(|again| again == octets), "an index changed");
    }
    drop(split_certificates(octets));
    drop(SoftwareKey::from_pkcs8_der(octets));
    drop(Point::from_spki_der(octets));
    if let Ok(data) = CreationData::decode(octets) {
        assert_eq!(data.native(), octets, "creation data changed");
    }
    if let Ok(key) = KeyFile::from_der(octets) {
        let again = key.to_der().and_then(|der| KeyFile::from_der(&der));
        assert_eq!(again, Ok(key), "a key file changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;
    use alloc::vec::Vec;
    use touchstone_crypto_awslc::AwsLc;

    #[test]
    fn noise_and_damaged_structures_never_panic() {
        let mut seed = 0x9E37_79B9_u32;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed.to_be_bytes()[0]
        };
        let encode = |kind: &template::EndorsementKind| (kind.template)(&AwsLc).encode().unwrap();
        let starts: Vec<Vec<u8>> = template::ENDORSEMENT.iter().map(encode).collect();
        for round in 0..3000 {
            let mut octets = starts[round % starts.len()].clone();
            for _ in 0..round % 7 {
                let at = usize::from(next()) % octets.len();
                octets[at] = next();
            }
            octets.truncate(octets.len() - usize::from(next()) % 4);
            parse(&AwsLc, &octets);
            let noise: Vec<u8> = (0..round % 90).map(|_| next()).collect();
            parse(&AwsLc, &noise);
        }
    }
}
