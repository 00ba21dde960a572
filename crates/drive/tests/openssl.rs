//! Against OpenSSL's own client and server, over TCP, by the blocking stream.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use support::{Authority, Issued};
use touchstone_crypto_awslc::SoftSigner;
use touchstone_drive::ConnectError;
use touchstone_drive::blocking::TlsStream;
use touchstone_tls::{
    CertificateFault, ClientAuth, ClientSetup, Error, Identity, ServerName, ServerSetup,
};

/// A folder with files for openssl.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `-cert FILE -key FILE`
    fn identity(&self, issued: &Issued) -> [PathBuf; 4] {
        let (cert, key) = (self.put("cert.pem", &issued.pem), self.put("key.pem", &issued.key));
        [Path::new("-cert").into(), cert, Path::new("-key").into(), key]
    }
}

struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(command: &mut Command) -> Running {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is missing: run cargo xtask test, which installs it");
    let stdin = child.stdin.take();
    Running { child, stdin }
}

/// A server that sends back every line reversed and demands a certificate of `clients`.
fn s_server(files: &Files, identity: &Issued, clients: &Authority) -> (Running, u16) {
    let mut running = openssl(
        Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-rev", "-tls1_3", "-Verify", "2"])
            .args(["-verify_return_error", "-CAfile"])
            .arg(files.put("clients.pem", &clients.pem))
            .args(files.identity(identity)),
    );
    let mut lines = BufReader::new(running.child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("ACCEPT") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "s_server ended early");
    }
    running.child.stdout = Some(lines.into_inner());
    let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
    (running, port)
}

fn tcp(port: u16) -> TcpStream {
    let io = TcpStream::connect(("127.0.0.1", port)).unwrap();
    io.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    io
}

fn localhost() -> ServerName {
    ServerName::parse("127.0.0.1").unwrap()
}

#[test]
fn our_client_speaks_with_s_server_by_a_key_that_another_holds() {
    let (files, ca) = (Files::new(), Authority::new("root"));
    let (_server, port) = s_server(&files, &ca.issue("127.0.0.1"), &ca);
    let device = ca.issue("device");
    let key = Arc::new(SoftSigner::from_pkcs8_pem(&device.key).unwrap());
    let identity = Identity::from_signer(std::slice::from_ref(&device.der), key).unwrap();
    let config = ClientSetup::new(&ca.roots()).identity(identity).build().unwrap();
    let mut stream = TlsStream::connect(tcp(port), &config, &localhost()).unwrap();
    stream.write_all(b"touchstone\n").unwrap();
    stream.flush().unwrap();
    let mut heard = [0; 11];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"enotshcuot\n");
}

#[test]
fn our_client_refuses_an_s_server_of_another_authority_and_an_expired_one() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let refused = |server: &Issued| {
        let files = Files::new();
        let (_server, port) = s_server(&files, server, &ours);
        let config = ClientSetup::new(&ours.roots()).build().unwrap();
        match TlsStream::connect(tcp(port), &config, &localhost()) {
            Err(ConnectError::Tls(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let stranger = refused(&theirs.issue("127.0.0.1"));
    assert_eq!(stranger, Error::Certificate(CertificateFault::UnknownIssuer));
    let expired = refused(&ours.issue_until("127.0.0.1", 2020));
    assert_eq!(expired, Error::Certificate(CertificateFault::Expired));
    let elsewhere = refused(&ours.issue("127.0.0.2"));
    assert_eq!(elsewhere, Error::Certificate(CertificateFault::WrongName));
}

#[test]
fn s_server_refuses_our_client_and_the_client_hears_it() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let heard = |client: ClientSetup| {
        let files = Files::new();
        let (_server, port) = s_server(&files, &ca.issue("127.0.0.1"), &ca);
        // RFC 8446 §4.4.2: the client is done before the server has judged its certificate.
        let mut stream =
            TlsStream::connect(tcp(port), &client.build().unwrap(), &localhost()).unwrap();
        let error = stream.read(&mut [0; 16]).unwrap_err();
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::Alert(alert)) => alert.name(),
            _ => panic!("{error:?}"),
        }
    };
    let client = || ClientSetup::new(&ca.roots());
    assert_eq!(heard(client()), "certificate_required");
    assert_eq!(heard(client().identity(other.issue("device").identity())), "unknown_ca");
    let expired = ca.issue_until("device", 2020).identity();
    assert_eq!(heard(client().identity(expired)), "certificate_expired");
}

