use super::*;
use crate::TlsStream;
use touchstone_certs::issue::{Issuer, Kind, Profile, Template};
use touchstone_certs::ocsp::{Reason, Responder, Status};
use touchstone_certs::{AlternativeName, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_tls::{
    CertificateFault, ClientAuth, ClientSetup, Error, Identity, ServerName, ServerSetup,
};

const NOW: u64 = 1_800_000_000;
const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

struct Ca {
    key: SoftSigner,
    certificate: Certificate,
}

/// A server's key and certificate.
struct Server {
    key: Arc<SoftSigner>,
    certificate: Certificate,
}

impl Ca {
    fn new(name: &str) -> Self {
        let key = SoftSigner::generate(P256).unwrap();
        let name = Name::common_name(name).unwrap();
        let certificate = Template::new(Kind::Root, name, NOW - 1000, NOW + 10_000_000)
            .self_sign(&AwsLc, &key)
            .unwrap();
        Self { key, certificate }
    }

    fn issue(&self, profile: Profile) -> Server {
        let key = SoftSigner::generate(P256).unwrap();
        let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
        let certificate = Template::new(profile, Name::empty(), NOW - 1000, NOW + 1_000_000)
            .with_names(vec![AlternativeName::Dns("fleet.test".into())])
            .issue(&AwsLc, &issuer, key.spki_der())
            .unwrap();
        Server { key: Arc::new(key), certificate }
    }

    /// A response that holds from `at` for a minute.
    fn says(&self, server: &Server, status: Status, at: u64) -> Vec<u8> {
        Responder::new(&AwsLc, &self.certificate, &self.certificate, &self.key, at)
            .unwrap()
            .presign(&AwsLc, &server.certificate, status, at, at + 60)
            .unwrap()
    }

    fn checks(&self) -> StapledStatus {
        StapledStatus::new(Arc::new(AwsLc), &[self.certificate.der().to_vec()])
    }
}

/// A handshake with a server that staples this.
async fn meet(
    ca: &Ca,
    server: &Server,
    stapled: Option<&[u8]>,
    check: StapledStatus,
) -> Option<Error> {
    let chain = [server.certificate.der().to_vec()];
    let mut identity = Identity::from_signer(&chain, Arc::clone(&server.key) as _).unwrap();
    if let Some(response) = stapled {
        identity = identity.with_ocsp_response(response);
    }
    let server = ServerSetup::new(identity, ClientAuth::None).build().unwrap();
    let client = ClientSetup::new(&[ca.certificate.der().to_vec()])
        .clock(|| Some(NOW))
        .status_check(Arc::new(check))
        .build()
        .unwrap();
    let (near, far) = tokio::io::duplex(16_384);
    let name = ServerName::parse("fleet.test").unwrap();
    let (client, _) =
        tokio::join!(TlsStream::connect(near, &client, &name), TlsStream::accept(far, &server));
    client.err().map(|error| match error {
        crate::ConnectError::Tls(error) => error,
        other => panic!("{other}"),
    })
}

fn status(error: Option<Error>) -> Option<StatusFault> {
    match error? {
        Error::Certificate(CertificateFault::Status(fault)) => Some(fault),
        Error::Certificate(CertificateFault::Revoked) => Some(StatusFault::Revoked),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_status_that_is_stapled_has_to_be_good_and_of_now() {
    let (ca, stranger) = (Ca::new("ca"), Ca::new("stranger"));
    let server = ca.issue(Kind::Server.into());
    let other = ca.issue(Kind::Server.into());
    let revoked = Status::Revoked { at: NOW - 5, reason: Reason::KeyCompromise };
    let future = NOW + 1000;
    for (response, expected) in [
        (ca.says(&server, Status::Good, NOW - 10), None),
        (ca.says(&server, revoked, NOW - 10), Some(StatusFault::Revoked)),
        (ca.says(&server, Status::Unknown, NOW - 10), Some(StatusFault::Unknown)),
        (ca.says(&server, Status::Good, NOW - 61), Some(StatusFault::Stale)),
        (ca.says(&server, Status::Good, future), Some(StatusFault::Stale)),
        (ca.says(&other, Status::Good, NOW - 10), Some(StatusFault::Unbelievable)),
        (stranger.says(&server, Status::Good, NOW - 10), Some(StatusFault::Unbelievable)),
        (b"nonsense".to_vec(), Some(StatusFault::Unbelievable)),
    ] {
        let met = meet(&ca, &server, Some(&response), ca.checks()).await;
        assert_eq!(status(met), expected);
    }
    // Late, and forgiven for as long as was said.
    let late = ca.says(&server, Status::Good, NOW - 90);
    assert_eq!(status(meet(&ca, &server, Some(&late), ca.checks().with_grace(30)).await), None);
    let stale = Some(StatusFault::Stale);
    assert_eq!(status(meet(&ca, &server, Some(&late), ca.checks().with_grace(29)).await), stale);
}

#[tokio::test]
async fn a_status_that_has_to_be_stapled_is_not_left_out() {
    let ca = Ca::new("ca");
    let server = ca.issue(Kind::Server.into());
    assert_eq!(status(meet(&ca, &server, None, ca.checks()).await), None, "nobody promised one");
    let missing = Some(StatusFault::NotStapled);
    assert_eq!(status(meet(&ca, &server, None, ca.checks().insisting()).await), missing);
    let promised = ca.issue(Profile::from(Kind::Server).must_staple());
    assert_eq!(status(meet(&ca, &promised, None, ca.checks()).await), missing);
    let good = ca.says(&promised, Status::Good, NOW - 1);
    assert_eq!(status(meet(&ca, &promised, Some(&good), ca.checks()).await), None);
}
