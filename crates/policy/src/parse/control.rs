//! Controls, and what a later policy changes of them.

use super::{Limits, Parsed, Parser};
use crate::ar4si::{Dimension, Tier, TrustValue};
use crate::ast::{Control, Override, Severity, Test};
use crate::fault::{FaultKind, Position};
use crate::lex::Token;
use crate::{Countermeasure, Value, suggest};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// The clauses of a control.
pub(crate) const CLAUSES: [&str; 9] =
    ["title", "severity", "maps", "fresh", "require", "then", "else", "do", "because"];
/// Those that it cannot be without.
const NEEDED: [&str; 4] = ["title", "severity", "require", "else"];

/// What was written, each with the place of its word.
#[derive(Default)]
struct Clauses {
    title: Option<String>,
    severity: Option<Severity>,
    maps: Vec<String>,
    fresh: Option<Duration>,
    requires: Vec<Test>,
    then: Option<(Token, Position)>,
    otherwise: Option<(Dimension, Token, Position)>,
    countermeasures: Vec<Countermeasure>,
    because: Option<String>,
    seen: Vec<&'static str>,
}

impl Parser<'_> {
    /// `control = "control" name "{" { clause } "}"`
    pub(super) fn control(&mut self) -> Parsed<()> {
        let at = self.at();
        let name = self.identifier("the control's name", "write it as a word: `secure-boot`")?;
        if self.policy.controls.len() >= Limits::CONTROLS {
            let problem = format!("more than {} controls", Limits::CONTROLS);
            return self.halt(at, FaultKind::TooLarge, problem, "split the policy".into());
        }
        let (clauses, whole) = self.clauses("the control")?;
        if let Some(known) = self.policy.control(&name) {
            let remedy = if known.layer == self.policy.name() {
                "rename one of them"
            } else {
                "rename it, or write `override control` to change the base's"
            };
            let problem = format!("a second control named `{name}`");
            self.note(at, FaultKind::Duplicate, problem, remedy.into());
            return Ok(());
        }
        for clause in NEEDED {
            if whole && !clauses.seen.contains(&clause) {
                let problem = format!("control `{name}` has no `{clause}`");
                let remedy = format!("add {}", example_of(clause));
                self.note(at, FaultKind::Missing, problem, remedy);
            }
        }
        if let Some(control) = self.finish(name, clauses) {
            self.policy.controls.push(control);
            self.controls_at.push(at);
        }
        Ok(())
    }

    fn clauses(&mut self, what: &str) -> Parsed<(Clauses, bool)> {
        let mut clauses = Clauses::default();
        let whole = self.block(what, &CLAUSES, &mut |parser, clause| {
            if clause == "require" {
                clauses.seen.push(clause);
            } else {
                parser.once(&mut clauses.seen, clause);
            }
            parser.clause(clause, &mut clauses)
        })?;
        Ok((clauses, whole))
    }

    fn clause(&mut self, clause: &str, clauses: &mut Clauses) -> Parsed<()> {
        match clause {
            "title" => clauses.title = Some(self.words("the title")?),
            "severity" => {
                let names = Severity::ALL.map(Severity::name);
                clauses.severity = self.word("a severity", &names, Severity::from_name)?;
            }
            "maps" => clauses.maps = self.maps()?,
            "fresh" => clauses.fresh = Some(self.duration("the greatest age")?),
            "then" => clauses.then = Some(self.value_word()?),
            "else" => {
                let names = Dimension::ALL.map(Dimension::name);
                let dimension = self.word("a dimension", &names, Dimension::from_name)?;
                let (token, at) = self.value_word()?;
                clauses.otherwise = dimension.map(|dimension| (dimension, token, at));
            }
            "do" => clauses.countermeasures = self.countermeasures()?,
            "because" => clauses.because = Some(self.words("the reason")?),
            _ => {
                let test = self.condition()?;
                clauses.requires.push(test);
            }
        }
        Ok(())
    }

    /// A condition that stands by itself.
    pub(super) fn condition(&mut self) -> Parsed<Test> {
        self.scope.clear();
        self.depth = 0;
        self.test()
    }

    fn maps(&mut self) -> Parsed<Vec<String>> {
        let mut maps = Vec::new();
        loop {
            let at = self.at();
            let reference = self.text("a requirement of a standard")?;
            let sides = reference.split_once(':');
            if !sides.is_some_and(|(standard, id)| !standard.is_empty() && !id.is_empty()) {
                let problem = format!("{} names no requirement", Value::from(reference.as_str()));
                let remedy = "write the standard, a colon and the requirement: \
                              `\"IEC62443-4-2:CR3.4\"`";
                self.note(at, FaultKind::Unexpected, problem, remedy.into());
            }
            if maps.contains(&reference) {
                let problem = format!("{} twice", Value::from(reference.as_str()));
                self.note(at, FaultKind::Duplicate, problem, "keep one of them".into());
            }
            maps.push(reference);
            if !self.take_symbol(",") {
                return Ok(maps);
            }
        }
    }

    pub(super) fn duration(&mut self, what: &str) -> Parsed<Duration> {
        if let Token::Literal(Value::Duration(duration)) = self.peek() {
            self.advance();
            return Ok(*duration);
        }
        self.unexpected(what, "write a span of time: `30s`, `1h`")
    }

    fn countermeasures(&mut self) -> Parsed<Vec<Countermeasure>> {
        let known: Vec<String> =
            self.catalog.countermeasures().iter().map(|known| known.name.clone()).collect();
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let mut chosen: Vec<Countermeasure> = Vec::new();
        loop {
            let at = self.at();
            let catalog = self.catalog;
            let found = self
                .word("a countermeasure", &names, |name| catalog.countermeasure(name).cloned())?;
            if let Some(new) = found {
                if chosen.iter().any(|known| known.name == new.name) {
                    let problem = format!("`{}` twice", new.name);
                    self.note(at, FaultKind::Duplicate, problem, "keep one of them".into());
                } else if let Some(last) = chosen.last().filter(|last| last.grade > new.grade) {
                    let problem = format!(
                        "`{}` ({}) comes after `{}` ({})",
                        new.name, new.grade, last.name, last.grade
                    );
                    let remedy = "put the milder one first: observe, contain, recover, revoke";
                    self.note(at, FaultKind::Order, problem, remedy.into());
                }
                chosen.push(new);
            }
            if !self.take_symbol(",") {
                return Ok(chosen);
            }
        }
    }

    /// The name or number of an AR4SI value, or the name of a tier; which are known depends on the
    /// dimension.
    fn value_word(&mut self) -> Parsed<(Token, Position)> {
        let (token, at) = (self.peek(), self.at());
        if matches!(token, Token::Name(_) | Token::Literal(Value::Integer(_))) {
            self.advance();
            return Ok((token.clone(), at));
        }
        let remedy = "write a tier, or a value's name or number: `contraindicated`, \
                      `unsafe-config`, 33";
        self.unexpected("a trustworthiness value", remedy)
    }

    fn finish(&mut self, name: String, clauses: Clauses) -> Option<Control> {
        let (dimension, token, at) = clauses.otherwise?;
        let fails = self.value(dimension, &[Tier::Warning, Tier::Contraindicated], &token, at);
        let passes = match clauses.then {
            Some((token, at)) => self.value(dimension, &[Tier::Affirming], &token, at),
            None => Some(TrustValue::usual(dimension, Tier::Affirming)),
        };
        Some(Control {
            name,
            title: clauses.title?,
            severity: clauses.severity?,
            maps: clauses.maps,
            fresh: clauses.fresh,
            requires: clauses.requires,
            passes: passes?,
            fails: fails?,
            countermeasures: clauses.countermeasures,
            because: clauses.because.unwrap_or_default(),
            layer: self.layer_name(),
            overrides: Vec::new(),
        })
    }

    /// A value of one of the tiers.
    fn value(
        &mut self,
        dimension: Dimension,
        tiers: &[Tier],
        token: &Token,
        at: Position,
    ) -> Option<TrustValue> {
        let of_tier = |name: &str| {
            let tier = Tier::from_name(name).filter(|tier| tiers.contains(tier));
            tier.map(|tier| TrustValue::usual(dimension, tier))
        };
        let value = match token {
            Token::Name(name) => of_tier(name).or_else(|| TrustValue::from_name(dimension, name)),
            Token::Literal(Value::Integer(number)) => {
                i8::try_from(*number).ok().map(|number| TrustValue::new(dimension, number))
            }
            _ => None,
        };
        if let Some(value) = value.filter(|value| tiers.contains(&value.tier())) {
            return Some(value);
        }
        let mut known: Vec<&str> = tiers.iter().map(|tier| tier.name()).collect();
        let values = dimension.values().filter(|value| tiers.contains(&value.tier()));
        known.extend(values.filter_map(TrustValue::name));
        let near = token.name().and_then(|name| suggest::nearest(name, known.iter().copied()));
        let remedy = near.map_or_else(
            || format!("known are {}", known.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        let words: Vec<&str> = tiers.iter().map(|tier| tier.name()).collect();
        let problem = format!(
            "{} is not a value of {dimension} that is {}",
            token.describe(),
            words.join(" or ")
        );
        self.note(at, FaultKind::UnknownWord, problem, remedy);
        None
    }

    /// `"override" "control" name "{" "because" text { clause } "}"`
    pub(super) fn override_control(&mut self) -> Parsed<()> {
        let at = self.at();
        let name = self.identifier("the control's name", "write the control's name")?;
        let (mut clauses, whole) = self.clauses("the override")?;
        let because = clauses.because.take();
        if whole && because.is_none() {
            let problem = format!("the override of `{name}` has no `because`");
            let remedy = "say why it differs from the base: `because \"..\"`".into();
            self.note(at, FaultKind::Missing, problem, remedy);
        }
        if whole && clauses.seen.iter().all(|clause| *clause == "because") {
            let problem = format!("the override of `{name}` changes nothing");
            self.note(at, FaultKind::Missing, problem, "write the clauses that differ".into());
        }
        let layer = self.layer_name();
        let found = self.policy.controls.iter().position(|control| control.name == name);
        let Some(control) = found.and_then(|index| self.policy.controls.get(index)).cloned() else {
            self.unknown_control(&name, at);
            return Ok(());
        };
        if control.layer == layer {
            let problem = format!("`{name}` is a control of this policy itself");
            self.note(at, FaultKind::Duplicate, problem, "change the control".into());
            return Ok(());
        }
        let change = Override { layer, because: because.unwrap_or_default(), before: Vec::new() };
        if let Some(control) = self.overridden(control, clauses, change)
            && let Some(index) = found
        {
            if let Some(place) = self.policy.controls.get_mut(index) {
                *place = control;
            }
            if let Some(place) = self.controls_at.get_mut(index) {
                *place = at;
            }
        }
        Ok(())
    }

    /// The control with the clauses put in the place of those that it had.
    fn overridden(
        &mut self,
        mut control: Control,
        clauses: Clauses,
        mut change: Override,
    ) -> Option<Control> {
        let mut replaced: Vec<&str> = clauses.seen.clone();
        replaced.sort_unstable();
        replaced.dedup();
        for clause in CLAUSES.into_iter().filter(|clause| replaced.contains(clause)) {
            if clause == "because" {
                continue;
            }
            let lines = control.clauses().into_iter().filter(|(word, _)| *word == clause);
            let before = change.before.len();
            change.before.extend(lines.map(|(word, text)| format!("{word} {text}")));
            if change.before.len() == before {
                change.before.push(format!("no {clause}"));
            }
        }
        if let Some((dimension, token, at)) = clauses.otherwise {
            let tiers = [Tier::Warning, Tier::Contraindicated];
            control.fails = self.value(dimension, &tiers, &token, at)?;
            if control.passes.dimension() != dimension {
                control.passes = TrustValue::usual(dimension, Tier::Affirming);
            }
        }
        if let Some((token, at)) = clauses.then {
            control.passes = self.value(control.dimension(), &[Tier::Affirming], &token, at)?;
        }
        let seen = |clause: &'static str| clauses.seen.contains(&clause);
        if seen("maps") {
            control.maps = clauses.maps;
        }
        if seen("do") {
            control.countermeasures = clauses.countermeasures;
        }
        if seen("require") {
            control.requires = clauses.requires;
        }
        control.title = clauses.title.unwrap_or(control.title);
        control.severity = clauses.severity.unwrap_or(control.severity);
        control.fresh = clauses.fresh.or(control.fresh);
        control.overrides.push(change);
        Some(control)
    }
}

impl Control {
    /// Its clauses as a policy writes them: the word, and what follows it.
    pub(crate) fn clauses(&self) -> Vec<(&'static str, String)> {
        let mut clauses = Vec::new();
        clauses.push(("title", Value::from(self.title.as_str()).to_string()));
        clauses.push(("severity", self.severity.name().into()));
        if !self.maps.is_empty() {
            let maps: Vec<String> =
                self.maps.iter().map(|map| Value::from(map.as_str()).to_string()).collect();
            clauses.push(("maps", maps.join(", ")));
        }
        if let Some(fresh) = self.fresh {
            clauses.push(("fresh", Value::Duration(fresh).to_string()));
        }
        clauses.extend(self.requires.iter().map(|test| ("require", test.to_string())));
        if self.passes != TrustValue::usual(self.dimension(), Tier::Affirming) {
            clauses.push(("then", self.passes.to_string()));
        }
        let value = if self.fails == TrustValue::usual(self.dimension(), self.tier()) {
            self.tier().name().to_string()
        } else {
            self.fails.to_string()
        };
        clauses.push(("else", format!("{} {value}", self.dimension())));
        if !self.countermeasures.is_empty() {
            let names: Vec<&str> =
                self.countermeasures.iter().map(|known| known.name.as_str()).collect();
            clauses.push(("do", names.join(", ")));
        }
        if !self.because.is_empty() {
            clauses.push(("because", Value::from(self.because.as_str()).to_string()));
        }
        clauses
    }
}

const fn example_of(clause: &str) -> &'static str {
    match clause.as_bytes() {
        b"title" => "what it asks for in a few words, as in `title \"Secure Boot is on\"`",
        b"severity" => "`severity low`, `medium`, `high` or `critical`",
        b"else" => "what follows if it is not met, as in `else configuration contraindicated`",
        _ => "what must hold, as in `require boot.secure-boot`",
    }
}
