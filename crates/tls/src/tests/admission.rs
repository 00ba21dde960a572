//! Who gets in.

use super::pair::Pair;
use super::pki::{Authority, client, server};
use crate::{Alert, CertificateFault, ClientAuth, ConfigError, Error, Event, Identity};
use rcgen::date_time_ymd;
use std::sync::Arc;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::SoftSigner;

fn refused(pair: &Pair) -> (Error, Error) {
    match pair.ends() {
        (Some(Err(client)), Some(Err(server))) => (client, server),
        ends => panic!("both ends should have failed: {ends:?}"),
    }
}

#[test]
fn both_ends_learn_who_the_other_is_and_what_they_speak() {
    let (makers, fleet) = (Authority::new(), Authority::new());
    let device = makers.issue("device", |_| {});
    let cloud = fleet.issue("fleet.example", |_| {});
    let pair = Pair::new(
        client(&fleet.roots()).identity(device.identity()).alpn(&[b"h2", b"http/1.1"]),
        "fleet.example",
        server(cloud.identity(), ClientAuth::Required(makers.roots())).alpn(&[b"http/1.1"]),
    )
    .run();
    let alpn = Some(b"http/1.1".to_vec());
    let connected = |der: &Vec<u8>| Event::Connected {
        peer_certificates: vec![der.clone()],
        alpn: alpn.clone(),
    };
    assert_eq!(pair.client.events, [connected(&cloud.der)]);
    assert_eq!(pair.server.events, [connected(&device.der)]);
    assert_eq!(pair.ends(), (None, None));
}

#[test]
fn a_server_is_reached_by_its_address() {
    for address in ["192.0.2.7", "2001:db8::7"] {
        let ca = Authority::new();
        let pair = |name| {
            let server = server(ca.identity(address), ClientAuth::None);
            Pair::new(client(&ca.roots()), name, server).run()
        };
        assert!(pair(address).client.peer().is_some());
        let wrong = pair("192.0.2.8");
        assert_eq!(refused(&wrong).0, Error::Certificate(CertificateFault::WrongName));
    }
}

#[test]
fn a_server_of_another_authority_is_refused_and_told() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = server(theirs.identity("fleet.example"), ClientAuth::None);
    let pair = Pair::new(client(&ours.roots()), "fleet.example", server).run();
    let (client, server) = refused(&pair);
    assert_eq!(client, Error::Certificate(CertificateFault::UnknownIssuer));
    assert_eq!(server, Error::Alert(Alert(48)), "unknown_ca");
}

#[test]
fn a_certificate_out_of_its_time_is_refused() {
    let ca = Authority::new();
    let pair = |from, to| {
        let certificate = ca.issue("fleet.example", |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        });
        let server = server(certificate.identity(), ClientAuth::None);
        refused(&Pair::new(client(&ca.roots()), "fleet.example", server).run()).0
    };
    assert_eq!(pair(2020, 2025), Error::Certificate(CertificateFault::Expired));
    assert_eq!(pair(2027, 2030), Error::Certificate(CertificateFault::NotYetValid));
}

#[test]
fn without_the_time_of_day_nobody_is_believed() {
    let ca = Authority::new();
    let server = server(ca.identity("fleet.example"), ClientAuth::None);
    let client = client(&ca.roots()).clock(|| None);
    let pair = Pair::new(client, "fleet.example", server).run();
    assert_eq!(refused(&pair).0, Error::Platform);
}

#[test]
fn a_device_certificate_without_end_or_purpose_is_accepted() {
    // IEEE 802.1AR §8.7: an IDevID is valid until 99991231235959Z.
    let ca = Authority::new();
    let device = ca.issue("device", |params| params.not_after = date_time_ymd(9999, 12, 31));
    let pair = Pair::new(
        client(&ca.roots()).identity(device.identity()),
        "fleet.example",
        server(ca.identity("fleet.example"), ClientAuth::Required(ca.roots())),
    )
    .run();
    assert_eq!(pair.server.peer(), Some(&[device.der][..]));
}

#[test]
fn a_client_that_must_show_a_certificate_cannot_go_without() {
    let ca = Authority::new();
    let server = server(ca.identity("fleet.example"), ClientAuth::Required(ca.roots()));
    let pair = Pair::new(client(&ca.roots()), "fleet.example", server).run();
    let (client, server) = refused(&pair);
    assert_eq!(server, Error::NoCertificate);
    assert_eq!(client, Error::Alert(Alert(116)), "certificate_required");
}

