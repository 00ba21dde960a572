//! What the element says of the key to be certified: its attestation key certifies it, and opens the
//! credential by which a server has it proven that the attestation key is in this very TPM.

use super::request;
use crate::answer::Failure;
use crate::cli::{EstProof, Held};
use crate::element::failure;
use std::sync::{Arc, Mutex, PoisonError};
use touchstone_certs::Name;
use touchstone_certs::request::Attribute;
use touchstone_crypto::Signer;
use touchstone_crypto_awslc::AwsLc;
use touchstone_drive::element::Elements;
use touchstone_element::reference::Reference;
use touchstone_element::{Credential, Element, ElementSigner};
use touchstone_enroll::{Activation, TpmCertify};
use touchstone_evidence::endorse::{challenge_binding, ldevid_binding};

/// The element that has both keys.
pub(super) struct Prover {
    element: Arc<Mutex<Box<dyn Element>>>,
    /// The key to be certified.
    key: String,
    /// The attestation key.
    by: String,
    device: Option<String>,
}

/// The key to be certified, and who says where it lives if that is asked for.
pub(super) fn key(
    text: &str,
    proof: &EstProof,
    held: &Held,
) -> Result<(Arc<dyn Signer>, Option<Prover>), Failure> {
    let Some(attest_key) = &proof.attest_key else {
        return Ok((request::key(text, held)?, None));
    };
    let next = "give both as `element:tpm/NAME`, and the TPM with --element";
    let parsed = |text: &str| -> Result<Reference, Failure> {
        text.parse().map_err(|error| Failure::usage(format!("`{text}`: {error}"), next))
    };
    let (new, by) = (parsed(text)?, parsed(attest_key)?);
    let Some(name) = by.name().filter(|_| by.kind() == new.kind() && new.name().is_some()) else {
        return Err(Failure::usage("the two keys are not of one element", next));
    };
    let at = held.at.as_deref().map(request::location).transpose()?;
    let elements = Elements { at: at.into_iter().collect(), state: held.state.clone() };
    let (element, key) = elements.open(&new).map_err(|error| failure(&error))?;
    let element = Arc::new(Mutex::new(element));
    let signer = ElementSigner::new(Arc::clone(&element), &key).map_err(|error| failure(&error))?;
    let (by, device) = (name.to_owned(), proof.device.clone());
    Ok((Arc::new(signer), Some(Prover { element, key, by, device })))
}

impl Prover {
    /// The statement as an attribute of the request, in answer to the credential if there is one.
    pub(super) fn attribute(
        &self,
        subject: &Name,
        activation: Option<&Activation>,
    ) -> Result<Attribute, Failure> {
        let told = self.device.clone().or_else(|| subject.common_name_text());
        let device = told.ok_or_else(|| {
            Failure::usage("the device has no name", "give --device, or a --subject with a CN")
        })?;
        let mut element = self.element.lock().unwrap_or_else(PoisonError::into_inner);
        let attesting = element.attesting().ok_or_else(|| {
            let message = "this element attests nothing";
            Failure::usage(message, "give a TPM: `touchstone element info` lists abilities")
        })?;
        let binding = match activation {
            None => ldevid_binding(&AwsLc, &device),
            Some(Activation { blob, secret }) => {
                let credential = Credential { blob: blob.clone(), secret: secret.clone() };
                let opened = attesting.activate(&self.by, &credential).map_err(|error| {
                    let message = format!("the server's credential does not open: {error}");
                    let next = "give the attestation key with which this device was onboarded";
                    Failure::unknown(error.code(), message, next)
                })?;
                challenge_binding(&AwsLc, &device, opened.expose())
            }
        };
        let certified =
            attesting.certify(&self.key, &self.by, &binding).map_err(|error| failure(&error))?;
        let public = element.public_key(&self.key).map_err(|error| failure(&error))?;
        let public = public.map(|key| key.native).unwrap_or_default();
        let said = TpmCertify { attest: certified.attest, signature: certified.signature, public };
        said.to_attribute(&[]).map_err(|error| {
            Failure::unknown(error.code(), error, "`touchstone element info` shows how it is")
        })
    }
}
