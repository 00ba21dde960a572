//! Types as they are written: `list of record { event integer, why text }`.

use crate::Type;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// Types within types.
const DEPTH: usize = 16;

/// The text is not a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTypeError(String);

impl fmt::Display for ParseTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no type at `{}`; write boolean, integer, text, version, duration, digest, time, \
             certificate, `list of TYPE`, `set of TYPE`, `map of TYPE`, or `record {{ NAME TYPE, .. }}`",
            self.0
        )
    }
}

impl core::error::Error for ParseTypeError {}

impl FromStr for Type {
    type Err = ParseTypeError;

    fn from_str(text: &str) -> Result<Self, ParseTypeError> {
        let mut words = words(text);
        words.reverse();
        let fail = |words: &[&str]| {
            let rest: Vec<&str> = words.iter().rev().copied().take(4).collect();
            ParseTypeError(rest.join(" ").chars().take(40).collect())
        };
        let Some(kind) = read(&mut words, 0) else { return Err(fail(&words)) };
        if words.is_empty() { Ok(kind) } else { Err(fail(&words)) }
    }
}

/// Words, braces and commas.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(at) = rest.find(['{', '}', ',']) {
            let (before, after) = rest.split_at(at);
            let (mark, after) = after.split_at(1);
            words.extend([before, mark].into_iter().filter(|word| !word.is_empty()));
            rest = after;
        }
        words.extend((!rest.is_empty()).then_some(rest));
    }
    words
}

fn read(words: &mut Vec<&str>, depth: usize) -> Option<Type> {
    if depth > DEPTH {
        return None;
    }
    let word = *words.last()?;
    let scalar = match word {
        "boolean" => Some(Type::Boolean),
        "integer" => Some(Type::Integer),
        "text" => Some(Type::Text),
        "version" => Some(Type::Version),
        "duration" => Some(Type::Duration),
        "digest" => Some(Type::Digest),
        "time" => Some(Type::Time),
        "certificate" => Some(Type::certificate()),
        _ => None,
    };
    if scalar.is_some() {
        words.pop();
        return scalar;
    }
    if word == "record" {
        words.pop();
        return record(words, depth);
    }
    if !matches!(word, "list" | "set" | "map") {
        return None;
    }
    words.pop();
    words.pop_if(|word| *word == "of")?;
    let element = read(words, depth + 1)?;
    match word {
        "list" => Some(Type::list(element)),
        "map" => Some(Type::map(element)),
        // What is looked up has to be comparable as a whole.
        _ => element.is_scalar().then(|| Type::set(element)),
    }
}

fn record(words: &mut Vec<&str>, depth: usize) -> Option<Type> {
    words.pop_if(|word| *word == "{")?;
    let mut fields: Vec<(Cow<'static, str>, Type)> = Vec::new();
    while words.pop_if(|word| *word == "}").is_none() {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let fresh = |word: &&str| !fields.iter().any(|(known, _)| known == word);
        let begins = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
        let word = words.last().copied().filter(|word| word.chars().all(good));
        let name = word.filter(begins).filter(fresh).map(String::from)?;
        words.pop();
        let kind = read(words, depth + 1)?;
        fields.push((Cow::Owned(name), kind));
        if words.last() != Some(&"}") {
            words.pop_if(|word| *word == ",")?;
        }
    }
    Some(Type::Record(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_type_reads_back() {
        for text in [
            "boolean",
            "list of text",
            "set of digest",
            "map of list of time",
            "certificate",
            "list of record { a integer, b record { c version } }",
            "record { }",
        ] {
            assert_eq!(text.parse::<Type>().unwrap().to_string(), text);
        }
        assert_eq!("map of certificate".parse::<Type>(), Ok(Type::map(Type::certificate())));
    }

    #[test]
    fn what_is_no_type_is_told() {
        for bad in [
            "",
            "number",
            "list text",
            "list of",
            "set of list of text",
            "record { a }",
            "record { a text, a text }",
            "record { a text",
            "text text",
            "record { .a text }",
        ] {
            assert!(bad.parse::<Type>().is_err(), "{bad}");
        }
        assert!("list of ".repeat(10_000).parse::<Type>().is_err());
    }
}
