//! What each key is for, checked against an independent implementation; and what it is not for.

use super::{Other, refused, works};
use crate::{Capabilities, Element, Encryption, KeyAlgorithm, KeyUse, PublicKey};
use spki::der::asn1::{AnyRef, BitStringRef, UintRef};
use spki::der::{Decode, Encode, Reader, SliceReader};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use touchstone_crypto::{Curve, Direction, HashAlgorithm, SignatureAlgorithm};

/// Octets that fit in no single command of a TPM.
const LONG: usize = 5000;

/// The key does what it is for, as the other confirms.
pub(super) fn each_use_is_right(
    element: &mut dyn Element,
    name: &str,
    public: &PublicKey,
    can: &Capabilities,
    other: &Other<'_>,
) {
    match public.key_use {
        KeyUse::Sign => signs(element, name, public, can, other),
        KeyUse::Attest => {} // `reports_are_made`
        KeyUse::Decrypt => decrypts(element, name, public, can, other),
        KeyUse::Agree => agrees(element, name, public, other),
        KeyUse::Decapsulate => decapsulates(element, name, public, other),
        KeyUse::Mac => authenticates(element, name, public.algorithm),
    }
}

fn signs(
    element: &mut dyn Element,
    name: &str,
    public: &PublicKey,
    can: &Capabilities,
    other: &Other<'_>,
) {
    let usual = public.signature().expect("law: a key that signs has a usual way to");
    assert!(can.signatures.contains(&usual), "law: {} is listed", usual.name());
    for algorithm in SignatureAlgorithm::ALL {
        if public.algorithm.signatures().contains(&algorithm) {
            continue;
        }
        let error = element.sign(name, algorithm, b"message").expect_err("law: as its kind signs");
        let typed = ["element.key.kind", "element.unsupported"].contains(&error.code());
        assert!(typed, "law: {} with another kind of key: {error}", algorithm.name());
    }
    for &algorithm in public.algorithm.signatures() {
        if !can.signatures.contains(&algorithm) {
            let signed = element.sign(name, algorithm, b"message");
            refused(signed, "element.unsupported", &format!("an unlisted {}", algorithm.name()));
            continue;
        }
        for message in [&b""[..], b"message", &vec![7; LONG]] {
            let what = format!("signing {} octets by {}", message.len(), algorithm.name());
            let signature = works(element.sign(name, algorithm, message), &what);
            let verify = |message: &[u8]| {
                other.crypto.verify(algorithm, &public.spki_der, message, &signature)
            };
            let verified = verify(message);
            assert_eq!(verified, Ok(()), "law: the other verifies: {what}");
            assert!(verify(b"massage").is_err(), "law: and no other message: {what}");
        }
    }
}

fn decrypts(
    element: &mut dyn Element,
    name: &str,
    public: &PublicKey,
    can: &Capabilities,
    other: &Other<'_>,
) {
    let decrypting = element.decrypting().expect("law: a decryption key decrypts");
    for &encryption in public.algorithm.encryptions() {
        let plain = b"thirty-two octets of a secret...";
        if !can.encryptions.contains(&encryption) {
            let made = decrypting.encrypt(name, encryption, plain);
            refused(made, "element.unsupported", &format!("an unlisted {encryption}"));
            continue;
        }
        let mut sealed = works(decrypting.encrypt(name, encryption, plain), "encrypting");
        let opened = works(decrypting.decrypt(name, encryption, &sealed), "decrypting");
        assert_eq!(opened.expose(), plain, "law: what was encrypted comes back ({encryption})");
        let twice = works(decrypting.encrypt(name, encryption, plain), "encrypting");
        assert_ne!(sealed, twice, "law: encryption is randomized ({encryption})");

        if let Some(hash) = oaep_hash(encryption) {
            let (n, e) = rsa_parts(&public.spki_der);
            let made = other.crypto.rsa_oaep(&n, e, hash, b"", plain).expect("the other encrypts");
            let opened = works(decrypting.decrypt(name, encryption, &made), "decrypting");
            assert_eq!(opened.expose(), plain, "law: what the other encrypts opens ({encryption})");
            let long = decrypting.encrypt(name, encryption, &[1; LONG]);
            assert!(long.is_err(), "law: RSA takes no long message");
        }
        if encryption != Encryption::AesCfb {
            if let Some(last) = sealed.last_mut() {
                *last ^= 1;
            }
            let opened = decrypting.decrypt(name, encryption, &sealed);
            assert!(opened.is_err(), "law: what was changed does not open ({encryption})");
        }
        let short = decrypting.decrypt(name, encryption, b"short");
        assert!(short.is_err(), "law: what is cut off does not open ({encryption})");
    }
}

