//! What a device asks of an update.

use crate::{Manifest, Refused};
use touchstone_certs::{Certificate, Error, Purpose, Refusal, TrustStore};
use touchstone_cms::Signed;
use touchstone_crypto::Crypto;

/// What an update must fulfil.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The component that it must be for.
    pub component: String,
    /// The last version applied; it must be above.
    pub above: u64,
    /// Who must sign: every role, each by another signer.
    pub roles: Vec<Role>,
}

/// Somebody who must sign.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name: "publisher", "operator".
    pub name: String,
    /// Whose signature counts for it.
    pub trust: Trust,
}

/// Whose signature counts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// That of this certificate alone, while it is valid.
    Pinned(Certificate),
    /// That of any certificate for code signing that leads to one of these anchors.
    Anchors(TrustStore),
}

impl Rules {
    /// Gives every signer a role and every role a signer, or says which could not be.
    pub(crate) fn assign(
        &self,
        crypto: &dyn Crypto,
        envelope: &Signed,
        now: u64,
    ) -> Result<Vec<(String, Certificate)>, Refused> {
        let mut fits = Vec::with_capacity(envelope.signers().len());
        for signer in envelope.signers() {
            fits.push(self.roles_of(crypto, &signer.certificate, envelope, now)?);
        }
        let mut holders = vec![None; self.roles.len()];
        for signer in 0..fits.len() {
            place(signer, &fits, &mut holders, &mut vec![false; self.roles.len()]);
        }
        // Rules without roles would let anybody in.
        if self.roles.is_empty() {
            return Err(Refused::MissingRole { role: "publisher".into() });
        }
        let by_role = self.roles.iter().zip(&holders);
        by_role
            .map(|(role, signer)| {
                let by = signer.and_then(|index: usize| envelope.signers().get(index));
                let by = by.ok_or_else(|| Refused::MissingRole { role: role.name.clone() })?;
                Ok((role.name.clone(), by.certificate.clone()))
            })
            .collect()
    }

    /// Which roles accept this signer; at least one.
    fn roles_of(
        &self,
        crypto: &dyn Crypto,
        signer: &Certificate,
        envelope: &Signed,
        now: u64,
    ) -> Result<Vec<usize>, Refused> {
        let mut roles = Vec::new();
        let mut why = None;
        for (index, role) in self.roles.iter().enumerate() {
            match role.trust.accepts(crypto, signer, envelope.certificates(), now) {
                Ok(true) => roles.push(index),
                Ok(false) => {}
                Err(error) => why = Some(error),
            }
        }
        if roles.is_empty() {
            return Err(Refused::UnknownSigner { subject: signer.subject().into(), why });
        }
        Ok(roles)
    }

    pub(crate) fn admit(&self, manifest: &Manifest, now: u64) -> Result<(), Refused> {
        if manifest.component != self.component {
            return Err(Refused::WrongComponent {
                found: manifest.component.clone(),
                expected: self.component.clone(),
            });
        }
        if manifest.version <= self.above {
            return Err(Refused::VersionNotAbove { offered: manifest.version, last: self.above });
        }
        match manifest.expires {
            Some(at) if now > at => Err(Refused::Expired { at }),
            _ => Ok(()),
        }
    }
}

impl Trust {
    fn accepts(
        &self,
        crypto: &dyn Crypto,
        signer: &Certificate,
        others: &[Certificate],
        now: u64,
    ) -> Result<bool, Error> {
        match self {
            Self::Pinned(pinned) if pinned != signer => Ok(false),
            Self::Pinned(pinned) => {
                let reason = if now < pinned.not_before() {
                    Refusal::NotYetValid
                } else if now > pinned.not_after() {
                    Refusal::Expired
                } else {
                    return Ok(true);
                };
                Err(Error::Refused { reason, subject: pinned.subject().into() })
            }
            Self::Anchors(anchors) => {
                anchors.validate(crypto, signer, others, now, Purpose::CodeSigning).map(|_| true)
            }
        }
    }
}

/// Finds `signer` a role, moving others to another of theirs if that makes room (a matching, one
/// augmenting path at a time).
fn place(
    signer: usize,
    fits: &[Vec<usize>],
    holders: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for role in fits.get(signer).into_iter().flatten().copied() {
        match tried.get_mut(role) {
            Some(tried) if !*tried => *tried = true,
            _ => continue,
        }
        let holder = holders.get(role).copied().flatten();
        if holder.is_none_or(|holder| place(holder, fits, holders, tried)) {
            if let Some(slot) = holders.get_mut(role) {
                *slot = Some(signer);
            }
            return true;
        }
    }
    false
}
