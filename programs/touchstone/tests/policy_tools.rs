//! The tools of `touchstone policy`: layout, tests, difference, coverage, layers, words of products,
//! signatures.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::path::Path;
use std::process::Command;
use support::{folder, gateway_policy, run, signer};

const SITE: &str = "policy plant version 1 schema 1 extends gateway version 1\n\n\
    override control secure-boot {\n  because  \"a lab\"\n  severity low\n}\n";

fn gateway() -> String {
    std::fs::read_to_string(gateway_policy()).unwrap()
}

/// The catalogue of controls that comes with the project.
fn shipped() -> String {
    let path = "../../packaging/policies/linux-gateway.policy";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

#[test]
fn a_policy_is_laid_out_in_place() {
    let crowded = gateway().replace("\n\n", "\n").replace("  severity", "severity");
    let here = folder(&[("a.policy", &crowded), ("bad.policy", "policy p {")]);
    let ran = run(here.path(), &["policy", "fmt", "--check", "a.policy"]).expect(1);
    assert!(ran.out.contains("a.policy: would be laid out otherwise"), "{}", ran.out);
    run(here.path(), &["policy", "fmt", "a.policy"]).expect(0);
    assert_eq!(std::fs::read_to_string(here.path().join("a.policy")).unwrap(), gateway());
    run(here.path(), &["policy", "fmt", "--check", "a.policy"]).expect(0);
    let ran = run(here.path(), &["--json", "policy", "fmt", "bad.policy"]).expect(1);
    let json = ran.json("touchstone.policy.fmt/1");
    assert_eq!(json["policies"][0]["faults"][0]["code"], "policy.syntax");
    run(here.path(), &["policy", "fmt", "--check", &shipped()]).expect(0);
}

#[test]
fn tests_of_a_policy_and_of_its_bases_are_run() {
    let wrong = gateway().replace("expect   code-pages fails", "expect   code-pages passes");
    let site =
        format!("{SITE}test \"own\" {{ given boot.secure-boot = false expect secure-boot fails }}");
    let here =
        folder(&[("gateway.policy", &gateway()), ("plant.policy", &site), ("w.policy", &wrong)]);
    let ran = run(here.path(), &["policy", "test", "plant.policy"]).expect(0);
    assert!(ran.out.contains("passed  gateway.policy:117: patched process"), "{}", ran.out);
    assert!(ran.out.contains("passed  plant.policy:7: own"), "{}", ran.out);
    assert!(ran.out.ends_with("4 passed, 0 failed\n"), "{}", ran.out);
    let ran = run(here.path(), &["policy", "test", "w.policy"]).expect(1);
    assert!(ran.out.contains("code-pages: expected passes, found fails"), "{}", ran.out);
    let ran = run(here.path(), &["--json", "policy", "test", &shipped()]).expect(0);
    let json = ran.json("touchstone.policy.test/1");
    assert!(json["passed"].as_u64().unwrap() >= 15 && json["failed"] == 0, "{json}");
}

#[test]
fn a_fault_in_a_base_is_told_in_the_base() {
    let base = gateway().replace("boot.command-line in", "boot.comand-line in");
    let here = folder(&[
        ("gateway.policy", &base),
        ("plant.policy", SITE),
        ("alone.policy", &SITE.replace("gateway", "other")),
    ]);
    let ran = run(here.path(), &["policy", "check", "plant.policy"]).expect(1);
    assert!(
        ran.err.starts_with("gateway.policy:60:12: no claim named `boot.comand-line`"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("\n  60 |   require  boot.comand-line in"), "{}", ran.err);
    let ran = run(here.path(), &["policy", "check", "alone.policy"]).expect(1);
    assert!(ran.err.contains("give it together with other.policy"), "{}", ran.err);
    let cut = gateway();
    let cut = &cut[..cut.find("boot.command-line in").unwrap()];
    std::fs::write(here.path().join("gateway.policy"), cut).unwrap();
    let ran = run(here.path(), &["policy", "check", "plant.policy"]).expect(1);
    let told = "\ngateway.policy:60:3: the end of the policy where";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert!(!ran.err.contains("\nplant.policy:1:"), "{}", ran.err);
    let typo = SITE.replace("severity low", "severity lo");
    std::fs::write(here.path().join("gateway.policy"), gateway()).unwrap();
    std::fs::write(here.path().join("typo.policy"), typo).unwrap();
    let ran = run(here.path(), &["policy", "check", "typo.policy"]).expect(1);
    assert!(ran.err.starts_with("typo.policy:5:12: `lo` is not a severity"), "{}", ran.err);
    let ran = run(here.path(), &["policy", "explain", "plant.policy", "--control", "secure-boot"]);
    let ran = ran.expect(0);
    assert!(
        ran.out.contains("overridden by plant, because a lab\n    before   severity high"),
        "{}",
        ran.out
    );
}

#[test]
fn a_difference_is_told_with_its_direction() {
    let next = gateway().replace("version 1 schema", "version 2 schema");
    let weaker = next.replace("evidence.age <= 60s", "evidence.age <= 10m");
    let stricter = next.replace("evidence.age <= 60s", "evidence.age <= 10s");
    let here = folder(&[("1", &gateway()), ("w", &weaker), ("s", &stricter)]);
    let ran = run(here.path(), &["policy", "diff", "1", "w"]).expect(1);
    assert!(ran.out.starts_with("weaker    control fresh-evidence changed\n"), "{}", ran.out);
    assert!(
        ran.out.contains("- require evidence.age <= 1m\n          + require evidence.age <= 10m")
    );
    let ran = run(here.path(), &["--json", "policy", "diff", "1", "s"]).expect(0);
    let json = ran.json("touchstone.policy.diff/1");
    assert_eq!(json["differences"][0]["direction"], "stricter");
    assert!(run(here.path(), &["policy", "diff", "1", "1"]).expect(0).out.contains("nothing"));
    let same = gateway().replace("evidence.age <= 60s", "evidence.age <= 10s");
    std::fs::write(here.path().join("same"), same).unwrap();
    let ran = run(here.path(), &["policy", "diff", "1", "same"]).expect(1);
    assert!(ran.err.contains("count it up"), "{}", ran.err);
}

#[test]
fn coverage_is_a_table_of_each_standard() {
    let here = folder(&[]);
    let ran = run(here.path(), &["--json", "policy", "coverage", &shipped()]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["unknown"], serde_json::json!([]), "it maps to what there is");
    let standards = json["standards"].as_array().unwrap();
    let ids: Vec<_> = standards.iter().map(|standard| standard["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["IEC62443-4-2", "ETSI-EN303645", "NIST8259A", "CRA"]);
    for standard in standards {
        let (answered, possible) = (standard["answered"].as_u64(), standard["possible"].as_u64());
        assert!(answered >= Some(6) && answered <= possible, "{standard}");
    }
    let ran = run(here.path(), &["policy", "coverage", &shipped(), "--only", "CRA"]);
    assert!(ran.out.contains("I.2.f") && ran.out.contains("released-files"), "{}", ran.out);

    let typo = std::fs::read_to_string(shipped()).unwrap().replace("CRA:I.2.k", "CRA:I.2.z");
    std::fs::write(here.path().join("typo.policy"), typo).unwrap();
    let ran = run(here.path(), &["policy", "coverage", "typo.policy", "--only", "CRA"]).expect(1);
    assert!(ran.err.contains("maps \"CRA:I.2.z\""), "{}", ran.err);
    assert!(ran.out.contains("NOT COVERED"), "{}", ran.out);

    // By the number of an earlier edition.
    let old = std::fs::read_to_string(shipped()).unwrap().replace("5.6-4A", "5.6-4");
    std::fs::write(here.path().join("old.policy"), old).unwrap();
    let only = ["--only", "ETSI-EN303645"];
    let ran = run(here.path(), &[&["policy", "coverage", "old.policy"][..], &only].concat());
    assert!(ran.expect(1).err.contains("did you mean `5.6-4A`?"));
}

#[test]
fn a_product_adds_claims_and_countermeasures() {
    let words = "schema = \"touchstone.policy-words/1\"\nextends = 1\n[[claim]]\nname = \"pump.seals\"\n\
        type = \"map of boolean\"\nabout = \"whole seals\"\n[[countermeasure]]\nname = \"close-valve\"\n\
        grade = \"contain\"\nabout = \"close the valve\"\n";
    let policy = "policy p version 1 schema 1 control c { title \"t\" severity low else hardware 32 \
        require pump.seals[\"inlet\"] do close-valve } test \"t\" { given pump.seals = { \"inlet\" false } \
        expect c fails }";
    let here = folder(&[("pump.toml", words), ("p.policy", policy)]);
    run(here.path(), &["policy", "test", "p.policy", "--schema", "pump.toml"]).expect(0);
    run(here.path(), &["policy", "check", "p.policy"]).expect(1);
    let ran = run(here.path(), &["policy", "claims", "--schema", "pump.toml"]).expect(0);
    assert!(ran.out.contains("pump.seals") && ran.out.contains("close-valve"), "{}", ran.out);
    std::fs::write(here.path().join("pump.toml"), words.replace("map of", "maps of")).unwrap();
    let ran = run(here.path(), &["policy", "check", "p.policy", "--schema", "pump.toml"]).expect(3);
    assert!(ran.err.contains("the type of `pump.seals`"), "{}", ran.err);
}

/// `openssl cms -verify` is the peer.
#[test]
fn a_signed_policy_is_an_envelope_that_others_read() {
    let failing = format!("{SITE}test \"t\" {{ expect secure-boot passes }}");
    let here = folder(&[
        ("gateway.policy", &gateway()),
        ("plant.policy", SITE),
        ("failing.policy", &failing),
    ]);
    for name in ["security", "plant"] {
        signer(here.path(), name);
    }
    let sign = |file: &str, by: &str, out: &str| {
        let (cert, key) = (format!("{by}.pem"), format!("file:{by}.key"));
        run(here.path(), &["policy", "sign", file, "--cert", &cert, "--key", &key, "--out", out])
    };
    assert!(sign("failing.policy", "security", "x").expect(3).err.contains("test \"t\" fails"));
    let ran = sign("plant.policy", "security", "one").expect(0);
    assert!(ran.out.starts_with("component  policy.plant\nversion    1\n"), "{}", ran.out);
    sign("one", "plant", "both").expect(0);
    let verify = ["update", "verify", "both", "--component", "policy.plant"];
    let roles = ["--role", "security=security.pem", "--role", "plant=plant.pem"];
    run(here.path(), &[&verify[..], &roles[..]].concat()).expect(0);

    let output = Command::new("openssl")
        .args(["cms", "-verify", "-binary", "-inform", "DER", "-in", "both", "-noverify"])
        .current_dir(here.path())
        .output()
        .unwrap();
    let content = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(content.ends_with(&format!("{}{SITE}", gateway())), "the base is inside");
}
