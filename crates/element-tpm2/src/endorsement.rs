//! The endorsement key: which one this TPM has a certificate for, and its chain (TCG EK Credential
//! Profile v2.5 §2.2).

use crate::told::local;
use crate::tpm::Tpm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::{Endorsement, Error};
use touchstone_tpm2::nv::split_certificates;
use touchstone_tpm2::template::{ENDORSEMENT, EndorsementKind};
use touchstone_tpm2::{self as tpm2, Hierarchy, Object};

/// Where makers store the certificates above the endorsement key's.
const CHAIN_FIRST: u32 = 0x01C0_0100;
const CHAIN_LAST: u32 = 0x01C0_01FF;
/// More than any chain; keeps a strange TPM from filling our memory.
const CHAIN_INDICES: usize = 16;

/// The endorsement key in use.
pub(crate) struct Found {
    kind: &'static EndorsementKind,
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
        let native_public = self.with_endorsement(kind, |_, object| Ok(object.native.clone()))?;
        Ok(Found { kind, endorsement: Endorsement { native_public, certificates } })
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

    /// Lends out the endorsement key, and says whether its use takes the policy.
    pub(crate) fn with_endorsement_key<T>(
        &mut self,
        serve: impl FnOnce(&mut Self, &Object, bool) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let kind = self.find_endorsement()?.kind;
        self.with_endorsement(kind, |tpm, object| serve(tpm, object, kind.by_policy))
    }

    fn with_endorsement<T>(
        &mut self,
        kind: &EndorsementKind,
        serve: impl FnOnce(&mut Self, &Object) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let template = (kind.template)(&AwsLc);
        // Making an RSA key takes a slow TPM half a minute; the maker may have kept it.
        let kept = self.ask(|tpm| match tpm.read_public(kind.persistent) {
            Ok(object) if object.public.is_like(&template) => Ok(Some(object)),
            // Nothing is there, or something else: make it.
            Ok(_) | Err(tpm2::Error::Refused(_) | tpm2::Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(error),
        })?;
        if let Some(object) = kept {
            return serve(self, &object);
        }
        let object = self.primary(Hierarchy::Endorsement, &template)?;
        let served = serve(self, &object);
        let flushed = self.ask(|tpm| tpm.flush(object.entity.handle));
        let served = served?;
        flushed?;
        Ok(served)
    }
}
