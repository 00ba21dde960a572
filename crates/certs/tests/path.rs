//! Paths that must not be taken, one reason each, and those that must.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{AlternativeName, Certificate, Error, FOREVER, Name, Purpose, TrustStore};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::openssl;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

struct Entity {
    certificate: Certificate,
    key: SoftSigner,
}

fn key() -> SoftSigner {
    SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap()
}

fn template(kind: Kind, name: &str) -> Template {
    Template::new(kind, Name::common_name(name).unwrap(), NOW - DAY, NOW + DAY)
}

fn root() -> Entity {
    let key = key();
    let certificate = template(Kind::Root, "Root").self_sign(&AwsLc, &key).unwrap();
    Entity { certificate, key }
}

impl Entity {
    fn issue(&self, template: &Template) -> Self {
        let key = key();
        let issuer = Issuer::new(&self.certificate, &self.key).unwrap();
        let certificate = template.issue(&AwsLc, &issuer, key.spki_der()).unwrap();
        Self { certificate, key }
    }

    fn trust(&self) -> TrustStore {
        TrustStore::new(vec![self.certificate.clone()])
    }
}

fn code(result: Result<impl Sized, Error>) -> &'static str {
    result.err().map_or("accepted", |error| error.code())
}

#[test]
fn a_device_is_valid_over_two_cas_in_any_order_with_strangers_between() {
    let root = root();
    let upper = root.issue(&template(Kind::Intermediate { path_len: 1 }, "Upper"));
    let lower = upper.issue(&template(Kind::Intermediate { path_len: 0 }, "Lower"));
    let device = lower.issue(&template(Kind::Device, "pump"));
    let stranger = self::root();
    let others = [lower.certificate, stranger.certificate, upper.certificate];
    let chain = root
        .trust()
        .validate(&AwsLc, &device.certificate, &others, NOW, Purpose::DeviceIdentity)
        .unwrap();
    let names: Vec<_> = chain.issuers().iter().map(Certificate::subject).collect();
    assert_eq!(names, ["CN=Lower", "CN=Upper", "CN=Root"]);
    assert_eq!(chain.anchor(), &root.certificate);
}

#[test]
fn outside_its_time_a_certificate_is_refused_and_so_is_everything_below() {
    let root = root();
    let device = root.issue(&template(Kind::Device, "pump"));
    let ask =
        |at| code(root.trust().validate(&AwsLc, &device.certificate, &[], at, Purpose::TlsClient));
    assert_eq!(ask(NOW), "accepted");
    assert_eq!(ask(NOW - 2 * DAY), "certs.refused.not-yet-valid");
    assert_eq!(ask(NOW + 2 * DAY), "certs.refused.expired");
}

#[test]
fn a_device_certificate_without_end_is_accepted_and_ends_with_nobody() {
    let key = key();
    let forever = Template { not_after: FOREVER, ..template(Kind::Root, "Maker") };
    let certificate = forever.self_sign(&AwsLc, &key).unwrap();
    let maker = Entity { certificate, key };
    let device = maker.issue(&Template { not_after: FOREVER, ..template(Kind::Device, "idevid") });
    assert_eq!(device.certificate.not_after(), FOREVER);
    let valid =
        |at| maker.trust().validate(&AwsLc, &device.certificate, &[], at, Purpose::DeviceIdentity);
    valid(NOW + 5_000 * 365 * DAY).unwrap();
}

#[test]
fn a_certificate_never_outlives_its_issuer() {
    let root = root();
    let device = root.issue(&Template { not_after: FOREVER, ..template(Kind::Device, "pump") });
    assert_eq!(device.certificate.not_after(), root.certificate.not_after());
}

#[test]
fn a_device_issues_nothing() {
    let root = root();
    let device = root.issue(&template(Kind::Device, "pump"));
    let refused = Issuer::new(&device.certificate, &device.key);
    assert_eq!(code(refused), "certs.refused.not-a-ca");
}

