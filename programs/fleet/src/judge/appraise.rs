//! Attestation: a nonce, evidence, a judgement, and what follows from it.

use super::lists::{self, Shown};
use super::remembered::Remembered;
use super::{Judge, Memory, No};
use crate::api::types::{AttestResult, Begin, Control, Fact, Named, VectorEntry};
use crate::clock;
use crate::serve::Peer;
use crate::store::{DeviceRow, NewEvent, NewHold, NewResult, PendingList, StoredClaims};
use base64ct::{Base64UrlUnpadded, Encoding};
use std::fmt::Write as _;
use std::sync::Arc;
use touchstone_appraise::ear::{to_cwt, to_jwt};
use touchstone_appraise::{
    Appraisal, Confirmation, ControlResult, DeviceFacts, Ear, LogName, Status, Tier, Verifier,
};
use touchstone_audit::Code;
use touchstone_crypto::{Crypto, Verified};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_evidence::envelope::{self, Sender};
use touchstone_evidence::tpm::LakPublic;
use touchstone_evidence::{Challenge, Error, Evidence, PcrSelection};
use touchstone_measure::ima::Discontinuity;
use touchstone_policy::ar4si::TrustValue;

const NONCE: usize = 32;
/// Characters of a reason in one sentence.
const SENTENCE: usize = 400;

/// A device that was sent a nonce.
pub struct Pending {
    pub(super) device: DeviceRow,
    pub(super) challenge: Challenge,
    given_at: u64,
}

impl Pending {
    /// The key that signs the device's evidence.
    pub(super) fn lak(&self) -> Result<LakPublic, No> {
        LakPublic::from_native(&self.device.lak_public).map_err(|error| {
            tracing::error!(device = %self.device.id, %error, "the recorded attestation key is unusable");
            No::Failed
        })
    }
}

/// Everything that judging needs, away from the store.
struct Case {
    shown: Shown,
    pending: Pending,
    verifier: Arc<Verifier>,
    tenant: String,
    lifetime: u64,
    ldevid: Option<(Vec<u8>, String)>,
    /// What was found of these lists.
    remembered: Arc<Remembered>,
}

impl Judge {
    /// A nonce for a device that was onboarded.
    pub(super) async fn challenge(
        &self,
        begin: &[u8],
        peer: &Peer,
        memory: &mut Memory,
    ) -> Result<Vec<u8>, No> {
        let device = self.device(peer).await?;
        // Agents of before say nothing of it, and send a list whole.
        let begin: Begin = serde_json::from_slice(begin).unwrap_or_default();
        let part = begin.ima_parts.then(|| lists::part(self.config.limits.message));
        let mut nonce = vec![0; NONCE];
        AwsLc.random(&mut nonce).map_err(|_| No::Failed)?;
        let asked = &self.config.appraisal;
        let selection = PcrSelection::new(asked.bank, &asked.pcrs).ok_or(No::Failed)?;
        let id = device.id.clone();
        let ima = self.store.call(move |db| db.ima_mark(&id)).await?;
        let challenge = Challenge { nonce, selection, ima, part };
        let question = challenge.encode();
        let given_at = clock::now();
        *memory = Memory::Attesting(Box::new(Pending { device, challenge, given_at }));
        Ok(question)
    }

    /// Judges, records, and answers with the signed result.
    pub(super) async fn appraise(
        &self,
        evidence: Vec<u8>,
        peer: &Peer,
        pending: Pending,
    ) -> Result<Vec<u8>, No> {
        // The certificate may have been revoked since the nonce was given.
        let device = self.device(peer).await?;
        if device.id != pending.device.id || device.lak_spki != pending.device.lak_spki {
            return Err(No::refused(
                "attest.device.changed",
                "onboarded anew meanwhile; begin again",
            ));
        }
        let id = device.id;
        let now = clock::now();
        let (current, kept) = self
            .store
            .call(move |db| Ok((db.current_certificate(&id, now)?, db.kept(&id)?)))
            .await?;
        let id = pending.device.id.clone();
        let key = spki(peer.certificates.first().ok_or(No::Failed)?)?;
        let (nonce, maker) = (pending.challenge.nonce.clone(), pending.device.idevid_spki.clone());
        let read = move || {
            let ueid = envelope::ueid(&AwsLc, &maker);
            let sender = Sender { key: &key, nonce: &nonce, ueid: Some(&ueid) };
            Shown::read(&evidence, &sender, kept, &id)
        };
        let shown = self.heavy(read).await?;
        let shown = match self.take_part(shown, &pending).await? {
            Ok(goes_on) => return Ok(goes_on),
            Err(shown) => self.with_lists(shown, &pending.device.id).await?,
        };
        let ldevid = match current {
            Some(row) => Some((spki(&row.der)?, row.jkt)),
            None => None,
        };
        let case = Case {
            shown,
            pending,
            verifier: self.trust.verifier(),
            tenant: self.config.tenant.clone(),
            lifetime: self.config.appraisal.max_age.as_secs(),
            ldevid,
            remembered: Arc::clone(&self.remembered),
        };
        let mut draft = self.heavy(move || case.judge()).await??;
        if let Some(refused) = draft.refused.take()
            && self.refusals.may_tell(&draft.ear.device, now)
        {
            self.store.call(move |db| db.record_event(now, &refused)).await?;
        }
        if let Some(asked) = draft.asks() {
            let limit = self.config.respond;
            let new = NewHold {
                device: draft.ear.device.clone(),
                policy: draft.ear.policy_id.clone(),
                asked,
            };
            draft.ear.held = self.store.call(move |db| db.admit_response(&new, limit, now)).await?;
        }
        let key = Arc::clone(&self.key);
        let result = self.heavy(move || draft.sign(&key)).await??;
        let stored = result.clone();
        let recorded = self.store.call(move |db| db.record_result(&stored)).await?;
        if recorded.changed {
            tracing::warn!(device = %result.device, tier = %result.tier, why = %result.why, "verdict changed");
        }
        Ok(Named::new(AttestResult {
            device: result.device,
            tier: result.tier,
            ear_jwt: result.jwt,
            ear_cwt: Base64UrlUnpadded::encode_string(&result.cwt),
            seq: recorded.seq,
            issued: result.issued,
            expires: result.expires,
            next: self.config.appraisal.interval.as_secs_f64(),
            orders: recorded.orders,
        })
        .to_vec())
    }
}

