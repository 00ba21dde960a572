//! Evidence and attestation results in files: read, believed or not, and shown.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;

use serde_json::{Value, json};
use std::path::Path;
use support::{folder, now, run};
use tempfile::TempDir;
use touchstone_appraise::ear::{Ear, to_cwt, to_jwt};
use touchstone_appraise::{Tier, TrustVector, VerifierId};
use touchstone_crypto::{Crypto, HashAlgorithm, SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::cmw::{Cmw, Collection, Indicator, Record};
use touchstone_evidence::eat::{Bundle, Debug, Eat, Main, Profile, Submodule};

const EVIDENCE: &str = "touchstone.evidence.show/1";
const EAR: &str = "touchstone.ear.show/1";

/// A folder with `key.pem` of the signer, and `other.pem` of somebody else.
fn signed() -> (TempDir, SoftSigner) {
    let signer = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let other = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let pem = |key: &SoftSigner| {
        pem_rfc7468::encode_string("PUBLIC KEY", pem_rfc7468::LineEnding::LF, key.spki_der())
    };
    let files = [("key.pem", &*pem(&signer).unwrap()), ("other.pem", &*pem(&other).unwrap())];
    (folder(&files), signer)
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), content).unwrap();
}

fn eat() -> Eat {
    let tee = Eat { swname: Some("tee".into()), bootcount: Some(3), ..Eat::default() };
    Eat {
        issued_at: Some(now()),
        expires: Some(now() + 600),
        nonces: vec![vec![0x48; 16]],
        oemboot: Some(true),
        debug: Some(Debug::DisabledSinceBoot),
        profile: Some(Profile::Oid(vec![0x2A, 3])),
        submods: vec![
            ("tee".into(), Submodule::Claims(Box::new(tee))),
            ("radio".into(), Submodule::Cwt(vec![0xD2, 0x84])),
        ],
        ..Eat::default()
    }
}

#[test]
fn a_token_is_shown_in_both_forms_and_believed_by_its_key_alone() {
    let (folder, signer) = signed();
    let at = folder.path();
    let in_json = Eat { profile: Some(Profile::Text("2.999.1".into())), ..eat() };
    write(at, "eat.cwt", eat().to_cwt(&signer).unwrap());
    write(at, "eat.jwt", format!("{}\n", in_json.to_jwt(&signer).unwrap()));
    let nonce = "48".repeat(16);
    for (file, form, profile) in [("eat.cwt", "CWT", "2a03"), ("eat.jwt", "JWT", "2.999.1")] {
        let arguments = ["--json", "evidence", "show", file, "--key", "key.pem", "--nonce", &nonce];
        let shown = run(at, &arguments).expect(0).json(EVIDENCE);
        assert_eq!((&shown["form"], &shown["verified"]), (&json!(form), &json!(true)));
        let claims = &shown["claims"];
        assert_eq!(claims["dbgstat"], "disabled-since-boot");
        assert_eq!(claims["eat_profile"], profile);
        assert_eq!(claims["submods"]["tee"]["bootcount"], 3);
        assert_eq!(claims["submods"]["radio"][0], "CBOR");
        let text = run(at, &["evidence", "show", file, "--key", "key.pem"]).expect(0);
        assert!(text.out.contains(&format!("nonce        {nonce}")), "{}", text.out);
        assert!(text.out.contains("submodule    tee: claims\n  bootcount    3\n"), "{}", text.out);
        assert_eq!(text.err, "");

        // Without a key it is what it says, and told so.
        let unverified = run(at, &["--json", "evidence", "show", file]).expect(0);
        assert_eq!(unverified.json(EVIDENCE)["verified"], false);
        assert!(unverified.err.contains("not verified"), "{}", unverified.err);

        let other = ["--json", "evidence", "show", file, "--key", "other.pem"];
        let refused = run(at, &other).expect(1).json(EVIDENCE);
        assert_eq!(refused["code"], "evidence.token.signature");
        assert_eq!(refused["claims"], Value::Null, "nothing of it is shown");
        let stale = ["evidence", "show", file, "--key", "key.pem", "--nonce", "00"];
        assert!(run(at, &stale).expect(1).err.contains("does not carry that nonce"));
    }
    let old = Eat { expires: Some(now() - 1), ..eat() };
    write(at, "old.cwt", old.to_cwt(&signer).unwrap());
    let ran = run(at, &["evidence", "show", "old.cwt", "--key", "key.pem"]).expect(1);
    assert!(ran.err.contains("ask for a new one"), "{}", ran.err);
}

