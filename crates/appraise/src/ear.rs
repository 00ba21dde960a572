//! EAT Attestation Results (draft-ietf-rats-ear-04) as JWT and CWT, with the same claims: what
//! the Verifier says about one device, signed.
//!
//! Beside the draft's claims there are private ones, in the device's submodule: per control the
//! reason (`touchstone.controls`), what was not evaluated and why
//! (`touchstone.not_evaluated`), whether countermeasures wait (`touchstone.held`), the tenant and
//! the time of the evidence.

mod confirmation;
mod cwt;
mod error;
mod jwt;

pub use confirmation::Confirmation;
pub use cwt::{to_cbor, to_cwt, verify_cwt};
pub use error::Error;
pub use jwt::{to_json, to_jwt, verify_jwt};
/// A verifier's public key.
pub use touchstone_evidence::token::TokenKey as VerifierKey;

use crate::appraisal::{Appraisal, ControlResult, NotEvaluated, TrustVector};
use crate::verifier::DeviceFacts;
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_policy::ar4si::Tier;

/// The profile that an EAR names (draft-ietf-rats-ear-04 §3.1).
pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";
/// The profiles of earlier drafts that are read, too: -02 (`ear.status`), -03 (`ear_status`).
pub const EARLIER_PROFILES: [&str; 2] =
    ["tag:github.com,2023:veraison/ear", "tag:ietf.org,2026:rats/ear#03"];
/// The largest token that is read, in octets.
pub const MAX_TOKEN: usize = 256 * 1024;

/// An attestation result, not yet signed or just verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ear {
    /// When it was made, in Unix seconds (`iat`).
    pub issued_at: u64,
    /// Until when it may be relied upon, in Unix seconds (`exp`).
    pub expires: u64,
    /// Who appraised.
    pub verifier: VerifierId,
    /// The nonce of the evidence.
    pub nonce: Option<Vec<u8>>,
    /// The key that the result is bound to: the device's LDevID (`cnf`).
    pub confirmation: Option<Confirmation>,
    /// The device: the name of the one submodule.
    pub device: String,
    /// Whose device it is.
    pub tenant: String,
    /// When the evidence was made, in Unix seconds; `None` if nobody says, and no [`Gate`] takes
    /// that for fresh.
    ///
    /// [`Gate`]: crate::Gate
    pub evidence_at: Option<u64>,
    /// The overall tier.
    pub status: Tier,
    /// The trustworthiness vector.
    pub vector: TrustVector,
    /// The policy: `<name>/<version>`.
    pub policy_id: String,
    /// Per control, the reason.
    pub controls: Vec<ControlResult>,
    /// What no verdict rests on.
    pub not_evaluated: Vec<NotEvaluated>,
    /// Why the device shall take no countermeasure beyond telling and collecting for this result, if
    /// that is so: somebody has to approve first.
    pub held: Option<String>,
}

/// Who appraised (draft-ietf-rats-ear-04 §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierId {
    /// Who makes the verifier.
    pub developer: String,
    /// Which build of it.
    pub build: String,
}

impl VerifierId {
    /// This build.
    pub fn this() -> Self {
        Self {
            developer: "https://touchstone-trust.org".into(),
            build: concat!("touchstone-appraise ", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

/// Whether results of this profile are read.
fn is_known(profile: &str) -> bool {
    profile == PROFILE || EARLIER_PROFILES.contains(&profile)
}

impl Ear {
    /// The result of an appraisal, for `lifetime` seconds from when it was made.
    pub fn new(appraisal: &Appraisal, device: &DeviceFacts, lifetime: u64) -> Self {
        Self {
            issued_at: appraisal.appraised_at,
            expires: appraisal.appraised_at.saturating_add(lifetime),
            verifier: VerifierId::this(),
            nonce: None,
            confirmation: None,
            device: device.id.clone(),
            tenant: device.tenant.clone(),
            evidence_at: appraisal.evidence_at,
            status: appraisal.tier,
            vector: appraisal.vector,
            policy_id: appraisal.policy_id.clone(),
            controls: appraisal.controls.clone(),
            not_evaluated: appraisal.not_evaluated.clone(),
            held: None,
        }
    }

    /// With the nonce of the evidence.
    #[must_use]
    pub fn with_nonce(mut self, nonce: &[u8]) -> Self {
        self.nonce = Some(nonce.to_vec());
        self
    }

    /// Bound to a key.
    #[must_use]
    pub fn with_confirmation(mut self, confirmation: Confirmation) -> Self {
        self.confirmation = Some(confirmation);
        self
    }

    /// The controls that are neither met nor excepted.
    pub fn failed(&self) -> impl Iterator<Item = &ControlResult> {
        self.controls.iter().filter(|control| control.failed())
    }
}

#[cfg(test)]
mod tests;
