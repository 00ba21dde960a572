//! What a client makes of a stapled OCSP response: it counts while it holds, and a stated grace more.

use std::sync::Arc;
use touchstone_certs::ocsp::Response;
use touchstone_certs::{Certificate, PathInputs, Purpose, Refusal, Revocation, TrustStore};
use touchstone_crypto::Crypto;
use touchstone_tls::{Shown, StatusCheck, StatusFault};

/// Judges what servers staple to their certificates.
///
/// A certificate that says that its status is stapled (RFC 7633) is refused without one, every other
/// only where the client [insists](Self::insisting). What is stapled has to hold: a response that is
/// stale, about another certificate, or by somebody else ends the handshake, whoever needs it.
pub struct StapledStatus {
    crypto: Arc<dyn Crypto>,
    trust: TrustStore,
    insists: bool,
    grace: u64,
}

impl StapledStatus {
    /// For servers under these roots (DER); those that do not parse vouch for nobody.
    pub fn new(crypto: Arc<dyn Crypto>, roots: &[Vec<u8>]) -> Self {
        let roots = roots.iter().filter_map(|der| Certificate::decode(der).ok()).collect();
        Self { crypto, trust: TrustStore::new(roots), insists: false, grace: 0 }
    }

    /// The same, where every server has to staple.
    #[must_use]
    pub fn insisting(mut self) -> Self {
        self.insists = true;
        self
    }

    /// The same, where a response is believed for so many seconds after its `nextUpdate`.
    #[must_use]
    pub fn with_grace(mut self, seconds: u64) -> Self {
        self.grace = seconds;
        self
    }
}

impl StatusCheck for StapledStatus {
    fn check(&self, shown: &Shown<'_>) -> Result<(), StatusFault> {
        let mut certificates =
            shown.certificates.iter().filter_map(|der| Certificate::decode(der).ok());
        let leaf = certificates.next().ok_or(StatusFault::Unbelievable)?;
        let issuers: Vec<Certificate> = certificates.collect();
        let Some(octets) = shown.ocsp_response else {
            let needed = self.insists || leaf.must_staple();
            return if needed { Err(StatusFault::NotStapled) } else { Ok(()) };
        };
        let response = Response::decode(octets).map_err(|_| StatusFault::Unbelievable)?;
        let revocation = Revocation {
            responses: std::slice::from_ref(&response),
            grace: self.grace,
            leaf_only: true,
            ..Revocation::default()
        };
        let inputs = PathInputs::new(shown.at, Purpose::TlsServer).with_revocation(revocation);
        let valid = self.trust.validate_with(self.crypto.as_ref(), &leaf, &issuers, &inputs);
        valid.map(drop).map_err(|error| match error {
            touchstone_certs::Error::Refused { reason, .. } => fault(reason),
            _ => StatusFault::Unbelievable,
        })
    }
}

fn fault(reason: Refusal) -> StatusFault {
    match reason {
        Refusal::Revoked => StatusFault::Revoked,
        Refusal::Stale | Refusal::FutureUpdate => StatusFault::Stale,
        Refusal::UnknownStatus => StatusFault::Unknown,
        _ => StatusFault::Unbelievable,
    }
}

#[cfg(test)]
mod tests;
