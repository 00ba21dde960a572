//! The built program, a folder to work in, signers, and a fleet that says what it is told to.
#![allow(dead_code, reason = "each test uses its part")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use tempfile::TempDir;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_drive::blocking::TlsStream;
use touchstone_tls::{ClientAuth, Identity, ServerSetup};

/// What the program ended with.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The exit code is this one; otherwise everything is shown.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// stdout as the JSON object of that schema.
    pub(crate) fn json(&self, schema: &str) -> Value {
        let json: Value = serde_json::from_str(&self.out).unwrap();
        assert_eq!(json["schema"], schema);
        assert_eq!(json["good"], self.code == 0, "{json}");
        json
    }
}

/// Runs the program in a folder of its own choice of files.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_touchstone"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("TOUCHSTONE_FLEET")
        .env_remove("TOUCHSTONE_TOKEN")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A folder with these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// The example policy of the policy crate.
pub(crate) fn gateway_policy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/policy/examples/gateway.policy")
}

pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Writes `<name>.pem` and `<name>.key` of a new signer.
pub(crate) fn signer(folder: &Path, name: &str) -> Certificate {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let subject = Name::common_name(name).unwrap();
    let template = Template::new(Kind::CodeSigner, subject, now() - 60, now() + 86_400);
    let certificate = template.self_sign(&AwsLc, &key).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.to_pem().unwrap()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.to_pkcs8_pem().as_bytes()).unwrap();
    certificate
}

/// Writes `<name>.pem`, a certificate for the public key in PEM, and `ca.pem`, its issuer's.
pub(crate) fn certify(folder: &Path, name: &str, public_key: &str) {
    let ca_key = match std::fs::read_to_string(folder.join("ca.key")) {
        Ok(pem) => SoftSigner::from_pkcs8_pem(&pem).unwrap(),
        Err(_) => SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap(),
    };
    let template = |kind, name| {
        Template::new(kind, Name::common_name(name).unwrap(), now() - 60, now() + 86_400)
    };
    let ca = template(Kind::Root, "ca").self_sign(&AwsLc, &ca_key).unwrap();
    let (_, spki) = pem_rfc7468::decode_vec(public_key.trim().as_bytes()).unwrap();
    let issuer = Issuer::new(&ca, &ca_key).unwrap();
    let certificate = template(Kind::CodeSigner, name).issue(&AwsLc, &issuer, &spki).unwrap();
    std::fs::write(folder.join("ca.key"), ca_key.to_pkcs8_pem().as_bytes()).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.to_pem().unwrap()).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.to_pem().unwrap()).unwrap();
}

/// A fleet for one request: answers with the status and body, and gives the request's head back.
pub(crate) fn fleet(status: &str, body: &str) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        while !head.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut head).unwrap() > 0, "the request ended early: {head}");
        }
        stream.write_all(answer.as_bytes()).unwrap();
        head
    });
    (url, thread)
}

/// A fleet like [`fleet`] behind TLS, with a certificate under `<folder>/roots.pem`.
pub(crate) fn secure_fleet(folder: &Path, body: &str) -> (String, JoinHandle<()>) {
    let ca_key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let template = |kind, name| {
        Template::new(kind, Name::common_name(name).unwrap(), now() - 60, now() + 86_400)
    };
    let ca = template(Kind::Root, "fleet CA").self_sign(&AwsLc, &ca_key).unwrap();
    std::fs::write(folder.join("roots.pem"), ca.to_pem().unwrap()).unwrap();
    let names = vec![AlternativeName::Ip([127, 0, 0, 1].into())];
    let issuer = Issuer::new(&ca, &ca_key).unwrap();
    let server = template(Kind::Server, "fleet").with_names(names);
    let server = server.issue(&AwsLc, &issuer, key.spki_der()).unwrap();
    let identity = Identity::from_signer(&[server.der().to_vec()], Arc::new(key)).unwrap();
    let config = ServerSetup::new(identity, ClientAuth::None).alpn(&[b"http/1.1"]).build().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let thread = std::thread::spawn(move || {
        // A client that does not believe the certificate goes before there is a stream.
        let Ok(mut stream) = TlsStream::accept(listener.accept().unwrap().0, &config) else {
            return;
        };
        let mut head = Vec::new();
        let mut buf = [0; 1024];
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(read @ 1..) = stream.read(&mut buf) else { return };
            head.extend_from_slice(&buf[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.close().unwrap();
    });
    (url, thread)
}
