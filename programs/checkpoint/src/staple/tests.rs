use super::*;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::Responder;
use touchstone_certs::{AlternativeName, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::SoftSigner;
use touchstone_drive::{ConnectError, StapledStatus, TlsStream};
use touchstone_tls::{
    CertificateFault, ClientAuth, ClientSetup, Error as TlsError, Identity, ServerName,
    ServerSetup, StatusFault,
};

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

/// A CA whose responder says what it is told to; silent when told nothing.
struct Ca {
    key: SoftSigner,
    certificate: Certificate,
    says: Mutex<Option<Status>>,
}

impl Ca {
    fn answer(&self, server: &Certificate) -> Option<Vec<u8>> {
        let status = (*self.says.lock().unwrap())?;
        let at = unix();
        let responder =
            Responder::new(&AwsLc, &self.certificate, &self.certificate, &self.key, at).unwrap();
        Some(responder.presign(&AwsLc, server, status, at, at + 2).unwrap())
    }
}

async fn respond(listener: TcpListener, ca: Arc<Ca>, server: Certificate) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = vec![0; 4096];
        let read = stream.read(&mut question).await.unwrap();
        assert!(question[..read].starts_with(b"POST /ocsp HTTP/1.1"));
        let body = ca.answer(&server).unwrap_or_default();
        let status = if body.is_empty() { "503 Busy" } else { "200 OK" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_responder_says_is_stapled_and_nothing_that_is_over() {
    let key = SoftSigner::generate(P256).unwrap();
    let root =
        Template::new(Kind::Root, Name::common_name("ca").unwrap(), unix() - 60, unix() + 999)
            .self_sign(&AwsLc, &key)
            .unwrap();
    let ca = Arc::new(Ca { key, certificate: root, says: Mutex::new(Some(Status::Good)) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ocsp", listener.local_addr().unwrap());
    let server = Arc::new(SoftSigner::generate(P256).unwrap());
    let leaf = Template::new(Kind::Peer, Name::empty(), unix() - 60, unix() + 600)
        .with_names(vec![AlternativeName::Dns("edge.example".into())])
        .with_ocsp(&url)
        .issue(&AwsLc, &Issuer::new(&ca.certificate, &ca.key).unwrap(), server.spki_der())
        .unwrap();
    tokio::spawn(respond(listener, Arc::clone(&ca), leaf.clone()));
    let chain = [leaf.der().to_vec(), ca.certificate.der().to_vec()];
    assert!(Stapling::of(&chain[..1]).is_none(), "its issuer is not there");
    let stapling = Stapling::of(&chain).unwrap();
    let identity = Identity::from_signer(&chain, server).unwrap();
    let make = move |stapled: Option<&[u8]>| {
        let identity = match stapled {
            Some(octets) => identity.clone().with_ocsp_response(octets),
            None => identity.clone(),
        };
        ServerSetup::new(identity, ClientAuth::None).build()
    };
    let (sender, current) = watch::channel(make(None).unwrap());
    tokio::spawn(stapling.keep(sender, make));

    let roots = vec![ca.certificate.der().to_vec()];
    let met = async || {
        let check = StapledStatus::new(Arc::new(AwsLc), &roots).insisting();
        let client = ClientSetup::new(&roots).status_check(Arc::new(check)).build().unwrap();
        let server = current.borrow().clone();
        let (near, far) = tokio::io::duplex(16_384);
        let name = ServerName::parse("edge.example").unwrap();
        let (met, _) =
            tokio::join!(TlsStream::connect(near, &client, &name), TlsStream::accept(far, &server));
        match met.err()? {
            ConnectError::Tls(TlsError::Certificate(CertificateFault::Status(fault))) => {
                Some(fault)
            }
            ConnectError::Tls(TlsError::Certificate(CertificateFault::Revoked)) => {
                Some(StatusFault::Revoked)
            }
            other => panic!("{other}"),
        }
    };
    let until = async |expected: Option<StatusFault>| {
        for _ in 0..400 {
            if met().await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{expected:?} did not come");
    };
    until(None).await;
    *ca.says.lock().unwrap() = None;
    // What was stapled is over after two seconds, and not shown any more.
    until(Some(StatusFault::NotStapled)).await;
    let revoked = Status::Revoked { at: unix(), reason: ocsp::Reason::KeyCompromise };
    *ca.says.lock().unwrap() = Some(revoked);
    until(Some(StatusFault::Revoked)).await;
}
