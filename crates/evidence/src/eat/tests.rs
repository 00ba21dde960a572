use super::*;
use crate::cmw::{Collection, Indicator, Record};
use alloc::borrow::ToOwned;
use base64ct::{Base64UrlUnpadded, Encoding};
use proptest::prelude::*;
use touchstone_crypto::{HashAlgorithm, SignatureAlgorithm};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

fn full() -> Eat {
    let tpm = Eat { swname: Some("tpm".into()), bootcount: Some(3), ..Eat::default() };
    let digest = AwsLc.hash(HashAlgorithm::Sha384, &[b"elsewhere"]);
    Eat {
        issued_at: Some(1_800_000_000),
        expires: Some(1_800_000_060),
        nonces: vec![vec![7; 32], vec![8; 8]],
        ueid: Some([&[1][..], &[9; 16]].concat()),
        oemid: Some(OemId::Ieee([0xAC, 0xDE, 0x48])),
        hwmodel: Some(b"gw-2".to_vec()),
        hwversion: Some(Version { text: "1.3.4".into(), scheme: Some(1) }),
        swname: Some("gateway".into()),
        swversion: Some(Version { text: "7".into(), scheme: None }),
        oemboot: Some(true),
        debug: Some(Debug::DisabledPermanently),
        uptime: Some(99),
        bootcount: Some(12),
        bootseed: Some(vec![5; 32]),
        measurements: vec![Measurement { content_format: 258, octets: b"coswid".to_vec() }],
        results: vec![SystemResult {
            id: "boot".into(),
            results: vec![("uki".into(), Outcome::Success), ("initrd".into(), Outcome::Absent)],
        }],
        profile: Some(Profile::Text("tag:example.com,2026:gateway".into())),
        intended_use: Some(IntendedUse::Registration),
        submods: vec![
            ("tpm".into(), Submodule::Claims(Box::new(tpm))),
            ("radio".into(), Submodule::Cwt(vec![0xD2, 0x84])),
            ("sensor".into(), Submodule::Jwt("a.b.c".into())),
            ("store".into(), Submodule::Detached(digest)),
            ("disk".into(), Submodule::Bundle(vec![0xD9, 0x02, 0x5A, 0x82])),
            ("fan".into(), Submodule::Bundle(br#"[["JWT","a.b.c"],{"x":"e30"}]"#.to_vec())),
        ],
        cmw: Some(wrapper()),
    }
}

fn wrapper() -> Cmw<'static> {
    let record = |value: &'static [u8]| {
        let record = Record::new("application/vnd.example", value).unwrap();
        Cmw::Record(record.indicating(Indicator::EVIDENCE))
    };
    let mut collection = Collection::new("tag:example.com,2026:evidence").unwrap();
    assert!(collection.add("log", record(b"long")) && collection.add("quote", record(b"signed")));
    Cmw::Collection(collection)
}

/// JSON has no order, so neither have submodules there.
fn sorted(mut eat: Eat) -> Eat {
    eat.submods.sort_by(|(left, _), (right, _)| left.cmp(right));
    eat
}

#[test]
fn claims_read_back_in_both_forms() {
    assert_eq!(Eat::from_cbor(&full().to_cbor().unwrap()), Ok(full()));
    let read = Eat::from_json(&full().to_json().unwrap()).unwrap();
    assert_eq!(sorted(read), sorted(full()));
    for oemid in [OemId::Enterprise(76_543), OemId::Random([3; 16])] {
        let eat = Eat { oemid: Some(oemid), ..Eat::default() };
        assert_eq!(Eat::from_cbor(&eat.to_cbor().unwrap()), Ok(eat.clone()));
        assert_eq!(Eat::from_json(&eat.to_json().unwrap()), Ok(eat));
    }
    let oid = Eat { profile: Some(Profile::Oid(vec![0x2A, 3])), ..Eat::default() };
    assert_eq!(Eat::from_cbor(&oid.to_cbor().unwrap()), Ok(oid.clone()));
    assert_eq!(oid.to_json(), Err(Error::Claim("eat_profile")));
}

