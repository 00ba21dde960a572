//! The agent's part in the two exchanges: onboarding and attestation.

use super::fleet::{self, Client};
use crate::link::{Ask, Gone, Key, Line, Refused, Reply};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use touchstone_attest::{Attester, Event, Kind, Limits};
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::{Reply as Answer, run_exchange};
use touchstone_engine::AskKind;

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
    /// The keeper says no.
    #[error("{}", .0.words)]
    Keeper(Refused),
    /// The keeper is gone.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The fleet's answer is not understood.
    #[error("the fleet's {what} is not understood: {reason}")]
    Answer {
        /// Which answer.
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
            Self::Keeper(no) => &no.code,
            Self::Gone(_) => "agent.link.gone",
            Self::Answer { .. } => "agent.exchange.answer",
            Self::Ended(_) => "agent.exchange.ended",
        }
    }

    /// Whether the fleet was not there at all.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Fleet(error) if error.is_unreachable())
    }
}

/// What the fleet says at the end of onboarding.
#[derive(Deserialize)]
struct Welcome {
    device: String,
    tenant: String,
    verifier_key_pem: String,
}

/// What the fleet says to evidence.
#[derive(Clone, Debug)]
pub enum Answered {
    /// The end of an attestation.
    Concluded(Concluded),
    /// The IMA list came as far as this entry: attest again from there on, at once.
    Continue(u32),
}

/// What the fleet says to a part of an IMA list.
#[derive(Deserialize)]
struct Continue {
    entries: u32,
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

/// Onboards the device. The client must show the IDevID. What is sent are endorsements, which go into no
/// token.
pub async fn onboard(client: &mut Client, line: &Line) -> Result<(), Error> {
    let bundle = octets(line.ask(Ask::Endorse).await?)?;
    let result = exchange(client, Kind::Enroll, Key::Maker, &bundle, line).await?;
    drop(bundle);
    let Welcome { device, tenant, verifier_key_pem } = serde_json::from_slice(&result)
        .map_err(|error| Error::Answer { what: "welcome", reason: error.to_string() })?;
    match line.ask(Ask::Welcome { device, tenant, verifier_key_pem }).await? {
        Reply::Refused(no) => Err(Error::Keeper(no)),
        _ => Ok(()),
    }
}

/// Attests, or goes on with it where a long IMA list is under way. The client shows `key`.
pub async fn attest(client: &mut Client, key: Key, line: &Line) -> Result<Answered, Error> {
    let begin = concat!(
        r#"{"schema":"touchstone.begin/1","ima_parts":true,"agent":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}"#
    );
    let result = exchange(client, Kind::Attest, key, begin.as_bytes(), line).await?;
    answered(&result).map_err(|error| Error::Answer { what: "result", reason: error.to_string() })
}

fn answered(json: &[u8]) -> Result<Answered, serde_json::Error> {
    #[derive(Deserialize)]
    struct Named<'a> {
        schema: Option<std::borrow::Cow<'a, str>>,
    }
    let named: Named<'_> = serde_json::from_slice(json)?;
    if named.schema.as_deref() == Some("touchstone.evidence.continue/1") {
        return serde_json::from_slice(json)
            .map(|Continue { entries }| Answered::Continue(entries));
    }
    serde_json::from_slice(json).map(Answered::Concluded)
}

fn octets(reply: Reply) -> Result<Vec<u8>, Error> {
    match reply {
        Reply::Bytes(octets) => Ok(octets),
        Reply::Refused(no) => Err(Error::Keeper(no)),
        _ => Err(Error::Ended("the keeper answers something else than was asked".to_owned())),
    }
}

async fn exchange(
    client: &mut Client,
    kind: Kind,
    key: Key,
    begin: &[u8],
    line: &Line,
) -> Result<Vec<u8>, Error> {
    let (path, what) = match kind {
        Kind::Enroll => ("/v1/exchange/enroll", "onboarding"),
        Kind::Attest => ("/v1/exchange/attest", "an attestation"),
    };
    let mut session = [0; 16];
    AwsLc.random(&mut session).map_err(|error| Error::Ended(error.to_string()))?;
    let limits = Limits { deadline: std::time::Duration::from_mins(1), ..Limits::default() };
    let engine = Attester::new(kind, session, begin, limits);
    let mut failed = None;
    let ended = run_exchange(
        engine,
        // What the engine asks for, the keeper answers: here privileges are separated.
        async |kind, question| match ask(line, kind, question, key).await {
            Ok(answer) => Answer::Bytes(answer),
            Err(error) => {
                failed = Some(error);
                Answer::Failed
            }
        },
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
    if let Some(failed) = failed {
        return Err(failed);
    }
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

async fn ask(line: &Line, kind: AskKind, question: Vec<u8>, key: Key) -> Result<Vec<u8>, Error> {
    let ask = Ask::of(kind, question, key)
        .ok_or_else(|| Error::Ended("the exchange asks for what nobody has".to_owned()))?;
    octets(line.ask(ask).await?)
}
