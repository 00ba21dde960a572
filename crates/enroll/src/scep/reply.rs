//! What CAs answer (RFC 8894 §3.3.2), written by them and read by clients.

use crate::scep::message::{
    self, Attribute, FAIL_INFO, FAIL_INFO_TEXT, PKI_STATUS, RECIPIENT_NONCE, SENDER_NONCE,
};
use crate::scep::request::unopened;
use crate::scep::{Asked, Error, FailInfo, MessageType, Nonce, Refusal, Sent, Transaction};
use der::asn1::Utf8StringRef;
use der::{Decode, Encode};
use touchstone_certs::Certificate;
use touchstone_cms::{
    Accept, ContentCipher, DATA, Enveloped, Recipient, SignedData, certs_only, crls_only,
};
use touchstone_crypto::{Decrypter, EnvelopeCrypto, Signer, Verified};

/// What the CA said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// A certificate for the key, with others that came along.
    Issued {
        /// The certificate. Whether it leads to an anchor is not decided yet.
        certificate: Certificate,
        /// What else is in the reply.
        others: Vec<Certificate>,
    },
    /// The certificates that were asked for.
    Certificates(Vec<Certificate>),
    /// The revocation lists that were asked for, in DER.
    RevocationLists(Vec<Vec<u8>>),
    /// Somebody has yet to decide: poll.
    Pending,
    /// No.
    Failed {
        /// Why.
        info: FailInfo,
        /// Why, for a person, when the CA says so.
        text: Option<String>,
    },
}

const SUCCESS: &str = "0";
const FAILURE: &str = "2";
const PENDING: &str = "3";

/// Reads the reply to a request: signed by one of the CA's certificates, of the same transaction and
/// with the nonce that was sent; what is inside was encrypted to `certificate`, whose key `key` is.
/// What was asked decides what the reply may hold.
pub fn read_reply(
    crypto: &dyn EnvelopeCrypto,
    message: &[u8],
    sent: &Sent,
    ca: &[Certificate],
    (certificate, key): (&Certificate, &dyn Decrypter),
    asked: MessageType,
) -> Result<Verified<Reply>, Error> {
    let (kind, signed) = unopened(crypto, message)?;
    let by = message::only(signed.signers())?;
    if kind != MessageType::CertRep {
        return Err(Refusal::WrongType.into());
    }
    if !ca.contains(&by.certificate) {
        return Err(Refusal::NotTheCa.into());
    }
    if Transaction::from_message(by)? != sent.transaction {
        return Err(Refusal::WrongTransaction.into());
    }
    if Nonce::of(by, RECIPIENT_NONCE)? != sent.nonce {
        return Err(Refusal::WrongNonce.into());
    }
    let reply = match message::text(by, PKI_STATUS)?.as_str() {
        PENDING => Reply::Pending,
        FAILURE => Reply::Failed { info: FailInfo::of(by)?, text: fail_text(by) },
        SUCCESS => {
            let content = Enveloped::decode(signed.content())?;
            let accept = Accept::dangerous_legacy();
            let content = content.decrypt(crypto, certificate, key, accept)?;
            content_of(&SignedData::decode(&content)?, asked, &sent.spki_der)?
        }
        _ => return Err(Refusal::BadAttributes.into()),
    };
    Ok(Verified::vouch(reply))
}

fn fail_text(by: &touchstone_cms::SignedBy) -> Option<String> {
    let text = Utf8StringRef::from_der(by.signed_attribute(FAIL_INFO_TEXT)?).ok()?;
    Some(text.as_str().chars().take(512).collect())
}

fn content_of(bag: &SignedData, asked: MessageType, spki_der: &[u8]) -> Result<Reply, Error> {
    let certificates = bag.certificates();
    match asked {
        MessageType::GetCrl if bag.crls().is_empty() => Err(Refusal::BadContent.into()),
        MessageType::GetCrl => Ok(Reply::RevocationLists(bag.crls().to_vec())),
        MessageType::GetCert if certificates.is_empty() => Err(Refusal::NoCertificate.into()),
        MessageType::GetCert => Ok(Reply::Certificates(certificates.to_vec())),
        _ => {
            let ours = |it: &&Certificate| it.spki_der() == spki_der;
            let mut found = certificates.iter().filter(ours);
            let certificate = found.next().ok_or(Refusal::NoCertificate)?.clone();
            if found.next().is_some() {
                return Err(Refusal::TwoCertificates.into());
            }
            let others = certificates.iter().filter(|it| !ours(it)).cloned().collect();
            Ok(Reply::Issued { certificate, others })
        }
    }
}

/// Who replies: the CA, or its RA.
#[derive(Clone, Copy)]
pub struct Replying<'a> {
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// Its key.
    pub key: &'a dyn Signer,
}

impl Replying<'_> {
    /// The reply to a request, at the time `at`.
    pub fn reply(
        &self,
        crypto: &dyn EnvelopeCrypto,
        asked: &Asked,
        reply: &Reply,
        at: u64,
    ) -> Result<Vec<u8>, Error> {
        let status = match reply {
            Reply::Pending => PENDING,
            Reply::Failed { .. } => FAILURE,
            _ => SUCCESS,
        };
        let mut attributes: Vec<Attribute> = vec![
            MessageType::CertRep.attribute()?,
            asked.transaction.attribute()?,
            message::printable(PKI_STATUS, status)?,
            Nonce::draw(crypto)?.attribute(SENDER_NONCE)?,
            asked.nonce.attribute(RECIPIENT_NONCE)?,
        ];
        if let Reply::Failed { info, text } = reply {
            attributes.push(message::printable(FAIL_INFO, info.number())?);
            if let Some(text) = text {
                let value = Utf8StringRef::new(text).and_then(|text| text.to_der());
                attributes.push((FAIL_INFO_TEXT, value.map_err(|_| Refusal::BadAttributes)?));
            }
        }
        let bag = match reply {
            Reply::Issued { certificate, others } => {
                let mut all = vec![certificate.clone()];
                all.extend(others.iter().cloned());
                Some(certs_only(&all)?)
            }
            Reply::Certificates(certificates) => Some(certs_only(certificates)?),
            Reply::RevocationLists(lists) => Some(crls_only(lists)),
            _ => None,
        };
        let content = match bag {
            Some(bag) => {
                let to = [Recipient::legacy_pkcs1(&asked.certificate)];
                let cipher = ContentCipher::LegacyAes256Cbc;
                Enveloped::encrypt(crypto, &bag, DATA, cipher, &to)?
            }
            // RFC 8894 §3.2.2: nothing inside.
            None => Vec::new(),
        };
        let by = [(self.certificate, self.key)];
        Ok(SignedData::sign_with(crypto, &content, DATA, &by, at, &attributes)?)
    }
}
