//! Keylime's runtime policies (JSON) and its older allowlists (a digest and a path a line).
//!
//! Everything in a policy is taken over or refused by its name. Exclusions are regular expressions
//! there and the beginnings of paths here: those that say no more than a beginning are taken over.

use super::imported::{AS_SHA256, Files, Imported, digest, refuse};
use super::{Error, MAX_DOCUMENT, Publisher, ReferenceValue, limits};
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value as Json};
use touchstone_crypto::HashAlgorithm;

/// The version of policies that is known.
const VERSION: u64 = 1;
/// IMA's aggregate over the boot PCRs, which is no file.
const BOOT_AGGREGATE: &str = "boot_aggregate";

/// Reads either: a policy begins with `{`.
pub fn import(octets: &[u8]) -> Result<Imported, Error> {
    if octets.len() > MAX_DOCUMENT {
        return Err(Error::TooLarge);
    }
    let text = core::str::from_utf8(octets)
        .map_err(|error| Error::Json { line: 1, why: format!("not UTF-8: {error}") })?;
    let imported =
        if text.trim_start().starts_with('{') { policy(text)? } else { allowlist(text)? };
    limits::check(imported.values.iter())?;
    Ok(imported)
}

fn policy(text: &str) -> Result<Imported, Error> {
    let json: Map<String, Json> = serde_json::from_str(text)
        .map_err(|error| Error::Json { line: error.line(), why: error.to_string() })?;
    let mut policy = Policy::default();
    for (name, value) in &json {
        match name.as_str() {
            "meta" => meta(value)?,
            // A counter of Keylime's own, which has no meaning for the devices.
            "release" => drop(whole(value, "release")?),
            "digests" => policy.digests(value)?,
            "excludes" => policy.excludes(value)?,
            "keyrings" => policy.buffers("keyrings", value)?,
            "ima-buf" => policy.buffers("ima-buf", value)?,
            "ima" => policy.ima(value)?,
            "verification-keys" => policy.verification_keys(value)?,
            other => return refuse(other, "not a member of a runtime policy of version 1"),
        }
    }
    for wanted in ["meta", "digests"] {
        if !json.contains_key(wanted) {
            return refuse(wanted, "missing; this is no runtime policy");
        }
    }
    if policy.files.has(HashAlgorithm::Sha256) {
        policy.imported.notes.push(AS_SHA256.into());
    }
    policy.imported.values.extend(policy.files.into_values());
    Ok(policy.imported)
}

#[derive(Default)]
struct Policy {
    files: Files,
    imported: Imported,
}

impl Policy {
    fn digests(&mut self, value: &Json) -> Result<(), Error> {
        for (path, digests) in object(value, "digests")? {
            if path == BOOT_AGGREGATE {
                self.boot_aggregate("digests");
                continue;
            }
            self.file(&format!("digests.{path}"), path, digests)?;
        }
        Ok(())
    }

    fn boot_aggregate(&mut self, at: &str) {
        self.imported.notes.push(format!(
            "{at}: boot_aggregate is not taken over; the claim ima.boot-aggregate compares it with \
             the quoted PCRs"
        ));
    }

    fn file(&mut self, at: &str, path: &str, digests: &Json) -> Result<(), Error> {
        limits::check_path(path)?;
        let digests = array(digests, at)?;
        if digests.is_empty() {
            return refuse(at, "no digest");
        }
        for (number, hex) in digests.iter().enumerate() {
            let at = format!("{at}[{number}]");
            let Some(digest) = digest(text(hex, &at)?) else {
                let why = "not a digest of SHA-1, SHA-256, SHA-384 or SHA-512 in hexadecimal";
                return refuse(at, why);
            };
            self.files.add(path, digest);
        }
        Ok(())
    }

    /// Buffers that IMA measures by a name: keys by that of their keyring.
    fn buffers(&mut self, member: &str, value: &Json) -> Result<(), Error> {
        for (name, digests) in object(value, member)? {
            self.file(&format!("{member}.{name}"), name, digests)?;
        }
        Ok(())
    }

