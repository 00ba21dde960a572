//! Requests: about which certificates, and with which nonce.

use super::wire;
use crate::certificate::hex;
use crate::{Certificate, Error, Fault, algorithm};
use alloc::string::String;
use alloc::vec::Vec;
use der::asn1::{Any, Int, OctetString, OctetStringRef};
use der::{Decode, Encode};
use spki::AlgorithmIdentifierOwned;
use touchstone_crypto::{Crypto, HashAlgorithm};
use x509_cert::ext::Extension;

const PART: &str = "OCSP request";
/// A client of ours asks about one; nobody needs to ask about more than this at once.
const MOST_IDS: usize = 32;
const MOST_OCTETS: usize = 64 * 1024;
/// RFC 9654 §2.1.
const MOST_NONCE: usize = 128;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(super) ids: Vec<CertId>,
    pub(super) nonce: Option<Vec<u8>>,
}

/// Which certificate a request is about (RFC 6960 §4.1.1): its issuer by two hashes, and its serial
/// number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertId {
    pub(super) wire: wire::CertId,
    pub(super) hash: HashAlgorithm,
}

impl Request {
    /// A request about one certificate of `issuer`'s. The nonce has 1 to 128 octets; 32 is a good
    /// length (RFC 9654 §2.1).
    pub fn new(
        crypto: &dyn Crypto,
        certificate: &Certificate,
        issuer: &Certificate,
        nonce: Option<&[u8]>,
    ) -> Result<Self, Error> {
        if nonce.is_some_and(|nonce| nonce.is_empty() || nonce.len() > MOST_NONCE) {
            return Err(Error::malformed("nonce"));
        }
        // SHA-1 names the issuer here and protects nothing; it is what every responder knows
        // (RFC 5019 §2.1.1).
        let id = CertId::of(crypto, HashAlgorithm::Sha1, certificate, issuer)?;
        Ok(Self { ids: alloc::vec![id], nonce: nonce.map(<[u8]>::to_vec) })
    }

    /// Reads DER.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MOST_OCTETS {
            return Err(Error::malformed(PART));
        }
        let request = wire::OcspRequest::from_der(der).map_err(Error::der(PART))?;
        let tbs = request.tbs;
        let count = tbs.requests.len();
        if tbs.version.unwrap_or(0) != 0 || count == 0 || count > MOST_IDS {
            return Err(Error::malformed(PART));
        }
        let critical =
            |extension: &Extension| extension.critical && extension.extn_id != wire::NONCE;
        let mut singles = tbs.requests.iter().filter_map(|single| single.extensions.as_deref());
        let whole = tbs.extensions.as_deref().unwrap_or_default();
        if whole.iter().any(critical) || singles.any(|list| list.iter().any(critical)) {
            return Err(Error::malformed("critical extension of the OCSP request"));
        }
        let ids = tbs.requests.into_iter().map(|single| CertId::read(single.id));
        Ok(Self { nonce: nonce(whole)?, ids: ids.collect::<Result<_, _>>()? })
    }

    /// Reads the path of a GET request: base64 of the DER, percent-encoded (RFC 6960 A.1).
    pub fn from_path(path: &str) -> Result<Self, Error> {
        use base64ct::{Base64, Base64Unpadded, Encoding};
        let malformed = || Error::malformed("path of an OCSP request");
        if path.len() > MOST_OCTETS {
            return Err(malformed());
        }
        let text = percent_decode(path).ok_or_else(malformed)?;
        let text = text.trim_start_matches('/');
        let der = Base64::decode_vec(text)
            .or_else(|_| Base64Unpadded::decode_vec(text))
            .map_err(|_| malformed())?;
        Self::decode(&der)
    }

    /// The DER.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let requests = self
            .ids
            .iter()
            .map(|id| wire::SingleRequest { id: id.wire.clone(), extensions: None })
            .collect();
        let extensions = match &self.nonce {
            Some(nonce) => Some(alloc::vec![nonce_extension(nonce)?]),
            None => None,
        };
        let tbs = wire::TbsRequest { version: None, requestor: None, requests, extensions };
        wire::OcspRequest { tbs, signature: None }.to_der().map_err(Error::der(PART))
    }

    /// The certificates it is about.
    pub fn ids(&self) -> &[CertId] {
        &self.ids
    }

    /// Its nonce.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

