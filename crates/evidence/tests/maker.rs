//! Keys that a maker certified: IAK and IDevID, and every way in which their certificates can be wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod attester;

use attester::{LAK_ATTRIBUTES, SIGN_ATTRIBUTES, certify, ecc_public, key};
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, FOREVER, Name, TrustStore};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::Error;
use touchstone_evidence::endorse::{
    Believed, Bundle, CertifiedKey, Endorsed, MakersKeys, MakersProof, Wanted, identity_binding,
    lak_binding,
};

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
    identity: SoftSigner,
    idevid: Certificate,
}

impl Device {
    fn new() -> Self {
        let (maker, iak, identity) = (Maker::new("Acme devices"), key(), key());
        let iak_certificate = maker.certify(Kind::AttestationKey, b"7", iak.spki_der());
        let idevid = maker.certify(Kind::IDevId, b"7", identity.spki_der());
        Self { maker, iak, iak_certificate, identity, idevid }
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
    assert!(matches!(
        device.verify(LAK_ATTRIBUTES, NOW + 61),
        Err(Error::MakersCertificate { what: "IAK", .. })
    ));
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
    assert_eq!(refused, Error::MakersAttributes("restricted to what the TPM made"));
}

/// TPMT_PUBLIC of an endorsement key that nobody has certified: fixedTPM, fixedParent,
/// sensitiveDataOrigin, adminWithPolicy, restricted, decrypt.
fn ek_public() -> Vec<u8> {
    ecc_public(key().spki_der(), 0x0003_00B2)
}

impl Device {
    /// What it hands over, with an attestation key of its own.
    fn bundle(&self) -> Bundle {
        let lak = key();
        let lak_public = ecc_public(lak.spki_der(), LAK_ATTRIBUTES);
        let public = ecc_public(self.identity.spki_der(), SIGN_ATTRIBUTES);
        let identity = certify(&lak, &public, &identity_binding(&AwsLc, &lak_public));
        let (attest, signature) = (identity.attest, identity.signature);
        let maker = Some(self.proof(&lak_public));
        let device_identity = Some(CertifiedKey { public, attest, signature });
        let (ek_public, ek_certificates) = (ek_public(), Vec::new());
        Bundle { ek_public, ek_certificates, lak_public, device_identity, maker }
    }

    fn proof(&self, object: &[u8]) -> MakersProof {
        let iak_public = ecc_public(self.iak.spki_der(), LAK_ATTRIBUTES);
        let said = certify(&self.iak, object, &lak_binding(&AwsLc, &iak_public));
        let certificates = vec![self.iak_certificate.der().to_vec()];
        MakersProof { iak_public, certificates, attest: said.attest, signature: said.signature }
    }

