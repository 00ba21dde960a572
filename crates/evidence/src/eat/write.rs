//! A claims set in CBOR, in the order of the keys (RFC 8949 §4.2.1).

use super::names::{
    BOOTCOUNT, BOOTSEED, CMW, DBGSTAT, EXP, HWMODEL, HWVERSION, IAT, INTUSE, MEASRES, MEASUREMENTS,
    NONCE, OEMBOOT, OEMID, PROFILE, SUBMODS, SWNAME, SWVERSION, UEID, UPTIME, int, nested, wrapper,
};
use super::{Eat, OemId, Profile, Submodule, Version};
use alloc::vec;
use alloc::vec::Vec;
use ciborium::Value;
use touchstone_crypto::HashAlgorithm;

pub(super) fn claims(eat: &Eat) -> Value {
    let octets = |octets: &Option<Vec<u8>>| octets.clone().map(Value::Bytes);
    let nonces = match eat.nonces.as_slice() {
        [] => None,
        [nonce] => Some(Value::Bytes(nonce.clone())),
        nonces => Some(Value::Array(nonces.iter().cloned().map(Value::Bytes).collect())),
    };
    let all = [
        (EXP, eat.expires.map(Value::from)),
        (IAT, eat.issued_at.map(Value::from)),
        (NONCE, nonces),
        (UEID, octets(&eat.ueid)),
        (OEMID, eat.oemid.as_ref().map(oemid)),
        (HWMODEL, octets(&eat.hwmodel)),
        (HWVERSION, eat.hwversion.as_ref().map(version)),
        (UPTIME, eat.uptime.map(Value::from)),
        (OEMBOOT, eat.oemboot.map(Value::from)),
        (DBGSTAT, eat.debug.map(|debug| int(debug as i64))),
        (PROFILE, eat.profile.as_ref().map(profile)),
        (SUBMODS, submodules(eat)),
        (BOOTCOUNT, eat.bootcount.map(Value::from)),
        (BOOTSEED, octets(&eat.bootseed)),
        (SWNAME, eat.swname.clone().map(Value::Text)),
        (SWVERSION, eat.swversion.as_ref().map(version)),
        (MEASUREMENTS, measurements(eat)),
        (MEASRES, results(eat)),
        (INTUSE, eat.intended_use.map(|intended| int(intended as i64 + 1))),
        (CMW, eat.cmw.as_ref().map(wrapper)),
    ];
    Value::Map(all.into_iter().filter_map(|(key, value)| Some((int(key), value?))).collect())
}

fn oemid(oemid: &OemId) -> Value {
    match oemid {
        OemId::Enterprise(number) => Value::from(*number),
        OemId::Ieee(octets) => Value::Bytes(octets.to_vec()),
        OemId::Random(octets) => Value::Bytes(octets.to_vec()),
    }
}

fn version(version: &Version) -> Value {
    let mut parts = vec![Value::Text(version.text.clone())];
    parts.extend(version.scheme.map(int));
    Value::Array(parts)
}

fn profile(profile: &Profile) -> Value {
    match profile {
        Profile::Text(text) => Value::Text(text.clone()),
        Profile::Oid(octets) => Value::Bytes(octets.clone()),
    }
}

fn measurements(eat: &Eat) -> Option<Value> {
    let pairs = eat.measurements.iter().map(|measurement| {
        let format = Value::from(u64::from(measurement.content_format));
        Value::Array(vec![format, Value::Bytes(measurement.octets.clone())])
    });
    (!eat.measurements.is_empty()).then(|| Value::Array(pairs.collect()))
}

fn results(eat: &Eat) -> Option<Value> {
    let systems = eat.results.iter().map(|system| {
        let results = system.results.iter().map(|(id, outcome)| {
            Value::Array(vec![Value::Text(id.clone()), int(*outcome as i64 + 1)])
        });
        Value::Array(vec![Value::Text(system.id.clone()), Value::Array(results.collect())])
    });
    (!eat.results.is_empty()).then(|| Value::Array(systems.collect()))
}

fn submodules(eat: &Eat) -> Option<Value> {
    let entries = eat.submods.iter().map(|(name, submodule)| {
        let value = match submodule {
            Submodule::Claims(eat) => claims(eat),
            Submodule::Cwt(_) | Submodule::Jwt(_) | Submodule::Bundle(_) => nested(submodule),
            Submodule::Detached(digest) => {
                let hash = match digest.algorithm() {
                    HashAlgorithm::Sha384 => -43,
                    HashAlgorithm::Sha512 => -44,
                    _ => -16,
                };
                Value::Array(vec![int(hash), Value::Bytes(digest.as_bytes().to_vec())])
            }
        };
        (Value::Text(name.clone()), value)
    });
    (!eat.submods.is_empty()).then(|| Value::Map(entries.collect()))
}
