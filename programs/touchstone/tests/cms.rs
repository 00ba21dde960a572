//! `touchstone cms`, beside the `openssl cms` command.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::path::Path;
use support::{Ran, folder, run, signer};
use touchstone_peers::openssl;

fn touchstone(here: &Path, line: &str) -> Ran {
    run(here, &line.split_whitespace().collect::<Vec<_>>())
}

fn peer(here: &Path, line: &str) {
    openssl(here, &line.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn files_are_signed_by_two_and_verified_attached_and_detached() {
    let here = folder(&[("report", "all is well")]);
    let here = here.path();
    for name in ["build", "release", "stranger"] {
        signer(here, name);
    }
    let both =
        ["build.pem", "release.pem"].map(|it| std::fs::read_to_string(here.join(it)).unwrap());
    std::fs::write(here.join("both.pem"), both.concat()).unwrap();
    let by = "--signer build.pem=file:build.key --signer release.pem=file:release.key";

    touchstone(here, &format!("cms sign report {by} --out report.p7m")).expect(0);
    let ran = touchstone(here, "cms verify report.p7m --trust both.pem --signatures 2 --out seen");
    assert!(ran.expect(0).out.contains("signed by  CN=release (ecdsa-p256-sha256; at "));
    assert_eq!(std::fs::read_to_string(here.join("seen")).unwrap(), "all is well");
    peer(
        here,
        "cms -verify -binary -inform DER -in report.p7m -CAfile both.pem -purpose any \
                -partial_chain -out theirs",
    );
    assert_eq!(std::fs::read_to_string(here.join("theirs")).unwrap(), "all is well");

    touchstone(here, &format!("cms sign report {by} --detached --out report.p7s")).expect(0);
    let verify = "--json cms verify report.p7s --trust both.pem --content";
    let json = touchstone(here, &format!("{verify} report")).expect(0);
    let json = json.json("touchstone.cms.verify/1");
    assert_eq!(json["signers"][0]["algorithm"], "ecdsa-p256-sha256");
    let code = |ran: Ran| ran.expect(1).json("touchstone.cms.verify/1")["code"].clone();
    assert_eq!(code(touchstone(here, &format!("{verify} both.pem"))), "cms.refused.digest");
    let without = touchstone(here, "--json cms verify report.p7s --trust both.pem");
    assert_eq!(code(without), "cms.refused.no-content");
    let stranger = "--json cms verify report.p7m --trust stranger.pem --out unseen";
    assert_eq!(code(touchstone(here, stranger)), "certs.refused.untrusted-issuer");
    assert!(!here.join("unseen").exists(), "content of strangers");
    let more = "--json cms verify report.p7m --trust both.pem --signatures 3";
    assert_eq!(code(touchstone(here, more)), "touchstone.cms.too-few-signatures");

    let ran = touchstone(here, "cms show report.p7m").expect(0);
    assert!(ran.out.contains("content      inside, 11 octets\nsignatures   2\n"), "{}", ran.out);
    assert!(ran.err.contains("not verified"));
}

#[test]
fn what_openssl_signs_in_a_stream_is_verified_and_one_bit_spoils_it() {
    let here = folder(&[("report", "all is well")]);
    let here = here.path();
    signer(here, "build");
    peer(
        here,
        "cms -sign -binary -stream -nodetach -outform DER -in report -out theirs.p7m \
                -signer build.pem -inkey build.key",
    );
    touchstone(here, "cms verify theirs.p7m --trust build.pem --out seen").expect(0);
    let mut octets = std::fs::read(here.join("theirs.p7m")).unwrap();
    let at = octets.windows(3).position(|window| window == b"all").unwrap();
    octets[at] ^= 1;
    std::fs::write(here.join("bad.p7m"), octets).unwrap();
    let ran = touchstone(here, "cms verify bad.p7m --trust build.pem --out unseen").expect(1);
    assert!(ran.err.contains("the content is not the one that was signed"), "{}", ran.err);
    assert!(!here.join("unseen").exists());
    let left: Vec<_> = std::fs::read_dir(here).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".part")), "{left:?}");
    let ran = touchstone(here, "cms verify build.pem --trust build.pem").expect(1);
    assert!(ran.err.contains("give DER or BER"), "{}", ran.err);
}

#[test]
fn files_are_encrypted_and_opened_by_those_they_are_for() {
    let here = folder(&[("secret", "the valve opens at noon")]);
    let here = here.path();
    for name in ["one", "two", "stranger"] {
        signer(here, name);
    }
    touchstone(here, "cms encrypt secret --to one.pem --to two.pem --out secret.p7m").expect(0);
    let ran = touchstone(here, "cms show secret.p7m").expect(0);
    assert!(ran.out.contains("cipher       aes-256-gcm\nrecipients   2\n"), "{}", ran.out);
    touchstone(here, "cms decrypt secret.p7m --cert two.pem --key file:two.key --out seen")
        .expect(0);
    assert_eq!(std::fs::read_to_string(here.join("seen")).unwrap(), "the valve opens at noon");
    peer(
        here,
        "cms -decrypt -binary -inform DER -in secret.p7m -recip one.pem -inkey one.key \
                -out theirs",
    );
    assert_eq!(std::fs::read_to_string(here.join("theirs")).unwrap(), "the valve opens at noon");
    let stranger =
        "--json cms decrypt secret.p7m --cert stranger.pem --key file:stranger.key --out x";
    let json = touchstone(here, stranger).expect(1).json("touchstone.cms.decrypt/1");
    assert_eq!(json["code"], "cms.refused.not-a-recipient");
    let other = "cms decrypt secret.p7m --cert one.pem --key file:two.key --out x";
    touchstone(here, other).expect(3);

    peer(
        here,
        "cms -encrypt -binary -aes-128-cbc -outform DER -in secret -out old.p7m -recip one.pem",
    );
    let decrypt = "cms decrypt old.p7m --cert one.pem --key file:one.key --out old";
    let ran = touchstone(here, decrypt).expect(1);
    assert!(ran.err.contains("--legacy opens it"), "{}", ran.err);
    touchstone(here, &format!("{decrypt} --legacy")).expect(0);
    assert_eq!(std::fs::read_to_string(here.join("old")).unwrap(), "the valve opens at noon");
}

#[test]
fn keys_that_stay_in_their_element_sign_and_open() {
    let here = folder(&[("report", "all is well"), ("secret", "a passphrase of some length")]);
    let here = here.path();
    let at = format!("software:{0}/store?passphrase=file:{0}/secret", here.display());
    let element = |line: &str| touchstone(here, &format!("element --element {at} {line}"));
    element("keys create signing --use sign --algorithm p-384").expect(0);
    element("keys create opening --use agree --algorithm p-256").expect(0);
    for name in ["signing", "opening"] {
        let pem = element(&format!("keys show {name}")).expect(0).out;
        support::certify(here, name, &pem);
    }
    let by = format!("--signer signing.pem=element:software/signing --element {at}");
    touchstone(here, &format!("cms sign report {by} --out report.p7m")).expect(0);
    touchstone(here, "cms verify report.p7m --trust ca.pem").expect(0);
    touchstone(here, "cms encrypt report --to opening.pem --out report.p7e").expect(0);
    let key = format!("--cert opening.pem --key element:software/opening --element {at}");
    touchstone(here, &format!("cms decrypt report.p7e {key} --out seen")).expect(0);
    assert_eq!(std::fs::read_to_string(here.join("seen")).unwrap(), "all is well");
}
