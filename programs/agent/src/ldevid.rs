//! The LDevID: its key, the request that is under way, its certificate. Each step on the way to a
//! certificate leaves an identity that works: whoever is ended after any of them goes on from there.
//!
//! What this is not: the conversation with the fleet, nor when it is due. Where keys and files are is a
//! [`Vault`]'s.

#[cfg(test)]
mod tests;

use crate::config::RenewKey;
use crate::keys::Error;
use serde::{Deserialize, Serialize};
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_enroll::TpmCertify;

/// The names that the key may have: the key of a renewal has the one that the key before it has not.
const NAMES: [&str; 2] = ["ldevid-a", "ldevid-b"];

/// The fleet's certificate for a key of this device. One file holds all of it, so that key and
/// certificate change together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ldevid {
    /// The key's name in the element.
    pub key: String,
    /// The certificate in PEM, then those of its issuers.
    pub chain: String,
    /// From when it counts, in Unix seconds.
    pub not_before: u64,
    /// Until when it counts.
    pub not_after: u64,
    /// Its serial number.
    pub serial: String,
}

impl Ldevid {
    /// Half of its life is over, and up to a sixth more: each certificate has its own moment, so that
    /// a fleet is not asked by all of its devices at once.
    pub fn is_due(&self, now: u64) -> bool {
        let life = self.not_after.saturating_sub(self.not_before);
        // Serial numbers need not be random; what a hash makes of a certificate is.
        let digest = AwsLc.hash(HashAlgorithm::Sha256, &[self.chain.as_bytes()]);
        let part =
            digest.as_bytes().iter().take(2).fold(0, |sum, &octet| sum << 8 | u64::from(octet));
        let spread = (life / 6).saturating_mul(part) / 0x1_0000;
        now >= self.not_before.saturating_add(life / 2).saturating_add(spread)
    }

    /// Nobody believes it any more.
    pub const fn is_over(&self, now: u64) -> bool {
        self.not_after <= now
    }
}

/// A certificate request that was made, and whose answer has not come yet. It is kept, so that the same
/// one is sent again: whoever has yet to decide about it (RFC 7030 §4.2.3), or has decided and was not
/// heard, knows it by its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// For whom.
    pub device: String,
    /// Whether the certificate that there is asks for it: for its own key, or for a new one.
    pub renew: bool,
    /// The key's name in the element.
    pub key: String,
    /// The request in PEM.
    pub request: String,
}

impl Requested {
    /// The request, in DER, and its key.
    pub fn decode(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let fault = |reason: &dyn ToString| Error::request(&self.key, reason);
        let (_, der) = pem_rfc7468::decode_vec(self.request.as_bytes()).map_err(|it| fault(&it))?;
        let request = CertificateRequest::decode(&der).map_err(|it| fault(&it))?;
        let spki = request.spki_der().to_vec();
        Ok((der, spki))
    }
}

