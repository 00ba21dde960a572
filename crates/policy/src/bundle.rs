//! A policy together with those that it extends, as one text; and back from a place in it to the
//! file that it came from. Finding the files is for the caller.

use crate::lex::{self, Token};
use crate::{Limits, Position};
use alloc::string::String;
use alloc::vec::Vec;

/// A policy behind its bases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: String,
    /// The first line of the part in the whole.
    first: u32,
    /// Where its text ends in the whole.
    end: usize,
}

impl Bundle {
    /// Puts a policy behind its bases. `find` gets the name of a base, and gives the name of its
    /// file and its text; without one the policy stays as it is, and its loading tells what is
    /// missing.
    pub fn gather<E>(
        file: &str,
        text: String,
        mut find: impl FnMut(&str) -> Result<Option<(String, String)>, E>,
    ) -> Result<Self, E> {
        let mut files = alloc::vec![(String::from(file), text)];
        while files.len() < Limits::LAYERS {
            let Some(base) = files.last().and_then(|(_, text)| base_of(text)) else { break };
            match find(&base)? {
                Some(found) => files.push(found),
                None => break,
            }
        }
        let mut bundle = Self { text: String::new(), parts: Vec::new() };
        for (name, text) in files.into_iter().rev() {
            if !bundle.text.is_empty() && !bundle.text.ends_with('\n') {
                bundle.text.push('\n');
            }
            let lines = bundle.text.bytes().filter(|octet| *octet == b'\n').count();
            let first = u32::try_from(lines).unwrap_or(u32::MAX);
            bundle.text.push_str(&text);
            bundle.parts.push(Part { name, first, end: bundle.text.len() });
        }
        Ok(bundle)
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text up to and with each policy, the base alone first.
    pub fn prefixes(&self) -> impl Iterator<Item = (&str, &str)> {
        let prefix = |part: &Part| self.text.get(..part.end).unwrap_or_default();
        self.parts.iter().map(move |part| (part.name.as_str(), prefix(part)))
    }

    /// The file and the place in it, of a place in the whole.
    pub fn place(&self, at: Position) -> (&str, Position) {
        let part = self.parts.iter().rev().find(|part| part.first < at.line);
        let Some(part) = part.or(self.parts.first()) else { return ("", at) };
        (&part.name, Position { line: at.line.saturating_sub(part.first), column: at.column })
    }
}

/// The name of the policy that the first one of a text extends.
fn base_of(text: &str) -> Option<String> {
    let (tokens, _) = lex::tokens(text, &mut Vec::new());
    let word = |at: usize| tokens.get(at).map_or(&Token::End, |placed| &placed.token);
    // policy NAME version N schema N extends NAME
    let extends = word(0).name() == Some("policy") && word(6).name() == Some("extends");
    if extends { word(7).name().map(String::from) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_come_first_and_places_lead_back() {
        let site = "policy site version 1 schema 1 extends base version 1\n# a\n";
        let base = "policy base version 1 schema 1\n# b";
        let found = |name: &str| -> Result<_, ()> {
            Ok((name == "base").then(|| ("base.policy".into(), base.into())))
        };
        let bundle = Bundle::gather("site.policy", site.into(), found).unwrap();
        assert_eq!(bundle.text(), alloc::format!("{base}\n{site}"));
        let place = |line, column| {
            let (file, at) = bundle.place(Position { line, column });
            (file, at.line, at.column)
        };
        assert_eq!(place(2, 3), ("base.policy", 2, 3));
        assert_eq!(place(3, 8), ("site.policy", 1, 8));
        assert_eq!(place(4, 1), ("site.policy", 2, 1));
        let prefixes: Vec<_> = bundle.prefixes().collect();
        assert_eq!(prefixes[0], ("base.policy", base));
        assert_eq!(prefixes[1], ("site.policy", bundle.text()));
    }

    #[test]
    fn policies_that_extend_each_other_come_to_an_end() {
        let text = "policy a version 1 schema 1 extends a version 1\n";
        let found = |name: &str| -> Result<_, ()> { Ok(Some((name.into(), text.into()))) };
        let bundle = Bundle::gather("a", text.into(), found).unwrap();
        assert_eq!(bundle.prefixes().count(), Limits::LAYERS);
    }
}
