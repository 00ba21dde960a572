//! Recipients: how the content's key reaches each (RFC 5652 §6.2, RFC 5753, RFC 9629).

use crate::ber::Elements;
use crate::encode::{self, BIT_STRING, INTEGER, OCTET_STRING, OID, SEQUENCE, context};
use crate::enveloped::algorithm::{
    agreement_hash, decode_transport, encode_transport, encode_wrap, hkdf_hash, identifier,
    wrap_len,
};
use crate::signed::info::SignerId;
use crate::{Error, Refusal, oids};
use alloc::vec::Vec;
use der::asn1::ObjectIdentifier;
use touchstone_certs::Certificate;
use touchstone_crypto::{EnvelopeCrypto, HashAlgorithm, Opening, RsaPadding};
use zeroize::Zeroizing;

const PART: &str = "RecipientInfo";
const MOST_KEYS: usize = 64;

/// To whom, and how.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    pub(crate) certificate: &'a Certificate,
    pub(crate) padding: RsaPadding,
}

impl<'a> Recipient<'a> {
    /// The holder of a certificate's key: RSA by RSAES-OAEP with SHA-256, P-256 to P-521 by ECDH,
    /// ML-KEM by encapsulation.
    pub const fn new(certificate: &'a Certificate) -> Self {
        Self { certificate, padding: RsaPadding::Oaep(HashAlgorithm::Sha256) }
    }

    /// The holder of an RSA key who knows nothing better than RSAES-PKCS1-v1_5, as SCEP has it.
    pub const fn legacy_pkcs1(certificate: &'a Certificate) -> Self {
        Self { certificate, padding: RsaPadding::LegacyPkcs1 }
    }
}

/// One recipient's way to the key, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) rid: SignerId,
    pub(crate) how: How,
    /// What holds the key: encrypted or wrapped.
    pub(crate) key: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Transport(RsaPadding),
    Agreement {
        hash: HashAlgorithm,
        /// The wrap's `AlgorithmIdentifier`, as it came.
        wrap: Vec<u8>,
        point: Vec<u8>,
        ukm: Option<Vec<u8>>,
    },
    Encapsulation {
        hash: HashAlgorithm,
        wrap: Vec<u8>,
        ciphertext: Vec<u8>,
        ukm: Option<Vec<u8>>,
    },
}

impl How {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Transport(RsaPadding::Oaep(_)) => "rsa-oaep",
            Self::Transport(_) => "rsa-pkcs1",
            Self::Agreement { .. } => "ecdh",
            Self::Encapsulation { .. } => "ml-kem",
        }
    }

    /// What only old peers still use.
    pub(crate) const fn is_legacy(&self) -> bool {
        match self {
            Self::Transport(RsaPadding::Oaep(hash)) | Self::Agreement { hash, .. } => {
                matches!(hash, HashAlgorithm::Sha1)
            }
            Self::Transport(_) => true,
            Self::Encapsulation { .. } => false,
        }
    }
}

/// The ways in one `RecipientInfo`; none in a kind that is not known here.
pub(crate) fn read(whole: &[u8], tag: u8) -> Result<Vec<Way>, Error> {
    let mut outer = Elements::new(PART, whole);
    let content = outer.any()?.content;
    let inner = Elements::new(PART, content);
    // An algorithm that is not known here is no reason to keep others from their content.
    let found = match tag {
        SEQUENCE => transport(inner),
        0xA1 => agreement(inner),
        0xA4 => encapsulation(inner),
        0xA2 | 0xA3 => return Ok(Vec::new()),
        _ => return Err(Error::malformed(PART)),
    };
    match found {
        Err(Error::Refused(Refusal::UnsupportedAlgorithm)) => Ok(Vec::new()),
        other => other,
    }
}

fn rid(whole: &[u8]) -> Result<SignerId, Error> {
    SignerId::read(whole).map_err(Error::der("RecipientIdentifier"))
}

