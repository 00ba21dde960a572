//! Between the numbers of CBOR and the names of JSON (RFC 9711 §7.2, §10.2). Only claims that are
//! known cross over.

use super::{Error, MAX_DEPTH, Submodule};
use crate::cmw::Cmw;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use base64ct::{Base64UrlUnpadded, Encoding};
use ciborium::Value;
use serde_json::{Map, Value as Json, json};

pub(super) const EXP: i64 = 4;
pub(super) const IAT: i64 = 6;
pub(super) const NONCE: i64 = 10;
pub(super) const UEID: i64 = 256;
pub(super) const OEMID: i64 = 258;
pub(super) const HWMODEL: i64 = 259;
pub(super) const HWVERSION: i64 = 260;
pub(super) const UPTIME: i64 = 261;
pub(super) const OEMBOOT: i64 = 262;
pub(super) const DBGSTAT: i64 = 263;
pub(super) const PROFILE: i64 = 265;
pub(super) const SUBMODS: i64 = 266;
pub(super) const BOOTCOUNT: i64 = 267;
pub(super) const BOOTSEED: i64 = 268;
pub(super) const SWNAME: i64 = 270;
pub(super) const SWVERSION: i64 = 271;
pub(super) const MEASUREMENTS: i64 = 273;
pub(super) const MEASRES: i64 = 274;
pub(super) const INTUSE: i64 = 275;
/// RFC 9999 §9.1.
pub(super) const CMW: i64 = 299;

/// How a value looks in JSON.
#[derive(Clone, Copy)]
enum Form {
    /// The same in both.
    Same,
    /// Octets, which JSON has in base64url.
    Octets,
    /// A nonce, or a list of such.
    Nonces,
    /// A number, or octets.
    NumberOrOctets,
    /// A number in CBOR that has a name in JSON.
    Named(&'static [(&'static str, i64)]),
    /// A version, whose scheme has a name in JSON.
    Version,
    /// A list of pairs of a number and octets.
    Measurements,
    /// Results by name.
    Results,
    /// Submodules.
    Submodules,
    /// A wrapper, which has a form of its own in either (RFC 9999 §4.3.1).
    Wrapper,
}

static CLAIMS: [(&str, i64, Form); 20] = [
    ("exp", EXP, Form::Same),
    ("iat", IAT, Form::Same),
    ("eat_nonce", NONCE, Form::Nonces),
    ("ueid", UEID, Form::Octets),
    ("oemid", OEMID, Form::NumberOrOctets),
    ("hwmodel", HWMODEL, Form::Octets),
    ("hwversion", HWVERSION, Form::Version),
    ("uptime", UPTIME, Form::Same),
    ("oemboot", OEMBOOT, Form::Same),
    ("dbgstat", DBGSTAT, Form::Named(&DEBUG)),
    ("eat_profile", PROFILE, Form::Same),
    ("submods", SUBMODS, Form::Submodules),
    ("bootcount", BOOTCOUNT, Form::Same),
    ("bootseed", BOOTSEED, Form::Octets),
    ("swname", SWNAME, Form::Same),
    ("swversion", SWVERSION, Form::Version),
    ("measurements", MEASUREMENTS, Form::Measurements),
    ("measres", MEASRES, Form::Results),
    ("intuse", INTUSE, Form::Named(&USES)),
    ("cmw", CMW, Form::Wrapper),
];

static DEBUG: [(&str, i64); 5] = [
    ("enabled", 0),
    ("disabled", 1),
    ("disabled-since-boot", 2),
    ("disabled-permanently", 3),
    ("disabled-fully-and-permanently", 4),
];

static USES: [(&str, i64); 5] =
    [("generic", 1), ("registration", 2), ("provisioning", 3), ("csr", 4), ("pop", 5)];

static OUTCOMES: [(&str, i64); 4] = [("success", 1), ("fail", 2), ("not-run", 3), ("absent", 4)];

/// RFC 9393 §4.1.
static SCHEMES: [(&str, i64); 5] = [
    ("multipartnumeric", 1),
    ("multipartnumeric-suffix", 2),
    ("alphanumeric", 3),
    ("decimal", 4),
    ("semver", 16_384),
];

/// COSE algorithms (RFC 9054 §2.1).
pub(super) static HASHES: [(&str, i64); 3] = [("SHA-256", -16), ("SHA-384", -43), ("SHA-512", -44)];

/// A claims set with the keys and forms of CBOR.
pub(super) fn to_cbor(json: &Json, depth: usize) -> Result<Value, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooLarge);
    }
    let members = json.as_object().ok_or(Error::Claim("claims set"))?;
    let mut claims = Vec::new();
    for (name, key, form) in &CLAIMS {
        if let Some(value) = members.get(*name) {
            let value = match form {
                Form::Submodules => submodules_to_cbor(value, depth)?,
                form => from_json(*form, value).ok_or(Error::Claim(name))?,
            };
            claims.push((int(*key), value));
        }
    }
    Ok(Value::Map(claims))
}

