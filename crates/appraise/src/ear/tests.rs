use super::*;
use crate::appraisal::{EventRef, LogName};
use alloc::string::ToString;
use base64ct::{Base64UrlUnpadded, Encoding};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_policy::Status;
use touchstone_policy::ar4si::Dimension;

fn ear(device_key: &SoftSigner) -> Ear {
    let mut vector = TrustVector::default();
    vector.set(Dimension::InstanceIdentity, 2);
    vector.set(Dimension::Executables, 96);
    Ear {
        issued_at: 1_800_000_000,
        expires: 1_800_000_060,
        verifier: VerifierId::this(),
        nonce: Some(vec![0xA5; 32]),
        confirmation: Some(Confirmation::of(&AwsLc, device_key.spki_der()).unwrap()),
        device: "device-1".into(),
        tenant: "acme".into(),
        evidence_at: Some(1_799_999_998),
        status: Tier::Contraindicated,
        vector,
        policy_id: "gateway/1".into(),
        not_evaluated: Vec::new(),
        held: None,
        controls: vec![ControlResult {
            name: "boot-images".into(),
            status: Status::Unknown,
            dimension: "executables".into(),
            value: 96,
            reason: "event 23 (PCR 4): image is not known".into(),
            events: vec![
                EventRef { log: LogName::EventLog, index: 23 },
                EventRef { log: LogName::Ima, index: 0 },
            ],
            severity: "critical".into(),
            countermeasures: vec!["alert".into(), "quarantine".into()],
            exception: Some("pump-7".into()),
        }],
    }
}

fn signer(algorithm: SignatureAlgorithm) -> (SoftSigner, [VerifierKey; 1]) {
    let signer = SoftSigner::generate(algorithm).unwrap();
    let key = VerifierKey::from_spki(signer.spki_der()).unwrap();
    (signer, [key])
}

fn p256() -> (SoftSigner, [VerifierKey; 1]) {
    signer(SignatureAlgorithm::EcdsaP256Sha256)
}

/// What is left of a result after a token that carries only one of the two thumbprints.
fn without(mut ear: Ear, jkt: bool) -> Ear {
    let confirmation = ear.confirmation.as_mut().unwrap();
    if jkt {
        confirmation.jkt = None;
    } else {
        confirmation.ckt = None;
    }
    ear
}

#[test]
fn a_result_reads_back_from_jwt_and_cwt() {
    let (device, _) = p256();
    for algorithm in [SignatureAlgorithm::EcdsaP256Sha256, SignatureAlgorithm::EcdsaP384Sha384] {
        let (signer, keys) = signer(algorithm);
        let jwt = to_jwt(&ear(&device), &signer).unwrap();
        let read = verify_jwt(&AwsLc, &jwt, &keys).unwrap();
        assert_eq!(*read, without(ear(&device), false));
        assert!(read.confirmation.as_ref().unwrap().matches(&AwsLc, device.spki_der()));

        let cwt = to_cwt(&ear(&device), &signer).unwrap();
        let read = verify_cwt(&AwsLc, &cwt, &keys).unwrap();
        assert_eq!(*read, without(ear(&device), true));
        assert!(read.confirmation.as_ref().unwrap().matches(&AwsLc, device.spki_der()));
        assert!(!read.confirmation.as_ref().unwrap().matches(&AwsLc, signer.spki_der()));
    }
}

