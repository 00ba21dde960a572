//! Path validation (RFC 5280 §6.1) for device PKI: small, strict, on the crypto provider it is
//! given.
//!
//! Evaluated: signature, validity of every certificate with the anchor's, name chaining, basicConstraints, pathLenConstraint, keyCertSign, unknown critical extensions, extended
//! key usage of the leaf and of the CAs above it. Not evaluated, and therefore refused wherever a
//! path meets them: name constraints and policy constraints. Revocation is asked for elsewhere
//! ([`ocsp`](crate::ocsp)).
//!
//! Why not a library: `certval` was tried; it evaluates more than devices need and brings sixty
//! crates with it, among them a second implementation of the elliptic curves next to the provider
//! that was chosen (and certified) for them. `rustls-webpki` knows TLS names and purposes only, and
//! refuses critical extensions that EK certificates carry.

use crate::trust::{Chain, Purpose};
use crate::{Certificate, Error, Refusal};
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912};
use touchstone_crypto::Crypto;

/// CAs between leaf and anchor, the anchor included.
const MOST_ISSUERS: usize = 8;
/// Signatures verified in one search, so that crossed certificates cannot keep us busy.
const MOST_SIGNATURES: usize = 64;
/// TCG EK Credential Profile §3.2.16: `tcg-kp-EKCertificate`.
const EK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");

pub(crate) fn validate(
    crypto: &dyn Crypto,
    anchors: &[Certificate],
    leaf: &Certificate,
    intermediates: &[Certificate],
    at: u64,
    purpose: Purpose,
) -> Result<Chain, Error> {
    check_any(leaf, at)?;
    check_leaf(leaf, purpose).map_err(|reason| Error::refused(reason, leaf.subject()))?;
    let mut search = Search { crypto, anchors, intermediates, at, purpose, left: MOST_SIGNATURES };
    let mut issuers = Vec::new();
    search.climb(leaf, &mut issuers)?;
    Ok(Chain { leaf: leaf.clone(), issuers })
}

struct Search<'a> {
    crypto: &'a dyn Crypto,
    anchors: &'a [Certificate],
    intermediates: &'a [Certificate],
    at: u64,
    purpose: Purpose,
    left: usize,
}

impl Search<'_> {
    /// Extends `path` until an anchor has signed its end. The error is the most telling one: that of
    /// a candidate that was looked at, before that of having none.
    fn climb(&mut self, subject: &Certificate, path: &mut Vec<Certificate>) -> Result<(), Error> {
        let mut failure = Error::refused(Refusal::UntrustedIssuer, subject.subject());
        let (anchors, intermediates) = (self.anchors, self.intermediates);
        for anchor in anchors.iter().filter(|anchor| *anchor != subject) {
            match self.try_issuer(subject, anchor, path) {
                Ok(true) => {
                    path.push(anchor.clone());
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => failure = error,
            }
        }
        if path.len() + 1 >= MOST_ISSUERS {
            return Err(Error::refused(Refusal::TooMuchWork, subject.subject()));
        }
        for issuer in intermediates {
            if issuer == subject || path.contains(issuer) {
                continue;
            }
            match self.try_issuer(subject, issuer, path) {
                Ok(true) => {
                    path.push(issuer.clone());
                    match self.climb(issuer, path) {
                        Ok(()) => return Ok(()),
                        Err(error) => failure = error,
                    }
                    path.pop();
                }
                Ok(false) => {}
                Err(error) => failure = error,
            }
            if self.left == 0 {
                break;
            }
        }
        Err(failure)
    }

    /// Whether `issuer` signed `subject` and may have; `Ok(false)` if it is somebody else.
    fn try_issuer(
        &mut self,
        subject: &Certificate,
        issuer: &Certificate,
        path: &[Certificate],
    ) -> Result<bool, Error> {
        if !subject.names_as_issuer(issuer) {
            return Ok(false);
        }
        check_any(issuer, self.at)?;
        // RFC 5280 §4.2.1.9: self-issued certificates do not count.
        let below = path.iter().filter(|ca| !ca.names_as_issuer(ca)).count();
        check_issuer(issuer, below, self.purpose)
            .map_err(|reason| Error::refused(reason, issuer.subject()))?;
        let Some(left) = self.left.checked_sub(1) else {
            return Err(Error::refused(Refusal::TooMuchWork, subject.subject()));
        };
        self.left = left;
        subject.verify_signature(self.crypto, issuer.spki_der()).map(|()| true)
    }
}

fn check_any(certificate: &Certificate, at: u64) -> Result<(), Error> {
    let extensions = certificate.extensions();
    let refusal = if at < certificate.not_before() {
        Some(Refusal::NotYetValid)
    } else if at > certificate.not_after() {
        Some(Refusal::Expired)
    } else if extensions.unknown_critical {
        Some(Refusal::UnknownCriticalExtension)
    } else if certificate.subject_is_empty() && !extensions.names_critical {
        Some(Refusal::Nameless)
    } else if extensions.constrained {
        Some(Refusal::UnsupportedConstraints)
    } else {
        None
    };
    refusal.map_or(Ok(()), |reason| Err(Error::refused(reason, certificate.subject())))
}

/// RFC 5280 §6.1.4 (k) to (n), and the purposes a CA restricts itself to.
fn check_issuer(issuer: &Certificate, below: usize, purpose: Purpose) -> Result<(), Refusal> {
    let extensions = issuer.extensions();
    // RFC 5280 §4.1.2.6: a CA has a name.
    if !extensions.is_ca || issuer.subject_is_empty() {
        return Err(Refusal::NotACa);
    }
    if extensions.key_usage.is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(Refusal::MayNotSignCertificates);
    }
    if extensions.path_len.is_some_and(|most| below > usize::from(most)) {
        return Err(Refusal::PathTooLong);
    }
    match &extensions.extended_key_usage {
        Some(usages) if !allows(usages, purpose) => Err(Refusal::WrongPurpose),
        _ => Ok(()),
    }
}

fn check_leaf(leaf: &Certificate, purpose: Purpose) -> Result<(), Refusal> {
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

fn allows(usages: &[ObjectIdentifier], purpose: Purpose) -> bool {
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
