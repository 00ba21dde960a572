//! A tunnel through a real checkpoint to a broker with TLS of its own.

use super::*;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use touchstone_appraise::ear::{Ear, VerifierId, to_jwt};
use touchstone_appraise::{Confirmation, Tier, TrustVector, VerifierKey};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, Name};
use touchstone_checkpoint::config::{Config, Fleet, Limits};
use touchstone_checkpoint::edge::Edge;
use touchstone_checkpoint::feed::Line;
use touchstone_checkpoint::trail::Trail;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_tls::{ClientAuth, ServerSetup};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn key() -> SoftSigner {
    SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap()
}

/// A CA, the verifier's key, and the key of the one device.
struct World {
    root: Certificate,
    ca: SoftSigner,
    verifier: SoftSigner,
    device: Pass,
    folder: tempfile::TempDir,
}

impl World {
    fn new(tier: Tier) -> Self {
        let (ca, verifier, device) = (key(), key(), key());
        let name = Name::common_name("CA").unwrap();
        let template = Template::new(Kind::Root, name, now() - 60, now() + 3600);
        let root = template.self_sign(&AwsLc, &ca).unwrap();
        let ear = Ear {
            issued_at: now(),
            expires: now() + 60,
            verifier: VerifierId::this(),
            nonce: None,
            confirmation: Some(Confirmation::of(&AwsLc, device.spki_der()).unwrap()),
            device: "dev-1".into(),
            tenant: "default".into(),
            evidence_at: Some(now()),
            status: tier,
            vector: TrustVector::default(),
            policy_id: "p/1".into(),
            controls: Vec::new(),
            not_evaluated: Vec::new(),
            held: None,
        };
        let ear_jwt = to_jwt(&ear, &verifier).unwrap().into();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), root.to_pem().unwrap()).unwrap();
        let identity = identity(&root, &ca, Kind::Device, "dev-1", device);
        Self { root, ca, verifier, device: Pass { identity, ear_jwt }, folder }
    }

    fn server(&self, name: &str) -> touchstone_tls::ServerConfig {
        let identity = identity(&self.root, &self.ca, Kind::Server, name, key());
        let roots = vec![self.root.der().to_vec()];
        ServerSetup::new(identity, ClientAuth::Required(roots)).build().unwrap()
    }

    /// An echo behind TLS that demands the device's certificate.
    async fn broker(&self) -> SocketAddr {
        let (tls, listener) = (self.server("broker.example"), any().await);
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = TlsStream::accept(stream, &tls).await.unwrap();
                let mut octets = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut octets).await {
                    stream.write_all(&octets[..read]).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        });
        address
    }

    async fn checkpoint(&self, broker: SocketAddr) -> SocketAddr {
        let loopback = ([127, 0, 0, 1], 0).into();
        let routes = BTreeMap::from([("broker.example:8883".to_owned(), broker.to_string())]);
        let config = Config {
            listen: loopback,
            status: loopback,
            certificate: "/".into(),
            key: "file:/".parse().unwrap(),
            device_roots: "/".into(),
            verifier: "/".into(),
            state_dir: None,
            max_age: Duration::from_secs(30),
            fleet: Fleet {
                address: String::new(),
                name: String::new(),
                roots: "/".into(),
                silence: Duration::from_secs(30),
            },
            limits: Limits::default(),
            routes,
        };
        let verifier = VerifierKey::from_spki(self.verifier.spki_der()).unwrap();
        let edge = Edge::new(&config, vec![verifier], Trail::default());
        edge.hear(&Line::Heartbeat { seq: 1 });
        let (tls, listener) = (self.server("checkpoint.example"), any().await);
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { edge.serve(listener, move || tls.clone()).await });
        address
    }

    /// The way of a device, from a free local port.
    async fn way(&self) -> Way {
        let checkpoint = self.checkpoint(self.broker().await).await;
        let root = self.folder.path().join("root.pem");
        let config = Tunnel {
            listen: any().await.local_addr().unwrap(),
            checkpoint: checkpoint.to_string().parse().unwrap(),
            checkpoint_name: "checkpoint.example".into(),
            broker: "broker.example:8883".parse().unwrap(),
            broker_name: "broker.example".into(),
            broker_roots: root.clone(),
            connections: 2,
        };
        Way::new(&config, &root).unwrap()
    }
}

fn identity(
    root: &Certificate,
    ca: &SoftSigner,
    kind: Kind,
    name: &str,
    key: SoftSigner,
) -> Identity {
    let template = Template::new(kind, Name::common_name(name).unwrap(), now() - 60, now() + 3600)
        .with_names(vec![AlternativeName::Dns(name.into())]);
    let leaf = template.issue(&AwsLc, &Issuer::new(root, ca).unwrap(), key.spki_der()).unwrap();
    Identity::from_signer(&[leaf.der().to_vec()], Arc::new(key)).unwrap()
}

async fn any() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn plain_octets_reach_the_broker_through_the_checkpoint_and_come_back() {
    run(async {
        let world = World::new(Tier::Affirming);
        let way = world.way().await;
        let listen = way.config.listen;
        let open = Arc::new(AtomicU32::new(0));
        let (_keep, pass) = watch::channel(Some(world.device.clone()));
        tokio::spawn(way.serve(pass, Arc::clone(&open)));
        tokio::task::yield_now().await;
        let mut local = TcpStream::connect(listen).await.unwrap();
        local.write_all(b"plain").await.unwrap();
        let mut back = [0; 5];
        local.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"plain");
        assert_eq!(open.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_refusal_of_the_checkpoint_is_told_in_its_words() {
    run(async {
        let world = World::new(Tier::Contraindicated);
        let error = world.way().await.open(&world.device).await.err().unwrap();
        assert_eq!(error.code(), "admission.not-affirming");
        assert!(error.to_string().contains("contraindicated"), "{error}");
    });
}

#[test]
fn without_a_result_an_application_is_turned_away_at_once() {
    run(async {
        let world = World::new(Tier::Affirming);
        let way = world.way().await;
        let listen = way.config.listen;
        let (_keep, pass) = watch::channel(None);
        tokio::spawn(way.serve(pass, Arc::default()));
        tokio::task::yield_now().await;
        let mut local = TcpStream::connect(listen).await.unwrap();
        assert_eq!(local.read(&mut [0]).await.unwrap_or(0), 0);
    });
}
