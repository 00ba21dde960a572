//! Tokens of others: `cwt` and PyJWT read what we sign, and we read what they sign.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests fail loudly")]

mod attester;

use attester::{Attester, challenge};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::cmw::Cmw;
use touchstone_evidence::eat::{Debug, Eat, Measurement, OemId, Profile, Submodule, Version};
use touchstone_evidence::envelope::{PROFILE, Sender, seal, ueid};
use touchstone_evidence::token::TokenKey;
use touchstone_evidence::{Challenge, Evidence};
use touchstone_peers::token_peer;

/// A signer on each curve, with its keys in PEM.
struct Party {
    key: SoftSigner,
    private: String,
    public: String,
}

impl Party {
    fn both() -> [Self; 2] {
        [SignatureAlgorithm::EcdsaP256Sha256, SignatureAlgorithm::EcdsaP384Sha384].map(Self::new)
    }

    fn new(algorithm: SignatureAlgorithm) -> Self {
        let key = SoftSigner::generate(algorithm).unwrap();
        let ending = pem_rfc7468::LineEnding::LF;
        let public = pem_rfc7468::encode_string("PUBLIC KEY", ending, key.spki_der()).unwrap();
        let private = key.to_pkcs8_pem().to_string();
        Self { key, private, public }
    }

    fn read(&self, form: &str, token: &[u8]) -> Result<Value, String> {
        let claims = token_peer("read", form, &self.public, token)?;
        Ok(serde_json::from_slice(&claims).unwrap())
    }

    fn write(&self, form: &str, claims: &Value) -> Vec<u8> {
        token_peer("write", form, &self.private, claims.to_string().as_bytes()).unwrap()
    }
}

/// Evidence, with what is known of who sends it.
fn evidence() -> (Attester, Challenge, Vec<u8>, Vec<u8>) {
    let (attester, challenge) = (Attester::of_the_rig(), challenge());
    let evidence = attester.evidence(&challenge);
    (attester, challenge, evidence, ueid(&AwsLc, b"the maker's key"))
}

fn hex(octets: &[u8]) -> Value {
    let digits: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    json!({ "hex": digits.concat() })
}

#[test]
fn evidence_in_a_token_goes_to_other_libraries_and_back() {
    let (attester, challenge, evidence, device) = evidence();
    let parts = Evidence::decode(&evidence).unwrap();
    let [_, stranger] = Party::both();
    for party in Party::both() {
        let sender =
            Sender { key: party.key.spki_der(), nonce: &challenge.nonce, ueid: Some(&device) };
        let cwt = seal(&evidence, &challenge.nonce, &device, &party.key).unwrap();
        let eat = Eat::dangerous_unverified_cwt(&cwt).unwrap();
        let jwt = eat.to_jwt(&party.key).unwrap().into_bytes();

        let claims = party.read("cwt", &cwt).unwrap();
        assert_eq!((&claims["10"], &claims["256"]), (&hex(&challenge.nonce), &hex(&device)));
        assert_eq!(claims["265"], PROFILE);
        assert_eq!(claims["299"]["__cmwc_t"], "tag:touchstone-trust.org,2026:evidence/1");
        assert_eq!(claims["299"]["attest"][0], "application/vnd.touchstone.tpms-attest");
        let sent = party.write("cwt", &claims);
        assert_ne!(sent, cwt);
        let opened = sender.evidence(&AwsLc, &sent, 0).unwrap();
        assert_eq!(opened, parts);
        opened.verify(&AwsLc, &attester.lak(), &challenge).unwrap();

        let named = party.read("jwt", &jwt).unwrap();
        assert_eq!(named["eat_nonce"], Base64UrlUnpadded::encode_string(&challenge.nonce));
        assert_eq!(named["ueid"], Base64UrlUnpadded::encode_string(&device));
        assert_eq!(
            (&named["eat_profile"], &named["cmw"]["attest"][2]),
            (&PROFILE.into(), &4.into())
        );
        let sent = party.write("jwt", &named);
        assert_eq!(sender.evidence(&AwsLc, &sent, 0).unwrap(), parts);

        // What is changed by a library that signs with the right key is seen all the same.
        for (claim, value, code) in [
            ("10", hex(&[0; 32]), "evidence.eat.not-fresh"),
            ("256", hex(&[1; 33]), "evidence.eat.device"),
            ("265", "tag:example.com,2026:eat".into(), "evidence.eat.profile"),
            ("299", json!(["application/vnd.example", hex(b"x")]), "evidence.cmw.type"),
            ("299", json!("text"), "evidence.eat.claim"),
        ] {
            let mut claims = claims.clone();
            claims[claim] = value;
            let sent = party.write("cwt", &claims);
            let refused = sender.evidence(&AwsLc, &sent, 0).unwrap_err();
            assert_eq!(refused.code(), code, "{claim}");
        }
        // Nobody takes a token of somebody else.
        for (form, token) in [("cwt", &cwt), ("jwt", &jwt)] {
            assert!(stranger.read(form, token).is_err(), "{form}");
            let theirs = stranger.write(form, if form == "cwt" { &claims } else { &named });
            let refused = sender.evidence(&AwsLc, &theirs, 0).unwrap_err().code();
            assert!(["evidence.token.signature", "evidence.token.algorithm"].contains(&refused));
        }
    }
}