#[test]
fn a_ca_with_path_length_zero_has_no_ca_below() {
    let root = root();
    let upper = root.issue(&template(Kind::Intermediate { path_len: 0 }, "Upper"));
    let lower = upper.issue(&template(Kind::Intermediate { path_len: 0 }, "Lower"));
    let device = lower.issue(&template(Kind::Device, "pump"));
    let others = [upper.certificate, lower.certificate];
    let asked = root.trust().validate(&AwsLc, &device.certificate, &others, NOW, Purpose::Any);
    assert_eq!(code(asked), "certs.refused.path-length");
}

#[test]
fn an_impostor_with_the_name_of_the_root_is_refused() {
    let device = root().issue(&template(Kind::Device, "pump"));
    let asked = root().trust().validate(&AwsLc, &device.certificate, &[], NOW, Purpose::Any);
    assert_eq!(code(asked), "certs.refused.signature");
    let asked = TrustStore::default().validate(&AwsLc, &device.certificate, &[], NOW, Purpose::Any);
    assert_eq!(code(asked), "certs.refused.untrusted-issuer");
}

#[test]
fn each_kind_serves_its_purposes_and_no_others() {
    use Purpose::{Any, CodeSigning, DeviceIdentity, EndorsementKey, OcspSigning};
    use Purpose::{TlsClient, TlsServer};
    let all = [Any, CodeSigning, DeviceIdentity, EndorsementKey, OcspSigning, TlsClient, TlsServer];
    let cases: [(Kind, &[Purpose]); 6] = [
        (Kind::Device, &[Any, DeviceIdentity, TlsClient]),
        (Kind::Server, &[Any, TlsServer]),
        (Kind::Peer, &[Any, DeviceIdentity, TlsClient, TlsServer]),
        (Kind::CodeSigner, &[Any, CodeSigning]),
        (Kind::OcspResponder, &[Any, OcspSigning]),
        (Kind::Intermediate { path_len: 0 }, &[Any]),
    ];
    let root = root();
    for (kind, wanted) in cases {
        let leaf = root.issue(&template(kind, "leaf"));
        for purpose in all {
            let asked = root.trust().validate(&AwsLc, &leaf.certificate, &[], NOW, purpose);
            let wanted =
                if wanted.contains(&purpose) { "accepted" } else { "certs.refused.purpose" };
            assert_eq!(code(asked), wanted, "{kind:?} as {purpose:?}");
        }
    }
}

#[test]
fn what_was_asked_for_is_in_the_certificate_and_openssl_reads_it() {
    let root = root();
    let names = vec![
        AlternativeName::Dns("fleet.example".into()),
        AlternativeName::Uri("urn:device:pump".into()),
        AlternativeName::Ip("192.0.2.7".parse().unwrap()),
        AlternativeName::Ip("2001:db8::7".parse().unwrap()),
        AlternativeName::HardwareModule { kind: "1.3.6.1.4.1.1".into(), serial: vec![1, 2, 3] },
    ];
    let wanted = template(Kind::Server, "Fleet").with_names(names.clone());
    let server = root.issue(&wanted.with_ocsp("http://127.0.0.1:8080/ocsp"));
    let certificate = &server.certificate;
    assert_eq!(certificate.alternative_names(), names);
    assert_eq!(certificate.dns_names().collect::<Vec<_>>(), ["fleet.example"]);
    assert_eq!(certificate.uris().collect::<Vec<_>>(), ["urn:device:pump"]);
    assert_eq!(certificate.ocsp_urls(), ["http://127.0.0.1:8080/ocsp"]);
    assert_eq!(certificate.serial().len(), 32);

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), root.certificate.to_pem().unwrap()).unwrap();
    std::fs::write(dir.path().join("leaf.pem"), certificate.to_pem().unwrap()).unwrap();
    let at = NOW.to_string();
    let args =
        ["verify", "-x509_strict", "-attime", &at, "-purpose", "sslserver", "-CAfile", "ca.pem"];
    let said = openssl(dir.path(), &[&args[..], &["leaf.pem"]].concat());
    assert!(said.contains("leaf.pem: OK"), "{said}");
    let text = openssl(dir.path(), &["x509", "-in", "leaf.pem", "-noout", "-serial", "-text"]);
    assert!(text.to_lowercase().contains(&certificate.serial()), "{text}");
    assert!(text.contains("DNS:fleet.example") && text.contains("OCSP - URI"), "{text}");
}