const fn oaep_hash(encryption: Encryption) -> Option<HashAlgorithm> {
    match encryption {
        Encryption::RsaOaepSha1 => Some(HashAlgorithm::Sha1),
        Encryption::RsaOaepSha256 => Some(HashAlgorithm::Sha256),
        Encryption::RsaOaepSha384 => Some(HashAlgorithm::Sha384),
        Encryption::RsaOaepSha512 => Some(HashAlgorithm::Sha512),
        Encryption::AesGcm | Encryption::AesCfb => None,
    }
}

fn agrees(element: &mut dyn Element, name: &str, public: &PublicKey, other: &Other<'_>) {
    let agreeing = element.agreeing().expect("law: an agreement key agrees");
    let curve = curve(public.algorithm).expect("law: agreement is on a curve");
    let point = spki_key(&public.spki_der);
    let Some((4, xy)) = point.split_first().map(|(form, xy)| (*form, xy)) else {
        panic!("law: a point is in its uncompressed form (RFC 5480 §2.2)");
    };
    let (x, y) = xy.split_at(xy.len() / 2);
    let agreed = other.crypto.agree(curve, x, y).expect("the other agrees");
    let theirs = ec_spki(curve, &agreed.x, &agreed.y);
    let ours = works(agreeing.agree(name, &theirs), "agreeing");
    assert_eq!(ours.expose(), agreed.z.as_slice(), "law: both ends have the same secret");

    let off = ec_spki(curve, &agreed.x, &agreed.x);
    assert!(agreeing.agree(name, &off).is_err(), "law: a point off the curve is refused");
    assert!(agreeing.agree(name, b"no key").is_err(), "law: what is no key is refused");
    let elsewhere = if curve == Curve::P256 { Curve::P384 } else { Curve::P256 };
    let len = elsewhere.len();
    let foreign = ec_spki(elsewhere, &vec![1; len], &vec![1; len]);
    assert!(agreeing.agree(name, &foreign).is_err(), "law: another curve's point is refused");
}

fn decapsulates(element: &mut dyn Element, name: &str, public: &PublicKey, other: &Other<'_>) {
    let words = "law: the element decapsulates, so the other has to encapsulate (encapsulating)";
    let (mut ciphertext, secret) =
        other.encapsulate.expect(words)(public.algorithm, &public.spki_der);
    let decapsulating = element.decapsulating().expect("law: a decapsulation key decapsulates");
    let ours = works(decapsulating.decapsulate(name, &ciphertext), "decapsulating");
    assert_eq!(ours.expose(), secret, "law: both ends have the same secret");
    if let Some(first) = ciphertext.first_mut() {
        *first ^= 1;
    }
    let ours = works(decapsulating.decapsulate(name, &ciphertext), "implicit rejection");
    assert_ne!(ours.expose(), secret, "law: a changed ciphertext gives other octets");
    ciphertext.pop();
    refused(decapsulating.decapsulate(name, &ciphertext), "element.input.bad", "a cut ciphertext");
}

fn authenticates(element: &mut dyn Element, name: &str, algorithm: KeyAlgorithm) {
    let macs = element.macs().expect("law: a MAC key makes MACs");
    let len = mac_hash(algorithm).len();
    for message in [&b""[..], b"message", &vec![7; LONG]] {
        let mac = works(macs.mac(name, message), "a MAC");
        assert_eq!(mac.len(), len, "law: a MAC is as long as its hash");
        assert_eq!(works(macs.mac(name, message), "a MAC"), mac, "law: the same again");
        assert_ne!(works(macs.mac(name, b"massage"), "a MAC"), mac, "law: and no other message's");
    }
}

