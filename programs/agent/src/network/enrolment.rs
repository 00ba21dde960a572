//! The LDevID: the fleet's certificate for a key of the keeper, by EST (RFC 7030). The conversation is
//! [`est::Client`]'s, carried over the connection that there is; what is kept of it is the keeper's.

use super::fleet::{self, Client};
use crate::link::{Ask, Gone, Line, Refused, Reply};
use std::sync::Arc;
use std::time::Duration;
use touchstone_certs::Certificate;
use touchstone_crypto::Crypto;
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::{Reply as Answer, try_exchange};
use touchstone_engine::{AskKind, Fault as _};
use touchstone_enroll::Activation;
use touchstone_enroll::est::attributes::Attributes;
use touchstone_enroll::est::{self, ClientSetup, Event, Want};
use touchstone_enroll::exchange::Limits;

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The fleet could not be asked, or said no.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    /// The keeper says no.
    #[error("{}", .0.words)]
    Keeper(Refused),
    /// The keeper is gone.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The answer is not a certificate for us.
    #[error("the answer to a certificate request: {0}")]
    Est(est::Error),
    /// The system has no randomness.
    #[error("the system refuses: {0}")]
    Random(String),
}

impl Error {
    /// The stable code of this error: the fleet's own where it said no.
    pub fn code(&self) -> &str {
        match self {
            Self::Fleet(fleet::Error::Refused { code, .. }) => code,
            Self::Fleet(error) => error.code(),
            Self::Keeper(no) => &no.code,
            Self::Gone(_) => "agent.link.gone",
            Self::Est(error) => error.code(),
            Self::Random(_) => "agent.system",
        }
    }

    /// Whether the fleet was not there at all.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Fleet(error) if error.is_unreachable())
    }

    /// Whether the fleet is there and gave no certificate: what it has for us beside one is not to wait.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Fleet(fleet::Error::Refused { .. }) | Self::Est(_))
    }

    /// Whether the request itself is what the fleet does not want, so that the next is another one.
    pub fn is_of_request(&self) -> bool {
        match self {
            // What is said of the device says nothing of its request.
            Self::Fleet(fleet::Error::Refused { status: 400..=499, code, .. }) => {
                !code.starts_with("est.verdict.") && !code.starts_with("est.override.")
            }
            Self::Est(error) => {
                matches!(error, est::Error::AnotherKey | est::Error::TwoCertificates)
            }
            _ => false,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// There is a new certificate.
    Now,
    /// Somebody has yet to decide: the same request again after this (RFC 7030 §4.2.3).
    Later(Duration),
}

/// How a client of the fleet at `origin` goes about it.
pub(crate) fn setup(origin: &str, now: u64) -> ClientSetup {
    ClientSetup {
        crypto: Arc::new(AwsLc),
        now,
        origin: origin.to_owned(),
        label: None,
        // RFC 7030 §3.6.1: the fleet is known by its TLS, and says itself whose certificates it hands out.
        anchors: Vec::new(),
        fingerprint: None,
        // They may hold a challenge.
        csrattrs: true,
        // The device has more to do than to wait.
        retries: 0,
        longest_pause: Duration::ZERO,
    }
}

/// A certificate for a new key, for which the client must show the IDevID and the verdict be
/// affirming; or with `renew` a new one, for the same key or as the keeper decides for a new one, for which the
/// client must show the certificate that is renewed.
pub async fn enroll(
    client: &mut Client,
    line: &Line,
    renew: bool,
    now: u64,
) -> Result<Enrolled, Error> {
    let mut id = [0; 16];
    AwsLc.random(&mut id).map_err(|error| Error::Random(error.to_string()))?;
    let want = if renew { Want::Reenroll } else { Want::Enroll };
    let engine = est::Client::of(want, setup(&client.origin(), now), id, Limits::default());
    let mut failed = None;
    let owner = async |kind, question: Vec<u8>| match request(line, kind, &question, renew).await {
        Ok(request) => Answer::Bytes(request),
        Err(error) => {
            failed = Some(error);
            Answer::Failed
        }
    };
    let ended = try_exchange(engine, owner, async |message| client.carry(&message).await).await?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    let (mut events, end) = match ended {
        Ok(events) => (events, None),
        Err(error) => (error.events, error.end),
    };
    match (events.pop(), end) {
        (Some(Event::Issued { certificate, chain, .. }), None) => {
            let chain = std::iter::once(&certificate).chain(&chain);
            let chain = chain.map(Certificate::der).map(<[u8]>::to_vec).collect();
            match line.ask(Ask::Certificate(chain)).await? {
                Reply::Refused(no) => Err(Error::Keeper(no)),
                _ => Ok(Enrolled::Now),
            }
        }
        (Some(Event::Later { after }), _) => Ok(Enrolled::Later(after)),
        (Some(Event::Refused { status, code, text }), _) => {
            let code = code.unwrap_or_else(|| "none".to_owned());
            let what = "a certificate";
            Err(fleet::Error::Refused { what, status, code, message: text }.into())
        }
        (_, end) => Err(Error::Est(end.unwrap_or(est::Error::NoCertificate))),
    }
}

/// `attributes` is what the fleet says that a request has to contain.
async fn request(
    line: &Line,
    kind: AskKind,
    attributes: &[u8],
    renew: bool,
) -> Result<Vec<u8>, Error> {
    if kind != AskKind::Request {
        // The device is known by its certificate and by nothing else.
        return Err(Error::Est(est::Error::Unauthorized));
    }
    let challenge = challenge(attributes)?;
    match line.ask(Ask::Request { renew, challenge }).await? {
        Reply::Request { request, .. } => Ok(request),
        Reply::Refused(no) => Err(Error::Keeper(no)),
        _ => Err(Gone.into()),
    }
}

/// The credential among what a request has to contain, as the keeper takes it; empty if there is none.
fn challenge(attributes: &[u8]) -> Result<Vec<u8>, Error> {
    let bad = |_| Error::Est(est::Error::BadAttributes);
    if attributes.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = Attributes::decode(attributes).map_err(bad)?;
    let Some(Activation { blob, secret }) = Activation::of(&wanted).map_err(bad)? else {
        return Ok(Vec::new());
    };
    let mut out = Vec::new();
    for part in [blob, secret] {
        // Longer ones do not read.
        out.extend(u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(part);
    }
    Ok(out)
}
