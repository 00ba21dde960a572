//! One certificate: its octets, and what they say. Whether to believe it is for
//! [`TrustStore`](crate::TrustStore).

mod describe;

pub(crate) use describe::describe_key;
pub use describe::{ExtensionInfo, oid_name};

use crate::extensions::{self, Extensions};
use crate::name::compare::Folded;
use crate::name::constraints::Named;
use crate::{AlternativeName, Error, Refusal, algorithm, pem, time};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use der::asn1::{AnyRef, BitStringRef, IntRef};
use der::{Decode, Reader, Sequence, SliceReader};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm};
use x509_cert::ext::Extension;
use x509_cert::name as x509;

/// As long as any certificate may be: the largest post-quantum ones are a third of this.
const MOST_OCTETS: usize = 128 * 1024;

/// A certificate (RFC 5280 §4.1). Cheap to clone.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    der: Vec<u8>,
    tbs: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
    spki: Vec<u8>,
    key: Vec<u8>,
    issuer_der: Vec<u8>,
    subject_der: Vec<u8>,
    issuer: String,
    subject: String,
    issuer_folded: Folded,
    subject_folded: Folded,
    subject_mailboxes: Vec<String>,
    serial: Vec<u8>,
    not_before: u64,
    not_after: u64,
    extensions: Extensions,
}

/// `TBSCertificate`, with the parts that are compared or signed left as they came.
#[derive(Sequence)]
struct Tbs<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    version: Option<u8>,
    serial: IntRef<'a>,
    signature: AlgorithmIdentifierRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity<'a>,
    subject: AnyRef<'a>,
    spki: SubjectPublicKeyInfoRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    issuer_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    subject_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

#[derive(Sequence)]
struct Validity<'a> {
    not_before: AnyRef<'a>,
    not_after: AnyRef<'a>,
}

/// `SIGNED{ToBeSigned}`: the octets that were signed, how, and the signature. Nothing of it is
/// encoded again, so what is verified is what came.
pub(crate) struct Signed<'a> {
    pub(crate) tbs: &'a [u8],
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(crate) fn decode(der: &'a [u8], part: &'static str) -> Result<Self, Error> {
        let failed = Error::der(part);
        let mut reader = SliceReader::new(der).map_err(&failed)?;
        let signed = reader
            .sequence(|reader| -> der::Result<_> {
                let tbs = reader.tlv_bytes()?;
                let algorithm = reader.tlv_bytes()?;
                let signature = BitStringRef::decode(reader)?;
                Ok((tbs, algorithm, signature))
            })
            .map_err(&failed)?;
        reader.finish().map_err(failed)?;
        let (tbs, algorithm, signature) = signed;
        let signature = signature.as_bytes().ok_or_else(|| Error::malformed("signature"))?;
        Ok(Self { tbs, algorithm, signature })
    }

    pub(crate) fn verify(&self, crypto: &dyn Crypto, spki_der: &[u8]) -> Result<(), Refusal> {
        let algorithm = algorithm::decode_signature(self.algorithm, spki_der)
            .map_err(|_| Refusal::UnsupportedAlgorithm)?;
        self.verify_by(crypto, algorithm, spki_der)
    }

    pub(crate) fn verify_by(
        &self,
        crypto: &dyn Crypto,
        algorithm: SignatureAlgorithm,
        spki_der: &[u8],
    ) -> Result<(), Refusal> {
        crypto
            .verify(algorithm, spki_der, self.tbs, self.signature)
            .map_err(|_| Refusal::BadSignature)
    }
}

impl Certificate {
    /// Reads DER.
    pub fn decode(der: &[u8]) -> Result<Self, Error> {
        const PART: &str = "certificate";
        if der.len() > MOST_OCTETS {
            return Err(Error::malformed(PART));
        }
        let signed = Signed::decode(der, PART)?;
        let tbs = Tbs::from_der(signed.tbs).map_err(Error::der(PART))?;
        // RFC 5280 §4.1.1.2: both name the same algorithm.
        let outer = AlgorithmIdentifierRef::from_der(signed.algorithm).map_err(Error::der(PART))?;
        if outer != tbs.signature {
            return Err(Error::malformed("signatureAlgorithm"));
        }
        // RFC 5280 §4.1.2.1: v1 is 0 and left out, v3 is 2 and the only one with extensions.
        let version = tbs.version.unwrap_or(0);
        if version > 2 || (tbs.extensions.is_some() && version != 2) {
            return Err(Error::malformed("version"));
        }
        let extensions = Extensions::read(tbs.extensions.as_deref().unwrap_or_default())?;
        let encode = |any: AnyRef<'_>| der::Encode::to_der(&any).map_err(Error::der("name"));
        let (issuer_der, subject_der) = (encode(tbs.issuer)?, encode(tbs.subject)?);
        let name =
            |der: &[u8], part| x509::Name::from_der(der).map_err(|error| Error::der(part)(error));
        let (issuer, subject) = (name(&issuer_der, "issuer")?, name(&subject_der, "subject")?);
        Ok(Self {
            inner: Arc::new(Inner {
                der: der.to_vec(),
                tbs: signed.tbs.to_vec(),
                signature_algorithm: signed.algorithm.to_vec(),
                signature: signed.signature.to_vec(),
                spki: der::Encode::to_der(&tbs.spki).map_err(Error::der("public key"))?,
                key: tbs
                    .spki
                    .subject_public_key
                    .as_bytes()
                    .ok_or_else(|| Error::malformed("public key"))?
                    .to_vec(),
                issuer_folded: Folded::of(&issuer)?,
                subject_folded: Folded::of(&subject)?,
                subject_mailboxes: extensions::mailboxes(&subject),
                issuer: issuer.to_string(),
                subject: subject.to_string(),
                issuer_der,
                subject_der,
                serial: serial(&tbs.serial)?,
                not_before: time::read(tbs.validity.not_before, "notBefore")?,
                not_after: time::read(tbs.validity.not_after, "notAfter")?,
                extensions,
            }),
        })
    }