#[test]
fn the_claims_are_named_as_in_the_draft() {
    let (device, _) = p256();
    let (signer, _) = p256();
    let jwt = to_jwt(&ear(&device), &signer).unwrap();
    let parts: Vec<&str> = jwt.split('.').collect();
    let json = |part| -> serde_json::Value {
        serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).unwrap()).unwrap()
    };
    assert_eq!(json(parts[0]), serde_json::json!({"alg": "ES256", "typ": "JWT"}));
    let claims = json(parts[1]);
    assert_eq!(claims["eat_profile"], "tag:ietf.org,2026:rats/ear#04");
    assert_eq!(claims["iat"], 1_800_000_000);
    assert!(claims["ear_verifier_id"]["developer"].is_string());
    assert!(claims["cnf"]["jkt"].is_string());
    let submodule = &claims["submods"]["device-1"];
    assert_eq!(submodule["ear_status"], "contraindicated");
    assert_eq!(submodule["ear_trustworthiness_vector"]["executables"], 96);
    assert_eq!(submodule["ear_trustworthiness_vector"]["instance-identity"], 2);
    assert_eq!(submodule["ear_appraisal_policy_ids"][0], "gateway/1");
    let reason = "event 23 (PCR 4): image is not known";
    assert_eq!(submodule["touchstone.controls"][0]["reason"], reason);
}

/// RFC 8392 §4, RFC 9711 §10.2 and draft-ietf-rats-ear-04 §3.
#[test]
fn the_claims_of_a_cwt_are_numbered_as_in_the_draft() {
    use ciborium::Value;
    let at = |map: &Value, key: Value| {
        let map = map.as_map().unwrap();
        map.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
    };
    let (device, _) = p256();
    let claims = ciborium::from_reader(&to_cbor(&ear(&device)).unwrap()[..]).unwrap();
    let told = |key: i32| at(&claims, Value::from(key)).unwrap();
    assert_eq!(told(4), Value::from(1_800_000_060));
    assert_eq!(told(6), Value::from(1_800_000_000));
    assert_eq!(told(10), Value::Bytes(vec![0xA5; 32]));
    assert_eq!(told(265), Value::from("tag:ietf.org,2026:rats/ear#04"));
    assert!(at(&told(1004), Value::from(0)).unwrap().is_text(), "the verifier's developer");
    let submodule = at(&told(266), Value::from("device-1")).unwrap();
    let told = |key: i32| at(&submodule, Value::from(key)).unwrap();
    assert_eq!(told(1000), Value::from(96), "contraindicated");
    let trust = |key: i32| at(&told(1001), Value::from(key)).unwrap();
    assert_eq!(trust(0), Value::from(2), "instance identity");
    assert_eq!(trust(2), Value::from(96), "executables");
    assert_eq!(told(1003), Value::Array(vec![Value::from("gateway/1")]));
}

/// A verifier of another maker says only what the draft asks for.
#[test]
fn a_cwt_of_another_verifier_is_read() {
    use ciborium::Value;
    let (signer, keys) = p256();
    let n = Value::from;
    let submodule = vec![(n(1000), n(2)), (n(1001), Value::Map(vec![(n(2), n(2))]))];
    for (number, profile) in
        [("-03", "tag:ietf.org,2026:rats/ear#03"), ("-02", "tag:github.com,2023:veraison/ear")]
    {
        let verifier = vec![(n(0), Value::from("Example")), (n(1), Value::from("9"))];
        let claims = Value::Map(vec![
            (n(6), n(1_800_000_000)),
            (n(265), Value::from(profile)),
            (n(266), Value::Map(vec![(Value::from("pump"), Value::Map(submodule.clone()))])),
            (n(1004), Value::Map(verifier)),
        ]);
        let mut payload = Vec::new();
        ciborium::into_writer(&claims, &mut payload).unwrap();
        let token = touchstone_evidence::token::cose::sign(payload, &signer).unwrap();
        let read = verify_cwt(&AwsLc, &token, &keys).unwrap();
        assert_eq!((read.device.as_str(), read.status), ("pump", Tier::Affirming), "{number}");
        assert_eq!(read.verifier.developer, "Example");
    }
}

