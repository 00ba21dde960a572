//! Appended signatures (`modsig`): PKCS#7 over the file without its signature, as modules and
//! kernel images have them. With or without signed attributes, and seldom with certificates
//! (RFC 5652 §5). What is read here is what the kernel reads; `cms` is stricter.

use super::key::fault;
use super::{KeyId, Publisher, Publishers, SignatureFault, strong};
use crate::ima::entry::{Entry, FileDigest};
use crate::ima::{Field, KernelHash};
use alloc::vec::Vec;
use der::asn1::{AnyRef, IntRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use touchstone_certs::{Certificate, algorithm};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const ZERO: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
/// A key identifier is IMPLICIT, so it stays primitive.
const KEY_IDENTIFIER: Tag = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };
/// As many elements as a structure in an appended signature has.
const MOST_ELEMENTS: usize = 64;

/// The signature in the field `modsig`, over the digest in `d-modsig`.
pub(super) fn verify<'p>(
    entry: &Entry<'_>,
    crypto: &dyn Crypto,
    publishers: &'p Publishers,
) -> Result<&'p Publisher, SignatureFault> {
    let octets = entry.field(Field::Modsig).unwrap_or(&[]);
    if octets.is_empty() {
        return Err(SignatureFault::Absent);
    }
    let digest = entry.modsig_digest().ok_or(SignatureFault::NoDigest)?;
    let signers = signers(octets).ok_or(SignatureFault::Malformed(0))?;
    let mut first = None;
    for signer in signers {
        match signer.verify(crypto, publishers, digest) {
            Ok(publisher) => return Ok(publisher),
            Err(why) => _ = first.get_or_insert(why),
        }
    }
    Err(first.unwrap_or(SignatureFault::UnknownSigner))
}

/// `SignerInfo` (RFC 5652 §5.3).
struct Signer<'a> {
    id: SignerId<'a>,
    hash: AnyRef<'a>,
    attributes: Option<AnyRef<'a>>,
    algorithm: AnyRef<'a>,
    signature: &'a [u8],
}

enum SignerId<'a> {
    Issuer { name: AnyRef<'a>, serial: &'a [u8] },
    Key(&'a [u8]),
}

impl Signer<'_> {
    fn verify<'p>(
        &self,
        crypto: &dyn Crypto,
        publishers: &'p Publishers,
        content: FileDigest<'_>,
    ) -> Result<&'p Publisher, SignatureFault> {
        let publisher = publishers.iter().find(|publisher| self.id.is(publisher));
        let publisher = publisher.ok_or(SignatureFault::UnknownSigner)?;
        publishers.check_strength(publisher)?;
        let malformed = SignatureFault::Malformed(0);
        let hash = self.hash.to_der().map_err(|_| malformed)?;
        let hash = algorithm::decode_hash(&hash).map_err(|_| SignatureFault::UnsupportedKey)?;
        if KernelHash::from(hash) != content.hash {
            return Err(SignatureFault::OtherDigest);
        }
        strong(content.hash)?;
        let digest = Digest::new(hash, content.octets).ok_or(SignatureFault::NoDigest)?;
        let digest = match self.attributes {
            None => digest,
            // RFC 5652 §5.4: the attributes are signed as a SET, and name the content's digest.
            Some(attributes) => {
                let told = message_digest(attributes.value()).ok_or(malformed)?;
                if told != digest.as_bytes() {
                    return Err(SignatureFault::Wrong);
                }
                let set = AnyRef::new(Tag::Set, attributes.value()).and_then(|set| set.to_der());
                crypto.hash(hash, &[&set.map_err(|_| malformed)?])
            }
        };
        self.check(crypto, publisher, hash, &digest).map(|()| publisher)
    }

    fn check(
        &self,
        crypto: &dyn Crypto,
        publisher: &Publisher,
        hash: HashAlgorithm,
        digest: &Digest,
    ) -> Result<(), SignatureFault> {
        let spki_der = publisher.spki_der();
        let identifier = self.algorithm.to_der().map_err(|_| SignatureFault::Malformed(0))?;
        let malformed = SignatureFault::Malformed(0);
        let parts = elements(self.algorithm.value()).ok_or(malformed)?;
        let (kind, parameters) = match parts.as_slice() {
            [kind] => (kind, None),
            [kind, parameters] => (kind, Some(parameters)),
            _ => return Err(malformed),
        };
        let kind: ObjectIdentifier = kind.decode_as().map_err(|_| malformed)?;
        match kind {
            RSASSA_PSS => {
                let algorithm = algorithm::decode_cms_signature(&identifier, hash, spki_der)
                    .map_err(|_| SignatureFault::UnsupportedKey)?;
                crypto.verify_digest(algorithm, spki_der, digest, self.signature).map_err(fault)
            }
            // The hash that it names besides must be the digest's.
            _ if parameters.is_some_and(|parameters| !parameters.is_null()) => Err(malformed),
            named
                if named == RSA
                    || Some(named) == rsa_with(hash)
                    || Some(named) == ecdsa_with(hash) =>
            {
                publisher.scheme().verify(crypto, spki_der, digest, self.signature)
            }
            _ => Err(SignatureFault::UnsupportedKey),
        }
    }
}