/// Names and keys as RFC 9711 §7.2 and §10.2 list them.
#[test]
fn claims_have_the_names_and_numbers_of_the_rfc() {
    let json: serde_json::Value = serde_json::from_slice(&full().to_json().unwrap()).unwrap();
    assert_eq!(json["oemid"], "rN5I");
    assert_eq!(json["dbgstat"], "disabled-permanently");
    assert_eq!(json["intuse"], "registration");
    assert_eq!(json["hwversion"], serde_json::json!(["1.3.4", "multipartnumeric"]));
    assert_eq!(json["measres"][0][1][1], serde_json::json!(["initrd", "absent"]));
    assert_eq!(json["submods"]["sensor"], serde_json::json!(["JWT", "a.b.c"]));
    assert_eq!(json["submods"]["store"][1][0], "SHA-384");
    // RFC 9999 §9.1, §4.3.1: key 299; in either form the wrapper is of the form of the token.
    assert_eq!(json["cmw"]["__cmwc_t"], "tag:example.com,2026:evidence");
    assert_eq!(json["cmw"]["log"][0], "application/vnd.example");
    let wrapped = Eat { cmw: Some(wrapper()), ..Eat::default() }.to_cbor().unwrap();
    assert_eq!(wrapped, [&[0xA1, 0x19, 0x01, 0x2B][..], &wrapper().to_cbor()].concat());
    let debug = Eat { debug: Some(Debug::Disabled), ..Eat::default() };
    assert_eq!(debug.to_cbor().unwrap(), [0xA1, 0x19, 0x01, 0x07, 0x01]);
}

/// Payloads in the manner of RFC 9711's appendix A. The UEIDs there are of kind RAND and have an octet less than
/// §4.2.1.1 wants of those who make one; whoever reads them takes them as they are (§4.2.1.2).
#[test]
fn payloads_like_the_figures_of_the_rfc_are_read() {
    // §A.2.1: label 11 is none of today's, and passed over.
    let basic = [
        &[0xA2, 0x0B, 0x46, 0x02, 0x4A, 0x6B, 0x09, 0x78, 0xDE, 0x0A, 0x49][..],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8],
    ];
    let read = Eat::from_cbor(&basic.concat()).unwrap();
    assert_eq!(read, Eat { nonces: vec![(0..9).collect()], ..Eat::default() });

    // §A.1.6: results of a verifier, whose nonce is text and no base64url.
    let results = br#"{"eat_nonce":"jkd8KL-8=Qlzg4","oemboot":true,"dbgstat":"disabled-since-boot","oemid":"iUWt",
        "ueid":"AZj1Ck_2wFhhyIYNE6Y4","swname":"Acme R-IoT-OS","swversion":["3.1.4"],
        "measres":[["Trustus Measurements",[["all","success"]]]]}"#;
    let read = Eat::from_json(results).unwrap();
    assert_eq!(read.check_fresh(b"jkd8KL-8=Qlzg4", 0), Ok(()));
    assert_eq!(read.results[0].results, [("all".to_owned(), Outcome::Success)]);

    // §A.2.2: an attestation block, its TEE's claims elsewhere.
    let (nonce, digest) = (vec![0x94, 0x8F, 0x88, 0x60, 0xD1, 0x3A, 0x46, 0x3E], [0x8D; 32]);
    let ueid = [&[1][..], &[0x98; 15]].concat();
    let read = {
        let detached = Value::Array(vec![Value::from(-16), Value::Bytes(digest.to_vec())]);
        let claims = Value::Map(vec![
            (Value::from(10), Value::Bytes(nonce.clone())),
            (Value::from(256), Value::Bytes(ueid.clone())),
            (Value::from(258), Value::from(64_242)),
            (Value::from(262), Value::Bool(true)),
            (Value::from(263), Value::from(3)),
            (Value::from(260), Value::Array(vec!["3.1".into(), 1.into()])),
            (Value::from(266), Value::Map(vec![("TEE".into(), detached)])),
        ]);
        let mut octets = Vec::new();
        ciborium::into_writer(&claims, &mut octets).unwrap();
        Eat::from_cbor(&octets).unwrap()
    };
    assert_eq!((&read.nonces, &read.ueid), (&vec![nonce], &Some(ueid)));
    assert_eq!(
        (&read.oemid, read.debug),
        (&Some(OemId::Enterprise(64_242)), Some(Debug::DisabledPermanently))
    );
    assert_eq!(read.hwversion, Some(Version { text: "3.1".into(), scheme: Some(1) }));
    let detached = Digest::new(HashAlgorithm::Sha256, &digest).map(Submodule::Detached);
    assert_eq!(read.submodule("TEE"), detached.as_ref());
}