/// What our server makes of an s_client with these arguments, and the client's exit status.
fn serve_s_client(ca: &Authority, identity: Option<&Issued>, trusts: &Authority) -> Served {
    let auth = ClientAuth::Required(ca.roots());
    let server = ServerSetup::new(ca.issue("127.0.0.1").identity(), auth);
    serve_s_client_of("-tls1_3", server, identity, trusts)
}

fn serve_s_client_of(
    version: &str,
    server: ServerSetup,
    identity: Option<&Issued>,
    trusts: &Authority,
) -> Served {
    let files = Files::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-quiet", "-no_ign_eof", version, "-verify_return_error"])
        .args(["-verify_ip", "127.0.0.1", "-connect"])
        .arg(listener.local_addr().unwrap().to_string())
        .arg("-CAfile")
        .arg(files.put("roots.pem", &trusts.pem));
    if let Some(identity) = identity {
        command.args(files.identity(identity));
    }
    let mut client = openssl(&mut command);
    let server = server.build().unwrap();
    let (io, _) = listener.accept().unwrap();
    io.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let stream = TlsStream::accept(io, &server);
    let outcome = stream.map(|mut stream| {
        let mut stdin = client.stdin.take().unwrap();
        stdin.write_all(b"from openssl\n").unwrap();
        let mut heard = [0; 13];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(b"from us\n").unwrap();
        stream.flush().unwrap();
        stream.close().unwrap();
        (stream.peer_certificates().to_vec(), heard)
    });
    let mut said = String::new();
    client.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    Served { outcome, said, good: client.child.wait().unwrap().success() }
}

struct Served {
    outcome: Result<(Vec<Vec<u8>>, [u8; 13]), ConnectError>,
    said: String,
    good: bool,
}

#[test]
fn s_client_is_served_when_it_shows_a_certificate() {
    let ca = Authority::new("root");
    let device = ca.issue("device");
    let result = serve_s_client(&ca, Some(&device), &ca);
    let (certificates, heard) = result.outcome.unwrap();
    assert!(certificates[0] == device.der, "the leaf stands first");
    assert_eq!(&heard, b"from openssl\n");
    assert_eq!(result.said, "from us\n");
    assert!(result.good);
}

#[test]
fn s_client_is_refused_without_a_certificate_with_a_foreign_or_an_expired_one() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let refused = |identity: Option<&Issued>| {
        let result = serve_s_client(&ca, identity, &ca);
        assert!(!result.good, "openssl must hear of it");
        match result.outcome {
            Err(ConnectError::Tls(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(None), Error::NoCertificate);
    let foreign = refused(Some(&other.issue("device")));
    assert_eq!(foreign, Error::Certificate(CertificateFault::UnknownIssuer));
    let expired = refused(Some(&ca.issue_until("device", 2020)));
    assert_eq!(expired, Error::Certificate(CertificateFault::Expired));
}

#[test]
fn s_client_refuses_us_when_it_trusts_another_authority() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let result = serve_s_client(&ca, Some(&ca.issue("device")), &other);
    assert!(
        matches!(result.outcome, Err(ConnectError::Tls(Error::Alert(_)))),
        "{:?}",
        result.outcome
    );
    assert!(!result.good);
}

#[test]
fn a_peer_that_knows_only_tls_1_2_is_served_where_that_is_allowed() {
    let ca = Authority::new("root");
    let device = ca.issue("device");
    let serve = |allowed: bool| {
        let auth = ClientAuth::Required(ca.roots());
        let server = ServerSetup::new(ca.issue("127.0.0.1").identity(), auth);
        let server = if allowed { server.with_tls12() } else { server };
        serve_s_client_of("-tls1_2", server, Some(&device), &ca)
    };
    let allowed = serve(true);
    assert_eq!(&allowed.outcome.unwrap().1, b"from openssl\n");
    assert_eq!(allowed.said, "from us\n");
    let refused = serve(false).outcome;
    assert!(matches!(refused, Err(ConnectError::Tls(Error::Incompatible))), "{refused:?}");
}
