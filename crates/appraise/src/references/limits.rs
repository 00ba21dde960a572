//! What values have to be so that they can be meant.

use super::{Error, ReferenceValue};
use alloc::collections::BTreeMap;
use touchstone_crypto::{Digest, HashAlgorithm};

/// The longest path, in octets (`PATH_MAX`).
const MAX_PATH: usize = 4096;
/// The longest command line, in octets.
const MAX_LINE: usize = 65_536;
const PCRS: u32 = 24;

/// Checks every value, and that no path has two contents.
pub(super) fn check<'v>(values: impl Iterator<Item = &'v ReferenceValue>) -> Result<(), Error> {
    let mut files: BTreeMap<(&str, HashAlgorithm), Digest> = BTreeMap::new();
    for value in values {
        match value {
            ReferenceValue::File { path, digest } => {
                check_path(path)?;
                let first = files.entry((path, digest.algorithm())).or_insert(*digest);
                if first != digest {
                    let (path, first, second) = (path.clone(), *first, *digest);
                    return Err(Error::Contradiction { path, first, second });
                }
            }
            ReferenceValue::FileVariants { path, digests } => {
                check_path(path)?;
                if digests.is_empty() {
                    return Err(Error::Path { path: path.clone(), why: "it has no digest" });
                }
            }
            ReferenceValue::Code { path, .. }
            | ReferenceValue::Generator { path }
            | ReferenceValue::FileIgnore { path } => {
                check_path(path)?;
            }
            ReferenceValue::FileScope { prefix } | ReferenceValue::FileExclude { prefix } => {
                check_path(prefix)?;
            }
            ReferenceValue::Publisher(publisher) => super::publisher::check(publisher)?,
            ReferenceValue::Pcr { index, .. } if *index >= PCRS => {
                return Err(Error::Pcr(*index));
            }
            ReferenceValue::CommandLine { text } if text.len() > MAX_LINE => {
                return Err(Error::TooLarge);
            }
            _ => {}
        }
    }
    Ok(())
}

/// A path that could be taken for another one, or steer what shows it, is not taken.
pub(super) fn check_path(path: &str) -> Result<(), Error> {
    let dots = |part: &str| part == "." || part == "..";
    let why = if path.is_empty() {
        "it is empty"
    } else if path.len() > MAX_PATH {
        "it is longer than 4096 octets"
    } else if path.chars().any(char::is_control) {
        "it has a control character in it"
    } else if path.contains('\u{fffd}') {
        "it is not UTF-8: a log cannot tell it from others"
    } else if path.split('/').any(dots) {
        "it has `.` or `..` in it, which the kernel never reports"
    } else if path.contains("//") {
        "it has an empty part in it, which the kernel never reports"
    } else {
        return Ok(());
    };
    Err(Error::Path { path: path.chars().take(200).collect(), why })
}