/// A root and a leaf by `openssl`, with these extensions.
fn by_openssl(root: &str, leaf: &str) -> (TrustStore, Certificate) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("root.cnf"), root).unwrap();
    std::fs::write(dir.path().join("leaf.cnf"), leaf).unwrap();
    let run = |line: &str| openssl(dir.path(), &line.split(' ').collect::<Vec<_>>());
    for name in ["root", "leaf"] {
        run(&format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ));
    }
    run("x509 -req -in root.csr -signkey root.key -days 2 -extfile root.cnf -out root.pem");
    run(
        "x509 -req -in leaf.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1 -sha256 -extfile leaf.cnf -out leaf.pem",
    );
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let leaf = Certificate::from_pem(&read("leaf.pem")).unwrap().remove(0);
    (TrustStore::from_pem(&read("root.pem")).unwrap(), leaf)
}

const CA: &str = "basicConstraints=critical,CA:TRUE\n";

#[test]
fn what_is_critical_and_unknown_or_not_evaluated_is_refused() {
    let cases = [
        (CA, "keyUsage=digitalSignature", "accepted"),
        (CA, "1.2.3.4=critical,ASN1:NULL", "certs.refused.critical-extension"),
        (CA, "1.2.3.4=ASN1:NULL", "accepted"),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=permitted;DNS:example.com",
            "subjectAltName=DNS:pump.example.com",
            "accepted",
        ),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=permitted;DNS:example.com",
            "subjectAltName=DNS:pump.example.org",
            "certs.refused.name-not-permitted",
        ),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=excluded;URI:.example.com",
            "subjectAltName=URI:https://pump.example.com/status",
            "certs.refused.name-excluded",
        ),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=permitted;IP:192.0.2.0/255.255.255.0",
            "subjectAltName=IP:192.0.3.1",
            "certs.refused.name-not-permitted",
        ),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=permitted;DNS:.example.com",
            "subjectAltName=DNS:pump.example.com",
            "certs.refused.constraints",
        ),
        (CA, "nameConstraints=permitted;DNS:example.com", "certs.refused.constraints"),
        (CA, "subjectAltName=DNS:pump_3.example.com", "certs.refused.name"),
        (CA, "authorityInfoAccess=critical,OCSP;URI:http://x", "certs.refused.criticality"),
        (
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature",
            "keyUsage=digitalSignature",
            "certs.refused.key-cert-sign",
        ),
        ("basicConstraints=CA:FALSE", "keyUsage=digitalSignature", "certs.refused.not-a-ca"),
        (
            "basicConstraints=critical,CA:TRUE\nextendedKeyUsage=serverAuth",
            "keyUsage=digitalSignature",
            "certs.refused.purpose",
        ),
    ];
    for (root, leaf, wanted) in cases {
        let (trust, leaf_certificate) = by_openssl(root, leaf);
        let at = leaf_certificate.not_before() + 60;
        let asked = trust.validate(&AwsLc, &leaf_certificate, &[], at, Purpose::TlsClient);
        assert_eq!(code(asked), wanted, "{root:?} {leaf:?}");
    }
}

#[test]
fn an_endorsement_certificate_needs_its_usage_and_a_key_that_decrypts() {
    let san = "subjectAltName=critical,dirName:tpm\n[tpm]\n0.2.23.133.2.1=id:53544D20\n";
    let cases = [
        ("keyUsage=critical,keyEncipherment\nextendedKeyUsage=2.23.133.8.1\n", "accepted"),
        ("keyUsage=critical,keyAgreement\nextendedKeyUsage=2.23.133.8.1\n", "accepted"),
        ("keyUsage=critical,keyEncipherment\n", "certs.refused.purpose"),
        (
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=2.23.133.8.1\n",
            "certs.refused.purpose",
        ),
        (
            "keyUsage=critical,keyEncipherment\nextendedKeyUsage=anyExtendedKeyUsage\n",
            "certs.refused.purpose",
        ),
    ];
    for (usage, wanted) in cases {
        let (trust, leaf) = by_openssl(CA, &format!("{usage}{san}"));
        let at = leaf.not_before() + 60;
        let asked = trust.validate(&AwsLc, &leaf, &[], at, Purpose::EndorsementKey);
        assert_eq!(code(asked), wanted, "{usage:?}");
    }
}