/// What the element computes with an imported secret is what the other does.
pub(super) fn imported_secret_is_the_one_given(
    element: &mut dyn Element,
    public: &PublicKey,
    secret: &[u8],
    can: &Capabilities,
    other: &Other<'_>,
) {
    if let (KeyUse::Mac, Some(macs)) = (public.key_use, element.macs()) {
        let expected = other.crypto.hmac(mac_hash(public.algorithm), secret, &[b"message"]);
        let mac = works(macs.mac("law-outside", b"message"), "a MAC");
        let expected = expected.expect("the other makes MACs");
        assert_eq!(mac, expected.as_bytes(), "law: the MAC is the one of RFC 2104");
    }
    let cfb = public.algorithm.is_symmetric() && can.encryptions.contains(&Encryption::AesCfb);
    if let (KeyUse::Decrypt, true, Some(decrypting)) = (public.key_use, cfb, element.decrypting()) {
        let made = decrypting.encrypt("law-outside", Encryption::AesCfb, b"message");
        let mut made = works(made, "encrypting");
        let (iv, data) = made.split_first_chunk_mut().expect("law: the initial vector is in front");
        let opened = other.crypto.aes_cfb(secret, iv, data, Direction::Decrypt);
        opened.expect("the other decrypts");
        assert_eq!(data, b"message", "law: the other opens what the element encrypted");
    }
}

/// A key does one thing: every other call with it is refused as of the wrong kind.
pub(super) fn other_uses_are_refused(element: &mut dyn Element, name: &str, public: &PublicKey) {
    let wrong = "element.key.kind";
    let is = |key_use| public.key_use == key_use;
    if !is(KeyUse::Sign) {
        let signature = public.algorithm.signatures().first();
        let signature = signature.unwrap_or(&SignatureAlgorithm::Ed25519);
        refused(element.sign(name, *signature, b"message"), wrong, "signing with another key");
    }
    if let (false, Some(agreeing)) = (is(KeyUse::Agree), element.agreeing()) {
        refused(agreeing.agree(name, &public.spki_der), wrong, "agreeing with another key");
    }
    if let (false, Some(decrypting)) = (is(KeyUse::Decrypt), element.decrypting()) {
        let encryption = public.algorithm.encryptions().first();
        let encryption = *encryption.unwrap_or(&Encryption::RsaOaepSha256);
        refused(decrypting.decrypt(name, encryption, &[0; 256]), wrong, "decrypting");
    }
    if let (false, Some(decapsulating)) = (is(KeyUse::Decapsulate), element.decapsulating()) {
        refused(decapsulating.decapsulate(name, &[0; 768]), wrong, "decapsulating");
    }
    if let (false, Some(macs)) = (is(KeyUse::Mac), element.macs()) {
        refused(macs.mac(name, b"message"), wrong, "a MAC with another key");
    }
}

const fn mac_hash(algorithm: KeyAlgorithm) -> HashAlgorithm {
    match algorithm {
        KeyAlgorithm::HmacSha384 => HashAlgorithm::Sha384,
        KeyAlgorithm::HmacSha512 => HashAlgorithm::Sha512,
        _ => HashAlgorithm::Sha256,
    }
}

const fn curve(algorithm: KeyAlgorithm) -> Option<Curve> {
    match algorithm {
        KeyAlgorithm::P256 => Some(Curve::P256),
        KeyAlgorithm::P384 => Some(Curve::P384),
        KeyAlgorithm::P521 => Some(Curve::P521),
        _ => None,
    }
}

/// The octets inside a `SubjectPublicKeyInfo`.
fn spki_key(spki_der: &[u8]) -> Vec<u8> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).expect("law: a public key parses");
    spki.subject_public_key.as_bytes().expect("law: a public key is whole octets").to_vec()
}

/// RFC 8017 §A.1.1.
fn rsa_parts(spki_der: &[u8]) -> (Vec<u8>, u32) {
    let key = spki_key(spki_der);
    let mut reader = SliceReader::new(&key).expect("law: an RSA key is DER");
    let (n, e) = reader
        .sequence(|inner| {
            let n = UintRef::decode(inner)?.as_bytes().to_vec();
            Ok::<_, spki::der::Error>((n, u32::decode(inner)?))
        })
        .expect("law: an RSA key is a modulus and an exponent");
    (n, e)
}

/// RFC 5480 §2.
fn ec_spki(curve: Curve, x: &[u8], y: &[u8]) -> Vec<u8> {
    let named = match curve {
        Curve::P384 => ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        Curve::P521 => ObjectIdentifier::new_unwrap("1.3.132.0.35"),
        _ => ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
    };
    let algorithm = AlgorithmIdentifierRef {
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
        parameters: Some(AnyRef::from(&named)),
    };
    let point = [&[4], x, y].concat();
    let subject_public_key = BitStringRef::from_bytes(&point).expect("a point is short");
    let spki = SubjectPublicKeyInfoRef { algorithm, subject_public_key };
    spki.to_der().expect("a point is short")
}
