//! Full PKI requests and responses of CMC (RFC 5272), as far as certificates are asked for with them:
//! PKCS #10 requests under transaction and nonces. Every other control and kind of request is answered
//! with its status.

use crate::Error;
use crate::der_out::{self, OCTET_STRING, SEQUENCE, SET, UTF8_STRING};
use der::asn1::{GeneralizedTime, IntRef, OctetStringRef, Utf8StringRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber};
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_cms::SignedData;
use touchstone_crypto::{Crypto, Verified};

/// With the usual room for its arcs.
type ObjectIdentifier = der::asn1::ObjectIdentifier;

/// The media type of a request (RFC 5273 §3).
pub const REQUEST_TYPE: &str = "application/pkcs7-mime; smime-type=CMC-request";
/// The media type of a response (RFC 5273 §3).
pub const RESPONSE_TYPE: &str = "application/pkcs7-mime; smime-type=CMC-response";
/// `id-cct-PKIData` (RFC 5272 §3.2.1).
pub const PKI_DATA: &str = "1.3.6.1.5.5.7.12.2";
/// `id-cct-PKIResponse` (RFC 5272 §3.2.2).
pub const PKI_RESPONSE: &str = "1.3.6.1.5.5.7.12.3";

const STATUS_INFO_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.25");
const STATUS_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.1");
const TRANSACTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.5");
const SENDER_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.6");
const RECIPIENT_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.7");

const MOST_OCTETS: usize = 512 * 1024;
/// As many certificates as one message may ask for.
pub const MOST_REQUESTS: usize = 8;
const MOST_CONTROLS: usize = 32;

/// `PKIData`, as far as it is understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PkiData {
    /// The transaction: an INTEGER in DER.
    pub transaction: Option<Vec<u8>>,
    /// The client's nonce.
    pub sender_nonce: Option<Vec<u8>>,
    /// What is asked for, by the number of its part.
    pub requests: Vec<(u32, CertificateRequest)>,
    /// Parts that are of a kind that is not done here.
    pub unsupported: Vec<u32>,
}

/// What became of a part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The certificate is in the response.
    Issued,
    /// Come back after so many seconds.
    Pending(u32),
    /// No (RFC 5272 §6.1.4).
    Failed {
        /// Why.
        info: FailInfo,
        /// Why, for a person.
        text: String,
    },
}

/// `CMCFailInfo` (RFC 5272 §6.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailInfo {
    /// An algorithm that is not taken.
    BadAlg,
    /// A signature that is wrong.
    BadMessageCheck,
    /// What is asked for is not done.
    BadRequest,
    /// No such certificate.
    BadCertId,
    /// The proof of possession is wrong.
    PopFailed,
    /// The authority is in trouble.
    InternalCaError,
    /// Later it may be another answer.
    TryLater,
    /// Whoever asks may not.
    AuthDataFail,
    /// One that is not known here.
    Other(u8),
}

impl FailInfo {
    const ALL: [(Self, u8); 8] = [
        (Self::BadAlg, 0),
        (Self::BadMessageCheck, 1),
        (Self::BadRequest, 2),
        (Self::BadCertId, 4),
        (Self::PopFailed, 9),
        (Self::InternalCaError, 11),
        (Self::TryLater, 12),
        (Self::AuthDataFail, 13),
    ];

    const fn number(self) -> u8 {
        match self {
            Self::BadAlg => 0,
            Self::BadMessageCheck => 1,
            Self::BadRequest => 2,
            Self::BadCertId => 4,
            Self::PopFailed => 9,
            Self::InternalCaError => 11,
            Self::TryLater => 12,
            Self::AuthDataFail => 13,
            Self::Other(number) => number,
        }
    }

    fn of(number: u8) -> Self {
        let known = Self::ALL.into_iter().find(|(_, it)| *it == number);
        known.map_or(Self::Other(number), |(info, _)| info)
    }
}

/// `PKIResponse`, as far as it is understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PkiResponse {
    /// The transaction: an INTEGER in DER.
    pub transaction: Option<Vec<u8>>,
    /// The client's nonce, which comes back.
    pub recipient_nonce: Option<Vec<u8>>,
    /// What became of which parts.
    pub outcomes: Vec<(Vec<u32>, Outcome)>,
}

/// A response, and what came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What it says.
    pub response: PkiResponse,
    /// Certificates in its envelope.
    pub certificates: Vec<Certificate>,
    /// Who signed it. Whether they count is not decided yet.
    pub signers: Vec<Certificate>,
}

