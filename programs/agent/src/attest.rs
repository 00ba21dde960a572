//! The agent's part in the two exchanges: onboarding and attestation.

use crate::collect::{self, code, log};
use crate::fleet::{self, Client};
use crate::keys::{self, IDEVID, Keys, LAK};
use crate::offloop::off_loop;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use std::path::PathBuf;
use touchstone_attest::{Attester, Event, Kind, Limits};
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::{Reply, run_exchange};
use touchstone_element::{Attesting, Credential, PcrSelection, Registers};
use touchstone_evidence::endorse::{Bundle, CertifiedKey, identity_binding};
use touchstone_evidence::runtime::Component;
use touchstone_evidence::{Challenge, Evidence, QuoteParts, RuntimeClaims, binding};

/// Octets of a message, its header included.
const LARGEST: usize = (16 << 20) + 64;

/// Why an exchange came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The fleet could not be asked.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    /// The fleet refused, in its own words.
    #[error("the fleet refuses ({code}): {text}")]
    Refused {
        /// The fleet's stable code.
        code: String,
        /// Why.
        text: String,
    },
    /// A key can not be used.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// Something can not be measured.
    #[error(transparent)]
    Collect(#[from] collect::Error),
    /// The fleet's question is not understood.
    #[error("the fleet's {what} is not understood: {reason}")]
    Question {
        /// Which question.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The exchange did not come to its end.
    #[error("the exchange ended early: {0}")]
    Ended(String),
}

impl Error {
    /// The stable code of this error: the fleet's own where it refused.
    pub fn code(&self) -> &str {
        match self {
            Self::Fleet(error) => error.code(),
            Self::Refused { code, .. } => code,
            Self::Keys(error) => error.code(),
            Self::Collect(error) => error.code(),
            Self::Question { .. } => "agent.exchange.question",
            Self::Ended(_) => "agent.exchange.ended",
        }
    }

    /// Whether the fleet was not there at all.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Fleet(error) if error.is_unreachable())
    }
}

/// What goes into evidence beside the quote.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The firmware's event log.
    pub event_log: Option<PathBuf>,
    /// IMA's list.
    pub ima_log: Option<PathBuf>,
    /// The watched executables.
    pub watch: Vec<PathBuf>,
    /// What is installed, with its version.
    pub components: Vec<(String, u64)>,
}

/// What the fleet says at the end of onboarding.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub struct Welcome {
    /// The device's id.
    pub device: String,
    /// Whose it is.
    pub tenant: String,
    /// The key that signs attestation results, as PEM.
    pub verifier_key_pem: String,
}

/// What the fleet says at the end of an attestation, before it is verified.
#[derive(Clone, Debug, Deserialize)]
pub struct Concluded {
    /// The attestation result.
    pub ear_jwt: String,
    /// Attest again after so many seconds.
    #[serde(default)]
    pub next: f64,
    /// Orders that wait.
    #[serde(default)]
    pub orders: u64,
}

/// Onboards the device. The client must show the IDevID.
pub async fn onboard(client: &mut Client, keys: &Keys) -> Result<Welcome, Error> {
    let bundle = {
        let keys = keys.clone();
        off_loop(move || endorsements(&keys)).await?
    };
    let mut failed = None;
    let ended = exchange(client, Kind::Enroll, &bundle, async |question| {
        let keys = keys.clone();
        match off_loop(move || activate(&keys, &question)).await {
            Ok(secret) => Reply::Bytes(secret),
            Err(error) => {
                failed = Some(error);
                Reply::Failed
            }
        }
    })
    .await;
    let result = failed.map_or(ended, Err)?;
    serde_json::from_slice(&result)
        .map_err(|error| Error::Question { what: "welcome", reason: error.to_string() })
}

