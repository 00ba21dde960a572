//! What a signer signs, and how envelopes are put together (RFC 5652 §5.1, §5.3).

use crate::encode::{self, INTEGER, OCTET_STRING, SEQUENCE, SET, context};
use crate::signed::info::{Attribute, SignedAttributes, SignerId, SignerInfo};
use crate::signed::multiple;
use crate::{Error, Refusal, oids};
use alloc::vec::Vec;
use der::asn1::ObjectIdentifier;
use touchstone_certs::{Certificate, algorithm};
use touchstone_crypto::{Crypto, Digest, SignatureAlgorithm};

/// A signature that is not there yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) certificate: Certificate,
    pub(crate) algorithm: SignatureAlgorithm,
    digest_algorithm: Vec<u8>,
    signature_algorithm: Vec<u8>,
    attributes: Vec<Attribute>,
}

impl Draft {
    /// RFC 5652 §11.1 to §11.3 and RFC 6211; `content_type` is absent for countersignatures.
    pub(crate) fn new(
        certificate: &Certificate,
        algorithm: SignatureAlgorithm,
        content_type: Option<ObjectIdentifier>,
        digest: &Digest,
        at: u64,
    ) -> Result<Self, Error> {
        let digest_algorithm = algorithm::encode_hash(digest.algorithm())?;
        let signature_algorithm = signature_identifier(algorithm)?;
        let time = encode::time(at).map_err(Error::der("signingTime"))?;
        let implicit = signature_algorithm.get(1..).unwrap_or_default();
        let protection = encode::tlv(SEQUENCE, &[&digest_algorithm, &[0xA1], implicit]);
        let mut attributes = Vec::with_capacity(5);
        if let Some(oid) = content_type {
            attributes.push(Attribute::new(oids::ID_CONTENT_TYPE, encode::oid(&oid)));
        }
        let digest = encode::tlv(OCTET_STRING, &[digest.as_bytes()]);
        attributes.push(Attribute::new(oids::ID_MESSAGE_DIGEST, digest));
        attributes.push(Attribute::new(oids::ID_SIGNING_TIME, time));
        attributes.push(Attribute::new(oids::ID_ALGORITHM_PROTECT, protection));
        let certificate = certificate.clone();
        Ok(Self { certificate, algorithm, digest_algorithm, signature_algorithm, attributes })
    }

    pub(crate) fn add(&mut self, attribute: Attribute) {
        self.attributes.push(attribute);
    }

    pub(crate) fn digest_algorithm(&self) -> &[u8] {
        &self.digest_algorithm
    }

    fn name(&self, crypto: &dyn Crypto) -> Result<Vec<u8>, Error> {
        multiple::name(crypto, &self.digest_algorithm, &self.signature_algorithm, &self.attributes)
    }

    /// What is to be signed.
    pub(crate) fn message(&self) -> Vec<u8> {
        SignedAttributes::new(self.attributes.clone()).message
    }

    /// The signer's part, once its signature is there and good.
    pub(crate) fn signed(
        self,
        crypto: &dyn Crypto,
        signature: Vec<u8>,
    ) -> Result<SignerInfo, Error> {
        let signed = SignedAttributes::new(self.attributes);
        crypto
            .verify(self.algorithm, self.certificate.spki_der(), &signed.message, &signature)
            .map_err(|_| Refusal::BadSignature)?;
        Ok(SignerInfo {
            sid: SignerId::of(&self.certificate),
            digest_algorithm: self.digest_algorithm,
            signed: Some(signed),
            signature_algorithm: self.signature_algorithm,
            signature,
            unsigned: Vec::new(),
        })
    }
}

/// RFC 3370 §3.2 and RFC 5754 §3.2 allow the bare `rsaEncryption` where the hash is named beside it;
/// it is what others write, and all that strongSwan 5.9.8 reads.
fn signature_identifier(algorithm: SignatureAlgorithm) -> Result<Vec<u8>, Error> {
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPkcs1Sha512 => {
            Ok(encode::tlv(SEQUENCE, &[&encode::oid(&oids::RSA_ENCRYPTION), &[5, 0]]))
        }
        other => Ok(algorithm::encode_signature(other)?),
    }
}

/// Each draft names the other ones, and those who have signed before (RFC 5752 §3).
pub(crate) fn name_each_other(
    crypto: &dyn Crypto,
    drafts: &mut [Draft],
    before: &[SignerInfo],
) -> Result<(), Error> {
    let mut names = Vec::new();
    for draft in drafts.iter() {
        names.push(draft.name(crypto)?);
    }
    let mut earlier = Vec::new();
    for info in before {
        let attributes = info.signed.as_ref().ok_or(Refusal::NoSignedAttributes)?;
        let (digest, signature) = (&info.digest_algorithm, &info.signature_algorithm);
        earlier.push(multiple::name(crypto, digest, signature, &attributes.attributes)?);
    }
    for (index, draft) in drafts.iter_mut().enumerate() {
        let others = names.iter().enumerate().filter(|(other, _)| *other != index);
        let mut values: Vec<_> = others.map(|(_, name)| name.clone()).collect();
        values.extend(earlier.iter().cloned());
        if !values.is_empty() {
            draft.add(Attribute { oid: oids::ID_MULTIPLE_SIGNATURES, values });
        }
    }
    Ok(())
}

/// The parts of a `SignedData` after its content.
#[derive(Default)]
pub(crate) struct Tail {
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) crls: Vec<Vec<u8>>,
    pub(crate) signers: Vec<Vec<u8>>,
}

impl Tail {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.certificates.is_empty() {
            out.extend(encode::set_of(context(0), self.certificates));
        }
        if !self.crls.is_empty() {
            out.extend(encode::set_of(context(1), self.crls));
        }
        out.extend(encode::set_of(SET, self.signers));
        out
    }
}

/// RFC 5652 §5.1: version 3 as soon as the content is not plain data or a signer is named by its key.
pub(crate) fn version(content_type: ObjectIdentifier, signers: &[SignerInfo]) -> Vec<u8> {
    let by_key = |info: &SignerInfo| matches!(info.sid, SignerId::KeyId(_));
    let three = content_type != oids::ID_DATA || signers.iter().any(by_key);
    encode::tlv(INTEGER, &[&[if three { 3 } else { 1 }]])
}

/// A whole envelope in DER.
pub(crate) fn assemble(
    version: &[u8],
    digests: Vec<Vec<u8>>,
    content_type: ObjectIdentifier,
    content: Option<&[u8]>,
    tail: Tail,
) -> Vec<u8> {
    let oid = encode::oid(&content_type);
    let encapsulated = match content {
        Some(content) => {
            let octets = encode::tlv(OCTET_STRING, &[content]);
            encode::tlv(SEQUENCE, &[&oid, &encode::tlv(context(0), &[&octets])])
        }
        None => encode::tlv(SEQUENCE, &[&oid]),
    };
    let digests = encode::set_of(SET, digests);
    let data = encode::tlv(SEQUENCE, &[version, &digests, &encapsulated, &tail.encode()]);
    content_info(oids::ID_SIGNED_DATA, &data)
}

/// RFC 5652 §3.
pub(crate) fn content_info(content_type: ObjectIdentifier, content: &[u8]) -> Vec<u8> {
    let explicit = encode::tlv(context(0), &[content]);
    encode::tlv(SEQUENCE, &[&encode::oid(&content_type), &explicit])
}