#[test]
fn an_optional_certificate_may_be_missing_but_not_foreign() {
    let (ca, other) = (Authority::new(), Authority::new());
    let server = || server(ca.identity("fleet.example"), ClientAuth::Optional(ca.roots()));
    let none = Pair::new(client(&ca.roots()), "fleet.example", server()).run();
    assert_eq!(none.server.peer(), Some(&[][..]));
    let foreign = client(&ca.roots()).identity(other.identity("device"));
    let foreign = Pair::new(foreign, "fleet.example", server()).run();
    assert_eq!(refused(&foreign).1, Error::Certificate(CertificateFault::UnknownIssuer));
}

#[test]
fn a_server_certificate_is_not_good_for_a_client_when_it_says_so() {
    let ca = Authority::new();
    let certificate = ca.issue("device", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let server = server(ca.identity("fleet.example"), ClientAuth::Required(ca.roots()));
    let client = client(&ca.roots()).identity(certificate.identity());
    let pair = Pair::new(client, "fleet.example", server).run();
    assert_eq!(refused(&pair).1, Error::Certificate(CertificateFault::WrongPurpose));
}

/// A key that another holds, and may not let us use.
struct Held {
    key: SoftSigner,
    fails: bool,
}

impl Signer for Held {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn spki_der(&self) -> &[u8] {
        self.key.spki_der()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, touchstone_crypto::Error> {
        if self.fails {
            return Err(touchstone_crypto::Error::SignerFailed);
        }
        self.key.sign(message)
    }
}

#[test]
fn a_key_in_an_element_signs_or_says_that_it_cannot() {
    let ca = Authority::new();
    let device = ca.issue("device", |_| {});
    let pair = |fails| {
        let key = SoftSigner::from_pkcs8_pem(&device.key).unwrap();
        let held = Arc::new(Held { key, fails });
        let identity = Identity::from_signer(std::slice::from_ref(&device.der), held).unwrap();
        Pair::new(
            client(&ca.roots()).identity(identity),
            "fleet.example",
            server(ca.identity("fleet.example"), ClientAuth::Required(ca.roots())),
        )
        .run()
    };
    assert_eq!(pair(false).server.peer(), Some(&[device.der.clone()][..]));
    let failed = pair(true);
    let (client, server) = refused(&failed);
    assert_eq!(client, Error::SigningFailed(touchstone_crypto::Error::SignerFailed));
    assert_eq!(server, Error::Alert(Alert(0)), "the server is told, if only of the end");
}

#[test]
fn a_configuration_that_cannot_work_is_refused_when_it_is_made() {
    let ca = Authority::new();
    let (one, other) = (ca.issue("one", |_| {}), ca.issue("other", |_| {}));
    let identity =
        |chain: &str, key: &str| Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
    assert_eq!(identity(&one.pem, &other.key), ConfigError::KeyMismatch);
    assert_eq!(identity("", &one.key), ConfigError::BadPem);
    assert_eq!(identity(&one.pem, &one.pem), ConfigError::BadKey);
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let wrong = Identity::from_signer(&[vec![0x30, 0]], Arc::new(key)).unwrap_err();
    assert_eq!(wrong, ConfigError::BadChain);
    assert_eq!(client(&[]).build().unwrap_err(), ConfigError::NoRoots);
    assert_eq!(client(&[vec![1, 2, 3]]).build().unwrap_err(), ConfigError::BadRoot);
    let auth = ClientAuth::Required(vec![]);
    assert_eq!(server(one.identity(), auth).build().unwrap_err(), ConfigError::NoRoots);
}

#[test]
fn no_protocol_in_common_is_said_on_both_sides() {
    let ca = Authority::new();
    let server = server(ca.identity("fleet.example"), ClientAuth::None).alpn(&[b"mqtt"]);
    let client = client(&ca.roots()).alpn(&[b"http/1.1"]);
    let pair = Pair::new(client, "fleet.example", server).run();
    assert_eq!(refused(&pair), (Error::Alert(Alert(120)), Error::Incompatible));
}
