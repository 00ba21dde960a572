//! Which updates are applied, and why the others are not.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::similar_names,
    reason = "tests fail loudly"
)]

use proptest::prelude::*;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::{Certificate, Name, TrustStore};
use touchstone_cms::{DATA, SignedData};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::openssl;
use touchstone_update::{Fault, Manifest, Refused, Role, Rules, Trust};
use touchstone_update::{countersign, inspect, open, seal};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const PAYLOAD: &[u8] = b"\x7FELF and so on\n{\"not\":\"json\"}\n";

struct Person {
    certificate: Certificate,
    key: SoftSigner,
}

fn key() -> SoftSigner {
    SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap()
}

fn template(kind: Kind, name: &str) -> Template {
    Template::new(kind, Name::common_name(name).unwrap(), NOW - DAY, NOW + DAY)
}

fn person(name: &str) -> Person {
    let key = key();
    Person { certificate: template(Kind::CodeSigner, name).self_sign(&AwsLc, &key).unwrap(), key }
}

impl Person {
    fn signer(&self) -> (&Certificate, &dyn Signer) {
        (&self.certificate, &self.key)
    }

    fn pinned(&self, role: &str) -> Role {
        Role { name: role.into(), trust: Trust::Pinned(self.certificate.clone()) }
    }
}

struct Scene {
    publisher: Person,
    operator: Person,
    rules: Rules,
}

fn scene() -> Scene {
    let (publisher, operator) = (person("Publisher"), person("Operator"));
    let roles = vec![publisher.pinned("publisher"), operator.pinned("operator")];
    let rules = Rules { component: "pump-control".into(), above: 7, roles };
    Scene { publisher, operator, rules }
}

fn manifest(version: u64) -> Manifest {
    Manifest::new(&AwsLc, "pump-control", version, PAYLOAD, "fixes the valve").unwrap()
}

impl Scene {
    fn sealed(&self, manifest: &Manifest) -> Vec<u8> {
        seal(&AwsLc, manifest, PAYLOAD, &[self.publisher.signer()], NOW).unwrap()
    }

    fn both(&self, manifest: &Manifest) -> Vec<u8> {
        countersign(&AwsLc, &self.sealed(manifest), self.operator.signer(), NOW).unwrap()
    }

    fn refused(&self, envelope: &[u8]) -> Refused {
        open(&AwsLc, envelope, &self.rules, NOW).unwrap_err()
    }
}

#[test]
fn an_update_with_both_signatures_and_a_higher_version_is_opened() {
    let scene = scene();
    let envelope = scene.both(&manifest(8));
    let update = open(&AwsLc, &envelope, &scene.rules, NOW).unwrap();
    assert_eq!(update.payload(), PAYLOAD);
    assert_eq!(update.manifest(), &manifest(8));
    let roles: Vec<_> =
        update.signers().iter().map(|(role, by)| (role.as_str(), by.subject())).collect();
    assert_eq!(roles, [("publisher", "CN=Publisher"), ("operator", "CN=Operator")]);
}

#[test]
fn without_one_of_the_signatures_it_is_refused() {
    let scene = scene();
    let sealed = scene.sealed(&manifest(8));
    assert_eq!(scene.refused(&sealed), Refused::MissingRole { role: "operator".into() });
    let other = seal(&AwsLc, &manifest(8), PAYLOAD, &[scene.operator.signer()], NOW).unwrap();
    assert_eq!(scene.refused(&other), Refused::MissingRole { role: "publisher".into() });
    let said = scene.refused(&sealed).to_string();
    assert_eq!(said, "the operator has not signed; have the operator countersign it");
}

#[test]
fn a_wrong_signer_is_refused_by_name() {
    let scene = scene();
    let mallory = person("Mallory");
    let envelope = countersign(&AwsLc, &scene.sealed(&manifest(8)), mallory.signer(), NOW).unwrap();
    let refused = scene.refused(&envelope);
    assert_eq!(refused.code(), "update.signer.unknown");
    assert!(refused.to_string().contains("CN=Mallory"), "{refused}");
    // Also beside both others: nobody unknown is welcome.
    let envelope = countersign(&AwsLc, &scene.both(&manifest(8)), mallory.signer(), NOW).unwrap();
    assert_eq!(scene.refused(&envelope).code(), "update.signer.unknown");
    // A namesake is not the one.
    let namesake = person("Operator");
    let envelope =
        countersign(&AwsLc, &scene.sealed(&manifest(8)), namesake.signer(), NOW).unwrap();
    assert_eq!(scene.refused(&envelope).code(), "update.signer.unknown");
}

