//! Keys made on the token and keys put into it: what they may do, and that they cannot come out.

use crate::encoding::{self, PrivateKey};
use crate::object::{self, Key};
use crate::refusal::Fault;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use touchstone_element::{Error, KeyAlgorithm, KeyUse, PublicKey, Secret};
use zeroize::{Zeroize, Zeroizing};

/// Octets of the `CKA_ID` that links a key's objects.
const ID_LEN: u32 = 16;

/// A key that is to be.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) key_use: KeyUse,
    pub(crate) algorithm: KeyAlgorithm,
}

/// Where a key came from, which decides what the token can promise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Made,
    Imported,
}

/// Has the token make a key.
pub(crate) fn create(
    session: &Session,
    wanted: &Wanted<'_>,
    mechanism: &Mechanism<'_>,
) -> Result<PublicKey, Fault> {
    refuse_existing(session, wanted.name)?;
    let id = session.generate_random_vec(ID_LEN)?;
    let key = if wanted.algorithm.is_symmetric() {
        let len = secret_len(wanted.algorithm);
        let mut template = secret_template(wanted, &id);
        template.push(Attribute::ValueLen(len.try_into()?));
        session.generate_key(mechanism, &template)?
    } else {
        let mut public = public_template(wanted, &id);
        match encoding::ec_params(wanted.algorithm) {
            Some(params) => public.push(Attribute::EcParams(params)),
            None => public.extend([
                Attribute::ModulusBits(Ulong::new(rsa_bits(wanted.algorithm))),
                Attribute::PublicExponent(vec![1, 0, 1]),
            ]),
        }
        let private = private_template(wanted, &id);
        session.generate_key_pair(mechanism, &public, &private)?.1
    };
    finish(session, wanted, key, Origin::Made)
}

/// Puts a key from outside into the token.
pub(crate) fn import(
    session: &Session,
    wanted: &Wanted<'_>,
    secret: &Secret,
) -> Result<PublicKey, Fault> {
    refuse_existing(session, wanted.name)?;
    let id = session.generate_random_vec(ID_LEN)?;
    if wanted.algorithm.is_symmetric() {
        let mut template = secret_template(wanted, &id);
        template.push(Attribute::Class(ObjectClass::SECRET_KEY));
        template.push(Attribute::KeyType(secret_type(wanted.algorithm)));
        template.push(Attribute::Value(secret.expose().to_vec()));
        let made = session.create_object(&template);
        wipe(template);
        return finish(session, wanted, made?, Origin::Imported);
    }
    let (mut public, mut private) = (public_template(wanted, &id), private_template(wanted, &id));
    let (kind, secret) = pair_parts(wanted.algorithm, secret)?;
    public.extend([Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::KeyType(kind)]);
    public.extend(secret.public);
    private.extend([Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(kind)]);
    private.extend(secret.private);
    let made = session.create_object(&private);
    wipe(private);
    let key = made?;
    if let Err(error) = session.create_object(&public) {
        session.destroy_object(key)?;
        return Err(error.into());
    }
    finish(session, wanted, key, Origin::Imported)
}

/// Checks the key, and reads what may be known of it. One that does not hold is removed.
fn finish(
    session: &Session,
    wanted: &Wanted<'_>,
    handle: ObjectHandle,
    origin: Origin,
) -> Result<PublicKey, Fault> {
    let Some(key) = object::read(session, handle)? else {
        // One that could not be used again, as of some tokens that keep an imported key's length
        // to themselves.
        session.destroy_object(handle)?;
        return Err(Error::Unsupported("such a key, which the token does not describe").into());
    };
    let checked = check(session, &key, wanted, origin).and_then(|()| {
        // Two programs may make a key of one name at one time; PKCS#11 would let both.
        match object::by(session, &Attribute::Label(wanted.name.into()))?.len() {
            1 => Ok(object::public(session, &key)?
                .ok_or(Error::Malformed("a new key without its public part"))?),
            _ => Err(Error::KeyExists(wanted.name.to_owned()).into()),
        }
    });
    if checked.is_err() {
        delete(session, &key)?;
    }
    checked
}

/// What was asked for is what is there (PKCS#11 3.0 §4.9: a template is a wish).
fn check(session: &Session, key: &Key, wanted: &Wanted<'_>, origin: Origin) -> Result<(), Fault> {
    let attributes = session.get_attributes(
        key.handle,
        &[
            AttributeType::Token,
            AttributeType::Private,
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::AlwaysSensitive,
            AttributeType::NeverExtractable,
        ],
    )?;
    let has = |wanted| attributes.contains(&wanted);
    let stays = has(Attribute::Token(true)) && has(Attribute::Private(true));
    let inside = has(Attribute::Sensitive(true)) && has(Attribute::Extractable(false));
    let always =
        !has(Attribute::AlwaysSensitive(false)) && !has(Attribute::NeverExtractable(false));
    if !stays || !inside || (origin == Origin::Made && !always) {
        return Err(Error::Unsupported("keys that cannot be taken out of the token").into());
    }
    if (key.key_use(), key.uses.len(), key.algorithm) != (Some(wanted.key_use), 1, wanted.algorithm)
    {
        return Err(Error::Unsupported("keys that do one thing only").into());
    }
    Ok(())
}

/// Forgets a key and all that belongs to it: the key first, so that nothing usable is left by a
/// power cut.
pub(crate) fn delete(session: &Session, key: &Key) -> Result<(), Fault> {
    let belongings = object::belongings(session, key)?;
    session.destroy_object(key.handle)?;
    for handle in belongings {
        session.destroy_object(handle)?;
    }
    Ok(())
}

