//! Public keys as PKCS#11 has them (a modulus; a point in an octet string) and as everybody else has
//! them (`SubjectPublicKeyInfo`), and private keys as they are handed in (PKCS#8).

use der::asn1::{AnyRef, BitString, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Encode, Reader, Sequence, SliceReader, Tag, Tagged};
use spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef, SubjectPublicKeyInfoOwned};
use touchstone_crypto::HashAlgorithm;
use touchstone_element::{Error, KeyAlgorithm};
use zeroize::Zeroizing;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

const BAD_TOKEN_KEY: Error = Error::Malformed("a public key that is not of its own algorithm");
const BAD_PEER: Error =
    Error::BadInput("the peer's key is no public key on this key's curve; give its SPKI in DER");

/// `CKA_EC_PARAMS` of a curve: its name as an OID in DER (PKCS#11 3.0 §2.3.5).
pub(crate) fn ec_params(algorithm: KeyAlgorithm) -> Option<Vec<u8>> {
    match algorithm {
        // What SoftHSM, OpenSC and PKCS#11 3.0 agree on for RFC 8410's curve.
        KeyAlgorithm::Ed25519 => ED25519.to_der().ok(),
        _ => curve_oid(algorithm)?.to_der().ok(),
    }
}

/// The algorithm of `CKA_EC_PARAMS`, `None` for another curve than we know.
pub(crate) fn ec_algorithm(params: &[u8]) -> Option<KeyAlgorithm> {
    // PKCS#11 3.0 §2.3.5 also has curves by name.
    if params == b"\x13\x0cedwards25519" {
        return Some(KeyAlgorithm::Ed25519);
    }
    match ObjectIdentifier::from_der(params).ok()? {
        P256 => Some(KeyAlgorithm::P256),
        P384 => Some(KeyAlgorithm::P384),
        P521 => Some(KeyAlgorithm::P521),
        ED25519 => Some(KeyAlgorithm::Ed25519),
        _ => None,
    }
}

const fn curve_oid(algorithm: KeyAlgorithm) -> Option<ObjectIdentifier> {
    match algorithm {
        KeyAlgorithm::P256 => Some(P256),
        KeyAlgorithm::P384 => Some(P384),
        KeyAlgorithm::P521 => Some(P521),
        _ => None,
    }
}

/// Octets of a coordinate.
pub(crate) const fn field_len(algorithm: KeyAlgorithm) -> usize {
    match algorithm {
        KeyAlgorithm::P384 => 48,
        KeyAlgorithm::P521 => 66,
        _ => 32,
    }
}

/// The algorithm of an RSA key, by the length of its modulus.
pub(crate) fn rsa_algorithm(modulus: &[u8]) -> Option<KeyAlgorithm> {
    let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
    match modulus.len() - zeros {
        256 => Some(KeyAlgorithm::Rsa2048),
        384 => Some(KeyAlgorithm::Rsa3072),
        512 => Some(KeyAlgorithm::Rsa4096),
        _ => None,
    }
}

/// The SPKI of an RSA key (RFC 3279 §2.3.1).
pub(crate) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, Error> {
    let key = RsaPublicKey {
        modulus: UintRef::new(modulus).map_err(|_| BAD_TOKEN_KEY)?,
        exponent: UintRef::new(exponent).map_err(|_| BAD_TOKEN_KEY)?,
    };
    let key = key.to_der().map_err(|_| BAD_TOKEN_KEY)?;
    spki(RSA, Some(AnyRef::NULL), &key)
}

/// The SPKI of `CKA_EC_POINT` (RFC 5480 §2, RFC 8410 §4).
pub(crate) fn ec_spki(algorithm: KeyAlgorithm, point: &[u8]) -> Result<Vec<u8>, Error> {
    let len = match algorithm {
        KeyAlgorithm::Ed25519 => 32,
        _ => 1 + 2 * field_len(algorithm),
    };
    // PKCS#11 3.0 §2.3.3: the point stands in an OCTET STRING; some modules leave that out.
    let wrapped = <&OctetStringRef>::from_der(point).ok().map(OctetStringRef::as_bytes);
    let fits = |point: &&[u8]| {
        let form = algorithm == KeyAlgorithm::Ed25519 || point.first() == Some(&4);
        point.len() == len && form
    };
    let point = wrapped.filter(fits).or(Some(point).filter(fits)).ok_or(BAD_TOKEN_KEY)?;
    match curve_oid(algorithm) {
        Some(curve) => spki(EC, Some(AnyRef::from(&curve)), point),
        None => spki(ED25519, None, point),
    }
}

