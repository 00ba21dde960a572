//! What the tests of this crate share: the corpus, and the `openssl` command.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The corpus of captured inputs, or `None` (said aloud) where it is not at hand; under CI it must
/// be.
pub fn corpus(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TOUCHSTONE_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "no corpus at {}", path.display());
    eprintln!("NOT RUN: no corpus at {}; set TOUCHSTONE_CORPUS", path.display());
    None
}

/// Runs `openssl` in `dir`: whether it was content, and all that it said.
pub fn openssl(dir: &Path, args: &[&str]) -> (bool, String) {
    let out =
        Command::new("openssl").args(args).current_dir(dir).output().unwrap_or_else(|error| {
            panic!("no openssl ({error}): run cargo xtask test, which installs it")
        });
    let said = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Runs `openssl`, which must succeed.
pub fn openssl_ok(dir: &Path, args: &[&str]) -> String {
    let (good, said) = openssl(dir, args);
    assert!(good, "openssl {args:?}: {said}");
    said
}

/// Every file below `dir`.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
