//! A fleet's Verifier, as far as a checkpoint hears of it.

use touchstone_appraise::ear::{Ear, VerifierId, to_jwt};
use touchstone_appraise::{Confirmation, ControlResult, Status, Tier, TrustVector, VerifierKey};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) struct Fleet {
    key: SoftSigner,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self { key: Self::device_key() }
    }

    pub(crate) fn device_key() -> SoftSigner {
        SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap()
    }

    pub(crate) fn verifier(&self) -> VerifierKey {
        VerifierKey::from_spki(self.key.spki_der()).unwrap()
    }

    /// A result for the device that holds `key`, made and issued at `at`.
    pub(crate) fn ear(&self, device: &str, key: &dyn Signer, tier: Tier, at: u64) -> String {
        let passed = tier == Tier::Affirming;
        let ear = Ear {
            issued_at: at,
            expires: at + 3600,
            verifier: VerifierId::this(),
            nonce: None,
            confirmation: Some(Confirmation::of(&AwsLc, key.spki_der()).unwrap()),
            device: device.into(),
            tenant: "default".into(),
            evidence_at: Some(at),
            status: tier,
            vector: TrustVector::default(),
            policy_id: "p/1".into(),
            not_evaluated: Vec::new(),
            held: None,
            controls: vec![ControlResult {
                name: "code".into(),
                status: if passed { Status::Passed } else { Status::Failed },
                dimension: "runtime-opaque".into(),
                value: if passed { 2 } else { 96 },
                reason: "the code of the pump is not the published one".into(),
                events: Vec::new(),
                severity: "high".into(),
                countermeasures: Vec::new(),
                exception: None,
            }],
        };
        to_jwt(&ear, &self.key).unwrap()
    }
}
