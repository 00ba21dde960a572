//! The LDevID: the fleet's certificate for a key of the keeper, by EST (RFC 7030).

use super::fleet::{self, Client};
use crate::link::{Ask, Gone, Line, Refused, Reply};
use hyper::Method;
use std::time::{Duration, Instant};
use touchstone_certs::Certificate;
use touchstone_enroll::est::{self, Operation};

/// Octets of an EST answer.
const LARGEST: usize = 64 << 10;

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
    /// The answer is not understood.
    #[error("the answer to a certificate request: {0}")]
    Est(#[from] touchstone_enroll::Error),
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
        }
    }

    /// Whether the fleet was not there at all.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Fleet(error) if error.is_unreachable())
    }
}

/// The longest time between two requests that the fleet refuses.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);

/// When a certificate may be asked for again. Attesting and healing go on meanwhile, at their pace.
#[derive(Debug, Default)]
pub struct Pace {
    refused: u32,
    until: Option<Instant>,
}

impl Pace {
    /// Whether it is time.
    pub fn is_due(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// The fleet said no: ask again after `pause`, twice as long after the next no, and so on.
    pub fn refused(&mut self, now: Instant, pause: Duration) {
        let pause = pause.saturating_mul(2_u32.saturating_pow(self.refused)).min(LONGEST_PAUSE);
        self.refused = self.refused.saturating_add(1);
        self.until = now.checked_add(pause);
    }

    /// There is a certificate.
    pub fn granted(&mut self) {
        *self = Self::default();
    }
}

/// A certificate for a new key, for which the client must show the IDevID and the verdict be
/// affirming; or with `renew` a new one for the same key, for which the client must show the
/// certificate that is renewed.
pub async fn enroll(client: &mut Client, line: &Line, renew: bool) -> Result<(), Error> {
    let (request, spki_der) = match line.ask(Ask::Request { renew }).await? {
        Reply::Request { request, spki_der } => (request, spki_der),
        Reply::Refused(no) => return Err(Error::Keeper(no)),
        _ => return Err(Gone.into()),
    };
    let operation = if renew { Operation::SimpleReenroll } else { Operation::SimpleEnroll };
    let body = est::encode_request(&request).into_bytes();
    let answer = client
        .request(Method::POST, &operation.path(), Some(est::REQUEST_TYPE), body, LARGEST)
        .await?
        .good("a certificate")?;
    let leaf = est::decode_enrolled(answer.content_type(), &answer.body, &spki_der)?;
    let chain = with_issuers(client, leaf).await?;
    let chain = chain.iter().map(|one| one.der().to_vec()).collect();
    match line.ask(Ask::Certificate(chain)).await? {
        Reply::Refused(no) => Err(Error::Keeper(no)),
        _ => Ok(()),
    }
}

/// The certificate with its issuers below the root: a peer that trusts the root needs them.
async fn with_issuers(client: &mut Client, leaf: Certificate) -> Result<Vec<Certificate>, Error> {
    let path = Operation::CaCerts.path();
    let answer = client.request(Method::GET, &path, None, Vec::new(), LARGEST).await?;
    let answer = answer.good("the CA's certificates")?;
    let authorities = est::decode_certs(answer.content_type(), &answer.body)?;
    let mut chain = vec![leaf];
    // At most as many steps as there are certificates, so that no circle goes on for ever.
    for _ in 0..authorities.len() {
        let Some(last) = chain.last() else { break };
        let issuer = authorities.iter().find(|authority| {
            authority.subject_der() == last.issuer_der()
                && authority.subject_der() != authority.issuer_der()
        });
        match issuer {
            Some(issuer) if !chain.contains(issuer) => chain.push(issuer.clone()),
            _ => break,
        }
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_refused_asks_less_and_less_often_and_never_stops() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut pace = Pace::default();
        let mut now = start;
        assert!(pace.is_due(now));
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
            pace.refused(now, second);
            let almost = Duration::from_millis(u64::from(expected) * 1000 - 1);
            assert!(!pace.is_due(now + almost), "{expected}");
            now += second * expected;
            assert!(pace.is_due(now), "{expected}");
        }
        pace.granted();
        assert!(pace.is_due(start));
    }
}
