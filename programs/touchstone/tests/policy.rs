//! `touchstone policy`, run as a person runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use serde_json::{Value, json};
use support::{folder, gateway_policy, run};

/// The name of the example, wherever the test runs.
fn gateway() -> String {
    gateway_policy().display().to_string()
}

/// Claims of a device that meets the example.
fn good_claims() -> Value {
    let digest = |octet: u8| format!("sha256:{}", format!("{octet:02x}").repeat(32));
    json!({ "schema": "touchstone.claims/1", "at": "2026-12-31", "age": "2s", "claims": {
        "device.onboarded": true, "device.endorsed": true, "element.kind": "tpm2",
        "evidence.age": "2s", "boot.secure-boot": true,
        "boot.pk": [digest(1)], "boot.kek": [digest(2)], "boot.db": [digest(3)],
        "reference.pk": [digest(1)], "reference.kek": [digest(2)], "reference.db": [digest(3)],
        "boot.images": [{ "event": 17, "digest": digest(4), "name": "uki.efi" }],
        "reference.boot-images": [digest(4)], "boot.contradictions": [],
        "boot.command-line": "quiet", "reference.command-lines": ["quiet"],
        "ima.boot-aggregate": true, "ima.unknown-files": [],
        "runtime.code": [{ "pid": 7, "path": "/app", "offset": 4096, "digest": digest(5) }],
        "runtime.changed-code": [], "runtime.foreign-code": [], "runtime.missing": [],
        "agent.version": "0.1.0", "components": [{ "name": "application", "version": 2 }],
        "components.outdated": [],
    } })
}

#[test]
fn the_example_is_good_for_the_verifiers_catalogue() {
    let here = folder(&[]);
    let ran = run(here.path(), &["policy", "check", &gateway()]).expect(0);
    assert!(ran.out.contains("good: policy gateway version 1, 11 controls"), "{}", ran.out);
    assert_eq!(ran.err, "");
}

#[test]
fn faults_are_told_like_a_compiler_does() {
    let policy = std::fs::read_to_string(gateway_policy()).unwrap();
    let bad = policy.replace("boot.command-line in", "boot.comand-line in").replace("60s", "60x");
    let here = folder(&[("bad.policy", &bad), ("good.policy", &policy)]);
    let ran = run(here.path(), &["policy", "check", "good.policy", "bad.policy"]).expect(1);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(lines[0].starts_with("bad.policy:20:28: `60x` is no integer"), "{}", lines[0]);
    assert_eq!(lines[1], "  20 |   require  evidence.age <= 60x");
    assert_eq!(lines[2], "     |                            ^^^");
    assert!(lines[3].ends_with("did you mean `boot.command-line`?"), "{}", lines[3]);
    assert_eq!(ran.out.lines().count(), 1, "the good one is still told");

    let ran = run(here.path(), &["--json", "policy", "check", "bad.policy"]).expect(1);
    let json = ran.json("touchstone.policy.check/1");
    assert_eq!(json["policies"][0]["faults"][1]["code"], "policy.claim.unknown");
    assert_eq!(json["policies"][0]["faults"][1]["line"], 60);
}

#[test]
fn a_policy_that_forgets_when_a_grace_ends_is_told() {
    let policy = "policy p version 1 schema 1\ncontrol current {\n    title \"Current\"\n    \
                  severity high\n    require boot.outdated is empty\n    else executables \
                  warning\n}\n";
    let both = policy.replace("is empty", "is empty and boot.unknown-images is empty");
    let here = folder(&[("p.policy", policy), ("both.policy", &both)]);
    let ran = run(here.path(), &["policy", "check", "p.policy"]).expect(0);
    let words = "the policy reads boot.outdated and not boot.unknown-images";
    assert!(ran.err.contains(words) && ran.err.contains("references.forgetful"), "{}", ran.err);
    let ran = run(here.path(), &["policy", "check", "both.policy"]).expect(0);
    assert!(!ran.err.contains("forgetful"), "{}", ran.err);
    let ran = run(here.path(), &["--json", "policy", "check", "p.policy"]).expect(0);
    let hints = &ran.json("touchstone.policy.check/1")["policies"][0]["hints"];
    assert_eq!(hints.as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_read_is_neither_good_nor_bad() {
    let here = folder(&[]);
    let ran = run(here.path(), &["policy", "check", "missing.policy"]).expect(3);
    assert!(ran.err.contains("cannot read missing.policy") && ran.out.is_empty(), "{}", ran.err);
    run(here.path(), &["policy", "check"]).expect(2);
}

#[test]
fn a_policy_is_explained_in_plain_language() {
    let here = folder(&[]);
    let ran = run(here.path(), &["policy", "explain", &gateway(), "--control", "secure-boot"]);
    let ran = ran.expect(0);
    assert!(ran.out.contains("requires   `boot.secure-boot` (UEFI Secure Boot was on) is true"));
    assert!(ran.out.contains("otherwise  contraindicated in configuration: a configuration that"));
    assert!(ran.out.contains("then do    alert, quarantine"), "{}", ran.out);
    let ran = run(here.path(), &["policy", "explain", &gateway(), "--control", "secureboot"]);
    assert!(ran.expect(2).err.contains("its controls are known-instance, "));
}

#[test]
fn claims_in_a_file_tell_what_would_happen() {
    let mut claims = good_claims();
    let here = folder(&[("good.json", &claims.to_string())]);
    let explain =
        |file: &str| run(here.path(), &["policy", "explain", &gateway(), "--claims", file]);
    assert!(explain("good.json").expect(0).out.ends_with("the device would be affirming\n"));

    claims["claims"]["boot.secure-boot"] = false.into();
    claims["claims"].as_object_mut().unwrap().remove("evidence.age");
    std::fs::write(here.path().join("bad.json"), claims.to_string()).unwrap();
    let ran = explain("bad.json").expect(1);
    assert!(ran.out.contains("failed   secure-boot: boot.secure-boot is false, wanted true\n"));
    assert!(ran.out.contains("unknown  fresh-evidence: the evidence says nothing about"));
    assert!(ran.out.ends_with("the device would be contraindicated\n"), "{}", ran.out);

    let ran =
        run(here.path(), &["policy", "explain", &gateway(), "--claims", "bad.json", "--json"]);
    let json = ran.json("touchstone.policy.explain/1");
    assert_eq!(json["tier"], "contraindicated");
    assert_eq!(json["controls"][2]["status"], "failed");

    claims["claims"]["boot.secureboot"] = true.into();
    std::fs::write(here.path().join("typo.json"), claims.to_string()).unwrap();
    assert!(explain("typo.json").expect(3).err.contains("did you mean `boot.secure-boot`?"));
}

#[test]
fn every_claim_is_listed_with_its_type() {
    let here = folder(&[]);
    let json = run(here.path(), &["policy", "claims", "--json"]).json("touchstone.policy.claims/1");
    let claims = json["claims"].as_array().unwrap();
    assert!(
        claims.iter().any(|claim| claim["name"] == "evidence.age" && claim["type"] == "duration")
    );
}
