//! What an EST server asks its owner, and the owner's answers, as octets.

use crate::est::Operation;
use touchstone_certs::Certificate;
use touchstone_wire::{Malformed, Reader, Why, Writer};
use zeroize::Zeroizing;

const MOST_CERTIFICATES: usize = 64;

/// What is to be decided. The kind of the ask says which: whether this client may ask so
/// (`Admit`), what the CA's certificates are (`Authorities`), what a request has to contain
/// (`Attributes`), a certificate (`Issue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What was asked for.
    pub operation: Operation,
    /// Which CA or profile (RFC 7030 §3.2.2).
    pub label: Option<String>,
    /// The request's path, which HTTP Digest protects.
    pub path: String,
    /// What the client says who it is: the header `Authorization`.
    pub authorization: Option<String>,
    /// The request in DER; empty before it is read.
    pub request: Vec<u8>,
    /// To whom a key that the server makes is to be encrypted, by subject key identifier (RFC 7030
    /// §4.4.1.2).
    pub encrypt_to: Option<Vec<u8>>,
}

/// What the owner decided.
#[derive(Clone, PartialEq, Eq)]
pub enum Decision {
    /// The client may ask.
    Admitted,
    /// It is not known who asks; these are the challenges for `WWW-Authenticate`.
    Unauthorized(Vec<String>),
    /// These certificates: the CA's, or the one that was issued with others that may help.
    Certificates(Vec<Certificate>),
    /// A request has to contain this: `CsrAttrs` in DER.
    Attributes(Vec<u8>),
    /// Somebody has yet to decide: come back after so many seconds.
    Later(u32),
    /// A key that was made, and its certificate.
    Key {
        /// The certificate, and others that may help.
        certificates: Vec<Certificate>,
        /// The key.
        key: Given,
    },
    /// What was to be signed, in its envelope.
    Sealed(Vec<u8>),
    /// It cannot be done now, and the client is told why.
    Unavailable {
        /// The stable code.
        code: String,
        /// Why, and what to do.
        text: String,
        /// After how many seconds to come back.
        after: u32,
    },
}

/// A key that a server made, on its way to whom it is for.
#[derive(Clone, PartialEq, Eq)]
pub enum Given {
    /// In the clear: PKCS #8. TLS protects it on its way.
    Plain(Zeroizing<Vec<u8>>),
    /// Encrypted to the client (RFC 7030 §4.4.2): an `EnvelopedData`.
    Encrypted(Vec<u8>),
}

/// What is to be signed and put into an envelope (`Seal`), with certificates beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// The content's type, an object identifier with dots.
    pub content_type: String,
    /// The content.
    pub content: Vec<u8>,
    /// What goes along.
    pub certificates: Vec<Certificate>,
}

impl Sealing {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        long(&mut out, self.content_type.as_bytes());
        long(&mut out, &self.content);
        write_certificates(&mut out, &self.certificates);
        out.into_bytes()
    }

    /// Reads the octets of an ask.
    pub fn decode(octets: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets);
        let content_type = read_long(&mut reader)?;
        let content_type = text(&reader, content_type)?;
        let content = read_long(&mut reader)?.to_vec();
        let certificates = read_certificates(&mut reader)?;
        reader.finish()?;
        Ok(Self { content_type, content, certificates })
    }
}

impl core::fmt::Debug for Given {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain(..)",
            Self::Encrypted(_) => "Encrypted(..)",
        })
    }
}

impl core::fmt::Debug for Decision {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Admitted => f.write_str("Admitted"),
            Self::Unauthorized(challenges) => write!(f, "Unauthorized({challenges:?})"),
            Self::Certificates(certificates) => write!(f, "Certificates({certificates:?})"),
            Self::Attributes(der) => write!(f, "Attributes({} octets)", der.len()),
            Self::Later(seconds) => write!(f, "Later({seconds})"),
            Self::Key { certificates, key } => write!(f, "Key({certificates:?}, {key:?})"),
            Self::Sealed(der) => write!(f, "Sealed({} octets)", der.len()),
            Self::Unavailable { code, .. } => write!(f, "Unavailable({code})"),
        }
    }
}

impl Question {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        let index = Operation::ALL.iter().position(|it| *it == self.operation);
        out.u8(index.and_then(|index| u8::try_from(index).ok()).unwrap_or_default());
        optional(&mut out, self.label.as_deref().map(str::as_bytes));
        long(&mut out, self.path.as_bytes());
        optional(&mut out, self.authorization.as_deref().map(str::as_bytes));
        long(&mut out, &self.request);
        optional(&mut out, self.encrypt_to.as_deref());
        out.into_bytes()
    }

    /// Reads the octets of an ask.
    pub fn decode(octets: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets);
        let operation = usize::from(reader.u8()?);
        let operation = Operation::ALL.get(operation).copied();
        let operation = operation.ok_or_else(|| reader.malformed(Why::BadValue))?;
        let label = read_optional(&mut reader)?.map(|it| text(&reader, it)).transpose()?;
        let path = read_long(&mut reader)?;
        let path = text(&reader, path)?;
        let authorization = read_optional(&mut reader)?.map(|it| text(&reader, it)).transpose()?;
        let request = read_long(&mut reader)?.to_vec();
        let encrypt_to = read_optional(&mut reader)?.map(<[u8]>::to_vec);
        reader.finish()?;
        Ok(Self { operation, label, path, authorization, request, encrypt_to })
    }
}

