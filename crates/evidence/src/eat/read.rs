//! A claims set from CBOR, each claim as its section of RFC 9711 wants it.

use super::names::{
    BOOTCOUNT, BOOTSEED, CMW, DBGSTAT, EXP, HASHES, HWMODEL, HWVERSION, IAT, INTUSE, MEASRES,
    MEASUREMENTS, NONCE, OEMBOOT, OEMID, PROFILE, SUBMODS, SWNAME, SWVERSION, UEID, UPTIME, int,
    selected, wrapped,
};
use super::{
    Debug, Eat, Error, IntendedUse, MAX_DEPTH, Measurement, OemId, Outcome, Profile, Submodule,
    SystemResult, Version, strict,
};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use ciborium::Value;
use core::ops::RangeInclusive;
use touchstone_crypto::{Digest, HashAlgorithm};

/// The most entries of a list in a claim.
const MOST: usize = 1024;

pub(super) fn claims(value: &Value, depth: usize) -> Result<Eat, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooLarge);
    }
    let set = Set(value.as_map().ok_or(Error::Claim("claims set"))?);
    Ok(Eat {
        issued_at: set.get(IAT, "iat", number)?,
        expires: set.get(EXP, "exp", number)?,
        nonces: set.get(NONCE, "eat_nonce", nonces)?.unwrap_or_default(),
        // RFC 9711 §4.2.1.2: opaque to whoever reads it; its kinds are for those who make one.
        ueid: set.get(UEID, "ueid", |value| octets(value, 7..=33))?,
        oemid: set.get(OEMID, "oemid", oemid)?,
        hwmodel: set.get(HWMODEL, "hwmodel", |value| octets(value, 1..=32))?,
        hwversion: set.get(HWVERSION, "hwversion", version)?,
        swname: set.get(SWNAME, "swname", text)?,
        swversion: set.get(SWVERSION, "swversion", version)?,
        oemboot: set.get(OEMBOOT, "oemboot", Value::as_bool)?,
        debug: set.get(DBGSTAT, "dbgstat", debug)?,
        uptime: set.get(UPTIME, "uptime", number)?,
        bootcount: set.get(BOOTCOUNT, "bootcount", number)?,
        bootseed: set.get(BOOTSEED, "bootseed", |value| octets(value, 32..=64))?,
        measurements: set.get(MEASUREMENTS, "measurements", measurements)?.unwrap_or_default(),
        results: set.get(MEASRES, "measres", results)?.unwrap_or_default(),
        profile: set.get(PROFILE, "eat_profile", profile)?,
        intended_use: set.get(INTUSE, "intuse", intended_use)?,
        submods: match set.find(SUBMODS, "submods")? {
            Some(value) => submodules(value, depth)?,
            None => Vec::new(),
        },
        cmw: set.get(CMW, "cmw", wrapped)?,
    })
}

struct Set<'a>(&'a [(Value, Value)]);