/// `rsaEncryption` (RFC 3370 §3.2).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// `sha256WithRSAEncryption` and its like (RFC 5754 §3.2).
const fn rsa_with(hash: HashAlgorithm) -> Option<ObjectIdentifier> {
    Some(match hash {
        HashAlgorithm::Sha256 => ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
        HashAlgorithm::Sha384 => ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"),
        HashAlgorithm::Sha512 => ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
        _ => return None,
    })
}

/// `ecdsa-with-SHA256` and its like (RFC 5754 §3.3).
const fn ecdsa_with(hash: HashAlgorithm) -> Option<ObjectIdentifier> {
    Some(match hash {
        HashAlgorithm::Sha256 => ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
        HashAlgorithm::Sha384 => ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
        HashAlgorithm::Sha512 => ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"),
        _ => return None,
    })
}

impl SignerId<'_> {
    fn is(&self, publisher: &Publisher) -> bool {
        match self {
            Self::Issuer { name, serial } => publisher.certificate().is_some_and(|certificate| {
                certificate.serial_octets() == *serial
                    && name.to_der().is_ok_and(|name| name == certificate.issuer_der())
            }),
            Self::Key(id) => match publisher.certificate().and_then(Certificate::subject_key_id) {
                Some(known) => known == *id,
                // The kernel compares what there is of a key without a certificate.
                None => KeyId::of(id).is_some_and(|id| publisher.key_ids().contains(&id)),
            },
        }
    }
}

/// The signers of a `ContentInfo`.
fn signers(der: &[u8]) -> Option<Vec<Signer<'_>>> {
    let info = elements(sequence(AnyRef::from_der(der).ok()?)?)?;
    let [kind, content] = info.as_slice() else { return None };
    let kind: ObjectIdentifier = kind.decode_as().ok()?;
    if kind != SIGNED_DATA || content.tag() != ZERO {
        return None;
    }
    let data = elements(sequence(AnyRef::from_der(content.value()).ok()?)?)?;
    let [_version, _hashes, _content, .., signers] = data.as_slice() else { return None };
    if signers.tag() != Tag::Set {
        return None;
    }
    elements(signers.value())?.into_iter().map(signer).collect()
}

fn signer(any: AnyRef<'_>) -> Option<Signer<'_>> {
    let parts = elements(sequence(any)?)?;
    let mut parts = parts.into_iter().skip(1).peekable();
    let id = match parts.next()? {
        id if id.tag() == KEY_IDENTIFIER => SignerId::Key(id.value()),
        id => {
            let both = elements(sequence(id)?)?;
            let [name, serial] = both.as_slice() else { return None };
            let serial: IntRef<'_> = serial.decode_as().ok()?;
            SignerId::Issuer { name: *name, serial: serial.as_bytes() }
        }
    };
    let hash = parts.next()?;
    let attributes = parts.next_if(|part| part.tag() == ZERO);
    let algorithm = parts.next()?;
    let signature: &OctetStringRef = parts.next()?.decode_as().ok()?;
    Some(Signer { id, hash, attributes, algorithm, signature: signature.as_bytes() })
}

/// The one value of the one attribute `messageDigest`.
fn message_digest(attributes: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    for attribute in elements(attributes)? {
        let both = elements(sequence(attribute)?)?;
        let [kind, values] = both.as_slice() else { return None };
        let kind: ObjectIdentifier = kind.decode_as().ok()?;
        if kind == MESSAGE_DIGEST {
            let values = elements(values.value())?;
            let [value] = values.as_slice() else { return None };
            let value: &OctetStringRef = value.decode_as().ok()?;
            if found.replace(value.as_bytes()).is_some() {
                return None;
            }
        }
    }
    found
}

fn sequence(any: AnyRef<'_>) -> Option<&[u8]> {
    (any.tag() == Tag::Sequence).then(|| any.value())
}

/// What stands one after another in a SEQUENCE or SET.
fn elements(content: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(content).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        if elements.len() >= MOST_ELEMENTS {
            return None;
        }
        elements.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(elements)
}
