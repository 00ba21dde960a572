//! What a certificate may be relied upon for: key usage and extended key usage.

use crate::trust::Purpose;
use crate::{Certificate, Refusal};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912};

/// TCG EK Credential Profile §3.2.16: `tcg-kp-EKCertificate`.
const EK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");

pub(super) fn check_leaf(leaf: &Certificate, purpose: Purpose) -> Result<(), Refusal> {
    let extensions = leaf.extensions();
    // RFC 5280 §4.2.1.3: who signs certificates is a CA; and a CA is no device, server or signer.
    let signs_certificates = extensions.key_usage.is_some_and(|usage| usage.key_cert_sign());
    if purpose != Purpose::Any && (extensions.is_ca || signs_certificates) {
        return Err(Refusal::WrongPurpose);
    }
    let usage_fits = extensions.key_usage.is_none_or(|usage| match purpose {
        Purpose::Any => true,
        Purpose::EndorsementKey => usage.key_encipherment() || usage.key_agreement(),
        _ => usage.digital_signature(),
    });
    let extended_fits = match &extensions.extended_key_usage {
        Some(usages) => leaf_allows(usages, purpose),
        None => !must_be_named(purpose),
    };
    if usage_fits && extended_fits { Ok(()) } else { Err(Refusal::WrongPurpose) }
}

/// A certificate that only leaves its use open may not speak for an element, sign code, or answer
/// for a CA.
fn must_be_named(purpose: Purpose) -> bool {
    matches!(purpose, Purpose::EndorsementKey | Purpose::CodeSigning | Purpose::OcspSigning)
}

fn leaf_allows(usages: &[ObjectIdentifier], purpose: Purpose) -> bool {
    if must_be_named(purpose) {
        return named(purpose).is_none_or(|wanted| usages.contains(&wanted));
    }
    allows(usages, purpose)
}

pub(super) fn allows(usages: &[ObjectIdentifier], purpose: Purpose) -> bool {
    named(purpose).is_none_or(|wanted| {
        usages.contains(&wanted) || usages.contains(&rfc5280::ANY_EXTENDED_KEY_USAGE)
    })
}

fn named(purpose: Purpose) -> Option<ObjectIdentifier> {
    match purpose {
        Purpose::EndorsementKey => Some(EK_CERTIFICATE),
        Purpose::DeviceIdentity | Purpose::TlsClient => Some(rfc5912::ID_KP_CLIENT_AUTH),
        Purpose::TlsServer => Some(rfc5912::ID_KP_SERVER_AUTH),
        Purpose::CodeSigning => Some(rfc5912::ID_KP_CODE_SIGNING),
        Purpose::OcspSigning => Some(rfc5912::ID_KP_OCSP_SIGNING),
        Purpose::Any => None,
    }
}
