//! Tests that a policy brings along.

use super::{Limits, Parsed, Parser};
use crate::ar4si::Tier;
use crate::ast::{End, Expectation, Given, Trial};
use crate::fault::FaultKind;
use crate::lex::Token;
use crate::{Time, Value};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

const CLAUSES: [&str; 3] = ["given", "at", "expect"];

impl Parser<'_> {
    /// `test = "test" text "{" { given | at | expect } "}"`
    pub(super) fn trial(&mut self) -> Parsed<()> {
        let at = self.at();
        let name = self.words("the test's name")?;
        let layer = self.policy.layers.len().saturating_sub(1);
        if self.policy.trials.iter().any(|known| known.name == name && known.layer == layer) {
            let problem = format!("a second test named {}", Value::from(name.as_str()));
            self.note(at, FaultKind::Duplicate, problem, "rename one of them".into());
        }
        if self.policy.trials.len() >= Limits::EXTRAS {
            let problem = format!("more than {} tests", Limits::EXTRAS);
            return self.halt(at, FaultKind::TooLarge, problem, "split the policy".into());
        }
        let mut trial = Trial {
            name,
            layer,
            line: at.line,
            given: Vec::new(),
            at: Time::default(),
            expects: Vec::new(),
        };
        let mut seen = Vec::new();
        let whole = self.block("the test", &CLAUSES, &mut |parser, clause| {
            match clause {
                "given" => {
                    if let Some(given) = parser.given(&trial.given)? {
                        trial.given.push(given);
                    }
                }
                "expect" => {
                    seen.push(clause);
                    if let Some(expectation) = parser.expectation()? {
                        trial.expects.push(expectation);
                    }
                }
                _ => {
                    parser.once(&mut seen, clause);
                    let Token::Literal(Value::Time(time)) = parser.peek() else {
                        return parser.unexpected("a time", "write a date: `at 2026-12-31`");
                    };
                    trial.at = *time;
                    parser.advance();
                }
            }
            Ok(())
        })?;
        if whole && !seen.contains(&"expect") {
            let problem = format!("the test {} expects nothing", Value::from(trial.name.as_str()));
            let remedy = "add `expect CONTROL fails`, or `expect tier affirming`".into();
            self.note(at, FaultKind::Missing, problem, remedy);
        }
        self.policy.trials.push(trial);
        Ok(())
    }

    /// `"given" claim "=" value [ "age" duration ]`
    fn given(&mut self, before: &[Given]) -> Parsed<Option<Given>> {
        let at = self.at();
        let Some(claim) = self.peek().name().map(String::from) else {
            return self.unexpected("a claim", "write `given CLAIM = VALUE`");
        };
        self.advance();
        let kind = self.catalog.claim(&claim).map(|claim| claim.kind.clone());
        if kind.is_none() {
            self.unknown_claim(&claim, at);
        }
        if before.iter().any(|given| given.claim == claim) {
            let problem = format!("`{claim}` is given twice");
            self.note(at, FaultKind::Duplicate, problem, "keep one of them".into());
        }
        self.symbol("=", "write `given CLAIM = VALUE`")?;
        let value = self.given_value(kind.as_ref(), 0)?;
        let age = if self.take_word("age") { self.duration("the age")? } else { Duration::ZERO };
        Ok(kind.is_some().then(|| value.map(|value| Given { claim, value, age })).flatten())
    }

    /// `"expect" ( control end | "tier" tier )`
    fn expectation(&mut self) -> Parsed<Option<Expectation>> {
        let at = self.at();
        let name = self.identifier("a control's name", "write `expect CONTROL fails`")?;
        let ends = End::ALL.map(End::name);
        if name == "tier" && !self.peek().name().is_some_and(|word| ends.contains(&word)) {
            let tiers = Tier::ALL.map(Tier::name);
            let tier = self.word("a tier", &tiers, Tier::from_name)?;
            return Ok(tier.map(Expectation::Tier));
        }
        self.control_names.push((name.clone(), at));
        let known = |word: &str| End::ALL.into_iter().find(|end| end.name() == word);
        let end = self.word("what becomes of a control", &ends, known)?;
        Ok(end.map(|end| Expectation::Control { name, end }))
    }
}
