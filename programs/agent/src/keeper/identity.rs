//! Who we are: what the keys sign, and the certificates that go with them.

use super::{Error, Keeper, lock};
use crate::keys::{self, IDEVID};
use crate::ldevid;
use crate::link::{Identity, Key, Reply};
use touchstone_certs::Certificate;
use touchstone_crypto::Signer;

/// What a client signs to authenticate itself in TLS 1.3 (RFC 8446 §4.4.3): it can not be mistaken
/// for anything else that is signed, which is why it is made so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake<'a>(&'a [u8]);

impl<'a> Handshake<'a> {
    /// These octets, if they are that and nothing else.
    pub fn decode(message: &'a [u8]) -> Option<Self> {
        let rest = message.strip_prefix(&[0x20; 64])?;
        let hash = rest.strip_prefix(b"TLS 1.3, client CertificateVerify\0")?;
        // A hash of the handshake, with SHA-256 or SHA-384.
        matches!(hash.len(), 32 | 48).then_some(Self(message))
    }
}

impl Keeper {
    /// The certificates of a key.
    pub(super) fn identity(&self, key: Key) -> Result<Reply, Error> {
        let chain = match key {
            Key::Maker => self.keys.maker_chain()?,
            Key::Fleet => {
                let held = lock(&self.known).ldevid.clone().ok_or(keys::Error::NoCertificate)?;
                ldevid::chain_der(&held)?
            }
        };
        let algorithm = self.keys.signer(&self.key(key)?)?.algorithm().name().to_owned();
        Ok(Reply::Identity(Identity { algorithm, chain }))
    }

    /// Signs a handshake, and nothing else.
    pub(super) fn sign(&self, key: Key, message: &[u8]) -> Result<Reply, Error> {
        let handshake =
            Handshake::decode(message).ok_or(Error::Forbidden("only handshakes are signed"))?;
        let signer = self.keys.signer(&self.key(key)?)?;
        Ok(Reply::Bytes(signer.try_sign(handshake.0).map_err(keys::Error::Element)?))
    }

    pub(super) fn key(&self, key: Key) -> Result<String, Error> {
        match key {
            Key::Maker => Ok(IDEVID.to_owned()),
            Key::Fleet => {
                let known = lock(&self.known);
                Ok(known.ldevid.as_ref().ok_or(keys::Error::NoCertificate)?.key.clone())
            }
        }
    }

    /// Makes a certificate request: for the key that is certified, or for a new one that the
    /// attestation key vouches for, as the configuration says. The one that is under way, if there is one.
    pub(super) fn request(&self, renew: bool, challenge: &[u8]) -> Result<Reply, Error> {
        let known = lock(&self.known);
        let Some(device) = known.welcome.as_ref().map(|welcome| welcome.device.clone()) else {
            return Err(Error::Forbidden("a certificate comes after onboarding"));
        };
        let renew = renew.then_some(self.config.renew_key);
        let requested =
            ldevid::request(&self.keys, &device, renew, challenge).map_err(forbidden)?;
        let (request, spki_der) = requested.decode()?;
        Ok(Reply::Request { request, spki_der })
    }

    /// Keeps the certificate for the key that one was requested for.
    pub(super) fn certificate(&self, chain: &[Vec<u8>]) -> Result<Reply, Error> {
        let mut known = lock(&self.known);
        let chain: Vec<Certificate> = chain
            .iter()
            .map(|der| Certificate::decode(der))
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Certificate(error.to_string()))?;
        let new = ldevid::certified(&self.keys, &chain).map_err(forbidden)?;
        tracing::info!(serial = %new.serial, not_after = new.not_after, "certificate issued");
        known.ldevid = Some(new);
        Ok(Reply::Done)
    }
}

/// What an honest network half does not ask for.
fn forbidden(error: keys::Error) -> Error {
    match error {
        keys::Error::Certified => Error::Forbidden("there is a certificate already"),
        keys::Error::NotRequested => Error::Forbidden("nothing was requested"),
        other => Error::Keys(other),
    }
}