#[test]
fn other_libraries_read_every_claim_that_we_write_and_we_read_theirs() {
    let tee = Eat { swname: Some("tee".into()), ..Eat::default() };
    let eat = Eat {
        issued_at: Some(1_800_000_000),
        nonces: vec![vec![7; 32], vec![8; 8]],
        ueid: Some([&[1][..], &[9; 16]].concat()),
        oemid: Some(OemId::Ieee([0xAC, 0xDE, 0x48])),
        hwmodel: Some(b"gw-2".to_vec()),
        hwversion: Some(Version { text: "1.3.4".into(), scheme: Some(1) }),
        oemboot: Some(true),
        debug: Some(Debug::DisabledPermanently),
        bootcount: Some(12),
        bootseed: Some(vec![5; 32]),
        measurements: vec![Measurement { content_format: 258, octets: b"coswid".to_vec() }],
        profile: Some(Profile::Text("tag:example.com,2026:gateway".into())),
        submods: vec![("tee".into(), Submodule::Claims(Box::new(tee)))],
        cmw: Some(Cmw::from_json(br#"["application/vnd.example","AQI",4]"#).unwrap()),
        ..Eat::default()
    };
    let [party, _] = Party::both();
    let keys = [TokenKey::from_spki(party.key.spki_der()).unwrap()];
    let claims = party.read("cwt", &eat.to_cwt(&party.key).unwrap()).unwrap();
    assert_eq!(
        (&claims["6"], &claims["263"], &claims["267"]),
        (&json!(1_800_000_000), &json!(3), &json!(12))
    );
    assert_eq!(claims["258"], hex(&[0xAC, 0xDE, 0x48]));
    assert_eq!(claims["299"], json!(["application/vnd.example", hex(&[1, 2]), 4]));
    // PyJWT refuses a token of the future; CBOR's numbers in submodules are names in JSON.
    let named = Eat { issued_at: Some(1_700_000_000), ..eat.clone() };
    let read = party.read("jwt", named.to_jwt(&party.key).unwrap().as_bytes()).unwrap();
    assert_eq!(
        (&read["dbgstat"], &read["submods"]["tee"]["swname"]),
        (&"disabled-permanently".into(), &"tee".into())
    );
    let sent = String::from_utf8(party.write("jwt", &read)).unwrap();
    assert_eq!(*Eat::from_jwt(&AwsLc, &sent, &keys).unwrap(), named);
    let mut flat = claims;
    flat.as_object_mut().unwrap().remove("266");
    let sent = party.write("cwt", &flat);
    // `cwt` says until when its tokens count.
    let read = Eat::from_cwt(&AwsLc, &sent, &keys).unwrap();
    let expires = read.expires;
    assert!(expires > Some(1_700_000_000));
    assert_eq!(*read, Eat { submods: Vec::new(), expires, ..eat });
}
