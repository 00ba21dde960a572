//! `touchstone element` at a software TPM, with tpm2-tools and openssl as the second opinion.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests fail loudly")]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use support::Ran;
use touchstone_peers::{Swtpm, openssl};

/// Runs a verb at this TPM, in the folder of its state.
fn element(swtpm: &Swtpm, arguments: &[&str]) -> Ran {
    let at = format!("tpm-tcp:{}", swtpm.address());
    at_element(swtpm.dir.path(), &at, arguments)
}

fn at_element(folder: &Path, at: &str, arguments: &[&str]) -> Ran {
    let state = folder.join("state").display().to_string();
    let all = [&["element", "--element", at, "--state", &state], arguments].concat();
    support::run(folder, &all)
}

#[test]
fn info_says_what_the_tpm_is_and_how_it_stands_against_guessing() {
    let swtpm = Swtpm::blank_tcp();
    let ran = element(&swtpm, &["info"]).expect(0);
    assert!(ran.out.contains("tpm2 at tpm-tcp:127.0.0.1:"), "{}", ran.out);
    assert!(ran.out.contains("lockout      0 wrong tries, 3 more lock it"), "{}", ran.out);
    let json = element(&swtpm, &["info", "--json"]).expect(0).json("touchstone.element.info/1");
    assert_eq!(json["manufacturer"], "IBM");
    assert_eq!(json["lockout"]["locked"], false);
    let abilities = json["abilities"].as_array().unwrap();
    assert!(abilities.iter().any(|ability| ability == "count"), "{abilities:?}");
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn info_says_what_is_wrong_with_a_makers_certificate_and_all_else_too() {
    let swtpm = Swtpm::blank_tcp();
    let spki = swtpm.makers_key("0x81020001", "|restricted");
    swtpm.write("iak.der", &spki);
    let request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let names = ["-nodes", "-subj", "/CN=another", "-keyout", "x.key", "-outform", "DER"];
    openssl(swtpm.dir.path(), &[&request[..], &names, &["-out", "x.der"]].concat());
    swtpm.keep_certificate("0x1C90008", &swtpm.read("x.der"));
    let ran = element(&swtpm, &["info"]).expect(0);
    assert!(ran.out.contains("(element.certificate.another)"), "{}", ran.out);
    assert!(ran.out.contains("idevid       no certificate"), "{}", ran.out);
    let json = element(&swtpm, &["info", "--json"]).expect(0).json("touchstone.element.info/1");
    assert_eq!(json["iak"]["code"], "element.certificate.another");
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn keys_are_made_listed_renamed_deleted_and_what_they_sign_openssl_verifies() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("message", b"what is signed");
    for (name, algorithm) in [("web", "p-256"), ("old", "rsa-2048"), ("long", "p-384")] {
        element(&swtpm, &["keys", "create", name, "--algorithm", algorithm]).expect(0);
        let pem = element(&swtpm, &["keys", "show", name]).expect(0).out;
        swtpm.write("key.pem", pem.as_bytes());
        element(&swtpm, &["keys", "sign", name, "message", "--out", "signature"]).expect(0);
        let hash = if algorithm == "p-384" { "-sha384" } else { "-sha256" };
        let verify = ["dgst", hash, "-verify", "key.pem", "-signature", "signature", "message"];
        assert!(openssl(swtpm.dir.path(), &verify).contains("Verified OK"), "{algorithm}");
    }
    let listed = element(&swtpm, &["keys", "list", "--json"]).expect(0);
    let listed = listed.json("touchstone.element.keys.list/1");
    let names: Vec<&str> = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["long", "old", "web"]);
    element(&swtpm, &["keys", "rename", "web", "site"]).expect(0);
    element(&swtpm, &["keys", "delete", "site"]).expect(0);
    let gone = element(&swtpm, &["keys", "show", "site"]).expect(3);
    assert!(gone.err.contains("no key named `site`"), "{}", gone.err);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn registers_and_random_octets_are_those_of_the_tpm() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("event", b"event");
    let extended = element(&swtpm, &["pcr", "extend", "16", "event", "--json"]).expect(0);
    assert_eq!(extended.json("touchstone.element.pcr.extend/1")["pcr"], 16);
    let ours = element(&swtpm, &["pcr", "read", "sha256:16"]).expect(0).out;
    let theirs = String::from_utf8(swtpm.tool(&["tpm2_pcrread", "sha256:16"])).unwrap();
    let value = theirs.split("0x").last().unwrap().trim().to_lowercase();
    assert!(ours.to_lowercase().contains(&value), "{ours} has not {value}");

    let first = element(&swtpm, &["random", "32"]).expect(0).out;
    let second = element(&swtpm, &["random", "32"]).expect(0).out;
    assert_eq!(first.trim().len(), 64);
    assert_ne!(first, second);
}

