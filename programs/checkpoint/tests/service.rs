//! The checkpoint as a service: its manager hears that it is ready, alive, and about to end; its key
//! comes as a credential.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

/// The files of a checkpoint, its key in a folder of credentials.
fn lay_out(folder: &Path) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let key = || SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let (ca, own, verifier) = (key(), key(), key());
    let name = Name::common_name("CA").unwrap();
    let root =
        Template::new(Kind::Root, name, now - 60, now + 3600).self_sign(&AwsLc, &ca).unwrap();
    let name = Name::common_name("edge").unwrap();
    let leaf = Template::new(Kind::Server, name, now - 60, now + 3600)
        .with_names(vec![AlternativeName::Dns("edge.example".into())])
        .issue(&AwsLc, &Issuer::new(&root, &ca).unwrap(), own.spki_der())
        .unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    std::fs::create_dir(folder.join("credentials")).unwrap();
    write("roots.pem", &root.to_pem().unwrap());
    write("edge.pem", &leaf.to_pem().unwrap());
    let pem = |label, der: &[u8]| {
        pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap()
    };
    write("credentials/edge.key", &own.to_pkcs8_pem());
    write("verifier.pem", &pem("PUBLIC KEY", verifier.spki_der()));
    let at = folder.display();
    let config = format!(
        r#"listen = "127.0.0.1:0"
status = "127.0.0.1:0"
certificate = "{at}/edge.pem"
key = "credential:edge.key"
device_roots = "{at}/roots.pem"
verifier = "{at}/verifier.pem"
[fleet]
address = "127.0.0.1:9"
name = "fleet.example"
roots = "{at}/roots.pem"
[[route]]
name = "broker.example:8883"
to = "127.0.0.1:9"
"#
    );
    write("checkpoint.toml", &config);
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_service_manager_hears_that_the_checkpoint_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path());
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let hears = || {
        let mut heard = [0; 512];
        let len = manager.recv(&mut heard).unwrap();
        String::from_utf8(heard[..len].to_vec()).unwrap()
    };
    let checkpoint = Command::new(env!("CARGO_BIN_EXE_touchstone-checkpoint"))
        .arg("--config")
        .arg(folder.path().join("checkpoint.toml"))
        .env("CREDENTIALS_DIRECTORY", folder.path().join("credentials"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "600000")
        .stderr(Stdio::null())
        .spawn();
    let mut checkpoint = Ended(checkpoint.unwrap());
    assert!(hears().starts_with("READY=1\nSTATUS=admits devices at 127.0.0.1:"));
    for _ in 0..3 {
        assert_eq!(hears(), "WATCHDOG=1");
    }
    let id = checkpoint.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    while hears() != "STOPPING=1" {}
    assert!(checkpoint.0.wait().unwrap().success());
}