/// A result that is not signed yet.
struct Draft {
    ear: Ear,
    result: NewResult,
    /// That the evidence was not believed.
    refused: Option<NewEvent>,
}

impl Draft {
    /// What the device is asked to do about itself, if that is more than to tell and to collect. Devices
    /// may cut themselves off by their own rule when they are contraindicated.
    fn asks(&self) -> Option<String> {
        const MILD: [&str; 3] = ["alert", "capture", "revoke"];
        let mut asked: Vec<&str> = Vec::new();
        for name in self.ear.failed().flat_map(|control| &control.countermeasures) {
            if !MILD.contains(&name.as_str()) && !asked.contains(&name.as_str()) {
                asked.push(name);
            }
        }
        if asked.is_empty() && self.ear.status == Tier::Contraindicated {
            asked.push("what its own rule says");
        }
        (!asked.is_empty()).then(|| asked.join(", "))
    }

    fn sign(self, key: &SoftSigner) -> Result<NewResult, No> {
        let Self { ear, result, .. } = self;
        let jwt = to_jwt(&ear, key).map_err(signing)?;
        Ok(NewResult { jwt, cwt: to_cwt(&ear, key).map_err(signing)?, ..result })
    }
}

impl Case {
    fn judge(self) -> Result<Draft, No> {
        let Pending { device, challenge, given_at } = &self.pending;
        let now = clock::now();
        let facts = DeviceFacts {
            id: device.id.clone(),
            tenant: self.tenant,
            onboarded: Some(true),
            endorsed: Some(true),
            proofs: Some(device.identity.proofs.clone()),
            element_kind: Some("tpm2".into()),
            evidence_at: Some(*given_at),
        };
        let lak = self.pending.lak()?;
        let (under_way, in_token) = (self.shown.kept.pending, self.shown.in_token);
        let (evidence, history) = match self.shown.verify(&lak, &self.pending) {
            Ok((evidence, history)) => (Ok(evidence), history),
            Err(error) => (Err(error), None),
        };
        // Not a verdict on the device: what it left out is not here any more.
        if let Err(Error::Ima(why @ Discontinuity::NeedsAll { .. })) = &evidence {
            return Err(No::refused(why.code(), format!("{why}; attest again")));
        }
        let refused = evidence.as_ref().err();
        let refused = refused.map(|error| not_believed(&device.id, error, under_way.as_ref()));
        let (verifier, remembered) = (&self.verifier, &self.remembered);
        let (appraisal, found, claims) = match &evidence {
            Ok(evidence) => {
                let last = remembered.take(verifier, &device.id);
                let judgement = verifier.judge(&AwsLc, evidence, &facts, now, last.as_ref());
                if let Some(judged) = judgement.judged {
                    remembered.put(verifier, &device.id, judged);
                }
                let claims = judgement.claims.map(|claims| (claims, judgement.left_out));
                (judgement.appraisal, told(evidence, in_token), claims)
            }
            Err(error) => (verifier.appraise_unverified(error, &facts, now), Vec::new(), None),
        };
        let mut ear = Ear::new(&appraisal, &facts, self.lifetime).with_nonce(&challenge.nonce);
        let jkt = match &self.ldevid {
            Some((spki, jkt)) => {
                ear = ear.with_confirmation(Confirmation::of(&AwsLc, spki).map_err(signing)?);
                Some(jkt.clone())
            }
            None => None,
        };
        let result = NewResult {
            device: device.id.clone(),
            nonce: challenge.nonce.clone(),
            tier: appraisal.tier.name().to_owned(),
            why: why(&appraisal),
            issued: ear.issued_at,
            expires: ear.expires,
            jkt,
            jwt: String::new(),
            cwt: Vec::new(),
            vector: vector(&appraisal),
            controls: appraisal
                .controls
                .iter()
                .map(|control| self::control(control, &self.verifier))
                .collect(),
            evidence: found,
            history,
            claims: claims.map(|(claims, left_out)| {
                let times = StoredClaims {
                    omitted: left_out,
                    evidence_at: *given_at,
                    appraised_at: now,
                    expires: ear.expires,
                    policy: appraisal.policy_id.clone(),
                    ..StoredClaims::default()
                };
                times.with(&claims)
            }),
        };
        Ok(Draft { ear, result, refused })
    }
}

