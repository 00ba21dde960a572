//! ML-KEM keys (FIPS 203): made, taken in, opened with.

use aws_lc_rs::digest::{SHA3_256, digest};
use aws_lc_rs::kem::{
    Algorithm, AlgorithmId, Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_512, ML_KEM_768,
    ML_KEM_1024,
};
#[allow(deprecated, reason = "see `expanded`")]
use ml_kem::ExpandedKeyEncoding;
use ml_kem::{MlKem512, MlKem768, MlKem1024, Seed};
use spki::der::asn1::{BitStringRef, ContextSpecific, OctetStringRef};
use spki::der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use subtle::ConstantTimeEq;
use touchstone_element::{Error, KeyAlgorithm, Secret};
use zeroize::{Zeroize, Zeroizing};

/// One parameter set: its name in the library, its object identifier (RFC 9935 §3), the octets of
/// the polynomials in its decapsulation key and of its ciphertext (FIPS 203 §8).
struct Set {
    algorithm: &'static Algorithm<AlgorithmId>,
    oid: ObjectIdentifier,
    polynomials: usize,
    ciphertext: usize,
}

fn set(algorithm: KeyAlgorithm) -> Option<Set> {
    let (algorithm, oid, rank, ciphertext) = match algorithm {
        KeyAlgorithm::MlKem512 => (&ML_KEM_512, "2.16.840.1.101.3.4.4.1", 2, 768),
        KeyAlgorithm::MlKem768 => (&ML_KEM_768, "2.16.840.1.101.3.4.4.2", 3, 1088),
        KeyAlgorithm::MlKem1024 => (&ML_KEM_1024, "2.16.840.1.101.3.4.4.3", 4, 1568),
        _ => return None,
    };
    let oid = ObjectIdentifier::new_unwrap(oid);
    Some(Set { algorithm, oid, polynomials: 384 * rank, ciphertext })
}

/// A private key and its `SubjectPublicKeyInfo`.
pub(crate) type Pair = (Zeroizing<Vec<u8>>, Vec<u8>);

const FAILED: Error = Error::Crypto(touchstone_crypto::Error::BadKey);
const ODD: Error = Error::Unsupported("not an ML-KEM key");

/// A new key.
pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<Pair, Error> {
    let set = set(algorithm).ok_or(ODD)?;
    let key = DecapsulationKey::generate(set.algorithm).map_err(|_| FAILED)?;
    let private = Zeroizing::new(key.key_bytes().map_err(|_| FAILED)?.as_ref().to_vec());
    let public = key.encapsulation_key().and_then(|key| Ok(key.key_bytes()?.as_ref().to_vec()));
    Ok((private, spki(&set, &public.map_err(|_| FAILED)?)?))
}

/// A key from PKCS#8 that holds its seed, the expanded key, or both (RFC 9935 §6).
pub(crate) fn import(algorithm: KeyAlgorithm, pkcs8: &[u8]) -> Result<Pair, Error> {
    const BAD: Error = Error::BadInput("the key is not PKCS#8 of an ML-KEM key of that size");
    let set = set(algorithm).ok_or(ODD)?;
    let inner = inner_key(&set, pkcs8).map_err(|_| BAD)?;
    let mut reader = SliceReader::new(inner).map_err(|_| BAD)?;
    let private = match Tag::peek(&reader).map_err(|_| BAD)? {
        Tag::OctetString => {
            let expanded = <&OctetStringRef>::decode(&mut reader).map_err(|_| BAD)?;
            Zeroizing::new(expanded.as_bytes().to_vec())
        }
        SEED => {
            let seed =
                ContextSpecific::<&OctetStringRef>::decode_implicit(&mut reader, TagNumber(0));
            let seed = seed.ok().flatten().ok_or(BAD)?.value;
            expand(algorithm, seed.as_bytes()).ok_or(BAD)?
        }
        Tag::Sequence => {
            let both = reader.sequence(|both| {
                let seed = <&OctetStringRef>::decode(both)?;
                let expanded = <&OctetStringRef>::decode(both)?;
                Ok::<_, spki::der::Error>((seed.as_bytes(), expanded.as_bytes()))
            });
            let (seed, expanded) = both.map_err(|_| BAD)?;
            let private = expand(algorithm, seed).ok_or(BAD)?;
            // RFC 9935 §6: a key that is given twice is the same both times.
            if !bool::from(private.as_slice().ct_eq(expanded)) {
                return Err(Error::BadInput("the ML-KEM key's seed is that of another key"));
            }
            private
        }
        _ => return Err(BAD),
    };
    reader.finish().map_err(|_| BAD)?;
    let public = checked_public(&set, &private).ok_or(BAD)?;
    let key = (private, spki(&set, &public)?);
    agrees_with_itself(&set, &key.0, &public)?;
    Ok(key)
}

