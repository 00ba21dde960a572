//! Approvals: a person signs that this very response may be done to this very target. A statement is
//! believed by its signature and nothing else, so that it can be carried by anybody.
//!
//! ```json
//! { "schema": "touchstone.approval/1", "device": "gateway-17", "response": "r4",
//!   "action": "stop-unit", "target": "process 212 (/usr/bin/interlock) of interlock.service" }
//! ```

use super::journal::Response;
use crate::collect::finding::hex;
use serde::{Deserialize, Serialize};
use touchstone_certs::{Certificate, Purpose, TrustStore};
use touchstone_cms::SignedData;
use touchstone_crypto_awslc::AwsLc;

/// The schema of a statement.
pub const SCHEMA: &str = "touchstone.approval/1";

/// The longest envelope that is looked at, in octets.
pub const LONGEST: usize = 64 << 10;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// `touchstone.approval/1`
    pub schema: String,
    /// The device.
    pub device: String,
    /// The response's number on it.
    pub response: String,
    /// What is done.
    pub action: String,
    /// To what.
    pub target: String,
}

impl Statement {
    /// That a response of a device may be done.
    pub fn of(device: &str, response: &Response) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            device: device.to_owned(),
            response: response.id.clone(),
            action: response.action.to_string(),
            target: response.target.to_string(),
        }
    }
}

/// Somebody who may approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// SHA-256 of the public key: two certificates of one person's key are one person.
    pub key: String,
    /// The name in the certificate.
    pub name: String,
}

/// Why an approval does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nobody may approve.
    #[error("nobody may approve; name who may as `approvers` in [respond]")]
    Nobody,
    /// It is not signed as it has to be.
    #[error("the approval is not believed: {0}")]
    Signature(String),
    /// It says something else.
    #[error("the approval is for something else; approve of what `touchstone respond list` shows")]
    Other,
}

impl Fault {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Nobody => "agent.approval.nobody",
            Self::Signature(_) => "agent.approval.signature",
            Self::Other => "agent.approval.other",
        }
    }
}

/// Who approves, if one person does, whose certificate leads to `approvers`, and of `wanted`.
pub fn verify(
    envelope: &[u8],
    wanted: &Statement,
    approvers: &[Certificate],
    now: u64,
) -> Result<Approver, Fault> {
    let bad = |error: &dyn ToString| Fault::Signature(error.to_string());
    if approvers.is_empty() {
        return Err(Fault::Nobody);
    }
    if envelope.len() > LONGEST {
        return Err(bad(&"it is longer than any approval"));
    }
    let signed = SignedData::decode(envelope).map_err(|error| bad(&error))?;
    let signed = signed.verify(&AwsLc).map_err(|error| bad(&error))?.into_inner();
    let statement: Statement =
        serde_json::from_slice(signed.content()).map_err(|error| bad(&error))?;
    let [by] = signed.signers() else { return Err(bad(&"it has not one signer")) };
    let certificate = &by.certificate;
    let pinned = approvers.iter().any(|known| known.der() == certificate.der());
    if pinned {
        if !(certificate.not_before()..certificate.not_after()).contains(&now) {
            return Err(bad(&"the certificate does not count now"));
        }
    } else {
        TrustStore::new(approvers.to_vec())
            .validate(&AwsLc, certificate, signed.certificates(), now, Purpose::CodeSigning)
            .map_err(|error| bad(&error))?;
    }
    if statement != *wanted {
        return Err(Fault::Other);
    }
    let key = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.spki_der());
    Ok(Approver { key: hex(key.as_ref()), name: certificate.subject().to_owned() })
}
