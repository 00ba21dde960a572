//! What clients ask (RFC 8894 §3.3), written by them and read by servers.

use crate::scep::message::{self, Attribute, SENDER_NONCE};
use crate::scep::{Error, MOST_OCTETS, MessageType, Nonce, Refusal, Transaction};
use der::{Decode, Reader, SliceReader};
use touchstone_certs::{Certificate, CertificateRequest};
use touchstone_cms::{Accept, ContentCipher, DATA, Enveloped, Recipient, SignedData};
use touchstone_crypto::{Crypto, Decrypter, EnvelopeCrypto, Signer, Verified};

/// Who asks: the certificate that there is, or one that the client issued to itself (RFC 8894 §2.3).
#[derive(Clone, Copy)]
pub struct Requester<'a> {
    /// The certificate.
    pub certificate: &'a Certificate,
    /// Its key, which signs the request and to which the reply is encrypted.
    pub key: &'a dyn Signer,
    /// To whom requests are encrypted: the CA's or its RA's certificate, with an RSA key.
    pub to: &'a Certificate,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// A first certificate (RFC 8894 §3.3.1).
    Enrol(CertificateRequest),
    /// A certificate after the one that signs (RFC 8894 §3.3.1.2).
    Renew(CertificateRequest),
    /// Whether what was asked for is there (RFC 8894 §3.3.3).
    Poll {
        /// The CA's name in DER.
        issuer_der: Vec<u8>,
        /// The client's name in DER.
        subject_der: Vec<u8>,
    },
    /// A certificate that the CA issued (RFC 8894 §3.3.4).
    Certificate {
        /// The CA's name in DER.
        issuer_der: Vec<u8>,
        /// The octets of the serial number.
        serial: Vec<u8>,
    },
    /// The revocation list that would have this certificate (RFC 8894 §3.3.5).
    RevocationList {
        /// The CA's name in DER.
        issuer_der: Vec<u8>,
        /// The octets of the serial number.
        serial: Vec<u8>,
    },
}

impl Body {
    /// Asks whether the certificate for this request is there.
    pub fn poll(ca: &Certificate, request: &CertificateRequest) -> Result<Self, Error> {
        let (issuer_der, subject_der) = (ca.subject_der().to_vec(), request.subject().to_der()?);
        Ok(Self::Poll { issuer_der, subject_der })
    }

    /// Asks for the revocation list that would have this certificate.
    pub fn revocation_list(of: &Certificate) -> Self {
        let (issuer_der, serial) = (of.issuer_der().to_vec(), of.serial_octets().to_vec());
        Self::RevocationList { issuer_der, serial }
    }

    const fn kind(&self) -> MessageType {
        match self {
            Self::Enrol(_) => MessageType::PkcsReq,
            Self::Renew(_) => MessageType::RenewalReq,
            Self::Poll { .. } => MessageType::CertPoll,
            Self::Certificate { .. } => MessageType::GetCert,
            Self::RevocationList { .. } => MessageType::GetCrl,
        }
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Enrol(request) | Self::Renew(request) => Ok(request.der().to_vec()),
            Self::Poll { issuer_der, subject_der } => message::sequence(&[issuer_der, subject_der]),
            Self::Certificate { issuer_der, serial }
            | Self::RevocationList { issuer_der, serial } => {
                message::sequence(&[issuer_der, &message::integer(serial)?])
            }
        }
    }

    fn decode(kind: MessageType, der: &[u8]) -> Result<Self, Error> {
        let pair = || pair(der).map_err(|_| Error::from(Refusal::BadContent));
        Ok(match kind {
            MessageType::PkcsReq => Self::Enrol(CertificateRequest::decode(der)?),
            MessageType::RenewalReq => Self::Renew(CertificateRequest::decode(der)?),
            MessageType::CertPoll => {
                let (issuer_der, subject_der) = pair()?;
                Self::Poll { issuer_der, subject_der }
            }
            MessageType::GetCert => {
                let (issuer_der, serial) = pair()?;
                Self::Certificate { issuer_der, serial: message::octets(&serial)? }
            }
            MessageType::GetCrl => {
                let (issuer_der, serial) = pair()?;
                Self::RevocationList { issuer_der, serial: message::octets(&serial)? }
            }
            MessageType::CertRep => return Err(Refusal::WrongType.into()),
        })
    }
}

fn pair(der: &[u8]) -> der::Result<(Vec<u8>, Vec<u8>)> {
    let mut reader = SliceReader::new(der)?;
    let pair = reader.sequence(|pair| {
        let first = pair.tlv_bytes()?.to_vec();
        Ok::<_, der::Error>((first, pair.tlv_bytes()?.to_vec()))
    })?;
    reader.finish()?;
    Ok(pair)
}

/// A message on its way, and what its reply has to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message: the body of a POST to `PKIOperation`.
    pub message: Vec<u8>,
    /// Its transaction.
    pub transaction: Transaction,
    /// Its nonce.
    pub nonce: Nonce,
    /// For which key a certificate is asked for; of what asks for none, the requester's.
    pub spki_der: Vec<u8>,
}

