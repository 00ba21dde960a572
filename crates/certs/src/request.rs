//! Certificate requests: PKCS #10 (RFC 2986).

use crate::certificate::Signed;
use crate::signing::{ToBeSigned, envelope};
use crate::{AlternativeName, Error, Name, pem};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use const_oid::db::{rfc5280, rfc5912};
use core::fmt;
use der::asn1::{Any, AnyRef, ObjectIdentifier, OctetString, SetOfVec};
use der::{Decode, Encode, Sequence};
use spki::SubjectPublicKeyInfoRef;
use touchstone_crypto::{Crypto, SignatureAlgorithm, Signer, Verified};
use x509_cert::attr::Attribute as X509Attribute;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;

const PART: &str = "certificate request";
const MOST_OCTETS: usize = 128 * 1024;

/// A request for a certificate. Decoded, not believed: [`verify`](Self::verify) proves that the
/// sender holds the key.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Vec<u8>,
    tbs: Vec<u8>,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
    subject: Name,
    spki: Vec<u8>,
    names: Vec<AlternativeName>,
    attributes: Vec<Attribute>,
}

/// An attribute of a request, with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its type, an object identifier with dots.
    pub oid: String,
    /// Its value in DER.
    pub value: Vec<u8>,
}

#[derive(Sequence)]
struct Info<'a> {
    version: u8,
    subject: AnyRef<'a>,
    spki: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    attributes: SetOfVec<X509Attribute>,
}

impl CertificateRequest {
    /// Reads DER.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        let failed = Error::der(PART);
        if der.len() > MOST_OCTETS {
            return Err(Error::malformed(PART));
        }
        let signed = Signed::decode(der, PART)?;
        let info = Info::from_der(signed.tbs).map_err(&failed)?;
        if info.version != 0 {
            return Err(Error::malformed("version"));
        }
        let spki = info.spki.to_der().map_err(&failed)?;
        SubjectPublicKeyInfoRef::from_der(&spki).map_err(Error::der("public key"))?;
        let mut names = Vec::new();
        let mut attributes = Vec::new();
        for attribute in info.attributes.iter() {
            for value in attribute.values.iter() {
                if attribute.oid == rfc5912::ID_EXTENSION_REQ {
                    read_names(value, &mut names)?;
                }
                let value = value.to_der().map_err(&failed)?;
                attributes.push(Attribute { oid: attribute.oid.to_string(), value });
            }
        }
        Ok(Self {
            subject: Name::decode(&info.subject.to_der().map_err(&failed)?)?,
            spki,
            names,
            attributes,
            tbs: signed.tbs.to_vec(),
            algorithm: signed.algorithm.to_vec(),
            signature: signed.signature.to_vec(),
            der: der.to_vec(),
        })
    }

    /// Reads the first request of a PEM file.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
        let blocks = pem::decode(pem, &labels, "PEM file of a certificate request")?;
        blocks.first().map_or(Err(Error::malformed(PART)), |der| Self::decode(der))
    }

    /// Proves that whoever made the request holds its key (RFC 2986 §3).
    pub fn verify(self, crypto: &dyn Crypto) -> Result<Verified<Self>, Error> {
        let signed =
            Signed { tbs: &self.tbs, algorithm: &self.algorithm, signature: &self.signature };
        signed
            .verify(crypto, &self.spki)
            .map_err(|reason| Error::refused(reason, &self.subject.to_string()))?;
        Ok(Verified::vouch(self))
    }

    /// The octets it was read from.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject asked for.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The public key, `SubjectPublicKeyInfo` in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The key: `ec-p256`, `rsa-2048`, or the name or number of what it is.
    pub fn key_description(&self) -> String {
        crate::certificate::describe_key(self.spki_der())
    }

    /// The alternative names asked for.
    pub fn alternative_names(&self) -> &[AlternativeName] {
        &self.names
    }

    /// Every attribute; one with several values is there several times.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The only value of an attribute, in DER; `None` if it is not there or not alone.
    pub fn attribute(&self, oid: &str) -> Option<&[u8]> {
        let mut found = self.attributes.iter().filter(|attribute| attribute.oid == oid);
        let first = found.next()?;
        if found.next().is_some() { None } else { Some(&first.value) }
    }
}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateRequest({})", self.subject)
    }
}

