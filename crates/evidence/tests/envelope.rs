//! Evidence in a token: whose it is, which nonce it answers, and everything that does not fit.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "tests fail loudly")]

mod attester;

use attester::{Attester, challenge, key};
use std::borrow::Cow;
use touchstone_crypto::Signer;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::cmw::{Cmw, Collection, Kind, Record};
use touchstone_evidence::eat::{Eat, Profile, Submodule};
use touchstone_evidence::envelope::{PROFILE, Sender, is_cwt, is_jwt, is_token, seal, ueid};
use touchstone_evidence::{Challenge, Error, Evidence};

const NOW: u64 = 1_800_000_000;

struct Scene {
    attester: Attester,
    challenge: Challenge,
    identity: SoftSigner,
    device: Vec<u8>,
    evidence: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let (attester, challenge, identity) = (Attester::of_the_rig(), challenge(), key());
        let device = ueid(&AwsLc, b"the maker's key");
        let evidence = attester.evidence(&challenge);
        Self { attester, challenge, identity, device, evidence }
    }

    /// The claims of an honest token.
    fn eat(&self) -> Eat {
        Eat {
            nonces: vec![self.challenge.nonce.clone()],
            ueid: Some(self.device.clone()),
            profile: Some(Profile::Text(PROFILE.into())),
            cmw: Some(Cmw::from_cbor(&self.evidence).unwrap().into_owned()),
            ..Eat::default()
        }
    }

    fn sender(&self) -> Sender<'_> {
        let (key, nonce) = (self.identity.spki_der(), self.challenge.nonce.as_slice());
        Sender { key, nonce, ueid: Some(&self.device) }
    }

    fn open(&self, octets: &[u8]) -> Result<Evidence, Error> {
        self.sender().evidence(&AwsLc, octets, NOW)
    }

    /// The code of what is wrong with these claims, signed by the device.
    fn code(&self, eat: &Eat) -> &'static str {
        self.open(&eat.to_cwt(&self.identity).unwrap()).unwrap_err().code()
    }
}

#[test]
fn evidence_in_a_token_is_the_same_evidence() {
    let scene = Scene::new();
    let nonce = &scene.challenge.nonce;
    let cwt = seal(&scene.evidence, nonce, &scene.device, &scene.identity).unwrap();
    assert!(is_cwt(&cwt) && !is_token(&scene.evidence) && !is_jwt(&cwt));
    let eat = Eat::dangerous_unverified_cwt(&cwt).unwrap();
    assert_eq!(eat, scene.eat());
    let jwt = scene.eat().to_jwt(&scene.identity).unwrap().into_bytes();
    assert!(is_jwt(&jwt) && !is_jwt(b"a.b") && !is_jwt(b"a.b.c.d") && !is_jwt(b"a..c"));
    let tagged = [&[0xD8, 0x3D][..], &cwt].concat();
    for form in [&scene.evidence, &cwt, &tagged, &jwt] {
        let evidence = scene.open(form).unwrap();
        assert_eq!(evidence, Evidence::decode(&scene.evidence).unwrap());
        let verified = evidence.verify(&AwsLc, &scene.attester.lak(), &scene.challenge).unwrap();
        assert!(verified.pcrs().is_some());
    }
    // Of a device that is not known, the key alone tells.
    let sender = Sender { ueid: None, ..scene.sender() };
    sender.evidence(&AwsLc, &cwt, NOW).unwrap();
}

