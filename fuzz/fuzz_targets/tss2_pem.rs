//! A TPM's key file that an operator puts on the disk: nothing may panic, and what is read is
//! written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_tpm2::pem::KeyFile;

fuzz_target!(|data: &[u8]| {
    let text = core::str::from_utf8(data).unwrap_or_default();
    for key in [KeyFile::from_der(data), KeyFile::from_pem(text)].into_iter().flatten() {
        let der = key.to_der().expect("what was read can be written");
        assert_eq!(KeyFile::from_der(&der), Ok(key.clone()));
        // Base64 takes a third more, which the longest files have no room for.
        if let Ok(text) = key.to_pem() {
            assert_eq!(KeyFile::from_pem(&text), Ok(key));
        }
    }
});
