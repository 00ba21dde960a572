//! Envelopes as they come: good ones, and each kind that is refused.

use super::*;
use crate::config::Identifier;
use crate::state::State;
use crate::tests::Numbers;
use touchstone_certs::Name;
use touchstone_certs::issue::{Kind, Template};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::SoftSigner;
use touchstone_update::{Manifest, seal};

const NOW: u64 = 1_800_000_000;

struct Bench {
    folder: tempfile::TempDir,
    publisher: (Certificate, SoftSigner),
    operator: (Certificate, SoftSigner),
    numbers: Numbers,
}

fn person(name: &str) -> (Certificate, SoftSigner) {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let subject = Name::common_name(name).unwrap();
    let template = Template::new(Kind::CodeSigner, subject, NOW, NOW + 86_400);
    (template.self_sign(&AwsLc, &key).unwrap(), key)
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (publisher, operator) = (person("Publisher"), person("Operator"));
        for (file, person) in [("publisher.pem", &publisher), ("operator.pem", &operator)] {
            std::fs::write(folder.path().join(file), person.0.to_pem().unwrap()).unwrap();
        }
        std::fs::write(folder.path().join("pump"), b"old").unwrap();
        Self { folder, publisher, operator, numbers: Numbers::default() }
    }

    fn updates(&self) -> Updates<Numbers> {
        let path = |file: &str| self.folder.path().join(file);
        let role = |name: &str| config::Role {
            name: name.parse::<Identifier>().unwrap(),
            roots: path(&format!("{name}.pem")),
        };
        let config = config::Update {
            inbox: None,
            roles: vec![role("publisher"), role("operator")],
            components: vec![Component {
                name: "pump".parse().unwrap(),
                path: path("pump"),
                restart: config::Restart::No,
            }],
        };
        let state = State::open(&path("state")).unwrap();
        Updates::open(&config, &state, self.numbers.clone(), NOW).unwrap()
    }

    fn envelope(component: &str, version: u64, signers: &[&(Certificate, SoftSigner)]) -> Vec<u8> {
        let manifest = Manifest::new(&AwsLc, component, version, b"new", "a note").unwrap();
        let signers: Vec<(&Certificate, &dyn touchstone_crypto::Signer)> =
            signers.iter().map(|(certificate, key)| (certificate, key as _)).collect();
        seal(&AwsLc, &manifest, b"new", &signers, NOW).unwrap()
    }

    fn file(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("pump")).unwrap()
    }
}

#[test]
fn an_update_signed_by_both_is_applied_once_and_its_outcome_survives_a_restart() {
    let bench = Bench::new();
    let envelope = Bench::envelope("pump", 2, &[&bench.publisher, &bench.operator]);
    let outcome = bench.updates().take(7, &envelope, NOW).unwrap();
    assert_eq!((outcome.result.word(), outcome.version), ("applied", 2));
    assert_eq!(bench.file(), b"new");

    let mut again = bench.updates();
    assert_eq!(again.unreported().unwrap(), outcome);
    assert!(again.has_settled(7) && !again.has_settled(8));
    assert_eq!(again.installed(), [("pump".to_owned(), 2)]);
    again.reported(&outcome).unwrap();
    assert!(bench.updates().unreported().is_none());
    assert!(!again.has_settled(7));

    let replayed = again.take(8, &envelope, NOW).unwrap();
    assert_eq!(replayed.result.why().0, "update.version.not-above");
}

#[test]
fn each_wrong_envelope_is_refused_with_its_reason_and_changes_nothing() {
    let bench = Bench::new();
    let stranger = person("Stranger");
    let both = [&bench.publisher, &bench.operator];
    let mut flipped = Bench::envelope("pump", 2, &both);
    let middle = flipped.len() / 4;
    flipped[middle] ^= 1;
    let cases = [
        (Bench::envelope("pump", 2, &[&bench.publisher]), "update.role.missing"),
        (Bench::envelope("pump", 2, &[&bench.publisher, &stranger]), "update.signer.unknown"),
        (Bench::envelope("valve", 2, &both), "agent.update.component-unknown"),
        (b"not an envelope".to_vec(), "update.envelope.malformed"),
    ];
    let mut updates = bench.updates();
    for (envelope, code) in cases {
        let outcome = updates.take(1, &envelope, NOW).unwrap();
        assert_eq!(outcome.result.word(), "refused");
        assert_eq!(outcome.result.why().0, code);
        assert!(!outcome.result.why().1.is_empty());
    }
    assert_eq!(updates.take(1, &flipped, NOW).unwrap().result.word(), "refused");
    bench.numbers.clone().raise("pump", 5).unwrap();
    let old = updates.take(1, &Bench::envelope("pump", 5, &both), NOW).unwrap();
    assert_eq!(old.result.why().0, "update.version.not-above");
    assert_eq!(bench.file(), b"old");
    assert_eq!(updates.outcomes().len(), 6);
}

#[test]
fn a_role_without_a_certificate_is_a_fault_at_start() {
    let bench = Bench::new();
    let role = config::Role { name: "operator".parse().unwrap(), roots: "/nonexistent".into() };
    let config = config::Update { inbox: None, roles: vec![role], components: Vec::new() };
    let state = State::open(&bench.folder.path().join("s")).unwrap();
    let error = Updates::open(&config, &state, Numbers::default(), NOW).err().unwrap();
    assert_eq!(error.code(), "agent.update.role");
}

#[test]
fn a_file_that_was_tampered_with_is_restored_from_the_signed_release_that_was_kept() {
    let bench = Bench::new();
    let pump = bench.folder.path().join("pump");
    let mut updates = bench.updates();
    assert!(updates.restore(&pump, NOW).unwrap_err().contains("no update has installed it"));
    let envelope = Bench::envelope("pump", 2, &[&bench.publisher, &bench.operator]);
    updates.take(7, &envelope, NOW).unwrap();
    std::fs::write(&pump, b"evil").unwrap();
    assert!(updates.restore(&pump, NOW).unwrap().contains("pump 2"));
    assert_eq!(bench.file(), b"new");
    // It is no update: the version stays, and nothing is to be reported.
    assert_eq!(bench.updates().outcomes().len(), 1);
    assert_eq!(bench.updates().installed(), [("pump".to_owned(), 2)]);

    // What was kept is believed by its signatures, and only as what was installed last.
    let kept = bench.folder.path().join("state/release-pump.update");
    let other = Bench::envelope("pump", 3, &[&bench.publisher, &bench.operator]);
    for bad in [b"nothing".to_vec(), other, Bench::envelope("pump", 2, &[&bench.publisher])] {
        std::fs::write(&kept, bad).unwrap();
        std::fs::write(&pump, b"evil").unwrap();
        assert!(bench.updates().restore(&pump, NOW).is_err());
        assert_eq!(bench.file(), b"evil");
    }
    assert!(bench.updates().restore(Path::new("/bin/sh"), NOW).is_err());
}
