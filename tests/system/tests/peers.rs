//! The rig's peers are the real ones: they demand certificates, and say what they received.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use touchstone_system::interrupt::Scratch;
use touchstone_system::peers::{BACKSTAGE, Broker, Collector, Credentials};
use touchstone_system::tools;

/// A CA with a server's and a client's certificate, as files.
struct Pki {
    scratch: Scratch,
}

impl Pki {
    fn new() -> Self {
        let scratch = Scratch::new().unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "peers CA");
        let root = ca.self_signed(&ca_key).unwrap();
        std::fs::write(scratch.path().join("ca.pem"), root.pem()).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![BACKSTAGE.to_string()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let cert = params.signed_by(&key, &issuer).unwrap();
            std::fs::write(scratch.path().join(format!("{name}.pem")), cert.pem()).unwrap();
            let key = key.serialize_pem();
            std::fs::write(scratch.path().join(format!("{name}.key")), key).unwrap();
        }
        Self { scratch }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Sends bytes over TLS 1.3, with the client's certificate or without; what came back, of an
    /// answer with `answer_len` octets.
    fn exchange(
        &self,
        to: SocketAddr,
        with_certificate: bool,
        bytes: &[u8],
        answer_len: u64,
    ) -> Vec<u8> {
        // Whatever goes wrong, this ends.
        let mut openssl = Command::new(tools::find("timeout", "coreutils").unwrap());
        openssl.arg("60").arg(tools::find("openssl", "openssl").unwrap());
        openssl.args([
            "s_client",
            "-quiet",
            "-no_ign_eof",
            "-tls1_3",
            "-verify_return_error",
            "-connect",
        ]);
        openssl.arg(to.to_string()).arg("-CAfile").arg(self.file("ca.pem"));
        if with_certificate {
            openssl.arg("-cert").arg(self.file("client.pem"));
            openssl.arg("-key").arg(self.file("client.key"));
        }
        let mut child = openssl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
        // openssl ends when its input does, or when the other end closes.
        let mut stdin = Some(stdin).filter(|_| answer_len > 0);
        let mut answer = Vec::new();
        child.stdout.take().unwrap().take(answer_len).read_to_end(&mut answer).unwrap();
        drop(stdin.take());
        child.wait().unwrap();
        answer
    }
}

fn credentials<'a>(roots: &'a Path, chain: &'a Path, key: &'a Path) -> Credentials<'a> {
    Credentials { client_roots: roots, chain, key }
}

/// MQTT 3.1.1 §3.1: CONNECT, clean session, client identifier `rig`.
const CONNECT: &[u8] = b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03rig";
/// MQTT 3.1.1 §3.2: CONNACK, accepted.
const ACCEPTED: &[u8] = b"\x20\x02\0\0";

#[test]
fn the_broker_takes_nobody_without_a_certificate() {
    let pki = Pki::new();
    let (roots, chain, key) = (pki.file("ca.pem"), pki.file("server.pem"), pki.file("server.key"));
    let folder = pki.scratch.folder("broker").unwrap();
    let broker = Broker::start(&folder, &credentials(&roots, &chain, &key)).unwrap();
    assert_eq!(pki.exchange(broker.address, true, CONNECT, 4), ACCEPTED);
    assert_eq!(pki.exchange(broker.address, false, CONNECT, 4), b"");
    let log = broker.process.log().unwrap();
    assert!(log.contains("as rig"), "{log}");

    let mut observer = TcpStream::connect(broker.observer).unwrap();
    observer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    observer.write_all(CONNECT).unwrap();
    let mut answer = [0; 4];
    observer.read_exact(&mut answer).unwrap();
    assert_eq!(answer, ACCEPTED);
    // The device is led to 127.0.0.1, where nobody listens.
    let seen_by_device = SocketAddr::from((Ipv4Addr::LOCALHOST, broker.address.port()));
    assert!(TcpStream::connect(seen_by_device).is_err());
}

#[test]
fn the_collector_keeps_what_certified_senders_say() {
    let pki = Pki::new();
    let (roots, chain, key) = (pki.file("ca.pem"), pki.file("server.pem"), pki.file("server.key"));
    let folder = pki.scratch.folder("collector").unwrap();
    let collector = Collector::start(&folder, &credentials(&roots, &chain, &key)).unwrap();
    let message =
        "<110>1 2026-11-23T10:00:00Z fleet touchstone - verdict [t@32473 a=\"b\"] changed";
    let framed = |text: &str| format!("{} {text}", text.len());
    pki.exchange(collector.address, false, framed("<110>1 - - - - - - forged").as_bytes(), 0);
    pki.exchange(collector.address, true, framed(message).as_bytes(), 0);
    let end = Instant::now() + Duration::from_secs(30);
    while collector.received().unwrap().is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(collector.received().unwrap(), [message]);
}
