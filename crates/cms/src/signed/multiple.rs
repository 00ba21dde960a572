//! Signers who name each other, so that none can be taken out unseen (RFC 5752).

use crate::encode::{self, OCTET_STRING, SEQUENCE};
use crate::signed::info::{Attribute, SignerInfo};
use crate::{Error, Refusal, oids};
use alloc::vec::Vec;
use der::asn1::OctetStringRef;
use der::{Decode, Reader, SliceReader};
use touchstone_certs::algorithm;
use touchstone_crypto::{Crypto, HashAlgorithm};

/// How another signer is named: RFC 5752 §3 `MultipleSignatures`, without the certificate.
pub(crate) fn name(
    crypto: &dyn Crypto,
    digest_algorithm: &[u8],
    signature_algorithm: &[u8],
    attributes: &[Attribute],
) -> Result<Vec<u8>, Error> {
    let hash = HashAlgorithm::Sha256;
    let digest = crypto.hash(hash, &[&bare(attributes)]);
    let digest = encode::tlv(OCTET_STRING, &[digest.as_bytes()]);
    let attributes_hash = encode::tlv(SEQUENCE, &[&algorithm::encode_hash(hash)?, &digest]);
    Ok(encode::tlv(SEQUENCE, &[digest_algorithm, signature_algorithm, &attributes_hash]))
}

/// RFC 5752 §3: the attributes without the one that names others, or nobody could begin.
fn bare(attributes: &[Attribute]) -> Vec<u8> {
    let others = attributes.iter().filter(|it| it.oid != oids::ID_MULTIPLE_SIGNATURES);
    encode::set_of(encode::SET, others.map(Attribute::encode).collect())
}

/// Whoever is named has to be there (RFC 5752 §4).
pub(crate) fn check(crypto: &dyn Crypto, infos: &[SignerInfo]) -> Result<(), Error> {
    for info in infos {
        let attributes = info.signed.iter().flat_map(|signed| &signed.attributes);
        for attribute in attributes.filter(|it| it.oid == oids::ID_MULTIPLE_SIGNATURES) {
            for value in &attribute.values {
                let named = Named::read(value).map_err(|_| Refusal::BadSignedAttributes)?;
                if !infos.iter().any(|other| other != info && named.is(crypto, other)) {
                    return Err(Refusal::SignerMissing.into());
                }
            }
        }
    }
    Ok(())
}

struct Named<'a> {
    digest_algorithm: &'a [u8],
    signature_algorithm: &'a [u8],
    hash: &'a [u8],
    digest: &'a [u8],
}

impl<'a> Named<'a> {
    fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let named = reader.sequence(|named| {
            let digest_algorithm = named.tlv_bytes()?;
            let signature_algorithm = named.tlv_bytes()?;
            let (hash, digest) = named.sequence(|attributes| {
                let hash = attributes.tlv_bytes()?;
                Ok::<_, der::Error>((hash, <&OctetStringRef>::decode(attributes)?.as_bytes()))
            })?;
            if !named.is_finished() {
                named.tlv_bytes()?;
            }
            Ok::<_, der::Error>(Self { digest_algorithm, signature_algorithm, hash, digest })
        })?;
        reader.finish()?;
        Ok(named)
    }

    fn is(&self, crypto: &dyn Crypto, info: &SignerInfo) -> bool {
        let Some(signed) = &info.signed else { return false };
        let Ok(hash) = algorithm::decode_hash(self.hash) else { return false };
        hash != HashAlgorithm::Sha1
            && self.digest_algorithm == info.digest_algorithm
            && self.signature_algorithm == info.signature_algorithm
            && self.digest == crypto.hash(hash, &[&bare(&signed.attributes)]).as_bytes()
    }
}