/// Attests; the nonce that was answered comes with the result, for the caller to compare.
pub async fn attest(
    client: &mut Client,
    keys: &Keys,
    sources: &Sources,
) -> Result<(Concluded, Vec<u8>), Error> {
    let begin =
        concat!(r#"{"schema":"touchstone.begin/1","agent":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
    let mut failed = None;
    let mut nonce = Vec::new();
    let ended = exchange(client, Kind::Attest, begin.as_bytes(), async |question| {
        let (keys, sources) = (keys.clone(), sources.clone());
        match off_loop(move || evidence(&keys, &sources, &question)).await {
            Ok((evidence, answered)) => {
                nonce = answered;
                Reply::Bytes(evidence)
            }
            Err(error) => {
                failed = Some(error);
                Reply::Failed
            }
        }
    })
    .await;
    let result = failed.map_or(ended, Err)?;
    let concluded = serde_json::from_slice(&result)
        .map_err(|error| Error::Question { what: "result", reason: error.to_string() })?;
    Ok((concluded, nonce))
}

async fn exchange(
    client: &mut Client,
    kind: Kind,
    begin: &[u8],
    mut answer: impl AsyncFnMut(Vec<u8>) -> Reply,
) -> Result<Vec<u8>, Error> {
    let (path, what) = match kind {
        Kind::Enroll => ("/v1/exchange/enroll", "onboarding"),
        Kind::Attest => ("/v1/exchange/attest", "an attestation"),
    };
    let mut session = [0; 16];
    AwsLc
        .random(&mut session)
        .map_err(touchstone_element::Error::from)
        .map_err(keys::Error::from)?;
    let limits = Limits { deadline: std::time::Duration::from_mins(1), ..Limits::default() };
    let engine = Attester::new(kind, session, begin, limits);
    let ended = run_exchange(
        engine,
        async |_, question| answer(question).await,
        async |message| {
            let octets = Some("application/octet-stream");
            let answer = client.request(Method::POST, path, octets, message, LARGEST).await?;
            match answer.status {
                StatusCode::NO_CONTENT => Ok(Vec::new()),
                _ => answer.good(what).map(|answer| answer.body.to_vec()),
            }
        },
    )
    .await;
    let (events, failed) = match ended {
        Ok(events) => (events, None),
        Err(error) => {
            let words = error.to_string();
            let failed = error.post.map_or(Error::Ended(words), Error::Fleet);
            (error.events, Some(failed))
        }
    };
    for event in events {
        match event {
            Event::Result(result) => return Ok(result),
            Event::Refused { code, text } => return Err(Error::Refused { code, text }),
            Event::Concluded => {}
        }
    }
    Err(failed.unwrap_or_else(|| Error::Ended("no result came".to_owned())))
}

/// What makes the attestation key believable.
fn endorsements(keys: &Keys) -> Result<Vec<u8>, Error> {
    let lak = keys.lak()?;
    let mut tpm = keys.tpm()?;
    let element = |error| Error::Keys(keys::Error::Element(error));
    let endorsement = tpm.endorsement().map_err(element)?;
    let identity = tpm.device_identity().map_err(element)?.ok_or(keys::Error::NoIdentity)?;
    let qualifying = identity_binding(&AwsLc, &lak.native);
    let certified = tpm.certify(IDEVID, LAK, &qualifying).map_err(element)?;
    let bundle = Bundle {
        ek_public: endorsement.native_public,
        ek_certificates: endorsement.certificates,
        lak_public: lak.native,
        device_identity: Some(CertifiedKey {
            public: identity.public.native,
            attest: certified.attest,
            signature: certified.signature,
        }),
    };
    Ok(bundle.encode())
}

/// `TPM2B_ID_OBJECT || TPM2B_ENCRYPTED_SECRET` to the secret inside.
fn activate(keys: &Keys, question: &[u8]) -> Result<Vec<u8>, Error> {
    let credential = credential(question).ok_or_else(|| Error::Question {
        what: "credential",
        reason: "not two sized parts".to_owned(),
    })?;
    let secret = keys.tpm()?.activate(LAK, &credential).map_err(keys::Error::Element)?;
    Ok(secret.expose().to_vec())
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

/// Evidence for a challenge, and the nonce in it.
fn evidence(keys: &Keys, sources: &Sources, question: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let challenge = Challenge::decode(question)
        .map_err(|error| Error::Question { what: "challenge", reason: error.to_string() })?;
    let pcrs: Vec<u8> =
        challenge.selection.pcrs.iter().filter_map(|pcr| u8::try_from(*pcr).ok()).collect();
    let selection = PcrSelection::new(challenge.selection.algorithm, &pcrs);
    let runtime = runtime(sources)?.encode();
    let qualifying = binding(&AwsLc, &challenge.nonce, &runtime);
    let (quote, values) = {
        let mut tpm = keys.tpm()?;
        let quote = tpm.quote(LAK, &selection, &qualifying).map_err(keys::Error::Element)?;
        (quote, tpm.read_pcrs(&selection).map_err(keys::Error::Element)?)
    };
    // After the quote: a log only grows, so what was quoted is in it.
    let read = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(Vec::new()), log::read);
    let (event_log, ima_log) = (read(&sources.event_log)?, read(&sources.ima_log)?);
    let quote = QuoteParts { attest: quote.attest, signature: quote.signature };
    let evidence = Evidence::encode(&quote, &event_log, &ima_log, &runtime, &values);
    Ok((evidence, challenge.nonce))
}

fn runtime(sources: &Sources) -> Result<RuntimeClaims, Error> {
    let text = |path: &str| {
        std::fs::read_to_string(path)
            .map_err(|source| collect::Error::Unreadable { path: path.into(), source })
    };
    let uptime = text("/proc/uptime")?;
    Ok(RuntimeClaims {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: uptime_ms(&uptime).unwrap_or(0),
        command_line: text("/proc/cmdline")?.trim_end().to_owned(),
        watched: sources.watch.iter().map(|path| path.display().to_string()).collect(),
        processes: code::claims(&sources.watch)?,
        components: sources
            .components
            .iter()
            .map(|(name, version)| Component { name: name.clone(), version: *version })
            .collect(),
    })
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