/// Where keys and files are. Whatever a call has changed is there for good when it returns.
pub trait Vault {
    /// The certificate that is kept.
    fn certificate(&self) -> Result<Option<Ldevid>, Error>;
    /// Keeps a certificate in the place of the one before.
    fn keep_certificate(&self, ldevid: &Ldevid) -> Result<(), Error>;
    /// Forgets the certificate.
    fn forget_certificate(&self) -> Result<(), Error>;
    /// The request that is under way.
    fn requested(&self) -> Result<Option<Requested>, Error>;
    /// Keeps a request in the place of the one before.
    fn keep_request(&self, requested: &Requested) -> Result<(), Error>;
    /// Forgets the request.
    fn forget_request(&self) -> Result<(), Error>;
    /// A key: `SubjectPublicKeyInfo` in DER.
    fn key(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Makes a key, in the place of one of that name.
    fn make_key(&self, name: &str) -> Result<(), Error>;
    /// Deletes a key, if it is there.
    fn delete_key(&self, name: &str) -> Result<(), Error>;
    /// The attestation key says where that key is, and by the secret in `challenge`, if it is a
    /// credential and not empty, where it is itself.
    fn certify(&self, name: &str, device: &str, challenge: &[u8]) -> Result<TpmCertify, Error>;
    /// Signs a request for that key, with what was said about it if that is wanted. In DER.
    fn sign(
        &self,
        name: &str,
        device: &str,
        certify: Option<&TpmCertify>,
    ) -> Result<Vec<u8>, Error>;
}

/// The certificate and its key, if both are there and go together. What a crash has left beside them is
/// put away; without them the maker's identity remains, and a new certificate comes by it.
pub fn resume(vault: &impl Vault) -> Result<Option<Ldevid>, Error> {
    let held = usable(vault)?;
    let mut under_way = requested(vault)?;
    if let Some(requested) = &under_way {
        let goes_on = match &held {
            // It was answered, or is one that the same key can sign again at any time.
            Some(held) => requested.renew && held.key != requested.key,
            None => !requested.renew,
        };
        if !goes_on || !is_of_its_key(vault, requested)? {
            vault.forget_request()?;
            under_way = None;
        }
    }
    for name in NAMES {
        let used = held.as_ref().is_some_and(|held| held.key == name)
            || under_way.as_ref().is_some_and(|requested| requested.key == name);
        if !used && vault.key(name)?.is_some() {
            vault.delete_key(name)?;
        }
    }
    Ok(held)
}

fn usable(vault: &impl Vault) -> Result<Option<Ldevid>, Error> {
    let found = match vault.certificate() {
        Err(error @ Error::State(crate::state::Error::Damaged { .. })) => {
            tracing::error!(code = error.code(), "{error}; enrolling anew");
            vault.forget_certificate()?;
            return Ok(None);
        }
        found => found?,
    };
    let Some(ldevid) = found else { return Ok(None) };
    let leaf = chain(&ldevid).ok().and_then(|chain| chain.into_iter().next());
    let key = vault.key(&ldevid.key)?;
    if key.zip(leaf).is_some_and(|(key, leaf)| key == leaf.spki_der()) {
        return Ok(Some(ldevid));
    }
    tracing::error!(key = ldevid.key, "the certificate's key is not there; enrolling anew");
    vault.forget_certificate()?;
    Ok(None)
}

/// The request that is under way; one that does not read is none.
fn requested(vault: &impl Vault) -> Result<Option<Requested>, Error> {
    match vault.requested() {
        Err(error @ Error::State(crate::state::Error::Damaged { .. })) => {
            tracing::warn!(code = error.code(), "{error}; asking anew");
            vault.forget_request()?;
            Ok(None)
        }
        found => found,
    }
}

fn is_of_its_key(vault: &impl Vault, requested: &Requested) -> Result<bool, Error> {
    let key = vault.key(&requested.key)?;
    Ok(requested.decode().is_ok_and(|(_, spki)| key == Some(spki)))
}

/// A request for a certificate: a first one for a new key, or with `renew` another one for the key that
/// has one, or for a new key. As long as it was neither answered nor given up it is the same one as before;
/// with a `challenge` the key is the same. What there is stays as it is until the answer is kept.
pub fn request(
    vault: &impl Vault,
    device: &str,
    renew: Option<RenewKey>,
    challenge: &[u8],
) -> Result<Requested, Error> {
    let held = vault.certificate()?.map(|held| held.key);
    let fits = |before: &Requested| {
        let same = held.as_ref() == Some(&before.key);
        before.device == device
            && before.renew == renew.is_some()
            && match renew {
                None => held.is_none(),
                Some(RenewKey::Same) => same,
                Some(RenewKey::New) => held.is_some() && !same,
            }
    };
    let before = match requested(vault)? {
        Some(before) if fits(&before) && is_of_its_key(vault, &before)? => Some(before),
        _ => None,
    };
    let key = match (held, before) {
        (Some(_), _) if renew.is_none() => return Err(Error::Certified),
        (None, _) if renew.is_some() => return Err(Error::NoCertificate),
        (_, Some(before)) if challenge.is_empty() => return Ok(before),
        (_, Some(before)) => before.key,
        (Some(held), None) if renew == Some(RenewKey::Same) => held,
        (held, None) => {
            let free = NAMES.into_iter().find(|name| held.as_deref() != Some(name));
            let key = free.unwrap_or(NAMES[0]).to_owned();
            // What was asked for by the key before this one is not asked for any more.
            vault.forget_request()?;
            vault.make_key(&key)?;
            key
        }
    };
    // RFC 7030 §4.2.2: where the key that is kept lives has been proven, unless it is to be shown anew.
    let certify = if renew == Some(RenewKey::Same) && challenge.is_empty() {
        None
    } else {
        Some(vault.certify(&key, device, challenge)?)
    };
    let der = vault.sign(&key, device, certify.as_ref())?;
    let pem = pem_rfc7468::encode_string("CERTIFICATE REQUEST", pem_rfc7468::LineEnding::LF, &der)
        .map_err(|error| Error::request(&key, &error))?;
    let (device, renew) = (device.to_owned(), renew.is_some());
    let requested = Requested { device, renew, key, request: pem };
    vault.keep_request(&requested)?;
    Ok(requested)
}

/// Keeps the certificate that was asked for, and forgets what led to it.
pub fn certified(vault: &impl Vault, chain: &[Certificate]) -> Result<Ldevid, Error> {
    let requested = requested(vault)?.ok_or(Error::NotRequested)?;
    let (_, spki) = requested.decode()?;
    let fault = |reason: &dyn ToString| Error::certificate(&requested.key, reason);
    let leaf = chain.first().filter(|leaf| leaf.spki_der() == spki).ok_or(Error::AnotherKey)?;
    let mut pem = String::new();
    for certificate in chain {
        pem.push_str(&certificate.to_pem().map_err(|error| fault(&error))?);
    }
    let before = vault.certificate()?;
    let ldevid = Ldevid {
        key: requested.key,
        chain: pem,
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        serial: leaf.serial(),
    };
    // From here on it is the identity.
    vault.keep_certificate(&ldevid)?;
    vault.forget_request()?;
    if let Some(before) = before.filter(|before| before.key != ldevid.key) {
        vault.delete_key(&before.key)?;
    }
    Ok(ldevid)
}

/// Gives the certificate up, and its key: the certificate first, so that whoever is ended in between has
/// none without its key. A request that is under way goes on.
pub fn give_up(vault: &impl Vault) -> Result<(), Error> {
    let held = match vault.certificate() {
        Err(Error::State(crate::state::Error::Damaged { .. })) => None,
        held => held?,
    };
    vault.forget_certificate()?;
    let under_way = requested(vault)?;
    match held {
        // Signed by the key that goes.
        Some(held) if under_way.is_some_and(|it| it.key == held.key) => {
            vault.forget_request()?;
            vault.delete_key(&held.key)
        }
        Some(held) => vault.delete_key(&held.key),
        None => Ok(()),
    }
}

/// The certificates, leaf first.
pub fn chain(ldevid: &Ldevid) -> Result<Vec<Certificate>, Error> {
    Certificate::from_pem(ldevid.chain.as_bytes())
        .map_err(|error| Error::certificate(&ldevid.key, &error))
}

/// The same in DER.
pub fn chain_der(ldevid: &Ldevid) -> Result<Vec<Vec<u8>>, Error> {
    Ok(chain(ldevid)?.iter().map(|one| one.der().to_vec()).collect())
}
