//! The layout of a policy: it keeps every word and comment, and is its own layout.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_policy::format;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(laid) = format(text) else { return };
    assert_eq!(format(&laid).as_ref(), Ok(&laid));
    let words = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(words(&laid), words(text));
});