#[test]
fn one_signer_does_not_fill_two_roles() {
    let mut scene = scene();
    scene.rules.roles =
        vec![scene.publisher.pinned("publisher"), scene.publisher.pinned("operator")];
    let envelope = scene.sealed(&manifest(8));
    assert_eq!(scene.refused(&envelope), Refused::MissingRole { role: "operator".into() });
}

#[test]
fn rules_without_roles_admit_nothing() {
    let mut scene = scene();
    let envelope = scene.both(&manifest(8));
    scene.rules.roles.clear();
    assert_eq!(scene.refused(&envelope).code(), "update.signer.unknown");
}

#[test]
fn roles_are_shared_out_so_that_all_are_filled() {
    // Both anchors trust both signers but one: the order must not matter.
    let ca_key = key();
    let ca = template(Kind::Root, "Ca").self_sign(&AwsLc, &ca_key).unwrap();
    let issue = |name: &str| {
        let key = key();
        let issuer = Issuer::new(&ca, &ca_key).unwrap();
        let template = template(Kind::CodeSigner, name);
        Person { certificate: template.issue(&AwsLc, &issuer, key.spki_der()).unwrap(), key }
    };
    let (one, two) = (issue("One"), issue("Two"));
    let any = |name: &str| {
        let trust = Trust::Anchors(TrustStore::new(vec![ca.clone()]));
        Role { name: name.into(), trust }
    };
    for (pinned, other) in [(&one, &two), (&two, &one)] {
        let roles = vec![any("publisher"), pinned.pinned("operator")];
        let rules = Rules { component: "pump-control".into(), above: 7, roles };
        let signers = [one.signer(), two.signer()];
        let envelope = seal(&AwsLc, &manifest(8), PAYLOAD, &signers, NOW).unwrap();
        let update = open(&AwsLc, &envelope, &rules, NOW).unwrap();
        assert_eq!(update.signers()[0].1, other.certificate);
        assert_eq!(update.signers()[1].1, pinned.certificate);
    }
}

#[test]
fn a_device_certificate_of_the_same_ca_signs_no_updates() {
    let ca_key = key();
    let ca = template(Kind::Root, "Ca").self_sign(&AwsLc, &ca_key).unwrap();
    let key = key();
    let issuer = Issuer::new(&ca, &ca_key).unwrap();
    let device = template(Kind::Device, "pump").issue(&AwsLc, &issuer, key.spki_der()).unwrap();
    let trust = Trust::Anchors(TrustStore::new(vec![ca.clone()]));
    let roles = vec![Role { name: "publisher".into(), trust }];
    let rules = Rules { component: "pump-control".into(), above: 7, roles };
    let envelope = seal(&AwsLc, &manifest(8), PAYLOAD, &[(&device, &key)], NOW).unwrap();
    let refused = open(&AwsLc, &envelope, &rules, NOW).unwrap_err();
    assert!(refused.to_string().contains("not issued for this purpose"), "{refused}");
}

#[test]
fn an_older_or_equal_version_is_refused() {
    let scene = scene();
    for offered in [0, 6, 7] {
        let refused = scene.refused(&scene.both(&manifest(offered)));
        assert_eq!(refused, Refused::VersionNotAbove { offered, last: 7 });
    }
}

