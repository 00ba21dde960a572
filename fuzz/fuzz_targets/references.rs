//! Reference values: JSON as it comes, and envelopes that nobody signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_appraise::{Document, References};
use touchstone_certs::TrustStore;
use touchstone_crypto::Verified;
use touchstone_crypto_awslc::AwsLc;

fuzz_target!(|data: &[u8]| {
    if let Ok(document) = Document::from_json(data) {
        assert_eq!(Document::from_json(&document.to_json()).as_ref(), Ok(&document));
        let mut references = References::new();
        let _ = references.merge(&Verified::vouch(document));
    }
    assert!(Document::open(&AwsLc, data, &TrustStore::default(), 0).is_err());
});
