//! The device's audit log on its way to the fleet: from the entry on that the fleet has not taken yet.
//! Everything that counts is the keeper's and the fleet's; this half carries pages.

use super::{Error, Network, fleet};
use crate::link::{Ask, Reply};
use hyper::Method;
use serde::Deserialize;
use std::time::{Duration, Instant};

const PATH: &str = "/v1/device/log";
/// Octets of an answer.
const ANSWER: usize = 16 << 10;
/// Pages of one round: what is beyond comes with the next.
const PAGES: usize = 8;
/// So long nothing is sent after a no.
const PAUSE: Duration = Duration::from_mins(1);

/// How far the fleet has the log, as far as is known.
#[derive(Default)]
pub(super) struct Place {
    known: Option<Taken>,
    not_before: Option<Instant>,
}

/// The fleet's word for it.
#[derive(Clone, Deserialize)]
struct Taken {
    #[serde(default)]
    log: String,
    #[serde(default)]
    acknowledged: u64,
}

/// Whether the fleet wants to see another identity, which the next attestation comes with: what was
/// found on a device whose certificate was revoked for it is not to wait.
fn is_of_identity(error: &fleet::Error) -> bool {
    let fleet::Error::Refused { code, .. } = error else { return false };
    matches!(code.as_str(), "attest.certificate.revoked" | "attest.certificate.expired")
}

impl Network {
    /// Brings the fleet what is new. A no is no reason not to attest: it is told, and tried again later.
    pub(super) async fn deliver_log(&mut self) -> Result<(), Error> {
        if self.taken.not_before.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        self.taken.not_before = None;
        match self.deliver_pages().await {
            Err(Error::Fleet(error @ fleet::Error::Refused { .. })) => {
                tracing::warn!(code = error.code(), "{error}");
                let pause = if is_of_identity(&error) { Duration::ZERO } else { PAUSE };
                // What the fleet has may be another thing than what is known here.
                self.taken = Place { known: None, not_before: Instant::now().checked_add(pause) };
                Ok(())
            }
            delivered => delivered,
        }
    }

    async fn deliver_pages(&mut self) -> Result<(), Error> {
        for _ in 0..PAGES {
            let taken = match &self.taken.known {
                Some(taken) => taken.clone(),
                None => self.send_log(Method::GET, Vec::new()).await?,
            };
            let ask = Ask::Log { log: taken.log.clone(), after: taken.acknowledged };
            self.taken.known = Some(taken);
            let Reply::Bytes(page) = self.ask(ask).await? else { return Err(Error::Answer) };
            if page.is_empty() {
                break;
            }
            self.taken.known = Some(self.send_log(Method::POST, page).await?);
            self.pulse.beat();
        }
        Ok(())
    }

    async fn send_log(&mut self, method: Method, body: Vec<u8>) -> Result<Taken, Error> {
        let kind = Some("application/octet-stream");
        let answer = self.client.request(method, PATH, kind, body, ANSWER).await?;
        Ok(answer.good("the audit log")?.json("the audit log")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_waits_for_another_answer_but_not_for_another_identity() {
        let no = |code: &str| fleet::Error::Refused {
            what: "the audit log",
            status: 403,
            code: code.to_owned(),
            message: String::new(),
        };
        assert!(is_of_identity(&no("attest.certificate.revoked")));
        assert!(is_of_identity(&no("attest.certificate.expired")));
        assert!(!is_of_identity(&no("device.log.foreign")));
        assert!(!is_of_identity(&fleet::Error::Broken(String::new())));
    }
}
