//! Keys on a token: found by name, and read.
//!
//! A key's name is its private (or secret) object's `CKA_LABEL`. One made by somebody else may have a
//! label that is no name of ours, or one that two keys share: it goes by its `CKA_ID`, as
//! `id-<hexadecimal>`. Its public key and its certificates are the objects with the same `CKA_ID`.
//!
//! While a key takes the place of another, the old one's label ends in `~old`: it still has the name
//! until the new one has it. So there is no moment without a key of that name.

use crate::encoding;
use crate::refusal::Fault;
use cryptoki::error::Error as Pkcs11Error;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use std::fmt::Write;
use touchstone_element::{Error, KeyAlgorithm, KeyUse, PublicKey, check_name};

/// How the label of a key ends that is being replaced. `~` is in no name.
pub(crate) const OLD: &str = "~old";

/// Octets of the longest `CKA_ID` that makes a name.
const LONGEST_ID: usize = 30;

/// Keys that are listed at most: what a token holds is bounded, what a module answers is not.
const MOST_KEYS: usize = 4096;

/// A key that the token uses for us.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) handle: ObjectHandle,
    pub(crate) label: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) uses: Vec<KeyUse>,
    pub(crate) asks_each_time: bool,
}

impl Key {
    /// The usage that it is listed with: the first, if its maker gave it several.
    pub(crate) fn key_use(&self) -> Option<KeyUse> {
        self.uses.first().copied()
    }

    /// What its objects have in common: the `CKA_ID`, or the label if it has none.
    pub(crate) fn link(&self) -> Attribute {
        if self.id.is_empty() {
            Attribute::Label(self.label.clone())
        } else {
            Attribute::Id(self.id.clone())
        }
    }

    /// The name by which it is found whatever its label is.
    fn id_name(&self) -> Option<String> {
        let fits = (1..=LONGEST_ID).contains(&self.id.len());
        fits.then(|| {
            self.id.iter().fold("id-".to_owned(), |mut name, octet| {
                // Writing to a String does not fail.
                let _ = write!(name, "{octet:02x}");
                name
            })
        })
    }
}

/// The key of that name, with what may be known of it.
pub(crate) fn find(session: &Session, name: &str) -> Result<Option<Key>, Fault> {
    let mut found = by(session, &Attribute::Label(name.as_bytes().to_vec()))?;
    if found.is_empty() {
        let old = format!("{name}{OLD}");
        found = by(session, &Attribute::Label(old.into_bytes()))?;
    }
    if found.is_empty()
        && let Some(id) = id_of(name)
    {
        found = by(session, &Attribute::Id(id))?;
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => Err(Error::BadInput(
            "two keys of the token have this name; use `id-` and the key's CKA_ID in hexadecimal, \
             or give one of them another label",
        )
        .into()),
    }
}

/// The key of that name, or [`Error::UnknownKey`].
pub(crate) fn known(session: &Session, name: &str) -> Result<Key, Fault> {
    find(session, name)?.ok_or_else(|| Error::UnknownKey(name.to_owned()).into())
}

/// All keys that have a name.
pub(crate) fn named(session: &Session) -> Result<Vec<(String, Key)>, Fault> {
    let mut keys = Vec::new();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
        for handle in session.iter_objects(&[Attribute::Class(class), Attribute::Token(true)])? {
            if keys.len() == MOST_KEYS {
                return Err(Error::Exhausted("more than 4096 keys on one token").into());
            }
            keys.push(handle?);
        }
    }
    let mut read_keys = Vec::with_capacity(keys.len());
    for handle in keys {
        read_keys.extend(read(session, handle)?);
    }
    let label_is = |label: &[u8]| read_keys.iter().filter(|key| key.label == label).count();
    let name = |key: &Key| {
        let label = std::str::from_utf8(&key.label).ok()?;
        let stem = label.strip_suffix(OLD).unwrap_or(label);
        let replaced = stem.len() < label.len() && label_is(stem.as_bytes()) > 0;
        let by_label = check_name(stem).is_ok() && label_is(&key.label) == 1 && !replaced;
        if by_label { Some(stem.to_owned()) } else { None }
    };
    let called: Vec<_> = read_keys.iter().map(|key| name(key).or_else(|| key.id_name())).collect();
    let mut named: Vec<(String, Key)> =
        called.into_iter().zip(read_keys).filter_map(|(name, key)| Some((name?, key))).collect();
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    named.dedup_by(|(one, _), (other, _)| one == other);
    Ok(named)
}