fn spki(
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    key: &[u8],
) -> Result<Vec<u8>, Error> {
    let key = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid, parameters: parameters.map(Into::into) },
        subject_public_key: BitString::from_bytes(key).map_err(|_| BAD_TOKEN_KEY)?,
    };
    key.to_der().map_err(|_| BAD_TOKEN_KEY)
}

/// The algorithm of an SPKI, `None` for one that we do not know.
pub(crate) fn spki_algorithm(spki_der: &[u8]) -> Option<KeyAlgorithm> {
    let spki = SubjectPublicKeyInfoOwned::from_der(spki_der).ok()?;
    let key = spki.subject_public_key.as_bytes()?;
    match spki.algorithm.oid {
        RSA => rsa_algorithm(RsaPublicKey::from_der(key).ok()?.modulus.as_bytes()),
        EC => ec_algorithm(&spki.algorithm.parameters?.to_der().ok()?),
        ED25519 => Some(KeyAlgorithm::Ed25519),
        _ => None,
    }
}

/// The modulus and exponent of an RSA SPKI.
pub(crate) fn rsa_parts(spki_der: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let spki = SubjectPublicKeyInfoOwned::from_der(spki_der).map_err(|_| BAD_TOKEN_KEY)?;
    let key = spki.subject_public_key.as_bytes().ok_or(BAD_TOKEN_KEY)?;
    let key = RsaPublicKey::from_der(key).map_err(|_| BAD_TOKEN_KEY)?;
    Ok((key.modulus.as_bytes().to_vec(), key.exponent.as_bytes().to_vec()))
}

/// The point of a peer's SPKI, if it is on that curve and uncompressed (SEC 1 §2.3.3).
pub(crate) fn peer_point(algorithm: KeyAlgorithm, spki_der: &[u8]) -> Result<Vec<u8>, Error> {
    let spki = SubjectPublicKeyInfoOwned::from_der(spki_der).map_err(|_| BAD_PEER)?;
    if spki_algorithm(spki_der) != Some(algorithm) {
        return Err(BAD_PEER);
    }
    let point = spki.subject_public_key.as_bytes().ok_or(BAD_PEER)?;
    let fits = point.len() == 1 + 2 * field_len(algorithm) && point.first() == Some(&4);
    if fits { Ok(point.to_vec()) } else { Err(BAD_PEER) }
}

/// `DigestInfo` (RFC 8017 §9.2) around a digest.
pub(crate) fn digest_info(hash: HashAlgorithm, digest: &[u8]) -> Result<Vec<u8>, Error> {
    let oid = ObjectIdentifier::new_unwrap(match hash {
        HashAlgorithm::Sha384 => "2.16.840.1.101.3.4.2.2",
        HashAlgorithm::Sha512 => "2.16.840.1.101.3.4.2.3",
        _ => "2.16.840.1.101.3.4.2.1",
    });
    let failed = |_| Error::BadInput("a digest of another length than its hash has");
    let digest = OctetStringRef::new(digest).map_err(failed)?;
    let algorithm = AlgorithmIdentifierRef { oid, parameters: Some(AnyRef::NULL) };
    DigestInfo { algorithm, digest }.to_der().map_err(failed)
}

#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

#[derive(Sequence)]
struct DigestInfo<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    digest: &'a OctetStringRef,
}

/// A private key from outside, in the parts that `C_CreateObject` takes. Its octets are wiped.
pub(crate) enum PrivateKey {
    /// In the order of RFC 8017 §A.1.2: n, e, d, p, q, dP, dQ, qInv.
    Rsa(Vec<Zeroizing<Vec<u8>>>),
    /// The number, and the point if the file has it.
    Curve { value: Zeroizing<Vec<u8>>, point: Option<Vec<u8>> },
}