/// `KeyTransRecipientInfo` (RFC 5652 §6.2.1).
fn transport(mut inner: Elements<'_>) -> Result<Vec<Way>, Error> {
    inner.one(INTEGER)?;
    let rid = rid(inner.any()?.whole)?;
    let how = How::Transport(decode_transport(inner.one(SEQUENCE)?.whole)?);
    let key = inner.octet_string(OCTET_STRING)?;
    inner.end()?;
    Ok([Way { rid, how, key }].into())
}

/// `KeyAgreeRecipientInfo` (RFC 5652 §6.2.2, RFC 5753 §3.1).
fn agreement(mut inner: Elements<'_>) -> Result<Vec<Way>, Error> {
    inner.one(INTEGER)?;
    let mut originator = Elements::new("originator", inner.one(context(0))?.content);
    let Some(key) = originator.optional(context(1))? else {
        return Err(Refusal::UnsupportedAlgorithm.into());
    };
    originator.end()?;
    let mut key = Elements::new("originatorKey", key.content);
    let (oid, _) = identifier(key.one(SEQUENCE)?.whole)?;
    let bits = key.one(BIT_STRING)?.content;
    key.end()?;
    let point = match bits.split_first() {
        Some((0, point)) if oid == oids::ID_EC_PUBLIC_KEY => point.to_vec(),
        _ => return Err(Refusal::UnsupportedAlgorithm.into()),
    };
    let ukm = match inner.optional(context(1))? {
        Some(ukm) => Some(Elements::new("ukm", ukm.content).octet_string(OCTET_STRING)?),
        None => None,
    };
    let (scheme, wrap) = identifier(inner.one(SEQUENCE)?.whole)?;
    let hash = agreement_hash(scheme)?;
    wrap_len(wrap)?;
    let mut keys = Elements::new("recipientEncryptedKeys", inner.one(SEQUENCE)?.content);
    inner.end()?;
    let mut found = Vec::new();
    while !keys.is_empty() {
        let mut one = Elements::new("RecipientEncryptedKey", keys.one(SEQUENCE)?.content);
        let id = one.any()?;
        let rid = match id.tag {
            // RFC 5652 §6.2.2: RecipientKeyIdentifier; a date or more may follow the identifier.
            0xA0 => {
                let mut id = Elements::new("rKeyId", id.content);
                SignerId::KeyId(id.octet_string(OCTET_STRING)?)
            }
            _ => rid(id.whole)?,
        };
        let key = one.octet_string(OCTET_STRING)?;
        one.end()?;
        if found.len() >= MOST_KEYS {
            return Err(Error::too_large("recipientEncryptedKeys"));
        }
        let (wrap, point, ukm) = (wrap.to_vec(), point.clone(), ukm.clone());
        found.push(Way { rid, how: How::Agreement { hash, wrap, point, ukm }, key });
    }
    Ok(found)
}

/// `OtherRecipientInfo` with a `KEMRecipientInfo` (RFC 9629 §3).
fn encapsulation(mut inner: Elements<'_>) -> Result<Vec<Way>, Error> {
    const PART: &str = "KEMRecipientInfo";
    let kind = inner.one(OID)?.content;
    if kind != oids::ID_ORI_KEM.as_bytes() {
        return Ok(Vec::new());
    }
    let mut info = Elements::new(PART, inner.one(SEQUENCE)?.content);
    inner.end()?;
    info.one(INTEGER)?;
    let rid = rid(info.any()?.whole)?;
    let (kem, _) = identifier(info.one(SEQUENCE)?.whole)?;
    if ![oids::ML_KEM_512, oids::ML_KEM_768, oids::ML_KEM_1024].contains(&kem) {
        return Err(Refusal::UnsupportedAlgorithm.into());
    }
    let ciphertext = info.octet_string(OCTET_STRING)?;
    let hash = hkdf_hash(info.one(SEQUENCE)?.whole)?;
    let kek_len = info.one(INTEGER)?.content;
    let ukm = match info.optional(context(0))? {
        Some(ukm) => Some(Elements::new("ukm", ukm.content).octet_string(OCTET_STRING)?),
        None => None,
    };
    let wrap = info.one(SEQUENCE)?.whole;
    let key = info.octet_string(OCTET_STRING)?;
    info.end()?;
    // RFC 9629 §3: as long as the wrap wants it.
    if kek_len.len() != 1 || kek_len.first().copied().map(usize::from) != Some(wrap_len(wrap)?) {
        return Err(Error::malformed("kekLength"));
    }
    let how = How::Encapsulation { hash, wrap: wrap.to_vec(), ciphertext, ukm };
    Ok([Way { rid, how, key }].into())
}

