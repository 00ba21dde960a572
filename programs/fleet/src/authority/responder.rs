//! Certificate status (RFC 6960): delegates that answer for an issuing CA, and answers that are kept.
//!
//! The CA's own key signs no answers: each issuing CA has a delegate with a key in memory and a
//! certificate of two days. An answer without a nonce is signed once and handed out while it holds
//! (RFC 5019 §2.2), unless the status changes meanwhile.

use super::{Authority, For, Issued, Issuing, common_name};
use crate::store::{self, Store};
use crate::{Error, clock};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::ocsp::{self, CertId, Reason, Request, Responder};
use touchstone_certs::{Certificate, Name};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

/// How long a delegate's certificate is valid, in seconds. Nobody asks about it, so it is short.
const LIFETIME: u64 = 2 * 86400;
/// Answers that are kept. Each takes about a kilobyte.
const KEPT: usize = 50_000;

/// An answer to a question about status.
#[derive(Clone, Debug)]
pub struct Status {
    /// The OCSP response, DER.
    pub octets: Arc<[u8]>,
    /// From when it holds.
    pub from: u64,
    /// Until when it holds.
    pub until: u64,
    /// It answers a nonce, and so this one question only.
    pub once: bool,
}

/// Who answers for an issuing CA, and what was answered.
#[derive(Default)]
pub(super) struct Delegates {
    delegate: tokio::sync::Mutex<Option<Arc<Delegate>>>,
    /// By question: what was found then, and what was answered.
    kept: Mutex<HashMap<Vec<u8>, Kept>>,
}

type Kept = (Vec<ocsp::Status>, Status);

struct Delegate {
    key: SoftSigner,
    certificate: Certificate,
}

impl Authority {
    /// The answer to a question; `None` when it is about nobody's certificates that we issue.
    pub async fn status(&self, store: &Store, request: &Request) -> Result<Option<Status>, Error> {
        let issuing = self
            .signers()
            .find(|ca| request.ids().iter().any(|id| id.is_of(&AwsLc, &ca.certificate)));
        let Some(issuing) = issuing else { return Ok(None) };
        let serials: Vec<String> = request.ids().iter().map(CertId::serial).collect();
        let id = issuing.id.clone();
        let found = store
            .call(move |db| {
                let now = clock::now();
                let mut found = Vec::with_capacity(serials.len());
                for serial in &serials {
                    let row = db.certificate(&id, serial, now)?;
                    found.push(status_of(row.map(|row| row.status)));
                }
                Ok(found)
            })
            .await?;
        let holds = self.ocsp.holds.as_secs();
        issuing.answer(store, request, found, holds).await.map(Some)
    }

    /// How long a stapled answer holds.
    pub fn staples_hold(&self) -> Duration {
        self.ocsp.holds.min(Duration::from_hours(1))
    }

    /// What is stapled to one of our own certificates.
    pub async fn staple(&self, store: &Store, certificate: &Certificate) -> Result<Status, Error> {
        let issuer = self
            .signers()
            .find(|ca| certificate.issuer_der() == ca.certificate.subject_der())
            .ok_or_else(|| Error::Unknown {
                what: "issuing CA",
                name: certificate.issuer().to_owned(),
            })?;
        let request = Request::new(&AwsLc, certificate, &issuer.certificate, None)
            .map_err(Error::crypto("a question about status"))?;
        self.status(store, &request).await?.ok_or(Error::Closed)
    }
}

impl Issuing {
    /// `found` is the status of each certificate that is asked about.
    async fn answer(
        &self,
        store: &Store,
        request: &Request,
        found: Vec<ocsp::Status>,
        holds: u64,
    ) -> Result<Status, Error> {
        let now = clock::now();
        let failed = || Error::crypto("an OCSP answer");
        let once = request.nonce().is_some();
        let question = request.encode().map_err(failed())?;
        if !once && let Some(kept) = self.delegates.kept(&question, &found, now) {
            return Ok(kept);
        }
        let delegate = self.delegate(store).await?;
        let (from, until) = (now, now.saturating_add(holds));
        let responder =
            Responder::new(&AwsLc, &self.certificate, &delegate.certificate, &delegate.key, now)
                .map_err(failed())?;
        let serials: Vec<String> = request.ids().iter().map(CertId::serial).collect();
        let octets = responder
            .respond(&AwsLc, request, from, until, |serial| {
                let index = serials.iter().position(|one| one == serial);
                index.and_then(|index| found.get(index)).copied().unwrap_or(ocsp::Status::Unknown)
            })
            .map_err(failed())?;
        let status = Status { octets: octets.into(), from, until, once };
        if !once {
            self.delegates.keep(question, found, &status, now);
        }
        Ok(status)
    }

