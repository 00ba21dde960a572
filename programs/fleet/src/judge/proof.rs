//! What proves that the key of a request is where it should be: the attestation key's word for it, and,
//! where the profile says so, that the attestation key itself is there now.
//!
//! A challenge is a credential for the device's endorsement key and attestation key (TPM 2.0 Part 1 §24). It
//! stands among what a request has to contain; its secret goes into the qualifying data of `TPM2_Certify`.
//! It counts for one device, one profile, one request, and a while.

use super::certify::{NotIssued, judged};
use crate::authority::Profile;
use crate::config::Proof;
use crate::store::DeviceRow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use touchstone_certs::CertificateRequest;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_enroll::{Activation, AttestedRequest};
use touchstone_evidence::endorse::{challenge_binding, ldevid_binding};
use touchstone_evidence::tpm::{Attest, LakPublic, verify_certify};
use touchstone_tpm2::{credential, name_of};
use zeroize::Zeroizing;

/// Octets of a secret: what every EK's name algorithm allows.
const SECRET: usize = 32;
/// For how long a challenge may be answered, in seconds.
const HOLDS: u64 = 600;
/// Challenges of one device, and devices that have one. Each takes about 200 octets.
const EACH: usize = 4;
const MOST: usize = 50_000;
/// When to come back where there are too many, in seconds.
const LATER: u32 = 30;

/// The challenges that are open, and those that were answered a moment ago. They are in memory: after a
/// restart a device gets another one.
#[derive(Default)]
pub(super) struct Challenges(Mutex<HashMap<String, Vec<Open>>>);

struct Open {
    profile: String,
    secret: Zeroizing<[u8; SECRET]>,
    until: u64,
    /// SHA-256 of the request that answered it.
    answered: Option<Vec<u8>>,
}

impl Challenges {
    /// A new one.
    pub(super) fn make(
        &self,
        device: &DeviceRow,
        profile: &str,
        now: u64,
    ) -> Result<Activation, NotIssued> {
        let Some(ek) = &device.ek_public else {
            let words =
                "the device was onboarded before its endorsement key was kept; onboard it again";
            return Err(judged("est.challenge.endorsement-key", words));
        };
        self.has_room_for(&device.id, now)?;
        let mut secret = Zeroizing::new([0; SECRET]);
        AwsLc.random(secret.as_mut()).map_err(|_| NotIssued::Failed)?;
        let name = name_of(&AwsLc, &device.lak_public).map_err(|_| NotIssued::Failed)?;
        let made = credential::make(ek, &name, secret.as_ref(), &AwsLc)
            .map_err(|error| judged("est.challenge.endorsement-key", error.to_string()))?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = all.entry(device.id.clone()).or_default();
        open.retain(|it| it.until > now);
        // The oldest goes: whoever asks for more than it answers hurts itself alone.
        if open.len() >= EACH {
            open.remove(0);
        }
        let (profile, until) = (profile.to_owned(), now.saturating_add(HOLDS));
        open.push(Open { profile, secret, until, answered: None });
        Ok(Activation { blob: made.blob, secret: made.secret })
    }