#[test]
fn a_token_of_somebody_else_or_for_another_nonce_is_refused() {
    let scene = Scene::new();
    let eat = scene.eat();
    let cwt = eat.to_cwt(&scene.identity).unwrap();
    let jwt = eat.to_jwt(&scene.identity).unwrap().into_bytes();
    let stranger = key();
    for token in [&cwt, &jwt] {
        let code = |sender: Sender<'_>| sender.evidence(&AwsLc, token, NOW).unwrap_err().code();
        let other = Sender { key: stranger.spki_der(), ..scene.sender() };
        assert_eq!(code(other), "evidence.token.signature");
        assert_eq!(code(Sender { key: b"no key", ..scene.sender() }), "evidence.token.key");
        assert_eq!(code(Sender { nonce: &[9; 32], ..scene.sender() }), "evidence.eat.not-fresh");
        let other = ueid(&AwsLc, b"another maker's key");
        assert_eq!(code(Sender { ueid: Some(&other), ..scene.sender() }), "evidence.eat.device");
        for at in (0..token.len()).step_by(token.len() / 97) {
            let mut bad = token.clone();
            bad[at] ^= 1;
            assert!(scene.open(&bad).is_err(), "octet {at} of {}", token.len());
        }
    }
    for cut in (0..cwt.len()).step_by(cwt.len() / 97) {
        assert!(scene.open(&cwt[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn what_does_not_follow_the_profile_is_refused_with_its_code() {
    let scene = Scene::new();
    let eat = scene.eat();
    let nonce = scene.challenge.nonce.clone();
    let other = Profile::Text("tag:example.com,2026:eat".into());
    for (bad, code) in [
        (Eat { profile: Some(other), ..eat.clone() }, "evidence.eat.profile"),
        (Eat { profile: Some(Profile::Oid(vec![0x2A, 3])), ..eat.clone() }, "evidence.eat.profile"),
        (Eat { profile: None, ..eat.clone() }, "evidence.eat.profile"),
        (Eat { nonces: vec![], ..eat.clone() }, "evidence.eat.not-fresh"),
        (Eat { nonces: vec![nonce, vec![1; 16]], ..eat.clone() }, "evidence.eat.not-fresh"),
        (Eat { expires: Some(NOW), ..eat.clone() }, "evidence.eat.expired"),
        (Eat { ueid: None, ..eat.clone() }, "evidence.eat.missing"),
        (Eat { cmw: None, ..eat.clone() }, "evidence.eat.missing"),
    ] {
        assert_eq!(scene.code(&bad), code, "{:?}", bad.profile);
    }
    // An attestation result, say, that the same key signed.
    assert_eq!(scene.code(&Eat::default()), "evidence.eat.profile");
}

#[test]
fn evidence_stands_in_one_place_and_is_of_the_known_type() {
    let scene = Scene::new();
    let eat = scene.eat();
    let token = eat.to_cwt(&scene.identity).unwrap();
    let nested = |kind: Kind<'static>| {
        let (value, indicator) = (Cow::Owned(token.clone()), None);
        Cmw::Record(Record { kind, value, indicator })
    };
    for kind in [
        Kind::MediaType("application/eat+cwt".into()),
        Kind::MediaType("application/eat-bun+cbor".into()),
        Kind::ContentFormat(263),
    ] {
        // A token in a wrapper, and the same in a token.
        let wrapper = nested(kind);
        assert_eq!(scene.open(&wrapper.to_cbor()).unwrap_err().code(), "evidence.eat.nested");
        let twice = Eat { cmw: Some(wrapper), ..eat.clone() };
        assert_eq!(scene.code(&twice), "evidence.eat.nested");
    }
    for submodule in [Submodule::Cwt(token.clone()), Submodule::Claims(Box::new(eat.clone()))] {
        let twice = Eat { submods: vec![("a".into(), submodule)], ..eat.clone() };
        assert_eq!(scene.code(&twice), "evidence.eat.nested");
    }
    let mut other = Collection::new("tag:example.com,2026:evidence").unwrap();
    assert!(other.add("token", nested(Kind::MediaType("application/eat+cwt".into()))));
    let record = Record::new("application/vnd.example", vec![0xA0]).unwrap();
    for wrapper in [Cmw::Collection(other), Cmw::Record(record)] {
        assert_eq!(scene.open(&wrapper.to_cbor()).unwrap_err().code(), "evidence.cmw.type");
        let bad = Eat { cmw: Some(wrapper), ..eat.clone() };
        assert_eq!(scene.code(&bad), "evidence.cmw.type");
    }
    // A collection in which a part is missing says which.
    let Some(Cmw::Collection(mut cut)) = eat.cmw.clone() else { panic!("a collection") };
    cut.entries.remove(0);
    let cut = Eat { cmw: Some(Cmw::Collection(cut)), ..eat };
    let token = cut.to_cwt(&scene.identity).unwrap();
    assert_eq!(scene.open(&token), Err(Error::Missing("attest")));
}

#[test]
fn what_is_no_evidence_is_not_put_into_a_token() {
    let identity = key();
    let sealed = seal(b"noise", &[1; 16], &ueid(&AwsLc, b"key"), &identity);
    assert_eq!(sealed.unwrap_err().code(), "evidence.eat.claim");
}
