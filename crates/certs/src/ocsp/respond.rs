//! The responder's side.

use super::wire;
use super::{CertId, Request, Status, Trouble, request};
use crate::certificate::Signed;
use crate::signing::ToBeSigned;
use crate::{Certificate, Error, Purpose, Refusal, TrustStore, time};
use alloc::collections::BTreeMap;
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
        status_of: impl FnMut(&str) -> Status,
    ) -> Result<Vec<u8>, Error> {
        self.to_be_signed(crypto, request, at, next_update, status_of)?.sign(self.signer)
    }

    /// The same, waiting for a signature by the responder's key.
    pub fn to_be_signed(
        &self,
        crypto: &dyn Crypto,
        request: &Request,
        at: u64,
        next_update: u64,
        mut status_of: impl FnMut(&str) -> Status,
    ) -> Result<ToBeSigned<Vec<u8>>, Error> {
        let mut responses = Vec::with_capacity(request.ids().len());
        for id in request.ids() {
            let ours = id.is_of(crypto, self.issuer);
            let status = if ours { status_of(&id.serial()) } else { Status::Unknown };
            responses.push(single(id, status, at, next_update)?);
        }
        self.waiting(crypto, responses, request.nonce(), at)
    }

    /// An answer about one of the issuer's certificates for whoever asks between `at` and
    /// `next_update`, without a nonce (RFC 5019 §2.2). [`Presigned`] hands it out.
    pub fn presign(
        &self,
        crypto: &dyn Crypto,
        certificate: &Certificate,
        status: Status,
        at: u64,
        next_update: u64,
    ) -> Result<Vec<u8>, Error> {
        let id = CertId::of(crypto, HashAlgorithm::Sha1, certificate, self.issuer)?;
        let responses = alloc::vec![single(&id, status, at, next_update)?];
        self.waiting(crypto, responses, None, at)?.sign(self.signer)
    }

    fn waiting(
        &self,
        crypto: &dyn Crypto,
        responses: Vec<wire::SingleResponse>,
        nonce: Option<&[u8]>,
        at: u64,
    ) -> Result<ToBeSigned<Vec<u8>>, Error> {
        let data = wire::ResponseData {
            version: None,
            responder: self.id(crypto)?,
            produced_at: time::generalized(at)?,
            responses,
            extensions: nonce
                .map(|nonce| request::nonce_extension(nonce).map(|one| alloc::vec![one]))
                .transpose()?,
        };
        let tbs = data.to_der().map_err(Error::der(PART))?;
        let (algorithm, own) = (self.signer.algorithm(), self.certificate);
        let delegate = (own != self.issuer).then(|| own.der().to_vec());
        let (spki, name) = (own.spki_der(), own.subject_der());
        Ok(ToBeSigned::new(tbs, algorithm, spki, name, move |signed| {
            assemble(signed, delegate.as_deref())
        }))
    }

    /// RFC 6960 §4.2.1: the SHA-1 of the responder's key, a name that protects nothing.
    fn id(&self, crypto: &dyn Crypto) -> Result<wire::ResponderId, Error> {
        let hash = crypto.hash(HashAlgorithm::Sha1, &[self.certificate.key_octets()]);
        let hash = OctetString::new(hash.as_bytes()).map_err(Error::der(PART))?;
        Ok(wire::ResponderId::ByKey(hash))
    }
}

fn single(
    id: &CertId,
    status: Status,
    at: u64,
    next_update: u64,
) -> Result<wire::SingleResponse, Error> {
    Ok(wire::SingleResponse {
        id: id.wire.clone(),
        status: encode_status(status)?,
        this_update: time::generalized(at)?,
        next_update: Some(time::generalized(next_update)?),
        extensions: None,
    })
}

fn assemble(signed: &Signed<'_>, delegate: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    let failed = Error::der(PART);
    let certificates = match delegate {
        Some(der) => Some(alloc::vec![Any::from_der(der).map_err(&failed)?]),
        None => None,
    };
    let basic = wire::BasicResponse {
        tbs: AnyRef::from_der(signed.tbs).map_err(&failed)?,
        algorithm: AnyRef::from_der(signed.algorithm).map_err(&failed)?,
        signature: BitStringRef::from_bytes(signed.signature).map_err(&failed)?,
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

/// Responses that were signed beforehand, handed out while they hold (RFC 5019 §2.2): what a busy
/// responder keeps, and one whose key is not at hand.
#[derive(Clone, Debug, Default)]
pub struct Presigned {
    responses: BTreeMap<Vec<u8>, Held>,
}

#[derive(Clone, Debug)]
struct Held {
    octets: Vec<u8>,
    from: u64,
    until: u64,
}

impl Presigned {
    /// Keeps a response about a certificate, in place of an older one.
    pub fn put(&mut self, certificate: &Certificate, octets: Vec<u8>, from: u64, until: u64) {
        let held = Held { octets, from, until };
        self.responses.insert(certificate.serial_octets().to_vec(), held);
    }

    /// The response to a request, if there is one that holds at `at`, and for how many seconds more
    /// (the `max-age` of RFC 5019 §6.2). A nonce is passed over; requests about several
    /// certificates, other hashes and other issuers are for [`Responder::respond`].
    pub fn answer(
        &self,
        crypto: &dyn Crypto,
        issuer: &Certificate,
        request: &Request,
        at: u64,
    ) -> Option<(&[u8], u64)> {
        let [id] = request.ids() else { return None };
        if id.hash != HashAlgorithm::Sha1 || !id.is_of(crypto, issuer) {
            return None;
        }
        let held = self.responses.get(id.wire.serial.as_bytes())?;
        let holds = held.from <= at && at < held.until;
        holds.then(|| (held.octets.as_slice(), held.until.saturating_sub(at)))
    }

    /// Forgets what no longer holds.
    pub fn sweep(&mut self, at: u64) {
        self.responses.retain(|_, held| at < held.until);
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
