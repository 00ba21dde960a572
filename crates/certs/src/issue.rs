//! Issuing: what a CA of ours puts into the certificates that it signs (RFC 5280 §4).
//!
//! Which request deserves a certificate is not decided here.

use crate::request::{alternative_names, sign};
use crate::{AlternativeName, Certificate, Error, Name, Refusal, algorithm, time};
use alloc::string::String;
use alloc::vec::Vec;
use const_oid::db::{rfc5280, rfc5912, rfc6960};
use der::asn1::{AnyRef, Ia5String, Int, Null, OctetString};
use der::flagset::FlagSet;
use der::{Decode, Encode, Sequence};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use touchstone_crypto::{Crypto, HashAlgorithm, Signer};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::time::Time;

/// What a certificate is for; decides its constraints and usages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A trust anchor.
    Root,
    /// A CA below another, with at most `path_len` CAs below it.
    Intermediate {
        /// `pathLenConstraint`.
        path_len: u8,
    },
    /// A device's identity (802.1AR): signs, and is a TLS client.
    Device,
    /// A TLS server.
    Server,
    /// A TLS client that is no device.
    Client,
    /// A server that is a client of its peers too.
    Peer,
    /// A delegated OCSP responder (RFC 6960 §4.2.2.2).
    OcspResponder,
    /// A signer of updates and reference values.
    CodeSigner,
}

/// A certificate to be.
#[derive(Clone, Debug)]
pub struct Template {
    /// What it is for.
    pub kind: Kind,
    /// Whose it is.
    pub subject: Name,
    /// The first second of its life.
    pub not_before: u64,
    /// The last second of its life; [`FOREVER`](crate::FOREVER) for none.
    pub not_after: u64,
    /// Its serial number, 1 to 20 octets; `None` draws 16 random ones.
    pub serial: Option<Vec<u8>>,
    /// Other names of the subject.
    pub names: Vec<AlternativeName>,
    /// Where its status can be asked for.
    pub ocsp_url: Option<String>,
}

/// A CA: its certificate, and the key that goes with it.
#[derive(Clone, Copy)]
pub struct Issuer<'a> {
    certificate: &'a Certificate,
    signer: &'a dyn Signer,
}

#[derive(Sequence)]
struct Tbs<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: Int,
    signature: AlgorithmIdentifierRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    spki: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

impl<'a> Issuer<'a> {
    /// Puts the two together; refused if the key is another, or the certificate is no CA's.
    pub fn new(certificate: &'a Certificate, signer: &'a dyn Signer) -> Result<Self, Error> {
        if certificate.spki_der() != signer.spki_der() {
            return Err(Error::refused(Refusal::KeyMismatch, certificate.subject()));
        }
        if !certificate.is_ca() {
            return Err(Error::refused(Refusal::NotACa, certificate.subject()));
        }
        Ok(Self { certificate, signer })
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &'a Certificate {
        self.certificate
    }
}

impl Template {
    /// A template without other names, and with a random serial number.
    pub fn new(kind: Kind, subject: Name, not_before: u64, not_after: u64) -> Self {
        let (serial, names, ocsp_url) = (None, Vec::new(), None);
        Self { kind, subject, not_before, not_after, serial, names, ocsp_url }
    }

    /// The same with these other names.
    #[must_use]
    pub fn with_names(mut self, names: Vec<AlternativeName>) -> Self {
        self.names = names;
        self
    }

    /// The same with the address of an OCSP responder.
    #[must_use]
    pub fn with_ocsp(mut self, url: &str) -> Self {
        self.ocsp_url = Some(url.into());
        self
    }

    /// The certificate of the key `spki_der`, signed by `issuer`. It ends no later than its issuer
    /// does.
    pub fn issue(
        &self,
        crypto: &dyn Crypto,
        issuer: &Issuer<'_>,
        spki_der: &[u8],
    ) -> Result<Certificate, Error> {
        let authority = match issuer.certificate.subject_key_id() {
            Some(id) => id.to_vec(),
            None => key_id(crypto, issuer.certificate.spki_der())?,
        };
        let not_after = self.not_after.min(issuer.certificate.not_after());
        let name = issuer.certificate.subject_der();
        self.sign(crypto, issuer.signer, name, Some(authority), spki_der, not_after)
    }

    /// The certificate of `signer`'s key, signed by itself.
    pub fn self_sign(
        &self,
        crypto: &dyn Crypto,
        signer: &dyn Signer,
    ) -> Result<Certificate, Error> {
        let name = self.subject.to_der()?;
        self.sign(crypto, signer, &name, None, signer.spki_der(), self.not_after)
    }

    fn sign(
        &self,
        crypto: &dyn Crypto,
        signer: &dyn Signer,
        issuer: &[u8],
        authority: Option<Vec<u8>>,
        spki_der: &[u8],
        not_after: u64,
    ) -> Result<Certificate, Error> {
        let failed = Error::der("certificate");
        let subject = self.subject.to_der()?;
        let algorithm = algorithm::encode_signature(signer.algorithm())?;
        let tbs = Tbs {
            version: 2,
            serial: self.serial(crypto)?,
            signature: AlgorithmIdentifierRef::from_der(&algorithm).map_err(&failed)?,
            issuer: AnyRef::from_der(issuer).map_err(&failed)?,
            validity: Validity {
                not_before: time::encode(self.not_before)?,
                not_after: time::encode(not_after)?,
            },
            subject: AnyRef::from_der(&subject).map_err(&failed)?,
            spki: AnyRef::from_der(spki_der).map_err(&failed)?,
            extensions: self.extensions(crypto, authority, spki_der)?,
        };
        Certificate::decode(&sign(&tbs.to_der().map_err(failed)?, signer)?)
    }

