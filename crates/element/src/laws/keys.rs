//! A key's life: made, listed, renamed, used, there again, deleted, gone.

use super::uses::{each_use_is_right, imported_secret_is_the_one_given, other_uses_are_refused};
use super::{Open, Other, any_key, capabilities, listed, refused, works};
use crate::{Element, KeyAlgorithm, KeySpec, KeyUse, PublicKey, Secret};
use spki::SubjectPublicKeyInfoRef;
use spki::der::Decode;
use touchstone_crypto::SignatureAlgorithm;

/// Every key that can be created is created, listed, renamed, used for what it is for and for
/// nothing else, is there again after a restart, and is gone when deleted.
pub fn keys_live_and_die(open: &mut Open<'_>, other: &Other<'_>) {
    let mut element = open();
    let can = capabilities(element.as_mut());
    let mut made = Vec::new();
    for (algorithm, uses) in &can.keys {
        for key_use in uses {
            let name = format!("law-{algorithm}-{key_use}");
            let public = create_and_rename(element.as_mut(), &name, *key_use, *algorithm);
            each_use_is_right(element.as_mut(), &name, &public, &can, other);
            other_uses_are_refused(element.as_mut(), &name, &public);
            made.push((name, public));
        }
    }
    drop(element);
    let mut element = open();
    for (name, public) in &made {
        let again = works(element.public_key(name), "looking for a key after a restart");
        assert_eq!(again.as_ref(), Some(public), "law: `{name}` is there again, and the same");
        each_use_is_right(element.as_mut(), name, public, &can, other);
    }
    a_renamed_key_replaces(element.as_mut(), &made);
    for (name, _) in &made {
        works(element.delete_key(name), "deleting a key");
        works(element.delete_key(name), "deleting a key that is gone");
        let left = works(element.public_key(name), "looking for a deleted key");
        assert_eq!(left, None, "law: a deleted key is gone");
    }
    drop(element);
    let names = listed(open().as_mut());
    let back = names.iter().find(|name| name.starts_with("law-"));
    assert_eq!(back, None, "law: a deleted key does not come back");
}

fn create_and_rename(
    element: &mut dyn Element,
    name: &str,
    key_use: KeyUse,
    algorithm: KeyAlgorithm,
) -> PublicKey {
    let spec = KeySpec::new(key_use, algorithm);
    let public = works(element.create_key("law-new", &spec), &format!("creating {name}"));
    assert_eq!((public.key_use, public.algorithm), (key_use, algorithm), "law: as asked: {name}");
    if algorithm.is_symmetric() {
        assert!(public.spki_der.is_empty(), "law: a symmetric key has no public part: {name}");
    } else {
        let parsed = SubjectPublicKeyInfoRef::from_der(&public.spki_der);
        assert!(parsed.is_ok(), "law: a public key is a SubjectPublicKeyInfo: {name}");
    }
    refused(element.create_key("law-new", &spec), "element.key.exists", "creating it twice");
    let same = works(element.public_key("law-new"), "looking for a key");
    assert_eq!(same.as_ref(), Some(&public), "law: creating and looking say the same: {name}");

    works(element.rename_key("law-new", name), "renaming a key");
    let old = works(element.public_key("law-new"), "looking for the old name");
    assert_eq!(old, None, "law: a renamed key has left its old name");
    let new = works(element.public_key(name), "looking for the new name");
    assert_eq!(new.as_ref(), Some(&public), "law: a renamed key is the same key");
    let keys = works(element.keys(), "listing");
    let seen = keys.iter().filter(|key| key.name == name).collect::<Vec<_>>();
    assert_eq!(seen.len(), 1, "law: a key is listed once: {name}");
    assert!(seen.iter().all(|key| key.public == public), "law: the list says the same: {name}");
    public
}

/// A key renamed to a name that is taken replaces the key that had it, and to its own name changes
/// nothing.
fn a_renamed_key_replaces(element: &mut dyn Element, made: &[(String, PublicKey)]) {
    let Some((name, old)) = made.first() else { return };
    let spec = KeySpec::new(old.key_use, old.algorithm);
    let new = works(element.create_key("law-next", &spec), "creating a key to renew another");
    works(element.rename_key("law-next", name), "renaming over a key");
    let now = works(element.public_key(name), "looking for a renewed key");
    assert_eq!(now.as_ref(), Some(&new), "law: the renewed key is the new one");
    let old = works(element.public_key("law-next"), "looking for the old name");
    assert_eq!(old, None, "law: a renamed key has left its old name");
    works(element.rename_key(name, name), "renaming to the same name");
    let same = works(element.public_key(name), "looking for a key");
    assert_eq!(same.as_ref(), Some(&new), "law: a key renamed to its own name stays");
}