#[test]
fn a_token_is_signed_fresh_and_of_a_known_key() {
    let signer = SoftSigner::generate(SignatureAlgorithm::EcdsaP384Sha384).unwrap();
    let keys = [TokenKey::from_spki(signer.spki_der()).unwrap()];
    let stranger = SoftSigner::generate(SignatureAlgorithm::EcdsaP384Sha384).unwrap();
    let strangers = [TokenKey::from_spki(stranger.spki_der()).unwrap()];
    let (cwt, jwt) = (full().to_cwt(&signer).unwrap(), full().to_jwt(&signer).unwrap());
    let wrapped = [&[0xD8, 0x3D][..], &cwt].concat();
    for token in [&cwt, &wrapped] {
        let eat = Eat::from_cwt(&AwsLc, token, &keys).unwrap();
        assert_eq!(eat.check_fresh(&[8; 8], 1_800_000_059), Ok(()));
        assert_eq!(eat.check_fresh(&[9; 8], 1_800_000_059), Err(Error::NotFresh));
        assert_eq!(eat.check_fresh(&[8; 8], 1_800_000_060), Err(Error::Expired));
    }
    Eat::from_jwt(&AwsLc, &jwt, &keys).unwrap();
    assert_eq!(Eat::dangerous_unverified_cwt(&wrapped), Ok(full()));
    assert_eq!(Eat::dangerous_unverified_jwt(&jwt).map(sorted), Ok(sorted(full())));
    for bad in ["", "a.b", "a.b.c.d", "e30.!.e30"] {
        assert!(matches!(Eat::dangerous_unverified_jwt(bad), Err(Error::Token(_))), "{bad}");
    }
    let unsigned = Error::Token(token::Error::Signature);
    assert_eq!(Eat::from_cwt(&AwsLc, &cwt, &strangers).unwrap_err(), unsigned);
    assert_eq!(Eat::from_jwt(&AwsLc, &jwt, &strangers).unwrap_err(), unsigned);
    for at in (0..cwt.len()).step_by(5) {
        let mut bad = cwt.clone();
        bad[at] ^= 4;
        assert!(Eat::from_cwt(&AwsLc, &bad, &keys).is_err(), "octet {at}");
    }
}