fn signed(claims: &serde_json::Value, signer: &SoftSigner) -> String {
    let b64 = Base64UrlUnpadded::encode_string;
    let input = format!("{}.{}", b64(br#"{"alg":"ES256"}"#), b64(claims.to_string().as_bytes()));
    let der = signer.sign(input.as_bytes()).unwrap();
    let fixed = touchstone_crypto::ecdsa::der_to_fixed(&der, 32).unwrap();
    format!("{input}.{}", b64(&fixed))
}

/// As verifiers of drafts -02 and -03 write them: other names, a number for the tier, one policy,
/// nothing of ours.
#[test]
fn results_of_earlier_drafts_are_read_by_either_spelling() {
    use serde_json::json;
    let (signer, keys) = p256();
    let verifier = json!({ "developer": "Acme", "build": "1" });
    let earlier = |status: serde_json::Value| {
        json!({
            "eat_profile": "tag:github.com,2023:veraison/ear", "iat": 7, "ear.verifier-id": verifier,
            "submods": { "tpm": {
                "ear.status": status, "ear.appraisal-policy-id": "acme/1",
                "ear.trustworthiness-vector": { "instance-identity": 2, "executables": 96 },
                "ear.veraison.annotated-evidence": {},
            } },
        })
    };
    let later = json!({
        "eat_profile": "tag:ietf.org,2026:rats/ear#03", "iat": 7, "ear_verifier_id": verifier,
        "submods": { "tpm": {
            "ear_status": "contraindicated", "ear_appraisal_policy_id": "acme/1",
            "ear_trustworthiness_vector": { "instance_identity": 2, "executables": 96 },
        } },
    });
    for claims in [earlier(json!("contraindicated")), earlier(json!(96)), later] {
        let read = verify_jwt(&AwsLc, &signed(&claims, &signer), &keys).unwrap();
        assert_eq!((read.status, read.policy_id.as_str()), (Tier::Contraindicated, "acme/1"));
        assert_eq!(read.vector.value(Dimension::InstanceIdentity), 2);
        // Nothing says when the evidence was made, nor how long the result counts: not at all.
        assert_eq!((read.expires, read.evidence_at), (7, None));
    }
    let mut both = earlier(json!(2));
    both["submods"]["tpm"]["ear_status"] = json!("affirming");
    let refused = verify_jwt(&AwsLc, &signed(&both, &signer), &keys);
    assert_eq!(refused.unwrap_err(), Error::Malformed("claims"));
    let mut other = earlier(json!(2));
    other["eat_profile"] = json!("tag:example.com,2026:ear");
    assert_eq!(verify_jwt(&AwsLc, &signed(&other, &signer), &keys).unwrap_err(), Error::Profile);
}

#[test]
fn every_flipped_bit_spoils_the_token() {
    let (signer, keys) = p256();
    let (device, _) = p256();
    let cwt = to_cwt(&ear(&device), &signer).unwrap();
    let jwt = to_jwt(&ear(&device), &signer).unwrap();
    for at in (0..cwt.len()).step_by(3) {
        let mut bad = cwt.clone();
        bad[at] ^= 0x10;
        assert!(verify_cwt(&AwsLc, &bad, &keys).is_err(), "octet {at}");
    }
    for at in (0..jwt.len()).step_by(3) {
        let mut bad = jwt.clone().into_bytes();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        let bad = String::from_utf8(bad).unwrap();
        // The last digit of an unpadded part may hold bits that are not decoded.
        if let Ok(read) = verify_jwt(&AwsLc, &bad, &keys) {
            panic!("octet {at}: {read:?}");
        }
    }
}

#[test]
fn another_verifiers_token_is_refused() {
    let (signer, keys) = p256();
    let (stranger, stranger_keys) = p256();
    let jwt = to_jwt(&ear(&signer), &stranger).unwrap();
    assert_eq!(verify_jwt(&AwsLc, &jwt, &keys), Err(Error::Signature));
    assert_eq!(verify_jwt(&AwsLc, &jwt, &[]), Err(Error::Signature));
    let both = [keys[0].clone(), stranger_keys[0].clone()];
    assert!(verify_jwt(&AwsLc, &jwt, &both).is_ok());
}

#[test]
fn the_key_decides_on_the_algorithm() {
    let (signer, keys) = p256();
    let jwt = to_jwt(&ear(&signer), &signer).unwrap();
    let (_, rest) = jwt.split_once('.').unwrap();
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"ES384"}"#] {
        let forged = format!("{}.{rest}", Base64UrlUnpadded::encode_string(header.as_bytes()));
        assert_eq!(verify_jwt(&AwsLc, &forged, &keys), Err(Error::Algorithm), "{header}");
    }
    let critical = r#"{"alg":"ES256","crit":["b64"],"b64":false}"#;
    let forged = format!("{}.{rest}", Base64UrlUnpadded::encode_string(critical.as_bytes()));
    assert_eq!(verify_jwt(&AwsLc, &forged, &keys), Err(Error::Malformed("header")));
    let ed25519 = SoftSigner::generate(SignatureAlgorithm::Ed25519).unwrap();
    assert_eq!(to_jwt(&ear(&signer), &ed25519), Err(Error::Algorithm));
}

