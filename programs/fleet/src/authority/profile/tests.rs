use super::*;
use std::time::Duration;
use touchstone_certs::request;
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

fn profile(names: &[&str]) -> Profile {
    Profile::configured(&settings(names)).unwrap()
}

fn settings(names: &[&str]) -> ProfileSettings {
    ProfileSettings {
        name: "p".into(),
        kind: Kind::Server,
        lifetime: Duration::from_hours(1),
        issuing: None,
        proof: Proof::IDevId,
        verdict: false,
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        keys: Vec::new(),
        approval: crate::config::Approval::None,
        approval_lasts: Duration::from_mins(1),
        must_staple: false,
        policies: Vec::new(),
    }
}

fn request(subject: &str, names: &[AlternativeName]) -> CertificateRequest {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let der = request::build(&Name::parse(subject).unwrap(), names, &[], &key).unwrap();
    CertificateRequest::decode(&der).unwrap()
}

fn idevid(name: &str) -> Certificate {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    issue::Template::new(Kind::Device, Name::common_name(name).unwrap(), 0, 100)
        .self_sign(&AwsLc, &key)
        .unwrap()
}

fn dns(name: &str) -> AlternativeName {
    AlternativeName::Dns(name.into())
}

#[test]
fn a_request_gets_the_names_that_it_may_have_and_no_others() {
    let profile = profile(&[
        "dns:*.plant-7.example",
        "dns:broker.example",
        "uri:urn:acme:*",
        "ip:10.7.0.0/16",
        "cn:{idevid}",
    ]);
    let idevid = idevid("pump-3");
    let who = Claimant { idevid: Some(&idevid), ..Claimant::default() };
    let ip = |text: &str| AlternativeName::Ip(text.parse().unwrap());
    let uri = |text: &str| AlternativeName::Uri(text.into());
    for (subject, names) in [
        ("CN=pump-3", vec![]),
        ("", vec![dns("a.plant-7.example"), dns("BROKER.example")]),
        ("CN=a.plant-7.example", vec![uri("urn:acme:7"), ip("10.7.255.1")]),
    ] {
        let (_, got) = profile.subject(&request(subject, &names), &who).unwrap();
        assert_eq!(got, names);
    }
    for (subject, names) in [
        ("CN=pump-4", vec![]),
        ("CN=pump-3,O=Acme", vec![]),
        ("CN=pump-3,CN=pump-4", vec![]),
        ("", vec![dns("plant-7.example")]),
        ("", vec![dns("a.b.plant-7.example")]),
        ("", vec![dns("*.plant-7.example")]),
        ("", vec![dns("evilplant-7.example")]),
        ("", vec![uri("urn:other:7")]),
        ("", vec![ip("10.8.0.1")]),
        ("", vec![ip("::ffff:10.7.0.1")]),
        ("CN=pump-3", vec![AlternativeName::Email("root@plant-7.example".into())]),
    ] {
        let refused = profile.subject(&request(subject, &names), &who).unwrap_err();
        assert!(matches!(refused, Misfit::Claims(_)), "{subject} {names:?}: {refused}");
    }
    let refused = profile.subject(&request("", &[]), &who).unwrap_err();
    assert_eq!(refused.code(), "est.subject.none");
    let nobody = profile.subject(&request("CN=pump-3", &[]), &Claimant::default()).unwrap_err();
    assert_eq!(nobody.code(), "est.subject.claims", "no IDevID, no name of it");
}

#[test]
fn a_renewal_is_for_the_names_that_there_are() {
    let profile = profile(&["dns:*.plant-7.example"]);
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let held = issue::Template::new(Kind::Server, Name::empty(), 0, 100)
        .with_names(vec![dns("a.plant-7.example")])
        .self_sign(&AwsLc, &key)
        .unwrap();
    let who = Claimant { held: Some(&held), ..Claimant::default() };
    let same = request("", &[dns("a.plant-7.example")]);
    assert_eq!(profile.subject(&same, &who).unwrap().1, [dns("a.plant-7.example")]);
    let other = request("", &[dns("b.plant-7.example")]);
    assert_eq!(profile.subject(&other, &who).unwrap_err().code(), "est.subject.claims");
}

#[test]
fn the_fleet_names_its_devices_and_nobody_else_does() {
    let profile = &all(&AuthoritySettings::default()).unwrap()[0];
    let idevid = idevid("SN-1");
    let who = Claimant { device: Some("dev-1"), idevid: Some(&idevid), held: None };
    for subject in ["", "CN=dev-1", "CN=SN-1"] {
        let (name, names) = profile.subject(&request(subject, &[]), &who).unwrap();
        assert_eq!(name.to_string(), "CN=dev-1");
        assert_eq!(names, [AlternativeName::Uri("urn:touchstone:device:dev-1".into())]);
    }
    for (subject, names) in
        [("CN=dev-2", vec![]), ("CN=dev-1,O=Acme", vec![]), ("CN=dev-1", vec![dns("fleet")])]
    {
        let refused = profile.subject(&request(subject, &names), &who).unwrap_err();
        assert_eq!(refused.code(), "est.subject.claims", "{subject}");
    }
    let unknown = profile.subject(&request("", &[]), &Claimant::default()).unwrap_err();
    assert_eq!(unknown.code(), "est.device.unknown");
}

#[test]
fn an_ldevid_takes_over_the_hardware_module_of_the_idevid_or_is_refused() {
    let settings = ProfileSettings { kind: Kind::LDevId, ..settings(&[]) };
    let ldevid = Profile::configured(&settings).unwrap();
    let maker = idevid("pump-3");
    let who = Claimant { device: Some("dev-1"), idevid: Some(&maker), held: None };
    let misfit = ldevid.subject(&request("CN=dev-1", &[]), &who).unwrap_err();
    assert_eq!(misfit.code(), "est.subject.hardware-module");
    let nobody = ldevid.subject(&request("CN=dev-1", &[]), &Claimant::default()).unwrap_err();
    assert_eq!(nobody.code(), "est.device.unknown");
}

#[test]
fn keys_of_every_kind_that_signs_are_told_by_their_names() {
    let profile = profile(&["dns:a"]);
    for algorithm in [
        SignatureAlgorithm::EcdsaP256Sha256,
        SignatureAlgorithm::EcdsaP384Sha384,
        SignatureAlgorithm::EcdsaP521Sha512,
        SignatureAlgorithm::RsaPkcs1Sha256,
        SignatureAlgorithm::Ed25519,
        SignatureAlgorithm::MlDsa44,
        SignatureAlgorithm::MlDsa65,
        SignatureAlgorithm::MlDsa87,
    ] {
        let key = SoftSigner::generate(algorithm).unwrap();
        let der = request::build(&Name::parse("CN=a").unwrap(), &[], &[], &key).unwrap();
        let described = CertificateRequest::decode(&der).unwrap().key_description();
        assert_eq!(profile.certifies(&described), Ok(()), "{described}");
    }
}

#[test]
fn weak_and_unwanted_keys_are_not_certified() {
    let mut profile = profile(&["dns:a"]);
    for good in ["ec-p256", "rsa-2048", "rsa-3072", "id-Ed25519", "id-ml-dsa-65"] {
        profile.certifies(good).unwrap();
    }
    for bad in ["rsa-1024", "rsa-65536", "unreadable", "dsa"] {
        assert_eq!(profile.certifies(bad).unwrap_err().code(), "est.key.kind");
    }
    profile.keys = vec![KeyAlgorithm::P384];
    profile.certifies("ec-p384").unwrap();
    profile.certifies("ec-p256").unwrap_err();
}
