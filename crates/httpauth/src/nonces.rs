//! Nonces that a server gives out and knows again, and how often each was used.

use crate::digest::hex;
use crate::{Challenge, Digest, Error};
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;
use subtle::ConstantTimeEq;
use touchstone_crypto::{HashAlgorithm, TpmCrypto};
use zeroize::Zeroizing;

/// For how many seconds a nonce is good.
const HOLDS: u64 = 300;
/// Nonces in use that are remembered; of more, the oldest are not good any more.
const MOST: usize = 10_000;

/// What a server knows of its nonces: the key by which it knows them again, and the highest count of
/// each that was used (RFC 7616 §5.5).
pub struct Nonces {
    key: Zeroizing<[u8; 32]>,
    used: BTreeMap<String, u32>,
    /// Nonces that are not younger than this are refused, since what was used of them is forgotten.
    forgotten: u64,
}

impl Nonces {
    /// Nonces under a key of their own; those of before are foreign.
    pub fn new(crypto: &dyn TpmCrypto) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 32]);
        crypto.random(&mut *key)?;
        Ok(Self { key, used: BTreeMap::new(), forgotten: 0 })
    }

    /// A challenge with a fresh nonce, at the time `now` in seconds.
    pub fn challenge(
        &self,
        crypto: &dyn TpmCrypto,
        realm: &str,
        now: u64,
        stale: bool,
    ) -> Result<Challenge, Error> {
        let mut random = [0; 8];
        crypto.random(&mut random)?;
        // The time comes first, so that the oldest are first in their order.
        let head = alloc::format!("{now:016x}{}", hex(&random));
        let nonce = alloc::format!("{head}{}", self.tag(crypto, &head)?);
        Ok(Challenge { realm: realm.into(), nonce, opaque: None, stale })
    }

    /// Whether the answer's nonce is one of ours, young, and its count new. Ask this last, when the
    /// password is known to be good: it is used up by it.
    pub fn check(
        &mut self,
        crypto: &dyn TpmCrypto,
        digest: &Digest,
        now: u64,
    ) -> Result<(), Error> {
        let nonce = digest.nonce.as_str();
        let (Some(head), Some(tag)) = (nonce.get(..32), nonce.get(32..)) else {
            return Err(Error::ForeignNonce);
        };
        if !bool::from(self.tag(crypto, head)?.as_bytes().ct_eq(tag.as_bytes())) {
            return Err(Error::ForeignNonce);
        }
        let made = head.get(..16).and_then(|it| u64::from_str_radix(it, 16).ok());
        let made = made.ok_or(Error::ForeignNonce)?;
        if made <= self.forgotten || now.saturating_sub(made) > HOLDS {
            return Err(Error::StaleNonce);
        }
        let oldest = alloc::format!("{:016x}", now.saturating_sub(HOLDS));
        self.used = self.used.split_off(&oldest);
        let used = self.used.get(nonce).copied().unwrap_or(0);
        if digest.count <= used {
            return Err(Error::Replayed);
        }
        self.used.insert(nonce.into(), digest.count);
        if self.used.len() > MOST
            && let Some((first, _)) = self.used.pop_first()
        {
            let made = first.get(..16).and_then(|it| u64::from_str_radix(it, 16).ok());
            self.forgotten = self.forgotten.max(made.unwrap_or(now));
        }
        Ok(())
    }

    fn tag(&self, crypto: &dyn TpmCrypto, head: &str) -> Result<String, Error> {
        let tag = crypto.hmac(HashAlgorithm::Sha256, &*self.key, &[head.as_bytes()])?;
        Ok(hex(tag.as_bytes().get(..16).unwrap_or_default()))
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonces({} in use)", self.used.len())
    }
}