#[test]
fn tpm2_checkquote_accepts_what_quote_wrote() {
    let swtpm = Swtpm::blank_tcp();
    element(&swtpm, &["keys", "create", "ak", "--use", "attest"]).expect(0);
    let pem = element(&swtpm, &["keys", "show", "ak"]).expect(0).out;
    swtpm.write("ak.pem", pem.as_bytes());
    let quote =
        ["quote", "ak", "--pcr", "sha256:0,7,16", "--nonce", "00112233", "--out", "boot", "--json"];
    let json = element(&swtpm, &quote).expect(0).json("touchstone.element.quote/1");
    assert_eq!(json["nonce"], "00112233");
    let check = ["-u", "ak.pem", "-m", "boot.attest", "-s", "boot.signature", "-g", "sha256"];
    let good = [&["tpm2_checkquote"], &check[..], &["-q", "00112233"]].concat();
    swtpm.tool(&good);
    let stale = [&["tpm2_checkquote"], &check[..], &["-q", "33221100"]].concat();
    assert!(!swtpm.attempt(&stale).0, "another nonce is refused");
}

#[test]
fn a_sealed_secret_comes_out_in_its_state_with_its_password_and_nowhere_else() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("secret", b"the disk's key");
    swtpm.write("pin", b"1234");
    swtpm.write("wrong", b"4321");
    let seal =
        ["seal", "secret", "--pcr", "sha256:16", "--password", "file:pin", "--out", "sealed"];
    element(&swtpm, &seal).expect(0);
    let unseal = ["unseal", "sealed", "--password", "file:pin"];
    assert_eq!(element(&swtpm, &unseal).expect(0).out, "the disk's key");
    let wrong = element(&swtpm, &["unseal", "sealed", "--password", "file:wrong"]).expect(1);
    assert!(wrong.err.contains("element.authorization.wrong"), "{}", wrong.err);
    swtpm.tool(&["tpm2_pcrevent", "16", "secret"]);
    let moved = element(&swtpm, &[&unseal[..], &["--json"]].concat()).expect(1);
    assert_eq!(moved.json("touchstone.element.unseal/1")["code"], "element.state.moved");

    let other = Swtpm::blank_tcp();
    other.write("sealed", &swtpm.read("sealed"));
    other.write("pin", b"1234");
    let foreign = element(&other, &[&unseal[..], &["--json"]].concat()).expect(1);
    assert_eq!(foreign.json("touchstone.element.unseal/1")["code"], "element.foreign");
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn what_nv_write_wrote_tpm2_nvread_reads_and_the_reverse() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("pin", b"1234\n");
    swtpm.write("data", b"sixteen octets..");
    let define = ["nv", "define", "0x01800001", "--size", "16", "--value", "file:pin"];
    element(&swtpm, &define).expect(0);
    let again = element(&swtpm, &define).expect(3);
    assert!(again.err.contains("(tpm2.nv.defined)"), "{}", again.err);
    let early = element(&swtpm, &["nv", "read", "0x01800001"]).expect(3);
    assert!(early.err.contains("never written"), "{}", early.err);
    element(&swtpm, &["nv", "write", "0x01800001", "data", "--value", "file:pin"]).expect(0);
    let read = swtpm.tool(&["tpm2_nvread", "0x1800001", "-C", "0x1800001", "-P", "1234"]);
    assert_eq!(read, b"sixteen octets..");

    let file = swtpm.write("other", b"octets of theirs");
    swtpm.tool(&["tpm2_nvwrite", "0x1800001", "-C", "o", "-i", &file]);
    assert_eq!(element(&swtpm, &["nv", "read", "0x01800001"]).expect(0).out, "octets of theirs");
    let part = ["nv", "read", "0x01800001", "--offset", "10", "--size", "6", "--value", "file:pin"];
    assert_eq!(element(&swtpm, &part).expect(0).out, "theirs");
    let outside =
        element(&swtpm, &["nv", "write", "0x01800001", "data", "--offset", "1"]).expect(3);
    assert!(outside.err.contains("holds 16 octets"), "{}", outside.err);

    let shown = element(&swtpm, &["nv", "show", "0x01800001", "--json"]).expect(0);
    let shown = shown.json("touchstone.element.nv.show/1");
    let theirs = String::from_utf8(swtpm.tool(&["tpm2_nvreadpublic", "0x1800001"])).unwrap();
    assert!(theirs.contains(shown["name"].as_str().unwrap()), "{theirs}");
    assert_eq!(shown["readers"], serde_json::json!(["owner", "value"]));
    let listed = element(&swtpm, &["nv", "list"]).expect(0).out;
    assert!(listed.contains("0x01800001  ordinary  16      yes      owner,value"), "{listed}");

    element(&swtpm, &["nv", "undefine", "0x01800001"]).expect(0);
    let gone = element(&swtpm, &["nv", "show", "0x01800001"]).expect(3);
    assert!(gone.err.contains("no index 0x01800001; define it first"), "{}", gone.err);
    element(&swtpm, &["nv", "show", "0x81000001"]).expect(2);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn counters_pins_and_indices_of_a_password_protected_owner_work() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("owner", b"boss");
    swtpm.write("pin", b"1234");
    swtpm.tool(&["tpm2_changeauth", "-c", "o", "boss"]);
    let define = ["nv", "define", "0x01800001", "--kind", "counter"];
    let refused = element(&swtpm, &[&define[..], &["--json"]].concat()).expect(1);
    let refused = refused.json("touchstone.element.nv.define/1");
    assert_eq!(refused["code"], "tpm2.authorization.wrong");
    let owner = ["--owner", "file:owner"];
    element(&swtpm, &[&define[..], &owner].concat()).expect(0);
    let increment = [&["nv", "increment", "0x01800001"], &owner[..]].concat();
    let first: u64 = element(&swtpm, &increment).expect(0).out.trim().parse().unwrap();
    swtpm.tool(&["tpm2_nvincrement", "0x1800001", "-C", "o", "-P", "boss"]);
    let json = element(&swtpm, &[&increment[..], &["--json"]].concat()).expect(0);
    assert_eq!(json.json("touchstone.element.nv.increment/1")["value"], first + 2);
    swtpm.write("data", b"x");
    let wrong = element(&swtpm, &[&["nv", "write", "0x01800001", "data"], &owner[..]].concat());
    assert!(wrong.expect(3).err.contains("is of the kind `counter`, and this needs `ordinary`"));

    let pin = ["nv", "define", "0x01800002", "--kind", "pin-fail", "--value", "file:pin"];
    element(&swtpm, &[&pin[..], &owner].concat()).expect(2);
    element(&swtpm, &[&pin[..], &owner, &["--limit", "5"]].concat()).expect(0);
    // Who knows the PIN need not know the owner's password.
    let read = ["nv", "read", "0x01800002", "--value", "file:pin"];
    assert_eq!(element(&swtpm, &read).expect(0).out, "0 of 5\n");
}

