//! Whether a certificate of a path was revoked: OCSP (RFC 6960 §3.2) and CRLs (RFC 5280 §6.3.3).

use super::search::Search;
use crate::extensions::{DistributionPoint, PointName, PointNames, Reasons};
use crate::ocsp::{Reason, Status};
use crate::trust::Revocation;
use crate::{Certificate, Crl, Error, Refusal};
use alloc::vec::Vec;

/// Clocks differ: what was made this many seconds from now is still believed.
pub(crate) const SKEW: u64 = 300;
/// Signers of CRLs whose own CRLs have other signers, and so on.
const MOST_SIGNERS: usize = 4;

/// A certificate of a path, and who is above it, its issuer first and the anchor last.
struct Link<'a> {
    certificate: &'a Certificate,
    issuers: &'a [Certificate],
}

impl Search<'_> {
    /// Every certificate of the path below the anchor, from the anchor down.
    pub(super) fn check_revocation(
        &mut self,
        leaf: &Certificate,
        issuers: &[Certificate],
    ) -> Result<(), Error> {
        let Some(revocation) = self.inputs.revocation else { return Ok(()) };
        let cas = issuers.len().saturating_sub(1);
        for index in (0..cas).rev() {
            if revocation.leaf_only {
                break;
            }
            if let (Some(certificate), Some(above)) = (issuers.get(index), issuers.get(index + 1..))
            {
                self.check_status(revocation, &Link { certificate, issuers: above })?;
            }
        }
        self.check_status(revocation, &Link { certificate: leaf, issuers })
    }

    fn check_status(&mut self, revocation: Revocation<'_>, link: &Link<'_>) -> Result<(), Error> {
        let by_ocsp = self.status_by_ocsp(revocation, link);
        let verdict = match by_ocsp {
            Err(Refusal::Revoked) => Err(Refusal::Revoked),
            Ok(()) if revocation.crls.is_empty() => Ok(()),
            Ok(()) => match self.status_by_crls(revocation, link) {
                Err(Refusal::Revoked) => Err(Refusal::Revoked),
                _ => Ok(()),
            },
            Err(said) => self.status_by_crls(revocation, link).map_err(|by_crls| {
                // What a response said is more telling than that there is no list.
                let mute = by_crls == Refusal::StatusUndetermined;
                if mute { said } else { by_crls }
            }),
        };
        verdict.map_err(|reason| Error::refused(reason, link.certificate.subject()))
    }

    fn status_by_ocsp(
        &mut self,
        revocation: Revocation<'_>,
        link: &Link<'_>,
    ) -> Result<(), Refusal> {
        let mut verdict = Err(Refusal::StatusUndetermined);
        let Some(issuer) = link.issuers.first() else { return verdict };
        for response in revocation.responses {
            let (at, grace) = (self.inputs.at, revocation.grace);
            let said = response.judge(self.crypto, link.certificate, issuer, at, grace);
            match said.map(|checked| checked.status) {
                Ok(Status::Revoked { .. }) => return Err(Refusal::Revoked),
                Ok(Status::Good) => verdict = Ok(()),
                Ok(Status::Unknown) if verdict.is_err() => verdict = Err(Refusal::UnknownStatus),
                Ok(Status::Unknown) | Err(Refusal::WrongCertificate) => {}
                Err(reason) if verdict == Err(Refusal::StatusUndetermined) => {
                    verdict = Err(reason);
                }
                Err(_) => {}
            }
        }
        verdict
    }

    /// §6.3.3: the lists of every distribution point, and then those of the issuer as such, until
    /// they speak for all reasons.
    fn status_by_crls(
        &mut self,
        revocation: Revocation<'_>,
        link: &Link<'_>,
    ) -> Result<(), Refusal> {
        let mut covered = Reasons::NONE;
        let mut trouble = Refusal::StatusUndetermined;
        let issuer = PointName::Directory(link.certificate.issuer_folded().clone());
        let as_such = DistributionPoint {
            name: Some(PointNames::Full(alloc::vec![issuer])),
            reasons: Reasons::ALL,
            crl_issuer: Vec::new(),
        };
        let points = link.certificate.extensions().distribution_points.iter();
        for point in points.chain([&as_such]) {
            for crl in revocation.crls {
                if crl.is_delta() || !crl.speaks_for(link.certificate, point) {
                    continue;
                }
                // (d), (e)
                let scope = crl.scope().map_or(Reasons::ALL, |scope| scope.reasons);
                let reasons = scope & point.reasons;
                if reasons.is_within(covered) {
                    continue;
                }
                match self.search_crl(revocation, link, crl) {
                    Ok(()) => covered = covered | reasons,
                    Err(Refusal::Revoked) => return Err(Refusal::Revoked),
                    Err(reason) => trouble = reason,
                }
            }
        }
        if covered == Reasons::ALL { Ok(()) } else { Err(trouble) }
    }

    /// (a), (c), (f) to (l): one complete list, with the newest of its deltas.
    fn search_crl(
        &mut self,
        revocation: Revocation<'_>,
        link: &Link<'_>,
        crl: &Crl,
    ) -> Result<(), Refusal> {
        self.check_list(revocation, crl)?;
        let signer_spki = self.crl_signer(link, crl)?;
        let mut deltas: Vec<_> =
            revocation.crls.iter().filter(|delta| delta.completes(crl)).collect();
        deltas.sort_by(|one, other| other.order().cmp(&one.order()));
        let delta = deltas.into_iter().find(|delta| {
            self.check_list(revocation, delta).is_ok()
                && self.verify(&delta.signed(), &signer_spki).is_ok()
        });
        let newest = delta.and_then(|delta| delta.entry(link.certificate));
        match newest.or_else(|| crl.entry(link.certificate)).map(|entry| entry.reason) {
            None | Some(Reason::RemoveFromCrl) => Ok(()),
            Some(_) => Err(Refusal::Revoked),
        }
    }

    fn check_list(&self, revocation: Revocation<'_>, crl: &Crl) -> Result<(), Refusal> {
        crl.check_time(self.inputs.at, SKEW, revocation.grace)?;
        if crl.unknown_critical() { Err(Refusal::CrlCriticalExtension) } else { Ok(()) }
    }

    /// (f), (g): the key that signed it, of a certificate that stands below the same anchor: one of
    /// the path above, or another with the name of the list's issuer.
    fn crl_signer(&mut self, link: &Link<'_>, crl: &Crl) -> Result<Vec<u8>, Refusal> {
        let may_sign = |certificate: &Certificate| {
            let usage = certificate.extensions().key_usage;
            certificate.subject_folded() == crl.issuer_folded()
                && usage.is_none_or(|usage| usage.crl_sign())
        };
        for issuer in link.issuers.iter().filter(|issuer| may_sign(issuer)) {
            if self.verify(&crl.signed(), issuer.spki_der()).is_ok() {
                return Ok(issuer.spki_der().to_vec());
            }
        }
        let Some(anchor) = link.issuers.last() else { return Err(Refusal::CrlUnauthorized) };
        for signer in self.intermediates.iter().filter(|signer| may_sign(signer)) {
            let judged = self.crl_signers.contains(signer);
            if (judged && link.certificate != signer) || link.issuers.contains(signer) {
                continue;
            }
            if self.crl_signers.len() >= MOST_SIGNERS {
                return Err(Refusal::TooMuchWork);
            }
            if self.verify(&crl.signed(), signer.spki_der()).is_err() {
                continue;
            }
            // An indirect list may be the only one that could name its own signer.
            if judged {
                return Ok(signer.spki_der().to_vec());
            }
            self.crl_signers.push(signer.clone());
            let found = self.find_crl_signer(signer, anchor);
            self.crl_signers.pop();
            if found.is_ok() {
                return Ok(signer.spki_der().to_vec());
            }
        }
        Err(Refusal::CrlUnauthorized)
    }
}
