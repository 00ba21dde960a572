//! What the element states about this device: endorsements, evidence, and the secret that only it
//! can open.

use super::{Error, Keeper, lock};
use crate::collect::observe::running_code;
use crate::collect::pages::Look;
use crate::collect::{self, code, log};
use crate::config::Envelope;
use crate::keys::{self, IAK, IDEVID, LAK};
use crate::link::{Key, Reply};
use std::path::PathBuf;
use std::time::Duration;
use touchstone_certs::Certificate;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Attesting, Credential, PcrSelection, Registers};
use touchstone_element_tpm2::Tpm;
use touchstone_evidence::endorse::{
    Bundle, CertifiedKey, MakersProof, identity_binding, lak_binding,
};
use touchstone_evidence::runtime::{Component, Observation, Observed};
use touchstone_evidence::tpm::{Attest, Moment};
use touchstone_evidence::{
    Challenge, Evidence, ImaMark, QuoteParts, RuntimeClaims, binding, envelope,
};

impl Keeper {
    /// What makes the attestation key believable.
    pub(super) fn endorse(&self) -> Result<Reply, Error> {
        let lak = self.keys.lak()?;
        let mut tpm = self.keys.tpm()?;
        let endorsement = tpm.endorsement().map_err(element)?;
        let identity = tpm.device_identity().map_err(element)?.ok_or(keys::Error::NoIdentity)?;
        let qualifying = identity_binding(&AwsLc, &lak.native);
        let certified = tpm.certify(IDEVID, LAK, &qualifying).map_err(element)?;
        let maker = makers_proof(&mut tpm)?;
        let bundle = Bundle {
            ek_public: endorsement.native_public,
            ek_certificates: endorsement.certificates,
            lak_public: lak.native,
            device_identity: Some(CertifiedKey {
                public: identity.public.native,
                attest: certified.attest,
                signature: certified.signature,
            }),
            maker,
        };
        Ok(Reply::Bytes(bundle.encode()))
    }

    /// `TPM2B_ID_OBJECT || TPM2B_ENCRYPTED_SECRET` to the secret inside.
    pub(super) fn activate(&self, question: &[u8]) -> Result<Reply, Error> {
        if lock(&self.known).welcome.is_some() {
            return Err(Error::Forbidden("the device is onboarded already"));
        }
        let credential = credential(question).ok_or_else(|| Error::Question {
            what: "credential",
            reason: "not two sized parts".to_owned(),
        })?;
        let secret = self.keys.tpm()?.activate(LAK, &credential).map_err(element)?;
        Ok(Reply::Bytes(secret.expose().to_vec()))
    }

    /// Evidence for a challenge; its nonce is what the next verdict must be about. `key` is what the
    /// fleet sees in TLS.
    pub(super) fn evidence(&self, key: Key, question: &[u8]) -> Result<Reply, Error> {
        let challenge = Challenge::decode(question)
            .map_err(|error| Error::Question { what: "challenge", reason: error.to_string() })?;
        let pcrs: Vec<u8> =
            challenge.selection.pcrs.iter().filter_map(|pcr| u8::try_from(*pcr).ok()).collect();
        let selection = PcrSelection::new(challenge.selection.algorithm, &pcrs);
        let haste = self.haste.telling();
        let (runtime, look) = self.runtime(haste.is_some())?;
        let runtime = runtime.encode();
        let qualifying = binding(&AwsLc, &challenge.nonce, &runtime);
        let (quote, values) = {
            let mut tpm = self.keys.tpm()?;
            let quote = tpm.quote(LAK, &selection, &qualifying).map_err(element)?;
            (quote, tpm.read_pcrs(&selection).map_err(element)?)
        };
        // After the quote: a log only grows, so what was quoted is in it.
        let read = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(Vec::new()), log::read);
        let collect = &self.config.collect;
        let event_log = read(&collect.event_log)?;
        let quote = QuoteParts { attest: quote.attest, signature: quote.signature };
        // The verifier needs what it has not seen; of another boot, that is everything.
        let known = challenge.ima.filter(|mark| is_of(mark, &quote.attest));
        let first = known.map_or(0, |mark| mark.entries);
        let list = self.list(first, challenge.part)?;
        let ima_log = (list.first, list.octets.as_slice());
        let evidence = if list.goes_on {
            Evidence::encode_part(&quote, ima_log, &runtime)
        } else {
            Evidence::encode_from(&quote, &event_log, ima_log, &runtime, &values)
        };
        // What is written down is signed: the quote does not wait for that.
        if haste.is_none()
            && let Some(look) = look
        {
            self.tell_findings(&look, true);
        }
        drop(haste);
        let evidence = match collect.envelope {
            Envelope::Cmw => evidence,
            Envelope::Eat => self.envelop(key, &challenge.nonce, &evidence)?,
        };
        self.tell_evidence(&challenge.nonce, list.first);
        lock(&self.known).nonce = Some(challenge.nonce);
        Ok(Reply::Bytes(evidence))
    }

    /// Puts evidence into a token that `key` signs. What is signed was made here, and begins so that it
    /// can be mistaken neither for a handshake nor for a certificate request (RFC 9052 §4.4).
    fn envelop(&self, key: Key, nonce: &[u8], evidence: &[u8]) -> Result<Vec<u8>, Error> {
        let signer = self.keys.signer(&self.key(key)?)?;
        envelope::seal(evidence, nonce, &self.ueid()?, &signer).map_err(Error::Envelope)
    }

    fn ueid(&self) -> Result<Vec<u8>, Error> {
        if let Some(known) = self.ueid.get() {
            return Ok(known.clone());
        }
        let leaf = self.keys.maker_chain()?.into_iter().next().ok_or(keys::Error::NoIdentity)?;
        let leaf = Certificate::decode(&leaf)
            .map_err(|error| Error::Keys(keys::Error::certificate(IDEVID, &error)))?;
        let ueid = envelope::ueid(&AwsLc, leaf.spki_der());
        Ok(self.ueid.get_or_init(|| ueid).clone())
    }

    /// The IMA list from an entry on: a part of it, if it is long and the fleet takes parts.
    fn list(&self, first: u32, part: Option<u32>) -> Result<log::Part, Error> {
        let part = part.map(|octets| log::PART.min(octets as usize));
        match lock(&self.list).as_mut() {
            Some(list) => Ok(list.from(first, part)?),
            None => Ok(log::Part { first: 0, octets: Vec::new(), goes_on: false }),
        }
    }

    fn runtime(&self, in_haste: bool) -> Result<(RuntimeClaims, Option<Look>), Error> {
        let text = |path: &str| {
            std::fs::read_to_string(path)
                .map_err(|source| collect::Error::Unreadable { path: path.into(), source })
        };
        let uptime = text("/proc/uptime")?;
        let watch = &self.config.collect.watch;
        let components = lock(&self.updates).installed();
        let looked = {
            let mut watch = lock(&self.watch);
            let anew = |(look, _)| (look, Duration::ZERO);
            if in_haste { watch.look_in_haste() } else { watch.look().map(anew) }
        };
        let (look, age) = match looked {
            Ok((look, age)) => (Ok(look), age),
            Err(error) => (Err(error), Duration::ZERO),
        };
        let processes = code::claims(watch)?;
        self.suspect(look.as_ref().ok(), &processes);
        let mut observations = running_code(&look, age);
        let age = if in_haste { self.config.collect.interval } else { Duration::ZERO };
        observations.extend(self.observer.observations(age));
        self.tell_configuration(&observations);
        observations.push(self.event_source());
        observations.push(self.responses());
        let claims = RuntimeClaims {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: uptime_ms(&uptime).unwrap_or(0),
            command_line: text("/proc/cmdline")?.trim_end().to_owned(),
            watched: watch.iter().map(|path| path.display().to_string()).collect(),
            processes,
            components: components
                .into_iter()
                .map(|(name, version)| Component { name, version })
                .collect(),
            observations,
        };
        Ok((claims, look.ok()))
    }
}

