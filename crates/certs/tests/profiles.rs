//! Profiles, requests and certificates with every kind of key, signed in one step or in two; and what
//! OpenSSL, GnuTLS and NSS say of them.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::path::Path;
use touchstone_certs::issue::{Issuer, Kind, Profile, ProfileFault, Subtree, Template};
use touchstone_certs::{AlternativeName, Certificate, CertificateRequest, FOREVER, Name};
use touchstone_certs::{Purpose, TrustStore, request};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::{attempt, openssl, tool};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

const SIGNS: [SignatureAlgorithm; 9] = [
    SignatureAlgorithm::RsaPkcs1Sha256,
    SignatureAlgorithm::RsaPssSha384,
    SignatureAlgorithm::EcdsaP256Sha256,
    SignatureAlgorithm::EcdsaP384Sha384,
    SignatureAlgorithm::EcdsaP521Sha512,
    SignatureAlgorithm::Ed25519,
    SignatureAlgorithm::MlDsa44,
    SignatureAlgorithm::MlDsa65,
    SignatureAlgorithm::MlDsa87,
];

fn name(text: &str) -> Name {
    Name::common_name(text).unwrap()
}

fn key(algorithm: SignatureAlgorithm) -> SoftSigner {
    SoftSigner::generate(algorithm).unwrap()
}

fn names() -> Vec<AlternativeName> {
    vec![
        AlternativeName::HardwareModule { kind: "2.23.133.12.1".into(), serial: vec![7; 32] },
        AlternativeName::Directory(name("tpm")),
        AlternativeName::Dns("pump.plant.example".into()),
    ]
}

#[test]
fn every_kind_of_key_signs_a_chain_in_two_steps() {
    for algorithm in SIGNS {
        let (ca_key, own) = (key(algorithm), key(algorithm));
        let template = Template::new(Kind::Root, name("root"), NOW, NOW + DAY);
        let waiting = template.to_be_self_signed(&AwsLc, algorithm, ca_key.spki_der()).unwrap();
        let signature = ca_key.sign(waiting.octets()).unwrap();
        let root = waiting.attach(&AwsLc, &signature).unwrap();

        let waiting =
            request::to_be_signed(&name("pump"), &names(), &[], algorithm, own.spki_der()).unwrap();
        let signature = own.sign(waiting.octets()).unwrap();
        let request = waiting.attach(&AwsLc, &signature).unwrap();
        let request = CertificateRequest::decode(&request).unwrap().verify(&AwsLc).unwrap();

        let template = Template::new(Kind::LDevId, request.subject().clone(), NOW, NOW + DAY)
            .with_names(request.alternative_names().to_vec());
        let waiting = template.to_be_signed(&AwsLc, &root, algorithm, request.spki_der()).unwrap();
        assert_eq!(waiting.algorithm(), algorithm);
        let signature = ca_key.sign(waiting.octets()).unwrap();
        let leaf = waiting.attach(&AwsLc, &signature).unwrap();
        let trust = TrustStore::new(vec![root]);
        trust.validate(&AwsLc, &leaf, &[], NOW + 1, Purpose::DeviceIdentity).unwrap();
    }
}

#[test]
fn a_signature_by_another_key_or_over_something_else_is_not_attached() {
    let (ca_key, other) = (key(SIGNS[2]), key(SIGNS[2]));
    let template = Template::new(Kind::Root, name("root"), NOW, NOW + DAY);
    let waiting = || template.to_be_self_signed(&AwsLc, SIGNS[2], ca_key.spki_der()).unwrap();
    let first = waiting();
    let by_another = other.sign(first.octets()).unwrap();
    assert_eq!(first.attach(&AwsLc, &by_another).unwrap_err().code(), "certs.refused.signature");
    // The serial numbers differ.
    let over_another = ca_key.sign(waiting().octets()).unwrap();
    assert!(waiting().attach(&AwsLc, &over_another).is_err());
}

fn kinds() -> Vec<Kind> {
    Kind::NAMES.iter().map(|name| Kind::from_name(name).unwrap()).collect()
}

fn issued(kind: Kind) -> (Certificate, Certificate) {
    let (ca_key, own) = (key(SIGNS[2]), key(SIGNS[2]));
    let root = Template::new(Kind::Root, name("root"), NOW, NOW + DAY);
    let root = root.self_sign(&AwsLc, &ca_key).unwrap();
    let template = Template::new(kind, name("leaf"), NOW, NOW + DAY).with_names(names());
    let issuer = Issuer::new(&root, &ca_key).unwrap();
    let leaf = template.issue(&AwsLc, &issuer, own.spki_der()).unwrap();
    (root, leaf)
}

#[test]
fn a_certificate_is_of_the_profile_that_it_was_issued_by_and_of_no_other() {
    for kind in kinds() {
        let (_, leaf) = issued(kind);
        for other in kinds() {
            let fits = Profile::from(other).check(&leaf).is_ok();
            // These differ in nothing that shows: LDevID, device and client with all of the names.
            let alike = [Kind::Device, Kind::LDevId, Kind::Client];
            let wanted = kind == other || (alike.contains(&kind) && alike.contains(&other));
            assert_eq!(fits, wanted, "{kind:?} as {other:?}");
        }
    }
}

#[test]
fn every_fault_is_named() {
    let (_, leaf) = issued(Kind::Server);
    let faults = Profile::from(Kind::IDevId).check(&leaf).unwrap_err();
    assert_eq!(faults, [ProfileFault::ExtendedKeyUsage, ProfileFault::Lifetime]);
    let strict = Profile::from(Kind::Server).must_staple().living_at_most(60);
    let strict = strict.with_policy("1.3.6.1.4.1.99999.1").unwrap();
    let faults = strict.check(&leaf).unwrap_err();
    let wanted = [ProfileFault::Policies, ProfileFault::Lifetime, ProfileFault::MustStaple];
    assert_eq!(faults, wanted);
}