#[test]
fn a_wrapper_is_taken_apart_and_tokens_in_it_are_read() {
    let (folder, signer) = signed();
    let at = folder.path();
    let inner = |value: Vec<u8>, kind: &'static str| {
        let record = Record::new(kind, value).unwrap();
        Cmw::Record(Record { indicator: Some(Indicator::EVIDENCE), ..record })
    };
    let mut collection = Collection::new("tag:example.com,2026:evidence").unwrap();
    let token = eat().to_cwt(&signer).unwrap();
    assert!(collection.add("token", inner(token, "application/eat+cwt")));
    assert!(collection.add("note", inner(b"hello".to_vec(), "text/plain")));
    let wrapper = Cmw::Collection(collection);
    write(at, "evidence.cmw", wrapper.to_cbor());
    write(at, "evidence.json", wrapper.to_json().unwrap());
    for file in ["evidence.cmw", "evidence.json"] {
        let ran = run(at, &["--json", "evidence", "show", file]).expect(0);
        assert!(ran.err.contains("not verified"), "{}", ran.err);
        let shown = ran.json(EVIDENCE);
        assert_eq!(shown["collection"], "tag:example.com,2026:evidence");
        let parts = shown["parts"].as_array().unwrap();
        assert_eq!((parts.len(), &parts[0]["label"]), (2, &json!("token")));
        assert_eq!(parts[0]["claims"]["oemboot"], true);
        assert_eq!((&parts[1]["octets"], &parts[1]["indicator"]), (&json!(5), &json!(4)));
        let text = run(at, &["evidence", "show", file]).expect(0);
        assert!(text.out.contains("part         note text/plain, 5 octets"), "{}", text.out);
    }
    // No key signed a wrapper.
    let keyed = run(at, &["evidence", "show", "evidence.cmw", "--key", "key.pem"]).expect(2);
    assert!(keyed.err.contains("leave out --key"), "{}", keyed.err);
}

#[test]
fn a_bundle_is_shown_with_its_detached_claims_if_the_token_has_their_digests() {
    let (folder, signer) = signed();
    let at = folder.path();
    let set = Eat { swname: Some("audio".into()), ..Eat::default() };
    for (file, is_json, form) in
        [("a.bundle", false, "CBOR bundle"), ("b.bundle", true, "JSON bundle")]
    {
        let octets = if is_json { set.to_json() } else { set.to_cbor() }.unwrap();
        let digest = AwsLc.hash(HashAlgorithm::Sha256, &[&octets]);
        let submods = vec![("audio".to_owned(), Submodule::Detached(digest))];
        let token = Main::Cwt(Eat { submods, ..eat() }.to_cwt(&signer).unwrap());
        let mut bundle = Bundle { token, detached: vec![("audio".to_owned(), octets)], is_json };
        write(at, file, bundle.encode().unwrap());
        let ran = run(at, &["--json", "evidence", "show", file, "--key", "key.pem"]).expect(0);
        let shown = ran.json(EVIDENCE);
        assert_eq!((&shown["form"], &shown["verified"]), (&json!(form), &json!(true)));
        assert_eq!(shown["claims"]["submods"]["audio"]["swname"], "audio");
        assert!(run(at, &["evidence", "show", file]).expect(0).err.contains("not verified"));
        let other = run(at, &["--json", "evidence", "show", file, "--key", "other.pem"]).expect(1);
        assert_eq!(other.json(EVIDENCE)["code"], "evidence.token.signature");

        bundle.detached[0].1[5] ^= 1;
        write(at, "changed", bundle.encode().unwrap());
        for key in [&["--key", "key.pem"][..], &[]] {
            let shown = [&["--json", "evidence", "show", "changed"], key].concat();
            assert_eq!(run(at, &shown).expect(1).json(EVIDENCE)["code"], "evidence.eat.detached");
        }
    }
    write(at, "cut", [0xD9, 0x02, 0x5A, 0x82]);
    assert!(run(at, &["evidence", "show", "cut"]).expect(3).err.contains("evidence.eat.claim"));
}