/// That evidence is not believed, and what was thrown away with it.
fn not_believed(device: &str, error: &Error, under_way: Option<&PendingList>) -> NewEvent {
    let words: String = error.to_string().chars().take(SENTENCE).collect();
    let mut words = format!("the evidence is not believed: {words}");
    if let Some(list) = under_way {
        let _ = write!(
            words,
            "; of the IMA list that it sent in parts, {} octets up to entry {} are thrown away",
            list.held, list.entries
        );
    }
    NewEvent::new(Code::EvidenceRefused, device, words).with("reason_code", error.code())
}

fn signing(error: touchstone_appraise::ear::Error) -> No {
    tracing::error!(code = error.code(), %error, "the result could not be signed");
    No::Failed
}

fn spki(der: &[u8]) -> Result<Vec<u8>, No> {
    let certificate = touchstone_certs::Certificate::decode(der).map_err(|_| No::Failed)?;
    Ok(certificate.spki_der().to_vec())
}

/// The reason for the tier in one sentence.
fn why(appraisal: &Appraisal) -> String {
    let mut failed = appraisal.failed().filter(|control| control.tier() == appraisal.tier);
    let Some(first) = failed.next() else {
        return match appraisal.tier {
            Tier::Affirming if appraisal.controls.iter().all(ControlResult::passed) => {
                "every control holds".to_owned()
            }
            Tier::Affirming => "every control holds or is excepted".to_owned(),
            _ => appraisal.summary(),
        };
    };
    let sentence: String =
        format!("{}: {}", first.name, first.reason).chars().take(SENTENCE).collect();
    match appraisal.failed().count() {
        0 | 1 => sentence,
        more => format!("{sentence} (and {} more)", more - 1),
    }
}

fn vector(appraisal: &Appraisal) -> Vec<VectorEntry> {
    appraisal
        .vector
        .iter()
        .filter(|(_, value)| *value != 0)
        .map(|(dimension, value)| VectorEntry {
            dimension: dimension.name().to_owned(),
            value,
            name: TrustValue::new(dimension, value).meaning().to_owned(),
            tier: Tier::of(value).name().to_owned(),
        })
        .collect()
}

fn control(result: &ControlResult, verifier: &Verifier) -> Control {
    let written = verifier.policy().control(&result.name);
    let events = result.events.iter().map(|event| match event.log {
        LogName::EventLog => format!("boot event {}", event.index),
        LogName::Ima => format!("IMA entry {}", event.index),
    });
    Control {
        name: result.name.clone(),
        passed: result.passed(),
        outcome: outcome(result.status).to_owned(),
        dimension: result.dimension.clone(),
        title: written.map_or_else(String::new, |control| control.title().to_owned()),
        tier: written
            .map_or_else(|| result.tier(), touchstone_policy::Control::tier)
            .name()
            .to_owned(),
        severity: result.severity.clone(),
        countermeasures: result.countermeasures.clone(),
        exception: result.exception.clone(),
        reason: result.reason.clone(),
        because: written.map_or_else(String::new, |control| control.because().to_owned()),
        events: events.collect(),
    }
}

/// The word for a status in answers.
const fn outcome(status: Status) -> &'static str {
    match status {
        Status::Passed => "pass",
        Status::Failed => "fail",
        Status::Unknown => "unknown",
    }
}

/// Facts of the evidence that help a person.
fn told(evidence: &Verified<Evidence>, in_token: bool) -> Vec<Fact> {
    let fact = |label: &str, value: String| Fact { label: label.into(), value };
    let mut facts = Vec::new();
    if let Some(log) = evidence.event_log() {
        facts.push(fact("Boot log", format!("{} events explain the quote", log.events().len())));
    }
    if let Some(list) = evidence.ima_log() {
        facts.push(fact("IMA log", format!("{} entries", list.len())));
    }
    let envelope = if in_token { "EAT, signed by the key shown in TLS" } else { "CMW" };
    facts.push(fact("Envelope", envelope.into()));
    let Some(runtime) = evidence.runtime() else { return facts };
    facts.extend([
        fact("Agent", runtime.agent_version.chars().take(64).collect()),
        fact("Uptime", format!("{} s", runtime.uptime_ms / 1000)),
        fact("Watched processes", runtime.processes.len().to_string()),
    ]);
    facts.extend(runtime.components.iter().take(16).map(|component| {
        let name: String = component.name.chars().take(64).collect();
        fact(&name, format!("version {}", component.version))
    }));
    facts
}

#[cfg(test)]
mod tests;