#[test]
fn an_idevid_has_no_end_and_a_short_lived_one_is_cut() {
    let (_, idevid) = issued(Kind::IDevId);
    assert_eq!(idevid.not_after(), FOREVER);
    let root_key = key(SIGNS[2]);
    let profile = Profile::from(Kind::Root).living_at_most(3600);
    let root = Template::new(profile, name("short"), NOW, NOW + DAY);
    assert_eq!(root.self_sign(&AwsLc, &root_key).unwrap().not_after(), NOW + 3600);
}

#[test]
fn an_idevid_without_its_hardware_module_is_not_issued() {
    let own = key(SIGNS[2]);
    let template = Template::new(Kind::IDevId, name("x"), NOW, NOW + DAY);
    assert!(template.self_sign(&AwsLc, &own).is_err());
}

#[test]
fn a_site_ca_issues_for_its_site_alone() {
    let (root_key, site_key, own) = (key(SIGNS[2]), key(SIGNS[2]), key(SIGNS[2]));
    let root = Template::new(Kind::Root, name("root"), NOW, NOW + DAY);
    let root = root.self_sign(&AwsLc, &root_key).unwrap();
    let site = Template::new(Kind::Intermediate { path_len: 0 }, name("site 7"), NOW, NOW + DAY)
        .with_name_constraints(
            vec![
                Subtree::Dns("site7.example".into()),
                Subtree::Ip("192.0.2.0".parse().unwrap(), 24),
                Subtree::Ip("2001:db8:7::".parse().unwrap(), 48),
                Subtree::Directory(Name::parse("O=Acme").unwrap()),
            ],
            vec![Subtree::Dns("vault.site7.example".into())],
        )
        .issue(&AwsLc, &Issuer::new(&root, &root_key).unwrap(), site_key.spki_der())
        .unwrap();
    assert_eq!(site.name_constraints().len(), 5);
    let trust = TrustStore::new(vec![root]);
    let ask = |subject: &str, name: AlternativeName| {
        let template = Template::new(Kind::Server, Name::parse(subject).unwrap(), NOW, NOW + DAY);
        let issuer = Issuer::new(&site, &site_key).unwrap();
        let leaf = template.with_names(vec![name]).issue(&AwsLc, &issuer, own.spki_der()).unwrap();
        let chain =
            trust.validate(&AwsLc, &leaf, std::slice::from_ref(&site), NOW + 1, Purpose::TlsServer);
        chain.map_or_else(|error| error.code(), |_| "valid")
    };
    let dns = |text: &str| AlternativeName::Dns(text.into());
    let ip = |text: &str| AlternativeName::Ip(text.parse().unwrap());
    assert_eq!(ask("CN=a,O=acme", dns("a.site7.example")), "valid");
    assert_eq!(ask("CN=a,O=acme", ip("192.0.2.99")), "valid");
    assert_eq!(ask("CN=a,O=acme", ip("2001:db8:7::1")), "valid");
    assert_eq!(ask("CN=a,O=acme", dns("a.site8.example")), "certs.refused.name-not-permitted");
    assert_eq!(ask("CN=a,O=acme", ip("192.0.3.1")), "certs.refused.name-not-permitted");
    assert_eq!(ask("CN=a,O=other", dns("a.site7.example")), "certs.refused.name-not-permitted");
    assert_eq!(ask("CN=a,O=acme", dns("b.vault.site7.example")), "certs.refused.name-excluded");
    assert_eq!(ask("CN=a,O=acme", dns("*.site7.example")), "certs.refused.name-excluded");
}

/// What others read in what we issue.
#[test]
fn openssl_gnutls_and_nss_read_every_profile() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for kind in kinds() {
        let (root, leaf) = issued(kind);
        std::fs::write(dir.join("root.pem"), root.to_pem().unwrap()).unwrap();
        std::fs::write(dir.join("leaf.pem"), leaf.to_pem().unwrap()).unwrap();
        let at = (NOW + 1).to_string();
        let said = openssl(
            dir,
            &["verify", "-x509_strict", "-attime", &at, "-CAfile", "root.pem", "leaf.pem"],
        );
        assert!(said.contains("leaf.pem: OK"), "{kind:?}: {said}");
        let said = tool("certtool", dir, &["--certificate-info", "--infile", "leaf.pem"]);
        let shown = String::from_utf8_lossy(&said).to_lowercase();
        assert!(shown.contains(&leaf.serial()), "{kind:?}: {shown}");
    }
    nss_believes(dir);
}

fn nss_believes(dir: &Path) {
    let (root, leaf) = issued(Kind::Server);
    std::fs::write(dir.join("root.pem"), root.to_pem().unwrap()).unwrap();
    std::fs::write(dir.join("leaf.pem"), leaf.to_pem().unwrap()).unwrap();
    let nss = |line: &str| attempt("certutil", dir, &line.split(' ').collect::<Vec<_>>());
    nss("-N -d sql:. --empty-password");
    nss("-A -d sql:. -n root -t C,, -a -i root.pem");
    nss("-A -d sql:. -n leaf -t ,, -a -i leaf.pem");
    // Its time is local, YYMMDDhhmmss with a zone: NOW is 2027-01-15 08:00:00 UTC.
    let said = nss("-V -d sql:. -n leaf -u V -b 270115090000Z");
    assert!(format!("{said:?}").contains("certificate is valid"), "{said:?}");
}