fn read_names(value: &Any, names: &mut Vec<AlternativeName>) -> Result<(), Error> {
    let extensions: Vec<Extension> = value.decode_as().map_err(Error::der("extension request"))?;
    for extension in extensions {
        if extension.extn_id == rfc5280::ID_CE_SUBJECT_ALT_NAME {
            let san = SubjectAltName::from_der(extension.extn_value.as_bytes())
                .map_err(Error::der("subjectAltName"))?;
            for name in &san.0 {
                names.extend(AlternativeName::from_general(name)?);
            }
        }
    }
    Ok(())
}

/// Makes a request and signs it with the key that it is for.
pub fn build(
    subject: &Name,
    names: &[AlternativeName],
    attributes: &[Attribute],
    signer: &dyn Signer,
) -> Result<Vec<u8>, Error> {
    to_be_signed(subject, names, attributes, signer.algorithm(), signer.spki_der())?.sign(signer)
}

/// An extension that a request asks for beside its alternative names (RFC 2985 §5.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedExtension {
    /// Its type, an object identifier with dots.
    pub oid: String,
    /// Whether it is critical.
    pub critical: bool,
    /// Its value in DER.
    pub value: Vec<u8>,
}

/// As [`build`], with further extensions asked for.
pub fn build_with(
    subject: &Name,
    names: &[AlternativeName],
    extensions: &[RequestedExtension],
    attributes: &[Attribute],
    signer: &dyn Signer,
) -> Result<Vec<u8>, Error> {
    if extensions.is_empty() {
        return build(subject, names, attributes, signer);
    }
    let failed = Error::der(PART);
    let mut wanted = Vec::new();
    if !names.is_empty() {
        wanted.push(alternative_names(names, subject.is_empty())?);
    }
    for extension in extensions {
        wanted.push(Extension {
            extn_id: ObjectIdentifier::new(&extension.oid)
                .map_err(|_| Error::malformed("extension type"))?,
            critical: extension.critical,
            extn_value: OctetString::new(extension.value.as_slice()).map_err(&failed)?,
        });
    }
    let mut attributes = attributes.to_vec();
    attributes.push(Attribute {
        oid: rfc5912::ID_EXTENSION_REQ.to_string(),
        value: wanted.to_der().map_err(failed)?,
    });
    build(subject, &[], &attributes, signer)
}

/// A request for the key `spki_der`, in DER, waiting for a signature by that key.
pub fn to_be_signed(
    subject: &Name,
    names: &[AlternativeName],
    attributes: &[Attribute],
    algorithm: SignatureAlgorithm,
    spki_der: &[u8],
) -> Result<ToBeSigned<Vec<u8>>, Error> {
    let failed = Error::der(PART);
    let mut set: SetOfVec<X509Attribute> = SetOfVec::new();
    for attribute in attributes {
        let value = Any::from_der(&attribute.value).map_err(&failed)?;
        let oid = ObjectIdentifier::new(&attribute.oid)
            .map_err(|_| Error::malformed("attribute type"))?;
        set.insert(one(oid, value)?).map_err(&failed)?;
    }
    if !names.is_empty() {
        let extensions = alloc::vec![alternative_names(names, subject.is_empty())?];
        let value = Any::encode_from(&extensions).map_err(&failed)?;
        set.insert(one(rfc5912::ID_EXTENSION_REQ, value)?).map_err(&failed)?;
    }
    let name = subject.to_der()?;
    let info = Info {
        version: 0,
        subject: AnyRef::from_der(&name).map_err(&failed)?,
        spki: AnyRef::from_der(spki_der).map_err(&failed)?,
        attributes: set,
    };
    let tbs = info.to_der().map_err(&failed)?;
    Ok(ToBeSigned::new(tbs, algorithm, spki_der, &name, envelope))
}

pub(crate) fn alternative_names(
    names: &[AlternativeName],
    critical: bool,
) -> Result<Extension, Error> {
    let failed = Error::der("subjectAltName");
    let general = names.iter().map(AlternativeName::to_general).collect::<Result<Vec<_>, _>>()?;
    let value = general.to_der().map_err(&failed)?;
    Ok(Extension {
        extn_id: rfc5280::ID_CE_SUBJECT_ALT_NAME,
        critical,
        extn_value: OctetString::new(value).map_err(failed)?,
    })
}

fn one(oid: ObjectIdentifier, value: Any) -> Result<X509Attribute, Error> {
    let mut values = SetOfVec::new();
    values.insert(value).map_err(Error::der(PART))?;
    Ok(X509Attribute { oid, values })
}
