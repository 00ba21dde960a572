//! `SignedData` (RFC 5652 §5) in memory.

pub(crate) mod info;
pub(crate) mod machine;
mod multiple;
mod sign;
mod stream;
mod verify;
mod write;

pub(crate) use sign::content_info;
pub use stream::{Claims, Detached, SignedReader, Unverified};
pub use verify::{SignedBy, Signers};
pub use write::{SignedWriter, ToSign};

use crate::{Error, MOST_OCTETS, Refusal, oids};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Deref;
use der::asn1::ObjectIdentifier;
use info::{Attribute, SignerInfo};
use machine::{Machine, Parts};
use sign::{Draft, Tail, assemble, name_each_other, version};
use touchstone_certs::{Certificate, algorithm};
use touchstone_crypto::{Crypto, Signer, Verified};

/// A signed envelope, decoded and not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedData {
    parts: Parts,
    content: Option<Vec<u8>>,
}

/// What was signed, and by whom: every signature in the envelope was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    content: Vec<u8>,
    by: Signers,
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
}

impl Deref for Signed {
    type Target = Signers;

    fn deref(&self) -> &Signers {
        &self.by
    }
}

impl SignedData {
    /// Reads DER or BER: a `ContentInfo` of type `id-signedData`.
    pub fn decode(octets: &[u8]) -> Result<Self, Error> {
        if octets.len() > MOST_OCTETS {
            return Err(Error::too_large("length"));
        }
        let (mut machine, mut rest, mut content) = (Machine::new(), octets, Vec::new());
        while let Some(piece) = machine.next(&mut rest)? {
            content.extend_from_slice(piece);
        }
        let parts = machine.finish()?;
        let content = parts.attached.then_some(content);
        Ok(Self { parts, content })
    }

    /// The type of the content, an object identifier with dots. Unverified.
    pub fn content_type(&self) -> String {
        self.parts.content_type.to_string()
    }

    /// The content, if it is inside. Unverified: for a courier to look at.
    pub fn unverified_content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    /// The certificates in the envelope. Anybody may have put them there.
    pub fn certificates(&self) -> &[Certificate] {
        &self.parts.certificates
    }

    /// The revocation lists in the envelope, in DER. Anybody may have put them there.
    pub fn crls(&self) -> &[Vec<u8>] {
        &self.parts.crls
    }

    /// How many signatures are in it. Unverified.
    pub fn unverified_signatures(&self) -> usize {
        self.parts.signers.len()
    }

    /// Who is said to have signed, as far as the certificates are inside. Unverified: for a courier
    /// to look at.
    pub fn unverified_signers(&self) -> Vec<&Certificate> {
        let infos = self.parts.signers.iter();
        infos.filter_map(|info| info.certificate(&self.parts.certificates)).collect()
    }

    /// Checks every signature over the content inside. One bad signature spoils the envelope.
    pub fn verify(self, crypto: &dyn Crypto) -> Result<Verified<Signed>, Error> {
        self.verify_with(crypto, &[])
    }

    /// As [`verify`](Self::verify); signers may also be among the certificates that came beside the
    /// envelope.
    pub fn verify_with(
        self,
        crypto: &dyn Crypto,
        beside: &[Certificate],
    ) -> Result<Verified<Signed>, Error> {
        let content = self.content.ok_or(Refusal::NoContent)?;
        verify(crypto, self.parts, content, beside)
    }

    /// Checks every signature over content that is kept beside the envelope.
    pub fn verify_detached(
        self,
        crypto: &dyn Crypto,
        content: Vec<u8>,
    ) -> Result<Verified<Signed>, Error> {
        if self.content.is_some_and(|inside| inside != content) {
            return Err(Refusal::DigestMismatch.into());
        }
        verify(crypto, self.parts, content, &[])
    }

    /// An envelope with `content` inside, signed by each signer at the time `at`.
    pub fn sign(
        crypto: &dyn Crypto,
        content: &[u8],
        content_type: &str,
        signers: &[(&Certificate, &dyn Signer)],
        at: u64,
    ) -> Result<Vec<u8>, Error> {
        Self::sign_with(crypto, content, content_type, signers, at, &[])
    }

    /// As [`sign`](Self::sign), with further attributes signed: each the object identifier with dots
    /// and the value in DER.
    pub fn sign_with(
        crypto: &dyn Crypto,
        content: &[u8],
        content_type: &str,
        signers: &[(&Certificate, &dyn Signer)],
        at: u64,
        attributes: &[(&str, Vec<u8>)],
    ) -> Result<Vec<u8>, Error> {
        Self::sign_beside(crypto, content, content_type, signers, at, attributes, &[])
    }

    /// As [`sign_with`](Self::sign_with), with further certificates in the envelope: what a full
    /// PKI response brings (RFC 5272 §3.2.2), say.
    pub fn sign_beside(
        crypto: &dyn Crypto,
        content: &[u8],
        content_type: &str,
        signers: &[(&Certificate, &dyn Signer)],
        at: u64,
        attributes: &[(&str, Vec<u8>)],
        beside: &[Certificate],
    ) -> Result<Vec<u8>, Error> {
        let parts = Parts {
            content_type: oid(content_type)?,
            attached: true,
            digests: Vec::new(),
            certificates: beside.to_vec(),
            others: Vec::new(),
            crls: Vec::new(),
            signers: Vec::new(),
        };
        add(crypto, parts, content, signers, at, attributes)
    }

    /// The same envelope with one signer more, who names those before (RFC 5752). The content must
    /// be inside; what the others signed is not looked into, so verify first if that matters.
    pub fn add_signer(
        crypto: &dyn Crypto,
        der: &[u8],
        signer: (&Certificate, &dyn Signer),
        at: u64,
    ) -> Result<Vec<u8>, Error> {
        let Self { parts, content } = Self::decode(der)?;
        let content = content.ok_or(Refusal::NoContent)?;
        add(crypto, parts, &content, &[signer], at, &[])
    }