/// Private and secret keys with that attribute.
pub(crate) fn by(session: &Session, attribute: &Attribute) -> Result<Vec<Key>, Fault> {
    let mut found = Vec::new();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
        let wanted = [Attribute::Class(class), Attribute::Token(true), attribute.clone()];
        for handle in session.find_objects(&wanted)? {
            found.extend(read(session, handle)?);
        }
    }
    Ok(found)
}

fn id_of(name: &str) -> Option<Vec<u8>> {
    let digits = name.strip_prefix("id-")?;
    // `from_str_radix` alone would take a sign.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let octets = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    octets.collect::<Option<Vec<u8>>>().filter(|id| !id.is_empty())
}

/// Reads a key; `None` when it is of a kind that we have no use for.
pub(crate) fn read(session: &Session, handle: ObjectHandle) -> Result<Option<Key>, Fault> {
    let Some(kind) = key_type(session, handle)? else { return Ok(None) };
    let mut wanted = vec![
        AttributeType::Label,
        AttributeType::Id,
        AttributeType::Sign,
        AttributeType::Decrypt,
        AttributeType::AlwaysAuthenticate,
    ];
    wanted.extend(match kind {
        KeyType::RSA => &[AttributeType::Modulus][..],
        KeyType::EC | KeyType::EC_EDWARDS => &[AttributeType::EcParams, AttributeType::Derive],
        _ => &[AttributeType::ValueLen],
    });
    let attributes = session.get_attributes(handle, &wanted)?;
    let octets = |of: fn(&Attribute) -> Option<&Vec<u8>>| attributes.iter().find_map(of);
    let is = |of: fn(&Attribute) -> bool| attributes.iter().any(of);
    let length = attributes.iter().find_map(|attribute| match attribute {
        Attribute::ValueLen(len) => Some(usize::from(*len)),
        _ => None,
    });
    let algorithm = match kind {
        KeyType::RSA => octets(modulus).and_then(|modulus| encoding::rsa_algorithm(modulus)),
        KeyType::EC | KeyType::EC_EDWARDS => {
            octets(params).and_then(|params| encoding::ec_algorithm(params))
        }
        _ => secret_algorithm(kind, length),
    };
    let Some(algorithm) = algorithm else { return Ok(None) };
    let mut uses = Vec::new();
    if is(|attribute| matches!(attribute, Attribute::Sign(true))) {
        uses.push(if algorithm.is_symmetric() { KeyUse::Mac } else { KeyUse::Sign });
    }
    if is(|attribute| matches!(attribute, Attribute::Decrypt(true))) {
        uses.push(KeyUse::Decrypt);
    }
    if is(|attribute| matches!(attribute, Attribute::Derive(true))) {
        uses.push(KeyUse::Agree);
    }
    uses.retain(|key_use| algorithm.uses().contains(key_use));
    if uses.is_empty() {
        return Ok(None);
    }
    Ok(Some(Key {
        handle,
        label: octets(label).cloned().unwrap_or_default(),
        id: octets(id).cloned().unwrap_or_default(),
        algorithm,
        uses,
        asks_each_time: is(|attribute| matches!(attribute, Attribute::AlwaysAuthenticate(true))),
    }))
}

fn key_type(session: &Session, handle: ObjectHandle) -> Result<Option<KeyType>, Fault> {
    match session.get_attributes(handle, &[AttributeType::KeyType]) {
        Ok(attributes) => Ok(attributes.iter().find_map(|attribute| match attribute {
            Attribute::KeyType(kind) => Some(*kind),
            _ => None,
        })),
        Err(error @ Pkcs11Error::Pkcs11(..)) => Err(error.into()),
        // A kind that even the binding does not know.
        Err(_) => Ok(None),
    }
}

/// A generic secret does not say which MAC it is for; one of ours is as long as its hash. Keys of the
/// types `CKK_SHA…_HMAC` go by their length too: the binding has one value for all of them
/// (cryptoki 0.12.1).
fn secret_algorithm(kind: KeyType, length: Option<usize>) -> Option<KeyAlgorithm> {
    let mac = matches!(kind, KeyType::GENERIC_SECRET | KeyType::SHA256_HMAC);
    match length? {
        32 if mac => Some(KeyAlgorithm::HmacSha256),
        48 if mac => Some(KeyAlgorithm::HmacSha384),
        64 if mac => Some(KeyAlgorithm::HmacSha512),
        16 if kind == KeyType::AES => Some(KeyAlgorithm::Aes128),
        32 if kind == KeyType::AES => Some(KeyAlgorithm::Aes256),
        _ => None,
    }
}

