//! What some tokens can do beyond signing: take keys, decrypt, agree, authenticate, keep
//! certificates.

use crate::create::{self, Wanted};
use crate::offers::oaep;
use crate::refusal::Fault;
use crate::token::{Token, Work};
use crate::{certificate, encoding, object};
use cryptoki::error::RvError;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::mechanism::vendor_defined::VendorDefinedMechanism;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use touchstone_element::{
    Agreeing, Certificates, Decrypting, Element, Encryption, Error, Importing, KeyAlgorithm,
    KeyUse, Macs, PublicKey, Secret, check_name,
};

/// Octets of a GCM nonce and tag, and of a CFB initial vector (`Encryption`'s own words).
const NONCE: usize = 12;
const TAG: usize = 16;
const VECTOR: usize = 16;

/// What imported keys are tried with.
const TRIAL: &[u8] = b"is this the private key of that public key?";

const DAMAGED: Error = Error::BadInput("the ciphertext is damaged or for another key");

impl Importing for Token {
    fn import_key(
        &mut self,
        name: &str,
        key_use: KeyUse,
        algorithm: KeyAlgorithm,
        key: &Secret,
    ) -> Result<PublicKey, Error> {
        check_name(name)?;
        if !self.capabilities()?.creates(key_use, algorithm) {
            return Err(Error::Unsupported("keys of this algorithm for this use"));
        }
        let len = create::secret_len(algorithm);
        if algorithm.is_symmetric() && key.expose().len() != len {
            // A token tells a MAC's hash by the key's length only.
            return Err(Error::BadInput(
                "a key of another length than its algorithm has; for a MAC that of its hash",
            ));
        }
        let wanted = Wanted { name, key_use, algorithm };
        let public = self.run(Work::Once, |session| create::import(session, &wanted, key))?;
        if let Err(error) = self.try_pair(name, &public) {
            self.delete_key(name)?;
            return Err(error);
        }
        Ok(public)
    }
}

impl Token {
    /// A file may name another public key than its private key has: tokens do not look.
    fn try_pair(&mut self, name: &str, public: &PublicKey) -> Result<(), Error> {
        const TORN: Error = Error::BadInput("the private and the public part are of two keys");
        if let Some(signature) = public.signature() {
            let made = self.sign(name, signature, TRIAL)?;
            let checked = self.crypto().verify(signature, &public.spki_der, TRIAL, &made);
            return checked.map_err(|_| TORN);
        }
        let encryptions = public.algorithm.encryptions();
        let rsa = encryptions.iter().copied().find(|one| oaep(*one).is_some());
        let offered = rsa.filter(|one| self.offers.encrypts(*one));
        if let (KeyUse::Decrypt, Some(encryption)) = (public.key_use, offered) {
            let made = self.encrypt(name, encryption, b"trial")?;
            let opened = self.decrypt(name, encryption, &made).map_err(|_| TORN)?;
            return if opened.expose() == b"trial" { Ok(()) } else { Err(TORN) };
        }
        Ok(())
    }

    /// The key for an encryption, refused when its algorithm or the token lacks it.
    fn cipher_key(&mut self, name: &str, encryption: Encryption) -> Result<(), Error> {
        self.with_key(name, KeyUse::Decrypt, "a key that decrypts", |token, key| {
            if !key.algorithm.encryptions().contains(&encryption) {
                let needed = "a key for this encryption";
                return Err(Error::WrongKind { name: name.to_owned(), needed });
            }
            if !token.offers.encrypts(encryption) {
                return Err(Error::Unsupported("this encryption on this token"));
            }
            Ok(())
        })
        .map(drop)
    }
}

impl Decrypting for Token {
    fn encrypt(
        &mut self,
        name: &str,
        encryption: Encryption,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.cipher_key(name, encryption)?;
        self.run(Work::Repeatable, |session| {
            let key = object::known(session, name)?;
            if let Some(oaep) = oaep(encryption) {
                return encrypt_to(session, &key, &oaep, plaintext);
            }
            let len = if encryption == Encryption::AesGcm { NONCE } else { VECTOR };
            let mut start = vec![0; len];
            session.generate_random_slice(&mut start)?;
            let mut out = start.clone();
            let sealed = symmetric(encryption, &mut start, |mechanism| {
                Ok(session.encrypt(mechanism, key.handle, plaintext)?)
            })?;
            out.extend_from_slice(&sealed);
            Ok(out)
        })
    }

    fn decrypt(
        &mut self,
        name: &str,
        encryption: Encryption,
        ciphertext: &[u8],
    ) -> Result<Secret, Error> {
        self.cipher_key(name, encryption)?;
        let opened = self.run(Work::Repeatable, |session| {
            let key = object::known(session, name)?;
            if let Some(oaep) = oaep(encryption) {
                return open(session, &oaep, key.handle, ciphertext);
            }
            let (start, least) = match encryption {
                Encryption::AesGcm => (NONCE, TAG),
                _ => (VECTOR, 0),
            };
            let (start, sealed) = ciphertext.split_at_checked(start).ok_or(DAMAGED)?;
            if sealed.len() < least {
                return Err(DAMAGED.into());
            }
            symmetric(encryption, &mut start.to_vec(), |mechanism| {
                open(session, mechanism, key.handle, sealed)
            })
        })?;
        Ok(Secret::new(opened))
    }
}