#[test]
fn another_component_and_a_late_update_are_refused() {
    let scene = scene();
    let other = Manifest::new(&AwsLc, "valve", 8, PAYLOAD, "").unwrap();
    assert_eq!(scene.refused(&scene.both(&other)).code(), "update.component.wrong");
    let late = Manifest { expires: Some(NOW - 1), ..manifest(8) };
    assert_eq!(scene.refused(&scene.both(&late)), Refused::Expired { at: NOW - 1 });
    // The signers' certificates end too.
    let envelope = scene.both(&manifest(8));
    let refused = open(&AwsLc, &envelope, &scene.rules, NOW + 2 * DAY).unwrap_err();
    assert!(refused.to_string().contains("expired"), "{refused}");
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let scene = scene();
    let envelope = scene.both(&manifest(8));
    let good = open(&AwsLc, &envelope, &scene.rules, NOW).unwrap();
    let mut refused = 0;
    for index in 0..envelope.len() {
        let mut bad = envelope.clone();
        bad[index] ^= 1;
        match open(&AwsLc, &bad, &scene.rules, NOW) {
            // The version number of the envelope and the list of digests are not signed.
            Ok(seen) => assert_eq!(seen, good, "octet {index}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused + 40 > envelope.len(), "{refused} of {}", envelope.len());
    let at = envelope.windows(PAYLOAD.len()).position(|window| window == PAYLOAD).unwrap();
    let mut bad = envelope;
    bad[at] ^= 1;
    assert_eq!(scene.refused(&bad).code(), "update.envelope.signature");
}

#[test]
fn a_manifest_about_another_payload_is_refused_even_when_signed() {
    let scene = scene();
    let signers = [scene.publisher.signer(), scene.operator.signer()];
    let sealed = seal(&AwsLc, &manifest(8), b"other", &signers, NOW);
    assert_eq!(sealed, Err(Refused::DigestMismatch));
    let json = serde_json::to_string(&manifest(8)).unwrap();
    let sign = |content: &str| SignedData::sign(&AwsLc, content.as_bytes(), DATA, &signers, NOW);
    let other = sign(&format!("touchstone-update/1\n{json}\nother")).unwrap();
    assert_eq!(scene.refused(&other), Refused::DigestMismatch);
    for (content, fault) in [
        (json.clone(), Fault::NotAnUpdate),
        (format!("touchstone-update/1\n{json}"), Fault::Manifest),
        ("touchstone-update/1\n{}\n".into(), Fault::Manifest),
        (
            format!("touchstone-update/1\n{}\n", json.replace("schema\":1", "schema\":2")),
            Fault::Schema,
        ),
        (format!("touchstone-update/1\n{}\n", json.replace("note", "n0te")), Fault::Manifest),
        (format!("touchstone-update/1\n{}\n", json.replace("pump-", "../")), Fault::Component),
    ] {
        let envelope = sign(&content).unwrap();
        assert_eq!(scene.refused(&envelope), Refused::Malformed(fault), "{content}");
    }
}

#[test]
fn a_courier_sees_what_it_carries_and_believes_nothing() {
    let scene = scene();
    let seen = inspect(&scene.both(&manifest(8))).unwrap();
    assert_eq!(seen.manifest, manifest(8));
    let mut names: Vec<_> = seen.signers.iter().map(Certificate::subject).collect();
    names.sort_unstable();
    assert_eq!(names, ["CN=Operator", "CN=Publisher"]);
    assert!(inspect(b"junk").is_err());
}

#[test]
fn openssl_gives_out_the_content_of_an_envelope() {
    let scene = scene();
    let dir = tempfile::tempdir().unwrap();
    let write =
        |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).unwrap();
    write("envelope.der", &scene.both(&manifest(8)));
    let roots = [&scene.publisher, &scene.operator]
        .map(|person| person.certificate.to_pem().unwrap())
        .concat();
    write("roots.pem", roots.as_bytes());
    let line = "cms -verify -binary -inform DER -in envelope.der -CAfile roots.pem -purpose any \
                -partial_chain -no_check_time -out content";
    openssl(dir.path(), &line.split_whitespace().collect::<Vec<_>>());
    let content = std::fs::read(dir.path().join("content")).unwrap();
    assert!(content.starts_with(b"touchstone-update/1\n{") && content.ends_with(PAYLOAD));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn whatever_is_done_to_an_envelope_nothing_else_comes_out(
        edits in prop::collection::vec((0..4096_usize, 0..4_u8, any::<u8>()), 1..4),
    ) {
        static GOOD: std::sync::LazyLock<(Scene, Vec<u8>)> = std::sync::LazyLock::new(|| {
            let scene = scene();
            let envelope = scene.both(&manifest(8));
            (scene, envelope)
        });
        let mut bytes = GOOD.1.clone();
        for (at, kind, value) in edits {
            let at = at % bytes.len().max(1);
            match kind {
                _ if bytes.is_empty() => {}
                0 => bytes[at] = value,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, value),
                _ => drop(bytes.remove(at)),
            }
        }
        let _ = inspect(&bytes);
        if let Ok(update) = open(&AwsLc, &bytes, &GOOD.0.rules, NOW) {
            prop_assert_eq!(update.payload(), PAYLOAD);
            prop_assert_eq!(update.manifest(), &manifest(8));
        }
    }
}
