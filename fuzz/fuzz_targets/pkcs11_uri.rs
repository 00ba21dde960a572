//! PKCS#11 URIs: what is accepted is printed to text that means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_element_pkcs11::Uri;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(uri) = text.parse::<Uri>() {
        assert_eq!(uri.to_string().parse::<Uri>(), Ok(uri));
    }
});
