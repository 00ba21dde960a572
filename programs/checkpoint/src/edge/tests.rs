//! The checkpoint in the middle of a real network: a device with TLS, a feed with TLS, a
//! destination that echoes.

use super::*;
use crate::config::Fleet as FleetConfig;
use crate::listen::listen;
use crate::tests::Fleet;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use touchstone_appraise::{Confirmation, Tier};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_tls::{ClientAuth, ClientSetup, Identity, ServerName, ServerSetup};

const ROUTE: &str = "broker.example:8883";
const SILENCE: Duration = Duration::from_millis(1500);

/// A CA, and what it issues.
struct Ca {
    certificate: Certificate,
    key: SoftSigner,
}

impl Ca {
    fn new() -> Self {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let now = unix();
        let template =
            Template::new(Kind::Root, Name::common_name("CA").unwrap(), now - 60, now + 3600);
        Self { certificate: template.self_sign(&AwsLc, &key).unwrap(), key }
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        vec![self.certificate.der().to_vec()]
    }

    fn identity(&self, kind: Kind, name: &str, key: SoftSigner) -> Identity {
        let now = unix();
        let template = Template::new(kind, Name::common_name(name).unwrap(), now - 60, now + 3600)
            .with_names(vec![AlternativeName::Dns(name.into())]);
        let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
        let leaf = template.issue(&AwsLc, &issuer, key.spki_der()).unwrap();
        Identity::from_signer(&[leaf.der().to_vec()], Arc::new(key)).unwrap()
    }
}

/// A device's key, kept as PEM so that it can be used twice.
struct Device {
    pem: String,
}

impl Device {
    fn new() -> Self {
        Self { pem: Fleet::device_key().to_pkcs8_pem().to_string() }
    }

    fn key(&self) -> SoftSigner {
        SoftSigner::from_pkcs8_pem(&self.pem).unwrap()
    }
}