impl CertId {
    pub(super) fn of(
        crypto: &dyn Crypto,
        hash: HashAlgorithm,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Result<Self, Error> {
        let failed = Error::der(PART);
        let digest = |octets: &[u8]| {
            OctetString::new(crypto.hash(hash, &[octets]).as_bytes()).map_err(Error::der(PART))
        };
        let identifier =
            AlgorithmIdentifierOwned::from_der(&algorithm::encode_hash(hash)?).map_err(&failed)?;
        let wire = wire::CertId {
            // OpenSSL and others compare the parameters as octets, and expect NULL.
            hash: AlgorithmIdentifierOwned { parameters: Some(Any::null()), ..identifier },
            issuer_name_hash: digest(issuer.subject_der())?,
            issuer_key_hash: digest(issuer.key_octets())?,
            serial: Int::new(certificate.serial_octets()).map_err(&failed)?,
        };
        Ok(Self { wire, hash })
    }

    pub(super) fn read(wire: wire::CertId) -> Result<Self, Error> {
        let hash = algorithm::decode_hash(&wire.hash.to_der().map_err(Error::der(PART))?)?;
        if wire.serial.as_bytes().len() > 21 {
            return Err(Error::malformed("serialNumber"));
        }
        Ok(Self { wire, hash })
    }

    /// The serial number in lower-case hexadecimal, as [`Certificate::serial`] gives it.
    pub fn serial(&self) -> String {
        hex(self.wire.serial.as_bytes())
    }

    /// Whether it is a certificate of `issuer`'s.
    pub fn is_of(&self, crypto: &dyn Crypto, issuer: &Certificate) -> bool {
        let digest = |octets: &[u8]| crypto.hash(self.hash, &[octets]);
        digest(issuer.subject_der()).as_bytes() == self.wire.issuer_name_hash.as_bytes()
            && digest(issuer.key_octets()).as_bytes() == self.wire.issuer_key_hash.as_bytes()
    }

    /// Whether it is this certificate of `issuer`'s.
    pub(super) fn names(
        &self,
        crypto: &dyn Crypto,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> bool {
        self.wire.serial.as_bytes() == certificate.serial_octets() && self.is_of(crypto, issuer)
    }
}

/// The nonce among the extensions (RFC 9654 §2.1).
pub(super) fn nonce(extensions: &[Extension]) -> Result<Option<Vec<u8>>, Error> {
    let Some(extension) = extensions.iter().find(|extension| extension.extn_id == wire::NONCE)
    else {
        return Ok(None);
    };
    let value = <&OctetStringRef>::from_der(extension.extn_value.as_bytes())
        .map_err(Error::der("nonce"))?
        .as_bytes();
    if value.is_empty() || value.len() > MOST_NONCE {
        return Err(Error::faulty("nonce", Fault::OutOfRange));
    }
    Ok(Some(value.to_vec()))
}

pub(super) fn nonce_extension(nonce: &[u8]) -> Result<Extension, Error> {
    let failed = Error::der("nonce");
    let value = OctetString::new(nonce).and_then(|nonce| nonce.to_der()).map_err(&failed)?;
    Ok(Extension {
        extn_id: wire::NONCE,
        critical: false,
        extn_value: OctetString::new(value).map_err(failed)?,
    })
}

fn percent_decode(path: &str) -> Option<String> {
    let mut text = Vec::with_capacity(path.len());
    let mut octets = path.bytes();
    while let Some(octet) = octets.next() {
        if octet == b'%' {
            let digit = |octet: u8| char::from(octet).to_digit(16);
            let (high, low) = (digit(octets.next()?)?, digit(octets.next()?)?);
            text.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            text.push(octet);
        }
    }
    String::from_utf8(text).ok()
}
