//! Lines of `/proc/PID/maps`, which hold whatever names a process gives its files; the credential of
//! an onboarding beside them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_agent::collect::maps::{Backing, executable};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mappings) = executable(bytes) {
        assert!(mappings.len() <= bytes.len());
        for mapping in mappings {
            assert!(mapping.start <= mapping.end);
            if let Backing::File { inode, .. } = mapping.backing {
                assert_ne!(inode, 0);
            }
        }
    }
    if let Some(credential) = touchstone_agent::keeper::credential(bytes) {
        assert_eq!(credential.blob.len() + credential.secret.len() + 4, bytes.len());
    }
});