    fn excludes(&mut self, value: &Json) -> Result<(), Error> {
        for (number, expression) in array(value, "excludes")?.iter().enumerate() {
            let at = format!("excludes[{number}]");
            match beginning(text(expression, &at)?) {
                Some(Excluded::Prefix(path)) if path == BOOT_AGGREGATE => self.boot_aggregate(&at),
                Some(Excluded::Name(name)) if name == BOOT_AGGREGATE => self.boot_aggregate(&at),
                Some(Excluded::Prefix(prefix)) => {
                    self.imported.values.push(ReferenceValue::FileExclude { prefix });
                }
                Some(Excluded::Name(path)) => {
                    self.imported.values.push(ReferenceValue::FileIgnore { path });
                }
                None => {
                    let why = format!(
                        "the expression {expression} says more than a path or its beginning; \
                         write the folders that it means one by one"
                    );
                    return refuse(at, why);
                }
            }
        }
        Ok(())
    }

    fn ima(&mut self, value: &Json) -> Result<(), Error> {
        for (name, value) in object(value, "ima")? {
            match name.as_str() {
                "ignored_keyrings" => self.ignored_keyrings(value)?,
                // Of the list's own template digests, which nothing here relies on.
                "log_hash_alg" => {
                    let known = ["sha1", "sha256", "sha384", "sha512"];
                    if !known.contains(&text(value, "ima.log_hash_alg")?) {
                        return refuse("ima.log_hash_alg", format!("{value} is not known"));
                    }
                }
                "dm_policy" if value.is_null() => {}
                "dm_policy" => {
                    let why = "rules for device-mapper events have no counterpart here";
                    return refuse("ima.dm_policy", why);
                }
                other => return refuse(format!("ima.{other}"), "not a member that is known"),
            }
        }
        Ok(())
    }

    fn ignored_keyrings(&mut self, value: &Json) -> Result<(), Error> {
        for (number, keyring) in array(value, "ima.ignored_keyrings")?.iter().enumerate() {
            let at = format!("ima.ignored_keyrings[{number}]");
            let path = text(keyring, &at)?.to_owned();
            if path == "*" {
                return refuse(
                    at,
                    "every keyring cannot be ignored here; name those that are meant",
                );
            }
            self.imported.values.push(ReferenceValue::FileIgnore { path });
        }
        Ok(())
    }

    /// A keyring as JSON in a text: `{"pubkeys": [base64, ...], "keyids": [number, ...]}`.
    fn verification_keys(&mut self, value: &Json) -> Result<(), Error> {
        const AT: &str = "verification-keys";
        let keys = text(value, AT)?;
        if keys.trim().is_empty() {
            return Ok(());
        }
        let Ok(Json::Object(keyring)) = serde_json::from_str(keys) else {
            return refuse(AT, "not a keyring in JSON");
        };
        if let Some(other) = keyring.keys().find(|k| !matches!(k.as_str(), "pubkeys" | "keyids")) {
            return refuse(format!("{AT}.{other}"), "not a member of a keyring");
        }
        let none = Json::Array(Vec::new());
        let ids = array(keyring.get("keyids").unwrap_or(&none), AT)?;
        let keys = array(keyring.get("pubkeys").unwrap_or(&none), AT)?;
        for (number, key) in keys.iter().enumerate() {
            let at = format!("{AT}.pubkeys[{number}]");
            let Ok(key) = Base64::decode_vec(text(key, &at)?) else {
                return refuse(at, "not Base64");
            };
            let id = ids.get(number).map(|id| whole(id, &at)).transpose()?;
            let Some(id) = id.map(u32::try_from).transpose().ok().flatten() else {
                return refuse(at, "its key id is missing or not of 32 bits");
            };
            let name = format!("keylime-key-{id:08x}");
            self.imported.notes.push(format!(
                "{at}: is the publisher {name}; what signatures name it by is worked out from the key"
            ));
            self.imported.values.push(ReferenceValue::Publisher(Publisher {
                name,
                key,
                paths: Vec::new(),
                good_until: None,
                known_until: None,
            }));
        }
        Ok(())
    }
}

