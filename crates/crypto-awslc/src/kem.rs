//! ML-KEM (FIPS 203) with keys as X.509 and PKCS#8 hold them (RFC 9935).

use aws_lc_rs::kem::{
    Algorithm, AlgorithmId, Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_512, ML_KEM_768,
    ML_KEM_1024,
};
use spki::der::asn1::{BitStringRef, OctetStringRef};
use spki::der::{self, Decode, Encode, Reader, SliceReader, Tag};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use touchstone_crypto::{Error, Shared};
use zeroize::Zeroizing;

/// RFC 9935 §3.
const ML_KEM_512_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.4.1");
const ML_KEM_768_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.4.2");
const ML_KEM_1024_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.4.3");

/// The library's algorithm, and the octets of the vectors in its decapsulation key (FIPS 203 §8).
fn algorithm(oid: ObjectIdentifier) -> Result<(&'static Algorithm<AlgorithmId>, usize), Error> {
    match oid {
        ML_KEM_512_OID => Ok((&ML_KEM_512, 768)),
        ML_KEM_768_OID => Ok((&ML_KEM_768, 1152)),
        ML_KEM_1024_OID => Ok((&ML_KEM_1024, 1536)),
        _ => Err(Error::Unsupported),
    }
}

pub(crate) fn encapsulate(spki_der: &[u8]) -> Result<Shared, Error> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| Error::BadKey)?;
    let (algorithm, _) = algorithm(spki.algorithm.oid)?;
    let octets = spki.subject_public_key.as_bytes().ok_or(Error::BadKey)?;
    let key = EncapsulationKey::new(algorithm, octets).map_err(|_| Error::BadKey)?;
    let (ciphertext, secret) = key.encapsulate().map_err(|_| Error::BadKey)?;
    let secret = Zeroizing::new(secret.as_ref().to_vec());
    Ok(Shared { public: ciphertext.as_ref().to_vec(), secret })
}

/// A decapsulation key and its `SubjectPublicKeyInfo`.
pub(crate) struct Key {
    key: DecapsulationKey,
    pub(crate) spki: Vec<u8>,
}

impl Key {
    /// From PKCS#8 that holds the expanded key, alone or with its seed (RFC 9935 §6).
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        let (oid, private) = inner(pkcs8).map_err(|_| Error::BadKey)?;
        let (algorithm, vectors) = algorithm(oid)?;
        let mut reader = SliceReader::new(private).map_err(|_| Error::BadKey)?;
        let expanded = expanded(&mut reader).map_err(|_| Error::BadKey)?;
        reader.finish().map_err(|_| Error::BadKey)?;
        let key = DecapsulationKey::new(algorithm, expanded).map_err(|_| Error::BadKey)?;
        let public = expanded.get(vectors..2 * vectors + 32).ok_or(Error::BadKey)?;
        let spki = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid, parameters: None },
            subject_public_key: BitStringRef::from_bytes(public).map_err(|_| Error::BadKey)?,
        };
        let spki = spki.to_der().map_err(|_| Error::BadKey)?;
        let key = Self { key, spki };
        // A key whose halves do not belong together would open nothing and say so never.
        let shared = encapsulate(&key.spki)?;
        if key.decapsulate(&shared.public)? == shared.secret { Ok(key) } else { Err(Error::BadKey) }
    }

    pub(crate) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let secret = self.key.decapsulate(Ciphertext::from(ciphertext));
        Ok(Zeroizing::new(secret.map_err(|_| Error::Undecryptable)?.as_ref().to_vec()))
    }
}

fn inner(pkcs8: &[u8]) -> der::Result<(ObjectIdentifier, &[u8])> {
    let mut reader = SliceReader::new(pkcs8)?;
    let found = reader.sequence(|info| {
        // RFC 5958 §2: attributes and the public key may follow, which are not needed.
        u8::decode(info)?;
        let algorithm = AlgorithmIdentifierRef::decode(info)?;
        let key = <&OctetStringRef>::decode(info)?;
        info.read_slice(info.remaining_len())?;
        Ok::<_, der::Error>((algorithm.oid, key.as_bytes()))
    })?;
    reader.finish()?;
    Ok(found)
}

fn expanded<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    if Tag::peek(reader)? == Tag::OctetString {
        return Ok(<&OctetStringRef>::decode(reader)?.as_bytes());
    }
    reader.sequence(|both| {
        <&OctetStringRef>::decode(both)?;
        Ok(<&OctetStringRef>::decode(both)?.as_bytes())
    })
}
