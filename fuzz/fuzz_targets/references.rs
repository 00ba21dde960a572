//! Reference values: JSON as it comes, envelopes that nobody signed, and revocations. What is exported
//! comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_appraise::references::corim::{self, Elements};
use touchstone_appraise::references::{Assignment, Manifest};
use touchstone_appraise::{Document, References};
use touchstone_certs::TrustStore;
use touchstone_crypto::Verified;
use touchstone_crypto_awslc::AwsLc;

fuzz_target!(|data: &[u8]| {
    if let Ok(document) = Document::from_json(data) {
        assert_eq!(Document::from_json(&document.to_json()).as_ref(), Ok(&document));
        let written = corim::export(&document).expect("what can be meant can be written");
        let read = corim::import(&AwsLc, &written.octets, Elements::default(), None);
        assert_eq!(read.expect("what was written is read").version, Some(document.version));
        let mut references = References::new();
        let _ = references.merge(&AwsLc, &Verified::vouch(document));
    }
    let _ = Document::new("plant", "revocations", 1).revocations(&AwsLc, data);
    if let Ok(assignment) = Assignment::from_json(data) {
        assert_eq!(Assignment::from_json(&assignment.to_json()).as_ref(), Ok(&assignment));
        let mut references = References::new();
        let _ = references.assign(&AwsLc, &Verified::vouch(assignment));
    }
    assert!(Manifest::open(&AwsLc, data, &TrustStore::default(), 0).is_err());
    assert!(Document::open(&AwsLc, data, &TrustStore::default(), 0).is_err());
});
