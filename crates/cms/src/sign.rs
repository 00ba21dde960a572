//! Making envelopes, and adding a signer to one that exists.

use crate::{Error, Refusal, SignedData, wire};
use alloc::vec::Vec;
use cms::cert::IssuerAndSerialNumber;
use cms::content_info::CmsVersion;
use cms::signed_data::{EncapsulatedContentInfo, SignerIdentifier, SignerInfo};
use const_oid::db::rfc5911;
use core::time::Duration;
use der::asn1::{Any, Int, ObjectIdentifier, OctetString, SetOfVec};
use der::{DateTime, Decode, Encode, Tag};
use spki::AlgorithmIdentifierOwned;
use touchstone_certs::{Certificate, algorithm};
use touchstone_crypto::{Crypto, HashAlgorithm, Signer};
use x509_cert::attr::Attribute;
use x509_cert::name::Name;
use x509_cert::time::Time;

const PART: &str = "SignerInfo";

impl SignedData {
    /// An envelope with `content` inside, signed by each signer at the time `at`.
    pub fn sign(
        crypto: &dyn Crypto,
        content: &[u8],
        content_type: &str,
        signers: &[(&Certificate, &dyn Signer)],
        at: u64,
    ) -> Result<Vec<u8>, Error> {
        let failed = Error::der("eContent");
        let econtent_type =
            ObjectIdentifier::new(content_type).map_err(|_| Error::malformed("content type"))?;
        let econtent = Some(Any::new(Tag::OctetString, content).map_err(failed)?);
        let mut data = wire::SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::new(),
            content: EncapsulatedContentInfo { econtent_type, econtent },
            certificates: None,
            crls: None,
            signer_infos: SetOfVec::new(),
        };
        for (certificate, signer) in signers {
            add(crypto, &mut data, content, certificate, *signer, at)?;
        }
        wire::encode(&data)
    }

    /// The same envelope with one signer more. The content must be inside; what the others signed is
    /// not looked into, so verify first if that matters.
    pub fn add_signer(
        crypto: &dyn Crypto,
        der: &[u8],
        signer: (&Certificate, &dyn Signer),
        at: u64,
    ) -> Result<Vec<u8>, Error> {
        let Self { mut wire, content, certificates } = Self::decode(der)?;
        let content = content.ok_or(Refusal::NoContent)?;
        let (certificate, key) = signer;
        let there = |info| crate::verify::certificate_of(info, &certificates) == Some(certificate);
        if wire.signer_infos.iter().any(there) {
            return Err(Refusal::SignedTwice.into());
        }
        add(crypto, &mut wire, &content, certificate, key, at)?;
        wire::encode(&wire)
    }
}

/// A bag of certificates: `SignedData` without content or signers (RFC 5652 §5.2, RFC 8933 §3), as
/// EST uses it.
pub fn certs_only(certificates: &[Certificate]) -> Result<Vec<u8>, Error> {
    let mut data = wire::SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::new(),
        content: EncapsulatedContentInfo { econtent_type: rfc5911::ID_DATA, econtent: None },
        certificates: Some(SetOfVec::new()),
        crls: None,
        signer_infos: SetOfVec::new(),
    };
    for certificate in certificates {
        add_certificate(&mut data, certificate)?;
    }
    wire::encode(&data)
}

/// The certificates of a bag, in the order of the encoding (which is not that of a chain).
pub fn read_certs_only(der: &[u8]) -> Result<Vec<Certificate>, Error> {
    let data = SignedData::decode(der)?;
    Ok(data.certificates)
}

fn add(
    crypto: &dyn Crypto,
    data: &mut wire::SignedData,
    content: &[u8],
    certificate: &Certificate,
    signer: &dyn Signer,
    at: u64,
) -> Result<(), Error> {
    let failed = Error::der(PART);
    if certificate.spki_der() != signer.spki_der() {
        return Err(Refusal::KeyMismatch.into());
    }
    let hash = algorithm::hash_of(signer.algorithm());
    let digest_alg = identifier(&algorithm::encode_hash(hash)?)?;
    let signed_attrs = attributes(crypto, data.content.econtent_type, content, hash, at)?;
    // RFC 5652 §5.4: what is signed is the SET OF, not the [0] in which it travels.
    let signature = signer.sign(&signed_attrs.to_der().map_err(&failed)?)?;
    let info = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: Name::from_der(certificate.issuer_der()).map_err(&failed)?,
            serial_number: serial(certificate)?,
        }),
        digest_alg: digest_alg.clone(),
        signed_attrs: Some(signed_attrs),
        signature_algorithm: identifier(&algorithm::encode_signature(signer.algorithm())?)?,
        signature: OctetString::new(signature).map_err(&failed)?,
        unsigned_attrs: None,
    };
    if !data.digest_algorithms.iter().any(|known| *known == digest_alg) {
        data.digest_algorithms.insert(digest_alg).map_err(&failed)?;
    }
    add_certificate(data, certificate)?;
    // RFC 5652 §5.1: version 3 as soon as the content is not plain data.
    if data.content.econtent_type != rfc5911::ID_DATA && data.version == CmsVersion::V1 {
        data.version = CmsVersion::V3;
    }
    data.signer_infos.insert(info).map_err(failed)
}

fn add_certificate(data: &mut wire::SignedData, certificate: &Certificate) -> Result<(), Error> {
    let failed = Error::der("certificates");
    let any = Any::from_der(certificate.der()).map_err(&failed)?;
    let set = data.certificates.get_or_insert_with(SetOfVec::new);
    if set.iter().any(|known| *known == any) { Ok(()) } else { set.insert(any).map_err(failed) }
}

/// RFC 5652 §11.1 to §11.3.
fn attributes(
    crypto: &dyn Crypto,
    content_type: ObjectIdentifier,
    content: &[u8],
    hash: HashAlgorithm,
    at: u64,
) -> Result<SetOfVec<Attribute>, Error> {
    let failed = Error::der("signed attributes");
    let digest = crypto.hash(hash, &[content]);
    let time = DateTime::from_unix_duration(Duration::from_secs(at)).map_err(&failed)?;
    let mut attributes = SetOfVec::new();
    for (oid, value) in [
        (rfc5911::ID_CONTENT_TYPE, Any::encode_from(&content_type)),
        (rfc5911::ID_MESSAGE_DIGEST, Any::new(Tag::OctetString, digest.as_bytes())),
        (rfc5911::ID_SIGNING_TIME, Any::from_der(&Time::from(time).to_der().map_err(&failed)?)),
    ] {
        let mut values = SetOfVec::new();
        values.insert(value.map_err(&failed)?).map_err(&failed)?;
        attributes.insert(Attribute { oid, values }).map_err(&failed)?;
    }
    Ok(attributes)
}

fn identifier(der: &[u8]) -> Result<AlgorithmIdentifierOwned, Error> {
    AlgorithmIdentifierOwned::from_der(der).map_err(Error::der("AlgorithmIdentifier"))
}

fn serial(certificate: &Certificate) -> Result<x509_cert::serial_number::SerialNumber, Error> {
    let failed = Error::der("serialNumber");
    let int = Int::new(certificate.serial_octets()).map_err(&failed)?;
    x509_cert::serial_number::SerialNumber::from_der(&int.to_der().map_err(&failed)?)
        .map_err(failed)
}
