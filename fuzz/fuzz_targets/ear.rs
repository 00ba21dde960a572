//! Attestation results: tokens as they come, and claims that are signed but not ours.
#![no_main]

use base64ct::{Base64UrlUnpadded, Encoding};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use touchstone_appraise::VerifierKey;
use touchstone_appraise::ear::{to_cwt, to_jwt, verify_cwt, verify_jwt};
use touchstone_crypto::{SignatureAlgorithm, Signer, ecdsa};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

static KEY: LazyLock<(SoftSigner, [VerifierKey; 1])> = LazyLock::new(|| {
    let signer = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).expect("a key");
    let key = VerifierKey::from_spki(signer.spki_der()).expect("a P-256 key");
    (signer, [key])
});

fuzz_target!(|data: &[u8]| {
    let (signer, keys) = &*KEY;
    let _ = verify_cwt(&AwsLc, data, keys);
    if let Ok(token) = core::str::from_utf8(data) {
        let _ = verify_jwt(&AwsLc, token, keys);
    }
    let fixed = |message: &[u8]| {
        let der = signer.sign(message).expect("the key signs");
        ecdsa::der_to_fixed(&der, 32).expect("a P-256 signature")
    };
    let b64 = Base64UrlUnpadded::encode_string;
    let input = format!("{}.{}", b64(br#"{"alg":"ES256"}"#), b64(data));
    let jwt = format!("{input}.{}", b64(&fixed(input.as_bytes())));
    if let Ok(ear) = verify_jwt(&AwsLc, &jwt, keys) {
        let again = to_jwt(&ear, signer).expect("what was read can be written");
        assert_eq!(verify_jwt(&AwsLc, &again, keys).as_ref(), Ok(&ear));
    }

    let cwt = coset::CoseSign1Builder::new()
        .protected(coset::HeaderBuilder::new().algorithm(coset::iana::Algorithm::ES256).build())
        .payload(data.to_vec())
        .create_signature(&[], fixed)
        .build();
    let cwt = coset::TaggedCborSerializable::to_tagged_vec(cwt).expect("it encodes");
    if let Ok(ear) = verify_cwt(&AwsLc, &cwt, keys) {
        let again = to_cwt(&ear, signer).expect("what was read can be written");
        assert_eq!(verify_cwt(&AwsLc, &again, keys).as_ref(), Ok(&ear));
    }
});
