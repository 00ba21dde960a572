//! What a disk or a caller hands to the software element: its store, the store's body, the mark in
//! the second place, sealed secrets. Nothing may panic, and what reads back writes the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| touchstone_element_software::hostile::parse(data));