    /// RFC 5280 §4.1.2.2: positive, not longer than 20 octets.
    fn serial(&self, crypto: &dyn Crypto) -> Result<Int, Error> {
        let part = "serialNumber";
        let mut octets = if let Some(octets) = &self.serial {
            octets.clone()
        } else {
            let mut random = [0; 16];
            crypto.random(&mut random)?;
            // A leading one keeps it positive, and of one length.
            random.first_mut().into_iter().for_each(|first| *first = *first & 0x3F | 0x40);
            random.to_vec()
        };
        let start = octets.iter().position(|octet| *octet != 0);
        octets.drain(..start.ok_or_else(|| Error::malformed(part))?);
        if octets.first().is_some_and(|first| first & 0x80 != 0) {
            octets.insert(0, 0);
        }
        if octets.len() > 20 {
            return Err(Error::malformed(part));
        }
        Int::new(&octets).map_err(Error::der(part))
    }

    fn extensions(
        &self,
        crypto: &dyn Crypto,
        authority: Option<Vec<u8>>,
        spki_der: &[u8],
    ) -> Result<Vec<Extension>, Error> {
        let failed = Error::der("extensions");
        let mut extensions = Vec::new();
        let (ca, path_len_constraint) = match self.kind {
            Kind::Root => (true, None),
            Kind::Intermediate { path_len } => (true, Some(path_len)),
            _ => (false, None),
        };
        if ca {
            let basic = BasicConstraints { ca, path_len_constraint };
            extensions.push(extension(rfc5280::ID_CE_BASIC_CONSTRAINTS, true, &basic)?);
        }
        let usage: FlagSet<KeyUsages> = if ca {
            KeyUsages::KeyCertSign | KeyUsages::CRLSign | KeyUsages::DigitalSignature
        } else {
            KeyUsages::DigitalSignature.into()
        };
        extensions.push(extension(rfc5280::ID_CE_KEY_USAGE, true, &KeyUsage(usage))?);
        let usages = self.extended_key_usages();
        if !usages.is_empty() {
            let usages = ExtendedKeyUsage(usages);
            extensions.push(extension(rfc5280::ID_CE_EXT_KEY_USAGE, false, &usages)?);
        }
        if !self.names.is_empty() {
            extensions.push(alternative_names(&self.names, self.subject.is_empty())?);
        }
        let id = OctetString::new(key_id(crypto, spki_der)?).map_err(&failed)?;
        let subject_id = SubjectKeyIdentifier(id);
        extensions.push(extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER, false, &subject_id)?);
        if let Some(id) = authority {
            let authority = AuthorityKeyIdentifier {
                key_identifier: Some(OctetString::new(id).map_err(&failed)?),
                ..AuthorityKeyIdentifier::default()
            };
            extensions.push(extension(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &authority)?);
        }
        if let Some(url) = &self.ocsp_url {
            let uri = Ia5String::new(url).map_err(&failed)?;
            let access = AuthorityInfoAccessSyntax(alloc::vec![AccessDescription {
                access_method: rfc5280::ID_AD_OCSP,
                access_location: GeneralName::UniformResourceIdentifier(uri),
            }]);
            extensions.push(extension(rfc5280::ID_PE_AUTHORITY_INFO_ACCESS, false, &access)?);
        }
        if self.kind == Kind::OcspResponder {
            // RFC 6960 §4.2.2.2.1: short-lived, and nobody asks about the responder itself.
            extensions.push(extension(rfc6960::ID_PKIX_OCSP_NOCHECK, false, &Null)?);
        }
        Ok(extensions)
    }

    fn extended_key_usages(&self) -> Vec<ObjectIdentifier> {
        let usages: &[ObjectIdentifier] = match self.kind {
            Kind::Root | Kind::Intermediate { .. } => &[],
            Kind::Device | Kind::Client => &[rfc5912::ID_KP_CLIENT_AUTH],
            Kind::Server => &[rfc5912::ID_KP_SERVER_AUTH],
            Kind::Peer => &[rfc5912::ID_KP_SERVER_AUTH, rfc5912::ID_KP_CLIENT_AUTH],
            Kind::OcspResponder => &[rfc5912::ID_KP_OCSP_SIGNING],
            Kind::CodeSigner => &[rfc5912::ID_KP_CODE_SIGNING],
        };
        usages.to_vec()
    }
}

fn extension(
    extn_id: ObjectIdentifier,
    critical: bool,
    value: &impl Encode,
) -> Result<Extension, Error> {
    let failed = Error::der("extensions");
    let value = value.to_der().map_err(&failed)?;
    Ok(Extension { extn_id, critical, extn_value: OctetString::new(value).map_err(failed)? })
}

/// RFC 7093 §2 (1): the leftmost 160 bits of the SHA-256 of the key.
fn key_id(crypto: &dyn Crypto, spki_der: &[u8]) -> Result<Vec<u8>, Error> {
    const PART: &str = "public key";
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(Error::der(PART))?;
    let key = spki.subject_public_key.as_bytes().ok_or_else(|| Error::malformed(PART))?;
    let digest = crypto.hash(HashAlgorithm::Sha256, &[key]);
    Ok(digest.as_bytes().iter().take(20).copied().collect())
}
