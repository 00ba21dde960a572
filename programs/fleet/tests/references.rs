//! Reference values as the fleet takes them in and puts them in force.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::fs;
use tempfile::TempDir;
use touchstone_appraise::references::{
    Assignment, Document, ReferenceValue, SetName, Standing, Supersedes,
};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_cms::{DATA, SignedData};
use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_fleet::clock;
use touchstone_fleet::config::TrustFiles;
use touchstone_fleet::trust::Trust;

const POLICY: &str = r#"policy files version 1 schema 1 control files {
    title "nothing else may run" severity high else executables contraindicated
    require ima.unknown-files is empty and every boot.db in reference.db }"#;

struct Scene {
    trust: Trust,
    publisher: (SoftSigner, Certificate),
    _folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let publisher = signer("publisher");
        let pem = folder.path().join("publisher.pem");
        fs::write(&pem, publisher.1.to_pem().unwrap()).unwrap();
        let policy = folder.path().join("files.policy");
        fs::write(&policy, POLICY).unwrap();
        let files = TrustFiles {
            endorsement_roots: vec![pem.clone()],
            onboarding: touchstone_evidence::endorse::Wanted::Either,
            device_roots: vec![pem.clone()],
            reference_signers: vec![pem],
            policy,
            policy_signers: Vec::new(),
            policy_schemas: Vec::new(),
            references: Vec::new(),
        };
        let trust = Trust::load(&files, "plant").unwrap();
        Self { trust, publisher, _folder: folder }
    }

    fn signed(&self, json: &[u8]) -> Vec<u8> {
        let by: &[(&_, &dyn Signer)] = &[(&self.publisher.1, &self.publisher.0)];
        SignedData::sign(&AwsLc, json, DATA, by, clock::now()).unwrap()
    }

    fn refused(&self, json: &[u8]) -> String {
        self.trust.open_reference(&self.signed(json), "admin").unwrap_err()
    }
}

fn signer(name: &str) -> (SoftSigner, Certificate) {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let name = Name::common_name(name).unwrap();
    let (from, until) = (clock::now() - 60, clock::now() + 3600);
    let certificate = Template::new(Kind::CodeSigner, name, from, until).self_sign(&AwsLc, &key);
    (key, certificate.unwrap())
}

fn file(path: &str) -> ReferenceValue {
    let digest = AwsLc.hash(HashAlgorithm::Sha256, &[path.as_bytes()]);
    ReferenceValue::File { path: path.into(), digest }
}

fn document(version: u64, path: &str) -> Document {
    let mut document = Document::new("plant", "app", version);
    document.values.push(file(path));
    document
}

#[test]
fn values_that_no_control_reads_are_not_taken_in() {
    let scene = Scene::new();
    let mut document = document(1, "/usr/bin/pump");
    document.command_line("quiet");
    let refused = scene.refused(&document.to_json());
    assert!(refused.contains("references.unevaluated"), "{refused}");
    assert!(refused.contains("let one read reference.command-lines"), "{refused}");
    document.values.pop();
    let taken = scene.trust.open_reference(&scene.signed(&document.to_json()), "admin").unwrap();
    assert_eq!((taken.about.version, taken.about.kind.as_str()), (1, "1 values"));
}

#[test]
fn what_the_policy_reads_and_nobody_supplies_is_told() {
    let scene = Scene::new();
    let envelope = scene.signed(&document(1, "/usr/bin/pump").to_json());
    assert_eq!(scene.trust.enforce(&[envelope]), Vec::<String>::new());
    let gaps = scene.trust.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].contains("the policy reads reference.db"), "{gaps:?}");
    assert_eq!(scene.trust.unquoted(&[0, 7, 10]), [""; 0]);
    let words = "boot.db rests on PCR 7; add to `appraisal.pcrs`, or it is unknown";
    assert_eq!(scene.trust.unquoted(&[0, 10]), [words]);
}

#[test]
fn versions_and_assignments_only_go_forward() {
    let scene = Scene::new();
    let mut newest = document(2, "/usr/bin/pump2");
    newest.supersedes = Some(Supersedes { good_until: 1, known_until: 2 });
    let mut line = Assignment::new("plant", "line-a", 2);
    line.devices = vec!["gateway-*".into()];
    line.sets = vec![SetName::Component("app".into()), SetName::Component("valve".into())];
    line.add = vec![file("/etc/hostname")];
    let envelopes = [newest.to_json(), line.to_json()].map(|json| scene.signed(&json));
    for envelope in &envelopes {
        scene.trust.open_reference(envelope, "admin").unwrap();
    }
    assert_eq!(scene.trust.enforce(&envelopes), Vec::<String>::new());
    let gaps = scene.trust.gaps();
    assert!(gaps.iter().any(|gap| gap.contains("line-a names the component valve")), "{gaps:?}");

    assert!(
        scene.refused(&document(1, "/usr/bin/pump").to_json()).contains("references.superseded")
    );
    let other = document(2, "/usr/bin/other").to_json();
    assert!(scene.refused(&other).contains("references.version-taken"));
    line.version = 1;
    assert!(scene.refused(&line.to_json()).contains("references.assignment-rollback"));
    let mut foreign = document(3, "/usr/bin/pump");
    foreign.tenant = "globex".into();
    assert!(scene.refused(&foreign.to_json()).contains("tenant `globex`"));

    // The same again is the same.
    scene.trust.open_reference(&envelopes[1], "admin").unwrap();
    let verifier = scene.trust.verifier();
    let set = verifier.references().sets().next().unwrap();
    assert_eq!(verifier.references().standing(set, clock::now()), Standing::Good);
}

#[test]
fn a_set_of_the_wrong_signer_is_not_taken_in() {
    let mut scene = Scene::new();
    scene.publisher = signer("stranger");
    let refused = scene.refused(&document(1, "/usr/bin/pump").to_json());
    assert!(refused.starts_with("not signed by a trusted publisher"), "{refused}");
}
