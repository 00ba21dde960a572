//! References to keys: the text in a configuration, and the PEM file. What parses prints the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_element::{KeyReference, Reference};

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let printed = reference.to_string();
        assert_eq!(printed.parse::<Reference>().as_ref(), Ok(&reference));
        let made = KeyReference { reference, spki_sha256: None };
        let pem = made.to_pem().expect("what parses can be written");
        assert_eq!(KeyReference::from_pem(&pem), Ok(made));
    }
    if let Ok(read) = KeyReference::from_pem(text) {
        let pem = read.to_pem().expect("what was read can be written");
        assert_eq!(KeyReference::from_pem(&pem), Ok(read));
    }
});
