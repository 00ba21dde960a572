//! The client's side: is the answer the right one, from the right one, and of this time?

use super::wire::{self, CertStatus};
use super::{CertId, Reason, Status, request};
use crate::certificate::Signed;
use crate::path::SKEW;
use crate::{Certificate, Error, Purpose, Refusal, TrustStore};
use alloc::vec::Vec;
use der::{Decode, Encode};
use touchstone_crypto::{Crypto, HashAlgorithm, Verified};

const PART: &str = "OCSP response";
const MOST_OCTETS: usize = 256 * 1024;
const MOST_CERTIFICATES: usize = 8;

/// A response, decoded and not believed.
#[derive(Debug)]
pub struct Response {
    tbs: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    responder: Responder,
    answers: Vec<Answer>,
    nonce: Option<Vec<u8>>,
    certificates: Vec<Certificate>,
}

/// What a checked response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The state of the certificate.
    pub status: Status,
    /// When that was known to be so.
    pub this_update: u64,
    /// Until when it may be relied upon; `None` if there is always something newer.
    pub next_update: Option<u64>,
}

#[derive(Debug)]
enum Responder {
    Name(Vec<u8>),
    KeyHash(Vec<u8>),
}

#[derive(Debug)]
struct Answer {
    id: CertId,
    checked: Checked,
}

impl Response {
    /// Reads DER; a responder's error is [`Refusal::ResponderFailed`].
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        let failed = Error::der(PART);
        if der.len() > MOST_OCTETS {
            return Err(Error::malformed(PART));
        }
        let outer = wire::OcspResponse::from_der(der).map_err(&failed)?;
        if outer.status != wire::ResponseStatus::Successful {
            return Err(Error::refused(Refusal::ResponderFailed, ""));
        }
        let bytes = outer.bytes.ok_or_else(|| Error::malformed(PART))?;
        if bytes.kind != wire::BASIC {
            return Err(Error::malformed("type of the OCSP response"));
        }
        let basic = wire::BasicResponse::from_der(bytes.response.as_bytes()).map_err(&failed)?;
        let certificates = basic.certificates.unwrap_or_default();
        if certificates.len() > MOST_CERTIFICATES {
            return Err(Error::malformed("certificates of the OCSP response"));
        }
        let tbs = basic.tbs.to_der().map_err(&failed)?;
        let data = wire::ResponseData::from_der(&tbs).map_err(&failed)?;
        let nonce = request::nonce(data.extensions.as_deref().unwrap_or_default())?;
        Ok(Self {
            algorithm: basic.algorithm.to_der().map_err(&failed)?,
            signature: basic
                .signature
                .as_bytes()
                .ok_or_else(|| Error::malformed("signature"))?
                .to_vec(),
            responder: match data.responder {
                wire::ResponderId::ByName(name) => Responder::Name(name.to_der().map_err(&failed)?),
                wire::ResponderId::ByKey(hash) => Responder::KeyHash(hash.as_bytes().to_vec()),
            },
            answers: data.responses.into_iter().map(Answer::read).collect::<Result<_, _>>()?,
            nonce,
            certificates: certificates
                .iter()
                .map(|any| Certificate::decode(&any.to_der().map_err(&failed)?))
                .collect::<Result<_, _>>()?,
            tbs,
        })
    }

    /// Checks all of RFC 6960 §3.2 for one certificate of `issuer`'s at the time `at`. With a nonce,
    /// the response must carry the same.
    pub fn verify(
        &self,
        crypto: &dyn Crypto,
        certificate: &Certificate,
        issuer: &Certificate,
        nonce: Option<&[u8]>,
        at: u64,
    ) -> Result<Verified<Checked>, Error> {
        let refused = |reason| Error::refused(reason, certificate.subject());
        let checked = self.judge(crypto, certificate, issuer, at, 0).map_err(refused)?;
        match (nonce, self.nonce.as_deref()) {
            (Some(_), None) => Err(refused(Refusal::NonceMissing)),
            (Some(asked), Some(answered)) if asked != answered => {
                Err(refused(Refusal::NonceMismatch))
            }
            _ => Ok(Verified::vouch(checked)),
        }
    }

    /// The same without a nonce, and up to `grace` seconds late.
    pub(crate) fn judge(
        &self,
        crypto: &dyn Crypto,
        certificate: &Certificate,
        issuer: &Certificate,
        at: u64,
        grace: u64,
    ) -> Result<Checked, Refusal> {
        let mut answers = self.answers.iter();
        let answer = answers
            .find(|answer| answer.id.names(crypto, certificate, issuer))
            .ok_or(Refusal::WrongCertificate)?;
        self.verify_signature(crypto, issuer, at)?;
        let Checked { this_update, next_update, .. } = answer.checked;
        if this_update > at.saturating_add(SKEW) {
            return Err(Refusal::FutureUpdate);
        }
        // Without `nextUpdate` there is always something newer (RFC 6960 §2.4).
        let until = next_update.unwrap_or(this_update.saturating_add(SKEW));
        if at > until.saturating_add(grace) {
            return Err(Refusal::Stale);
        }
        Ok(answer.checked)
    }

    /// RFC 6960 §4.2.2.2: by the issuer itself, or by one whom it has certified for that.
    fn verify_signature(
        &self,
        crypto: &dyn Crypto,
        issuer: &Certificate,
        at: u64,
    ) -> Result<(), Refusal> {
        let signed =
            Signed { tbs: &self.tbs, algorithm: &self.algorithm, signature: &self.signature };
        let verify = |spki_der: &[u8]| {
            signed.verify(crypto, spki_der).map_err(|reason| match reason {
                Refusal::BadSignature => Refusal::BadResponseSignature,
                other => other,
            })
        };
        if self.responder.is(crypto, issuer) {
            return verify(issuer.spki_der());
        }
        let trust = TrustStore::new(alloc::vec![issuer.clone()]);
        let delegate = self
            .certificates
            .iter()
            .find(|candidate| self.responder.is(crypto, candidate))
            .ok_or(Refusal::UnauthorizedResponder)?;
        trust
            .validate(crypto, delegate, &[], at, Purpose::OcspSigning)
            .map_err(|_| Refusal::UnauthorizedResponder)?;
        verify(delegate.spki_der())
    }
}

impl Responder {
    fn is(&self, crypto: &dyn Crypto, certificate: &Certificate) -> bool {
        match self {
            Self::Name(name) => name == certificate.subject_der(),
            Self::KeyHash(hash) => {
                let digest = crypto.hash(HashAlgorithm::Sha1, &[certificate.key_octets()]);
                digest.as_bytes() == hash.as_slice()
            }
        }
    }
}

impl Answer {
    fn read(single: wire::SingleResponse) -> Result<Self, Error> {
        let status = match single.status {
            CertStatus::Good(_) => Status::Good,
            CertStatus::Unknown(_) => Status::Unknown,
            CertStatus::Revoked(info) => Status::Revoked {
                at: info.at.to_unix_duration().as_secs(),
                reason: info.reason.map_or(Reason::Unspecified, Reason::from_wire),
            },
        };
        let critical = single.extensions.iter().flatten().any(|extension| extension.critical);
        if critical {
            return Err(Error::malformed("critical extension of the OCSP response"));
        }
        Ok(Self {
            id: CertId::read(single.id)?,
            checked: Checked {
                status,
                this_update: single.this_update.to_unix_duration().as_secs(),
                next_update: single.next_update.map(|time| time.to_unix_duration().as_secs()),
            },
        })
    }
}
