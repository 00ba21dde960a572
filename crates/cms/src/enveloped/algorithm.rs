//! The algorithms of encrypted envelopes, as they are named.

use crate::ber::Elements;
use crate::encode::{self, INTEGER, OCTET_STRING, OID, SEQUENCE, context};
use crate::{Error, Refusal, oids};
use alloc::vec::Vec;
use der::asn1::ObjectIdentifier;
use touchstone_certs::algorithm;
use touchstone_crypto::{HashAlgorithm, RsaPadding};

/// How content is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentCipher {
    /// AES-GCM with a key of 128 bits (RFC 5084), in `AuthEnvelopedData`.
    Aes128Gcm,
    /// AES-GCM with a key of 256 bits, in `AuthEnvelopedData`.
    Aes256Gcm,
    /// AES-CBC with a key of 128 bits (RFC 3565), in `EnvelopedData`: nothing shows a change.
    LegacyAes128Cbc,
    /// AES-CBC with a key of 256 bits, in `EnvelopedData`: nothing shows a change.
    LegacyAes256Cbc,
}

impl ContentCipher {
    /// The name in logs and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes-128-gcm",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::LegacyAes128Cbc => "aes-128-cbc",
            Self::LegacyAes256Cbc => "aes-256-cbc",
        }
    }

    /// Octets in a key.
    pub(crate) const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::LegacyAes128Cbc => 16,
            Self::Aes256Gcm | Self::LegacyAes256Cbc => 32,
        }
    }

    pub(crate) const fn is_authenticated(self) -> bool {
        matches!(self, Self::Aes128Gcm | Self::Aes256Gcm)
    }

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Aes128Gcm => oids::AES128_GCM,
            Self::Aes256Gcm => oids::AES256_GCM,
            Self::LegacyAes128Cbc => oids::AES128_CBC,
            Self::LegacyAes256Cbc => oids::AES256_CBC,
        }
    }

    /// RFC 5084 §3.2, RFC 3565 §2.3.
    pub(crate) fn encode(self, iv: &[u8]) -> Vec<u8> {
        let iv = encode::tlv(OCTET_STRING, &[iv]);
        let parameters = if self.is_authenticated() {
            encode::tlv(SEQUENCE, &[&iv, &encode::small(16)])
        } else {
            iv
        };
        encode::tlv(SEQUENCE, &[&encode::oid(&self.oid()), &parameters])
    }

    /// The cipher and its nonce or initial vector; only nonces of 12 and tags of 16 octets.
    pub(crate) fn decode(whole: &[u8]) -> Result<(Self, Vec<u8>), Error> {
        let (oid, parameters) = identifier(whole)?;
        let cipher = match oid {
            oids::AES128_GCM => Self::Aes128Gcm,
            oids::AES256_GCM => Self::Aes256Gcm,
            oids::AES128_CBC => Self::LegacyAes128Cbc,
            oids::AES256_CBC => Self::LegacyAes256Cbc,
            _ => return Err(Refusal::UnsupportedAlgorithm.into()),
        };
        let mut rest = Elements::new("contentEncryptionAlgorithm", parameters);
        let iv = if cipher.is_authenticated() {
            let mut inner = Elements::new("GCMParameters", rest.one(SEQUENCE)?.content);
            let nonce = inner.one(OCTET_STRING)?.content;
            // RFC 5084 §3.2: 12 when left out.
            let tag = inner.optional(INTEGER)?.map_or(&[12][..], |it| it.content);
            inner.end()?;
            if tag != [16] || nonce.len() != 12 {
                return Err(Refusal::UnsupportedAlgorithm.into());
            }
            nonce
        } else {
            rest.one(OCTET_STRING)?.content
        };
        rest.end()?;
        Ok((cipher, iv.to_vec()))
    }
}

/// An `AlgorithmIdentifier`: its name, and its parameters as they came.
pub(crate) fn identifier(whole: &[u8]) -> Result<(ObjectIdentifier, &[u8]), Error> {
    const PART: &str = "AlgorithmIdentifier";
    let mut outer = Elements::new(PART, whole);
    let element = outer.one(SEQUENCE)?;
    outer.end()?;
    let mut inner = Elements::new(PART, element.content);
    let name = inner.one(OID)?;
    let parameters = element.content.get(name.whole.len()..).unwrap_or_default();
    let oid = ObjectIdentifier::from_bytes(name.content).map_err(|_| Error::malformed(PART))?;
    Ok((oid, parameters))
}

