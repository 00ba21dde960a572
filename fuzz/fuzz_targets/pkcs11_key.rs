//! Keys from outside (PKCS#8, SPKI) and from a token (points, moduli, parameters).
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| touchstone_element_pkcs11::hostile::keys(data));
