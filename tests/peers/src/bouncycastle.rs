//! Bouncy Castle, through a small program of ours that calls it: `tests/interop/bouncycastle`.

use crate::process::{attempt, tool};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where Debian has it.
const JARS: [&str; 3] =
    ["/usr/share/java/bcprov.jar", "/usr/share/java/bcpkix.jar", "/usr/share/java/bcutil.jar"];

/// The program, compiled for this test.
pub struct BouncyCastle {
    classes: TempDir,
}

impl BouncyCastle {
    /// Compiles it.
    pub fn new() -> Self {
        for jar in JARS {
            let there = Path::new(jar).exists();
            assert!(there, "{jar} is missing; run cargo xtask test, which installs it");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/bouncycastle");
        let sources = ["Peer.java", "Est.java"].map(|name| folder.join(name).display().to_string());
        let classes = tempfile::tempdir().unwrap();
        let into = classes.path().to_string_lossy().into_owned();
        let [peer, est] = &sources;
        let path = JARS.join(":");
        tool("javac", classes.path(), &["-nowarn", "-cp", &path, "-d", &into, peer, est]);
        Self { classes }
    }

    /// Runs one of its EST client's commands, which must succeed, in this folder; its output.
    pub fn est(&self, folder: &Path, line: &str) -> String {
        let (good, said) = self.attempt_class("Est", folder, line);
        assert!(good, "bouncycastle est {line}: {said}");
        said
    }

    /// Runs one of its commands, which must succeed, in this folder; its standard output.
    pub fn run(&self, folder: &Path, line: &str) -> String {
        let (good, said) = self.attempt(folder, line);
        assert!(good, "bouncycastle {line}: {said}");
        said
    }

    /// Runs one of its commands that may fail; whether it succeeded, and all it said.
    pub fn attempt(&self, folder: &Path, line: &str) -> (bool, String) {
        self.attempt_class("Peer", folder, line)
    }

    fn attempt_class(&self, class: &str, folder: &Path, line: &str) -> (bool, String) {
        let path: PathBuf = self.classes.path().into();
        let path = format!("{}:{}", JARS.join(":"), path.display());
        let mut arguments = vec!["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", &path, class];
        arguments.extend(line.split_whitespace());
        attempt("java", folder, &arguments)
    }
}

impl Default for BouncyCastle {
    fn default() -> Self {
        Self::new()
    }
}
