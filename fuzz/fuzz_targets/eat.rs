//! Entity attestation tokens: tokens as they come, and claims in both forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::eat::{Bundle, Eat};
use touchstone_evidence::envelope::{Sender, is_token};
use touchstone_evidence::token::TokenKey;

static KEYS: LazyLock<[TokenKey; 1]> = LazyLock::new(|| {
    let signer = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).expect("a key");
    [TokenKey::from_spki(signer.spki_der()).expect("a P-256 key")]
});

fuzz_target!(|data: &[u8]| {
    assert!(Eat::from_cwt(&AwsLc, data, &*KEYS).is_err());
    let _ = Eat::dangerous_unverified_cwt(data);
    if let Ok(token) = core::str::from_utf8(data) {
        assert!(Eat::from_jwt(&AwsLc, token, &*KEYS).is_err());
        let _ = Eat::dangerous_unverified_jwt(token);
    }
    // Bare evidence is everybody's; in a token it is nobody's but the key's.
    let sender = Sender { key: KEYS[0].spki_der(), nonce: &[7; 32], ueid: None };
    let opened = sender.evidence(&AwsLc, data, 0);
    assert!(opened.is_err() || !is_token(data));
    if let Ok(bundle) = Bundle::decode(data) {
        let again = bundle.encode().expect("what was read can be written");
        assert_eq!(Bundle::decode(&again).as_ref(), Ok(&bundle));
        assert!(bundle.verify(&AwsLc, &*KEYS).is_err());
        let _ = bundle.dangerous_unverified(&AwsLc);
    }
    for eat in [Eat::from_cbor(data), Eat::from_json(data)].into_iter().flatten() {
        let cbor = eat.to_cbor().expect("what was read can be written");
        assert_eq!(Eat::from_cbor(&cbor).as_ref(), Ok(&eat));
    }
});