/// Reads PKCS#8 (RFC 5958) of that algorithm.
pub(crate) fn pkcs8(algorithm: KeyAlgorithm, octets: &[u8]) -> Result<PrivateKey, Error> {
    const BAD: Error = Error::BadInput(
        "not a private key of that algorithm; give PKCS#8 in DER, unencrypted, as `openssl pkcs8 \
         -topk8 -nocrypt -outform DER` writes it",
    );
    let outer = OneAsymmetricKey::read(octets).map_err(|_| BAD)?;
    match (algorithm, outer.oid) {
        (KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096, RSA) => {
            let numbers = rsa_numbers(outer.key).map_err(|_| BAD)?;
            let modulus = numbers.first().ok_or(BAD)?;
            if rsa_algorithm(modulus) == Some(algorithm) {
                Ok(PrivateKey::Rsa(numbers))
            } else {
                Err(BAD)
            }
        }
        (KeyAlgorithm::Ed25519, ED25519) => {
            let value = <&OctetStringRef>::from_der(outer.key).map_err(|_| BAD)?.as_bytes();
            let point = outer.public.filter(|point| point.len() == 32);
            if value.len() != 32 {
                return Err(BAD);
            }
            Ok(PrivateKey::Curve { value: Zeroizing::new(value.to_vec()), point })
        }
        (KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521, EC)
            if outer.curve == curve_oid(algorithm) =>
        {
            match ec_private(outer.key) {
                Ok(PrivateKey::Curve { value, point }) if value.len() == field_len(algorithm) => {
                    Ok(PrivateKey::Curve { value, point })
                }
                _ => Err(BAD),
            }
        }
        _ => Err(BAD),
    }
}

struct OneAsymmetricKey<'a> {
    oid: ObjectIdentifier,
    curve: Option<ObjectIdentifier>,
    key: &'a [u8],
    public: Option<Vec<u8>>,
}

impl<'a> OneAsymmetricKey<'a> {
    fn read(octets: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(octets)?;
        let read = reader.sequence(|inner| {
            let _version = u8::decode(inner)?;
            let algorithm = AlgorithmIdentifierRef::decode(inner)?;
            let key = <&OctetStringRef>::decode(inner)?.as_bytes();
            let mut public = None;
            while !inner.is_finished() {
                let field = AnyRef::decode(inner)?;
                // RFC 5958 §2: publicKey is [1] IMPLICIT BIT STRING; attributes are [0].
                if field.tag().number().value() == 1 {
                    let bits = field.value().split_first();
                    public = bits.filter(|(unused, _)| **unused == 0).map(|(_, key)| key.to_vec());
                }
            }
            let curve = algorithm.parameters.filter(|any| any.tag() == Tag::ObjectIdentifier);
            let curve = curve.map(AnyRef::decode_as).transpose()?;
            Ok::<_, der::Error>(Self { oid: algorithm.oid, curve, key, public })
        })?;
        reader.finish()?;
        Ok(read)
    }
}

/// RFC 8017 §A.1.2, without other primes.
fn rsa_numbers(key: &[u8]) -> der::Result<Vec<Zeroizing<Vec<u8>>>> {
    let mut reader = SliceReader::new(key)?;
    let numbers = reader.sequence(|inner| {
        let _version = u8::decode(inner)?;
        let mut numbers = Vec::with_capacity(8);
        for _ in 0..8 {
            numbers.push(Zeroizing::new(UintRef::decode(inner)?.as_bytes().to_vec()));
        }
        Ok::<_, der::Error>(numbers)
    })?;
    reader.finish()?;
    Ok(numbers)
}

/// RFC 5915 §3.
fn ec_private(key: &[u8]) -> der::Result<PrivateKey> {
    let mut reader = SliceReader::new(key)?;
    let read = reader.sequence(|inner| {
        let _version = u8::decode(inner)?;
        let value = <&OctetStringRef>::decode(inner)?.as_bytes();
        let mut point = None;
        while !inner.is_finished() {
            let field = AnyRef::decode(inner)?;
            if field.tag().number().value() == 1 {
                let bits = BitString::from_der(field.value())?;
                point = bits.as_bytes().map(<[u8]>::to_vec);
            }
        }
        Ok::<_, der::Error>(PrivateKey::Curve { value: Zeroizing::new(value.to_vec()), point })
    })?;
    reader.finish()?;
    Ok(read)
}

/// A point as `CKA_EC_POINT` has it: in an OCTET STRING (PKCS#11 3.0 §2.3.3).
pub(crate) fn wrapped_point(point: &[u8]) -> Result<Vec<u8>, Error> {
    OctetStringRef::new(point)
        .and_then(|octets| octets.to_der())
        .map_err(|_| Error::BadInput("a public key of another length than its curve has"))
}

/// Whether keys of this algorithm sign by ECDSA.
pub(crate) const fn is_ecdsa(algorithm: KeyAlgorithm) -> bool {
    curve_oid(algorithm).is_some()
}
