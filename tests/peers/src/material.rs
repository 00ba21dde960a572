//! Input for tests: what our own rig's device measured, and the corpus of captures from elsewhere.

use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of `tests/vectors/rig`: a capture of the rig's own device.
pub fn rig(name: &str) -> Vec<u8> {
    let path = workspace().join("tests/vectors/rig").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A part of the corpus of captured inputs; `None`, said loudly, where it is not at hand.
/// Continuous integration must have it.
#[allow(clippy::print_stderr, reason = "a test that does not run must be seen")]
pub fn corpus(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TOUCHSTONE_CORPUS")
        .map_or_else(|| workspace().join("../shared/corpus"), PathBuf::from);
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    let words = format!("{} is missing; set TOUCHSTONE_CORPUS to the corpus", path.display());
    assert!(std::env::var_os("CI").is_none(), "{words}");
    eprintln!("NOT RUN: {words}");
    None
}

/// Every file below a folder, in the order of their names.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
