//! Checking every signature of an envelope (RFC 5652 §5.4, §5.6).

use crate::{Error, Refusal, SignedData};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use cms::signed_data::{SignerIdentifier, SignerInfo};
use const_oid::db::rfc5911;
use der::asn1::{Any, ObjectIdentifier, OctetStringRef, SetOfVec};
use der::{Decode, Encode};
use touchstone_certs::{Certificate, algorithm};
use touchstone_crypto::{Crypto, HashAlgorithm, Verified};
use x509_cert::attr::Attribute;
use x509_cert::name::Name;
use x509_cert::time::Time;

/// What was signed, and by whom: every signature in the envelope was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    content: Vec<u8>,
    content_type: String,
    signers: Vec<SignedBy>,
    certificates: Vec<Certificate>,
}

/// One signer, proven to hold the key of its certificate. Whether the certificate counts is not
/// decided yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// The signer's certificate.
    pub certificate: Certificate,
    /// When, in the signer's own words.
    pub signing_time: Option<u64>,
}

impl Signed {
    /// The content.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The content, taken out.
    pub fn into_content(self) -> Vec<u8> {
        self.content
    }

    /// The type of the content, an object identifier with dots.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Who signed; at least one.
    pub fn signers(&self) -> &[SignedBy] {
        &self.signers
    }

    /// All certificates in the envelope, as candidates for a path.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
}

impl SignedData {
    /// Checks every signature over the content inside. One bad signature spoils the envelope.
    pub fn verify(self, crypto: &dyn Crypto) -> Result<Verified<Signed>, Error> {
        let Self { wire, content, certificates } = self;
        let content = content.ok_or(Refusal::NoContent)?;
        verify(crypto, &wire, content, certificates)
    }

    /// Checks every signature over content that is kept beside the envelope.
    pub fn verify_detached(
        self,
        crypto: &dyn Crypto,
        content: Vec<u8>,
    ) -> Result<Verified<Signed>, Error> {
        let Self { wire, content: inside, certificates } = self;
        if inside.is_some_and(|inside| inside != content) {
            return Err(Refusal::DigestMismatch.into());
        }
        verify(crypto, &wire, content, certificates)
    }
}

fn verify(
    crypto: &dyn Crypto,
    wire: &crate::wire::SignedData,
    content: Vec<u8>,
    certificates: Vec<Certificate>,
) -> Result<Verified<Signed>, Error> {
    let content_type = wire.content.econtent_type;
    let mut signers: Vec<SignedBy> = Vec::with_capacity(wire.signer_infos.len());
    for info in wire.signer_infos.iter() {
        let certificate = certificate_of(info, &certificates).ok_or(Refusal::NoCertificate)?;
        let signed = verify_one(crypto, info, certificate, content_type, &content)?;
        if signers.iter().any(|known| known.certificate == signed.certificate) {
            return Err(Refusal::SignedTwice.into());
        }
        signers.push(signed);
    }
    if signers.is_empty() {
        return Err(Refusal::NoSigner.into());
    }
    let content_type = content_type.to_string();
    Ok(Verified::vouch(Signed { content, content_type, signers, certificates }))
}

fn verify_one(
    crypto: &dyn Crypto,
    info: &SignerInfo,
    certificate: &Certificate,
    content_type: ObjectIdentifier,
    content: &[u8],
) -> Result<SignedBy, Error> {
    let failed = Error::der("SignerInfo");
    let hash = algorithm::decode_hash(&info.digest_alg.to_der().map_err(&failed)?)
        .map_err(|_| Refusal::UnsupportedAlgorithm)?;
    if hash == HashAlgorithm::Sha1 {
        return Err(Refusal::UnsupportedAlgorithm.into());
    }
    let attributes = info.signed_attrs.as_ref().ok_or(Refusal::NoSignedAttributes)?;
    if the_type(attributes)? != content_type {
        return Err(Refusal::ContentTypeMismatch.into());
    }
    let digest: &OctetStringRef = one(attributes, rfc5911::ID_MESSAGE_DIGEST)?
        .ok_or(Refusal::BadSignedAttributes)?
        .decode_as()
        .map_err(|_| Refusal::BadSignedAttributes)?;
    if digest.as_bytes() != crypto.hash(hash, &[content]).as_bytes() {
        return Err(Refusal::DigestMismatch.into());
    }
    let identifier = info.signature_algorithm.to_der().map_err(&failed)?;
    let algorithm = algorithm::decode_cms_signature(&identifier, hash, certificate.spki_der())
        .map_err(|_| Refusal::UnsupportedAlgorithm)?;
    let message = attributes.to_der().map_err(failed)?;
    crypto
        .verify(algorithm, certificate.spki_der(), &message, info.signature.as_bytes())
        .map_err(|_| Refusal::BadSignature)?;
    let signing_time = signing_time(attributes)?;
    Ok(SignedBy { certificate: certificate.clone(), signing_time })
}

fn the_type(attributes: &SetOfVec<Attribute>) -> Result<ObjectIdentifier, Error> {
    let value = one(attributes, rfc5911::ID_CONTENT_TYPE)?.ok_or(Refusal::BadSignedAttributes)?;
    value.decode_as().map_err(|_| Refusal::BadSignedAttributes.into())
}

fn signing_time(attributes: &SetOfVec<Attribute>) -> Result<Option<u64>, Error> {
    let Some(value) = one(attributes, rfc5911::ID_SIGNING_TIME)? else { return Ok(None) };
    let der = value.to_der().map_err(Error::der("signingTime"))?;
    let time = Time::from_der(&der).map_err(|_| Refusal::BadSignedAttributes)?;
    Ok(Some(time.to_unix_duration().as_secs()))
}

/// RFC 5652 §5.3, §11: at most one attribute of a type, with exactly one value.
fn one(attributes: &SetOfVec<Attribute>, oid: ObjectIdentifier) -> Result<Option<&Any>, Error> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    let Some(attribute) = found.next() else { return Ok(None) };
    let mut values = attribute.values.iter();
    match (values.next(), values.next(), found.next()) {
        (Some(value), None, None) => Ok(Some(value)),
        _ => Err(Refusal::BadSignedAttributes.into()),
    }
}

pub(crate) fn certificate_of<'a>(
    info: &SignerInfo,
    certificates: &'a [Certificate],
) -> Option<&'a Certificate> {
    certificates.iter().find(|certificate| match &info.sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            id.serial_number.as_bytes() == certificate.serial_octets()
                && Name::from_der(certificate.issuer_der()).is_ok_and(|name| name == id.issuer)
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            certificate.subject_key_id() == Some(id.0.as_bytes())
        }
    })
}
