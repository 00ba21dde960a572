//! EST bodies and media types (RFC 7030 §4, with the clarifications of RFC 8951).
//!
//! Every body is base64, whatever a `Content-Transfer-Encoding` says or does not say (RFC 8951 §2.1).
//! Senders wrap lines or not; both are read.

use crate::Error;
use base64ct::{Base64, Encoding};
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_cms::{certs_only, read_certs_only};

/// Where EST lives on a server (RFC 7030 §3.2.2).
pub const PREFIX: &str = "/.well-known/est/";
/// The media type of a request (RFC 7030 §4.2.1).
pub const REQUEST_TYPE: &str = "application/pkcs10";
/// The media type of `cacerts` (RFC 7030 §4.1.3).
pub const CERTS_TYPE: &str = "application/pkcs7-mime";
/// The media type of an enrolment's response (RFC 7030 §4.2.3).
pub const ENROLLED_TYPE: &str = "application/pkcs7-mime; smime-type=certs-only";
/// The value of `Content-Transfer-Encoding`, for peers that look for it.
pub const TRANSFER_ENCODING: &str = "base64";

const MOST_BODY: usize = 512 * 1024;
const LINE: usize = 76;

/// What a client asks for (RFC 7030 §3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The CA's certificates, §4.1.
    CaCerts,
    /// A certificate, §4.2.1.
    SimpleEnroll,
    /// The same certificate with another validity or key, §4.2.2.
    SimpleReenroll,
    /// What a request should contain, §4.5.
    CsrAttrs,
}

impl Operation {
    /// The operation of a path; a label between prefix and operation is passed over (RFC 7030
    /// §3.2.2).
    pub fn from_path(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(PREFIX)?;
        let name = match rest.split_once('/') {
            Some((label, name)) if !label.is_empty() => name,
            Some(_) => return None,
            None => rest,
        };
        [Self::CaCerts, Self::SimpleEnroll, Self::SimpleReenroll, Self::CsrAttrs]
            .into_iter()
            .find(|operation| operation.name() == name)
    }

    /// The last part of its path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CaCerts => "cacerts",
            Self::SimpleEnroll => "simpleenroll",
            Self::SimpleReenroll => "simplereenroll",
            Self::CsrAttrs => "csrattrs",
        }
    }

    /// Its path without a label.
    pub fn path(self) -> String {
        format!("{PREFIX}{}", self.name())
    }
}

/// The body of a request.
pub fn encode_request(request_der: &[u8]) -> String {
    wrap(request_der)
}

/// Reads the body of a request and its `Content-Type`. Proof of possession
/// ([`CertificateRequest::verify`]) is still to come.
pub fn decode_request(content_type: &str, body: &[u8]) -> Result<CertificateRequest, Error> {
    if !is_type(content_type, REQUEST_TYPE) {
        return Err(Error::WrongContentType);
    }
    Ok(CertificateRequest::decode(&unwrap_body(body)?)?)
}

/// The body of a response: the certificate that was issued, or the CA's.
pub fn encode_certs(certificates: &[Certificate]) -> Result<String, Error> {
    Ok(wrap(&certs_only(certificates)?))
}

/// Reads the body of a response and its `Content-Type`; the order of the certificates means nothing.
pub fn decode_certs(content_type: &str, body: &[u8]) -> Result<Vec<Certificate>, Error> {
    if !is_type(content_type, CERTS_TYPE) {
        return Err(Error::WrongContentType);
    }
    Ok(read_certs_only(&unwrap_body(body)?)?)
}

/// The one certificate of a response that is for the key `spki_der` (RFC 7030 §4.2.3).
pub fn decode_enrolled(
    content_type: &str,
    body: &[u8],
    spki_der: &[u8],
) -> Result<Certificate, Error> {
    let certificates = decode_certs(content_type, body)?;
    let issued = certificates.into_iter().find(|certificate| certificate.spki_der() == spki_der);
    issued.ok_or(Error::Certificate(touchstone_certs::Error::Refused {
        reason: touchstone_certs::Refusal::KeyMismatch,
        subject: String::new(),
    }))
}

fn is_type(content_type: &str, wanted: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case(wanted)
}

fn wrap(der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    let mut body = String::with_capacity(text.len() + text.len() / LINE + 1);
    for (index, c) in text.chars().enumerate() {
        if index > 0 && index % LINE == 0 {
            body.push('\n');
        }
        body.push(c);
    }
    body.push('\n');
    body
}

fn unwrap_body(body: &[u8]) -> Result<Vec<u8>, Error> {
    if body.len() > MOST_BODY {
        return Err(Error::TooLong);
    }
    let text: Vec<u8> = body.iter().copied().filter(|c| !c.is_ascii_whitespace()).collect();
    let text = core::str::from_utf8(&text).map_err(|_| Error::NotBase64)?;
    Base64::decode_vec(text).map_err(|_| Error::NotBase64)
}
