//! Hostile octets: whatever is done to a good envelope, reading it ends, and nobody who did not sign
//! is said to have signed.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use proptest::prelude::*;
use std::sync::LazyLock;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_cms::{DATA, SignedData, certs_only, read_certs_only};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

static GOOD: LazyLock<(Vec<u8>, Vec<u8>, Certificate)> = LazyLock::new(|| {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let template = Template::new(Kind::CodeSigner, Name::common_name("s").unwrap(), 0, 60);
    let certificate = template.self_sign(&AwsLc, &key).unwrap();
    let signers = [(&certificate, &key as &dyn touchstone_crypto::Signer)];
    let der = SignedData::sign(&AwsLc, b"content", DATA, &signers, 30).unwrap();
    (der, certs_only(std::slice::from_ref(&certificate)).unwrap(), certificate)
});

fn change(good: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (at, kind, value) in edits {
        let at = at % bytes.len().max(1);
        match kind % 5 {
            _ if bytes.is_empty() => {}
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *value),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_changed_envelope_never_says_something_new(
        edits in prop::collection::vec((0..4096_usize, any::<u8>(), any::<u8>()), 1..4),
    ) {
        let (der, bag, certificate) = &*GOOD;
        let decoded = SignedData::decode(&change(der, &edits));
        if let Ok(signed) = decoded.and_then(|decoded| decoded.verify(&AwsLc)) {
            prop_assert_eq!(signed.content(), b"content");
            let by = &signed.signers()[0].certificate;
            let broken = by.verify_signature(&AwsLc, by.spki_der()).is_err();
            prop_assert!(by == certificate || broken);
        }
        let _ = read_certs_only(&change(bag, &edits));
    }
}
