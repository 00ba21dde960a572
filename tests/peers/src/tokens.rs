//! Libraries of Python that sign and verify tokens: `cwt` and PyJWT.

use crate::collectors::python;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Asks `tests/interop/tokens/peer.py`: what it prints, or what it says if it refuses.
pub fn token_peer(verb: &str, form: &str, key_pem: &str, input: &[u8]) -> Result<Vec<u8>, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop/tokens/peer.py");
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    std::fs::write(&key, key_pem).unwrap();
    let mut child = Command::new(python("tokens").join("bin/python"))
        .arg(script)
        .args([verb, form])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let input = input.to_vec();
    // What does not fit into a pipe waits until the other side reads.
    let sent = std::thread::spawn(move || to.write_all(&input));
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        sent.join().unwrap().unwrap();
        return Ok(output.stdout);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}
