//! Who gets a certificate: a device whose last verdict is affirming and fresh, for a key that its
//! TPM vouches for.

use super::identify::Person;
use super::{Judge, No};
use crate::authority::{For, alternative_name, row, sha256_hex};
use crate::serve::Peer;
use crate::store::DeviceRow;
use crate::{Error, clock};
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_crypto_awslc::AwsLc;
use touchstone_enroll::AttestedRequest;
use touchstone_evidence::endorse::ldevid_binding;
use touchstone_evidence::tpm::{LakPublic, verify_certify};

/// Seconds within which the same request gets the same certificate.
const RESENT: u64 = 30;

/// Why no certificate was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotIssued {
    /// Nobody showed a certificate.
    NoCertificate,
    /// The request does not parse or does not verify.
    Malformed {
        /// The stable code.
        code: &'static str,
        /// What is wrong.
        text: String,
    },
    /// Judged, and no.
    Judged {
        /// The stable code.
        code: &'static str,
        /// Why, and what to do.
        text: String,
    },
    /// It could not be done now.
    Failed,
}

impl From<No> for NotIssued {
    fn from(no: No) -> Self {
        match no {
            No::Refused { code, text } => Self::Judged { code, text },
            No::Failed => Self::Failed,
        }
    }
}

impl From<Error> for NotIssued {
    fn from(error: Error) -> Self {
        No::from(error).into()
    }
}

impl Judge {
    /// A certificate for the request, or why not. `again` is `simplereenroll` (RFC 7030 §4.2.2).
    pub async fn certify(
        &self,
        peer: &Peer,
        request: CertificateRequest,
        again: bool,
    ) -> Result<Certificate, NotIssued> {
        if peer.certificates.is_empty() {
            return Err(NotIssued::NoCertificate);
        }
        let (device, renewed) = match (self.identify(peer).await?.person, again) {
            (Person::Made(Some(device)), false) => (*device, None),
            (Person::Enrolled(device, row), true) => (*device, Some(row.spki_sha256)),
            (Person::Made(None), _) => {
                return Err(judged("est.device.unknown", "onboard the device first"));
            }
            (Person::Made(_), true) => {
                return Err(judged("est.certificate", "renewal wants the current LDevID in TLS"));
            }
            _ => return Err(judged("est.certificate", "enrolment wants the IDevID in TLS")),
        };
        let request = request.verify(&AwsLc).map_err(|error| NotIssued::Malformed {
            code: "est.request.signature",
            text: error.to_string(),
        })?;
        // RFC 7030 §4.2.2: a renewal may keep its key, whose place the TPM has vouched for already.
        let sha256 = sha256_hex(request.spki_der());
        if renewed.as_ref() != Some(&sha256) {
            proven(request.clone().into_inner(), &device)?;
        }
        self.issue(&device, request.spki_der(), sha256).await
    }

    async fn issue(
        &self,
        device: &DeviceRow,
        spki: &[u8],
        sha256: String,
    ) -> Result<Certificate, NotIssued> {
        let id = device.id.clone();
        let now = clock::now();
        let lifetime = self.config.certificate_lifetime.as_secs();
        let (verdict, current) = self
            .store
            .call(move |db| Ok((db.standing(&id, now)?, db.current_certificate(&id, now)?)))
            .await?;
        verdict.map_err(|words| judged("est.verdict.not-affirming", words))?;
        // A request that is sent again soon, for want of an answer, is answered as before.
        let soon = RESENT.min(lifetime / 8);
        if let Some(row) = current
            && row.spki_sha256 == sha256
            && row.not_after.saturating_sub(now) >= lifetime.saturating_sub(soon)
        {
            return Certificate::decode(&row.der).map_err(|_| NotIssued::Failed);
        }
        let names = vec![alternative_name(&format!("urn:touchstone:device:{}", device.id))];
        let certificate = self.authority.issue(For::Device, &device.id, names, spki, lifetime)?;
        let new = row(&certificate, For::Device, Some(&device.id))?;
        let added = self.store.call(move |db| db.add_device_certificate(&new, now)).await?;
        added.map_err(|words| judged("est.verdict.not-affirming", words))?;
        Ok(certificate)
    }
}

/// The key lives in the device's TPM: its attestation key says so.
fn proven(request: CertificateRequest, device: &DeviceRow) -> Result<(), NotIssued> {
    let spki = request.spki_der().to_vec();
    let request = AttestedRequest::from_request(request)
        .map_err(|error| judged(error.code(), error.to_string()))?;
    let refused = |error: touchstone_evidence::Error| judged(error.code(), error.to_string());
    let lak = LakPublic::from_native(&device.lak_public).map_err(refused)?;
    let certify = request.certify();
    let certified = verify_certify(
        &AwsLc,
        &certify.attest,
        &certify.signature,
        &lak,
        &certify.public,
        &ldevid_binding(&AwsLc, &device.id),
    )
    .map_err(refused)?;
    if certified.public.spki_der != spki {
        return Err(judged("est.key.other", "the TPM certified another key than the request's"));
    }
    if !certified.public.attributes.is_bound() || !certified.public.attributes.signs() {
        let words = "the key is not a signing key that is bound to the TPM";
        return Err(judged("est.key.attributes", words));
    }
    Ok(())
}

fn judged(code: &'static str, text: impl Into<String>) -> NotIssued {
    NotIssued::Judged { code, text: text.into() }
}