fn meta(value: &Json) -> Result<(), Error> {
    for (name, value) in object(value, "meta")? {
        match name.as_str() {
            "version" if value.as_u64() == Some(VERSION) => {}
            "version" => return refuse("meta.version", format!("{value} is not known; 1 is")),
            "generator" | "timestamp" => {}
            other => return refuse(format!("meta.{other}"), "not a member that is known"),
        }
    }
    Ok(())
}

/// What an expression means that matches from the start of a path on, as Python's `re.match`.
enum Excluded {
    Prefix(String),
    Name(String),
}

fn beginning(expression: &str) -> Option<Excluded> {
    let expression = expression.strip_prefix('^').unwrap_or(expression);
    let (body, exact) = match expression.strip_suffix(".*$").or(expression.strip_suffix(".*")) {
        Some(body) => (body, false),
        None => match expression.strip_suffix('$') {
            Some(body) if !body.ends_with('\\') => (body, true),
            _ => (expression, false),
        },
    };
    let mut literal = String::new();
    let mut characters = body.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let escaped = characters.next().filter(|c| !c.is_alphanumeric())?;
                literal.push(escaped);
            }
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return None;
            }
            other => literal.push(other),
        }
    }
    if literal.is_empty() {
        return None;
    }
    Some(if exact { Excluded::Name(literal) } else { Excluded::Prefix(literal) })
}

/// `<hex>  <path>` as `sha256sum` prints it, with `<algorithm>:` before the digest or without.
fn allowlist(text: &str) -> Result<Imported, Error> {
    let mut files = Files::default();
    let mut imported = Imported::default();
    let mut guessed = false;
    for (number, line) in (1u32..).zip(text.lines()) {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let at = format!("line {number}");
        let Some((hex, path)) = line.split_once(|c: char| c.is_ascii_whitespace()) else {
            return refuse(at, "not a digest and a path");
        };
        let path = path.trim_start();
        // Programs that print binary files put a star before the path.
        let path = path.strip_prefix('*').unwrap_or(path);
        let found = if let Some((_, digits)) = hex.split_once(':') {
            touchstone_crypto::Digest::parse(hex).ok().filter(|_| !digits.is_empty())
        } else {
            let found = digest(hex);
            guessed |= found.is_some_and(|of| of.algorithm() == HashAlgorithm::Sha256);
            found
        };
        let Some(digest) = found else {
            return refuse(at, format!("`{hex}` is not a digest of an algorithm that is known"));
        };
        limits::check_path(path)?;
        if path == BOOT_AGGREGATE {
            let note = "boot_aggregate is not taken over; the claim ima.boot-aggregate compares it \
                        with the quoted PCRs";
            imported.notes.push(format!("{at}: {note}"));
        } else {
            files.add(path, digest);
        }
    }
    if guessed {
        imported.notes.push(AS_SHA256.into());
    }
    imported.values.extend(files.into_values());
    if imported.values.is_empty() {
        return refuse("the file", "no digest in it");
    }
    Ok(imported)
}

fn object<'j>(value: &'j Json, at: &str) -> Result<&'j Map<String, Json>, Error> {
    value.as_object().map_or_else(|| refuse(at, "not an object"), Ok)
}

fn array<'j>(value: &'j Json, at: &str) -> Result<&'j [Json], Error> {
    value.as_array().map_or_else(|| refuse(at, "not an array"), |array| Ok(array.as_slice()))
}

fn text<'j>(value: &'j Json, at: &str) -> Result<&'j str, Error> {
    value.as_str().map_or_else(|| refuse(at, "not a text"), Ok)
}

