//! Pages of a device's log: what reads is what was written, and no page makes whoever takes a log
//! over panic, or take what its key has not signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_audit::{LogKey, Page, Replica};
use touchstone_crypto_awslc::AwsLc;

/// A key whose private half nobody kept.
const KEY: &str = "plant/audit+27938cf4+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

fuzz_target!(|data: &[u8]| {
    if let Ok(page) = Page::decode(data) {
        assert_eq!(Page::decode(&page.encode()), Ok(page));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(replica) = text.parse::<Replica>()
    {
        assert_eq!(replica.to_string().parse(), Ok(replica));
    }
    let Ok(key) = LogKey::parse(&AwsLc, KEY) else { return };
    if let Ok(taken) = Replica::default().take(&AwsLc, &key, u64::MAX, data) {
        assert!(taken.entries.is_empty() && taken.replica == Replica::default());
    }
});