impl Way {
    /// What the holder of the private key is asked for.
    pub(crate) fn opening(&self, certificate: &Certificate) -> Result<Opening, Error> {
        Ok(match &self.how {
            How::Transport(padding) => {
                Opening::Rsa { padding: *padding, ciphertext: self.key.clone() }
            }
            How::Agreement { point, .. } => {
                // RFC 5753 §3.1.1: on the curve of the recipient's key.
                let (algorithm, _) = public_key(certificate)?;
                let bits = encode::tlv(BIT_STRING, &[&[0], point]);
                Opening::Agree { peer_spki_der: encode::tlv(SEQUENCE, &[algorithm, &bits]) }
            }
            How::Encapsulation { ciphertext, .. } => {
                Opening::Decapsulate { ciphertext: ciphertext.clone() }
            }
        })
    }

    /// The content's key, by what the holder answered.
    pub(crate) fn unwrap(
        &self,
        crypto: &dyn EnvelopeCrypto,
        secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let kek = match &self.how {
            How::Transport(_) => return Ok(Zeroizing::new(secret.to_vec())),
            How::Agreement { hash, wrap, ukm, .. } => {
                let len = wrap_len(wrap)?;
                crypto.x963_kdf(*hash, secret, &shared_info(wrap, ukm.as_deref(), len), len)?
            }
            How::Encapsulation { hash, wrap, ukm, .. } => {
                let len = wrap_len(wrap)?;
                crypto.hkdf(*hash, secret, &other_info(wrap, ukm.as_deref(), len), len)?
            }
        };
        Ok(crypto.aes_unwrap(&kek, &self.key).map_err(|_| Refusal::Undecryptable)?)
    }
}

/// `ECC-CMS-SharedInfo` (RFC 5753 §7.2).
fn shared_info(wrap: &[u8], ukm: Option<&[u8]>, len: usize) -> Vec<u8> {
    let ukm = ukm.map(|ukm| encode::tlv(context(0), &[&encode::tlv(OCTET_STRING, &[ukm])]));
    // Keys that wrap have 16 or 32 octets.
    let bits = u32::try_from(len * 8).unwrap_or_default().to_be_bytes();
    let bits = encode::tlv(context(2), &[&encode::tlv(OCTET_STRING, &[&bits])]);
    encode::tlv(SEQUENCE, &[wrap, &ukm.unwrap_or_default(), &bits])
}

/// `CMSORIforKEMOtherInfo` (RFC 9629 §5).
fn other_info(wrap: &[u8], ukm: Option<&[u8]>, len: usize) -> Vec<u8> {
    let ukm = ukm.map(|ukm| encode::tlv(context(0), &[&encode::tlv(OCTET_STRING, &[ukm])]));
    let len = encode::small(u8::try_from(len).unwrap_or_default());
    encode::tlv(SEQUENCE, &[wrap, &len, &ukm.unwrap_or_default()])
}

/// The `AlgorithmIdentifier` of a certificate's key, as it is, and its name.
fn public_key(certificate: &Certificate) -> Result<(&[u8], ObjectIdentifier), Error> {
    let mut outer = Elements::new("SubjectPublicKeyInfo", certificate.spki_der());
    let mut inner = Elements::new("SubjectPublicKeyInfo", outer.one(SEQUENCE)?.content);
    let algorithm = inner.one(SEQUENCE)?.whole;
    Ok((algorithm, identifier(algorithm)?.0))
}

