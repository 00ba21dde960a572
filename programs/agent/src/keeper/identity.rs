//! Who we are: what the keys sign, and the certificates that go with them.

use super::{Error, Keeper, lock};
use crate::keys::{self, IDEVID, LAK};
use crate::link::{Identity, Key, Reply};
use touchstone_certs::{Certificate, Name, request};
use touchstone_crypto::Signer;
use touchstone_crypto_awslc::AwsLc;
use touchstone_element::Attesting;
use touchstone_enroll::{AttestedRequest, TpmCertify};
use touchstone_evidence::endorse::ldevid_binding;

/// A certificate that was requested and has not come yet.
pub(super) struct Requested {
    key: String,
    spki_der: Vec<u8>,
}

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
                let ldevid = lock(&self.known).ldevid.clone().ok_or(keys::Error::NoCertificate)?;
                self.keys.fleet_chain(&ldevid)?
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

    fn key(&self, key: Key) -> Result<String, Error> {
        match key {
            Key::Maker => Ok(IDEVID.to_owned()),
            Key::Fleet => {
                let known = lock(&self.known);
                Ok(known.ldevid.as_ref().ok_or(keys::Error::NoCertificate)?.key.clone())
            }
        }
    }

    /// Makes a certificate request: for the key that is certified, or for a new one that the
    /// attestation key vouches for.
    pub(super) fn request(&self, renew: bool) -> Result<Reply, Error> {
        let mut known = lock(&self.known);
        let Some(device) = known.welcome.as_ref().map(|welcome| welcome.device.clone()) else {
            return Err(Error::Forbidden("a certificate comes after onboarding"));
        };
        let (key, request) = match (&known.ldevid, renew) {
            (Some(ldevid), true) => {
                let signer = self.keys.signer(&ldevid.key)?;
                let request = request::build(&subject(&device)?, &[], &[], &signer)
                    .map_err(touchstone_enroll::Error::from)?;
                (ldevid.key.clone(), request)
            }
            (None, false) => self.first_request(&device)?,
            (None, true) => return Err(keys::Error::NoCertificate.into()),
            (Some(_), false) => return Err(Error::Forbidden("there is a certificate already")),
        };
        let spki_der = self.keys.signer(&key)?.spki_der().to_vec();
        known.requested = Some(Requested { key, spki_der: spki_der.clone() });
        Ok(Reply::Request { request, spki_der })
    }

    fn first_request(&self, device: &str) -> Result<(String, Vec<u8>), Error> {
        let (name, key) = self.keys.fresh_key()?;
        let binding = ldevid_binding(&AwsLc, device);
        let certified =
            self.keys.tpm()?.certify(&name, LAK, &binding).map_err(keys::Error::Element)?;
        let certify = TpmCertify {
            attest: certified.attest,
            signature: certified.signature,
            public: key.native,
        };
        let signer = self.keys.signer(&name)?;
        let request = AttestedRequest::build(&subject(device)?, &[], &certify, &[], &signer)?;
        Ok((name, request))
    }

    /// Keeps the certificate for the key that one was requested for.
    pub(super) fn certificate(&self, chain: &[Vec<u8>]) -> Result<Reply, Error> {
        let mut known = lock(&self.known);
        let requested = known.requested.take().ok_or(Error::Forbidden("nothing was requested"))?;
        let chain: Vec<Certificate> = chain
            .iter()
            .map(|der| Certificate::decode(der))
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Certificate(error.to_string()))?;
        if chain.first().is_none_or(|leaf| leaf.spki_der() != requested.spki_der) {
            return Err(Error::Certificate("it is for another key".to_owned()));
        }
        let new = self.keys.keep(&requested.key, &chain)?;
        tracing::info!(serial = %new.serial, not_after = new.not_after, "certificate issued");
        known.ldevid = Some(new);
        Ok(Reply::Done)
    }
}

fn subject(device: &str) -> Result<Name, Error> {
    Ok(Name::common_name(device).map_err(touchstone_enroll::Error::from)?)
}
