//! Sealed secrets: octets that only this store, and perhaps a password, opens again.
//!
//! Nothing here knows the device's state, so nothing is sealed to it; and nothing counts wrong
//! passwords, so each guess costs what Argon2id makes it cost, on this machine and with its secret.

use crate::Cost;
use crate::cipher::{self, Key, TAG};
use crate::root;
use crate::store::Store;
use touchstone_element::{Error, SealTo, Secret};
use touchstone_wire::{Malformed, Reader, Why, Writer};
use zeroize::Zeroizing;

/// Octets that can be sealed at once.
pub(crate) const LIMIT: usize = 16 * 1024;

const MAGIC: &[u8; 8] = b"TSSEALSW";
const INFO: &[u8] = b"touchstone software element sealed";
/// A password is stretched at this cost: RFC 9106 §4 with less memory, for small devices.
const COST: Cost = Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

/// What stands in a sealed secret.
pub(crate) struct Sealed<'a> {
    id: [u8; 16],
    password: Option<[u8; 16]>,
    salt: [u8; 32],
    bound: &'a [u8],
    shut: &'a [u8],
}

pub(crate) fn seal(store: &Store, secret: &[u8], to: &SealTo) -> Result<Vec<u8>, Error> {
    if to.pcrs.is_some() {
        return Err(Error::Unsupported("sealing to registers: this element has none"));
    }
    if secret.len() > LIMIT {
        return Err(Error::TooLarge { limit: LIMIT });
    }
    let salt = cipher::random()?;
    let (key, check) = keys(store, &salt, to.password.as_ref())?;
    let mut head = Writer::new();
    head.bytes(MAGIC).bytes(store.id()).u8(check.is_some().into());
    head.bytes(&check.unwrap_or_default()).bytes(&salt);
    let bound = head.into_bytes();
    let mut data = Zeroizing::new(Vec::with_capacity(secret.len() + TAG));
    data.extend_from_slice(secret);
    cipher::shut(&salt, key.as_ref(), INFO, &bound, &mut data)?;
    Ok([bound.as_slice(), data.as_slice()].concat())
}

pub(crate) fn unseal(
    store: &Store,
    sealed: &[u8],
    password: Option<&Secret>,
) -> Result<Secret, Error> {
    const BAD: Error = Error::BadInput("this is no sealed secret, or a damaged one");
    let sealed = decode(sealed).map_err(|_| BAD)?;
    if sealed.id != *store.id() {
        return Err(Error::Foreign);
    }
    let password = match (sealed.password, password) {
        (None, _) => None,
        (Some(_), None) => return Err(Error::WrongAuthorization { tries_left: None }),
        (Some(_), password) => password,
    };
    let (key, check) = keys(store, &sealed.salt, password)?;
    if check != sealed.password {
        return Err(Error::WrongAuthorization { tries_left: None });
    }
    let opened = cipher::open(&sealed.salt, key.as_ref(), INFO, sealed.bound, sealed.shut);
    Ok(Secret::new(opened.map_err(|_| BAD)?.to_vec()))
}

/// The key of a sealed secret, and what tells a wrong password.
fn keys(
    store: &Store,
    salt: &[u8; 32],
    password: Option<&Secret>,
) -> Result<(Key, Option<[u8; 16]>), Error> {
    let stretched = match password {
        Some(password) => root::stretch(password.expose(), salt, COST)?,
        None => Key::default(),
    };
    let mut out = Zeroizing::new([0; 48]);
    let secret = Zeroizing::new([store.root().expose(), stretched.as_ref()].concat());
    cipher::derive(salt, &secret, &[INFO, b" key"], out.as_mut())?;
    let mut key = Key::default();
    let mut check = [0; 16];
    let (front, back) = out.split_at(32);
    key.copy_from_slice(front);
    check.copy_from_slice(back);
    Ok((key, password.map(|_| check)))
}

/// Takes a sealed secret apart.
pub(crate) fn decode(octets: &[u8]) -> Result<Sealed<'_>, Malformed> {
    let mut reader = Reader::new(octets);
    if reader.array()? != *MAGIC {
        return Err(reader.malformed(Why::BadValue));
    }
    let id = reader.array()?;
    let has_password = reader.u8()?;
    let check = reader.array()?;
    let password = match has_password {
        0 if check == [0; 16] => None,
        1 => Some(check),
        _ => return Err(reader.malformed(Why::BadValue)),
    };
    let salt = reader.array()?;
    let shut = reader.rest();
    if shut.len() > LIMIT + TAG {
        return Err(reader.malformed(Why::TooLong));
    }
    let bound = octets.get(..octets.len() - shut.len()).unwrap_or_default();
    Ok(Sealed { id, password, salt, bound, shut })
}
