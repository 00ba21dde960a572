//! What an element keeps beside keys: sealed secrets, counters, values, certificates.

use super::{Open, any_key, capabilities, refused, works};
use crate::{Counting, Element, KeySpec, SealTo, Sealing, Secret, Storage};

/// A sealed secret comes back, also after a restart, and only as it was sealed.
///
/// One wrong password is tried: an element that counts them counts one.
pub fn sealed_secrets_come_back(open: &mut Open<'_>) {
    let mut element = open();
    let limit = capabilities(element.as_mut()).seal;
    if element.sealing().is_none() {
        return;
    }
    let sealing = sealing(element.as_mut());
    let secret = vec![42; limit];
    let sealed = works(sealing.seal(&secret, &SealTo::default()), "sealing");
    let opened = works(sealing.unseal(&sealed, None), "unsealing");
    assert_eq!(opened.expose(), secret, "law: what was sealed comes back");
    let long = sealing.seal(&vec![42; limit + 1], &SealTo::default());
    refused(long, "element.storage.too-large", "sealing too much");

    let password = Secret::new(b"open".to_vec());
    let to = SealTo { pcrs: None, password: Some(password.clone()) };
    let locked = works(sealing.seal(b"secret", &to), "sealing to a password");
    let opened = works(sealing.unseal(&locked, Some(&password)), "unsealing by password");
    assert_eq!(opened.expose(), b"secret", "law: the password opens what it sealed");
    let wrong = Secret::new(b"sesame".to_vec());
    let opened = sealing.unseal(&locked, Some(&wrong));
    refused(opened, "element.authorization.wrong", "unsealing by another password");

    for cut in [0, 1, sealed.len() / 2, sealed.len().saturating_sub(1)] {
        let opened = sealing.unseal(sealed.get(..cut).unwrap_or_default(), None);
        assert!(opened.is_err(), "law: {cut} octets of a sealed secret open nothing");
    }
    let mut changed = sealed.clone();
    if let Some(last) = changed.last_mut() {
        *last ^= 1;
    }
    assert!(sealing.unseal(&changed, None).is_err(), "law: a changed secret does not open");
    drop(element);

    let mut element = open();
    let opened = works(self::sealing(element.as_mut()).unseal(&sealed, None), "unsealing later");
    assert_eq!(opened.expose(), secret, "law: what was sealed comes back after a restart");
}

/// A counter only rises: over restarts, and when it is deleted and made again.
pub fn counters_only_rise(open: &mut Open<'_>) {
    const NAME: &str = "law-counter";
    let mut element = open();
    let Some(counting) = element.counting() else { return };
    let none = works(counting.counter(NAME), "reading a counter that is not");
    assert_eq!(none, None, "law: a counter that was never incremented is not there");
    let first = works(counting.increment(NAME), "incrementing");
    let second = works(counting.increment(NAME), "incrementing");
    assert_eq!(second, first + 1, "law: a counter rises by one");
    let now = works(counting.counter(NAME), "reading a counter");
    assert_eq!(now, Some(second), "law: a counter is read as it stands");
    drop(element);

    let mut element = open();
    let counting = counting_of(element.as_mut());
    let now = works(counting.counter(NAME), "reading a counter later");
    assert_eq!(now, Some(second), "law: a counter stands after a restart");
    let third = works(counting.increment(NAME), "incrementing");
    assert_eq!(third, second + 1, "law: a counter goes on after a restart");
    works(counting.delete_counter(NAME), "deleting a counter");
    works(counting.delete_counter(NAME), "deleting a counter that is gone");
    let none = works(counting.counter(NAME), "reading a deleted counter");
    assert_eq!(none, None, "law: a deleted counter is gone");
    drop(element);

    let mut element = open();
    let counting = counting_of(element.as_mut());
    let fresh = works(counting.increment(NAME), "making a counter again");
    assert!(fresh > third, "law: a counter made again starts above the deleted one");
    works(counting.delete_counter(NAME), "deleting a counter");
}