/// RFC 3370 §4.2.1, RFC 8017 appendix A.2.1. The hash of label and mask has to be one.
pub(crate) fn decode_transport(whole: &[u8]) -> Result<RsaPadding, Error> {
    const PART: &str = "RSAES-OAEP-params";
    let (oid, parameters) = identifier(whole)?;
    match oid {
        oids::RSA_ENCRYPTION => return Ok(RsaPadding::LegacyPkcs1),
        oids::ID_RSAES_OAEP => {}
        _ => return Err(Refusal::UnsupportedAlgorithm.into()),
    }
    let hash_of = |der: &[u8]| -> Result<HashAlgorithm, Error> {
        algorithm::decode_hash(der).map_err(|_| Refusal::UnsupportedAlgorithm.into())
    };
    let mut outer = Elements::new(PART, parameters);
    let mut inner = match outer.optional(SEQUENCE)? {
        Some(inner) => Elements::new(PART, inner.content),
        None => Elements::new(PART, &[]),
    };
    outer.end()?;
    let (mut hash, mut mask) = (HashAlgorithm::Sha1, HashAlgorithm::Sha1);
    if let Some(named) = inner.optional(context(0))? {
        hash = hash_of(named.content)?;
    }
    if let Some(named) = inner.optional(context(1))? {
        let (oid, of) = identifier(named.content)?;
        if oid != oids::ID_MGF1 {
            return Err(Refusal::UnsupportedAlgorithm.into());
        }
        mask = hash_of(of)?;
    }
    if let Some(named) = inner.optional(context(2))? {
        let (oid, label) = identifier(named.content)?;
        if oid != oids::ID_P_SPECIFIED || label != [OCTET_STRING, 0] {
            return Err(Refusal::UnsupportedAlgorithm.into());
        }
    }
    inner.end()?;
    if hash == mask {
        Ok(RsaPadding::Oaep(hash))
    } else {
        Err(Refusal::UnsupportedAlgorithm.into())
    }
}

pub(crate) fn encode_transport(padding: RsaPadding) -> Result<Vec<u8>, Error> {
    const NULL: [u8; 2] = [5, 0];
    let RsaPadding::Oaep(hash) = padding else {
        return Ok(encode::tlv(SEQUENCE, &[&encode::oid(&oids::RSA_ENCRYPTION), &NULL]));
    };
    // RFC 4055 §2.1: with NULL here.
    let bare = algorithm::encode_hash(hash)?;
    let hash = encode::tlv(SEQUENCE, &[bare.get(2..).unwrap_or_default(), &NULL]);
    let mask = encode::tlv(SEQUENCE, &[&encode::oid(&oids::ID_MGF1), &hash]);
    let (hash, mask) = (encode::tlv(context(0), &[&hash]), encode::tlv(context(1), &[&mask]));
    let parameters = encode::tlv(SEQUENCE, &[&hash, &mask]);
    Ok(encode::tlv(SEQUENCE, &[&encode::oid(&oids::ID_RSAES_OAEP), &parameters]))
}

/// AES key wrap by name: octets of the key that wraps (RFC 3565 §2.3.2).
pub(crate) fn wrap_len(whole: &[u8]) -> Result<usize, Error> {
    match identifier(whole)? {
        (oids::AES128_WRAP, [] | [5, 0]) => Ok(16),
        (oids::AES256_WRAP, [] | [5, 0]) => Ok(32),
        _ => Err(Refusal::UnsupportedAlgorithm.into()),
    }
}

pub(crate) fn encode_wrap(len: usize) -> Vec<u8> {
    let oid = if len == 16 { oids::AES128_WRAP } else { oids::AES256_WRAP };
    encode::tlv(SEQUENCE, &[&encode::oid(&oid)])
}

/// RFC 5753 §7.1.4.
pub(crate) fn agreement_hash(oid: ObjectIdentifier) -> Result<HashAlgorithm, Error> {
    match oid {
        oids::STD_DH_SHA1_KDF => Ok(HashAlgorithm::Sha1),
        oids::STD_DH_SHA256_KDF => Ok(HashAlgorithm::Sha256),
        oids::STD_DH_SHA384_KDF => Ok(HashAlgorithm::Sha384),
        oids::STD_DH_SHA512_KDF => Ok(HashAlgorithm::Sha512),
        _ => Err(Refusal::UnsupportedAlgorithm.into()),
    }
}

/// RFC 8619 §2: the parameters are absent.
pub(crate) fn hkdf_hash(whole: &[u8]) -> Result<HashAlgorithm, Error> {
    match identifier(whole)? {
        (oids::HKDF_SHA256, []) => Ok(HashAlgorithm::Sha256),
        (oids::HKDF_SHA384, []) => Ok(HashAlgorithm::Sha384),
        (oids::HKDF_SHA512, []) => Ok(HashAlgorithm::Sha512),
        _ => Err(Refusal::UnsupportedAlgorithm.into()),
    }
}
