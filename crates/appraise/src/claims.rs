//! Claims as JSON, which is how they travel: out of a fleet, and from a file of somebody who tries
//! a policy. Nothing that a policy would not understand is passed over.
//!
//! ```json
//! { "schema": "touchstone.claims/1", "at": "2026-12-31T12:00:00Z", "age": "2s",
//!   "claims": { "boot.secure-boot": true, "evidence.age": "2s", "agent.version": "1.4.2" },
//!   "ages": { "boot.secure-boot": "1h" } }
//! ```
//! `at` says when that was; `age` how old each claim was then, `ages` that of single ones. Without
//! them a claim's age is not known, and no control that says `fresh` is met by it.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use json::{Json, Object};
use serde_json::Map;
use touchstone_crypto::Digest;
use touchstone_policy::{Catalog, ClaimSet, Claims as _, Type, Value, parse_duration};

mod json;

/// The schema that a file of claims names.
pub const SCHEMA: &str = "touchstone.claims/1";

/// Claims that are not as the catalogue says: which, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        "appraise.claims"
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Error {}

/// Reads a whole file of claims.
pub fn from_file(json: &[u8], catalog: &Catalog) -> Result<ClaimSet, Error> {
    let json: Json<'_> =
        serde_json::from_slice(json).map_err(|error| Error(format!("not JSON: {error}")))?;
    file(&json, catalog).map_err(Error)
}

/// Reads claims by their names.
pub fn from_json(
    claims: &Map<String, serde_json::Value>,
    catalog: &Catalog,
) -> Result<ClaimSet, Error> {
    read(&Object::from(claims), catalog).map_err(Error)
}

/// The claims by their names; [`from_json`] reads them back.
pub fn to_json(claims: &ClaimSet) -> Map<String, serde_json::Value> {
    claims.iter().map(|(name, value)| (name.to_owned(), written(value))).collect()
}