struct World {
    ca: Ca,
    fleet: Fleet,
    edge: Edge,
    address: SocketAddr,
    feed: mpsc::UnboundedSender<String>,
    beats: Arc<AtomicBool>,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let (ca, fleet) = (Ca::new(), Fleet::new());
        let (feed, lines) = mpsc::unbounded_channel();
        let beats = Arc::new(AtomicBool::new(true));
        let feed_address = Self::serve_feed(&ca, lines, Arc::clone(&beats)).await;
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            status: ([127, 0, 0, 1], 0).into(),
            certificate: "/".into(),
            key: "file:/".parse().unwrap(),
            device_roots: "/".into(),
            verifier: "/".into(),
            state_dir: None,
            max_age: Duration::from_secs(30),
            fleet: FleetConfig {
                address: feed_address.to_string(),
                name: "fleet.example".into(),
                roots: "/".into(),
                silence: SILENCE,
            },
            limits: Limits { flows: 8, flows_per_device: 2, handshake: Duration::from_secs(3) },
            routes: [
                (ROUTE.to_owned(), Self::echo().await.to_string()),
                ("nobody:1".to_owned(), "127.0.0.1:1".to_owned()),
            ]
            .into(),
        };
        let own = || ca.identity(Kind::Peer, "checkpoint.example", Fleet::device_key());
        let server = ServerSetup::new(own(), ClientAuth::Required(ca.roots())).build().unwrap();
        let client = ClientSetup::new(&ca.roots()).identity(own()).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::open(folder.path(), "edge-1").unwrap();
        let edge = Edge::new(&config, vec![fleet.verifier()], trail);
        let listener = TcpListener::bind(config.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let taking = edge.clone();
        tokio::spawn(async move { taking.serve(listener, move || server.clone()).await });
        let timed = edge.clone();
        tokio::spawn(async move { timed.keep_time(&Pulse::new(Duration::MAX)).await });
        let name = ServerName::parse("fleet.example").unwrap();
        tokio::spawn(listen(edge.clone(), config.fleet, client, name));
        let world = Self { ca, fleet, edge, address, feed, beats, folder };
        world.until(|world| !world.edge.lock().book.is_silent(world.edge.now())).await;
        world
    }

    /// Waits for something that must come within three seconds.
    async fn until(&self, done: impl Fn(&Self) -> bool) {
        let waited = timeout(Duration::from_secs(3), async {
            while !done(self) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.expect("it did not come");
    }

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    drop(tokio::io::copy(&mut read, &mut write).await);
                });
            }
        });
        address
    }

    /// The fleet's end of the feed: chunks of lines, and a heartbeat while it beats.
    async fn serve_feed(
        ca: &Ca,
        mut lines: mpsc::UnboundedReceiver<String>,
        beats: Arc<AtomicBool>,
    ) -> SocketAddr {
        let identity = ca.identity(Kind::Server, "fleet.example", Fleet::device_key());
        let tls = ServerSetup::new(identity, ClientAuth::Required(ca.roots())).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = TlsStream::accept(stream, &tls).await.unwrap();
                let head = read_head(&mut stream).await;
                assert!(head.starts_with("GET /v1/results/stream?after="), "{head}");
                let ok = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(ok).await.unwrap();
                loop {
                    let line = tokio::select! {
                        Some(line) = lines.recv() => line,
                        () = sleep(Duration::from_millis(200)) => {
                            if !beats.load(Ordering::Relaxed) { continue }
                            r#"{"schema":"touchstone.feed/1","kind":"heartbeat","seq":1,"time":1}"#.to_owned()
                        }
                    };
                    let chunk = format!("{:x}\r\n{line}\n\r\n", line.len() + 1);
                    if stream.write_all(chunk.as_bytes()).await.is_err()
                        || stream.flush().await.is_err()
                    {
                        break;
                    }
                }
            }
        });
        address
    }

    /// Connects as a device and asks for a route; gives the connection and the head of the answer.
    async fn ask(
        &self,
        device: &Device,
        route: &str,
        token: Option<&str>,
    ) -> (TlsStream<TcpStream>, String) {
        let identity = self.ca.identity(Kind::Device, "dev-1", device.key());
        let tls = ClientSetup::new(&self.ca.roots()).identity(identity).build().unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::parse("checkpoint.example").unwrap();
        let mut stream = TlsStream::connect(stream, &tls, &name).await.unwrap();
        let header = token.map(|token| format!("Attestation-Result: {token}\r\n"));
        let header = header.unwrap_or_default();
        let request = format!("CONNECT {route} HTTP/1.1\r\nHost: {route}\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let head = read_head(&mut stream).await;
        (stream, head)
    }

    fn ear(&self, device: &Device, tier: Tier) -> String {
        self.fleet.ear("dev-1", &device.key(), tier, unix())
    }

    fn tell_result(&self, token: &str) {
        let line = format!(
            r#"{{"schema":"touchstone.feed/1","kind":"result","seq":9,"device":"dev-1","tier":"x","ear_jwt":"{token}"}}"#
        );
        self.feed.send(line).unwrap();
    }

    fn flows(&self) -> usize {
        self.edge.lock().book.flows().len()
    }
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn echoes(stream: &mut TlsStream<TcpStream>) -> bool {
    let done = async {
        stream.write_all(b"ping").await?;
        stream.flush().await?;
        let mut back = [0; 4];
        stream.read_exact(&mut back).await?;
        Ok::<_, std::io::Error>(back == *b"ping")
    };
    timeout(Duration::from_secs(2), done).await.is_ok_and(|echoed| echoed.unwrap_or(false))
}

/// How long until the other end is gone.
async fn ends(stream: &mut TlsStream<TcpStream>) -> Duration {
    let start = Instant::now();
    let mut octet = [0];
    let read = timeout(Duration::from_secs(5), stream.read(&mut octet)).await.expect("still open");
    assert!(!matches!(read, Ok(1..)), "octets instead of an end");
    start.elapsed()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn each_admission_refusal_and_cut_is_in_the_checkpoints_own_log() {
    run(async {
        let (world, device) = (World::new().await, Device::new());
        let token = world.ear(&device, Tier::Affirming);
        let (_, head) = world.ask(&device, "else.example:1", Some(&token)).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        let (mut stream, _) = world.ask(&device, ROUTE, Some(&token)).await;
        assert!(echoes(&mut stream).await);
        world.tell_result(&world.ear(&device, Tier::Contraindicated));
        ends(&mut stream).await;
        let log = || std::fs::read_to_string(world.folder.path().join("audit.jsonl")).unwrap();
        world.until(|_| log().contains("flow.cut")).await;
        let log = log();
        let line = |code: &str| log.lines().find(|line| line.contains(code)).unwrap().to_owned();
        assert!(line("flow.refused").contains("checkpoint.route"), "{log}");
        for code in ["flow.admitted", "flow.cut"] {
            let line = line(code);
            assert!(
                line.contains("\"subject\":\"device:dev-1\"") && line.contains(ROUTE),
                "{line}"
            );
        }
        assert!(line("flow.cut").contains("admission.not-affirming"), "{log}");
        touchstone_audit::verify(log.as_bytes(), &AwsLc, &touchstone_audit::Known::default())
            .unwrap();
    });
}

#[test]
fn an_affirmed_device_is_admitted_and_cut_within_a_second_of_a_worse_result() {
    run(async {
        let (world, device) = (World::new().await, Device::new());
        let token = world.ear(&device, Tier::Affirming);
        let (mut stream, head) = world.ask(&device, ROUTE, Some(&token)).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(echoes(&mut stream).await);
        world.tell_result(&world.ear(&device, Tier::Affirming));
        assert!(echoes(&mut stream).await, "a good result leaves it open");

        world.tell_result(&world.ear(&device, Tier::Contraindicated));
        let after = ends(&mut stream).await;
        assert!(after < Duration::from_secs(1), "cut after {after:?}");
        assert_eq!(world.flows(), 0);
        assert_eq!(world.edge.lock().counters.cut["admission.not-affirming"], 1);
    });
}

#[test]
fn a_silent_feed_cuts_what_is_open_and_refuses_what_comes() {
    run(async {
        let (world, device) = (World::new().await, Device::new());
        let token = world.ear(&device, Tier::Affirming);
        let (mut stream, _) = world.ask(&device, ROUTE, Some(&token)).await;
        assert!(echoes(&mut stream).await);
        world.beats.store(false, Ordering::Relaxed);
        let after = ends(&mut stream).await;
        assert!(after < SILENCE + Duration::from_secs(1), "cut after {after:?}");
        let (_, head) = world.ask(&device, ROUTE, Some(&token)).await;
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    });
}

#[test]
fn a_revoked_certificate_cuts_its_flow() {
    run(async {
        let (world, device) = (World::new().await, Device::new());
        let token = world.ear(&device, Tier::Affirming);
        let (mut stream, _) = world.ask(&device, ROUTE, Some(&token)).await;
        let confirmation = Confirmation::of(&AwsLc, device.key().spki_der()).unwrap();
        let jkt = confirmation.jkt().unwrap();
        let line = format!(
            r#"{{"schema":"touchstone.feed/1","kind":"revoked","seq":9,"device":"dev-1","serial":"1","jkt":"{jkt}","reason":"contraindicated"}}"#
        );
        world.feed.send(line).unwrap();
        assert!(ends(&mut stream).await < Duration::from_secs(1));
        let (_, head) = world.ask(&device, ROUTE, Some(&token)).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    });
}

#[test]
fn each_refusal_has_its_status_and_its_code() {
    run(async {
        let (world, device) = (World::new().await, Device::new());
        let good = world.ear(&device, Tier::Affirming);
        let other = world.ear(&Device::new(), Tier::Affirming);
        let bad = world.ear(&device, Tier::Contraindicated);
        let stale = world.fleet.ear("dev-1", &device.key(), Tier::Affirming, unix() - 60);
        let cases = [
            (ROUTE, None, "401", "checkpoint.result.missing"),
            (ROUTE, Some(&bad), "403", "admission.not-affirming"),
            (ROUTE, Some(&stale), "403", "admission.stale"),
            (ROUTE, Some(&other), "403", "admission.wrong-key"),
            ("elsewhere:22", Some(&good), "404", "checkpoint.route.unknown"),
            ("nobody:1", Some(&good), "502", "checkpoint.route.unreachable"),
        ];
        for (route, token, status, code) in cases {
            let (mut stream, head) = world.ask(&device, route, token.map(String::as_str)).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{code}: {head}");
            let mut body = vec![0; 1024];
            let read = timeout(Duration::from_secs(1), stream.read(&mut body)).await;
            let told = String::from_utf8_lossy(&body[..read.unwrap().unwrap()]).into_owned();
            assert!(told.contains(code), "{code}: {told}");
        }
        assert_eq!(world.flows(), 0);
        assert_eq!(world.edge.lock().counters.refused.len(), 6);
    });
}

#[test]
fn a_stranger_without_a_certificate_of_the_fleet_does_not_get_as_far_as_asking() {
    run(async {
        let world = World::new().await;
        let stranger = Ca::new().identity(Kind::Device, "dev-1", Fleet::device_key());
        let tls = ClientSetup::new(&world.ca.roots()).identity(stranger).build().unwrap();
        let stream = TcpStream::connect(world.address).await.unwrap();
        let name = ServerName::parse("checkpoint.example").unwrap();
        // In TLS 1.3 the client is done before the server has judged its certificate.
        if let Ok(mut stream) = TlsStream::connect(stream, &tls, &name).await {
            drop(stream.write_all(b"CONNECT broker.example:8883 HTTP/1.1\r\n\r\n").await);
            let mut octet = [0];
            assert!(stream.read(&mut octet).await.is_err());
        }
        assert_eq!(world.flows(), 0);
    });
}

#[test]
fn the_status_tells_feed_flows_and_counts() {
    run(async {
        let (world, device) = (World::new().await, Device::new());
        let token = world.ear(&device, Tier::Affirming);
        let (_stream, _) = world.ask(&device, ROUTE, Some(&token)).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_status(world.edge.clone(), listener));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        for part in ["checkpoint.status/1", r#""state":"live""#, r#""open":1"#, r#""admitted":1"#] {
            assert!(told.contains(part), "{part}: {told}");
        }
    });
}
