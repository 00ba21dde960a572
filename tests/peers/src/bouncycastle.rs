//! Bouncy Castle, through a small program of ours that calls it: `tests/interop/bouncycastle`.

use crate::collectors::python;
use crate::process::{attempt, tool};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// Where Debian has it.
const JARS: [&str; 3] =
    ["/usr/share/java/bcprov.jar", "/usr/share/java/bcpkix.jar", "/usr/share/java/bcutil.jar"];

/// Those of Debian 13, in the folder of peers.
const NEWER: [&str; 3] = ["bcprov.jar", "bcpkix.jar", "bcutil.jar"];

/// A CA of Bouncy Castle's that serves, until it is dropped.
pub struct ForeignCa {
    /// Where it speaks EST: `https://127.0.0.1:PORT`.
    pub est: String,
    /// Where it speaks SCEP: `http://127.0.0.1:PORT/scep`.
    pub scep: String,
    child: Child,
    /// Java loads its classes when it needs them.
    _classes: Arc<TempDir>,
}

impl ForeignCa {
    /// Ends it, as a failure would.
    pub fn kill(&mut self) {
        // It may have gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for ForeignCa {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, compiled for this test.
pub struct BouncyCastle {
    classes: Arc<TempDir>,
    jars: String,
}

impl BouncyCastle {
    /// Compiles it.
    pub fn new() -> Self {
        for jar in JARS {
            let there = Path::new(jar).exists();
            assert!(there, "{jar} is missing; run cargo xtask test, which installs it");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/bouncycastle");
        let sources = ["Peer.java", "Est.java", "Authority.java"]
            .map(|name| folder.join(name).display().to_string());
        let classes = tempfile::tempdir().unwrap();
        let into = classes.path().to_string_lossy().into_owned();
        let [peer, est, authority] = &sources;
        let jars = JARS.join(":");
        tool(
            "javac",
            classes.path(),
            &["-nowarn", "-cp", &jars, "-d", &into, peer, est, authority],
        );
        Self { classes: Arc::new(classes), jars }
    }

    /// Compiles it with version 1.80, which has ML-DSA and ML-KEM.
    pub fn post_quantum() -> Self {
        let folder = python("bouncycastle").join("usr/share/java");
        let jars = NEWER.map(|jar| folder.join(jar).display().to_string()).join(":");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/bouncycastle");
        let [peer, more] =
            ["Peer.java", "PostQuantum.java"].map(|name| folder.join(name).display().to_string());
        let classes = tempfile::tempdir().unwrap();
        let into = classes.path().to_string_lossy().into_owned();
        let arguments = ["-nowarn", "-cp", &jars, "-d", &into, &peer, &more];
        tool("javac", classes.path(), &arguments);
        Self { classes: Arc::new(classes), jars }
    }

    /// Runs one of the commands that only version 1.80 has, which must succeed; its output.
    pub fn run_post_quantum(&self, folder: &Path, line: &str) -> String {
        let (good, said) = self.attempt_class("PostQuantum", folder, line);
        assert!(good, "bouncycastle 1.80 {line}: {said}");
        said
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

    /// Its CA with an EST and a SCEP server. `ca.pem` and `next.pem` are in the folder from then on;
    /// `ra.pem` there is whom it knows in TLS beside those whom it has certified.
    pub fn authority(&self, folder: &Path) -> ForeignCa {
        let (path, folder) = (self.path(), folder.display().to_string());
        let mut child = Command::new("java")
            .args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", &path, "Authority", &folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java is missing; run cargo xtask test, which installs it");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["ready", est, scep] = words[..] else { panic!("the CA does not start: {line}") };
        let (est, scep) =
            (format!("https://127.0.0.1:{est}"), format!("http://127.0.0.1:{scep}/scep"));
        ForeignCa { est, scep, child, _classes: Arc::clone(&self.classes) }
    }

    fn path(&self) -> String {
        format!("{}:{}", self.jars, self.classes.path().display())
    }

    fn attempt_class(&self, class: &str, folder: &Path, line: &str) -> (bool, String) {
        let path = self.path();
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
