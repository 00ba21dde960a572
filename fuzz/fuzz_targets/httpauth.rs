//! Authentication headers. A challenge that is read is understood the same when it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto_awslc::AwsLc;
use touchstone_httpauth::{Basic, Challenge, Digest, secret};

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = std::str::from_utf8(bytes) else { return };
    if let Ok(basic) = Basic::parse(header) {
        assert_eq!(Basic::parse(&basic.header()), Ok(basic));
    }
    if let Ok(challenge) = Challenge::parse(header) {
        let again = Challenge::parse(&challenge.to_string()).expect("what was read can be written");
        assert_eq!(again.stale, challenge.stale);
    }
    if let Ok(digest) = Digest::parse(header) {
        let kept = secret(&AwsLc, digest.user(), "est", "a password that nobody guesses");
        assert!(digest.verify(&AwsLc, "est", "GET", "/", &kept).is_err());
    }
});
