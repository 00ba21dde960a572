//! Conceptual message wrappers: nothing panics, and what was read is written as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_evidence::cmw::Cmw;

fuzz_target!(|data: &[u8]| {
    if let Ok(cmw) = Cmw::decode(data) {
        let cbor = cmw.to_cbor();
        assert_eq!(Cmw::from_cbor(&cbor), Ok(cmw.clone()));
        if let Some(json) = cmw.to_json() {
            assert_eq!(Cmw::from_json(&json), Ok(cmw));
        }
    }
});
