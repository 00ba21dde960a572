//! `touchstone log ima`, run as a person runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use support::{folder, run};
use touchstone_peers::{corpus, openssl, rig, tool};

#[test]
fn the_list_leads_to_the_register_and_to_the_boot() {
    let here = folder(&[]);
    std::fs::write(here.path().join("list"), rig("binary_runtime_measurements")).unwrap();
    std::fs::write(here.path().join("pcrs.txt"), rig("pcrs-sha256.txt")).unwrap();
    let ran = run(here.path(), &["log", "ima", "list", "--pcrs", "pcrs.txt"]).expect(0);
    assert!(ran.out.contains("boot_aggregate"), "{}", ran.out);
    assert!(ran.err.contains("entries lead to the given value of PCR 10"), "{}", ran.err);
    assert!(ran.err.contains("the boot aggregate is that of PCR 0 to 9"), "{}", ran.err);

    let json = run(here.path(), &["--json", "log", "ima", "list", "--pcrs", "pcrs.txt"]);
    let json = json.expect(0).json("touchstone.log.ima/1");
    assert_eq!(json["entries"][0]["kind"], "boot-aggregate");
    assert_eq!((&json["leads"], &json["extension"]), (&true.into(), &"hashed".into()));
    let pcr10 = String::from_utf8(rig("pcrs-sha256.txt")).unwrap();
    let pcr10 = pcr10.lines().nth(10).unwrap().split(' ').nth(1).unwrap().to_owned();
    assert_eq!(json["pcr10"], pcr10);

    let other = format!("10={}", "ab".repeat(32));
    let ran = run(here.path(), &["log", "ima", "list", "--pcrs", &other]).expect(1);
    assert!(ran.err.contains("does not lead to the given value of PCR 10"), "{}", ran.err);
}

#[test]
fn registers_that_say_nothing_about_the_list_are_told() {
    let here = folder(&[]);
    std::fs::write(here.path().join("list"), rig("binary_runtime_measurements")).unwrap();
    let wrong = format!("sha1:10={}", "ab".repeat(20));
    let other = format!("7={}", "ab".repeat(32));
    for registers in [&["--pcrs", wrong.as_str(), "--bank", "sha256"][..], &["--pcrs", &other]] {
        let ran = run(here.path(), &[&["log", "ima", "list"][..], registers].concat()).expect(1);
        let words = "none of the registers given could be compared with the list";
        assert!(ran.err.contains(words), "{registers:?}: {}", ran.err);
    }
    // Those of the boot alone tell of the boot, and one of the list of the list.
    let pcrs = String::from_utf8(rig("pcrs-sha256.txt")).unwrap();
    let boot: Vec<&str> = pcrs.lines().take(10).collect();
    std::fs::write(here.path().join("boot"), boot.join("\n")).unwrap();
    let ran = run(here.path(), &["log", "ima", "list", "--pcrs", "boot"]).expect(0);
    assert!(ran.err.contains("the boot aggregate is that of PCR 0 to 9"), "{}", ran.err);
}

#[test]
fn a_cut_list_says_which_entry_and_where() {
    let here = folder(&[]);
    let list = rig("binary_runtime_measurements");
    std::fs::write(here.path().join("cut"), &list[..list.len() - 1]).unwrap();
    let ran = run(here.path(), &["log", "ima", "cut"]).expect(3);
    assert!(ran.err.contains("measure.ima.truncated"), "{}", ran.err);
    assert!(ran.err.contains("item 1, octet"), "{}", ran.err);
}

#[test]
fn signatures_are_judged_by_the_keys_that_are_given() {
    let Some(lab) = corpus("lab") else { return };
    let here = folder(&[]);
    let list = lab.join("tcb-secboot/ascii_runtime_measurements").display().to_string();
    let key = lab.join("ima-signing-cert.der").display().to_string();
    let pcrs = lab.join("tcb-secboot/pcrread.txt").display().to_string();
    let arguments =
        ["--json", "log", "ima", &list, "--keys", &key, "--pcrs", &pcrs, "--bank", "sha256"];
    let json = run(here.path(), &arguments).expect(0).json("touchstone.log.ima/1");
    assert_eq!((&json["count"], &json["signatures"]["good"]), (&5004.into(), &20.into()));
    assert_eq!(json["boot_aggregate"], "matches");

    // A stranger's key: unknown, and no reason to doubt the list.
    let request = "req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=Stranger";
    openssl(here.path(), &request.split(' ').collect::<Vec<_>>());
    let json = run(here.path(), &["--json", "log", "ima", &list, "--keys", "c.pem"]);
    let json = json.expect(0).json("touchstone.log.ima/1");
    assert_eq!(json["signatures"]["measure.ima.signature.unknown-key"], 20);
}

#[test]
fn a_forged_signature_and_a_changed_entry_are_a_no() {
    let here = folder(&[]);
    let request = "req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=Acme";
    openssl(here.path(), &request.split(' ').collect::<Vec<_>>());
    std::fs::write(here.path().join("file"), "content").unwrap();
    let signed = tool("evmctl", here.path(), &["ima_sign", "-n", "--key", "k.pem", "file"]);
    let signed = String::from_utf8(signed).unwrap().trim().to_owned();
    // The signature of another content, in a list that is otherwise as a kernel prints it.
    let line =
        format!("10 {} ima-sig sha256:{} /bin/a\x1b[2J {signed}", "aa".repeat(32), "00".repeat(32));
    std::fs::write(here.path().join("list"), line).unwrap();
    let ran = run(here.path(), &["log", "ima", "list", "--keys", "c.pem"]).expect(1);
    assert!(ran.err.contains("entry 0: the signature is not the publisher's"), "{}", ran.err);
    assert!(ran.out.contains("/bin/a\\u{1b}[2J"), "{}", ran.out);
}
