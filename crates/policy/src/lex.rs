//! Words and literals of a policy's text, with their places. What they mean together is for
//! `parse`.

use crate::Time;
use crate::fault::{Fault, FaultKind, Position};
use crate::value::{UNITS, Value, Version, parse_duration};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use touchstone_crypto::{Digest, HashAlgorithm};

/// Longest text literal and longest name, in octets.
pub(crate) const MAX_TEXT: usize = 8 * 1024;
pub(crate) const MAX_NAME: usize = 80;
/// Faults that are noted before they are sorted and the first are told.
pub(crate) const MAX_FAULTS: usize = 400;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword, claim or variable: `[a-z][a-z0-9_-]*` with dots between.
    Name(String),
    Literal(Value),
    Symbol(&'static str),
    /// What was meant to be a name or a literal; its fault is noted.
    Bad,
    End,
}

impl Token {
    pub(crate) fn is(&self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(own) if *own == symbol)
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }

    /// As a fault speaks of it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Literal(value) => {
                let shown = value.to_string();
                if shown.chars().count() > 40 {
                    "a long literal".into()
                } else {
                    format!("`{shown}`")
                }
            }
            Self::Symbol(symbol) => format!("`{symbol}`"),
            Self::Bad => "what cannot be read".into(),
            Self::End => "the end of the policy".into(),
        }
    }
}

/// Longest first, so that `<=` is not `<`.
const SYMBOLS: [&str; 17] =
    ["==", "!=", "<=", ">=", "<", ">", "{", "}", "(", ")", "[", "]", ",", ":", ".", "+", "="];

/// A token, its place, and its octets in the text.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) at: Position,
    pub(crate) octets: Range<usize>,
}

/// What stands from `#` to the end of a line.
#[derive(Clone, Debug)]
pub(crate) struct Comment<'a> {
    pub(crate) text: &'a str,
    /// The index of the token that comes after it.
    pub(crate) before: usize,
    /// Nothing else stands on its line.
    pub(crate) alone: bool,
    pub(crate) line: u32,
}

/// The tokens of `text`, always with [`Token::End`] last, and its comments. What is no token is a
/// fault; a stray character is left out.
pub(crate) fn tokens<'a>(
    text: &'a str,
    faults: &mut Vec<Fault>,
) -> (Vec<Placed>, Vec<Comment<'a>>) {
    let at = Position { line: 1, column: 1 };
    let mut lexer = Lexer { whole: text, rest: text, at, faults, comments: Vec::new() };
    let mut tokens: Vec<Placed> = Vec::new();
    let mut line = 0;
    loop {
        lexer.skip_blank(tokens.len(), line);
        let (at, start) = (lexer.at, lexer.offset());
        let token = match lexer.token(at) {
            Some(Token::End) => break,
            Some(token) => token,
            None => continue,
        };
        tokens.push(Placed { token, at, octets: start..lexer.offset() });
        line = at.line;
    }
    let end = text.len();
    tokens.push(Placed { token: Token::End, at: lexer.at, octets: end..end });
    (tokens, lexer.comments)
}

struct Lexer<'a, 'f> {
    whole: &'a str,
    rest: &'a str,
    at: Position,
    faults: &'f mut Vec<Fault>,
    comments: Vec<Comment<'a>>,
}

