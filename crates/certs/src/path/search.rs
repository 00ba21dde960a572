//! Building paths (RFC 4158): from the leaf up, several candidates at each step, bounded work.

use super::{MOST_ISSUERS, purpose, walk};
use crate::certificate::Signed;
use crate::trust::{Chain, PathInputs, Purpose};
use crate::{Certificate, Error, Refusal, algorithm};
use alloc::vec::Vec;
use touchstone_crypto::Crypto;

/// Signatures verified in one search, so that crossed certificates cannot keep us busy.
const MOST_SIGNATURES: usize = 256;
/// Names compared with constraints in one search.
const MOST_COMPARISONS: usize = 250_000;

pub(super) struct Search<'a> {
    pub(super) crypto: &'a dyn Crypto,
    pub(super) anchors: &'a [Certificate],
    pub(super) intermediates: &'a [Certificate],
    pub(super) inputs: &'a PathInputs<'a>,
    pub(super) comparisons: usize,
    signatures: usize,
    /// Signers of CRLs that are being judged, so that none vouches for itself.
    pub(super) crl_signers: Vec<Certificate>,
}

/// One search for a path from a leaf.
struct Climb<'a> {
    leaf: &'a Certificate,
    purpose: Purpose,
    /// The only anchor that counts (RFC 5280 §6.3.3 (f)).
    anchor: Option<&'a Certificate>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        crypto: &'a dyn Crypto,
        anchors: &'a [Certificate],
        intermediates: &'a [Certificate],
        inputs: &'a PathInputs<'a>,
    ) -> Self {
        let (signatures, comparisons) = (MOST_SIGNATURES, MOST_COMPARISONS);
        let crl_signers = Vec::new();
        Self { crypto, anchors, intermediates, inputs, comparisons, signatures, crl_signers }
    }

    pub(super) fn find(&mut self, leaf: &Certificate) -> Result<Chain, Error> {
        self.climb(&Climb { leaf, purpose: self.inputs.purpose, anchor: None })
    }

    /// A path to the signer of a CRL, from the anchor of the path that the CRL is about.
    pub(super) fn find_crl_signer(
        &mut self,
        signer: &Certificate,
        anchor: &Certificate,
    ) -> Result<Chain, Error> {
        self.climb(&Climb { leaf: signer, purpose: Purpose::Any, anchor: Some(anchor) })
    }

    fn climb(&mut self, climb: &Climb<'_>) -> Result<Chain, Error> {
        let leaf = climb.leaf;
        self.check_any(leaf)?;
        walk::check_end(leaf)
            .and_then(|()| purpose::check_leaf(leaf, climb.purpose))
            .map_err(|reason| Error::refused(reason, leaf.subject()))?;
        self.step(climb, leaf, &mut Vec::new())
    }

    /// Extends `path` until an anchor has signed its end and all of it stands. The error is the most
    /// telling one: that of a candidate that was looked at, before that of having none.
    fn step(
        &mut self,
        climb: &Climb<'_>,
        subject: &Certificate,
        path: &mut Vec<Certificate>,
    ) -> Result<Chain, Error> {
        let mut failure = None;
        for anchor in candidates(subject, self.anchors) {
            if climb.anchor.is_some_and(|only| only != anchor) {
                continue;
            }
            let chain = self.try_issuer(climb, subject, anchor, path).and_then(|()| {
                path.push(anchor.clone());
                let chain = walk::walk(self, climb.leaf, path, climb.anchor.is_none());
                path.pop();
                chain
            });
            match chain {
                Ok(chain) => return Ok(chain),
                Err(error) => more_telling(&mut failure, error),
            }
        }
        for issuer in candidates(subject, self.intermediates) {
            if path.contains(issuer) || issuer == climb.leaf || self.anchors.contains(issuer) {
                continue;
            }
            if path.len() + 1 >= MOST_ISSUERS {
                more_telling(&mut failure, Error::refused(Refusal::TooMuchWork, subject.subject()));
                break;
            }
            let chain = self.try_issuer(climb, subject, issuer, path).and_then(|()| {
                path.push(issuer.clone());
                let chain = self.step(climb, issuer, path);
                path.pop();
                chain
            });
            match chain {
                Ok(chain) => return Ok(chain),
                Err(error) => more_telling(&mut failure, error),
            }
            if self.signatures == 0 {
                break;
            }
        }
        Err(failure.unwrap_or_else(|| Error::refused(Refusal::UntrustedIssuer, subject.subject())))
    }

    /// Whether `issuer` signed `subject` and may have.
    fn try_issuer(
        &mut self,
        climb: &Climb<'_>,
        subject: &Certificate,
        issuer: &Certificate,
        path: &[Certificate],
    ) -> Result<(), Error> {
        self.check_any(issuer)?;
        // RFC 5280 §4.2.1.9: self-issued certificates do not count.
        let below = path.iter().filter(|ca| !ca.is_self_issued()).count();
        if below >= self.inputs.most_issuers {
            return Err(Error::refused(Refusal::TooMuchWork, subject.subject()));
        }
        check_issuer(issuer, below, climb.purpose)
            .map_err(|reason| Error::refused(reason, issuer.subject()))?;
        self.verify(&subject.signed(), issuer.spki_der())
            .map_err(|reason| Error::refused(reason, subject.subject()))
    }

    /// A signature, counted, by an algorithm that is accepted.
    pub(super) fn verify(&mut self, signed: &Signed<'_>, spki_der: &[u8]) -> Result<(), Refusal> {
        self.signatures = self.signatures.checked_sub(1).ok_or(Refusal::TooMuchWork)?;
        let algorithm = algorithm::decode_old_signature(signed.algorithm, spki_der)
            .map_err(|_| Refusal::UnsupportedAlgorithm)?;
        self.inputs.algorithms.check_signature(algorithm)?;
        signed.verify_by(self.crypto, algorithm, spki_der)
    }

    /// What holds for every certificate of a path.
    fn check_any(&self, certificate: &Certificate) -> Result<(), Error> {
        let (extensions, at) = (certificate.extensions(), self.inputs.at);
        let nameless = certificate.subject_folded().is_empty();
        let refusal = if at < certificate.not_before() {
            Some(Refusal::NotYetValid)
        } else if at > certificate.not_after() {
            Some(Refusal::Expired)
        } else if extensions.unknown_critical {
            Some(Refusal::UnknownCriticalExtension)
        } else if extensions.wrong_criticality {
            Some(Refusal::WrongCriticality)
        } else if nameless && !extensions.names_critical {
            Some(Refusal::Nameless)
        } else if certificate.issuer_folded().is_empty() {
            Some(Refusal::IssuerNameless)
        } else if certificate.serial_octets().len() > 20 {
            Some(Refusal::LongSerial)
        } else {
            self.inputs.algorithms.check_key(certificate.spki_der()).err()
        };
        refusal.map_or(Ok(()), |reason| Err(Error::refused(reason, certificate.subject())))
    }
}