/// `seed [0] IMPLICIT OCTET STRING`.
const SEED: Tag = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };

/// The decapsulation key of a seed `d || z` (FIPS 203 §7.1): the library that decapsulates takes
/// nothing else.
fn expand(algorithm: KeyAlgorithm, seed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let seed = Seed::try_from(seed).ok()?;
    match algorithm {
        KeyAlgorithm::MlKem512 => {
            Some(expanded(&ml_kem::DecapsulationKey::<MlKem512>::from_seed(seed)))
        }
        KeyAlgorithm::MlKem768 => {
            Some(expanded(&ml_kem::DecapsulationKey::<MlKem768>::from_seed(seed)))
        }
        KeyAlgorithm::MlKem1024 => {
            Some(expanded(&ml_kem::DecapsulationKey::<MlKem1024>::from_seed(seed)))
        }
        _ => None,
    }
}

#[allow(deprecated, reason = "seeds are the better form, but not one that decapsulates here")]
fn expanded(key: &impl ExpandedKeyEncoding) -> Zeroizing<Vec<u8>> {
    let mut octets = key.to_expanded_bytes();
    let expanded = Zeroizing::new(octets.to_vec());
    octets.as_mut_slice().zeroize();
    expanded
}

fn inner_key<'a>(set: &Set, pkcs8: &'a [u8]) -> Result<&'a [u8], spki::der::Error> {
    let mut reader = SliceReader::new(pkcs8)?;
    let (algorithm, key) = reader.sequence(|info| {
        // RFC 5958 §2: version 1 may be followed by attributes and the public key, which we do not
        // need.
        u8::decode(info)?;
        let algorithm = AlgorithmIdentifierRef::decode(info)?;
        let key = <&OctetStringRef>::decode(info)?;
        info.read_slice(info.remaining_len())?;
        Ok::<_, spki::der::Error>((algorithm, key.as_bytes()))
    })?;
    reader.finish()?;
    if algorithm.oid != set.oid || algorithm.parameters.is_some() {
        return Err(Tag::ObjectIdentifier.value_error().into());
    }
    Ok(key)
}

/// The encapsulation key inside a decapsulation key, if its hash is right (FIPS 203 §7.3).
fn checked_public(set: &Set, private: &[u8]) -> Option<Vec<u8>> {
    let (_, rest) = private.split_at_checked(set.polynomials)?;
    let (public, rest) = rest.split_at_checked(set.polynomials + 32)?;
    let (hash, z) = rest.split_at_checked(32)?;
    (z.len() == 32 && digest(&SHA3_256, public).as_ref() == hash).then(|| public.to_vec())
}

fn agrees_with_itself(set: &Set, private: &[u8], public: &[u8]) -> Result<(), Error> {
    let bad = || Error::BadInput("the ML-KEM key's parts do not belong together");
    let ours = DecapsulationKey::new(set.algorithm, private).map_err(|_| bad())?;
    let theirs = EncapsulationKey::new(set.algorithm, public).map_err(|_| bad())?;
    let (ciphertext, secret) = theirs.encapsulate().map_err(|_| bad())?;
    let opened = ours.decapsulate(ciphertext).map_err(|_| bad())?;
    if opened.as_ref() == secret.as_ref() { Ok(()) } else { Err(bad()) }
}

/// RFC 9935 §4.
fn spki(set: &Set, public: &[u8]) -> Result<Vec<u8>, Error> {
    let spki = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid: set.oid, parameters: None },
        subject_public_key: BitStringRef::from_bytes(public).map_err(|_| FAILED)?,
    };
    spki.to_der().map_err(|_| FAILED)
}

/// Opens what was encapsulated to the key.
pub(crate) fn decapsulate(
    algorithm: KeyAlgorithm,
    private: &[u8],
    ciphertext: &[u8],
) -> Result<Secret, Error> {
    let set = set(algorithm).ok_or(ODD)?;
    if ciphertext.len() != set.ciphertext {
        return Err(Error::BadInput("the ciphertext is not as long as the key's parameters say"));
    }
    let key = DecapsulationKey::new(set.algorithm, private).map_err(|_| FAILED)?;
    let secret = key.decapsulate(Ciphertext::from(ciphertext)).map_err(|_| FAILED)?;
    Ok(Secret::new(secret.as_ref().to_vec()))
}
