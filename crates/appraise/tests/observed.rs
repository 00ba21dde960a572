//! What an agent observes, as claims: of the right type or unknown, each as old as it is, and no
//! collector that fails is taken for good news.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

#[path = "../../evidence/tests/attester/mod.rs"]
mod attester;

use attester::{Attester, SHA256, challenge};
use touchstone_appraise::references::{Document, ReferenceValue, References};
use touchstone_appraise::{Appraisal, DeviceFacts, Status, Verifier, catalog};
use touchstone_crypto::{Crypto, Digest, Verified};
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::Evidence;
use touchstone_evidence::runtime::{Failure, Observation, Observed};
use touchstone_policy::Policy;

const NOW: u64 = 1_800_000_000;

fn ok(name: &str, age_ms: u64, value: impl Into<Observed>) -> Observation {
    Observation { name: name.into(), age_ms, found: Ok(value.into()) }
}

fn digest(octets: &[u8]) -> Digest {
    AwsLc.hash(SHA256, &[octets])
}

/// How a device with these observations fares with one control that requires this.
fn judge(requires: &str, observations: &[Observation], document: Option<&Document>) -> Appraisal {
    let policy = format!(
        "policy p version 1 schema 1\ncontrol c {{\n  title \"t\"\n  severity high\n  fresh 1m\n  \
         require {requires}\n  else configuration contraindicated\n}}\n"
    );
    let mut references = References::new();
    if let Some(document) = document {
        references.merge(&AwsLc, &Verified::vouch(document.clone())).unwrap();
    }
    let policy = Policy::parse(&policy, &catalog()).unwrap_or_else(|fault| panic!("{fault:?}"));
    let mut attester = Attester::of_the_rig();
    attester.runtime.observations = observations.to_vec();
    let challenge = challenge();
    let evidence = Evidence::decode(&attester.evidence(&challenge)).unwrap();
    let evidence = evidence.verify(&AwsLc, &attester.lak(), &challenge).unwrap();
    let device = DeviceFacts {
        id: "device-1".into(),
        tenant: "acme".into(),
        onboarded: Some(true),
        endorsed: Some(true),
        proofs: Some(vec!["endorsement-key".into()]),
        element_kind: Some("tpm2".into()),
        evidence_at: Some(NOW - 2),
    };
    Verifier::new(policy, references).appraise(&AwsLc, &evidence, &device, NOW)
}

fn status(appraisal: &Appraisal) -> (Status, &str) {
    (appraisal.controls[0].status, appraisal.controls[0].reason.as_str())
}

#[test]
fn an_observation_is_judged_by_its_value() {
    let locked = |level: &str| ok("system.lockdown", 0, level);
    let asks = "system.lockdown != \"none\"";
    assert_eq!(status(&judge(asks, &[locked("integrity")], None)).0, Status::Passed);
    assert_eq!(status(&judge(asks, &[locked("none")], None)).0, Status::Failed);
}

#[test]
fn one_that_is_missing_twice_there_or_of_another_type_is_unknown() {
    let asks = "system.taint == 0";
    let missing = judge(asks, &[], None);
    assert_eq!(status(&missing).0, Status::Unknown);
    assert!(status(&missing).1.contains("the agent does not tell"), "{missing:?}");
    let good = ok("system.taint", 0, 0_i64);
    assert_eq!(status(&judge(asks, std::slice::from_ref(&good), None)).0, Status::Passed);
    let twice = judge(asks, &[good.clone(), good], None);
    assert!(status(&twice).1.contains("twice"), "{twice:?}");
    let text = judge(asks, &[ok("system.taint", 0, "0")], None);
    assert!(status(&text).1.contains("of another type"), "{text:?}");
}

#[test]
fn a_collector_that_failed_is_a_claim_and_its_own_claim_is_unknown() {
    let failure = Failure { code: "agent.observe.unreadable".into(), words: "no rights".into() };
    let failed = Observation { name: "config.weak-tls".into(), age_ms: 0, found: Err(failure) };
    let tls = judge("config.weak-tls is empty", std::slice::from_ref(&failed), None);
    assert_eq!(status(&tls).0, Status::Unknown);
    assert!(status(&tls).1.contains("no rights (agent.observe.unreadable)"), "{tls:?}");
    let all = judge("agent.failed-collectors is empty", &[failed], None);
    assert_eq!(status(&all).0, Status::Failed);
    assert!(status(&all).1.contains("config.weak-tls: no rights"), "{all:?}");
    assert_eq!(status(&judge("agent.failed-collectors is empty", &[], None)).0, Status::Passed);
}

#[test]
fn an_old_observation_is_not_fresh_however_fresh_the_evidence_is() {
    let asks = "config.weak-tls is empty";
    let of = |age_ms| ok("config.weak-tls", age_ms, Observed::List(Vec::new()));
    assert_eq!(status(&judge(asks, &[of(50_000)], None)).0, Status::Passed);
    let old = judge(asks, &[of(59_000)], None);
    assert_eq!(status(&old).0, Status::Unknown, "59 s, and 2 s of the evidence: {old:?}");
}

#[test]
fn a_mapped_file_is_released_by_path_and_digest_or_it_is_told() {
    let mut document = Document::new("acme", "os", 1);
    document.file(&AwsLc, "/usr/lib/good.so", b"good").unwrap();
    let file = |path: &str, octets: &[u8]| {
        let fields = [("path", path.into()), ("digest", digest(octets).into())];
        ok("runtime.mapped-files", 0, Observed::list([Observed::record(fields)]))
    };
    let asks = "runtime.unreleased-files is empty";
    let good = judge(asks, &[file("/usr/lib/good.so", b"good")], Some(&document));
    assert_eq!(status(&good).0, Status::Passed, "{good:?}");
    // The file on the disk is good; what the page cache holds, and what runs, is not.
    let tampered = judge(asks, &[file("/usr/lib/good.so", b"evil")], Some(&document));
    assert!(status(&tampered).1.contains("/usr/lib/good.so"), "{tampered:?}");
    assert_eq!(status(&tampered).0, Status::Failed);
    let unknown = judge(asks, &[file("/tmp/other.so", b"good")], Some(&document));
    assert!(status(&unknown).1.contains("neither a reference nor a publisher"), "{unknown:?}");
    let unreadable = Observed::list([Observed::record([("path", "/usr/lib/good.so".into())])]);
    let unreadable = judge(asks, &[ok("runtime.mapped-files", 0, unreadable)], Some(&document));
    assert_eq!(status(&unreadable).0, Status::Failed, "{unreadable:?}");
}

#[test]
fn a_compiler_is_declared_by_its_publisher() {
    let mut document = Document::new("acme", "java", 1);
    document.values.push(ReferenceValue::Generator { path: "/usr/bin/java".into() });
    let process = |path: &str| {
        let finding = Observed::record([("process", path.into()), ("why", "it makes code".into())]);
        ok("runtime.generated-code", 0, Observed::list([finding]))
    };
    let asks = "every it in runtime.generated-code: it.process in reference.generators";
    let java = judge(asks, &[process("/usr/bin/java")], Some(&document));
    assert_eq!(status(&java).0, Status::Passed, "{java:?}");
    assert_eq!(status(&judge(asks, &[process("/usr/bin/java")], None)).0, Status::Failed);
    assert_eq!(status(&judge(asks, &[process("/bin/sh")], Some(&document))).0, Status::Failed);
}
