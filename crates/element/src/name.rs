//! Names of keys and of stored values.

use crate::Error;

/// Octets in the longest name.
pub const MAX_NAME_LEN: usize = 64;

/// Accepts 1 to [`MAX_NAME_LEN`] of `a-z 0-9 - _`: what is safe as a file's name everywhere.
pub fn check_name(name: &str) -> Result<(), Error> {
    let fits = (1..=MAX_NAME_LEN).contains(&name.len());
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    if fits && name.bytes().all(plain) { Ok(()) } else { Err(Error::BadName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_folder() {
        for good in ["ldevid", "lak", "ldevid-2", "a_b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "A", "a b", "a\0", "ä", &"x".repeat(65)] {
            assert!(matches!(check_name(bad), Err(Error::BadName)), "{bad}");
        }
    }
}
