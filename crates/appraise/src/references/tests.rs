//! Sets, their grace, assignments, and what is not taken.

use super::*;
use alloc::string::ToString;
use std::eprintln;
use touchstone_certs::issue::{Kind as CertificateKind, Template};
use touchstone_certs::{Name, TrustStore};
use touchstone_cms::{DATA, SignedData};
use touchstone_crypto::{Digest, HashAlgorithm, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_policy::Policy;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn digest(text: &str) -> Digest {
    AwsLc.hash(HashAlgorithm::Sha256, &[text.as_bytes()])
}

fn file(path: &str, content: &str) -> ReferenceValue {
    ReferenceValue::File { path: path.into(), digest: digest(content) }
}

fn document(version: u64) -> Document {
    let mut document = Document::new("plant", "app", version);
    document.values.push(file("/data/app/pump", &format!("pump {version}")));
    document
}

/// Version 2, which gives version 1 a day as good and one more as outdated.
fn superseding() -> Document {
    let mut document = document(2);
    document.supersedes = Some(Supersedes { good_until: NOW + DAY, known_until: NOW + 2 * DAY });
    document
}

fn references(documents: &[Document]) -> References {
    let mut references = References::new();
    for document in documents {
        references.merge(&AwsLc, &Verified::vouch(document.clone())).unwrap();
    }
    references
}

fn standing(references: &References, content: &str, now: u64) -> Option<Standing> {
    View::new(references, "device-1", now).file("/data/app/pump", &digest(content))
}

#[test]
fn a_lower_version_is_good_then_outdated_then_unknown() {
    for documents in [[document(1), superseding()], [superseding(), document(1)]] {
        let references = references(&documents);
        let [one, two] = ["pump 1", "pump 2"].map(|content| {
            [NOW, NOW + DAY, NOW + 2 * DAY].map(|now| standing(&references, content, now))
        });
        assert_eq!(one, [Some(Standing::Good), Some(Standing::Outdated), None]);
        assert_eq!(two, [Some(Standing::Good); 3]);
    }
    // Without a grace, lower versions stay as good.
    let references = references(&[document(1), document(2)]);
    assert_eq!(standing(&references, "pump 1", NOW + 99 * DAY), Some(Standing::Good));
}

#[test]
fn a_document_ends_when_it_says() {
    let mut document = document(1);
    document.valid_until = Some(NOW);
    let references = references(&[document]);
    assert_eq!(standing(&references, "pump 1", NOW - 1), Some(Standing::Good));
    assert_eq!(standing(&references, "pump 1", NOW), None);
}

#[test]
fn a_set_is_what_its_content_is() {
    let mut one = document(1);
    one.values.push(file("/data/app/valve", "valve"));
    let mut other = one.clone();
    other.values.reverse();
    other.values.push(one.values[0].clone());
    assert_eq!(one.id(&AwsLc), other.id(&AwsLc), "neither order nor repetition matters");
    let mut references = references(&[one.clone(), other]);
    assert_eq!(references.sets().count(), 1);

    one.values.pop();
    let refused = references.merge(&AwsLc, &Verified::vouch(one)).unwrap_err();
    assert_eq!(refused.code(), "references.version-taken");
    assert!(refused.to_string().contains("app version 1 is there with other content"));
}

#[test]
fn what_was_superseded_cannot_be_handed_in_again() {
    let references = references(&[superseding()]);
    let old = Set::new(&AwsLc, &document(1));
    assert_eq!(references.may_add(&old, NOW + DAY), Ok(()), "the grace is running");
    let refused = references.may_add(&old, NOW + 2 * DAY).unwrap_err();
    assert_eq!(refused.code(), "references.superseded");
    let words = "version 2 of app has superseded version 1, and the grace is over";
    assert!(refused.to_string().contains(words), "{refused}");
}

fn assignment(version: u64, devices: &[&str]) -> Assignment {
    let mut assignment = Assignment::new("plant", "line-a", version);
    assignment.devices = devices.iter().map(|device| (*device).to_owned()).collect();
    assignment
}

#[test]
fn devices_differ_by_their_assignments_only() {
    let mut other = Document::new("plant", "other", 1);
    other.values.push(file("/data/other", "other"));
    let shared = [document(1), other];
    let mut references = references(&shared);
    let mut line = assignment(1, &["gateway-*"]);
    line.sets = vec![SetName::Component("app".into())];
    line.add.push(file("/etc/hostname", "gateway"));
    line.remove.push(file("/data/app/pump", "pump 1"));
    references.assign(&AwsLc, &Verified::vouch(line)).unwrap();
    let knows = |device: &str, path: &str, content: &str| {
        View::new(&references, device, NOW).file(path, &digest(content)).is_some()
    };
    assert!(knows("gateway-7", "/etc/hostname", "gateway"));
    assert!(!knows("gateway-7", "/data/app/pump", "pump 1"), "taken away");
    assert!(!knows("gateway-7", "/data/other", "other"), "not of its sets");
    assert!(!knows("sensor-7", "/etc/hostname", "gateway"));
    assert!(
        knows("sensor-7", "/data/app/pump", "pump 1") && knows("sensor-7", "/data/other", "other")
    );
    assert_eq!(View::new(&references, "gateway-7", NOW).newest("other"), None);

    let clone = references.clone();
    let same = references.sets().zip(clone.sets()).all(|(one, other)| Arc::ptr_eq(one, other));
    assert!(same, "sets are shared, not copied");
}

#[test]
fn an_assignment_only_goes_forward() {
    let mut references = references(&[document(1)]);
    let mut by_id = assignment(2, &["gateway-1"]);
    by_id.sets = vec![SetName::Id(document(1).id(&AwsLc)), SetName::Component("valve".into())];
    let json = by_id.to_json();
    assert_eq!(Assignment::from_json(&json).as_ref(), Ok(&by_id));
    let by_id = Verified::vouch(by_id);
    references.assign(&AwsLc, &by_id).unwrap();
    references.assign(&AwsLc, &by_id).unwrap();
    let dangling: Vec<_> = references.dangling().collect();
    assert_eq!(dangling, [("line-a", &SetName::Component("valve".into()))]);
    for version in [1, 2] {
        let refused =
            references.assign(&AwsLc, &Verified::vouch(assignment(version, &[]))).unwrap_err();
        assert_eq!(refused.code(), "references.assignment-rollback");
    }
    let foreign = Verified::vouch(Assignment::new("globex", "x", 1));
    assert_eq!(references.assign(&AwsLc, &foreign).unwrap_err().code(), "references.tenant");
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let with = |values: Vec<ReferenceValue>| {
        let mut document = Document::new("plant", "app", 1);
        document.values = values;
        Document::from_json(&document.to_json()).unwrap_err()
    };
    let refused = with(vec![file("/a", "one"), file("/a", "two")]);
    assert_eq!(refused.code(), "references.contradiction");
    assert!(refused.to_string().contains("if both are meant"), "{refused}");

    let long = format!("/{}", "a".repeat(4096));
    for path in ["", "/a/../b", "/a/./b", "/a//b", "/a\n", "/a\u{0}", "/\u{fffd}", &long] {
        let refused = with(vec![file(path, "one")]);
        assert_eq!(refused.code(), "references.path", "{path}");
        assert!(!refused.to_string().contains('\n'), "{refused}");
        let scope = with(vec![ReferenceValue::FileScope { prefix: path.into() }]);
        assert_eq!(scope.code(), "references.path", "{path}");
    }
    let pcr = with(vec![ReferenceValue::Pcr { index: 24, value: digest("") }]);
    assert_eq!(pcr.code(), "references.pcr");
    let publisher = Publisher {
        name: "Acme".into(),
        key: b"not a key".to_vec(),
        paths: Vec::new(),
        good_until: None,
        known_until: None,
    };
    let refused = with(vec![ReferenceValue::Publisher(publisher)]);
    assert_eq!(refused.code(), "references.publisher-key");

    let mut grace = document(2);
    grace.supersedes = Some(Supersedes { good_until: 2, known_until: 1 });
    assert_eq!(Document::from_json(&grace.to_json()).unwrap_err().code(), "references.grace");

    let mut both = Document::new("plant", "app", 1);
    both.values = vec![ReferenceValue::FileVariants {
        path: "/a".into(),
        digests: vec![digest("one"), digest("two")],
    }];
    let both = Document::from_json(&both.to_json()).unwrap();
    let references = references(&[both]);
    let view = View::new(&references, "d", NOW);
    assert!(["one", "two"].iter().all(|of| view.file("/a", &digest(of)).is_some()));
}

#[test]
fn a_space_in_a_path_is_what_ima_makes_of_it() {
    let mut document = document(1);
    document.values.push(file("/opt/My App/run me", "app"));
    document.values.push(ReferenceValue::FileScope { prefix: "/opt/My App/".into() });
    let references = references(&[document]);
    let view = View::new(&references, "d", NOW);
    assert!(view.file("/opt/My_App/run_me", &digest("app")).is_some());
    assert!(view.covers("/opt/My_App/other") && !view.covers("/opt/Other"));
}

#[test]
fn what_is_excluded_or_ignored_is_not_judged() {
    let mut document = document(1);
    document.values.push(ReferenceValue::FileExclude { prefix: "/var/log/".into() });
    document.values.push(ReferenceValue::FileIgnore { path: ".evm".into() });
    let mut references = references(&[document]);
    let covers = |references: &References, path: &str| View::new(references, "d", NOW).covers(path);
    assert!(covers(&references, "/usr/bin/a") && covers(&references, ".evm2"));
    assert!(!covers(&references, "/var/log/a") && !covers(&references, ".evm"));
    let mut strict = assignment(1, &["d"]);
    strict.remove.push(ReferenceValue::FileExclude { prefix: "/var/log/".into() });
    references.assign(&AwsLc, &Verified::vouch(strict)).unwrap();
    assert!(covers(&references, "/var/log/a"), "an exclusion can be taken away");
}

#[test]
fn a_scope_stays_when_the_values_run_out() {
    let scoped = |name: &str, prefix: &str| {
        let mut document = Document::new("plant", name, 1);
        document.values.push(file(&format!("{prefix}a"), "a"));
        document.values.push(ReferenceValue::FileScope { prefix: prefix.into() });
        document
    };
    let (mut usr, opt) = (scoped("usr", "/usr/"), scoped("opt", "/opt/"));
    usr.valid_until = Some(NOW);
    let mut references = references(&[usr, opt]);
    for now in [NOW - 1, NOW] {
        let view = View::new(&references, "d", now);
        assert!(view.covers("/usr/b") && view.covers("/opt/b") && !view.covers("/var/b"));
        assert_eq!(view.file("/usr/a", &digest("a")).is_some(), now < NOW);
    }
    let judged_by = |references: &References, now| View::new(references, "d", now).judged_by();
    assert_ne!(judged_by(&references, NOW - 1), judged_by(&references, NOW));

    // A newer version says anew what it claims to know.
    let mut newer = scoped("usr", "/usr/lib/");
    newer.version = 2;
    references.merge(&AwsLc, &Verified::vouch(newer)).unwrap();
    let view = View::new(&references, "d", NOW);
    assert!(view.covers("/usr/lib/b") && !view.covers("/usr/b"));
}

#[test]
fn every_claim_that_is_looked_up_in_values_counts_as_their_reader() {
    for (claim, kinds) in super::coverage::SUPPLIES {
        for kind in *kinds {
            assert!(readers(*kind).contains(claim), "{claim} reads {}", kind.name());
        }
    }
}

fn signed(
    content: &[u8],
    key: &SoftSigner,
    name: &str,
    kind: CertificateKind,
) -> (Vec<u8>, TrustStore) {
    let name = Name::common_name(name).unwrap();
    let certificate =
        Template::new(kind, name, NOW - DAY, NOW + DAY).self_sign(&AwsLc, key).unwrap();
    let by: &[(&_, &dyn Signer)] = &[(&certificate, key)];
    let envelope = SignedData::sign(&AwsLc, content, DATA, by, NOW).unwrap();
    (envelope, TrustStore::new(vec![certificate]))
}

#[test]
fn only_a_trusted_signer_counts_and_only_in_time() {
    let [key, stranger] =
        [(); 2].map(|()| SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap());
    let mut document = document(3);
    document.valid_until = Some(NOW + 60);
    let kind = CertificateKind::CodeSigner;
    let (envelope, trust) = signed(&document.to_json(), &key, "releases", kind);
    assert_eq!(Document::open(&AwsLc, &envelope, &trust, NOW).unwrap().into_inner(), document);
    let refused = Document::open(&AwsLc, &envelope, &trust, NOW + 60).unwrap_err();
    assert_eq!(refused.code(), "references.expired");
    assert!(Document::open(&AwsLc, &envelope, &trust, NOW + 2 * DAY).is_err(), "its certificate");

    let (_, others) = signed(b"", &stranger, "somebody", CertificateKind::CodeSigner);
    let refused = Document::open(&AwsLc, &envelope, &others, NOW).unwrap_err();
    assert!(refused.to_string().starts_with("not signed by a trusted publisher"), "{refused}");

    let assignment = assignment(1, &["d"]);
    let kind = CertificateKind::CodeSigner;
    let (envelope, trust) = signed(&assignment.to_json(), &key, "releases", kind);
    let opened = Manifest::open(&AwsLc, &envelope, &trust, NOW).unwrap();
    assert!(matches!(opened, Manifest::Assignment(of) if *of == assignment));
    assert!(Manifest::open(&AwsLc, &envelope, &others, NOW).is_err());
    let refused = Document::open(&AwsLc, &envelope, &trust, NOW).unwrap_err();
    assert_eq!(refused.code(), "references.malformed");
}

#[test]
fn values_that_nobody_reads_are_told_and_so_are_those_that_are_missing() {
    let policy = r#"policy p version 1 schema 1 control files {
        title "nothing else may run" severity high else executables contraindicated
        require ima.unknown-files is empty and every boot.db in reference.db
    }"#;
    let policy = Policy::parse(policy, &crate::catalog()).unwrap();
    let mut document = document(1);
    document.command_line("quiet").firmware("OVMF", digest("firmware"));
    let references = references(&[document]);
    let told: Vec<String> =
        references.unevaluated(&policy).iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0]
            .contains("no control of the policy reads the 1 values of firmware in app version 1")
    );
    assert!(told[1].contains("let one read reference.command-lines"), "{told:?}");
    let missing = references.unsupplied(&policy);
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].claim, "reference.db");
    assert!(missing[0].to_string().contains("no document has values of secure-boot-key db"));
}

#[test]
fn a_hundred_thousand_devices_share_one_set() {
    let mut document = document(1);
    document.values.extend((0..20_000).map(|n| {
        file(&format!("/usr/lib/x86_64-linux-gnu/package-{n:05}/lib.so"), &n.to_string())
    }));
    let references = references(&[document]);
    let set = references.sets().next().unwrap().octets();
    let mut delta = Assignment::new("plant", "device", 1);
    delta.add = (0..10).map(|n| file(&format!("/etc/local-{n}.conf"), "local")).collect();
    let each = Assigned::new(&AwsLc, &delta).octets();
    eprintln!("a set of 20,001 files: {set} octets; ten files of one device's own: {each}");
    assert!(set / 20_001 < 110, "{set}");
    // One set for all, and what each has of its own: no more than a fifth of a GB for 10^5.
    assert!(set + 100_000 * each < 200_000_000, "{each}");
}