fn refuse_existing(session: &Session, name: &str) -> Result<(), Fault> {
    match object::find(session, name)? {
        None => Ok(()),
        Some(_) => Err(Error::KeyExists(name.to_owned()).into()),
    }
}

fn public_template(wanted: &Wanted<'_>, id: &[u8]) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Label(wanted.name.into()),
        Attribute::Id(id.to_vec()),
    ];
    match wanted.key_use {
        KeyUse::Sign => template.push(Attribute::Verify(true)),
        KeyUse::Decrypt => template.push(Attribute::Encrypt(true)),
        _ => {}
    }
    template
}

fn private_template(wanted: &Wanted<'_>, id: &[u8]) -> Vec<Attribute> {
    let mut template = kept_inside(wanted, id);
    template.extend([
        Attribute::Sign(wanted.key_use == KeyUse::Sign),
        Attribute::Decrypt(wanted.key_use == KeyUse::Decrypt),
        Attribute::Derive(wanted.key_use == KeyUse::Agree),
        Attribute::Unwrap(false),
        // Tokens allow it where nobody says otherwise, to keys that decrypt as well.
        Attribute::SignRecover(false),
    ]);
    template
}

fn secret_template(wanted: &Wanted<'_>, id: &[u8]) -> Vec<Attribute> {
    let (mac, cipher) = (wanted.key_use == KeyUse::Mac, wanted.key_use == KeyUse::Decrypt);
    let mut template = kept_inside(wanted, id);
    template.extend([
        Attribute::Sign(mac),
        Attribute::Verify(mac),
        Attribute::Encrypt(cipher),
        Attribute::Decrypt(cipher),
        Attribute::Derive(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
    ]);
    template
}

fn kept_inside(wanted: &Wanted<'_>, id: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Label(wanted.name.into()),
        Attribute::Id(id.to_vec()),
    ]
}

struct Parts {
    public: Vec<Attribute>,
    private: Vec<Attribute>,
}

/// A private key's parts, as attributes of its two objects.
fn pair_parts(algorithm: KeyAlgorithm, secret: &Secret) -> Result<(KeyType, Parts), Error> {
    match encoding::pkcs8(algorithm, secret.expose())? {
        PrivateKey::Rsa(numbers) => {
            let mut numbers = numbers.iter().map(|number| number.to_vec());
            let mut next = || numbers.next().unwrap_or_default();
            let (n, e) = (next(), next());
            let public = vec![Attribute::Modulus(n.clone()), Attribute::PublicExponent(e.clone())];
            let private = vec![
                Attribute::Modulus(n),
                Attribute::PublicExponent(e),
                Attribute::PrivateExponent(next()),
                Attribute::Prime1(next()),
                Attribute::Prime2(next()),
                Attribute::Exponent1(next()),
                Attribute::Exponent2(next()),
                Attribute::Coefficient(next()),
            ];
            Ok((KeyType::RSA, Parts { public, private }))
        }
        PrivateKey::Curve { value, point } => {
            // What a point is to its number is for a crypto library, not for us.
            let point =
                point.ok_or(Error::Unsupported("private keys without their public part"))?;
            let params = encoding::ec_params(algorithm).unwrap_or_default();
            let edwards = algorithm == KeyAlgorithm::Ed25519;
            let kind = if edwards { KeyType::EC_EDWARDS } else { KeyType::EC };
            let public = vec![
                Attribute::EcParams(params.clone()),
                Attribute::EcPoint(encoding::wrapped_point(&point)?),
            ];
            let private = vec![Attribute::EcParams(params), Attribute::Value(value.to_vec())];
            Ok((kind, Parts { public, private }))
        }
    }
}

/// Templates hold copies of a private key until they are sent.
fn wipe(template: Vec<Attribute>) {
    for attribute in template {
        match attribute {
            Attribute::Value(mut octets)
            | Attribute::PrivateExponent(mut octets)
            | Attribute::Prime1(mut octets)
            | Attribute::Prime2(mut octets)
            | Attribute::Exponent1(mut octets)
            | Attribute::Exponent2(mut octets)
            | Attribute::Coefficient(mut octets) => octets.zeroize(),
            _ => {}
        }
    }
}

/// Takes a value out of a session object that was made to be read.
pub(crate) fn take_value(
    session: &Session,
    handle: ObjectHandle,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let attributes = session.get_attributes(handle, &[AttributeType::Value])?;
    let value = attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::Value(value) => Some(Zeroizing::new(value)),
        _ => None,
    });
    session.destroy_object(handle)?;
    Ok(value.ok_or(Error::Unsupported("agreed secrets that leave the token"))?)
}

/// A MAC's key is a generic secret: see [`object`] on their types.
const fn secret_type(algorithm: KeyAlgorithm) -> KeyType {
    match algorithm {
        KeyAlgorithm::Aes128 | KeyAlgorithm::Aes256 => KeyType::AES,
        _ => KeyType::GENERIC_SECRET,
    }
}

/// Octets of a secret key that the token makes: for a MAC as long as the hash (RFC 2104 §3).
pub(crate) const fn secret_len(algorithm: KeyAlgorithm) -> usize {
    match algorithm {
        KeyAlgorithm::Aes128 => 16,
        KeyAlgorithm::HmacSha384 => 48,
        KeyAlgorithm::HmacSha512 => 64,
        _ => 32,
    }
}

const fn rsa_bits(algorithm: KeyAlgorithm) -> u64 {
    match algorithm {
        KeyAlgorithm::Rsa3072 => 3072,
        KeyAlgorithm::Rsa4096 => 4096,
        _ => 2048,
    }
}
