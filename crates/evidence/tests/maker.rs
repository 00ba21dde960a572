//! Keys that a maker certified: IAK and IDevID, and every way in which their certificates can be wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod attester;

use attester::{LAK_ATTRIBUTES, SIGN_ATTRIBUTES, ecc_public, key};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, FOREVER, Name, TrustStore};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::Error;
use touchstone_evidence::endorse::MakersKeys;

const NOW: u64 = 1_800_000_000;

fn name(text: &str) -> Name {
    Name::common_name(text).unwrap()
}

/// A maker's CA.
struct Maker {
    key: SoftSigner,
    certificate: Certificate,
}

impl Maker {
    fn new(called: &str) -> Self {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let template = Template::new(Kind::Root, name(called), NOW - 60, FOREVER);
        let certificate = template.self_sign(&AwsLc, &key).unwrap();
        Self { key, certificate }
    }

    fn certify(&self, kind: Kind, serial: &[u8], spki_der: &[u8]) -> Certificate {
        let module = AlternativeName::HardwareModule {
            kind: "2.23.133.1.2".into(),
            serial: serial.to_vec(),
        };
        self.certify_as(kind, vec![module], spki_der)
    }

    fn certify_as(&self, kind: Kind, names: Vec<AlternativeName>, spki_der: &[u8]) -> Certificate {
        let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
        let template = Template::new(kind, name("gateway"), NOW - 60, NOW + 60);
        template.with_names(names).issue(&AwsLc, &issuer, spki_der).unwrap()
    }
}

struct Device {
    maker: Maker,
    iak: SoftSigner,
    iak_certificate: Certificate,
    idevid: Certificate,
}

impl Device {
    fn new() -> Self {
        let (maker, iak, identity) = (Maker::new("Acme devices"), key(), key());
        let iak_certificate = maker.certify(Kind::AttestationKey, b"7", iak.spki_der());
        let idevid = maker.certify(Kind::IDevId, b"7", identity.spki_der());
        Self { maker, iak, iak_certificate, idevid }
    }

    fn refused(&self) -> Error {
        self.verify(LAK_ATTRIBUTES, NOW).unwrap_err()
    }

    fn verify(&self, attributes: u32, now: u64) -> Result<(), Error> {
        let public = ecc_public(self.iak.spki_der(), attributes);
        let keys = MakersKeys {
            iak_public: &public,
            iak: &self.iak_certificate,
            idevid: Some(&self.idevid),
            issuers: &[],
        };
        let makers = TrustStore::new(vec![self.maker.certificate.clone()]);
        let made = keys.verify(&AwsLc, &makers, now)?;
        assert_eq!(made.iak.spki_der(), self.iak.spki_der());
        assert_eq!(made.identity_spki.as_deref(), Some(self.idevid.spki_der()));
        assert_eq!(made.hardware_serial, b"7");
        assert_eq!(
            (made.hardware_kind.as_str(), made.issuer.as_str()),
            ("2.23.133.1.2", "CN=Acme devices")
        );
        Ok(())
    }
}

#[test]
fn a_device_is_believed_by_its_maker() {
    Device::new().verify(LAK_ATTRIBUTES, NOW).unwrap();
}

#[test]
fn another_maker_or_another_time_is_refused() {
    let mut device = Device::new();
    assert!(matches!(device.verify(LAK_ATTRIBUTES, NOW + 61), Err(Error::Certificate(_))));
    device.maker = Maker::new("somebody");
    assert_eq!(device.refused().code(), "certs.refused.untrusted-issuer");
    // One of the same name.
    device.maker = Maker::new("Acme devices");
    assert_eq!(device.refused().code(), "certs.refused.signature");
}

#[test]
fn a_certificate_of_another_profile_is_no_iak_and_no_idevid() {
    for kind in [Kind::Device, Kind::LDevId, Kind::IDevId, Kind::Server, Kind::CodeSigner] {
        let mut device = Device::new();
        device.iak_certificate = device.maker.certify(kind, b"7", device.iak.spki_der());
        let refused = device.refused();
        assert!(matches!(refused, Error::MakersProfile { what: "IAK", .. }), "{kind:?}: {refused}");
        assert_eq!(refused.code(), "evidence.maker.profile");
    }
    for kind in [Kind::LDevId, Kind::Device] {
        let mut device = Device::new();
        device.idevid = device.maker.certify(kind, b"7", key().spki_der());
        let refused = device.refused();
        assert!(
            matches!(refused, Error::MakersProfile { what: "IDevID", .. }),
            "{kind:?}: {refused}"
        );
    }
    // A key that attests or serves is none that identifies a device.
    for kind in [Kind::AttestationKey, Kind::Server] {
        let mut device = Device::new();
        device.idevid = device.maker.certify(kind, b"7", key().spki_der());
        assert_eq!(device.refused().code(), "certs.refused.purpose", "{kind:?}");
    }
}

#[test]
fn an_iak_without_its_hardware_module_or_with_two_is_refused() {
    let module = |serial: &[u8]| AlternativeName::HardwareModule {
        kind: "2.23.133.1.2".into(),
        serial: serial.to_vec(),
    };
    for names in [vec![], vec![module(b"7"), module(b"8")]] {
        let mut device = Device::new();
        let spki = device.iak.spki_der().to_vec();
        device.iak_certificate = device.maker.certify_as(Kind::AttestationKey, names, &spki);
        let told = device.refused().to_string();
        let words = "none of an IAK: the alternative name of its kind is missing";
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn keys_and_certificates_that_do_not_belong_together_are_refused() {
    let mut device = Device::new();
    device.iak_certificate = device.maker.certify(Kind::AttestationKey, b"7", key().spki_der());
    assert_eq!(device.refused(), Error::MakersKey("IAK"));

    let mut device = Device::new();
    device.idevid = device.maker.certify(Kind::IDevId, b"8", key().spki_der());
    assert_eq!(device.refused(), Error::MakersModule);

    // One key for both would sign as the device what it attests as the TPM.
    let mut device = Device::new();
    device.idevid = device.maker.certify(Kind::IDevId, b"7", device.iak.spki_der());
    assert_eq!(device.refused(), Error::MakersKey("IDevID"));
}

#[test]
fn a_key_that_signs_anything_is_no_iak() {
    let refused = Device::new().verify(SIGN_ATTRIBUTES, NOW).unwrap_err();
    assert_eq!(refused, Error::KeyAttributes("restricted to what the TPM made"));
}
