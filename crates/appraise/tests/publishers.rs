//! Signature first: files that a publisher signed, files that a set names, and neither.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

#[path = "../../evidence/tests/attester/mod.rs"]
mod attester;

use attester::{Attester, SHA256, challenge};
use touchstone_appraise::references::{Document, Publisher, ReferenceValue, Supersedes};
use touchstone_appraise::{Appraisal, DeviceFacts, References, Tier, Verifier, catalog};
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer, Verified};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::Evidence;
use touchstone_policy::Policy;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

const POLICY: &str = r#"policy signed version 1 schema 1

control published {
  title    "Code comes from publishers"
  severity critical
  require  every file in ima.files: file.publisher in reference.publishers or
           file.digest in reference.files
  require  ima.unknown-files is empty
  else     executables contraindicated
}

control well-signed {
  title    "A bad signature is a forgery"
  severity critical
  require  ima.badly-signed is empty
  else     file-system contraindicated
}

control up-to-date {
  title    "Old versions have known faults"
  severity medium
  require  ima.outdated-files is empty
  else     configuration warning
}
"#;

struct Acme {
    key: SoftSigner,
    certificate: Certificate,
}

impl Acme {
    fn new() -> Self {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let name = Name::common_name("Acme IMA").unwrap();
        let template = Template::new(Kind::CodeSigner, name, NOW - DAY, NOW + DAY);
        let certificate = template.self_sign(&AwsLc, &key).unwrap();
        Self { key, certificate }
    }

    /// `security.ima` of a file with this content (version 2, SHA-256).
    fn signs(&self, content: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(content).unwrap();
        let id = self.certificate.subject_key_id().unwrap();
        let len = u16::try_from(signature.len()).unwrap().to_be_bytes();
        [&[3, 2, 4][..], &id[id.len() - 4..], &len, &signature].concat()
    }

    fn publisher(&self, paths: &[&str]) -> Publisher {
        Publisher {
            name: "Acme".into(),
            key: self.certificate.der().to_vec(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            good_until: None,
            known_until: None,
        }
    }
}

/// An entry of an `ima-sig` list.
fn entry(path: &str, content: &[u8], signature: &[u8]) -> Vec<u8> {
    let block =
        |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_le_bytes(), octets].concat();
    let digest = AwsLc.hash(SHA256, &[content]);
    let digest = [&b"sha256:\0"[..], digest.as_bytes()].concat();
    let path = [path.as_bytes(), &[0]].concat();
    let data = [block(&digest), block(&path), block(signature)].concat();
    [&10u32.to_le_bytes(), &[7; 20][..], &block(b"ima-sig"), &block(&data)].concat()
}

fn document(version: u64, values: Vec<ReferenceValue>) -> Document {
    let mut document = Document::new("acme", "app", version);
    document.values = values;
    document.file_scope("/usr/");
    document
}

fn file(path: &str, content: &[u8]) -> ReferenceValue {
    ReferenceValue::File { path: path.into(), digest: AwsLc.hash(SHA256, &[content]) }
}

fn appraise(entries: &[Vec<u8>], documents: &[Document], now: u64) -> Appraisal {
    let mut attester = Attester::of_the_rig();
    for entry in entries {
        attester.ima_log.extend(entry);
    }
    let mut references = References::new();
    for document in documents {
        references.merge(&AwsLc, &Verified::vouch(document.clone())).unwrap();
    }
    let verifier = Verifier::new(Policy::parse(POLICY, &catalog()).unwrap(), references);
    let challenge = challenge();
    let evidence = Evidence::decode(&attester.evidence(&challenge)).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    verifier.appraise(&AwsLc, &evidence, &DeviceFacts::default(), now)
}

#[track_caller]
fn assert_failed(appraisal: &Appraisal, controls: &[&str], words: &[&str]) {
    let failed: Vec<_> = appraisal.failed().map(|control| control.name.as_str()).collect();
    assert_eq!(failed, controls, "{}", appraisal.summary());
    let reasons: String = appraisal.failed().map(|control| control.reason.as_str()).collect();
    for word in words {
        assert!(reasons.contains(word), "{reasons:?} lacks {word:?}");
    }
}