fn whole(value: &Json, at: &str) -> Result<u64, Error> {
    value.as_u64().map_or_else(|| refuse(at, "not a whole number"), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> ReferenceValue {
        ReferenceValue::File { path: path.into(), digest: digest(text).unwrap() }
    }

    #[test]
    fn a_policy_is_taken_over_whole() {
        let [one, two, three] = ["11".repeat(20), "22".repeat(32), "33".repeat(32)];
        let json = serde_json::json!({
            "meta": { "version": 1, "generator": 3, "timestamp": "today" },
            "release": 0,
            "digests": { "/usr/bin/a": [one], "/usr/bin/b": [two, three], "boot_aggregate": [two] },
            "excludes": ["boot_aggregate", "/tmp/", "^/var/log/.*$", r"/etc/resolv\.conf$"],
            "keyrings": { ".ima": [two] },
            "ima": { "ignored_keyrings": [".evm"], "log_hash_alg": "sha1", "dm_policy": null },
            "ima-buf": { "kernel_version": [three] },
            "verification-keys": "",
        });
        let imported = import(json.to_string().as_bytes()).unwrap();
        let expected = [
            ReferenceValue::FileExclude { prefix: "/tmp/".into() },
            ReferenceValue::FileExclude { prefix: "/var/log/".into() },
            ReferenceValue::FileIgnore { path: "/etc/resolv.conf".into() },
            ReferenceValue::FileIgnore { path: ".evm".into() },
            file(".ima", &two),
            file("/usr/bin/a", &one),
            ReferenceValue::FileVariants {
                path: "/usr/bin/b".into(),
                digests: vec![digest(&two).unwrap(), digest(&three).unwrap()],
            },
            file("kernel_version", &three),
        ];
        let mut values = imported.values.clone();
        values.sort();
        let mut wanted = expected.to_vec();
        wanted.sort();
        assert_eq!(values, wanted);
        assert_eq!(imported.notes.len(), 3, "{:?}", imported.notes);
        assert_eq!(imported.notes[2], AS_SHA256);
        let told = |text: String| import(text.as_bytes()).unwrap().notes;
        assert_eq!(told(format!("{two}  /usr/bin/a")), [AS_SHA256]);
        assert_eq!(told(format!("sha256:{two}  /usr/bin/a")), [""; 0]);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let with = |member: &str, value: &str| {
            format!(r#"{{ "meta": {{ "version": 1 }}, "digests": {{}}, "{member}": {value} }}"#)
        };
        let cases = [
            (with("digest", "{}"), "digest:"),
            (with("excludes", r#"["/home/[a-z]+/"]"#), "excludes[0]: the expression"),
            (with("excludes", r#"["/a|/b"]"#), "excludes[0]:"),
            (with("excludes", r#"["/a\\d"]"#), "excludes[0]:"),
            (with("ima", r#"{ "dm_policy": {} }"#), "ima.dm_policy:"),
            (with("ima", r#"{ "ignored_keyrings": ["*"] }"#), "ima.ignored_keyrings[0]:"),
            (with("keyrings", r#"{ ".ima": ["00"] }"#), "keyrings..ima[0]:"),
            (with("verification-keys", r#""{\"pubkeys\":[\"AA==\"]}""#), "pubkeys[0]:"),
            (with("verification-keys", r#""[]""#), "verification-keys:"),
            (r#"{ "meta": { "version": 2 }, "digests": {} }"#.into(), "meta.version:"),
            (r#"{ "meta": { "version": 1 } }"#.into(), "digests: missing"),
            ("00  /usr/bin/a\n".into(), "line 1: `00`"),
            ("sm3_256:00 /a".into(), "line 1:"),
            ("what".into(), "line 1: not a digest and a path"),
            ("# nothing\n".into(), "no digest in it"),
        ];
        for (given, wanted) in cases {
            let told = import(given.as_bytes()).unwrap_err();
            assert!(told.to_string().contains(wanted), "{given}: {told}");
            assert_eq!(told.code(), "references.not-understood");
        }
        let path = with("digests", "1").replace("\"digests\": {}, ", "");
        assert_eq!(import(path.as_bytes()).unwrap_err().to_string(), "digests: not an object");
        let line = format!("{}  /usr/../bin/a", "11".repeat(20));
        assert_eq!(import(line.as_bytes()).unwrap_err().code(), "references.path");
    }
}
