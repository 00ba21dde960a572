//! Signed heads of a log and their keys: what reads is what it is written as, and nothing is believed
//! that the key did not sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_audit::{Checkpoint, Head, LogKey};
use touchstone_crypto_awslc::AwsLc;

/// A key whose private half nobody kept.
const KEY: &str = "plant/audit+27938cf4+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::of_note(text) {
        assert!(text.starts_with(&checkpoint.text()));
    }
    if let Ok(key) = LogKey::parse(&AwsLc, text) {
        assert_eq!(LogKey::parse(&AwsLc, &key.to_string()), Ok(key));
    }
    if let Ok(key) = LogKey::parse(&AwsLc, KEY) {
        assert!(key.open(&AwsLc, text).is_err());
    }
    if let Ok(head) = text.parse::<Head>() {
        assert_eq!(head.to_string().parse(), Ok(head));
    }
});