#[test]
fn what_the_rfc_does_not_allow_is_refused_with_the_claim() {
    for (json, claim) in [
        (r#"{"eat_nonce":"AAAA"}"#, "eat_nonce"),
        (r#"{"eat_nonce":[]}"#, "eat_nonce"),
        (r#"{"ueid":"AQAAAAAA"}"#, "ueid"),
        (r#"{"oemid":"AAAA-_8"}"#, "oemid"),
        (r#"{"dbgstat":"off"}"#, "dbgstat"),
        (r#"{"dbgstat":1}"#, "dbgstat"),
        (r#"{"uptime":-1}"#, "uptime"),
        (r#"{"uptime":1.5}"#, "uptime"),
        (r#"{"hwversion":["1","odd"]}"#, "hwversion"),
        (r#"{"measurements":[[70000,"AA"]]}"#, "measurements"),
        (r#"{"measres":[["a",[["b","maybe"]]]]}"#, "measres"),
        (r#"{"submods":{"a":["PEM","AA"]}}"#, "submods"),
        (r#"{"submods":{}}"#, "submods"),
        (r#"{"submods":{"a":["DIGEST",["SHA-256","AA"]]}}"#, "submods"),
        (r#"{"swname":"a","swname":"b"}"#, "claims set"),
        ("[]", "claims set"),
        ("{} {}", "claims set"),
    ] {
        assert_eq!(Eat::from_json(json.as_bytes()), Err(Error::Claim(claim)), "{json}");
    }
    // A wrapper that is none, or that comes twice, also among what a submodule claims.
    for bad in
        [&b"\xA1\x19\x01\x2B\x40"[..], b"\xA1\x19\x01\x2B\xA0", b"\xA1\x19\x01\x2B\x82\x61a\x40"]
    {
        assert_eq!(Eat::from_cbor(bad), Err(Error::Claim("cmw")), "{bad:x?}");
        let inner = [b"\xA1\x19\x01\x0A\xA1\x61a", bad].concat();
        assert_eq!(Eat::from_cbor(&inner), Err(Error::Claim("cmw")), "{inner:x?}");
    }
    let entry = [&[0x19, 0x01, 0x2B][..], &wrapper().to_cbor()].concat();
    assert_eq!(Eat::from_cbor(&[&[0xA2][..], &entry, &entry].concat()), Err(Error::Claim("cmw")));
    assert_eq!(Eat::from_json(br#"{"cmw":["text","AA"]}"#), Err(Error::Claim("cmw")));
    // In a map of indefinite length it is found as well; one that does not end is none.
    let open = [&[0xBF][..], &entry, &[0x19, 1, 7, 1]].concat();
    let whole = [&open[..], &[0xFF]].concat();
    assert_eq!(
        Eat::from_cbor(&whole).map(|eat| (eat.cmw, eat.debug)),
        Ok((Some(wrapper()), Some(Debug::Disabled)))
    );
    assert_eq!(Eat::from_cbor(&open), Err(Error::Claim("claims set")));
    // The same key twice, and octets behind the end.
    assert_eq!(Eat::from_cbor(&[0xA2, 0x19, 1, 7, 1, 0x19, 1, 7, 0]), Err(Error::Claim("dbgstat")));
    assert_eq!(Eat::from_cbor(&[0xA0, 0]), Err(Error::Claim("claims set")));
    let deep =
        (0..=MAX_DEPTH).fold("{}".to_owned(), |deep, _| format!(r#"{{"submods":{{"a":{deep}}}}}"#));
    assert_eq!(Eat::from_json(deep.as_bytes()), Err(Error::TooLarge));
    // What is not known is passed over.
    assert_eq!(Eat::from_json(br#"{"x":{"y":[1]}}"#), Ok(Eat::default()));
}

/// A token with the digests of two claims sets, and the sets.
fn bundle(signer: &dyn Signer, is_json: bool) -> Bundle {
    let sets = ["audio", "graphics"].map(|name| {
        let eat = Eat { swname: Some(name.into()), bootcount: Some(7), ..Eat::default() };
        (name.to_owned(), if is_json { eat.to_json() } else { eat.to_cbor() }.unwrap())
    });
    let digest = |set: &[u8]| AwsLc.hash(HashAlgorithm::Sha256, &[set]);
    let mut submods: Vec<_> =
        sets.iter().map(|(name, set)| (name.clone(), Submodule::Detached(digest(set)))).collect();
    submods.push(("later".into(), Submodule::Detached(digest(b"elsewhere"))));
    let eat = Eat { nonces: vec![vec![7; 32]], submods, ..Eat::default() };
    // The token's form is its own affair.
    let token = if is_json {
        Main::Cwt(eat.to_cwt(signer).unwrap())
    } else {
        Main::Jwt(eat.to_jwt(signer).unwrap())
    };
    Bundle { token, detached: sets.to_vec(), is_json }
}

#[test]
fn claims_of_a_bundle_count_as_far_as_the_token_has_their_digests() {
    let signer = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let keys = [TokenKey::from_spki(signer.spki_der()).unwrap()];
    let stranger = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let strangers = [TokenKey::from_spki(stranger.spki_der()).unwrap()];
    for is_json in [false, true] {
        let made = bundle(&signer, is_json);
        let octets = made.encode().unwrap();
        assert!(Bundle::is_one(&octets));
        let read = Bundle::decode(&octets).unwrap();
        assert_eq!(read, made);
        let eat = read.verify(&AwsLc, &keys).unwrap();
        let Some(Submodule::Claims(audio)) = eat.submodule("audio") else { panic!("claims") };
        assert_eq!((audio.swname.as_deref(), audio.bootcount), (Some("audio"), Some(7)));
        assert!(matches!(eat.submodule("later"), Some(Submodule::Detached(_))), "still elsewhere");
        let unsigned = Error::Token(token::Error::Signature);
        assert_eq!(read.verify(&AwsLc, &strangers).unwrap_err(), unsigned);
        assert_eq!(read.dangerous_unverified(&AwsLc).as_ref(), Ok(&*eat));

        let refused = |change: &dyn Fn(&mut Bundle)| {
            let mut bad = made.clone();
            change(&mut bad);
            bad.verify(&AwsLc, &keys).unwrap_err()
        };
        assert_eq!(refused(&|bad| bad.detached[1].1[3] ^= 1), Error::Detached);
        assert_eq!(refused(&|bad| bad.detached[0].0 = "later".into()), Error::Detached);
        assert_eq!(refused(&|bad| bad.detached[0].0 = "nobody's".into()), Error::Detached);
        let moved = |bad: &mut Bundle| {
            let first = core::mem::take(&mut bad.detached[0].1);
            bad.detached[1].1 = first;
        };
        assert_eq!(refused(&moved), Error::Detached);
        for at in 0..octets.len() {
            let mut bad = octets.clone();
            bad[at] ^= 1;
            if let Ok(read) = Bundle::decode(&bad)
                && let Ok(whole) = read.verify(&AwsLc, &keys)
            {
                // Octets that say nothing: white space between tokens of JSON.
                assert_eq!(*whole, *eat, "octet {at}");
            }
            assert!(Bundle::decode(&octets[..at]).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn a_bundle_is_of_one_token_and_of_claims_that_are_there_once() {
    for bad in [
        &b"\xD9\x02\x5A\x82\x41\xD2\xA0"[..],
        b"\xD9\x02\x5A\x82\x41\xD2\xA2\x61a\x40\x61a\x40",
        b"\xD9\x02\x5A\x82\x41\xD2\xA1\x60\x40",
        b"\xD9\x02\x5A\x82\x41\xD2\xA1\x61a\x40\x00",
        b"\xD9\x02\x5A\x83\x41\xD2\xA1\x61a\x40\x00",
        b"\xD9\x02\x5A\x82\x00\xA1\x61a\x40",
        br#"[["JWT","a.b.c"],{}]"#,
        br#"[["JWT","a.b.c"],{"a":"e30","a":"e30"}]"#,
        br#"[["JWT","a.b.c"],{"a":"!"}]"#,
        br#"[["JWT","a.b.c"]]"#,
    ] {
        assert_eq!(Bundle::decode(bad), Err(Error::Claim("bundle")), "{bad:x?}");
    }
    let digest = br#"[["DIGEST",["SHA-256","AA"]],{"a":"e30"}]"#;
    assert_eq!(Bundle::decode(digest), Err(Error::Claim("submods")));
    // A bundle in a bundle.
    for nested in [
        &b"\xD9\x02\x5A\x82\x43\xD9\x02\x5A\xA1\x61a\x40"[..],
        br#"[["BUNDLE",[["JWT","a.b.c"],{"a":"e30"}]],{"a":"e30"}]"#,
    ] {
        assert_eq!(Bundle::decode(nested), Err(Error::Nested), "{nested:x?}");
    }
    let many: Vec<String> = (0..65).map(|at| format!(r#""{at}":"e30""#)).collect();
    let many = format!(r#"[["JWT","a.b.c"],{{{}}}]"#, many.join(","));
    assert_eq!(Bundle::decode(many.as_bytes()), Err(Error::TooLarge));
}

/// RFC 9711 §4.2.18: a text string in CBOR is a selector of JSON, and never a digest.
#[test]
fn json_in_a_token_of_cbor_says_what_it_is() {
    let submods = |text: &str| {
        let inner = Value::Map(vec![("a".into(), text.into())]);
        let claims = Value::Map(vec![(Value::from(266), inner)]);
        let mut octets = Vec::new();
        ciborium::into_writer(&claims, &mut octets).unwrap();
        Eat::from_cbor(&octets).map(|eat| eat.submods[0].1.clone())
    };
    assert_eq!(submods(r#"["JWT","a.b.c"]"#), Ok(Submodule::Jwt("a.b.c".into())));
    assert_eq!(submods(r#"["CBOR","0oQ"]"#), Ok(Submodule::Cwt(vec![0xD2, 0x84])));
    for bad in ["a.b.c", r#"["DIGEST",[-16,"AA"]]"#, r#"["PEM","AA"]"#, r#"["JWT",1]"#, "[]"] {
        assert_eq!(submods(bad), Err(Error::Claim("submods")), "{bad}");
    }
    // §4.2.18.2: the hash by its name or its number.
    let digest = AwsLc.hash(HashAlgorithm::Sha256, &[b"x"]);
    let text = Base64UrlUnpadded::encode_string(digest.as_bytes());
    for hash in ["-16", "\"SHA-256\""] {
        let json = format!(r#"{{"submods":{{"a":["DIGEST",[{hash},"{text}"]]}}}}"#);
        let eat = Eat::from_json(json.as_bytes()).unwrap();
        assert_eq!(eat.submodule("a"), Some(&Submodule::Detached(digest)));
    }
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// The CBOR bundle of RFC 9711's appendix A. Who has the key of its token is told nowhere.
#[test]
fn the_bundle_of_the_rfc_has_the_claims_that_its_token_has_the_digest_of() {
    let token = "D83DD28443A10126A05866A70A4C351574496125
        4B41A6CF9C02190100500198F50A4FF6C05861C8 860D13A638EA19010219FAF2190106F519010703
        1901048263332E310119010AA163544545822F58 20AB86F765643AABFD09C84EEBE150B7F61BC248
        04CEE75E90C5F99CB850FE808F58408469C5F3AC 750981BABE6525ED750F38B4A9EE6656A7E70815
        B34D0B1014E7143CEDAF81F8198EF978BCC35581 C675A1D4116FDFBC1D1D1258612B255F4692A4";
    let tee = "a40a5048df7b172d70b5a18935d0460a73dd7119 0106f51901070219011081821901025858a60064
        336132340c01016b41636d6520544545204f530d 65332e312e340282a2181f6b41636d6520544545
        204f53182101a2181f6b41636d6520544545204f 5318210206a111a118186e61636d655f7465655f
        332e657865";
    let detached = vec![("TEE".to_owned(), octets(tee))];
    let read = Bundle { token: Main::Cwt(octets(token)), detached, is_json: false };
    assert_eq!(Bundle::decode(&read.encode().unwrap()).as_ref(), Ok(&read));
    let eat = read.dangerous_unverified(&AwsLc).unwrap();
    assert_eq!(eat.hwversion, Some(Version { text: "3.1".into(), scheme: Some(1) }));
    let Some(Submodule::Claims(tee)) = eat.submodule("TEE") else { panic!("claims") };
    assert_eq!((tee.oemboot, tee.debug), (Some(true), Some(Debug::DisabledSinceBoot)));
    let mut bad = read;
    bad.detached[0].1[8] ^= 1;
    assert_eq!(bad.dangerous_unverified(&AwsLc), Err(Error::Detached));
}

/// What is taken apart takes many times its octets, so that there may not be much of it.
#[test]
fn what_would_take_much_memory_is_refused_before_it_does() {
    let many = vec![0; 2 << 20];
    let len = u32::try_from(many.len()).unwrap().to_be_bytes();
    let list = [&[0xA1, 0x18, 0x63, 0x9A][..], &len, &many].concat();
    assert_eq!(Eat::from_cbor(&list), Err(Error::TooLarge));
    let list = format!(r#"{{"x":[{}0]}}"#, "0,".repeat(70_000));
    assert_eq!(Eat::from_json(list.as_bytes()), Err(Error::Claim("claims set")));
    // Unprotected headers: nobody signed them.
    let token =
        [&[0xD2, 0x84, 0x40, 0xA1, 0x18, 0x63, 0x9A][..], &len, &many, &[0x40, 0x40]].concat();
    let large = Err(Error::Token(token::Error::TooLarge));
    assert_eq!(Eat::dangerous_unverified_cwt(&token), large);
    assert_eq!(Eat::dangerous_unverified_cwt(&vec![0xD2; MAX_EAT + 1]), large);
}

proptest! {
    #[test]
    fn damaged_claims_never_panic_and_read_back(
        at in any::<prop::sample::Index>(),
        value in 1u8..,
    ) {
        let mut octets = full().to_cbor().unwrap();
        let at = at.index(octets.len());
        octets[at] ^= value;
        if let Ok(eat) = Eat::from_cbor(&octets) {
            let again = eat.to_cbor().unwrap();
            prop_assert_eq!(Eat::from_cbor(&again), Ok(eat));
        }
    }
}
