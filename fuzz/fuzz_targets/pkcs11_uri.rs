//! PKCS#11 URIs: what is accepted is printed to text that means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_element_pkcs11::{Uri, UriFault};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(uri) = text.parse::<Uri>() {
        let printed = uri.to_string();
        // Every octet of an id is printed as three, so one that just fitted may not fit again.
        match printed.parse::<Uri>() {
            Err(error) if printed.len() > text.len() => {
                assert_eq!(error.fault, UriFault::TooLong);
            }
            again => assert_eq!(again, Ok(uri)),
        }
    }
});