#[test]
fn bits_and_digests_stand_as_tpm2_tools_read_them() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("data", b"measured");
    element(&swtpm, &["nv", "define", "0x01800003", "--kind", "bits"]).expect(0);
    let set = element(&swtpm, &["nv", "set-bits", "0x01800003", "0x11"]).expect(0);
    assert_eq!(set.out, "0x0000000000000011\n");
    swtpm.tool(&["tpm2_nvsetbits", "0x1800003", "-C", "o", "-i", "0x8000000000000000"]);
    let json = element(&swtpm, &["nv", "set-bits", "0x01800003", "2", "--json"]).expect(0);
    let json = json.json("touchstone.element.nv.set-bits/1");
    assert_eq!(json["value"], "0x8000000000000013");
    let theirs = swtpm.tool(&["tpm2_nvread", "0x1800003", "-C", "o"]);
    assert_eq!(theirs, 0x8000_0000_0000_0013_u64.to_be_bytes());

    element(&swtpm, &["nv", "define", "0x01800004", "--kind", "extend"]).expect(0);
    let ours = element(&swtpm, &["nv", "extend", "0x01800004", "data"]).expect(0);
    let theirs = swtpm.tool(&["tpm2_nvread", "0x1800004", "-C", "o"]);
    let hex = |octets: &[u8]| octets.iter().fold(String::new(), |hex, o| hex + &format!("{o:02x}"));
    assert_eq!(ours.out.trim(), hex(&theirs));
    // An index of theirs that they extend twice, as ours is.
    let attributes = "ownerread|ownerwrite|nt=extend|no_da";
    swtpm.tool(&["tpm2_nvdefine", "0x1800005", "-C", "o", "-g", "sha256", "-a", attributes]);
    for _ in 0..2 {
        swtpm.tool(&["tpm2_nvextend", "0x1800005", "-C", "o", "-i", "data"]);
    }
    let twice = element(&swtpm, &["nv", "extend", "0x01800004", "data"]).expect(0).out;
    assert_eq!(element(&swtpm, &["nv", "read", "0x01800005"]).expect(0).out, twice);

    let wrong = element(&swtpm, &["nv", "set-bits", "0x01800004", "1"]).expect(3);
    assert!(wrong.err.contains("is of the kind `extend`, and this needs `bits`"), "{}", wrong.err);
    let wrong = element(&swtpm, &["nv", "extend", "0x01800003", "data"]).expect(3);
    assert!(wrong.err.contains("(tpm2.nv.kind)"), "{}", wrong.err);
    element(&swtpm, &["nv", "set-bits", "0x01800003", "lots"]).expect(2);
    swtpm.write("large", &[0; 4096]);
    let large = element(&swtpm, &["nv", "extend", "0x01800004", "large"]).expect(3);
    assert!(large.err.contains("extend with its digest"), "{}", large.err);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn locks_hold_against_us_and_tpm2_tools_until_the_tpm_starts_again_or_for_good() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("data", b"data");
    let lockable = [
        ("0x01800001", "write,read"),
        ("0x01800002", "write-for-good"),
        ("0x01800003", "global"),
        ("0x01800004", "global"),
    ];
    for (index, how) in lockable {
        element(&swtpm, &["nv", "define", index, "--size", "4", "--lockable", how]).expect(0);
        element(&swtpm, &["nv", "write", index, "data"]).expect(0);
    }
    let not = element(&swtpm, &["nv", "read-lock", "0x01800002"]).expect(3);
    assert!(not.err.contains("not defined to be locked against reading"), "{}", not.err);

    let locked = element(&swtpm, &["nv", "write-lock", "0x01800001"]).expect(0);
    assert!(locked.err.contains("locked against writing until the TPM starts"), "{}", locked.err);
    assert_eq!(element(&swtpm, &["nv", "read", "0x01800001"]).expect(0).out, "data");
    element(&swtpm, &["nv", "read-lock", "0x01800001"]).expect(0);
    let json = element(&swtpm, &["nv", "write-lock", "0x01800002", "--json"]).expect(0);
    assert_eq!(json.json("touchstone.element.nv.write-lock/1")["until"], "for good");
    let json = element(&swtpm, &["nv", "global-write-lock", "--json"]).expect(0);
    let json = json.json("touchstone.element.nv.global-write-lock/1");
    assert_eq!(json["locked"], serde_json::json!(["0x01800003", "0x01800004"]));

    for (index, _) in lockable {
        let refused = element(&swtpm, &["nv", "write", index, "data"]).expect(3);
        assert!(refused.err.contains("(tpm2.nv.locked)"), "{}", refused.err);
        let theirs = format!("0x{}", &index[3..]);
        let (written, said) = swtpm.attempt(&["tpm2_nvwrite", &theirs, "-C", "o", "-i", "data"]);
        assert!(!written && said.contains("0x148"), "{said}");
    }
    let refused = element(&swtpm, &["nv", "read", "0x01800001"]).expect(3);
    assert!(refused.err.contains("(tpm2.nv.locked)"), "{}", refused.err);
    assert!(!swtpm.attempt(&["tpm2_nvread", "0x1800001", "-C", "o"]).0);
    let shown = element(&swtpm, &["nv", "show", "0x01800001"]).expect(0).out;
    assert!(shown.contains("locked       against reading and writing"), "{shown}");

    // Theirs hold against us.
    element(&swtpm, &["nv", "define", "0x01800005", "--size", "4", "--lockable", "write,read"])
        .expect(0);
    element(&swtpm, &["nv", "write", "0x01800005", "data"]).expect(0);
    swtpm.tool(&["tpm2_nvwritelock", "0x1800005", "-C", "o"]);
    swtpm.tool(&["tpm2_nvreadlock", "0x1800005", "-C", "o"]);
    element(&swtpm, &["nv", "write", "0x01800005", "data"]).expect(3);
    element(&swtpm, &["nv", "read", "0x01800005"]).expect(3);

    let mut swtpm = swtpm;
    swtpm.tool(&["tpm2_shutdown", "-c"]);
    swtpm.restart();
    element(&swtpm, &["nv", "read", "0x01800001"]).expect(0);
    for index in ["0x01800001", "0x01800003", "0x01800004", "0x01800005"] {
        element(&swtpm, &["nv", "write", index, "data"]).expect(0);
    }
    let refused = element(&swtpm, &["nv", "write", "0x01800002", "data"]).expect(3);
    assert!(refused.err.contains("(tpm2.nv.locked)"), "{}", refused.err);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn guessing_is_told_and_a_lockout_ends_with_its_password() {
    let swtpm = Swtpm::blank_tcp();
    swtpm.write("pin", b"1234");
    swtpm.write("wrong", b"4321");
    swtpm.write("unlock", b"unlock");
    swtpm.write("data", b"data");
    swtpm.tool(&["tpm2_dictionarylockout", "-s", "-n", "2", "-t", "7200", "-l", "86400"]);
    swtpm.tool(&["tpm2_changeauth", "-c", "l", "unlock"]);
    element(&swtpm, &["nv", "define", "0x01800001", "--size", "4", "--value", "file:pin"])
        .expect(0);
    element(&swtpm, &["nv", "write", "0x01800001", "data"]).expect(0);
    let guess = ["nv", "read", "0x01800001", "--value", "file:wrong", "--json"];
    let wrong = element(&swtpm, &guess).expect(1);
    assert!(wrong.err.contains("1 more wrong ones lock the TPM"), "{}", wrong.err);
    let json = wrong.json("touchstone.element.nv.read/1");
    assert_eq!(json["code"], "tpm2.authorization.wrong");
    let state = element(&swtpm, &["lockout", "--json"]).expect(0);
    assert_eq!(state.json("touchstone.element.lockout/1")["failed"], 1, "one try is one try");
    element(&swtpm, &guess).expect(1);
    let locked = element(&swtpm, &["lockout", "show"]).expect(1);
    assert_eq!(
        locked.out,
        "locked out after 2 wrong tries; wait 2 h or run `touchstone element lockout reset`\n"
    );
    let right = element(&swtpm, &["nv", "read", "0x01800001", "--value", "file:pin"]).expect(1);
    assert!(right.err.contains("or run `touchstone element lockout reset`"), "{}", right.err);
    let reset = ["lockout", "reset", "--password", "file:unlock"];
    element(&swtpm, &reset).expect(0);
    let read = element(&swtpm, &["nv", "read", "0x01800001", "--value", "file:pin"]).expect(0);
    assert_eq!(read.out, "data");
    element(&swtpm, &["lockout", "reset", "--password", "file:wrong"]).expect(1);
    let late = element(&swtpm, &reset).expect(1);
    assert!(late.err.contains("wait 24 h"), "{}", late.err);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_tpm_tests_itself() {
    let swtpm = Swtpm::blank_tcp();
    let ran = element(&swtpm, &["selftest"]).expect(0);
    assert_eq!(ran.out, "every test passed\n");
    let full = element(&swtpm, &["selftest", "--full", "--json"]).expect(0);
    assert_eq!(full.json("touchstone.element.selftest/1")["result"], "TPM_RC_SUCCESS");
}

#[test]
fn a_tpm_that_fails_for_real_is_told_until_it_was_without_power() {
    let mut swtpm = Swtpm::blank_tcp();
    element(&swtpm, &["random", "8"]).expect(0);
    swtpm.wear_out();
    let define = ["nv", "define", "0x01800001", "--size", "4"];
    let failed = element(&swtpm, &define).expect(3);
    assert!(failed.err.contains("(tpm2.failed)"), "{}", failed.err);
    let ran = element(&swtpm, &["selftest", "--json"]).expect(1);
    assert_eq!(ran.json("touchstone.element.selftest/1")["result"], "TPM_RC_FAILURE");
    let failed = element(&swtpm, &["random", "8"]).expect(3);
    assert!(failed.err.contains("failed its self-test"), "{}", failed.err);
    swtpm.repair();
    element(&swtpm, &["selftest", "--full"]).expect(1);
    swtpm.restart();
    element(&swtpm, &["selftest", "--full"]).expect(0);
    element(&swtpm, &define).expect(0);
    swtpm.assert_nothing_is_loaded();
}

#[test]
fn a_tpm_in_failure_mode_is_no_answer_of_a_good_one() {
    let folder = support::folder(&[]);
    let socket = folder.path().join("tpm");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        // TPM_RC_FAILURE to whatever it is asked.
        for stream in listener.incoming() {
            let (mut stream, mut buf) = (stream.unwrap(), [0; 4096]);
            while stream.read(&mut buf).is_ok_and(|len| len > 0) {
                stream.write_all(&[0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1]).unwrap();
            }
        }
    });
    let at = format!("tpm-unix:{}", socket.display());
    let ran = at_element(folder.path(), &at, &["selftest", "--json"]).expect(1);
    assert_eq!(ran.json("touchstone.element.selftest/1")["result"], "TPM_RC_FAILURE");
    let ran = at_element(folder.path(), &at, &["random", "8"]).expect(3);
    assert!(ran.err.contains("selftest"), "{}", ran.err);
}

#[test]
fn what_only_a_tpm_has_is_not_asked_of_others_and_a_tpm_that_is_away_is_told() {
    let folder = support::folder(&[]);
    let software = format!("software:{}?secret=file:/dev/null", folder.path().display());
    for verb in [["nv", "list"], ["lockout", "show"]] {
        let ran = at_element(folder.path(), &software, &verb).expect(2);
        assert!(ran.err.contains("only a TPM has this"), "{}", ran.err);
    }
    at_element(folder.path(), "nonsense", &["nv", "list"]).expect(2);
    let away = format!("tpm-unix:{}", folder.path().join("none").display());
    let ran = at_element(folder.path(), &away, &["nv", "list"]).expect(3);
    assert!(ran.err.contains("check --element"), "{}", ran.err);
}
