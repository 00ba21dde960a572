//! What the fleet says about us, and what follows from it. The network half carries it and is not
//! believed: a result is signed, and about the evidence that was given last.

use super::{Error, Keeper, WELCOME, Welcome, lock};
use crate::link::Reply;
use std::net::SocketAddr;
use touchstone_appraise::ear::{Ear, verify_jwt};
use touchstone_appraise::{Tier, VerifierKey};
use touchstone_audit::Code;
use touchstone_crypto::Verified;
use touchstone_crypto_awslc::AwsLc;

/// The key that the fleet told first. It stays when we are onboarded anew: whoever could bring
/// another one could bring any verdict.
const VERIFIER: &str = "verifier.pem";

impl Keeper {
    /// Keeps what the fleet said at the end of onboarding.
    pub(super) fn welcome(&self, welcome: Welcome) -> Result<Reply, Error> {
        let mut known = lock(&self.known);
        if known.welcome.is_some() {
            return Err(Error::Forbidden("the device is onboarded already"));
        }
        if self.config.fleet.verifier.is_none() {
            key(&welcome.verifier_key_pem)?;
            match self.state.load(VERIFIER)? {
                Some(first) if first != welcome.verifier_key_pem.as_bytes() => {
                    return Err(Error::VerifierChanged(self.state.path(VERIFIER)));
                }
                Some(_) => {}
                None => self.state.store(VERIFIER, welcome.verifier_key_pem.as_bytes())?,
            }
        }
        tracing::info!(device = %welcome.device, "onboarded");
        self.state.store_json(WELCOME, &welcome)?;
        self.trail.name(&welcome.device);
        known.welcome = Some(welcome);
        drop(known);
        self.tell(Code::DeviceOnboarded, |event| event);
        Ok(Reply::Done)
    }

    /// Believes a result or not, and obeys it. True if a certificate may be asked for by it: what a
    /// warning is worth is for the fleet to say.
    pub(super) fn verdict(&self, token: &str) -> Result<Reply, Error> {
        self.haste.heard();
        let ear = self.believe(token)?;
        self.obey(&ear)?;
        let affirming = ear.status == Tier::Affirming;
        self.board.write(|status| {
            status.tier = ear.status.to_string();
            status.why = if affirming { Vec::new() } else { reasons(&ear) };
            status.issued = Some(ear.issued_at);
            status.attestations += 1;
        });
        Ok(Reply::Truth(matches!(ear.status, Tier::Affirming | Tier::Warning)))
    }

    /// The result is the fleet's, about us, and about the evidence that was given last.
    fn believe(&self, token: &str) -> Result<Verified<Ear>, Error> {
        let key = self.verifier()?;
        let ear = verify_jwt(&AwsLc, token, &[key]).map_err(Error::Result)?;
        let mut known = lock(&self.known);
        if known.welcome.as_ref().is_none_or(|welcome| welcome.device != ear.device) {
            return Err(Error::NotOurs("it is about another device"));
        }
        if known.nonce.is_none() || known.nonce != ear.nonce {
            return Err(Error::NotOurs("it is about other evidence"));
        }
        known.nonce = None;
        Ok(ear)
    }

    /// The pinned key, else the one that the fleet told when we were onboarded first.
    fn verifier(&self) -> Result<VerifierKey, Error> {
        let Some(path) = &self.config.fleet.verifier else {
            if let Some(told) = self.state.load(VERIFIER)? {
                return key(&String::from_utf8_lossy(&told));
            }
            // An agent before this one kept it in the welcome alone.
            let known = lock(&self.known);
            let welcome = known.welcome.as_ref();
            return key(&welcome
                .ok_or(Error::NotOurs("the device is not onboarded"))?
                .verifier_key_pem);
        };
        let pem = std::fs::read_to_string(path)
            .map_err(|error| Error::Verifier(format!("{}: {error}", path.display())))?;
        key(&pem)
    }

    /// The countermeasures, or their end.
    fn obey(&self, ear: &Verified<Ear>) -> Result<(), Error> {
        let reason = reasons(ear).join("; ");
        let (before, now) = (self.board.read().tier, ear.status.to_string());
        if before != now {
            if ear.status == Tier::Contraindicated {
                tracing::warn!("contraindicated: {reason}");
            }
            self.tell(Code::VerdictChanged, |event| {
                event.with("from", before).with("tier", now).with("why", &reason)
            });
        }
        let was = lock(&self.responder).current().is_some();
        let responded = self.respond(ear);
        // One that an agent before this took, of which no response tells.
        if ear.status == Tier::Affirming {
            lock(&self.responder).release()?;
        }
        match (was, lock(&self.responder).current().is_some()) {
            (false, true) => {
                tracing::warn!("in quarantine; the way to the fleet stays open");
                self.tell(Code::DeviceQuarantined, |event| event.with("why", &reason));
            }
            (true, false) => {
                tracing::info!("out of quarantine");
                self.tell(Code::DeviceReleased, |event| event);
            }
            _ => {}
        }
        responded
    }

    /// What stays reachable in quarantine. Only the configuration says so: where the fleet was found
    /// is known from the network half alone.
    pub(super) fn management(&self) -> Vec<SocketAddr> {
        let mut allow = self.config.respond.allow.clone();
        allow.extend(self.config.fleet.address.socket());
        allow.sort_unstable();
        allow.dedup();
        allow
    }
}

pub(super) fn reasons(ear: &Ear) -> Vec<String> {
    ear.failed().map(|control| format!("{}: {}", control.name, control.reason)).collect()
}

fn key(pem: &str) -> Result<VerifierKey, Error> {
    let fault = |error: &dyn ToString| Error::Verifier(error.to_string());
    let (label, der) =
        pem_rfc7468::decode_vec(pem.trim().as_bytes()).map_err(|error| fault(&error))?;
    if label != "PUBLIC KEY" {
        return Err(Error::Verifier(format!("a `{label}` where a `PUBLIC KEY` is wanted")));
    }
    VerifierKey::from_spki(&der).map_err(|error| fault(&error))
}