impl<'a> Set<'a> {
    /// The value of a claim; one that comes twice is none.
    fn find(&self, key: i64, name: &'static str) -> Result<Option<&'a Value>, Error> {
        let mut found = self.0.iter().filter(|(known, _)| *known == int(key));
        let first = found.next().map(|(_, value)| value);
        if found.next().is_some() { Err(Error::Claim(name)) } else { Ok(first) }
    }

    fn get<T>(
        &self,
        key: i64,
        name: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let value = self.find(key, name)?;
        value.map(|value| read(value).ok_or(Error::Claim(name))).transpose()
    }
}

fn number(value: &Value) -> Option<u64> {
    u64::try_from(value.as_integer()?).ok()
}

fn text(value: &Value) -> Option<String> {
    value.as_text().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn octets(value: &Value, lens: RangeInclusive<usize>) -> Option<Vec<u8>> {
    value.as_bytes().filter(|octets| lens.contains(&octets.len())).cloned()
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let list = value.as_array().filter(|list| (1..=MOST).contains(&list.len()))?;
    list.iter().map(read).collect()
}

fn pair(value: &Value) -> Option<(&Value, &Value)> {
    match value.as_array()?.as_slice() {
        [first, second] => Some((first, second)),
        _ => None,
    }
}

/// RFC 9711 §4.1.
fn nonces(value: &Value) -> Option<Vec<Vec<u8>>> {
    let nonce = |value: &Value| octets(value, 8..=64);
    match value {
        Value::Array(_) => list(value, nonce),
        _ => nonce(value).map(|nonce| vec![nonce]),
    }
}

fn oemid(value: &Value) -> Option<OemId> {
    if let Some(enterprise) = number(value) {
        return Some(OemId::Enterprise(enterprise));
    }
    let octets = value.as_bytes()?.as_slice();
    let ieee = octets.try_into().ok().map(OemId::Ieee);
    ieee.or_else(|| octets.try_into().ok().map(OemId::Random))
}

fn version(value: &Value) -> Option<Version> {
    match value.as_array()?.as_slice() {
        [version] => Some(Version { text: text(version)?, scheme: None }),
        [version, scheme] => {
            let scheme = i64::try_from(scheme.as_integer()?).ok()?;
            Some(Version { text: text(version)?, scheme: Some(scheme) })
        }
        _ => None,
    }
}

fn debug(value: &Value) -> Option<Debug> {
    Some(match number(value)? {
        0 => Debug::Enabled,
        1 => Debug::Disabled,
        2 => Debug::DisabledSinceBoot,
        3 => Debug::DisabledPermanently,
        4 => Debug::DisabledFullyAndPermanently,
        _ => return None,
    })
}

fn intended_use(value: &Value) -> Option<IntendedUse> {
    Some(match number(value)? {
        1 => IntendedUse::Generic,
        2 => IntendedUse::Registration,
        3 => IntendedUse::Provisioning,
        4 => IntendedUse::CertificateIssuance,
        5 => IntendedUse::ProofOfPossession,
        _ => return None,
    })
}

fn measurements(value: &Value) -> Option<Vec<Measurement>> {
    list(value, |value| {
        let (format, octets) = pair(value)?;
        let content_format = u16::try_from(number(format)?).ok()?;
        Some(Measurement { content_format, octets: octets.as_bytes()?.clone() })
    })
}

fn results(value: &Value) -> Option<Vec<SystemResult>> {
    list(value, |value| {
        let (id, results) = pair(value)?;
        let results = list(results, |value| {
            let (id, outcome) = pair(value)?;
            let outcome = match number(outcome)? {
                1 => Outcome::Success,
                2 => Outcome::Fail,
                3 => Outcome::NotRun,
                4 => Outcome::Absent,
                _ => return None,
            };
            Some((text(id)?, outcome))
        })?;
        Some(SystemResult { id: text(id)?, results })
    })
}

fn profile(value: &Value) -> Option<Profile> {
    match value {
        Value::Bytes(oid) if !oid.is_empty() => Some(Profile::Oid(oid.clone())),
        _ => text(value).map(Profile::Text),
    }
}

/// RFC 9711 §4.2.18: a claims set, a token in octets or text, or the digest of one that is elsewhere.
fn submodules(value: &Value, depth: usize) -> Result<Vec<(String, Submodule)>, Error> {
    let wrong = Error::Claim("submods");
    let entries = value.as_map().filter(|map| (1..=MOST).contains(&map.len())).ok_or(wrong)?;
    let mut submodules: Vec<(String, Submodule)> = Vec::new();
    for (name, value) in entries {
        let name = text(name).ok_or(wrong)?;
        if submodules.iter().any(|(known, _)| *known == name) {
            return Err(wrong);
        }
        let submodule = match value {
            Value::Map(_) => Submodule::Claims(Box::new(claims(value, depth + 1)?)),
            Value::Bytes(token) => Submodule::of_octets(token),
            // §4.2.18: JSON in CBOR says what it is.
            Value::Text(selector) => {
                selected(&strict::read(selector.as_bytes()).map_err(|_| wrong)?)?
            }
            _ => Submodule::Detached(detached(value).ok_or(wrong)?),
        };
        submodules.push((name, submodule));
    }
    Ok(submodules)
}

fn detached(value: &Value) -> Option<Digest> {
    let (hash, digest) = pair(value)?;
    let named = |name: &str| match name {
        "SHA-256" => Some(HashAlgorithm::Sha256),
        "SHA-384" => Some(HashAlgorithm::Sha384),
        "SHA-512" => Some(HashAlgorithm::Sha512),
        _ => None,
    };
    let numbered =
        || HASHES.iter().find(|(_, number)| *hash == int(*number)).map(|(name, _)| *name);
    let algorithm = hash.as_text().or_else(numbered).and_then(named)?;
    Digest::new(algorithm, digest.as_bytes()?)
}
