//! Checking every signature of an envelope (RFC 5652 §5.4, §5.6, §11).

use crate::signed::info::{Attribute, SignedAttributes, SignerInfo};
use crate::signed::machine::Parts;
use crate::{Error, Refusal, oids};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode, Reader, SliceReader};
use touchstone_certs::{Certificate, algorithm};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm, SignatureAlgorithm, Verified};
use x509_cert::time::Time;

/// Countersignatures of countersignatures.
const DEEPEST: usize = 4;
const MOST_COUNTERSIGNATURES: usize = 16;

/// Who signed: every signature in the envelope was checked. What they signed is beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signers {
    pub(crate) content_type: String,
    pub(crate) by: Vec<SignedBy>,
    pub(crate) certificates: Vec<Certificate>,
}

/// One signer, proven to hold the key of its certificate. Whether the certificate counts is not
/// decided yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// The signer's certificate.
    pub certificate: Certificate,
    /// How it signed.
    pub algorithm: SignatureAlgorithm,
    /// When, in the signer's own words.
    pub signing_time: Option<u64>,
    /// Who signed this signature (RFC 5652 §11.4), each proven in the same way.
    pub countersigned: Vec<SignedBy>,
    /// The signature: what a countersigner signs and a timestamp is about.
    pub signature: Vec<u8>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) timestamps: Vec<Vec<u8>>,
}

impl SignedBy {
    /// The value of a signed attribute that is there once, in DER; the type is an object identifier
    /// with dots.
    pub fn signed_attribute(&self, oid: &str) -> Option<&[u8]> {
        let mut found = self.attributes.iter().filter(|attribute| attribute.oid.to_string() == oid);
        match (found.next()?.values.as_slice(), found.next()) {
            ([value], None) => Some(value),
            _ => None,
        }
    }

    /// The timestamp tokens beside the signature (RFC 3161 appendix A). Anybody may have put them
    /// there: verify each with [`TimestampToken`](crate::TimestampToken) over
    /// [`signature`](Self::signature).
    pub fn unverified_timestamps(&self) -> &[Vec<u8>] {
        &self.timestamps
    }
}

impl Signers {
    /// The type of the content, an object identifier with dots.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Who signed; at least one.
    pub fn signers(&self) -> &[SignedBy] {
        &self.by
    }

    /// All certificates in the envelope and beside it, as candidates for a path.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
}

/// Checks every signature; `digest` is of the content. One bad signature spoils the envelope.
pub(crate) fn verify(
    crypto: &dyn Crypto,
    parts: Parts,
    beside: &[Certificate],
    digest: &dyn Fn(HashAlgorithm) -> Option<Digest>,
) -> Result<Verified<Signers>, Error> {
    let Parts { content_type, digests, mut certificates, signers: infos, .. } = parts;
    for certificate in beside {
        if !certificates.contains(certificate) {
            certificates.push(certificate.clone());
        }
    }
    let check = Check { crypto, certificates: &certificates };
    let mut signers: Vec<SignedBy> = Vec::with_capacity(infos.len());
    let mut used = Vec::new();
    for info in &infos {
        // RFC 5652 §5.1: what was not announced was not hashed while the content came.
        let announced = |hash| digest(hash).filter(|_| digests.contains(&Some(hash)));
        let signed = check.one(info, Some(content_type), &announced, 0, &mut used)?;
        if signers.iter().any(|known| known.certificate == signed.certificate) {
            return Err(Refusal::SignedTwice.into());
        }
        signers.push(signed);
    }
    if signers.is_empty() {
        return Err(Refusal::NoSigner.into());
    }
    // A digest that was announced for a signer who is gone.
    if digests.iter().any(|digest| digest.is_none_or(|digest| !used.contains(&digest))) {
        return Err(Refusal::SignerMissing.into());
    }
    crate::signed::multiple::check(crypto, &infos)?;
    let content_type = content_type.to_string();
    Ok(Verified::vouch(Signers { content_type, by: signers, certificates }))
}

struct Check<'a> {
    crypto: &'a dyn Crypto,
    certificates: &'a [Certificate],
}