/// Reads a request and checks its signatures and every proof of possession inside (RFC 5272 §3.2.1).
/// Whether any of its signers counts is not decided yet.
pub fn read_request(
    crypto: &dyn Crypto,
    octets: &[u8],
) -> Result<Verified<(PkiData, Vec<Certificate>)>, Error> {
    if octets.len() > MOST_OCTETS {
        return Err(Error::TooLong);
    }
    let signed = SignedData::decode(octets)?.verify(crypto)?;
    if signed.content_type() != PKI_DATA {
        return Err(Error::BadCmc);
    }
    let data = PkiData::decode(signed.content())?;
    for (_, request) in &data.requests {
        request.clone().verify(crypto)?;
    }
    let by = signed.signers().iter().map(|it| it.certificate.clone()).collect();
    Ok(Verified::vouch((data, by)))
}

/// Reads the response to what was asked, and checks its signatures.
pub fn read_response(
    crypto: &dyn Crypto,
    octets: &[u8],
    asked: &PkiData,
) -> Result<Verified<Received>, Error> {
    if octets.len() > MOST_OCTETS {
        return Err(Error::TooLong);
    }
    let signed = SignedData::decode(octets)?.verify(crypto)?;
    if signed.content_type() != PKI_RESPONSE {
        return Err(Error::BadCmc);
    }
    let response = PkiResponse::decode(signed.content())?;
    // RFC 5272 §6.6: both come back as they were sent.
    if response.transaction != asked.transaction || response.recipient_nonce != asked.sender_nonce {
        return Err(Error::CmcMismatch);
    }
    let by = signed.signers().iter().map(|it| it.certificate.clone()).collect();
    let certificates = signed.certificates().to_vec();
    Ok(Verified::vouch(Received { response, certificates, signers: by }))
}

impl PkiData {
    /// Reads DER.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        let mut data = Self::default();
        let mut reader = SliceReader::new(der).map_err(|_| Error::BadCmc)?;
        let parts = reader.sequence(|parts| {
            let parts =
                [parts.tlv_bytes()?, parts.tlv_bytes()?, parts.tlv_bytes()?, parts.tlv_bytes()?];
            Ok::<_, der::Error>(parts)
        });
        let [controls, requests, cms, others] = parts.map_err(|_| Error::BadCmc)?;
        reader.finish().map_err(|_| Error::BadCmc)?;
        for control in elements(controls, MOST_CONTROLS)? {
            data.control(control)?;
        }
        for request in elements(requests, MOST_REQUESTS + 1)? {
            data.request(request)?;
        }
        for part in [cms, others] {
            for tagged in elements(part, MOST_CONTROLS)? {
                let (id, _) = numbered(content_of(tagged)?)?;
                data.unsupported.push(id);
            }
        }
        if data.requests.len() > MOST_REQUESTS {
            return Err(Error::TooManyRequests);
        }
        let mut ids: Vec<u32> = data.requests.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        // RFC 5272 §3.2.1.1: no two parts have one number.
        if ids.len() == data.requests.len() { Ok(data) } else { Err(Error::BadCmc) }
    }

    fn control(&mut self, der: &[u8]) -> Result<(), Error> {
        let (id, oid, values) = attribute(der)?;
        let [value] = values.as_slice() else { return Err(Error::BadCmc) };
        match oid {
            TRANSACTION => self.transaction = Some(transaction(value)?),
            SENDER_NONCE => self.sender_nonce = Some(nonce(value)?),
            _ => self.unsupported.push(id),
        }
        Ok(())
    }

    /// `TaggedRequest`: PKCS #10 is `[0]`, CRMF `[1]`, others `[2]`.
    fn request(&mut self, der: &[u8]) -> Result<(), Error> {
        let tag = tag(der)?;
        let inside = content_of(der)?;
        if tag == context(0) {
            let (id, rest) = numbered(inside)?;
            self.requests.push((id, CertificateRequest::decode(rest)?));
        } else if tag == context(1) || tag == context(2) {
            // CertReqMsg begins with a CertRequest, which has the number inside.
            let id = match numbered(inside) {
                Ok((id, _)) => id,
                Err(_) => content_of(inside).and_then(numbered)?.0,
            };
            self.unsupported.push(id);
        } else {
            return Err(Error::BadCmc);
        }
        Ok(())
    }

    /// DER.
    pub fn encode(&self) -> Vec<u8> {
        let mut controls = Controls::default();
        controls.transaction(self.transaction.as_deref());
        controls.nonce(&SENDER_NONCE, self.sender_nonce.as_deref());
        let requests: Vec<u8> = self
            .requests
            .iter()
            .flat_map(|(id, request)| {
                der_out::tlv(0xA0, &[&der_out::number(u64::from(*id)), request.der()])
            })
            .collect();
        let none = der_out::tlv(SEQUENCE, &[]);
        let parts = [controls.encode(), der_out::tlv(SEQUENCE, &[&requests]), none.clone(), none];
        der_out::tlv(SEQUENCE, &[&parts.concat()])
    }
}