/// With the mechanism of a symmetric encryption that starts at `start`.
fn symmetric<T>(
    encryption: Encryption,
    start: &mut [u8],
    work: impl FnOnce(&Mechanism<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    if encryption == Encryption::AesGcm {
        return work(&Mechanism::AesGcm(GcmParams::new(start, &[], Ulong::new(128))?));
    }
    let vector: [u8; VECTOR] = (&*start).try_into().map_err(|_| DAMAGED)?;
    // The binding has the name of this mechanism and no parameter for it: sixteen octets
    // (PKCS#11 3.0 §2.16.4).
    let parameter = Some(&vector);
    work(&Mechanism::VendorDefined(VendorDefinedMechanism::new(
        MechanismType::AES_CFB128,
        parameter,
    )))
}

fn open(
    session: &Session,
    mechanism: &Mechanism<'_>,
    key: ObjectHandle,
    sealed: &[u8],
) -> Result<Vec<u8>, Fault> {
    session.decrypt(mechanism, key, sealed).map_err(|error| match Fault::value(&error) {
        Some(
            RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::DataInvalid
            | RvError::DataLenRange,
        ) => DAMAGED.into(),
        // SoftHSM says no more than this of a wrong tag or padding. The session answers: it is
        // the ciphertext.
        Some(RvError::GeneralError | RvError::FunctionFailed)
            if session.get_session_info().is_ok() =>
        {
            DAMAGED.into()
        }
        _ => error.into(),
    })
}

/// Encrypts to a key's public part, which stands in the session for as long as that takes: a card
/// may keep none, and one on the token may be for other uses only.
fn encrypt_to(
    session: &Session,
    key: &object::Key,
    mechanism: &Mechanism<'_>,
    plaintext: &[u8],
) -> Result<Vec<u8>, Fault> {
    let public = object::public(session, key)?
        .ok_or(Error::Malformed("a private key without its public part"))?;
    let (modulus, exponent) = encoding::rsa_parts(&public.spki_der)?;
    let public = session.create_object(&[
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::RSA),
        Attribute::Token(false),
        Attribute::Private(false),
        Attribute::Encrypt(true),
        Attribute::Modulus(modulus),
        Attribute::PublicExponent(exponent),
    ])?;
    let sealed = session.encrypt(mechanism, public, plaintext);
    session.destroy_object(public)?;
    Ok(sealed?)
}

impl Agreeing for Token {
    fn agree(&mut self, name: &str, peer_spki_der: &[u8]) -> Result<Secret, Error> {
        let (key, point) = self.with_key(name, KeyUse::Agree, "a key that agrees", |_, key| {
            encoding::peer_point(key.algorithm, peer_spki_der)
        })?;
        let len = encoding::field_len(key.algorithm);
        let value = self.run(Work::Repeatable, |session| {
            let key = object::known(session, name)?;
            let template = [
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::GENERIC_SECRET),
                Attribute::Token(false),
                Attribute::Sensitive(false),
                Attribute::Extractable(true),
                Attribute::ValueLen(len.try_into()?),
            ];
            let params = Ecdh1DeriveParams::new(EcKdf::null(), &point);
            let agreed = session.derive_key(&Mechanism::Ecdh1Derive(params), key.handle, &template);
            create::take_value(session, agreed.map_err(point_refused)?)
        })?;
        let missing = len
            .checked_sub(value.len())
            .ok_or(Error::Malformed("an agreed secret longer than the field"))?;
        // Some tokens leave out what leads with zero.
        Ok(Secret::new([&vec![0; missing], &value[..]].concat()))
    }
}

/// What a token says of a point that is not on the curve; the rest as it is.
fn point_refused(error: cryptoki::error::Error) -> Fault {
    match Fault::value(&error) {
        Some(
            RvError::MechanismParamInvalid
            | RvError::DomainParamsInvalid
            | RvError::PublicKeyInvalid
            | RvError::ArgumentsBad,
        ) => Error::BadInput("the peer's key is no point on this key's curve").into(),
        _ => error.into(),
    }
}

impl Macs for Token {
    fn mac(&mut self, name: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
        let (_, mechanism) =
            self.with_key(name, KeyUse::Mac, "a key that makes MACs", |token, key| {
                let mechanism = token.offers.mac(key.algorithm);
                mechanism.ok_or(Error::Unsupported("MACs with this hash on this token"))
            })?;
        self.run(Work::Repeatable, |session| {
            let key = object::known(session, name)?;
            Ok(session.sign(&mechanism, key.handle, message)?)
        })
    }
}

impl Certificates for Token {
    fn certificate(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        check_name(name)?;
        let found = self.run(Work::Repeatable, |session| match object::find(session, name)? {
            Some(key) => certificate::load(session, &key),
            None => Ok(None),
        })?;
        if found.is_none() {
            self.stand_by_absence()?;
        }
        Ok(found)
    }

    fn store_certificate(&mut self, name: &str, der: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        self.run(Work::Once, |session| {
            let key = object::known(session, name)?;
            certificate::store(session, &key, der)
        })
    }
}