    /// The same envelope, with the signature of one of its signers signed in turn (RFC 5652 §11.4).
    pub fn countersign(
        crypto: &dyn Crypto,
        der: &[u8],
        whose: &Certificate,
        signer: (&Certificate, &dyn Signer),
        at: u64,
    ) -> Result<Vec<u8>, Error> {
        let Self { mut parts, content } = Self::decode(der)?;
        let (certificate, key) = signer;
        matching(certificate, key)?;
        let info = parts.signers.iter_mut().find(|info| info.sid.names(whose));
        let info = info.ok_or(Refusal::NoSigner)?;
        let digest = crypto.hash(algorithm::hash_of(key.algorithm()), &[&info.signature]);
        let draft = Draft::new(certificate, key.algorithm(), None, &digest, at)?;
        let signature = key.sign(&draft.message())?;
        let counter = draft.signed(crypto, signature)?.encode();
        match info.unsigned.iter_mut().find(|it| it.oid == oids::ID_COUNTERSIGNATURE) {
            Some(attribute) => attribute.values.push(counter),
            None => info.unsigned.push(Attribute::new(oids::ID_COUNTERSIGNATURE, counter)),
        }
        if !parts.certificates.contains(certificate) {
            parts.certificates.push(certificate.clone());
        }
        encode(parts, content.as_deref())
    }
}

fn oid(content_type: &str) -> Result<ObjectIdentifier, Error> {
    ObjectIdentifier::new(content_type).map_err(|_| Error::malformed("content type"))
}

fn verify(
    crypto: &dyn Crypto,
    parts: Parts,
    content: Vec<u8>,
    beside: &[Certificate],
) -> Result<Verified<Signed>, Error> {
    let digest = |hash| Some(crypto.hash(hash, &[&content]));
    let by = verify::verify(crypto, parts, beside, &digest)?.into_inner();
    Ok(Verified::vouch(Signed { content, by }))
}

fn matching(certificate: &Certificate, key: &dyn Signer) -> Result<(), Error> {
    let same = certificate.spki_der() == key.spki_der();
    if same { Ok(()) } else { Err(Refusal::KeyMismatch.into()) }
}

fn add(
    crypto: &dyn Crypto,
    mut parts: Parts,
    content: &[u8],
    signers: &[(&Certificate, &dyn Signer)],
    at: u64,
    attributes: &[(&str, Vec<u8>)],
) -> Result<Vec<u8>, Error> {
    let mut drafts: Vec<Draft> = Vec::with_capacity(signers.len());
    for (certificate, key) in signers {
        matching(certificate, *key)?;
        let there = |info: &SignerInfo| info.sid.names(certificate);
        let again = |draft: &Draft| draft.certificate == **certificate;
        if parts.signers.iter().any(there) || drafts.iter().any(again) {
            return Err(Refusal::SignedTwice.into());
        }
        let hash = algorithm::hash_of(key.algorithm());
        let digest = crypto.hash(hash, &[content]);
        let content_type = Some(parts.content_type);
        let mut draft = Draft::new(certificate, key.algorithm(), content_type, &digest, at)?;
        for (name, value) in attributes {
            draft.add(Attribute::new(oid(name)?, value.clone()));
        }
        parts.digests.push(Some(hash));
        drafts.push(draft);
    }
    name_each_other(crypto, &mut drafts, &parts.signers)?;
    for (draft, (certificate, key)) in drafts.into_iter().zip(signers) {
        let signature = key.sign(&draft.message())?;
        parts.signers.push(draft.signed(crypto, signature)?);
        if !parts.certificates.contains(certificate) {
            parts.certificates.push((*certificate).clone());
        }
    }
    encode(parts, Some(content))
}

fn encode(parts: Parts, content: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    let mut digests = Vec::with_capacity(parts.digests.len());
    for digest in parts.digests {
        let known = digest.ok_or(Refusal::UnsupportedAlgorithm)?;
        digests.push(algorithm::encode_hash(known)?);
    }
    let mut certificates: Vec<_> = parts.certificates.iter().map(|it| it.der().to_vec()).collect();
    certificates.extend(parts.others);
    let version = version(parts.content_type, &parts.signers);
    let signers = parts.signers.iter().map(SignerInfo::encode).collect();
    let tail = Tail { certificates, crls: parts.crls, signers };
    Ok(assemble(&version, digests, parts.content_type, content, tail))
}

/// A bag of certificates: `SignedData` without content or signers (RFC 5652 §5.2, RFC 8933 §3), as
/// EST uses it.
pub fn certs_only(certificates: &[Certificate]) -> Result<Vec<u8>, Error> {
    Ok(bag(certificates, &[]))
}

/// The certificates of a bag, in the order of the encoding (which is not that of a chain).
pub fn read_certs_only(der: &[u8]) -> Result<Vec<Certificate>, Error> {
    Ok(SignedData::decode(der)?.parts.certificates)
}

/// A bag of revocation lists in DER, as SCEP uses it (RFC 8894 §4.7).
pub fn crls_only(crls: &[Vec<u8>]) -> Vec<u8> {
    bag(&[], crls)
}

fn bag(certificates: &[Certificate], crls: &[Vec<u8>]) -> Vec<u8> {
    let certificates = certificates.iter().map(|it| it.der().to_vec()).collect();
    let tail = Tail { certificates, crls: crls.to_vec(), signers: Vec::new() };
    let version = version(oids::ID_DATA, &[]);
    assemble(&version, Vec::new(), oids::ID_DATA, None, tail)
}
