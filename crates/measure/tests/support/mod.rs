//! Where the test material is.

use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A capture of the rig's own device.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn rig(name: &str) -> Vec<u8> {
    let path = workspace().join("tests/vectors/rig").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder of the shared corpus; `None`, said loudly, where it is not at hand. Continuous
/// integration must have it.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn corpus(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TOUCHSTONE_CORPUS")
        .map_or_else(|| workspace().join("../shared/corpus"), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is missing; set TOUCHSTONE_CORPUS to the corpus",
        path.display()
    );
    eprintln!("NOT RUN: {} is missing; set TOUCHSTONE_CORPUS to the corpus", path.display());
    None
}