/// A `RecipientInfo` that brings `key`; and whether it is key transport.
pub(crate) fn write(
    crypto: &dyn EnvelopeCrypto,
    to: &Recipient<'_>,
    key: &[u8],
) -> Result<Vec<u8>, Error> {
    let spki = to.certificate.spki_der();
    let id = SignerId::of(to.certificate).encode();
    let unsuitable = |_| Error::from(Refusal::UnsuitableKey);
    let (algorithm, oid) = public_key(to.certificate)?;
    if oid == oids::RSA_ENCRYPTION {
        let how = encode_transport(to.padding)?;
        let encrypted = crypto.rsa_encrypt(spki, to.padding, key).map_err(unsuitable)?;
        let encrypted = encode::tlv(OCTET_STRING, &[&encrypted]);
        return Ok(encode::tlv(SEQUENCE, &[&encode::small(0), &id, &how, &encrypted]));
    }
    let len = key.len();
    let wrap = encode_wrap(len);
    if oid == oids::ID_EC_PUBLIC_KEY {
        let (scheme, hash) = scheme(algorithm)?;
        let shared = crypto.agree_with(spki).map_err(unsuitable)?;
        let kek = crypto.x963_kdf(hash, &shared.secret, &shared_info(&wrap, None, len), len)?;
        let wrapped = encode::tlv(OCTET_STRING, &[&crypto.aes_wrap(&kek, key)?]);
        let name = encode::tlv(SEQUENCE, &[&encode::oid(&oids::ID_EC_PUBLIC_KEY)]);
        let bits = encode::tlv(BIT_STRING, &[&[0], &shared.public]);
        let originator = encode::tlv(context(0), &[&encode::tlv(context(1), &[&name, &bits])]);
        let how = encode::tlv(SEQUENCE, &[&encode::oid(&scheme), &wrap]);
        let keys = encode::tlv(SEQUENCE, &[&encode::tlv(SEQUENCE, &[&id, &wrapped])]);
        return Ok(encode::tlv(context(1), &[&encode::small(3), &originator, &how, &keys]));
    }
    if ![oids::ML_KEM_512, oids::ML_KEM_768, oids::ML_KEM_1024].contains(&oid) {
        return Err(Refusal::UnsuitableKey.into());
    }
    let shared = crypto.encapsulate(spki).map_err(unsuitable)?;
    let info = other_info(&wrap, None, len);
    // RFC 9936 §2: HKDF with SHA-256 for every parameter set.
    let kek = crypto.hkdf(HashAlgorithm::Sha256, &shared.secret, &info, len)?;
    let parts: [&[u8]; 8] = [
        &encode::small(0),
        &id,
        algorithm,
        &encode::tlv(OCTET_STRING, &[&shared.public]),
        &encode::tlv(SEQUENCE, &[&encode::oid(&oids::HKDF_SHA256)]),
        &encode::small(u8::try_from(len).unwrap_or_default()),
        &wrap,
        &encode::tlv(OCTET_STRING, &[&crypto.aes_wrap(&kek, key)?]),
    ];
    let info = encode::tlv(SEQUENCE, &parts);
    Ok(encode::tlv(context(4), &[&encode::oid(&oids::ID_ORI_KEM), &info]))
}

/// A KDF as strong as the curve (RFC 5753 §7.1.4).
fn scheme(algorithm: &[u8]) -> Result<(ObjectIdentifier, HashAlgorithm), Error> {
    let (_, parameters) = identifier(algorithm)?;
    let curve = Elements::new("ECParameters", parameters).one(OID)?.content;
    match ObjectIdentifier::from_bytes(curve) {
        Ok(oids::SECP256R1) => Ok((oids::STD_DH_SHA256_KDF, HashAlgorithm::Sha256)),
        Ok(oids::SECP384R1) => Ok((oids::STD_DH_SHA384_KDF, HashAlgorithm::Sha384)),
        Ok(oids::SECP521R1) => Ok((oids::STD_DH_SHA512_KDF, HashAlgorithm::Sha512)),
        _ => Err(Refusal::UnsuitableKey.into()),
    }
}
