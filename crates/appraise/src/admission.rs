//! The Relying Party's decision: may the holder of this key pass with this result?

use crate::ear::{self, Ear, VerifierKey, verify_jwt};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use touchstone_crypto::{Crypto, Verified};
use touchstone_policy::ar4si::Tier;

/// How far a verifier's clock may be ahead of ours, in seconds.
pub const MAX_SKEW: u64 = 5;

/// What a Relying Party demands.
#[derive(Clone, Debug)]
pub struct Gate {
    max_age: u64,
    keys: Vec<VerifierKey>,
    tenant: Option<String>,
}

/// A device that may pass, and until when. Only a [`Gate`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admitted {
    /// The device.
    pub device: String,
    /// Whose it is.
    pub tenant: String,
    /// When the result was issued, in Unix seconds.
    pub issued_at: u64,
    /// Until when it may pass without a newer result, in Unix seconds.
    pub until: u64,
}

/// Why a device may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The token is not a result by a configured verifier.
    Result(ear::Error),
    /// The device is not affirmed.
    NotAffirming {
        /// Its tier.
        tier: Tier,
        /// The reasons, control by control.
        why: String,
    },
    /// The result is older than is allowed, or has expired.
    Stale {
        /// Its age in seconds.
        age: u64,
        /// The age that is allowed.
        max_age: u64,
    },
    /// The result comes from the future.
    FromTheFuture {
        /// By how many seconds.
        ahead: u64,
    },
    /// The result does not say when the evidence was made.
    Undated,
    /// The result is bound to no key.
    NotBound,
    /// The result is bound to another key than the peer's.
    WrongKey,
    /// The device belongs to another tenant.
    WrongTenant,
}

impl Gate {
    /// A gate that admits devices with an affirming result by one of `keys`, for `max_age` seconds
    /// from when it was issued.
    pub const fn new(max_age: u64, keys: Vec<VerifierKey>) -> Self {
        Self { max_age, keys, tenant: None }
    }

    /// Only devices of this tenant.
    #[must_use]
    pub fn for_tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Decides by a result in the form of a JWT; `peer_spki` is the key that the peer has proven
    /// to hold.
    pub fn admit(
        &self,
        crypto: &dyn Crypto,
        token: &str,
        peer_spki: &[u8],
        now: u64,
    ) -> Result<Admitted, Refusal> {
        let ear = verify_jwt(crypto, token, &self.keys).map_err(Refusal::Result)?;
        self.admit_ear(crypto, &ear, peer_spki, now)
    }

    /// Decides by a result that is already verified.
    pub fn admit_ear(
        &self,
        crypto: &dyn Crypto,
        ear: &Verified<Ear>,
        peer_spki: &[u8],
        now: u64,
    ) -> Result<Admitted, Refusal> {
        let confirmation = ear.confirmation.as_ref().ok_or(Refusal::NotBound)?;
        if !confirmation.matches(crypto, peer_spki) {
            return Err(Refusal::WrongKey);
        }
        if self.tenant.as_ref().is_some_and(|tenant| *tenant != ear.tenant) {
            return Err(Refusal::WrongTenant);
        }
        // The vector counts too: a status better than its vector is nobody's honest result.
        let tier = ear.status.max(ear.vector.tier());
        if tier != Tier::Affirming {
            return Err(Refusal::NotAffirming { tier, why: reasons(ear) });
        }
        let until = self.fresh_until(ear, now)?;
        let (device, tenant) = (ear.device.clone(), ear.tenant.clone());
        Ok(Admitted { device, tenant, issued_at: ear.issued_at, until })
    }

    fn fresh_until(&self, ear: &Ear, now: u64) -> Result<u64, Refusal> {
        let ahead = ear.issued_at.saturating_sub(now);
        if ahead > MAX_SKEW {
            return Err(Refusal::FromTheFuture { ahead });
        }
        // Old evidence makes no fresh result, whenever it was signed.
        let since = ear.evidence_at.ok_or(Refusal::Undated)?.min(ear.issued_at);
        let until = since.saturating_add(self.max_age).min(ear.expires);
        if now < until {
            Ok(until)
        } else {
            Err(Refusal::Stale { age: now.saturating_sub(since), max_age: self.max_age })
        }
    }
}

fn reasons(ear: &Ear) -> String {
    let failed: Vec<String> =
        ear.failed().map(|control| format!("{}: {}", control.name, control.reason)).collect();
    failed.join("; ")
}

impl Refusal {
    /// The stable code of this refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Result(error) => error.code(),
            Self::NotAffirming { .. } => "admission.not-affirming",
            Self::Stale { .. } => "admission.stale",
            Self::FromTheFuture { .. } => "admission.from-the-future",
            Self::Undated => "admission.undated",
            Self::NotBound => "admission.not-bound",
            Self::WrongKey => "admission.wrong-key",
            Self::WrongTenant => "admission.wrong-tenant",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result(error) => error.fmt(f),
            Self::NotAffirming { tier, why } if why.is_empty() => write!(f, "the device is {tier}"),
            Self::NotAffirming { tier, why } => write!(f, "the device is {tier}: {why}"),
            Self::Stale { age, max_age } => {
                write!(
                    f,
                    "the evidence is {age} s old, at most {max_age} s are allowed; attest again"
                )
            }
            Self::FromTheFuture { ahead } => {
                write!(f, "the result is {ahead} s ahead of our clock; set the clocks")
            }
            Self::Undated => f.write_str(
                "the result does not say when the evidence was made; appraise with that time",
            ),
            Self::NotBound => f.write_str("the result is bound to no key; enroll first"),
            Self::WrongKey => f.write_str("the result is bound to another key than the peer's"),
            Self::WrongTenant => f.write_str("the device belongs to another tenant"),
        }
    }
}

impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests;