/// The objects that belong to a key: of its `CKA_ID`, or of its label if it has none.
pub(crate) fn companions(
    session: &Session,
    key: &Key,
    class: ObjectClass,
) -> Result<Vec<ObjectHandle>, Fault> {
    Ok(session.find_objects(&[Attribute::Class(class), Attribute::Token(true), key.link()])?)
}

/// Its public key and certificates, and no other key's: some make keys that share a `CKA_ID`.
pub(crate) fn belongings(session: &Session, key: &Key) -> Result<Vec<ObjectHandle>, Fault> {
    let mut all = Vec::new();
    if by(session, &key.link())?.len() == 1 {
        for class in [ObjectClass::CERTIFICATE, ObjectClass::PUBLIC_KEY] {
            all.extend(companions(session, key, class)?);
        }
    }
    Ok(all)
}

/// What may be known of a key: from its public key, else from what the private key tells, else from
/// its certificate.
pub(crate) fn public(session: &Session, key: &Key) -> Result<Option<PublicKey>, Fault> {
    let Some(key_use) = key.key_use() else { return Ok(None) };
    let spki_der =
        if key.algorithm.is_symmetric() { Some(Vec::new()) } else { spki(session, key)? };
    let native = Vec::new();
    Ok(spki_der.map(|spki_der| PublicKey { key_use, algorithm: key.algorithm, spki_der, native }))
}

fn spki(session: &Session, key: &Key) -> Result<Option<Vec<u8>>, Fault> {
    let mut places = companions(session, key, ObjectClass::PUBLIC_KEY)?;
    places.push(key.handle);
    for place in places {
        let wanted =
            [AttributeType::Modulus, AttributeType::PublicExponent, AttributeType::EcPoint];
        let attributes = match session.get_attributes(place, &wanted) {
            Ok(attributes) => attributes,
            Err(error) if Fault::lost(&error) => return Err(error.into()),
            // Some modules refuse the whole question when one attribute is not there.
            Err(_) => continue,
        };
        let octets = |of: fn(&Attribute) -> Option<&Vec<u8>>| attributes.iter().find_map(of);
        let spki = match (octets(modulus), octets(exponent), octets(point)) {
            (Some(modulus), Some(exponent), _) if !exponent.is_empty() => {
                encoding::rsa_spki(modulus, exponent)?
            }
            (_, _, Some(point)) if !point.is_empty() => encoding::ec_spki(key.algorithm, point)?,
            _ => continue,
        };
        // Another key's public part may have the same label.
        if encoding::spki_algorithm(&spki) == Some(key.algorithm) {
            return Ok(Some(spki));
        }
    }
    crate::certificate::spki(session, key)
}

pub(crate) fn label(attribute: &Attribute) -> Option<&Vec<u8>> {
    if let Attribute::Label(label) = attribute { Some(label) } else { None }
}

fn id(attribute: &Attribute) -> Option<&Vec<u8>> {
    if let Attribute::Id(id) = attribute { Some(id) } else { None }
}

fn modulus(attribute: &Attribute) -> Option<&Vec<u8>> {
    if let Attribute::Modulus(modulus) = attribute { Some(modulus) } else { None }
}

fn exponent(attribute: &Attribute) -> Option<&Vec<u8>> {
    if let Attribute::PublicExponent(exponent) = attribute { Some(exponent) } else { None }
}

fn params(attribute: &Attribute) -> Option<&Vec<u8>> {
    if let Attribute::EcParams(params) = attribute { Some(params) } else { None }
}

fn point(attribute: &Attribute) -> Option<&Vec<u8>> {
    if let Attribute::EcPoint(point) = attribute { Some(point) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_its_name_are_the_same_thing() {
        assert_eq!(id_of("id-01ab"), Some(vec![0x01, 0xab]));
        for other in ["id-", "id-1", "id-0g", "ldevid", "01ab", "id-+1"] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_generic_secret_is_for_the_hash_that_is_as_long() {
        let generic = |len| secret_algorithm(KeyType::GENERIC_SECRET, Some(len));
        assert_eq!(generic(48), Some(KeyAlgorithm::HmacSha384));
        assert_eq!(generic(20), None);
        assert_eq!(secret_algorithm(KeyType::AES, Some(24)), None);
    }
}