    /// Who answers now. One that is half over is replaced; where that fails it goes on to its end.
    async fn delegate(&self, store: &Store) -> Result<Arc<Delegate>, Error> {
        let mut held = self.delegates.delegate.lock().await;
        let now = clock::now();
        let left = |delegate: &Arc<Delegate>| delegate.certificate.not_after().saturating_sub(now);
        if let Some(delegate) = held.as_ref().filter(|delegate| left(delegate) > LIFETIME / 2) {
            return Ok(Arc::clone(delegate));
        }
        match self.new_delegate(store, now).await {
            Ok(delegate) => Ok(Arc::clone(held.insert(Arc::new(delegate)))),
            Err(error) => match held.as_ref().filter(|delegate| left(delegate) > 0) {
                Some(delegate) => {
                    tracing::error!(code = error.code(), %error, "the OCSP delegate stays");
                    Ok(Arc::clone(delegate))
                }
                None => Err(error),
            },
        }
    }

    async fn new_delegate(&self, store: &Store, now: u64) -> Result<Delegate, Error> {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256)
            .map_err(Error::crypto("an OCSP key"))?;
        let name = self.certificate.common_name().unwrap_or_default();
        let subject: Name =
            common_name(&name.chars().take(58).chain(" OCSP".chars()).collect::<String>())?;
        let from = now.saturating_sub(super::BACKDATED).max(self.certificate.not_before());
        let waiting = Template::new(Kind::OcspResponder, subject, from, now + LIFETIME)
            .to_be_signed(&AwsLc, &self.certificate, self.key.algorithm(), key.spki_der())
            .map_err(Error::crypto("an OCSP delegate"))?;
        let certificate = self.key.finish("an OCSP delegate", waiting).await?;
        let issued = Issued {
            certificate: certificate.clone(),
            what: For::Responder,
            profile: For::Responder.name().to_owned(),
            issuer: self.id.clone(),
            crl: self.name.clone(),
        };
        let row = issued.row(None);
        store.call(move |db| db.add_certificate(&row, clock::now())).await?;
        Ok(Delegate { key, certificate })
    }
}

impl Delegates {
    /// An answer to the same question that says the same, and holds for more than half its time.
    fn kept(&self, question: &[u8], found: &[ocsp::Status], now: u64) -> Option<Status> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, status) = kept.get(question)?;
        let fresh =
            now >= status.from && now < status.from.midpoint(status.until).max(status.from + 1);
        (fresh && said == found).then(|| status.clone())
    }

    fn keep(&self, question: Vec<u8>, found: Vec<ocsp::Status>, status: &Status, now: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.retain(|_, (_, status)| status.until > now);
        }
        if kept.len() < KEPT {
            kept.insert(question, (found, status.clone()));
        }
    }
}

fn status_of(recorded: Option<store::Status>) -> ocsp::Status {
    match recorded {
        None => ocsp::Status::Unknown,
        Some(store::Status::Good | store::Status::Expired) => ocsp::Status::Good,
        Some(store::Status::Revoked { at, reason }) => {
            ocsp::Status::Revoked { at, reason: reason_of(&reason) }
        }
    }
}

/// Why, in the words of RFC 5280 §5.3.1.
pub(super) fn reason_of(recorded: &str) -> Reason {
    match recorded {
        "contraindicated" => Reason::PrivilegeWithdrawn,
        other => Reason::from_name(other).unwrap_or(Reason::Unspecified),
    }
}