    /// Looked at first: a credential costs more than this. Who comes at the same moment takes a place more.
    fn has_room_for(&self, device: &str, now: u64) -> Result<(), NotIssued> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(device) {
            all.retain(|_, open| open.iter().any(|it| it.until > now));
        }
        if all.len() >= MOST && !all.contains_key(device) {
            let text = "too many devices have a challenge; come back in a moment".to_owned();
            return Err(NotIssued::Unavailable { code: "est.challenge.busy", text, after: LATER });
        }
        Ok(())
    }

    /// Whether a statement with this qualifying data answers one, which is then used up.
    fn answer(
        &self,
        device: &str,
        profile: &str,
        qualifying: &[u8],
        request: &CertificateRequest,
        now: u64,
    ) -> Result<(), NotIssued> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = all.get_mut(device).into_iter().flatten();
        let mut open =
            open.filter(|it| challenge_binding(&AwsLc, device, &*it.secret) == *qualifying);
        let Some(found) = open.next() else {
            let words = "no open challenge is answered; ask what a request has to contain (csrattrs), \
                         and answer the credential in it";
            return Err(judged("est.challenge.none", words));
        };
        if found.until <= now {
            let words = format!("the challenge is older than {HOLDS} s; ask for another one");
            return Err(judged("est.challenge.expired", words));
        }
        if found.profile != profile {
            let words = format!("the challenge is for the profile `{}`", found.profile);
            return Err(judged("est.challenge.profile", words));
        }
        let sha256 = AwsLc.hash(HashAlgorithm::Sha256, &[request.der()]).as_bytes().to_vec();
        // The same request again is answered as before: its answer may not have arrived.
        if found.answered.as_ref().is_some_and(|before| *before != sha256) {
            let words = "the challenge was answered by another request; ask for another one";
            return Err(judged("est.challenge.used", words));
        }
        found.answered = Some(sha256);
        Ok(())
    }

    /// The key of the request lives in the device's TPM: its attestation key says so, and by a challenge
    /// that it is there itself, where the profile wants that.
    pub(super) fn proven(
        &self,
        profile: &Profile,
        request: &CertificateRequest,
        device: &DeviceRow,
        now: u64,
    ) -> Result<(), NotIssued> {
        let attested = AttestedRequest::from_request(request.clone())
            .map_err(|error| judged(error.code(), error.to_string()))?;
        let refused = |error: touchstone_evidence::Error| judged(error.code(), error.to_string());
        let lak = LakPublic::from_native(&device.lak_public).map_err(refused)?;
        let certify = attested.certify();
        let qualifying = if profile.proof == Proof::Challenge {
            // Whatever it says; that it answers a challenge is looked at when it is known to be the TPM's.
            Attest::decode(&certify.attest).map_err(refused)?.extra_data
        } else {
            ldevid_binding(&AwsLc, &device.id).to_vec()
        };
        let certified = verify_certify(
            &AwsLc,
            &certify.attest,
            &certify.signature,
            &lak,
            &certify.public,
            &qualifying,
        )
        .map_err(refused)?;
        if certified.public.spki_der != request.spki_der() {
            return Err(judged(
                "est.key.other",
                "the TPM certified another key than the request's",
            ));
        }
        if !certified.public.attributes.is_bound() || !certified.public.attributes.signs() {
            let words = "the key is not a signing key that is bound to the TPM";
            return Err(judged("est.key.attributes", words));
        }
        if profile.proof == Proof::Challenge {
            self.answer(&device.id, &profile.name, &qualifying, request, now)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_certs::{Name, request};
    use touchstone_crypto::SignatureAlgorithm;
    use touchstone_crypto_awslc::SoftSigner;

    fn csr() -> CertificateRequest {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let der = request::build(&Name::common_name("dev-1").unwrap(), &[], &[], &key).unwrap();
        CertificateRequest::decode(&der).unwrap()
    }

    fn with(
        challenges: &Challenges,
        device: &str,
        profile: &str,
        octet: u8,
        until: u64,
    ) -> [u8; 32] {
        let secret = Zeroizing::new([octet; SECRET]);
        let binding = challenge_binding(&AwsLc, device, &*secret);
        let open = Open { profile: profile.into(), secret, until, answered: None };
        challenges.0.lock().unwrap().entry(device.into()).or_default().push(open);
        binding
    }

    #[test]
    fn a_challenge_counts_for_one_device_one_profile_one_request_and_a_while() {
        let challenges = Challenges::default();
        let binding = with(&challenges, "dev-1", "device", 1, 100);
        let other = with(&challenges, "dev-2", "device", 2, 100);
        let (first, second) = (csr(), csr());
        let answer = |device: &str, profile: &str, qualifying: &[u8], request, now| match challenges
            .answer(device, profile, qualifying, request, now)
        {
            Ok(()) => "good",
            Err(NotIssued::Judged { code, .. }) => code,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(answer("dev-1", "device", &[0; 32], &first, 1), "est.challenge.none");
        assert_eq!(answer("dev-1", "device", &other, &first, 1), "est.challenge.none");
        assert_eq!(answer("dev-3", "device", &binding, &first, 1), "est.challenge.none");
        assert_eq!(answer("dev-1", "server", &binding, &first, 1), "est.challenge.profile");
        assert_eq!(answer("dev-1", "device", &binding, &first, 100), "est.challenge.expired");
        assert_eq!(answer("dev-1", "device", &binding, &first, 99), "good");
        assert_eq!(answer("dev-1", "device", &binding, &first, 99), "good", "its answer was lost");
        assert_eq!(answer("dev-1", "device", &binding, &second, 99), "est.challenge.used");
    }

    fn device(ek_public: Option<Vec<u8>>) -> DeviceRow {
        DeviceRow {
            id: "dev-1".into(),
            name: "gateway-1".into(),
            idevid_spki: Vec::new(),
            lak_public: vec![0, 35, 0, 11],
            lak_spki: Vec::new(),
            ek_public,
            last_seen: None,
            tier: "none".into(),
            identity: crate::api::types::Identity::default(),
        }
    }

    #[test]
    fn a_device_whose_endorsement_key_is_not_known_gets_no_challenge() {
        let challenges = Challenges::default();
        for ek in [None, Some(vec![0xFF; 40])] {
            let made = challenges.make(&device(ek), "device", 1).unwrap_err();
            let NotIssued::Judged { code, .. } = made else { panic!("{made:?}") };
            assert_eq!(code, "est.challenge.endorsement-key");
        }
    }

    #[test]
    fn there_are_so_many_challenges_and_no_more_until_some_are_over() {
        let challenges = Challenges::default();
        for number in 0..MOST {
            let (profile, secret) = ("device".to_owned(), Zeroizing::new([0; SECRET]));
            let open = Open { profile, secret, until: 100, answered: None };
            challenges.0.lock().unwrap().insert(format!("other-{number}"), vec![open]);
        }
        let made = |now| challenges.make(&device(Some(vec![0xFF; 40])), "device", now).unwrap_err();
        let NotIssued::Unavailable { code, after, .. } = made(99) else { panic!() };
        assert_eq!((code, after), ("est.challenge.busy", LATER));
        assert!(challenges.has_room_for("other-7", 99).is_ok(), "who has one may have another");
        // Those of before are over: there is room, and it fails for another reason.
        assert!(matches!(made(101), NotIssued::Judged { .. }));
        assert!(challenges.0.lock().unwrap().is_empty());
    }
}