fn from_json(form: Form, json: &Json) -> Option<Value> {
    match form {
        Form::Same => same(json),
        Form::Octets => octets(json),
        Form::Nonces => match json {
            Json::Array(list) => list.iter().map(nonce).collect::<Option<_>>().map(Value::Array),
            _ => nonce(json),
        },
        Form::NumberOrOctets => json.as_u64().map(Value::from).or_else(|| octets(json)),
        Form::Named(names) => number(names, json),
        Form::Version => {
            let [text, scheme @ ..] = json.as_array()?.as_slice() else { return None };
            let mut version = vec![same(text)?];
            for scheme in scheme {
                version.push(number(&SCHEMES, scheme)?);
            }
            Some(Value::Array(version))
        }
        Form::Measurements => {
            let one = |pair: &Json| {
                let [format, value] = pair.as_array()?.as_slice() else { return None };
                Some(Value::Array(vec![same(format)?, octets(value)?]))
            };
            json.as_array()?.iter().map(one).collect::<Option<_>>().map(Value::Array)
        }
        Form::Results => {
            let outcome = |pair: &Json| {
                let [id, outcome] = pair.as_array()?.as_slice() else { return None };
                Some(Value::Array(vec![same(id)?, number(&OUTCOMES, outcome)?]))
            };
            let one = |system: &Json| {
                let [id, results] = system.as_array()?.as_slice() else { return None };
                let results = results.as_array()?.iter().map(outcome).collect::<Option<_>>()?;
                Some(Value::Array(vec![same(id)?, Value::Array(results)]))
            };
            json.as_array()?.iter().map(one).collect::<Option<_>>().map(Value::Array)
        }
        Form::Wrapper => Some(wrapper(&Cmw::from_json(&serde_json::to_vec(json).ok()?).ok()?)),
        Form::Submodules => None,
    }
}

/// A wrapper as an item of CBOR.
pub(super) fn wrapper(cmw: &Cmw<'_>) -> Value {
    // What was just written reads back.
    ciborium::from_reader(&*cmw.to_cbor()).unwrap_or(Value::Null)
}

/// The wrapper that an item of CBOR is.
pub(super) fn wrapped(value: &Value) -> Option<Cmw<'static>> {
    let mut octets = Vec::new();
    ciborium::into_writer(value, &mut octets).ok()?;
    Cmw::from_cbor(&octets).ok().map(Cmw::into_owned)
}

/// RFC 9711 §4.2.18.2: what is no claims set says what it is.
fn submodules_to_cbor(json: &Json, depth: usize) -> Result<Value, Error> {
    let wrong = Error::Claim("submods");
    let mut submodules = Vec::new();
    for (name, submodule) in json.as_object().ok_or(wrong)? {
        let value = match submodule.as_array().map(Vec::as_slice) {
            None => to_cbor(submodule, depth + 1)?,
            Some([kind, value]) if kind == "DIGEST" => {
                let Some([hash, digest]) = value.as_array().map(Vec::as_slice) else {
                    return Err(wrong);
                };
                let hash = number(&HASHES, hash).or_else(|| numbered(hash)).ok_or(wrong)?;
                Value::Array(vec![hash, octets(digest).ok_or(wrong)?])
            }
            Some(_) => nested(&selected(submodule)?),
        };
        submodules.push((Value::Text(name.clone()), value));
    }
    Ok(Value::Map(submodules))
}

/// The hash by its number.
fn numbered(hash: &Json) -> Option<Value> {
    let known = HASHES.iter().find(|(_, number)| hash.as_i64() == Some(*number));
    known.map(|(_, number)| int(*number))
}

/// RFC 9711 §4.2.18.3: a token or a bundle, and which of them (JSON-Selector).
pub(super) fn selected(json: &Json) -> Result<Submodule, Error> {
    let wrong = Error::Claim("submods");
    let Some([kind, value]) = json.as_array().map(Vec::as_slice) else { return Err(wrong) };
    Ok(match (kind.as_str().ok_or(wrong)?, value) {
        ("JWT", Json::String(token)) => Submodule::Jwt(token.clone()),
        ("CBOR", Json::String(text)) => {
            Submodule::of_octets(&Base64UrlUnpadded::decode_vec(text).map_err(|_| wrong)?)
        }
        ("BUNDLE", bundle @ Json::Array(_)) => {
            Submodule::Bundle(serde_json::to_vec(bundle).map_err(|_| wrong)?)
        }
        _ => return Err(wrong),
    })
}

