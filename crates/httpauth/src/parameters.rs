//! `name=value` and `name="value"`, with commas between (RFC 9110 §11.2, §5.6).

use crate::Error;
use alloc::string::String;
use alloc::vec::Vec;

const MOST_OCTETS: usize = 4096;
const MOST_PARAMETERS: usize = 24;

/// The parameters of a header, names in lower case.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MOST_OCTETS {
            return Err(Error::Malformed);
        }
        let mut found: Vec<(String, String)> = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (name, behind) = rest.split_once('=').ok_or(Error::Malformed)?;
            let name = name.trim().to_ascii_lowercase();
            if name.is_empty()
                || !name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_*".contains(&c))
            {
                return Err(Error::Malformed);
            }
            let (value, behind) = value(behind.trim_start())?;
            if found.len() >= MOST_PARAMETERS || found.iter().any(|(known, _)| *known == name) {
                return Err(Error::Parameters);
            }
            found.push((name, value));
            let behind = behind.trim_start();
            rest = match behind.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if behind.is_empty() => behind,
                None => return Err(Error::Malformed),
            };
        }
        Ok(Self(found))
    }

    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn need(&self, name: &str) -> Result<String, Error> {
        self.one(name).map(String::from).ok_or(Error::Parameters)
    }
}

/// A value, and what follows it.
fn value(text: &str) -> Result<(String, &str), Error> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Ok((value.trim_end().into(), rest));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Ok((value, quoted.get(at + 1..).unwrap_or_default())),
            c if c.is_control() => return Err(Error::Malformed),
            c => value.push(c),
        }
    }
    Err(Error::Malformed)
}

/// A quoted string.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}
