//! Bodies and media types (RFC 7030 §4, RFC 8951 §2).

use crate::Error;
use crate::est::attributes::Attributes;
use base64ct::{Base64, Encoding};
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_cms::{certs_only, read_certs_only};

/// The media type of a request (RFC 7030 §4.2.1).
pub const REQUEST_TYPE: &str = "application/pkcs10";
/// The media type of `cacerts` (RFC 7030 §4.1.3).
pub const CERTS_TYPE: &str = "application/pkcs7-mime";
/// The media type of an enrolment's response (RFC 7030 §4.2.3).
pub const ENROLLED_TYPE: &str = "application/pkcs7-mime; smime-type=certs-only";
/// The media type of `csrattrs` (RFC 7030 §4.5.2).
pub const CSRATTRS_TYPE: &str = "application/csrattrs";
/// The value of `Content-Transfer-Encoding`, for peers that look for it.
pub const TRANSFER_ENCODING: &str = "base64";

const MOST_BODY: usize = 512 * 1024;
/// libest reads lines as OpenSSL's filters write them.
const LINE: usize = 64;

/// How base64 is broken into lines. RFC 8951 §2.1 leaves it to the sender, and receivers do not read
/// it all alike: strongSwan's `pki` up to 5.9.8 wants one line without an end, libest wants short ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lines {
    /// Of 64 characters, each with its end.
    Short,
    /// One, without an end.
    One,
}

impl Lines {
    /// What a client reads, by its `User-Agent`: short lines, unless it says to be strongSwan, or
    /// says nothing, as its `pki` does.
    pub fn for_client(user_agent: Option<&str>) -> Self {
        match user_agent {
            None => Self::One,
            Some(agent) if agent.to_ascii_lowercase().contains("strongswan") => Self::One,
            Some(_) => Self::Short,
        }
    }
}

/// The body of a request.
pub fn encode_request(request_der: &[u8]) -> String {
    wrap(request_der, Lines::Short)
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
pub fn encode_certs(certificates: &[Certificate], lines: Lines) -> Result<String, Error> {
    Ok(wrap(&certs_only(certificates)?, lines))
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

/// Reads what a request has to contain, and its `Content-Type`: `CsrAttrs` in DER, which parse.
pub fn decode_attributes(content_type: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
    if !is_type(content_type, CSRATTRS_TYPE) {
        return Err(Error::WrongContentType);
    }
    let der = unwrap_body(body)?;
    Attributes::decode(&der)?;
    Ok(der)
}

pub(crate) fn is_type(content_type: &str, wanted: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case(wanted)
}

/// A parameter of a media type (RFC 9110 §5.6.6).
pub(crate) fn parameter(content_type: &str, name: &str) -> Option<String> {
    let mut parts = content_type.split(';').skip(1);
    parts.find_map(|part| {
        let (known, value) = part.trim().split_once('=')?;
        known.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

pub(crate) fn wrap(der: &[u8], lines: Lines) -> String {
    let text = Base64::encode_string(der);
    if lines == Lines::One {
        return text;
    }
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

pub(crate) fn unwrap_body(body: &[u8]) -> Result<Vec<u8>, Error> {
    if body.len() > MOST_BODY {
        return Err(Error::TooLong);
    }
    // libest's server counts the end of its string as part of it.
    let body = body.strip_suffix(&[0]).unwrap_or(body);
    let text: Vec<u8> = body.iter().copied().filter(|c| !c.is_ascii_whitespace()).collect();
    let text = core::str::from_utf8(&text).map_err(|_| Error::NotBase64)?;
    Base64::decode_vec(text).map_err(|_| Error::NotBase64)
}

/// What a server reads: base64, or DER as some clients send it.
pub(crate) fn unwrap_lenient(body: &[u8]) -> Result<Vec<u8>, Error> {
    // No base64 of a SEQUENCE begins with the tag of one: it begins with `M`.
    if body.first() == Some(&0x30) {
        return if body.len() > MOST_BODY { Err(Error::TooLong) } else { Ok(body.to_vec()) };
    }
    unwrap_body(body)
}