impl<'a> Lexer<'a, '_> {
    const fn offset(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    fn token(&mut self, at: Position) -> Option<Token> {
        let Some(first) = self.rest.chars().next() else { return Some(Token::End) };
        if first == '"' {
            return Some(self.text(at));
        }
        if first.is_ascii_digit() || (first == '-' && self.digit_follows()) {
            return Some(self.number(at));
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Some(self.word(at));
        }
        // A sign before a span of time has a space behind it: `now - 30d`.
        if self.rest.starts_with("- ") {
            self.take(1);
            return Some(Token::Symbol("-"));
        }
        if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| self.rest.starts_with(symbol)) {
            self.take(symbol.len());
            return Some(Token::Symbol(symbol));
        }
        self.take(first.len_utf8());
        if self.faults.len() >= MAX_FAULTS {
            return None;
        }
        let remedy = match first {
            '-' => "put a space on each side of a minus",
            '\'' => "put text between double quotes",
            '/' => "a comment starts with `#`",
            '!' | '&' | '|' => "write the words `not`, `and`, `or`",
            _ => "remove it, or put text between double quotes",
        };
        let mut shown = String::new();
        // Writing to a String does not fail.
        let _ = crate::value::write_text(&mut shown, first.encode_utf8(&mut [0; 4]));
        self.fault(at, format!("no use for the character {}", shown.replace('"', "`")), remedy);
        None
    }

    fn digit_follows(&self) -> bool {
        self.rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
    }

    fn word(&mut self, at: Position) -> Token {
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        if HashAlgorithm::from_name(word).is_some() && self.hex_follows() {
            self.take(1);
            let hex = self.take_while(|c| c.is_ascii_alphanumeric());
            return match Digest::parse(&format!("{word}:{hex}")) {
                Ok(digest) => Token::Literal(Value::Digest(digest)),
                Err(error) => self.fault(
                    at,
                    format!("bad digest: {error}"),
                    "write the algorithm, a colon and every hexadecimal digit",
                ),
            };
        }
        match word {
            "true" => Token::Literal(Value::Boolean(true)),
            "false" => Token::Literal(Value::Boolean(false)),
            _ if word.len() > MAX_NAME => {
                self.fault(at, "name too long".into(), "a name has at most 80 characters")
            }
            _ if word.ends_with('.') || word.contains("..") => self.fault(
                at,
                format!("`{word}` is no name"),
                "put one dot between words and none at the end",
            ),
            _ => Token::Name(word.into()),
        }
    }

    fn hex_follows(&self) -> bool {
        let mut next = self.rest.chars();
        next.next() == Some(':') && next.next().is_some_and(|c| c.is_ascii_hexdigit())
    }

    /// A time, if what comes looks like one.
    fn time(&mut self, at: Position) -> Option<Token> {
        let form = self.rest.as_bytes();
        let year = form.iter().take(4).all(u8::is_ascii_digit);
        if !year || form.get(4) != Some(&b'-') || !form.get(5).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let body = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | ':'));
        Some(match body.parse::<Time>() {
            Ok(time) => Token::Literal(Value::Time(time)),
            Err(error) => {
                let shown: String = body.chars().take(40).collect();
                let remedy = "write a day that there is, and the time of day in UTC";
                self.fault(at, format!("`{shown}` is {error}"), remedy)
            }
        })
    }

    /// An integer, a version, a duration or a time.
    fn number(&mut self, at: Position) -> Token {
        if let Some(token) = self.time(at) {
            return token;
        }
        let sign = if self.rest.starts_with('-') { self.take(1) } else { "" };
        let body = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
        let value = if body.contains('.') && sign.is_empty() {
            body.parse::<Version>().ok().map(Value::Version)
        } else if let Some(hex) = body.strip_prefix("0x") {
            integer(sign, hex, 16)
        } else if body.bytes().all(|c| c.is_ascii_digit() || c == b'_') {
            integer(sign, body, 10)
        } else if sign.is_empty() {
            parse_duration(body).ok().map(Value::Duration)
        } else {
            None
        };
        if let Some(value) = value {
            return Token::Literal(value);
        }
        let units: Vec<&str> = UNITS.iter().map(|(unit, _)| *unit).collect();
        let shown: String = body.chars().take(40).collect();
        self.fault(
            at,
            format!("`{sign}{shown}` is no integer, version, duration or time"),
            &format!(
                "write an integer of 64 bits (42, 0x2a), a version (1.4.2), a date (2026-12-31), or \
                 a duration with the units {}",
                units.join(", ")
            ),
        )
    }

    fn text(&mut self, at: Position) -> Token {
        self.take(1);
        let mut text = String::new();
        loop {
            let here = self.at;
            let Some(c) = self.rest.chars().next().filter(|c| *c != '\n') else {
                return self.fault(
                    at,
                    "text without an end".into(),
                    "close it with `\"` on the same line; a line break inside is `\\n`",
                );
            };
            self.take(c.len_utf8());
            match c {
                '"' if text.len() > MAX_TEXT => {
                    let remedy = format!("keep it within {MAX_TEXT} octets");
                    return self.fault(at, "text too long".into(), &remedy);
                }
                '"' => return Token::Literal(Value::Text(text)),
                '\\' => match self.escape() {
                    Some(c) => text.push(c),
                    None => {
                        self.fault(
                            here,
                            "unknown escape in text".into(),
                            "known are \\\" \\\\ \\n \\t and \\u{hex}",
                        );
                    }
                },
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        match c {
            '"' | '\\' | 'n' | 't' | 'u' => self.take(1),
            _ => return None,
        };
        match c {
            'n' => Some('\n'),
            't' => Some('\t'),
            'u' => {
                let (hex, _) = self.rest.strip_prefix('{')?.split_once('}')?;
                let good =
                    (1..=6).contains(&hex.len()) && hex.bytes().all(|c| c.is_ascii_hexdigit());
                let code = if good { u32::from_str_radix(hex, 16).ok()? } else { return None };
                self.take(hex.len() + 2);
                char::from_u32(code)
            }
            c => Some(c),
        }
    }

    /// Goes on to the next token, which is that of the index `before`; the last stands on `line`.
    fn skip_blank(&mut self, before: usize, line: u32) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest.starts_with('#') {
                return;
            }
            let at = self.at.line;
            let text = self.take_while(|c| c != '\n').trim_end();
            self.comments.push(Comment { text, before, alone: at != line, line: at });
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        for c in taken.chars() {
            if c == '\n' {
                self.at = Position { line: self.at.line + 1, column: 1 };
            } else {
                self.at.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    fn fault(&mut self, at: Position, problem: String, remedy: &str) -> Token {
        if self.faults.len() < MAX_FAULTS {
            let kind = FaultKind::BadToken;
            self.faults.push(Fault { at, len: 1, kind, problem, remedy: remedy.into() });
        }
        Token::Bad
    }
}

fn integer(sign: &str, digits: &str, radix: u32) -> Option<Value> {
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    if digits.is_empty() {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(Value::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn read(text: &str) -> (Vec<Token>, Vec<String>) {
        let mut faults = Vec::new();
        let (tokens, _) = tokens(text, &mut faults);
        let tokens = tokens.into_iter().map(|placed| placed.token).collect();
        (tokens, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn literals_are_told_apart() {
        let (tokens, faults) =
            read("42 -7 0x2A 1_000 1.4.2 90s 2026-12-31 - 3d \"a\\u{41}\\n\" true boot.x # end");
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(
            tokens,
            vec![
                Token::Literal(42.into()),
                Token::Literal((-7).into()),
                Token::Literal(42.into()),
                Token::Literal(1000.into()),
                Token::Literal(Version::new(1, 4, 2).into()),
                Token::Literal(core::time::Duration::from_secs(90).into()),
                Token::Literal("2026-12-31".parse::<Time>().unwrap().into()),
                Token::Symbol("-"),
                Token::Literal(core::time::Duration::from_hours(72).into()),
                Token::Literal("aA\n".into()),
                Token::Literal(true.into()),
                Token::Name("boot.x".into()),
                Token::End,
            ]
        );
    }

    #[test]
    fn what_is_no_token_says_what_to_write() {
        let (_, faults) = read("a & b\n  12q \"open\nsha256:12 x..y $ 2026-13-01");
        assert_eq!(faults.len(), 7);
        assert!(faults[0].starts_with("1:3: no use for the character `&`"), "{}", faults[0]);
        assert!(faults[6].starts_with("3:18: `2026-13-01` is not a time"), "{}", faults[6]);
        assert!(faults[1].starts_with("2:3: `12q` is no integer"), "{}", faults[1]);
        assert!(faults[2].starts_with("2:7: text without an end"), "{}", faults[2]);
        assert!(faults[3].starts_with("3:1: bad digest"), "{}", faults[3]);
    }

    #[test]
    fn the_extremes_of_an_integer_read() {
        let (tokens, _) = read("-9223372036854775808 9223372036854775807");
        assert_eq!(tokens[..2], [Token::Literal(i64::MIN.into()), Token::Literal(i64::MAX.into())]);
        assert_eq!(read("9223372036854775808").1.len(), 1);
    }
}