impl PkiResponse {
    /// The response to a request. Parts that are not done here have their status in it (RFC 5272
    /// §6.1.1), whatever else is answered.
    pub fn to(data: &PkiData, outcomes: &[(u32, Outcome)]) -> Self {
        let mut outcomes: Vec<_> =
            outcomes.iter().map(|(id, outcome)| (vec![*id], outcome.clone())).collect();
        if !data.unsupported.is_empty() {
            let text =
                "only PKCS #10 requests under a transaction and a nonce are done here".into();
            let failed = Outcome::Failed { info: FailInfo::BadRequest, text };
            outcomes.push((data.unsupported.clone(), failed));
        }
        let recipient_nonce = data.sender_nonce.clone();
        Self { transaction: data.transaction.clone(), recipient_nonce, outcomes }
    }

    /// DER, at the time `now` in Unix seconds.
    pub fn encode(&self, now: u64) -> Result<Vec<u8>, Error> {
        let mut controls = Controls::default();
        for (parts, outcome) in &self.outcomes {
            controls.add(&STATUS_INFO_V2, &status(parts, outcome, now)?);
        }
        controls.transaction(self.transaction.as_deref());
        controls.nonce(&RECIPIENT_NONCE, self.recipient_nonce.as_deref());
        let none = der_out::tlv(SEQUENCE, &[]);
        let parts = [controls.encode(), none.clone(), none];
        Ok(der_out::tlv(SEQUENCE, &[&parts.concat()]))
    }

    /// Reads DER.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        let mut response = Self::default();
        let mut reader = SliceReader::new(der).map_err(|_| Error::BadCmc)?;
        let controls = reader.sequence(|parts| {
            let controls = parts.tlv_bytes()?;
            // cmsSequence and otherMsgSequence say nothing about certificates.
            parts.tlv_bytes()?;
            parts.tlv_bytes()?;
            Ok::<_, der::Error>(controls)
        });
        for control in elements(controls.map_err(|_| Error::BadCmc)?, MOST_CONTROLS)? {
            let (_, oid, values) = attribute(control)?;
            let [value] = values.as_slice() else { return Err(Error::BadCmc) };
            match oid {
                TRANSACTION => response.transaction = Some(transaction(value)?),
                RECIPIENT_NONCE => response.recipient_nonce = Some(nonce(value)?),
                STATUS_INFO | STATUS_INFO_V2 => {
                    let outcome = read_status(value).map_err(|_| Error::BadCmc)?;
                    response.outcomes.push(outcome);
                }
                _ => {}
            }
        }
        reader.finish().map_err(|_| Error::BadCmc)?;
        Ok(response)
    }
}

/// `controlSequence`: each control has a number.
#[derive(Default)]
struct Controls {
    octets: Vec<u8>,
    count: u64,
}

impl Controls {
    fn add(&mut self, oid: &ObjectIdentifier, value: &[u8]) {
        // Requests have small numbers, so that controls begin far from them.
        self.count += 1;
        let id = der_out::number(100_000 + self.count);
        let parts = [id, der_out::oid(oid), der_out::tlv(SET, &[value])];
        self.octets.extend(der_out::tlv(SEQUENCE, &[&parts.concat()]));
    }

    fn transaction(&mut self, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.add(&TRANSACTION, value);
        }
    }

    fn nonce(&mut self, oid: &ObjectIdentifier, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.add(oid, &der_out::tlv(OCTET_STRING, &[value]));
        }
    }

    fn encode(&self) -> Vec<u8> {
        der_out::tlv(SEQUENCE, &[&self.octets])
    }
}

/// `CMCStatusInfoV2` (RFC 5272 §6.1.1).
fn status(parts: &[u32], outcome: &Outcome, now: u64) -> Result<Vec<u8>, Error> {
    let ids: Vec<u8> = parts.iter().flat_map(|id| der_out::number(u64::from(*id))).collect();
    let list = der_out::tlv(SEQUENCE, &[&ids]);
    let (number, text, other) = match outcome {
        Outcome::Issued => (0, None, Vec::new()),
        Outcome::Pending(seconds) => {
            let at = core::time::Duration::from_secs(now.saturating_add(u64::from(*seconds)));
            let time = GeneralizedTime::from_unix_duration(at).and_then(|time| time.to_der());
            let time = time.map_err(|_| Error::BadCmc)?;
            let token = der_out::tlv(OCTET_STRING, &[&ids]);
            (3, None, der_out::tlv(0xA0, &[&token, &time]))
        }
        Outcome::Failed { info, text } => {
            (2, Some(text), der_out::number(u64::from(info.number())))
        }
    };
    let text = text.map(|text| der_out::tlv(UTF8_STRING, &[text.as_bytes()])).unwrap_or_default();
    Ok(der_out::tlv(SEQUENCE, &[&der_out::number(number), &list, &text, &other]))
}

