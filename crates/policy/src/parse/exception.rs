//! Exceptions: who gave leave, why, and until when.

use super::{Limits, Parsed, Parser};
use crate::Value;
use crate::ast::Exception;
use crate::fault::FaultKind;
use crate::lex::Token;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const CLAUSES: [&str; 5] = ["for", "by", "because", "until", "when"];
/// Those that it cannot be without.
const NEEDED: [(&str, &str); 4] = [
    ("for", "the controls that may be missed, as in `for secure-boot`"),
    ("by", "who gives leave, as in `by \"Jane Doe, OT security\"`"),
    ("because", "the reason, as in `because \"..\"`"),
    ("until", "when it ends, as in `until 2026-12-31`"),
];

impl Parser<'_> {
    /// `exception = "exception" name "{" { clause } "}"`
    pub(super) fn exception(&mut self) -> Parsed<()> {
        let at = self.at();
        let name = self.identifier("the exception's name", "write it as a word: `pump-7-board`")?;
        if self.policy.exceptions.iter().any(|known| known.name == name) {
            let problem = format!("a second exception named `{name}`");
            self.note(at, FaultKind::Duplicate, problem, "rename one of them".into());
        }
        if self.policy.exceptions.len() >= Limits::EXTRAS {
            let problem = format!("more than {} exceptions", Limits::EXTRAS);
            return self.halt(at, FaultKind::TooLarge, problem, "take out old ones".into());
        }
        let mut seen: Vec<&'static str> = Vec::new();
        let mut exception = Exception {
            name,
            controls: Vec::new(),
            by: String::new(),
            because: String::new(),
            until: crate::Time::default(),
            when: None,
            layer: self.layer_name(),
        };
        let whole = self.block("the exception", &CLAUSES, &mut |parser, clause| {
            parser.once(&mut seen, clause);
            match clause {
                "for" => exception.controls = parser.control_names()?,
                "by" => exception.by = parser.words("who gives leave")?,
                "because" => exception.because = parser.words("the reason")?,
                "when" => exception.when = Some(parser.condition()?),
                _ => {
                    let Token::Literal(Value::Time(until)) = parser.peek() else {
                        return parser.unexpected("a time", "write a date: `until 2026-12-31`");
                    };
                    exception.until = *until;
                    parser.advance();
                }
            }
            Ok(())
        })?;
        for (clause, example) in NEEDED {
            if whole && !seen.contains(&clause) {
                let problem = format!("exception `{}` has no `{clause}`", exception.name);
                self.note(at, FaultKind::Missing, problem, format!("add {example}"));
            }
        }
        self.policy.exceptions.push(exception);
        Ok(())
    }

    fn control_names(&mut self) -> Parsed<Vec<String>> {
        let mut names = Vec::new();
        loop {
            let at = self.at();
            let name = self.identifier("a control's name", "write the control's name")?;
            self.control_names.push((name.clone(), at));
            names.push(name);
            if !self.take_symbol(",") {
                return Ok(names);
            }
        }
    }
}