#[test]
fn a_signed_file_is_known_whatever_its_digest_is() {
    let acme = Acme::new();
    let publisher = ReferenceValue::Publisher(acme.publisher(&["/usr/"]));
    let documents = [document(1, vec![publisher, file("/usr/bin/own", b"own")])];
    let entries = [
        entry("/usr/bin/pump", b"pump 1", &acme.signs(b"pump 1")),
        entry("/usr/bin/pump", b"pump 2, updated", &acme.signs(b"pump 2, updated")),
        entry("/usr/bin/own", b"own", &[]),
    ];
    let appraisal = appraise(&entries, &documents, NOW);
    assert_eq!(appraisal.tier, Tier::Affirming, "{}", appraisal.summary());

    let unsigned = [entry("/usr/bin/miner", b"miner", &[])];
    let appraisal = appraise(&unsigned, &documents, NOW);
    let words = ["IMA entry 2: /usr/bin/miner (sha256:", "is not in the reference values of file"];
    assert_failed(&appraisal, &["published"], &words);
}

#[test]
fn a_signature_that_is_not_good_says_so() {
    let acme = Acme::new();
    let publisher = ReferenceValue::Publisher(acme.publisher(&["/usr/bin/"]));
    let documents = [document(1, vec![publisher])];
    let other_content = [entry("/usr/bin/pump", b"trojan", &acme.signs(b"pump"))];
    let words =
        ["IMA entry 2: /usr/bin/pump", "the signature is not the publisher's over this file"];
    assert_failed(
        &appraise(&other_content, &documents, NOW),
        &["published", "well-signed"],
        &words,
    );

    let elsewhere = [entry("/usr/sbin/pump", b"pump", &acme.signs(b"pump"))];
    let words = ["signed by Acme, whose files may not be there"];
    assert_failed(&appraise(&elsewhere, &documents, NOW), &["published", "well-signed"], &words);

    // Of somebody who is no publisher here it counts for nothing, and against nothing.
    let stranger = [entry("/usr/bin/pump", b"pump", &Acme::new().signs(b"pump"))];
    let appraisal = appraise(&stranger, &documents, NOW);
    assert_failed(&appraisal, &["published"], &["no publisher has key"]);
}

#[test]
fn a_publishers_time_ends_with_a_warning_first() {
    let acme = Acme::new();
    let mut publisher = acme.publisher(&[]);
    publisher.good_until = Some(NOW + DAY);
    publisher.known_until = Some(NOW + 2 * DAY);
    let documents = [document(1, vec![ReferenceValue::Publisher(publisher)])];
    let entries = [entry("/usr/bin/pump", b"pump", &acme.signs(b"pump"))];
    assert_failed(&appraise(&entries, &documents, NOW), &[], &[]);
    let words = ["/usr/bin/pump is signed by Acme, whose time is over"];
    assert_failed(&appraise(&entries, &documents, NOW + DAY), &["up-to-date"], &words);
    let over = appraise(&entries, &documents, NOW + 2 * DAY);
    assert_failed(&over, &["published"], &["/usr/bin/pump"]);
}

#[test]
fn a_file_of_a_superseded_version_is_a_warning_and_then_unknown() {
    let mut newer = document(2, vec![file("/usr/bin/pump", b"pump 2")]);
    newer.supersedes = Some(Supersedes { good_until: NOW + DAY, known_until: NOW + 2 * DAY });
    let publisher = || ReferenceValue::Publisher(Acme::new().publisher(&["/opt/"]));
    newer.values.push(publisher());
    let documents = [document(1, vec![file("/usr/bin/pump", b"pump 1")]), newer];
    let entries = [entry("/usr/bin/pump", b"pump 1", &[])];
    assert_failed(&appraise(&entries, &documents, NOW), &[], &[]);
    let outdated = appraise(&entries, &documents, NOW + DAY);
    assert_eq!(outdated.tier, Tier::Warning);
    let words = ["/usr/bin/pump is of app version 1, which a newer version has superseded"];
    assert_failed(&outdated, &["up-to-date"], &words);
    let over = appraise(&entries, &documents, NOW + 2 * DAY);
    assert_failed(&over, &["published"], &["/usr/bin/pump is sha256:", "expected sha256:"]);
}