fn read_status(der: &[u8]) -> der::Result<(Vec<u32>, Outcome)> {
    let mut reader = SliceReader::new(der)?;
    let found = reader.sequence(|it| {
        let number = u8::decode(it)?;
        let mut ids = Vec::new();
        let list = it.tlv_bytes()?;
        let mut outer = SliceReader::new(list)?;
        outer.sequence(|list| {
            while !list.is_finished() {
                let part = list.tlv_bytes()?;
                // BodyPartReference is a number or a path of them; paths lead into what is not sent.
                if let Ok(id) = u32::from_der(part) {
                    ids.push(id);
                }
            }
            Ok::<_, der::Error>(())
        })?;
        let text = !it.is_finished() && Tag::peek(it)? == Tag::Utf8String;
        let text =
            if text { Utf8StringRef::decode(it)?.as_str().to_owned() } else { String::new() };
        let info = if !it.is_finished() && Tag::peek(it)? == Tag::Integer {
            FailInfo::of(u8::decode(it)?)
        } else {
            FailInfo::Other(u8::MAX)
        };
        while !it.is_finished() {
            it.tlv_bytes()?;
        }
        let outcome = match number {
            0 => Outcome::Issued,
            3 => Outcome::Pending(0),
            _ => Outcome::Failed { info, text },
        };
        Ok::<_, der::Error>((ids, outcome))
    })?;
    reader.finish()?;
    Ok(found)
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

fn tag(der: &[u8]) -> Result<Tag, Error> {
    SliceReader::new(der).and_then(|reader| Tag::peek(&reader)).map_err(|_| Error::BadCmc)
}

/// What is inside an element, whatever its tag.
fn content_of(der: &[u8]) -> Result<&[u8], Error> {
    let inside = || {
        let mut reader = SliceReader::new(der)?;
        let header = der::Header::decode(&mut reader)?;
        reader.read_slice(header.length())
    };
    inside().map_err(|_| Error::BadCmc)
}

/// The elements of a SEQUENCE, as many as `most`.
fn elements(der: &[u8], most: usize) -> Result<Vec<&[u8]>, Error> {
    if tag(der)? != Tag::Sequence {
        return Err(Error::BadCmc);
    }
    let mut reader = SliceReader::new(content_of(der)?).map_err(|_| Error::BadCmc)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        if found.len() >= most {
            return Err(Error::TooManyRequests);
        }
        found.push(reader.tlv_bytes().map_err(|_| Error::BadCmc)?);
    }
    Ok(found)
}

/// A `bodyPartID` and what follows it.
fn numbered(content: &[u8]) -> Result<(u32, &[u8]), Error> {
    let read = || {
        let mut reader = SliceReader::new(content)?;
        let id = u32::decode(&mut reader)?;
        let len = reader.remaining_len();
        Ok::<_, der::Error>((id, reader.read_slice(len)?))
    };
    read().map_err(|_| Error::BadCmc)
}

/// `TaggedAttribute`: its number, its type, its values.
fn attribute(der: &[u8]) -> Result<(u32, ObjectIdentifier, Vec<&[u8]>), Error> {
    let read = || {
        let mut reader = SliceReader::new(der)?;
        reader.sequence(|it| {
            let id = u32::decode(it)?;
            let oid = ObjectIdentifier::decode(it)?;
            Ok::<_, der::Error>((id, oid, it.tlv_bytes()?))
        })
    };
    let (id, oid, set) = read().map_err(|_| Error::BadCmc)?;
    let mut reader = SliceReader::new(content_of(set)?).map_err(|_| Error::BadCmc)?;
    let mut values = Vec::new();
    while !reader.is_finished() {
        values.push(reader.tlv_bytes().map_err(|_| Error::BadCmc)?);
    }
    Ok((id, oid, values))
}

fn transaction(value: &[u8]) -> Result<Vec<u8>, Error> {
    let number = IntRef::from_der(value).map_err(|_| Error::BadCmc)?;
    if number.as_bytes().len() > 64 { Err(Error::BadCmc) } else { Ok(value.to_vec()) }
}

fn nonce(value: &[u8]) -> Result<Vec<u8>, Error> {
    let nonce = <&OctetStringRef>::from_der(value).map_err(|_| Error::BadCmc)?;
    if nonce.as_bytes().len() > 64 { Err(Error::BadCmc) } else { Ok(nonce.as_bytes().to_vec()) }
}
