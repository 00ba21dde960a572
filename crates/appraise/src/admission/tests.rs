use super::*;
use crate::appraisal::{ControlResult, TrustVector};
use crate::ear::{Confirmation, VerifierId, to_jwt};
use alloc::borrow::ToOwned;
use alloc::string::ToString;
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_policy::Status;
use touchstone_policy::ar4si::Dimension;

const NOW: u64 = 1_800_000_000;

struct Scene {
    verifier: SoftSigner,
    device: SoftSigner,
    gate: Gate,
}

impl Scene {
    fn new() -> Self {
        let key = || SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let verifier = key();
        let gate = Gate::new(30, vec![VerifierKey::from_spki(verifier.spki_der()).unwrap()]);
        Self { verifier, device: key(), gate }
    }

    fn ear(&self) -> Ear {
        let mut vector = TrustVector::default();
        vector.set(Dimension::Executables, 2);
        Ear {
            issued_at: NOW,
            expires: NOW + 60,
            verifier: VerifierId::this(),
            nonce: None,
            confirmation: Some(Confirmation::of(&AwsLc, self.device.spki_der()).unwrap()),
            device: "device-1".into(),
            tenant: "acme".into(),
            evidence_at: Some(NOW - 1),
            status: Tier::Affirming,
            vector,
            policy_id: "gateway/1".into(),
            controls: Vec::new(),
            not_evaluated: Vec::new(),
            held: None,
        }
    }

    fn admit(&self, ear: &Ear, now: u64) -> Result<Admitted, Refusal> {
        let token = to_jwt(ear, &self.verifier).unwrap();
        self.gate.admit(&AwsLc, &token, self.device.spki_der(), now)
    }
}

#[test]
fn a_fresh_affirming_result_admits_its_holder() {
    let scene = Scene::new();
    let admitted = scene.admit(&scene.ear(), NOW + 1).unwrap();
    assert_eq!((admitted.device.as_str(), admitted.tenant.as_str()), ("device-1", "acme"));
    assert_eq!((admitted.issued_at, admitted.until), (NOW, NOW + 29));
}

#[test]
fn an_old_result_is_stale() {
    let scene = Scene::new();
    assert!(scene.admit(&scene.ear(), NOW + 28).is_ok());
    let stale = Refusal::Stale { age: 30, max_age: 30 };
    assert_eq!(scene.admit(&scene.ear(), NOW + 29), Err(stale));

    let mut expired = scene.ear();
    expired.expires = NOW + 5;
    assert_eq!(scene.admit(&expired, NOW + 5).unwrap_err().code(), "admission.stale");

    // A new signature does not refresh old evidence.
    let mut warmed_up = scene.ear();
    warmed_up.evidence_at = Some(NOW - 31);
    assert_eq!(scene.admit(&warmed_up, NOW).unwrap_err().code(), "admission.stale");
}

#[test]
fn a_result_from_the_future_is_refused() {
    let scene = Scene::new();
    assert!(scene.admit(&scene.ear(), NOW - MAX_SKEW).is_ok());
    let refused = scene.admit(&scene.ear(), NOW - MAX_SKEW - 1).unwrap_err();
    assert_eq!(refused, Refusal::FromTheFuture { ahead: MAX_SKEW + 1 });
}

#[test]
fn a_device_that_is_not_affirmed_is_told_why() {
    let scene = Scene::new();
    for tier in [Tier::None, Tier::Warning, Tier::Contraindicated] {
        let mut ear = scene.ear();
        ear.status = tier;
        ear.vector = TrustVector::default();
        ear.controls = vec![ControlResult {
            name: "secure-boot".into(),
            status: Status::Failed,
            dimension: "configuration".into(),
            value: 96,
            reason: "event 3 (PCR 7): SecureBoot is 0".into(),
            events: Vec::new(),
            severity: "high".into(),
            countermeasures: Vec::new(),
            exception: None,
        }];
        let refused = scene.admit(&ear, NOW).unwrap_err();
        let why = "secure-boot: event 3 (PCR 7): SecureBoot is 0".to_owned();
        assert_eq!(refused, Refusal::NotAffirming { tier, why });
    }
}

#[test]
fn a_status_that_is_better_than_its_vector_does_not_admit() {
    let scene = Scene::new();
    let mut ear = scene.ear();
    ear.vector.set(Dimension::Hardware, 97);
    let refused = scene.admit(&ear, NOW).unwrap_err();
    assert_eq!(refused.to_string(), "the device is contraindicated");
}

#[test]
fn a_stolen_result_is_of_no_use() {
    let scene = Scene::new();
    let token = to_jwt(&scene.ear(), &scene.verifier).unwrap();
    let thief = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let refused = scene.gate.admit(&AwsLc, &token, thief.spki_der(), NOW);
    assert_eq!(refused, Err(Refusal::WrongKey));
    let refused = scene.gate.admit(&AwsLc, &token, b"no key", NOW);
    assert_eq!(refused, Err(Refusal::WrongKey));

    let mut unbound = scene.ear();
    unbound.confirmation = None;
    assert_eq!(scene.admit(&unbound, NOW), Err(Refusal::NotBound));
}

#[test]
fn another_tenants_device_stays_out() {
    let mut scene = Scene::new();
    scene.gate = scene.gate.clone().for_tenant("acme");
    assert!(scene.admit(&scene.ear(), NOW).is_ok());
    let mut other = scene.ear();
    other.tenant = "globex".into();
    assert_eq!(scene.admit(&other, NOW), Err(Refusal::WrongTenant));
}

#[test]
fn a_result_that_is_none_is_refused() {
    let scene = Scene::new();
    let refused = scene.gate.admit(&AwsLc, "a.b.c", scene.device.spki_der(), NOW).unwrap_err();
    assert_eq!(refused.code(), "ear.malformed");
    let mut forger = Scene::new();
    forger.device = scene.device;
    let token = to_jwt(&forger.ear(), &forger.verifier).unwrap();
    let refused = scene.gate.admit(&AwsLc, &token, forger.device.spki_der(), NOW).unwrap_err();
    assert_eq!(refused, Refusal::Result(crate::ear::Error::Signature));
}