impl Requester<'_> {
    /// A message that asks this, at the time `at`.
    pub fn send(
        &self,
        crypto: &dyn EnvelopeCrypto,
        body: &Body,
        transaction: &Transaction,
        at: u64,
    ) -> Result<Sent, Error> {
        let content = body.encode()?;
        let to = [Recipient::legacy_pkcs1(self.to)];
        let cipher = ContentCipher::LegacyAes256Cbc;
        let enveloped = Enveloped::encrypt(crypto, &content, DATA, cipher, &to)
            .map_err(|_| Refusal::NoEncryptionKey)?;
        let nonce = Nonce::draw(crypto)?;
        let attributes: [Attribute; 3] =
            [body.kind().attribute()?, transaction.attribute()?, nonce.attribute(SENDER_NONCE)?];
        let by = [(self.certificate, self.key)];
        let message = SignedData::sign_with(crypto, &enveloped, DATA, &by, at, &attributes)?;
        let spki_der = match body {
            Body::Enrol(request) | Body::Renew(request) => request.spki_der().to_vec(),
            _ => self.certificate.spki_der().to_vec(),
        };
        Ok(Sent { message, transaction: transaction.clone(), nonce, spki_der })
    }
}

/// A request that was read: signed by the holder of this certificate's key, and, when it asks for a
/// certificate, by the holder of the key it is for. Whether either counts is not decided yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is asked.
    pub body: Body,
    /// The transaction.
    pub transaction: Transaction,
    /// The nonce that the reply brings back.
    pub nonce: Nonce,
    /// Who signed; the reply is encrypted to this key.
    pub certificate: Certificate,
    /// All certificates that came with it, as candidates for a path.
    pub certificates: Vec<Certificate>,
}

/// Reads a request that was encrypted to `certificate`, whose key `key` is.
pub fn read_request(
    crypto: &dyn EnvelopeCrypto,
    message: &[u8],
    certificate: &Certificate,
    key: &dyn Decrypter,
) -> Result<Verified<Asked>, Error> {
    let (kind, signed) = unopened(crypto, message)?;
    let by = message::only(signed.signers())?;
    let content = Enveloped::decode(signed.content())?;
    let accept = Accept::dangerous_legacy();
    let content = content.decrypt(crypto, certificate, key, accept)?;
    let body = Body::decode(kind, &content)?;
    prove(crypto, &body, &by.certificate)?;
    Ok(Verified::vouch(Asked {
        body,
        transaction: Transaction::from_message(by)?,
        nonce: Nonce::of(by, SENDER_NONCE)?,
        certificate: by.certificate.clone(),
        certificates: signed.certificates().to_vec(),
    }))
}

/// The outer envelope of a request: what a courier without the CA's key can check.
pub(super) fn unopened(
    crypto: &dyn Crypto,
    message: &[u8],
) -> Result<(MessageType, Verified<touchstone_cms::Signed>), Error> {
    if message.len() > MOST_OCTETS {
        return Err(Refusal::TooLong.into());
    }
    let decoded = SignedData::decode(message)?;
    // RFC 8894 §3.2.2: replies without content have none inside, not an empty one.
    let signed = match decoded.unverified_content() {
        Some(_) => decoded.verify(crypto)?,
        None => decoded.verify_detached(crypto, Vec::new())?,
    };
    let kind = MessageType::of(message::only(signed.signers())?)?;
    Ok((kind, signed))
}

/// Whoever asks for a certificate holds its key (RFC 2986 §3), and signs a first request with it
/// (RFC 8894 §2.3).
fn prove(crypto: &dyn Crypto, body: &Body, signer: &Certificate) -> Result<(), Error> {
    let (Body::Enrol(request) | Body::Renew(request)) = body else { return Ok(()) };
    request.clone().verify(crypto)?;
    let first = matches!(body, Body::Enrol(_));
    if first && request.spki_der() != signer.spki_der() {
        return Err(Refusal::AnotherKey.into());
    }
    Ok(())
}

impl Asked {
    /// The challenge of a request for a first certificate: PrintableString or UTF8String, as RFC 2985
    /// §5.4.1 has it.
    pub fn challenge(&self) -> Option<String> {
        let (Body::Enrol(request) | Body::Renew(request)) = &self.body else { return None };
        let any = der::asn1::AnyRef::from_der(request.attribute(CHALLENGE_PASSWORD)?).ok()?;
        let text = matches!(
            der::Tagged::tag(&any),
            der::Tag::PrintableString | der::Tag::Utf8String | der::Tag::Ia5String
        );
        text.then(|| String::from_utf8(any.value().to_vec()).ok()).flatten()
    }
}

/// RFC 2985 §5.4.1.
pub const CHALLENGE_PASSWORD: &str = "1.2.840.113549.1.9.7";

/// The value of a challenge, in DER (RFC 2985 §5.4.1).
pub fn challenge(text: &str) -> Result<Vec<u8>, Error> {
    message::directory_string(text)
}