    /// Reads a maker's endorsement certificate as TPMs hold it, in an index that is longer than the
    /// certificate: what fills the rest, zeros or ones, is cut off. The certificate itself is DER.
    pub fn decode_endorsement(octets: &[u8]) -> Result<Self, Error> {
        const PART: &str = "endorsement certificate";
        let mut reader = SliceReader::new(octets).map_err(Error::der(PART))?;
        let der = reader.tlv_bytes().map_err(Error::der(PART))?;
        let rest = octets.get(der.len()..).unwrap_or_default();
        let filled = [0x00, 0xFF].iter().any(|fill| rest.iter().all(|octet| octet == fill));
        if filled { Self::decode(der) } else { Err(Error::malformed(PART)) }
    }

    /// Reads every `CERTIFICATE` block of a PEM file; an error if there is none, or one is bad.
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, Error> {
        let blocks =
            pem::decode(pem, &["CERTIFICATE", "X509 CERTIFICATE"], "PEM file of certificates")?;
        blocks.iter().map(|der| Self::decode(der)).collect()
    }

    /// The certificate as a PEM block.
    pub fn to_pem(&self) -> Result<String, Error> {
        pem::encode("CERTIFICATE", self.der())
    }

    /// The octets it was read from.
    pub fn der(&self) -> &[u8] {
        &self.inner.der
    }

    /// Its public key, `SubjectPublicKeyInfo` in DER.
    pub fn spki_der(&self) -> &[u8] {
        &self.inner.spki
    }

    /// Its subject as an RFC 4514 string.
    pub fn subject(&self) -> &str {
        &self.inner.subject
    }