/// RFC 7638 §3.1: the example key and its thumbprint.
#[test]
fn the_thumbprint_of_the_rfc_comes_out() {
    const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR\
        1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ\
        R0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4v\
        MQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let modulus = Base64UrlUnpadded::decode_vec(N).unwrap();
    let der = |tag: u8, body: &[u8]| {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, len[0], len[1]], body].concat()
    };
    let key = [der(0x02, &[&[0], &modulus[..]].concat()), vec![0x02, 3, 1, 0, 1]].concat();
    let bits = der(0x03, &[&[0], &der(0x30, &key)[..]].concat());
    let rsa = [0x30, 13, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0];
    let spki = der(0x30, &[&rsa[..], &bits].concat());
    let confirmation = Confirmation::of(&AwsLc, &spki).unwrap();
    assert_eq!(confirmation.jkt(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
}

/// RFC 9679 §6: the example key and its thumbprint.
#[test]
fn the_cose_thumbprint_of_the_rfc_comes_out() {
    let hex = |hex: &str| -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let prefix = hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004");
    let x = hex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d");
    let y = hex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c");
    let confirmation = Confirmation::of(&AwsLc, &[prefix, x, y].concat()).unwrap();
    let wanted = hex("496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec");
    assert_eq!(confirmation.ckt, Some(wanted));
}

mod hostile {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (_, keys) = p256();
            prop_assert!(verify_cwt(&AwsLc, &bytes, &keys).is_err());
            prop_assert!(verify_jwt(&AwsLc, &String::from_utf8_lossy(&bytes), &keys).is_err());
            prop_assert!(VerifierKey::from_spki(&bytes).is_err());
        }

        /// What a signer with our key, but not our code, could say.
        #[test]
        fn signed_noise_never_panics(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (signer, keys) = p256();
            let b64 = Base64UrlUnpadded::encode_string;
            let signed = format!("{}.{}", b64(br#"{"alg":"ES256"}"#), b64(&payload));
            let der = signer.sign(signed.as_bytes()).unwrap();
            let fixed = touchstone_crypto::ecdsa::der_to_fixed(&der, 32).unwrap();
            let jwt = format!("{signed}.{}", b64(&fixed));
            prop_assert_eq!(verify_jwt(&AwsLc, &jwt, &keys), Err(Error::Malformed("claims")));
        }
    }

    #[test]
    fn a_huge_token_is_refused_unread() {
        let (_, keys) = p256();
        let huge = "A".repeat(MAX_TOKEN + 1);
        assert_eq!(verify_jwt(&AwsLc, &huge, &keys), Err(Error::TooLarge));
        assert_eq!(verify_cwt(&AwsLc, huge.as_bytes(), &keys), Err(Error::TooLarge));
    }
}
