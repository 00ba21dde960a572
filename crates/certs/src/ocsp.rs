//! OCSP (RFC 6960): is this certificate still good?
//!
//! Both sides: a responder that answers with the issuer's key or a delegate's, and a client that
//! checks the answer. Moving the octets (HTTP, `application/ocsp-request`) is the caller's.

mod request;
mod respond;
mod response;
mod wire;

pub use request::{CertId, Request};
pub use respond::{Presigned, Responder, error_response};
pub use response::{Checked, Response};

use x509_cert::ext::pkix::CrlReason;

/// The media type of a request (RFC 6960 A.1).
pub const REQUEST_TYPE: &str = "application/ocsp-request";
/// The media type of a response (RFC 6960 A.2).
pub const RESPONSE_TYPE: &str = "application/ocsp-response";

/// The state of a certificate (RFC 6960 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Issued, and not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// Since when.
        at: u64,
        /// Why.
        reason: Reason,
    },
    /// Not known to the responder.
    Unknown,
}

/// Why a certificate was revoked (RFC 5280 §5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing was said.
    Unspecified,
    /// The key is in other hands.
    KeyCompromise,
    /// The issuer's key is in other hands.
    CaCompromise,
    /// The subject's name or role changed.
    AffiliationChanged,
    /// Replaced by another certificate.
    Superseded,
    /// No longer needed.
    CessationOfOperation,
    /// Revoked for the time being.
    CertificateHold,
    /// Taken off hold (in delta CRLs).
    RemoveFromCrl,
    /// The subject may no longer what the certificate says: its evidence was refused.
    PrivilegeWithdrawn,
    /// An attribute authority's key is in other hands.
    AaCompromise,
}

/// What a responder says when it gives no answer (RFC 6960 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The request did not parse.
    MalformedRequest,
    /// Something broke on this side.
    InternalError,
    /// Come back later.
    TryLater,
    /// Not for this client, or not about this issuer.
    Unauthorized,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The reason of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Its name in RFC 5280 §5.3.1.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }

    pub(crate) fn to_wire(self) -> CrlReason {
        match self {
            Self::Unspecified => CrlReason::Unspecified,
            Self::KeyCompromise => CrlReason::KeyCompromise,
            Self::CaCompromise => CrlReason::CaCompromise,
            Self::AffiliationChanged => CrlReason::AffiliationChanged,
            Self::Superseded => CrlReason::Superseded,
            Self::CessationOfOperation => CrlReason::CessationOfOperation,
            Self::CertificateHold => CrlReason::CertificateHold,
            Self::RemoveFromCrl => CrlReason::RemoveFromCRL,
            Self::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
            Self::AaCompromise => CrlReason::AaCompromise,
        }
    }

    pub(crate) fn from_wire(reason: CrlReason) -> Self {
        match reason {
            CrlReason::Unspecified => Self::Unspecified,
            CrlReason::KeyCompromise => Self::KeyCompromise,
            CrlReason::CaCompromise => Self::CaCompromise,
            CrlReason::AffiliationChanged => Self::AffiliationChanged,
            CrlReason::Superseded => Self::Superseded,
            CrlReason::CessationOfOperation => Self::CessationOfOperation,
            CrlReason::CertificateHold => Self::CertificateHold,
            CrlReason::RemoveFromCRL => Self::RemoveFromCrl,
            CrlReason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
            CrlReason::AaCompromise => Self::AaCompromise,
        }
    }
}
