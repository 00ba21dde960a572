//! The responder's side.

use super::wire;
use super::{Request, Status, Trouble, request};
use crate::{Certificate, Error, Purpose, Refusal, TrustStore, algorithm, time};
use alloc::vec::Vec;
use der::asn1::{Any, AnyRef, BitStringRef, Null, OctetString, OctetStringRef};
use der::{Decode, Encode};
use touchstone_crypto::{Crypto, HashAlgorithm, Signer};

const PART: &str = "OCSP response";

/// Who answers for an issuer: itself, or a delegate that it has certified.
#[derive(Clone, Copy)]
pub struct Responder<'a> {
    issuer: &'a Certificate,
    certificate: &'a Certificate,
    signer: &'a dyn Signer,
}

impl<'a> Responder<'a> {
    /// A responder for `issuer`'s certificates. `certificate` is the issuer's own, or a delegate's
    /// that the issuer has issued for OCSP signing and that is valid at `at` (RFC 6960 §4.2.2.2).
    pub fn new(
        crypto: &dyn Crypto,
        issuer: &'a Certificate,
        certificate: &'a Certificate,
        signer: &'a dyn Signer,
        at: u64,
    ) -> Result<Self, Error> {
        if certificate.spki_der() != signer.spki_der() {
            return Err(Error::refused(Refusal::KeyMismatch, certificate.subject()));
        }
        if certificate != issuer {
            let trust = TrustStore::new(alloc::vec![issuer.clone()]);
            trust.validate(crypto, certificate, &[], at, Purpose::OcspSigning)?;
        }
        Ok(Self { issuer, certificate, signer })
    }

    /// Answers. `status_of` is asked for each serial number (as [`Certificate::serial`] writes it)
    /// of the issuer's; about others' certificates the answer is "unknown". The answer holds from
    /// `at` to `next_update`.
    pub fn respond(
        &self,
        crypto: &dyn Crypto,
        request: &Request,
        at: u64,
        next_update: u64,
        mut status_of: impl FnMut(&str) -> Status,
    ) -> Result<Vec<u8>, Error> {
        let mut responses = Vec::with_capacity(request.ids().len());
        for id in request.ids() {
            let ours = id.is_of(crypto, self.issuer);
            let status = if ours { status_of(&id.serial()) } else { Status::Unknown };
            responses.push(wire::SingleResponse {
                id: id.wire.clone(),
                status: encode_status(status)?,
                this_update: time::generalized(at)?,
                next_update: Some(time::generalized(next_update)?),
                extensions: None,
            });
        }
        let extensions = match request.nonce() {
            Some(nonce) => Some(alloc::vec![request::nonce_extension(nonce)?]),
            None => None,
        };
        let data = wire::ResponseData {
            version: None,
            responder: self.id(crypto)?,
            produced_at: time::generalized(at)?,
            responses,
            extensions,
        };
        self.sign(&data)
    }

    /// RFC 6960 §4.2.1: the SHA-1 of the responder's key, a name that protects nothing.
    fn id(&self, crypto: &dyn Crypto) -> Result<wire::ResponderId, Error> {
        let hash = crypto.hash(HashAlgorithm::Sha1, &[self.certificate.key_octets()]);
        let hash = OctetString::new(hash.as_bytes()).map_err(Error::der(PART))?;
        Ok(wire::ResponderId::ByKey(hash))
    }

    fn sign(&self, data: &wire::ResponseData) -> Result<Vec<u8>, Error> {
        let failed = Error::der(PART);
        let tbs = data.to_der().map_err(&failed)?;
        let algorithm = algorithm::encode_signature(self.signer.algorithm())?;
        let signature = self.signer.sign(&tbs)?;
        let delegate = (self.certificate != self.issuer).then(|| self.certificate.der());
        let certificates = match delegate {
            Some(der) => Some(alloc::vec![Any::from_der(der).map_err(&failed)?]),
            None => None,
        };
        let basic = wire::BasicResponse {
            tbs: AnyRef::from_der(&tbs).map_err(&failed)?,
            algorithm: AnyRef::from_der(&algorithm).map_err(&failed)?,
            signature: BitStringRef::from_bytes(&signature).map_err(&failed)?,
            certificates,
        }
        .to_der()
        .map_err(&failed)?;
        let response = OctetStringRef::new(&basic).map_err(&failed)?;
        wire::OcspResponse {
            status: wire::ResponseStatus::Successful,
            bytes: Some(wire::ResponseBytes { kind: wire::BASIC, response }),
        }
        .to_der()
        .map_err(failed)
    }
}

/// A response that says why there is no answer; it is not signed (RFC 6960 §4.2.1).
pub fn error_response(trouble: Trouble) -> Vec<u8> {
    let status = match trouble {
        Trouble::MalformedRequest => wire::ResponseStatus::MalformedRequest,
        Trouble::InternalError => wire::ResponseStatus::InternalError,
        Trouble::TryLater => wire::ResponseStatus::TryLater,
        Trouble::Unauthorized => wire::ResponseStatus::Unauthorized,
    };
    // SEQUENCE { ENUMERATED }
    alloc::vec![0x30, 0x03, 0x0A, 0x01, status as u8]
}

fn encode_status(status: Status) -> Result<wire::CertStatus, Error> {
    Ok(match status {
        Status::Good => wire::CertStatus::Good(Null),
        Status::Unknown => wire::CertStatus::Unknown(Null),
        Status::Revoked { at, reason } => wire::CertStatus::Revoked(wire::RevokedInfo {
            at: time::generalized(at)?,
            reason: Some(reason.to_wire()),
        }),
    })
}