    fn endorsed(&self, bundle: &Bundle, wanted: Wanted) -> Result<Endorsed, Error> {
        let (nobody, makers) =
            (TrustStore::new(Vec::new()), TrustStore::new(vec![self.maker.certificate.clone()]));
        let believed = Believed { tpm_makers: &nobody, device_makers: &makers, wanted };
        let bundle = Bundle::decode(&bundle.encode()).unwrap();
        let idevid = std::slice::from_ref(&self.idevid);
        bundle.verify(&AwsLc, &believed, idevid, NOW).map(touchstone_crypto::Verified::into_inner)
    }
}

#[test]
fn an_attestation_key_is_believed_by_the_iak_and_without_a_certificate_of_its_endorsement_key() {
    let device = Device::new();
    for wanted in [Wanted::Either, Wanted::Iak] {
        let endorsed = device.endorsed(&device.bundle(), wanted).unwrap();
        assert_eq!(endorsed.ek, None);
        assert_eq!(endorsed.made.unwrap().hardware_serial, b"7");
    }
    for wanted in [Wanted::EndorsementKey, Wanted::Both] {
        let refused = device.endorsed(&device.bundle(), wanted).unwrap_err();
        assert_eq!(refused, Error::NoEndorsementCertificate, "{wanted:?}");
    }
}

#[test]
fn nothing_that_vouches_for_a_tpm_is_not_enough() {
    let device = Device::new();
    let bare = || Bundle { maker: None, ..device.bundle() };
    assert_eq!(device.endorsed(&bare(), Wanted::Either).unwrap_err(), Error::NoEndorsement);
    assert_eq!(device.endorsed(&bare(), Wanted::Iak).unwrap_err(), Error::NoIak);
    let mut empty = device.bundle();
    empty.maker.as_mut().unwrap().certificates.clear();
    assert_eq!(device.endorsed(&empty, Wanted::Iak).unwrap_err(), Error::NoIak);
}

#[test]
fn what_is_shown_has_to_be_right_where_the_other_proof_would_do() {
    let device = Device::new();
    // Nobody is believed about TPMs here.
    let mut bundle = device.bundle();
    bundle.ek_certificates.push(device.iak_certificate.der().to_vec());
    let refused = device.endorsed(&bundle, Wanted::Either).unwrap_err();
    assert!(matches!(refused, Error::Certificate(_)), "{refused}");
    device.endorsed(&bundle, Wanted::Iak).unwrap();
}

#[test]
fn an_iak_that_does_not_vouch_for_the_attestation_key_is_refused() {
    let device = Device::new();
    let with = |change: &dyn Fn(&mut MakersProof, &[u8])| {
        let mut bundle = device.bundle();
        let lak_public = bundle.lak_public.clone();
        change(bundle.maker.as_mut().unwrap(), &lak_public);
        device.endorsed(&bundle, Wanted::Either).unwrap_err()
    };
    // About another key.
    let another = ecc_public(key().spki_der(), LAK_ATTRIBUTES);
    assert_eq!(with(&|proof, _| *proof = device.proof(&another)), Error::WrongName);
    // By another key than the certified one.
    let refused = with(&|proof, lak| {
        let said = certify(&key(), lak, &lak_binding(&AwsLc, &proof.iak_public));
        (proof.attest, proof.signature) = (said.attest, said.signature);
    });
    assert_eq!(refused.code(), "evidence.attest.signature");
    // About this key, and for something else.
    let refused = with(&|proof, lak| {
        let said = certify(&device.iak, lak, b"another context");
        (proof.attest, proof.signature) = (said.attest, said.signature);
    });
    assert_eq!(refused, Error::NotFresh);
}

#[test]
fn the_certificate_of_another_iak_or_of_another_maker_is_refused_and_says_whose() {
    let mut device = Device::new();
    device.iak_certificate = device.maker.certify(Kind::AttestationKey, b"7", key().spki_der());
    assert_eq!(device.endorsed(&device.bundle(), Wanted::Iak), Err(Error::MakersKey("IAK")));

    let mut device = Device::new();
    let stranger = Maker::new("somebody");
    device.iak_certificate = stranger.certify(Kind::AttestationKey, b"7", device.iak.spki_der());
    let refused = device.endorsed(&device.bundle(), Wanted::Iak).unwrap_err();
    assert_eq!(refused.code(), "certs.refused.untrusted-issuer");
    assert!(refused.to_string().starts_with("the maker's certificate of the IAK: "), "{refused}");
}

#[test]
fn an_identity_that_is_in_another_tpm_is_refused() {
    let mut device = Device::new();
    // The peer's certificate is the maker's, and for another key of the same module.
    device.idevid = device.maker.certify(Kind::IDevId, b"7", key().spki_der());
    assert_eq!(device.endorsed(&device.bundle(), Wanted::Iak), Err(Error::WrongName));
}

#[test]
fn a_bundle_with_an_iak_that_is_cut_is_malformed() {
    let bytes = Device::new().bundle().encode();
    for cut in 0..bytes.len() {
        assert!(Bundle::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}
