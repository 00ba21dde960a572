//! What a product adds to the words of policies, as a file in TOML: claims of its own, and
//! countermeasures. Functions are code, and are added to the [`Catalog`] itself.
//!
//! ```toml
//! schema = "touchstone.policy-words/1"
//! extends = 1                         # the claims' schema that it goes with
//!
//! [[claim]]
//! name  = "pump.seals"
//! type  = "list of record { name text, broken boolean }"
//! about = "the seals of its housing"
//!
//! [[countermeasure]]
//! name  = "close-valve"
//! grade = "contain"                   # observe, contain, recover or revoke
//! about = "close the inlet valve"
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::Deserialize;
use touchstone_policy::{Catalog, Grade, Type};

/// The schema that such a file names.
pub const SCHEMA: &str = "touchstone.policy-words/1";

/// The file is not as it should be: where, what, and the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        "appraise.extension"
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Error {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    extends: u32,
    #[serde(default)]
    claim: Vec<Claim>,
    #[serde(default)]
    countermeasure: Vec<Countermeasure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    name: String,
    r#type: String,
    about: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Countermeasure {
    name: String,
    grade: String,
    about: String,
}

/// The catalogue with what the file adds. Nothing that is known may be declared anew.
pub fn extend(mut catalog: Catalog, text: &str) -> Result<Catalog, Error> {
    let file: File = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Error(format!("line {line}: {}", error.message().trim_end()))
    })?;
    if file.schema != SCHEMA {
        return Err(Error(format!("its `schema` is not \"{SCHEMA}\"")));
    }
    if file.extends != catalog.schema() {
        let (found, known) = (file.extends, catalog.schema());
        return Err(Error(format!(
            "it extends schema {found} of the claims, which are at {known}; look through what \
             changed, then write `extends = {known}`"
        )));
    }
    for claim in file.claim {
        let name = word(&claim.name, true)?;
        if catalog.claim(name).is_some() {
            return Err(Error(format!("`{name}` is a claim already; take another name")));
        }
        let kind: Type = claim
            .r#type
            .parse()
            .map_err(|error| Error(format!("the type of `{name}`: {error}")))?;
        catalog = catalog.with(name, kind, &claim.about);
    }
    for countermeasure in file.countermeasure {
        let name = word(&countermeasure.name, false)?;
        if catalog.countermeasure(name).is_some() {
            return Err(Error(format!("`{name}` is a countermeasure already; take another name")));
        }
        let grade = Grade::from_name(&countermeasure.grade).ok_or_else(|| {
            let names = Grade::ALL.map(Grade::name).join(", ");
            Error(format!("the grade of `{name}` is not one of {names}"))
        })?;
        catalog = catalog.with_countermeasure(name, grade, &countermeasure.about);
    }
    Ok(catalog)
}

/// A name that a policy can write: a claim's has a dot, so that it never is a word of the grammar.
fn word(name: &str, dotted: bool) -> Result<&str, Error> {
    let good = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let whole = name.len() <= 80 && name.split('.').all(good) && name.contains('.') == dotted;
    if whole && !name.starts_with("reference.") {
        return Ok(name);
    }
    let form = if dotted { "`product.word`, and not `reference.`" } else { "`close-valve`" };
    let shown: String = name.chars().take(40).collect();
    Err(Error(format!("{shown:?} is no name for it; write it as {form}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use touchstone_policy::Policy;

    const FILE: &str = r#"schema = "touchstone.policy-words/1"
extends = 1

[[claim]]
name = "pump.seals"
type = "list of record { name text, broken boolean }"
about = "the seals of its housing"

[[countermeasure]]
name = "close-valve"
grade = "contain"
about = "close the inlet valve"
"#;

    #[test]
    fn a_product_brings_its_own_words() {
        let policy = r#"policy pump version 1 schema 1
            control seals { title "whole" severity high else hardware contraindicated
              require pump.seals is not empty and every seal in pump.seals: not seal.broken
              do alert, close-valve }"#;
        let catalog = extend(crate::catalog(), FILE).unwrap();
        assert!(Policy::parse(policy, &catalog).is_ok());
        assert_eq!(Policy::parse(policy, &crate::catalog()).unwrap_err().len(), 3);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (from, to, told) in [
            ("extends = 1", "extends = 2", "it extends schema 2 of the claims, which are at 1"),
            ("pump.seals", "boot.pk", "`boot.pk` is a claim already"),
            ("pump.seals", "seals", "is no name for it"),
            ("pump.seals", "reference.seals", "is no name for it"),
            ("text, broken boolean", "txt", "the type of `pump.seals`: no type at `txt"),
            ("close-valve", "alert", "`alert` is a countermeasure already"),
            ("contain\"", "maim\"", "the grade of `close-valve` is not one of observe, contain"),
            ("about = \"close", "abut = \"close", "line 12: unknown field `abut`"),
            ("policy-words/1", "policy-words/2", "its `schema` is not"),
        ] {
            let error = extend(crate::catalog(), &FILE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(told), "{from} -> {to}: {error}");
        }
    }
}
