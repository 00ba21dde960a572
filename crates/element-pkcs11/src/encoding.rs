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
    if rsa_algorithm(modulus).is_none() || exponent.iter().all(|octet| *octet == 0) {
        return Err(BAD_TOKEN_KEY);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt` has these
    /// parts in this order.
    fn p256_pkcs8(with_point: bool) -> Vec<u8> {
        let point = [&[0xa1, 68, 3, 66, 0, 4][..], &[5; 64]].concat();
        let inner =
            [&[2, 1, 1, 4, 32][..], &[7; 32], if with_point { &point } else { &[] }].concat();
        let inner = [&[0x30, u8::try_from(inner.len()).unwrap()], &inner[..]].concat();
        let algorithm =
            [0x30, 19, 6, 7, 42, 134, 72, 206, 61, 2, 1, 6, 8, 42, 134, 72, 206, 61, 3, 1, 7];
        let len = u8::try_from(inner.len()).unwrap();
        let head: &[u8] = if len > 127 { &[4, 0x81, len] } else { &[4, len] };
        let body = [&[2, 1, 0][..], &algorithm, head, &inner].concat();
        let len = u8::try_from(body.len()).unwrap();
        let head: &[u8] = if len > 127 { &[0x30, 0x81, len] } else { &[0x30, len] };
        [head, &body].concat()
    }

    #[test]
    fn a_private_key_is_of_the_algorithm_that_was_said_or_refused() {
        let read = |algorithm| pkcs8(algorithm, &p256_pkcs8(true));
        let Ok(PrivateKey::Curve { value, point }) = read(KeyAlgorithm::P256) else {
            panic!("not read");
        };
        assert_eq!(value[..], [7; 32]);
        assert_eq!(point, Some([&[4][..], &[5; 64]].concat()));
        for other in [KeyAlgorithm::P384, KeyAlgorithm::Rsa2048, KeyAlgorithm::Ed25519] {
            assert!(matches!(read(other), Err(Error::BadInput(_))), "{other}");
        }
        let without = pkcs8(KeyAlgorithm::P256, &p256_pkcs8(false));
        assert!(matches!(without, Ok(PrivateKey::Curve { point: None, .. })));
        let whole = p256_pkcs8(true);
        for cut in 0..whole.len() {
            assert!(pkcs8(KeyAlgorithm::P256, &whole[..cut]).is_err(), "{cut} octets");
        }
        assert!(pkcs8(KeyAlgorithm::P256, &[&whole[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_point_is_taken_wrapped_and_bare() {
        let point = [&[4][..], &[5; 64]].concat();
        let wrapped = wrapped_point(&point).unwrap();
        assert_eq!(wrapped[..2], [4, 65]);
        let spki = ec_spki(KeyAlgorithm::P256, &wrapped).unwrap();
        assert_eq!(ec_spki(KeyAlgorithm::P256, &point).unwrap(), spki);
        assert_eq!(peer_point(KeyAlgorithm::P256, &spki).unwrap(), point);
        assert!(matches!(peer_point(KeyAlgorithm::P384, &spki), Err(Error::BadInput(_))));
        for bad in [&point[1..], &[2; 33], &[]] {
            let refused = ec_spki(KeyAlgorithm::P256, bad);
            assert!(matches!(refused, Err(Error::Malformed(_))));
        }
    }

    #[test]
    fn curves_are_known_by_oid_and_by_name() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P521, KeyAlgorithm::Ed25519] {
            assert_eq!(ec_algorithm(&ec_params(algorithm).unwrap()), Some(algorithm));
        }
        assert_eq!(ec_algorithm(b"\x13\x0cedwards25519"), Some(KeyAlgorithm::Ed25519));
        assert_eq!(ec_algorithm(b"\x13\x0acurve25519"), None);
        assert_eq!(ec_params(KeyAlgorithm::Rsa2048), None);
    }

    proptest! {
        #[test]
        fn noise_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            crate::hostile::keys(&octets);
        }

        #[test]
        fn a_flipped_private_key_never_panics(at in 0..138_usize, to in any::<u8>()) {
            let mut octets = p256_pkcs8(true);
            if let Some(octet) = octets.get_mut(at) { *octet = to; }
            crate::hostile::keys(&octets);
        }
    }
}