impl Keeper {
    /// What was done about verdicts before.
    fn responses(&self) -> Observation {
        let engine = lock(&self.engine);
        let open = engine.responses().iter().rev().take(256).map(|it| {
            Observed::record([
                ("id", it.id.as_str().into()),
                ("action", it.action.name().into()),
                ("target", it.target.to_string().into()),
                ("state", it.stage.name().into()),
                ("why", format!("{} of {}: {}", it.action, it.target, it.outcome).into()),
            ])
        });
        Observation {
            name: "agent.responses".to_owned(),
            age_ms: 0,
            found: Ok(Observed::list(open)),
        }
    }
}

/// Whether the list that the fleet knows is of the boot that is quoted.
fn is_of(mark: &ImaMark, attest: &[u8]) -> bool {
    Attest::decode(attest).is_ok_and(|attest| Moment::of(&attest).boot() == mark.boot)
}

/// What the maker's attestation key says of ours, on a device that has one. Which proof is needed is for
/// the fleet to say.
fn makers_proof(tpm: &mut Tpm) -> Result<Option<MakersProof>, Error> {
    use touchstone_element::Error::{CertificateOfAnother, Malformed, Unsupported, WrongKind};
    let proof = tpm.initial_attestation().and_then(|iak| {
        let Some(iak) = iak else { return Ok(None) };
        let (iak_public, certificates) = (iak.public.native, iak.certificates);
        let said = tpm.certify(LAK, IAK, &lak_binding(&AwsLc, &iak_public))?;
        let (attest, signature) = (said.attest, said.signature);
        Ok(Some(MakersProof { iak_public, certificates, attest, signature }))
    });
    match proof {
        Err(
            error @ (CertificateOfAnother(_) | Malformed(_) | Unsupported(_) | WrongKind { .. }),
        ) => {
            tracing::warn!(
                code = error.code(),
                "the maker's IAK is not shown to the fleet: {error}"
            );
            Ok(None)
        }
        proof => proof.map_err(element),
    }
}

fn element(error: touchstone_element::Error) -> Error {
    Error::Keys(keys::Error::Element(error))
}

/// Reads the two parts of a credential, each behind its length in two octets.
pub fn credential(question: &[u8]) -> Option<Credential> {
    let (blob, rest) = sized(question)?;
    let (secret, rest) = sized(rest)?;
    rest.is_empty().then(|| Credential { blob: blob.to_vec(), secret: secret.to_vec() })
}

fn sized(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// proc(5): seconds since boot with two decimals, then another number.
fn uptime_ms(uptime: &str) -> Option<u64> {
    let (seconds, rest) = uptime.split_once('.')?;
    let hundredths = rest.get(..2)?;
    Some(seconds.parse::<u64>().ok()? * 1000 + hundredths.parse::<u64>().ok()? * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_two_sized_parts_and_nothing_else() {
        let whole = [0, 2, 1, 2, 0, 1, 3];
        let read = credential(&whole).unwrap();
        assert_eq!((read.blob, read.secret), (vec![1, 2], vec![3]));
        for cut in 0..whole.len() {
            assert!(credential(&whole[..cut]).is_none());
        }
        assert!(credential(&[0, 0, 0, 0, 9]).is_none());
    }

    #[test]
    fn uptime_is_read_as_proc_shows_it() {
        assert_eq!(uptime_ms("12.34 56.78\n"), Some(12_340));
        assert_eq!(uptime_ms("x"), None);
    }
}