#[test]
fn what_is_neither_is_told_with_its_code_and_the_next_step() {
    let (folder, signer) = signed();
    let at = folder.path();
    write(at, "noise", [0xFF; 64]);
    let ran = run(at, &["evidence", "show", "noise"]).expect(3);
    assert!(
        ran.err.contains("(evidence.malformed)") && ran.err.contains("give a CWT"),
        "{}",
        ran.err
    );
    write(at, "cut.cwt", &eat().to_cwt(&signer).unwrap()[..40]);
    assert!(
        run(at, &["evidence", "show", "cut.cwt"])
            .expect(3)
            .err
            .contains("evidence.token.malformed")
    );
    write(at, "bad.jwt", "e30.eyJvZW1ib290Ijo3fQ.AA");
    assert!(run(at, &["evidence", "show", "bad.jwt"]).expect(3).err.contains("evidence.eat.claim"));
    let ran = run(at, &["evidence", "show", "noise", "--nonce", "4"]).expect(2);
    assert!(ran.err.contains("two digits for each octet"), "{}", ran.err);
    let ran = run(at, &["ear", "show", "noise", "--key", "key.pem"]).expect(3);
    assert!(ran.err.contains("touchstone.token.form"), "{}", ran.err);
    write(at, "private.pem", signer.to_pkcs8_pem().as_bytes());
    let ran = run(at, &["ear", "show", "bad.jwt", "--key", "private.pem"]).expect(3);
    assert!(ran.err.contains("touchstone.token.key") && !ran.err.contains("BEGIN"), "{}", ran.err);
}

fn result(lifetime: u64, age: u64) -> Ear {
    Ear {
        issued_at: now() - age,
        expires: now() - age + lifetime,
        verifier: VerifierId::this(),
        nonce: Some(vec![7; 8]),
        confirmation: None,
        device: "gateway-7".into(),
        tenant: "acme".into(),
        evidence_at: Some(now() - age),
        status: Tier::Warning,
        vector: TrustVector::default(),
        policy_id: "gateway/1".into(),
        controls: Vec::new(),
        not_evaluated: Vec::new(),
        held: None,
    }
}

#[test]
fn a_result_is_shown_in_both_forms_if_its_verifier_signed_it() {
    let (folder, signer) = signed();
    let at = folder.path();
    let ear = result(600, 2);
    write(at, "ear.cwt", to_cwt(&ear, &signer).unwrap());
    write(at, "ear.jwt", to_jwt(&ear, &signer).unwrap());
    let nonce = "07".repeat(8);
    for (file, form) in [("ear.cwt", "CWT"), ("ear.jwt", "JWT")] {
        let arguments = ["--json", "ear", "show", file, "--key", "key.pem", "--nonce", &nonce];
        let shown = run(at, &arguments).expect(0).json(EAR);
        assert_eq!((&shown["form"], &shown["device"]), (&json!(form), &json!("gateway-7")));
        assert_eq!((&shown["tier"], &shown["tenant"]), (&json!("warning"), &json!("acme")));
        assert_eq!(shown["nonce"], nonce.as_str());
        assert!(shown["claims"]["submods"]["gateway-7"].is_object(), "{shown}");
        let text = run(at, &["ear", "show", file, "--key", "key.pem"]).expect(0);
        assert!(text.out.starts_with("device       gateway-7\n"), "{}", text.out);

        let other = ["--json", "ear", "show", file, "--key", "other.pem"];
        let refused = run(at, &other).expect(1).json(EAR);
        assert_eq!((&refused["code"], &refused["tier"]), (&json!("ear.signature"), &Value::Null));
        let another = ["ear", "show", file, "--key", "key.pem", "--nonce", "0707"];
        assert!(run(at, &another).expect(1).err.contains("another nonce"));
    }
    write(at, "old.jwt", to_jwt(&result(60, 61), &signer).unwrap());
    let ran = run(at, &["ear", "show", "old.jwt", "--key", "key.pem"]).expect(1);
    assert!(ran.err.contains("does not count now"), "{}", ran.err);
    // An entity attestation token is no result.
    write(at, "eat.cwt", eat().to_cwt(&signer).unwrap());
    let ran = run(at, &["ear", "show", "eat.cwt", "--key", "key.pem"]).expect(3);
    assert!(ran.err.contains("(ear."), "{}", ran.err);
}