/// A token or a bundle as an item of CBOR; what is JSON is text there.
pub(super) fn nested(submodule: &Submodule) -> Value {
    let json = |octets: &[u8]| serde_json::from_slice::<Json>(octets).unwrap_or_default();
    match submodule {
        Submodule::Jwt(token) => Value::Text(json!(["JWT", token]).to_string()),
        Submodule::Bundle(bundle) if !bundle.starts_with(&super::bundle::TAG) => {
            Value::Text(json!(["BUNDLE", json(bundle)]).to_string())
        }
        Submodule::Cwt(octets) | Submodule::Bundle(octets) => Value::Bytes(octets.clone()),
        Submodule::Claims(_) | Submodule::Detached(_) => Value::Null,
    }
}

fn same(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(truth) => Some(Value::Bool(*truth)),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Number(number) => number.as_u64().map(Value::from),
        _ => None,
    }
}

fn octets(json: &Json) -> Option<Value> {
    Base64UrlUnpadded::decode_vec(json.as_str()?).ok().map(Value::Bytes)
}

/// RFC 9711 §4.1: text in JSON. It is octets in base64url where whoever gave it out gave octets, and else
/// what it says.
fn nonce(json: &Json) -> Option<Value> {
    let text = json.as_str()?;
    let given = Base64UrlUnpadded::decode_vec(text).ok().filter(|octets| octets.len() >= 8);
    Some(Value::Bytes(given.unwrap_or_else(|| text.as_bytes().to_vec())))
}

fn number(names: &[(&str, i64)], json: &Json) -> Option<Value> {
    let name = json.as_str()?;
    names.iter().find(|(known, _)| *known == name).map(|(_, number)| int(*number))
}

pub(super) fn int(number: i64) -> Value {
    Value::Integer(number.into())
}

/// A claims set with the names and forms of JSON.
pub(super) fn to_json(claims: &Value) -> Result<Json, Error> {
    let mut members = Map::new();
    for (key, value) in claims.as_map().into_iter().flatten() {
        let known = CLAIMS.iter().find(|(_, number, _)| *key == int(*number));
        if let Some((name, _, form)) = known {
            let json = match form {
                Form::Submodules => submodules_to_json(value)?,
                form => into_json(*form, value).ok_or(Error::Claim(name))?,
            };
            members.insert((*name).into(), json);
        }
    }
    Ok(Json::Object(members))
}

fn into_json(form: Form, value: &Value) -> Option<Json> {
    match form {
        Form::Same => plain(value),
        Form::Octets => base64(value),
        Form::Nonces => match value {
            Value::Array(list) => list.iter().map(base64).collect::<Option<_>>().map(Json::Array),
            _ => base64(value),
        },
        Form::NumberOrOctets => plain(value).or_else(|| base64(value)),
        Form::Named(names) => name(names, value),
        Form::Version => match value.as_array()?.as_slice() {
            [text] => Some(json!([plain(text)?])),
            [text, scheme] => Some(json!([plain(text)?, name(&SCHEMES, scheme)?])),
            _ => None,
        },
        Form::Measurements => pairs(value, plain, base64),
        Form::Results => {
            pairs(value, plain, |results| pairs(results, plain, |value| name(&OUTCOMES, value)))
        }
        Form::Wrapper => serde_json::from_slice(&wrapped(value)?.to_json()?).ok(),
        Form::Submodules => None,
    }
}

fn pairs(
    value: &Value,
    first: impl Fn(&Value) -> Option<Json>,
    second: impl Fn(&Value) -> Option<Json>,
) -> Option<Json> {
    let one = |pair: &Value| {
        let [left, right] = pair.as_array()?.as_slice() else { return None };
        Some(json!([first(left)?, second(right)?]))
    };
    value.as_array()?.iter().map(one).collect::<Option<_>>().map(Json::Array)
}

fn submodules_to_json(value: &Value) -> Result<Json, Error> {
    let wrong = Error::Claim("submods");
    let mut members = Map::new();
    for (label, submodule) in value.as_map().into_iter().flatten() {
        let json = match submodule {
            Value::Text(selector) => serde_json::from_str(selector).map_err(|_| wrong)?,
            Value::Bytes(_) => json!(["CBOR", base64(submodule)]),
            Value::Array(parts) => match parts.as_slice() {
                [hash, digest] => json!(["DIGEST", [name(&HASHES, hash), base64(digest)]]),
                _ => return Err(wrong),
            },
            _ => to_json(submodule)?,
        };
        members.insert(label.as_text().ok_or(wrong)?.into(), json);
    }
    Ok(Json::Object(members))
}

fn plain(value: &Value) -> Option<Json> {
    match value {
        Value::Bool(truth) => Some((*truth).into()),
        Value::Text(text) => Some(text.as_str().into()),
        Value::Integer(number) => u64::try_from(*number).ok().map(Json::from),
        _ => None,
    }
}

fn base64(value: &Value) -> Option<Json> {
    value.as_bytes().map(|octets| Base64UrlUnpadded::encode_string(octets).into())
}

fn name(names: &[(&str, i64)], value: &Value) -> Option<Json> {
    names.iter().find(|(_, number)| *value == int(*number)).map(|(name, _)| (*name).into())
}
