//! Every parser of this crate at once, for the fuzzer. Not part of the API.

use crate::key_files::StoredKey;

/// Hands the same octets to every parser. What they read is written again, and has to be the same.
///
/// # Panics
/// When an encoding does not come back as it was.
pub fn parse(octets: &[u8]) {
    if let Ok(stored) = StoredKey::decode(octets) {
        let again = stored.encode().and_then(|written| StoredKey::decode(&written));
        assert!(again.is_ok_and(|again| again.file == stored.file), "a key file changed");
    }
}