/// What cannot be done is refused with the error that says why.
pub fn refusals_are_typed(element: &mut dyn Element) {
    let can = capabilities(element);
    for &algorithm in KeyAlgorithm::ALL {
        for &key_use in KeyUse::ALL {
            if !can.creates(key_use, algorithm) {
                let made = element.create_key("law-new", &KeySpec::new(key_use, algorithm));
                let what = format!("creating {algorithm} to {key_use}, which is not listed");
                refused(made, "element.unsupported", &what);
            }
        }
    }
    let unknown = "element.key.unknown";
    let none = works(element.public_key("law-none"), "looking for a key that is not");
    assert_eq!(none, None, "law: what was never made is not there");
    let signed = element.sign("law-none", SignatureAlgorithm::EcdsaP256Sha256, b"");
    refused(signed, unknown, "signing");
    refused(element.rename_key("law-none", "law-new"), unknown, "renaming");
    works(element.delete_key("law-none"), "deleting a key that is not");
    if let Some(agreeing) = element.agreeing() {
        refused(agreeing.agree("law-none", b""), unknown, "agreeing");
    }
    if let Some(decapsulating) = element.decapsulating() {
        refused(decapsulating.decapsulate("law-none", b""), unknown, "decapsulating");
    }
    if let Some(macs) = element.macs() {
        refused(macs.mac("law-none", b""), unknown, "a MAC");
    }
    let encryption = can.encryptions.first().copied();
    if let (Some(decrypting), Some(encryption)) = (element.decrypting(), encryption) {
        refused(decrypting.encrypt("law-none", encryption, b""), unknown, "encrypting");
        refused(decrypting.decrypt("law-none", encryption, b""), unknown, "decrypting");
    }
    if let Some(certificates) = element.certificates() {
        refused(certificates.store_certificate("law-none", b"0"), unknown, "a certificate");
    }
}

/// A key from outside works as the one it was, and what is no key is refused. An element that takes
/// keys takes at least one kind of those that it creates; the others it refuses as unsupported.
pub fn imported_keys_work(element: &mut dyn Element, other: &Other<'_>) {
    if element.importing().is_none() {
        return;
    }
    let can = capabilities(element);
    let mut taken = 0;
    for (algorithm, uses) in &can.keys {
        let uses = uses.iter().filter(|key_use| **key_use != KeyUse::Attest);
        for key_use in uses {
            let (private, spki_der) = outside_key(*algorithm, other);
            let Some(importing) = element.importing() else { panic!("law: an ability stays") };
            let key = Secret::new(private.clone());
            match importing.import_key("law-outside", *key_use, *algorithm, &key) {
                Ok(public) => {
                    assert_eq!(public.spki_der, spki_der, "law: {algorithm} is the key given");
                    let kind = (public.key_use, public.algorithm);
                    assert_eq!(kind, (*key_use, *algorithm), "law: imported as asked");
                    let again = importing.import_key("law-outside", *key_use, *algorithm, &key);
                    refused(again, "element.key.exists", "importing it twice");
                    each_use_is_right(element, "law-outside", &public, &can, other);
                    imported_secret_is_the_one_given(element, &public, &private, &can, other);
                    works(element.delete_key("law-outside"), "deleting an imported key");
                    taken += 1;
                }
                Err(error) => {
                    assert_eq!(error.code(), "element.unsupported", "law: {algorithm}: {error}");
                }
            }
        }
    }
    assert!(taken > 0, "law: an element that takes keys takes one of those it creates");
    let (algorithm, key_use) = any_key(&can);
    let Some(importing) = element.importing() else { panic!("law: an ability stays") };
    for garbage in [&b""[..], b"no key", &[0x30, 0x82, 0xff, 0xff], &[0; 5000]] {
        let key = Secret::new(garbage.to_vec());
        let taken = importing.import_key("law-outside", key_use, algorithm, &key);
        refused(taken, "element.input.bad", "importing what is no key");
    }
}

/// A key made by the other, and its public part, empty if it has none.
fn outside_key(algorithm: KeyAlgorithm, other: &Other<'_>) -> (Vec<u8>, Vec<u8>) {
    let len = match algorithm {
        KeyAlgorithm::Aes128 => 16,
        KeyAlgorithm::Aes256 | KeyAlgorithm::HmacSha256 => 32,
        KeyAlgorithm::HmacSha384 => 48,
        KeyAlgorithm::HmacSha512 => 64,
        _ => {
            let words = "law: the element takes keys, so the other has to make them (generating)";
            return other.generate.expect(words)(algorithm);
        }
    };
    let mut key = vec![0; len];
    other.crypto.random(&mut key).expect("the other's random source works");
    (key, Vec::new())
}
