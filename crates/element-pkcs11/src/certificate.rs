//! Certificates beside their keys: `CKO_CERTIFICATE` objects with the key's `CKA_ID`.

use crate::object::{self, Key, OLD};
use crate::refusal::Fault;
use cryptoki::object::{Attribute, AttributeType, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use der::{Decode, Encode};
use touchstone_element::Error;
use x509_cert::Certificate;

/// Octets of the longest certificate that is kept.
const LONGEST: usize = 64 * 1024;

/// A certificate object, its label and its value.
struct Stored {
    handle: ObjectHandle,
    label: Vec<u8>,
    der: Vec<u8>,
}

/// The certificate of a key, `None` when there is none.
pub(crate) fn load(session: &Session, key: &Key) -> Result<Option<Vec<u8>>, Fault> {
    let mut all = stored(session, key)?;
    // A power cut may have left the one that was replaced.
    if all.len() > 1 {
        all.retain(|one| !one.label.ends_with(OLD.as_bytes()));
    }
    let of_key = all.iter().position(|one| one.label == key.label);
    match (all.len(), of_key) {
        (0, _) => Ok(None),
        (1, _) => Ok(all.pop().map(|one| one.der)),
        (_, Some(place)) => Ok(Some(all.swap_remove(place).der)),
        (_, None) => Err(Error::BadInput(
            "the token has several certificates for this key; delete the others, or give the right \
             one the key's label",
        )
        .into()),
    }
}

/// Keeps a certificate, and then deletes the one before.
pub(crate) fn store(session: &Session, key: &Key, der: &[u8]) -> Result<(), Fault> {
    let template = template(key, der, object::public(session, key)?.map(|key| key.spki_der))?;
    let before = stored(session, key)?;
    let old = [&key.label[..], OLD.as_bytes()].concat();
    for one in &before {
        session.update_attributes(one.handle, &[Attribute::Label(old.clone())])?;
    }
    session.create_object(&template)?;
    for one in &before {
        session.destroy_object(one.handle)?;
    }
    Ok(())
}

fn template(key: &Key, der: &[u8], spki: Option<Vec<u8>>) -> Result<Vec<Attribute>, Error> {
    const BAD: Error = Error::BadInput("not an X.509 certificate in DER");
    if der.len() > LONGEST {
        return Err(Error::TooLarge { limit: LONGEST });
    }
    let certificate = Certificate::from_der(der).map_err(|_| BAD)?;
    let certified = certificate.tbs_certificate();
    let theirs = certified.subject_public_key_info().to_der().map_err(|_| BAD)?;
    if spki.is_some_and(|ours| ours != theirs) {
        return Err(Error::BadInput(
            "a certificate of another key; give the one made for this key",
        ));
    }
    Ok(vec![
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Label(key.label.clone()),
        Attribute::Id(key.id.clone()),
        Attribute::Subject(certified.subject().to_der().map_err(|_| BAD)?),
        Attribute::Issuer(certified.issuer().to_der().map_err(|_| BAD)?),
        Attribute::SerialNumber(certified.serial_number().to_der().map_err(|_| BAD)?),
        Attribute::Value(der.to_vec()),
    ])
}

/// The public key in a key's certificate, for tokens that keep no other.
pub(crate) fn spki(session: &Session, key: &Key) -> Result<Option<Vec<u8>>, Fault> {
    let Some(der) = load(session, key)? else { return Ok(None) };
    let malformed = |_| Error::Malformed("a certificate on the token");
    let certificate = Certificate::from_der(&der).map_err(malformed)?;
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der();
    Ok(Some(spki.map_err(malformed)?))
}

fn stored(session: &Session, key: &Key) -> Result<Vec<Stored>, Fault> {
    let mut all = Vec::new();
    for handle in object::companions(session, key, ObjectClass::CERTIFICATE)? {
        let wanted = [AttributeType::Label, AttributeType::Value];
        let mut one = Stored { handle, label: Vec::new(), der: Vec::new() };
        for attribute in session.get_attributes(handle, &wanted)? {
            match attribute {
                Attribute::Label(label) => one.label = label,
                Attribute::Value(der) => one.der = der,
                _ => {}
            }
        }
        all.push(one);
    }
    Ok(all)
}