impl Decision {
    /// The octets of the answer.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer::new();
        match self {
            Self::Admitted => {
                out.u8(1);
            }
            Self::Unauthorized(challenges) => {
                out.u8(2).u16(u16::try_from(challenges.len()).unwrap_or(u16::MAX));
                for challenge in challenges {
                    long(&mut out, challenge.as_bytes());
                }
            }
            Self::Certificates(certificates) => {
                out.u8(3);
                write_certificates(&mut out, certificates);
            }
            Self::Attributes(der) => {
                long(out.u8(4), der);
            }
            Self::Later(seconds) => {
                out.u8(5).u32(*seconds);
            }
            Self::Key { certificates, key } => {
                let (kind, octets) = match key {
                    Given::Plain(octets) => (0, octets.as_slice()),
                    Given::Encrypted(octets) => (1, octets.as_slice()),
                };
                out.u8(6).u8(kind);
                long(&mut out, octets);
                write_certificates(&mut out, certificates);
            }
            Self::Sealed(der) => {
                long(out.u8(7), der);
            }
            Self::Unavailable { code, text, after } => {
                long(out.u8(8).u32(*after), code.as_bytes());
                long(&mut out, text.as_bytes());
            }
        }
        Zeroizing::new(out.into_bytes())
    }

    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        Self::read(octets).ok()
    }

    fn read(octets: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets);
        let decision = match reader.u8()? {
            1 => Self::Admitted,
            2 => {
                let count = reader.u16()?;
                let mut challenges = Vec::new();
                for _ in 0..count {
                    let challenge = read_long(&mut reader)?;
                    challenges.push(text(&reader, challenge)?);
                }
                Self::Unauthorized(challenges)
            }
            3 => Self::Certificates(read_certificates(&mut reader)?),
            4 => Self::Attributes(read_long(&mut reader)?.to_vec()),
            5 => Self::Later(reader.u32()?),
            6 => {
                let kind = reader.u8()?;
                let octets = read_long(&mut reader)?.to_vec();
                let key = match kind {
                    0 => Given::Plain(Zeroizing::new(octets)),
                    _ => Given::Encrypted(octets),
                };
                Self::Key { certificates: read_certificates(&mut reader)?, key }
            }
            7 => Self::Sealed(read_long(&mut reader)?.to_vec()),
            8 => {
                let after = reader.u32()?;
                let code = read_long(&mut reader)?;
                let code = text(&reader, code)?;
                let words = read_long(&mut reader)?;
                Self::Unavailable { code, text: text(&reader, words)?, after }
            }
            _ => return Err(reader.malformed(Why::BadValue)),
        };
        reader.finish()?;
        Ok(decision)
    }
}

fn write_certificates(out: &mut Writer, certificates: &[Certificate]) {
    out.u16(u16::try_from(certificates.len()).unwrap_or(u16::MAX));
    for certificate in certificates {
        long(out, certificate.der());
    }
}

fn read_certificates(reader: &mut Reader<'_>) -> Result<Vec<Certificate>, Malformed> {
    let count = usize::from(reader.u16()?);
    if count > MOST_CERTIFICATES {
        return Err(reader.malformed(Why::TooLong));
    }
    let mut certificates = Vec::with_capacity(count);
    for _ in 0..count {
        let der = read_long(reader)?;
        let certificate = Certificate::decode(der);
        certificates.push(certificate.map_err(|_| reader.malformed(Why::BadValue))?);
    }
    Ok(certificates)
}

fn long(out: &mut Writer, octets: &[u8]) {
    out.u32(u32::try_from(octets.len()).unwrap_or(u32::MAX)).bytes(octets);
}

fn read_long<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    reader.take(len)
}

fn optional(out: &mut Writer, octets: Option<&[u8]>) {
    out.u8(u8::from(octets.is_some()));
    if let Some(octets) = octets {
        long(out, octets);
    }
}

fn read_optional<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    if reader.u8()? == 0 { Ok(None) } else { read_long(reader).map(Some) }
}

fn text(reader: &Reader<'_>, octets: &[u8]) -> Result<String, Malformed> {
    let text = core::str::from_utf8(octets).map_err(|_| reader.malformed(Why::BadValue))?;
    Ok(text.to_owned())
}