/// A stored value comes back, also after a restart, and the last one wins.
pub fn values_stay(open: &mut Open<'_>) {
    const NAME: &str = "law-value";
    let mut element = open();
    let limit = capabilities(element.as_mut()).storage;
    if element.storage().is_none() {
        return;
    }
    let storage = storage(element.as_mut());
    let none = works(storage.load(NAME), "loading what is not");
    assert_eq!(none, None, "law: what was never stored is not there");
    for value in [&b"first"[..], b"", &vec![7; limit], &[9; 128]] {
        works(storage.store(NAME, value), &format!("storing {} octets", value.len()));
        let loaded = works(storage.load(NAME), "loading");
        assert_eq!(loaded.as_deref(), Some(value), "law: the last value stored comes back");
    }
    match storage.store(NAME, &vec![7; limit + 1]) {
        Err(crate::Error::TooLarge { limit: said }) => {
            assert_eq!(said, limit, "law: the limit is the one that is listed");
        }
        wrong => panic!("law: more than the limit does not fit, but: {wrong:?}"),
    }
    drop(element);

    let mut element = open();
    let storage = self::storage(element.as_mut());
    assert_eq!(
        works(storage.load(NAME), "loading later").as_deref(),
        Some(&[9; 128][..]),
        "law: the last value that was stored is there after a restart"
    );
    works(storage.remove(NAME), "removing");
    works(storage.remove(NAME), "removing what is gone");
    let none = works(storage.load(NAME), "loading what was removed");
    assert_eq!(none, None, "law: a removed value is gone");
}

/// A certificate stays with its key: over restarts and renaming, until the key is deleted.
pub fn certificates_stay(open: &mut Open<'_>) {
    let mut element = open();
    let (algorithm, key_use) = any_key(&capabilities(element.as_mut()));
    if element.certificates().is_none() {
        return;
    }
    let spec = KeySpec::new(key_use, algorithm);
    let public = works(element.create_key("law-certified", &spec), "creating a key");
    let certificate = |element: &mut dyn Element, name: &str| {
        let certificates = element.certificates().expect("law: an ability stays");
        works(certificates.certificate(name), "looking for a certificate")
    };
    assert_eq!(
        certificate(element.as_mut(), "law-certified"),
        None,
        "law: no key has one by itself"
    );
    let der = certificate_of(&public.spki_der, &"x".repeat(700));
    for der in [&certificate_of(&public.spki_der, "first"), &der] {
        let certificates = element.certificates().expect("law: an ability stays");
        works(certificates.store_certificate("law-certified", der), "keeping a certificate");
        assert_eq!(
            certificate(element.as_mut(), "law-certified").as_deref(),
            Some(&der[..]),
            "law: the last one stays"
        );
    }
    drop(element);

    let mut element = open();
    assert_eq!(
        certificate(element.as_mut(), "law-certified").as_deref(),
        Some(&der[..]),
        "law: also after a restart"
    );
    works(element.rename_key("law-certified", "law-renamed"), "renaming a key");
    assert_eq!(
        certificate(element.as_mut(), "law-renamed").as_deref(),
        Some(&der[..]),
        "law: it follows its key"
    );
    works(element.delete_key("law-renamed"), "deleting a key");
    works(element.create_key("law-renamed", &spec), "creating a key");
    let left = certificate(element.as_mut(), "law-renamed");
    assert_eq!(left, None, "law: a certificate goes with its key");
    works(element.delete_key("law-renamed"), "deleting a key");
}

/// A certificate of that key, by an authority that signs nothing: an element looks at what a
/// certificate says, not at who says so (RFC 5280 §4.1).
fn certificate_of(spki_der: &[u8], subject: &str) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    let ecdsa_with_sha256 = tlv(SEQUENCE, &[&one(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2])]);
    let name = |name: &str| {
        let pair = tlv(SEQUENCE, &[&one(0x06, &[0x55, 4, 3]), &one(0x0c, name.as_bytes())]);
        tlv(SEQUENCE, &[&tlv(0x31, &[&pair])])
    };
    let validity = [one(0x17, b"260101000000Z"), one(0x17, b"460101000000Z")].concat();
    let said = tlv(
        SEQUENCE,
        &[
            &one(0xa0, &one(0x02, &[2])),
            &one(0x02, &[1]),
            &ecdsa_with_sha256,
            &name("law"),
            &tlv(SEQUENCE, &[&validity]),
            &name(subject),
            spki_der,
        ],
    );
    let signature = one(0x03, &[0, 0x30, 6, 2, 1, 1, 2, 1, 1]);
    tlv(SEQUENCE, &[&said, &ecdsa_with_sha256, &signature])
}

fn one(tag: u8, value: &[u8]) -> Vec<u8> {
    tlv(tag, &[value])
}

/// X.690 §8.1.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let len = u16::try_from(value.len()).expect("a law's certificate is short").to_be_bytes();
    let head = match len {
        [0, short @ 0..=0x7f] => vec![tag, short],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, value].concat()
}

fn sealing(element: &mut dyn Element) -> &mut dyn Sealing {
    element.sealing().expect("law: an ability stays")
}

fn counting_of(element: &mut dyn Element) -> &mut dyn Counting {
    element.counting().expect("law: an ability stays")
}

fn storage(element: &mut dyn Element) -> &mut dyn Storage {
    element.storage().expect("law: an ability stays")
}
