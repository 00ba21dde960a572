//! The endorsement key: which one this TPM has a certificate for, its chain, and what the maker
//! makes it from (TCG EK Credential Profile v2.5 §2.2).

use crate::told::local;
use crate::tpm::Tpm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Endorsement, Error};
use touchstone_tpm2::nv::split_certificates;
use touchstone_tpm2::public::attributes::USER_WITH_AUTH;
use touchstone_tpm2::template::{ENDORSEMENT, EndorsementKind};
use touchstone_tpm2::{self as tpm2, Auth, Hierarchy, Object, Public, policy};

/// Where makers store the certificates above the endorsement key's.
const CHAIN_FIRST: u32 = 0x01C0_0100;
const CHAIN_LAST: u32 = 0x01C0_01FF;
/// More than any chain; keeps a strange TPM from filling our memory.
const CHAIN_INDICES: usize = 16;

/// The endorsement key in use.
pub(crate) struct Found {
    kind: &'static EndorsementKind,
    template: Public,
    pub(crate) endorsement: Endorsement,
}

impl Tpm {
    /// Finds the key once: the first kind with a certificate, else the first kind.
    pub(crate) fn find_endorsement(&mut self) -> Result<&Found, Error> {
        let found = match self.endorsement.take() {
            Some(found) => found,
            None => self.look_for_endorsement()?,
        };
        Ok(self.endorsement.insert(found))
    }

    fn look_for_endorsement(&mut self) -> Result<Found, Error> {
        let (kind, certificates) = self.endorsement_certificates()?;
        let template = self.endorsement_template(kind)?;
        let native_public =
            self.with_endorsement(kind, &template, |_, object| Ok(object.native.clone()))?;
        Ok(Found { kind, template, endorsement: Endorsement { native_public, certificates } })
    }

    fn endorsement_template(&mut self, kind: &EndorsementKind) -> Result<Public, Error> {
        let own = self.ask(|tpm| tpm.nv_read_open(kind.own_template))?;
        let nonce = match kind.nonce {
            Some(index) => self.ask(|tpm| tpm.nv_read_open(index))?,
            None => None,
        };
        kind.template_from(&AwsLc, own.as_deref(), nonce.as_deref()).map_err(local)
    }

    fn endorsement_certificates(
        &mut self,
    ) -> Result<(&'static EndorsementKind, Vec<Vec<u8>>), Error> {
        for kind in &ENDORSEMENT {
            let Some(stored) = self.ask(|tpm| tpm.nv_read_open(kind.certificate))? else {
                continue;
            };
            let mut certificates = split_certificates(&stored).map_err(local)?;
            if certificates.is_empty() {
                continue;
            }
            let mut chain = Vec::new();
            let indices = self.ask(|tpm| tpm.nv_defined(CHAIN_FIRST, CHAIN_LAST))?;
            for index in indices.into_iter().take(CHAIN_INDICES) {
                // §2.2.1.5: a certificate may continue in the next index.
                chain.extend(self.ask(|tpm| tpm.nv_read_open(index))?.unwrap_or_default());
            }
            certificates.extend(split_certificates(&chain).map_err(local)?);
            return Ok((kind, certificates));
        }
        let [first, ..] = &ENDORSEMENT;
        Ok((first, Vec::new()))
    }

    /// Lends out the endorsement key.
    pub(crate) fn with_endorsement_key<T>(
        &mut self,
        serve: impl FnOnce(&mut Self, &Object) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Found { kind, template, .. } = self.find_endorsement()?;
        let (kind, template) = (*kind, template.clone());
        self.with_endorsement(kind, &template, serve)
    }

    /// Authorizes a use of the endorsement key: by its empty value where that is enough, else by its
    /// policy, the endorsement hierarchy's authorization (§B.6.2).
    pub(crate) fn with_endorsement_auth<T>(
        &mut self,
        key: &Public,
        serve: impl FnOnce(&mut Self, Auth) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if key.attributes & USER_WITH_AUTH != 0 {
            return serve(self, Auth::empty());
        }
        if key.policy != policy::endorsement(&AwsLc, key.name_algorithm) {
            return Err(Error::Unsupported("the policy that the maker gave the endorsement key"));
        }
        self.with_policy(key.name_algorithm, |tpm, session| {
            tpm.ask(|tpm| tpm.policy_secret(session, Hierarchy::Endorsement))?;
            serve(tpm, Auth::policy(session))
        })
    }

    fn with_endorsement<T>(
        &mut self,
        kind: &EndorsementKind,
        template: &Public,
        serve: impl FnOnce(&mut Self, &Object) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // Making an RSA key takes a slow TPM half a minute; the maker may have kept it.
        let kept = self.ask(|tpm| match tpm.read_public(kind.persistent) {
            Ok(object) if object.public.is_like(template) => Ok(Some(object)),
            // Nothing is there, or something else: make it.
            Ok(_) | Err(tpm2::Error::Refused(_) | tpm2::Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(error),
        })?;
        if let Some(object) = kept {
            return serve(self, &object);
        }
        let object = self.primary(Hierarchy::Endorsement, template)?;
        let served = serve(self, &object);
        let flushed = self.ask(|tpm| tpm.flush(object.entity.handle));
        let served = served?;
        flushed?;
        Ok(served)
    }
}