    /// Its issuer as an RFC 4514 string.
    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    /// Its subject's DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.inner.subject_der
    }

    /// Its issuer's DER.
    pub fn issuer_der(&self) -> &[u8] {
        &self.inner.issuer_der
    }

    /// Its serial number in lower-case hexadecimal, without leading zeros.
    pub fn serial(&self) -> String {
        hex(&self.inner.serial)
    }

    /// The octets of its serial number, as in the DER.
    pub fn serial_octets(&self) -> &[u8] {
        &self.inner.serial
    }

    /// The first second at which it is valid.
    pub fn not_before(&self) -> u64 {
        self.inner.not_before
    }

    /// The last second at which it is valid; [`FOREVER`](crate::FOREVER) if it does not expire.
    pub fn not_after(&self) -> u64 {
        self.inner.not_after
    }

    /// Whether it is a CA's (basicConstraints).
    pub fn is_ca(&self) -> bool {
        self.inner.extensions.is_ca
    }

    /// Every alternative name of a form known here.
    pub fn alternative_names(&self) -> &[AlternativeName] {
        &self.inner.extensions.names
    }

    /// Its host names.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.alternative_names().iter().filter_map(|name| match name {
            AlternativeName::Dns(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Its URIs.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.alternative_names().iter().filter_map(|name| match name {
            AlternativeName::Uri(uri) => Some(uri.as_str()),
            _ => None,
        })
    }

    /// The first common name of its subject.
    pub fn common_name(&self) -> Option<String> {
        crate::Name::decode(self.subject_der()).ok()?.common_name_text()
    }

    /// Its extended key usages as dotted object identifiers; `None` if it does not restrict them.
    pub fn extended_key_usages(&self) -> Option<Vec<String>> {
        let usages = self.inner.extensions.extended_key_usage.as_ref()?;
        Some(usages.iter().map(ToString::to_string).collect())
    }

    /// The OCSP responders that it names.
    pub fn ocsp_urls(&self) -> &[String] {
        &self.inner.extensions.ocsp_urls
    }

    /// Where its issuer's certificate is found.
    pub fn issuer_urls(&self) -> &[String] {
        &self.inner.extensions.issuer_urls
    }

    /// The URIs of its CRL distribution points.
    pub fn crl_urls(&self) -> Vec<String> {
        let points = &self.inner.extensions.distribution_points;
        points.iter().flat_map(|point| point.urls().map(String::from)).collect()
    }

    /// The URIs of its delta CRLs (RFC 5280 §4.2.1.15).
    pub fn delta_crl_urls(&self) -> Vec<String> {
        let points = &self.inner.extensions.freshest;
        points.iter().flat_map(|point| point.urls().map(String::from)).collect()
    }

    /// Whether a TLS server with it must staple its status: TLS feature `status_request`
    /// (RFC 7633 §4.2.3.1).
    pub fn must_staple(&self) -> bool {
        self.inner.extensions.tls_features.contains(&5)
    }

    /// The policies under which it was issued, as dotted object identifiers.
    pub fn policies(&self) -> Vec<String> {
        self.inner.extensions.policies.iter().flatten().map(ToString::to_string).collect()
    }

    /// Whether it is for this name: a host, address, mailbox, URI, directory name or hardware
    /// module. Only its alternative names count, and a wildcard stands for one label (RFC 9525 §6.3).
    pub fn is_for(&self, wanted: &AlternativeName) -> bool {
        self.alternative_names().iter().any(|name| name.stands_for(wanted))
    }

    /// Its subjectKeyIdentifier.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.inner.extensions.subject_key_id.as_deref()
    }

    /// The key identifier of its issuer (RFC 5280 §4.2.1.1): a hint.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.inner.extensions.authority_key_id.as_deref()
    }

    /// The SHA-256 of its DER.
    pub fn fingerprint_sha256(&self, crypto: &dyn Crypto) -> Digest {
        crypto.hash(HashAlgorithm::Sha256, &[self.der()])
    }

    /// How it was signed, given its issuer's key.
    pub fn signature_algorithm(&self, issuer_spki: &[u8]) -> Result<SignatureAlgorithm, Error> {
        algorithm::decode_signature(&self.inner.signature_algorithm, issuer_spki)
    }

    /// Checks the signature alone: not the time, and not whether the issuer is anyone.
    pub fn verify_signature(&self, crypto: &dyn Crypto, issuer_spki: &[u8]) -> Result<(), Error> {
        self.signed()
            .verify(crypto, issuer_spki)
            .map_err(|reason| Error::refused(reason, self.subject()))
    }

    /// Whether `issuer` has the name of this certificate's issuer.
    pub(crate) fn names_as_issuer(&self, issuer: &Self) -> bool {
        self.inner.issuer_folded == issuer.inner.subject_folded
    }

    /// Whether it names itself as its issuer.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.names_as_issuer(self)
    }

    pub(crate) fn issuer_folded(&self) -> &Folded {
        &self.inner.issuer_folded
    }

    pub(crate) fn subject_folded(&self) -> &Folded {
        &self.inner.subject_folded
    }

    /// The names that constraints speak of (RFC 5280 §6.1.3 (b), (c)).
    pub(crate) fn named(&self) -> Named<'_> {
        let extensions = &self.inner.extensions;
        let mailboxes: &[String] =
            if extensions.named { &[] } else { &self.inner.subject_mailboxes };
        Named {
            subject: &self.inner.subject_folded,
            names: &extensions.names,
            forms: &extensions.forms,
            subject_mailboxes: mailboxes,
        }
    }

    pub(crate) fn signed(&self) -> Signed<'_> {
        Signed {
            tbs: &self.inner.tbs,
            algorithm: &self.inner.signature_algorithm,
            signature: &self.inner.signature,
        }
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        &self.inner.extensions
    }

    /// The octets of the public key without its algorithm: what OCSP hashes.
    pub(crate) fn key_octets(&self) -> &[u8] {
        &self.inner.key
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der() == other.der()
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, serial {})", self.subject(), self.serial())
    }
}

/// RFC 5280 §4.1.2.2: at most 20 octets; zero and negative numbers occur in the wild and are read.
fn serial(serial: &IntRef<'_>) -> Result<Vec<u8>, Error> {
    let octets = serial.as_bytes();
    if octets.len() > 21 { Err(Error::malformed("serialNumber")) } else { Ok(octets.to_vec()) }
}

/// Lower-case hexadecimal of a number: `00` for zero, otherwise without leading zero octets.
pub(crate) fn hex(octets: &[u8]) -> String {
    let start = octets.iter().position(|octet| *octet != 0);
    let digits = octets.get(start.unwrap_or(0)..).unwrap_or_default();
    if start.is_none() {
        return String::from("00");
    }
    digits.iter().fold(String::with_capacity(digits.len() * 2), |mut text, octet| {
        // Writing to a string does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}