fn written(value: &Value) -> serde_json::Value {
    match value {
        Value::Boolean(truth) => (*truth).into(),
        Value::Integer(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Version(_) | Value::Duration(_) | Value::Digest(_) | Value::Time(_) => {
            value.to_string().into()
        }
        Value::Map(map) => {
            let entries = map.iter().map(|(name, value)| (name.to_owned(), written(value)));
            serde_json::Value::Object(entries.collect())
        }
        Value::List(values) => values.iter().map(written).collect(),
        Value::Set(set) => set.as_slice().iter().map(written).collect(),
        Value::Record(record) => {
            let fields = record.fields().map(|(name, value)| (name.to_owned(), written(value)));
            serde_json::Value::Object(fields.collect())
        }
    }
}

fn file(json: &Json<'_>, catalog: &Catalog) -> Result<ClaimSet, String> {
    const KEYS: [&str; 5] = ["schema", "at", "age", "claims", "ages"];
    let object = json.as_object().ok_or("not an object")?;
    if object.get("schema").and_then(Json::as_str) != Some(SCHEMA) {
        return Err(format!("its `schema` is not \"{SCHEMA}\""));
    }
    if let Some(other) = object.keys().find(|key| !KEYS.contains(key)) {
        return Err(format!("`{other}` means nothing here"));
    }
    let given =
        object.get("claims").and_then(Json::as_object).ok_or("it has no object `claims`")?;
    let mut claims = read(given, catalog)?;
    if let Some(at) = object.get("at") {
        let text = at.as_str().ok_or("`at` is not a time")?;
        claims = claims.at(text.parse().map_err(|error| format!("`at`: {error}"))?);
    }
    if let Some(all) = object.get("age") {
        claims = claims.aged(age(all, "age")?);
    }
    let ages = object.get("ages").map(|ages| ages.as_object().ok_or("`ages` is not an object"));
    for (name, json) in ages.transpose()?.into_iter().flat_map(Object::iter) {
        if claims.claim(name).is_none() {
            return Err(format!("`ages` speaks of `{name}`, `claims` does not"));
        }
        claims.set_age(name, age(json, &format!("ages.{name}"))?);
    }
    Ok(claims)
}

fn age(json: &Json<'_>, at: &str) -> Result<core::time::Duration, String> {
    let text = json.as_str().ok_or_else(|| format!("`{at}` is not a duration"))?;
    parse_duration(text).map_err(|error| format!("`{at}`: {error}"))
}

fn read(given: &Object<'_>, catalog: &Catalog) -> Result<ClaimSet, String> {
    let mut claims = ClaimSet::new();
    for (name, json) in given.iter() {
        let known = catalog.claim(name).ok_or_else(|| {
            let near = catalog.nearest(name).map(|near| format!("; did you mean `{near}`?"));
            format!("no claim named `{name}`{}", near.unwrap_or_default())
        })?;
        claims.insert(name, value(json, &known.kind).map_err(|no| no.of(name))?);
    }
    Ok(claims)
}

/// What does not fit, and where in the claim: `[0].version` and `is not a version`. The place is put
/// together on the way out, so that claims that fit pay nothing for it.
struct Misfit {
    place: String,
    what: String,
}

impl Misfit {
    fn new(what: String) -> Self {
        Self { place: String::new(), what }
    }

    fn inside(mut self, place: &str) -> Self {
        self.place.insert_str(0, place);
        self
    }

    fn of(self, claim: &str) -> String {
        format!("`{claim}{}`{}", self.place, self.what)
    }
}

/// A value of the type.
fn value(json: &Json<'_>, kind: &Type) -> Result<Value, Misfit> {
    let wrong = || Misfit::new(format!(" is not a {kind}"));
    let text = || json.as_str().ok_or_else(wrong);
    let because = |error: &dyn core::fmt::Display| Misfit::new(format!(": {error}"));
    Ok(match kind {
        Type::Boolean => json.as_bool().ok_or_else(wrong)?.into(),
        Type::Integer => json.as_i64().ok_or_else(wrong)?.into(),
        Type::Text => text()?.into(),
        Type::Version => Value::Version(text()?.parse().map_err(|error| because(&error))?),
        Type::Duration => parse_duration(text()?).map_err(|error| because(&error))?.into(),
        Type::Digest => Digest::parse(text()?).map_err(|error| because(&error))?.into(),
        Type::Time => Value::Time(text()?.parse().map_err(|error| because(&error))?),
        Type::Map(element) => {
            let entries = json.as_object().ok_or_else(wrong)?.iter().map(|(name, json)| {
                let found = value(json, element);
                Ok((name.to_owned(), found.map_err(|no| no.inside(&format!("[\"{name}\"]")))?))
            });
            Value::Map(entries.collect::<Result<_, Misfit>>()?)
        }
        Type::List(element) => Value::List(elements(json, element)?),
        Type::Set(element) => Value::set(elements(json, element)?),
        Type::Record(fields) => record(json.as_object().ok_or_else(wrong)?, fields)?,
    })
}

fn elements(json: &Json<'_>, element: &Type) -> Result<Vec<Value>, Misfit> {
    let list = json.as_array().ok_or_else(|| Misfit::new(" is not a list".into()))?;
    let one = |(index, json): (usize, &Json<'_>)| {
        value(json, element).map_err(|no| no.inside(&format!("[{index}]")))
    };
    list.iter().enumerate().map(one).collect()
}

fn record(object: &Object<'_>, fields: &[(Cow<'static, str>, Type)]) -> Result<Value, Misfit> {
    if let Some(other) = object.keys().find(|key| !fields.iter().any(|(name, _)| name == key)) {
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
        let names = names.join(", ");
        return Err(Misfit::new(format!(" has no field `{other}`; its fields are {names}")));
    }
    // A field that is not there is one that nothing is said about.
    let given =
        fields.iter().filter_map(|(name, kind)| Some((name, kind, object.get(name.as_ref())?)));
    let one = |(name, kind, json): (&Cow<'static, str>, _, _)| {
        let found = value(json, kind).map_err(|no| no.inside(&format!(".{name}")))?;
        Ok((name.clone(), found))
    };
    given.map(one).collect::<Result<_, Misfit>>().map(Value::Record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn read(given: &Json) -> Result<ClaimSet, Error> {
        let json = json!({ "schema": SCHEMA, "claims": given }).to_string();
        from_file(json.as_bytes(), &crate::catalog())
    }

    #[test]
    fn each_type_has_its_form() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let claims = read(&json!({
            "boot.secure-boot": true, "ima.violations": 0, "element.kind": "tpm2",
            "agent.version": "1.4.2", "evidence.age": "90s", "boot.db": [digest],
            "reference.db": [digest], "components": [{ "name": "app", "version": 2 }],
        }))
        .unwrap();
        for (name, value) in claims.iter() {
            assert!(value.is(&crate::catalog().claim(name).unwrap().kind), "{name}");
        }
        assert_eq!(claims.iter().count(), 8);
        assert_eq!(from_json(&to_json(&claims), &crate::catalog()).unwrap(), claims);
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let cases = [
            (json!({ "boot.secureboot": true }), "did you mean `boot.secure-boot`?"),
            (json!({ "boot.secure-boot": "yes" }), "`boot.secure-boot` is not a boolean"),
            (json!({ "agent.version": "one" }), "`agent.version`: not a version"),
            (json!({ "boot.db": ["sha256:00"] }), "`boot.db[0]`: not as many"),
            (json!({ "components": [{ "nam": "a" }] }), "`components[0]` has no field `nam`"),
            (json!({ "components": [{ "version": -0.5 }] }), "`components[0].version` is not"),
        ];
        for (given, wanted) in cases {
            let told = read(&given).unwrap_err().to_string();
            assert!(told.contains(wanted), "{told}");
        }
        assert!(from_file(br#"{ "claims": {} }"#, &Catalog::new()).is_err());
    }

    #[test]
    fn json_is_read_as_it_always_was() {
        let catalog = crate::catalog();
        let of = |claims: &str, more: &str| {
            let text = format!(r#"{{ "schema": "{SCHEMA}", "claims": {{ {claims} }} {more} }}"#);
            from_file(text.as_bytes(), &catalog)
        };
        // What is escaped is not what stands there.
        let read = of(r#""element.kind": "tp\u006d2", "device\u002eid": "a\n\"b""#, "").unwrap();
        assert_eq!(read.claim("element.kind"), Some(&"tpm2".into()));
        assert_eq!(read.claim("device.id"), Some(&"a\n\"b".into()));
        // Of what is said twice, the last counts.
        let twice = of(r#""element.kind": "a", "element.kind": "b""#, "").unwrap();
        assert_eq!(twice.claim("element.kind"), Some(&"b".into()));
        let twice = of(r#""components": [{ "name": "a", "name": "b" }]"#, "").unwrap();
        let part = twice.claim("components").unwrap().elements().unwrap();
        assert_eq!(part[0].field("name"), Some(&"b".into()));
        let number = |text: &str| of(&format!(r#""ima.violations": {text}"#), "");
        for good in ["0", "-7", "9223372036854775807"] {
            let wanted: i64 = good.parse().unwrap();
            assert_eq!(number(good).unwrap().claim("ima.violations"), Some(&wanted.into()));
        }
        for bad in ["1.0", "1e2", "9223372036854775808", "null", "[]", "true"] {
            let told = number(bad).unwrap_err().to_string();
            assert!(told.contains("`ima.violations` is not a"), "{bad}: {told}");
        }
        let told = of(r#""element.kind": "a""#, r#", "ages": { "device.id": "1s" }"#).unwrap_err();
        assert!(told.to_string().contains("`ages` speaks of `device.id`"), "{told}");
        let deep = "[".repeat(100_000);
        assert!(from_file(deep.as_bytes(), &catalog).unwrap_err().to_string().contains("not JSON"));
    }
}