/// Those with the name of `subject`'s issuer. First those with the key identifier that it names,
/// last those with another (RFC 4158 §3.5.12): a hint decides the order and nothing else.
fn candidates<'a>(
    subject: &Certificate,
    among: &'a [Certificate],
) -> impl Iterator<Item = &'a Certificate> {
    let hint = subject.authority_key_id().map(<[u8]>::to_vec);
    let mut found: Vec<_> = among
        .iter()
        .filter(|issuer| *issuer != subject && subject.names_as_issuer(issuer))
        .collect();
    found.sort_by_key(|issuer| match (&hint, issuer.subject_key_id()) {
        (Some(wanted), Some(id)) if wanted == id => 0,
        (Some(_), Some(_)) => 2,
        _ => 1,
    });
    found.into_iter()
}

/// Keeps the first error of a candidate that led further than to nobody.
fn more_telling(failure: &mut Option<Error>, error: Error) {
    let says_nothing =
        |error: &Error| matches!(error, Error::Refused { reason: Refusal::UntrustedIssuer, .. });
    let runs_out = matches!(&error, Error::Refused { reason: Refusal::TooMuchWork, .. });
    if runs_out || failure.as_ref().is_none_or(says_nothing) {
        *failure = Some(error);
    }
}

/// RFC 5280 §6.1.4 (k) to (n), and the purposes a CA restricts itself to.
fn check_issuer(issuer: &Certificate, below: usize, purpose: Purpose) -> Result<(), Refusal> {
    let extensions = issuer.extensions();
    // RFC 5280 §4.1.2.6: a CA has a name.
    if !extensions.is_ca || issuer.subject_folded().is_empty() {
        return Err(Refusal::NotACa);
    }
    if extensions.key_usage.is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(Refusal::MayNotSignCertificates);
    }
    if extensions.path_len.is_some_and(|most| below > usize::from(most)) {
        return Err(Refusal::PathTooLong);
    }
    match &extensions.extended_key_usage {
        Some(usages) if !purpose::allows(usages, purpose) => Err(Refusal::WrongPurpose),
        _ => Ok(()),
    }
}