impl Check<'_> {
    /// `content_type` is absent for countersignatures (RFC 5652 §11.4).
    fn one(
        &self,
        info: &SignerInfo,
        content_type: Option<ObjectIdentifier>,
        digest: &dyn Fn(HashAlgorithm) -> Option<Digest>,
        depth: usize,
        used: &mut Vec<HashAlgorithm>,
    ) -> Result<SignedBy, Error> {
        let certificate = info.certificate(self.certificates).ok_or(Refusal::NoCertificate)?;
        let (hash, algorithm) = algorithms(info, certificate)?;
        let attributes = info.signed.as_ref().ok_or(Refusal::NoSignedAttributes)?;
        match (the_type(attributes)?, content_type) {
            (Some(said), Some(wanted)) if said == wanted => {}
            (None, None) => {}
            (Some(_), Some(_)) => return Err(Refusal::ContentTypeMismatch.into()),
            _ => return Err(Refusal::BadSignedAttributes.into()),
        }
        let said = attributes
            .one(oids::ID_MESSAGE_DIGEST)?
            .and_then(|value| <&OctetStringRef>::from_der(value).ok())
            .ok_or(Refusal::BadSignedAttributes)?;
        let digest = digest(hash).ok_or(Refusal::DigestNotAnnounced)?;
        if said.as_bytes() != digest.as_bytes() {
            return Err(Refusal::DigestMismatch.into());
        }
        protected(attributes, info)?;
        self.crypto
            .verify(algorithm, certificate.spki_der(), &attributes.message, &info.signature)
            .map_err(|_| Refusal::BadSignature)?;
        used.push(hash);
        Ok(SignedBy {
            certificate: certificate.clone(),
            algorithm,
            signing_time: signing_time(attributes)?,
            countersigned: self.countersignatures(info, depth, used)?,
            signature: info.signature.clone(),
            attributes: attributes.attributes.clone(),
            timestamps: values(info, oids::ID_TIME_STAMP_TOKEN).cloned().collect(),
        })
    }

    /// RFC 5652 §11.4: over the octets of the signature.
    fn countersignatures(
        &self,
        info: &SignerInfo,
        depth: usize,
        used: &mut Vec<HashAlgorithm>,
    ) -> Result<Vec<SignedBy>, Error> {
        let mut found: Vec<SignedBy> = Vec::new();
        for der in values(info, oids::ID_COUNTERSIGNATURE) {
            if depth >= DEEPEST || found.len() >= MOST_COUNTERSIGNATURES {
                return Err(Error::too_large("countersignatures"));
            }
            let digest = |hash| Some(self.crypto.hash(hash, &[&info.signature]));
            let counter = SignerInfo::decode(der)?;
            let signed = self.one(&counter, None, &digest, depth + 1, used)?;
            if found.iter().any(|known| known.certificate == signed.certificate) {
                return Err(Refusal::SignedTwice.into());
            }
            found.push(signed);
        }
        Ok(found)
    }
}

fn values(info: &SignerInfo, oid: ObjectIdentifier) -> impl Iterator<Item = &Vec<u8>> {
    let of = move |attribute: &&Attribute| attribute.oid == oid;
    info.unsigned.iter().filter(of).flat_map(|attribute| &attribute.values)
}

/// The two algorithms, when they are accepted and go together.
fn algorithms(
    info: &SignerInfo,
    certificate: &Certificate,
) -> Result<(HashAlgorithm, SignatureAlgorithm), Error> {
    let refused = |_| Refusal::UnsupportedAlgorithm;
    let hash = algorithm::decode_hash(&info.digest_algorithm).map_err(refused)?;
    let spki = certificate.spki_der();
    let algorithm =
        algorithm::decode_cms_signature(&info.signature_algorithm, hash, spki).map_err(refused)?;
    let together = match algorithm {
        // RFC 9882 §3.3: as strong as the signature.
        SignatureAlgorithm::MlDsa44 => hash.len() >= HashAlgorithm::Sha256.len(),
        SignatureAlgorithm::MlDsa65 => hash.len() >= HashAlgorithm::Sha384.len(),
        // RFC 8419 §3.1 and RFC 9882 §3.3: SHA-512 for Ed25519 and ML-DSA-87.
        other => hash == algorithm::hash_of(other),
    };
    if together && hash != HashAlgorithm::Sha1 && !algorithm.is_weak() {
        Ok((hash, algorithm))
    } else {
        Err(Refusal::UnsupportedAlgorithm.into())
    }
}

/// RFC 6211 §3: when the attribute is there, both algorithms are the ones that it names.
fn protected(attributes: &SignedAttributes, info: &SignerInfo) -> Result<(), Error> {
    let Some(value) = attributes.one(oids::ID_ALGORITHM_PROTECT)? else { return Ok(()) };
    let named = (|| {
        let mut reader = SliceReader::new(value)?;
        let named = reader.sequence(|both| {
            let digest = both.tlv_bytes()?;
            let signature = both.tlv_bytes()?;
            Ok::<_, der::Error>((digest, signature))
        })?;
        reader.finish()?;
        Ok::<_, der::Error>(named)
    })();
    let (digest, signature) = named.map_err(|_| Refusal::BadSignedAttributes)?;
    let same = digest == info.digest_algorithm
        && signature.split_first().is_some_and(|(tag, rest)| {
            *tag == 0xA1 && info.signature_algorithm.get(1..) == Some(rest)
        });
    if same { Ok(()) } else { Err(Refusal::AlgorithmMismatch.into()) }
}

fn the_type(attributes: &SignedAttributes) -> Result<Option<ObjectIdentifier>, Error> {
    let Some(value) = attributes.one(oids::ID_CONTENT_TYPE)? else { return Ok(None) };
    let oid = ObjectIdentifier::from_der(value).map_err(|_| Refusal::BadSignedAttributes)?;
    Ok(Some(oid))
}

fn signing_time(attributes: &SignedAttributes) -> Result<Option<u64>, Error> {
    let Some(value) = attributes.one(oids::ID_SIGNING_TIME)? else { return Ok(None) };
    let time = Time::from_der(value).map_err(|_| Refusal::BadSignedAttributes)?;
    Ok(Some(time.to_unix_duration().as_secs()))
}
