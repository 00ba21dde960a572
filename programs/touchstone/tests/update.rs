//! `touchstone update` and `touchstone reference`, from key to judgement.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::path::Path;
use support::{Ran, folder, run, signer};
use tempfile::TempDir;

/// A folder with a publisher, an operator, a stranger, and version 2 of a program.
fn scene() -> TempDir {
    let here = folder(&[("app", "a new program")]);
    for name in ["publisher", "operator", "stranger"] {
        signer(here.path(), name);
    }
    here
}

fn sign(here: &Path, by: &str, out: &str) -> Ran {
    let (cert, key) = (format!("{by}.pem"), format!("file:{by}.key"));
    let what = ["update", "sign", "--component", "application", "--version", "2"];
    let how = ["--payload", "app", "--note", "fixes the valve", "--expires-in", "1d"];
    let who = ["--cert", &cert, "--key", &key, "--out", out];
    run(here, &[&what[..], &how[..], &who[..]].concat())
}

fn countersign(here: &Path, by: &str, file: &str, out: &str) -> Ran {
    let (cert, key) = (format!("{by}.pem"), format!("file:{by}.key"));
    let who = ["--cert", &cert, "--key", &key, "--out", out];
    run(here, &[&["update", "countersign", file][..], &who[..]].concat())
}

fn verify(here: &Path, file: &str, above: &str) -> Ran {
    let what = ["--json", "update", "verify", file, "--component", "application", "--above", above];
    let roles = ["--role", "publisher=publisher.pem", "--role", "operator=operator.pem"];
    run(here, &[&what[..], &roles[..]].concat())
}

#[test]
fn an_update_needs_both_signatures_and_a_new_version() {
    let here = scene();
    let here = here.path();
    let ran = sign(here, "publisher", "one").expect(0);
    assert!(ran.out.contains("version    2\n") && ran.out.contains("signed by  CN=publisher\n"));
    let code = |ran: Ran| ran.expect(1).json("touchstone.update.verify/1")["code"].clone();
    assert_eq!(code(verify(here, "one", "1")), "update.role.missing");

    countersign(here, "operator", "one", "both").expect(0);
    let json = verify(here, "both", "1").expect(0).json("touchstone.update.verify/1");
    assert_eq!(json["signers"][1]["role"], "operator");
    assert_eq!(json["manifest"]["note"], "fixes the valve");
    assert_eq!(code(verify(here, "both", "2")), "update.version.not-above");

    countersign(here, "stranger", "both", "three").expect(0);
    assert_eq!(code(verify(here, "three", "1")), "update.signer.unknown");

    let mut bytes = std::fs::read(here.join("both")).unwrap();
    let at = bytes.windows(5).position(|window| window == b"a new").unwrap();
    bytes[at] ^= 1;
    std::fs::write(here.join("flipped"), bytes).unwrap();
    assert_eq!(code(verify(here, "flipped", "1")), "update.envelope.signature");
    let ran = countersign(here, "stranger", "flipped", "more").expect(1);
    assert!(ran.err.contains("flipped: refused: "), "{}", ran.err);
    assert!(!here.join("more").exists());
}

#[test]
fn an_envelope_is_shown_without_being_believed() {
    let here = scene();
    sign(here.path(), "stranger", "one").expect(0);
    let ran = run(here.path(), &["update", "show", "one"]).expect(0);
    assert!(ran.out.contains("signed by  CN=stranger") && ran.err.contains("not verified"));
    let json = run(here.path(), &["update", "show", "app", "--json"]).expect(1);
    assert_eq!(json.json("touchstone.update.show/1")["code"], "update.envelope.malformed");
}

#[test]
fn a_key_that_is_not_the_certificates_signs_nothing() {
    let here = scene();
    let here = here.path();
    std::fs::copy(here.join("stranger.key"), here.join("publisher.key")).unwrap();
    let ran = sign(here, "publisher", "one").expect(2);
    assert!(ran.err.contains("is not that of publisher.pem"), "{}", ran.err);
    std::fs::write(here.join("publisher.key"), "no key").unwrap();
    sign(here, "publisher", "one").expect(3);
    assert!(!here.join("one").exists());
}

fn sign_references(here: &Path, values: &[&str]) -> Ran {
    let what = ["reference", "sign", "--tenant", "plant", "--component", "boot", "--version", "3"];
    let who = ["--cert", "publisher.pem", "--key", "file:publisher.key", "--out", "signed"];
    run(here, &[&what[..], values, &who[..]].concat())
}

#[test]
fn reference_values_are_signed_and_shown() {
    let here = scene();
    let here = here.path();
    let program = std::env::current_exe().unwrap().display().to_string();
    let values = [
        "--command-line",
        "quiet ima_policy=tcb",
        "--secure-boot-key",
        "db=operator.pem",
        "--firmware",
        &format!("ovmf=sha256:{}", "ab".repeat(32)),
        "--file",
        "/data/app=app",
        "--file",
        &format!("/data/elf={program}"),
        "--scope",
        "/data/",
    ];
    let ran = sign_references(here, &values).expect(0);
    let counted = "values     1 code, 1 command-line, 2 file, 1 file-scope, 1 firmware, \
                   1 secure-boot-key\n";
    assert!(ran.out.contains(counted), "{}", ran.out);

    let show = |arguments: &[&str]| run(here, &[&["reference", "show"], arguments].concat());
    assert!(show(&["signed"]).expect(0).err.contains("--signer tells"));
    let json = show(&["signed", "--signer", "publisher.pem", "--json"]).expect(0);
    let json = json.json("touchstone.reference.show/1");
    assert_eq!((&json["trusted"], &json["document"]["version"]), (&true.into(), &3.into()));
    show(&["signed", "--signer", "stranger.pem"]).expect(1);

    // What was shown can be signed again.
    std::fs::write(here.join("values.json"), json["document"].to_string()).unwrap();
    sign_references(here, &["--values", "values.json"]).expect(0);
    let again = show(&["signed", "--json"]).json("touchstone.reference.show/1");
    assert_eq!(again["document"], json["document"]);
}

#[test]
fn reference_values_that_make_no_sense_are_not_signed() {
    let here = scene();
    for (values, code) in [
        (&[][..], 2),
        (&["--secure-boot-key", "dbx=operator.pem"][..], 2),
        (&["--firmware", "ovmf=ab"][..], 2),
        (&["--file", "app"][..], 2),
        (&["--boot-image", "image=app"][..], 3),
        (&["--values", "app"][..], 3),
    ] {
        sign_references(here.path(), values).expect(code);
    }
    assert!(!here.path().join("signed").exists());
    run(here.path(), &["reference", "show", "app"]).expect(1);
}
