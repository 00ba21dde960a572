//! From text to [`Policy`]: the grammar of the crate's documentation, with every fault it can
//! find in one pass. Conditions are in `condition`.

mod condition;

use crate::ar4si::{Dimension, Tier, TrustValue};
use crate::ast::{Control, Policy, Test};
use crate::fault::{Fault, FaultKind, Position};
use crate::lex::{self, Token};
use crate::{Catalog, Type, Value, suggest};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What a policy may be at most.
pub struct Limits;

impl Limits {
    /// Octets of text.
    pub const TEXT: usize = 256 * 1024;
    /// Controls.
    pub const CONTROLS: usize = 512;
    /// Conditions within conditions.
    pub const DEPTH: usize = 24;
    /// `every` and `some` within each other.
    pub const LOOPS: usize = 3;
    /// Faults reported at once.
    pub const FAULTS: usize = 20;
}

impl Policy {
    /// Loads a policy. Nothing of a policy with a fault is used; the faults are in the order of
    /// the text, at most [`Limits::FAULTS`] of them.
    pub fn parse(text: &str, catalog: &Catalog) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        if text.len() > Limits::TEXT {
            return Err(alloc::vec![Fault {
                at: Position { line: 1, column: 1 },
                kind: FaultKind::TooLarge,
                problem: format!("the policy has {} octets", text.len()),
                remedy: format!("keep it within {}", Limits::TEXT),
            }]);
        }
        let tokens = lex::tokens(text, &mut faults);
        let mut parser = Parser::new(&tokens, catalog, faults);
        let policy = parser.policy();
        let mut faults = parser.faults;
        faults.sort_by_key(|fault| fault.at);
        faults.truncate(Limits::FAULTS);
        match policy {
            Ok(policy) if faults.is_empty() => Ok(policy),
            _ => Err(faults),
        }
    }
}

/// A fault was noted and the rest of the phrase makes no sense: go on with the next one.
struct Halt;

type Parsed<T> = Result<T, Halt>;

struct Parser<'a> {
    tokens: &'a [(Token, Position)],
    next: usize,
    end: (Token, Position),
    catalog: &'a Catalog,
    faults: Vec<Fault>,
    claims: Vec<String>,
    /// Variables of the enclosing `every` and `some`, outermost first.
    scope: Vec<(String, Option<Type>)>,
    depth: usize,
}

/// The clauses of a control.
const CLAUSES: [&str; 6] = ["dimension", "severity", "fails", "passes", "because", "require"];

#[derive(Default)]
struct Clauses {
    dimension: Option<Dimension>,
    severity: Option<Tier>,
    fails: Option<(Token, Position)>,
    passes: Option<(Token, Position)>,
    because: Option<String>,
    requires: Vec<Test>,
    seen: BTreeSet<&'static str>,
    /// A clause was not understood: it may be the one that is missing.
    halted: bool,
}

impl<'a> Parser<'a> {
    fn new(tokens: &'a [(Token, Position)], catalog: &'a Catalog, faults: Vec<Fault>) -> Self {
        let at = tokens.last().map_or(Position { line: 1, column: 1 }, |(_, at)| *at);
        Self {
            tokens,
            next: 0,
            end: (Token::End, at),
            catalog,
            faults,
            claims: Vec::new(),
            scope: Vec::new(),
            depth: 0,
        }
    }

    fn policy(&mut self) -> Parsed<Policy> {
        self.keyword("policy", "a policy starts with `policy \"name\" version 1 {`")?;
        let name = self.text("the policy's name")?;
        self.keyword("version", "write `version` and a whole number after the name")?;
        let version = self.version()?;
        self.symbol("{", "controls stand between `{` and `}`")?;
        let mut controls: Vec<Control> = Vec::new();
        let mut names = BTreeSet::new();
        while !self.peek().is("}") && *self.peek() != Token::End {
            let at = self.at();
            if controls.len() >= Limits::CONTROLS {
                let problem = format!("more than {} controls", Limits::CONTROLS);
                return self.halt(at, FaultKind::TooLarge, problem, "split the policy".into());
            }
            match self.control(&mut names) {
                Ok(Some(control)) => controls.push(control),
                Ok(None) => {}
                Err(Halt) => self.skip_to(&["control"]),
            }
        }
        self.symbol("}", "close the policy with `}`")?;
        if *self.peek() != Token::End {
            return self.unexpected("the end of the policy", "one file holds one policy");
        }
        if controls.is_empty() && self.faults.is_empty() {
            let (at, remedy) = (self.at(), "write at least one `control`".into());
            return self.halt(at, FaultKind::Missing, "a policy without controls".into(), remedy);
        }
        let claims = core::mem::take(&mut self.claims);
        Ok(Policy { name, version, controls, claims })
    }

    fn version(&mut self) -> Parsed<u64> {
        if let Token::Literal(Value::Integer(version)) = self.peek()
            && let Ok(version @ 1..) = u64::try_from(*version)
        {
            self.advance();
            return Ok(version);
        }
        self.unexpected(
            "a version",
            "write a whole number from 1 on; count it up with every change",
        )
    }

    /// `None` if a fault in it was noted and its end was found.
    fn control(&mut self, names: &mut BTreeSet<String>) -> Parsed<Option<Control>> {
        self.keyword("control", "a policy holds controls: `control name { .. }`")?;
        let at = self.at();
        let Some(name) = self.peek().name().map(String::from) else {
            return self
                .unexpected("the control's name", "write it in small letters: `secure-boot`");
        };
        self.advance();
        if !names.insert(name.clone()) {
            let problem = format!("a second control named `{name}`");
            self.note(at, FaultKind::Duplicate, problem, "rename one of them".into());
        }
        self.symbol("{", "the clauses of a control stand between `{` and `}`")?;
        let mut clauses = Clauses::default();
        while !self.peek().is("}") {
            if *self.peek() == Token::End || self.peek().name() == Some("control") {
                return self.unexpected("`}`", "close the control with `}`");
            }
            if self.clause(&mut clauses).is_err() {
                clauses.halted = true;
                self.skip_to(&CLAUSES);
            }
        }
        self.advance();
        Ok(self.finish(at, name, clauses))
    }

    fn clause(&mut self, clauses: &mut Clauses) -> Parsed<()> {
        let at = self.at();
        let word = self.peek().name();
        let Some(clause) = CLAUSES.into_iter().find(|clause| word == Some(clause)) else {
            let near = word.and_then(|word| suggest::nearest(word, CLAUSES));
            let remedy = near.map_or_else(
                || format!("a clause is one of {}", CLAUSES.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return self.unexpected("a clause", &remedy);
        };
        self.advance();
        if !clauses.seen.insert(clause) && clause != "require" {
            let problem = format!("`{clause}` twice in one control");
            self.note(at, FaultKind::Duplicate, problem, "keep one of them".into());
        }
        match clause {
            "dimension" => clauses.dimension = self.dimension()?,
            "severity" => clauses.severity = self.severity()?,
            "fails" => clauses.fails = Some(self.value_word()?),
            "passes" => clauses.passes = Some(self.value_word()?),
            "because" => clauses.because = Some(self.text("the reason")?),
            _ => {
                self.scope.clear();
                self.depth = 0;
                let test = self.test()?;
                clauses.requires.push(test);
            }
        }
        Ok(())
    }

    fn dimension(&mut self) -> Parsed<Option<Dimension>> {
        let names = Dimension::ALL.map(Dimension::name);
        self.word("a dimension", &names, Dimension::from_name)
    }

    fn severity(&mut self) -> Parsed<Option<Tier>> {
        let names = [Tier::Warning.name(), Tier::Contraindicated.name()];
        let known = |name: &str| Tier::from_name(name).filter(|tier| names.contains(&tier.name()));
        self.word("a severity", &names, known)
    }

    /// One of a few known words; `None` if it was another, which is noted.
    fn word<T>(
        &mut self,
        what: &str,
        names: &[&'static str],
        known: impl Fn(&str) -> Option<T>,
    ) -> Parsed<Option<T>> {
        let at = self.at();
        let Some(name) = self.peek().name().map(String::from) else {
            return self.unexpected(what, &format!("write one of {}", names.join(", ")));
        };
        self.advance();
        let found = known(&name);
        if found.is_none() {
            let near = suggest::nearest(&name, names.iter().copied());
            let remedy = near.map_or_else(
                || format!("write one of {}", names.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.note(at, FaultKind::UnknownWord, format!("`{name}` is not {what}"), remedy);
        }
        Ok(found)
    }

    /// The name or number of an AR4SI value; which are known depends on the dimension, which may
    /// come later in the control.
    fn value_word(&mut self) -> Parsed<(Token, Position)> {
        let (token, at) = self.current().clone();
        if matches!(token, Token::Name(_) | Token::Literal(Value::Integer(_))) {
            self.advance();
            return Ok((token, at));
        }
        self.unexpected("a trustworthiness value", "write its name or number: `approved-boot`, 3")
    }

    fn finish(&mut self, at: Position, name: String, clauses: Clauses) -> Option<Control> {
        for clause in ["dimension", "severity", "because", "require"] {
            if !clauses.halted && !clauses.seen.contains(clause) {
                let problem = format!("control `{name}` has no `{clause}`");
                let remedy = format!("add {}", example_of(clause));
                self.note(at, FaultKind::Missing, problem, remedy);
            }
        }
        let (dimension, severity) = (clauses.dimension?, clauses.severity?);
        let fails = self.value(dimension, severity, clauses.fails);
        let passes = self.value(dimension, Tier::Affirming, clauses.passes);
        let (because, requires) = (clauses.because?, clauses.requires);
        Some(Control { name, dimension, fails: fails?, passes: passes?, because, requires })
    }

    fn value(
        &mut self,
        dimension: Dimension,
        tier: Tier,
        written: Option<(Token, Position)>,
    ) -> Option<TrustValue> {
        let Some((token, at)) = written else { return Some(TrustValue::usual(dimension, tier)) };
        let value = match &token {
            Token::Name(name) => TrustValue::from_name(dimension, name),
            Token::Literal(Value::Integer(number)) => {
                i8::try_from(*number).ok().map(|number| TrustValue::new(dimension, number))
            }
            _ => None,
        };
        if let Some(value) = value.filter(|value| value.tier() == tier) {
            return Some(value);
        }
        let known: Vec<&str> = dimension
            .values()
            .filter(|value| value.tier() == tier)
            .filter_map(TrustValue::name)
            .collect();
        let near = token.name().and_then(|name| suggest::nearest(name, known.iter().copied()));
        let remedy = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "write a private number of that tier".into(),
            None => format!("known are {}", known.join(", ")),
        };
        let problem = format!("{} is not a value of {dimension} that is {tier}", token.describe());
        self.note(at, FaultKind::UnknownWord, problem, remedy);
        None
    }

    fn text(&mut self, what: &str) -> Parsed<String> {
        if let Token::Literal(Value::Text(text)) = self.peek() {
            let text = text.clone();
            self.advance();
            return Ok(text);
        }
        self.unexpected(what, "write it as text between double quotes")
    }

    fn keyword(&mut self, word: &str, remedy: &str) -> Parsed<()> {
        if self.peek().name() == Some(word) {
            self.advance();
            return Ok(());
        }
        self.unexpected(&format!("`{word}`"), remedy)
    }

    fn symbol(&mut self, symbol: &str, remedy: &str) -> Parsed<()> {
        if self.peek().is(symbol) {
            self.advance();
            return Ok(());
        }
        self.unexpected(&format!("`{symbol}`"), remedy)
    }

    /// Whether the next token is the word, which is then taken.
    fn take_word(&mut self, word: &str) -> bool {
        let here = self.peek().name() == Some(word);
        if here {
            self.advance();
        }
        here
    }

    fn current(&self) -> &(Token, Position) {
        self.tokens.get(self.next).unwrap_or(&self.end)
    }

    fn peek(&self) -> &Token {
        &self.current().0
    }

    fn at(&self) -> Position {
        self.current().1
    }

    fn advance(&mut self) {
        self.next += 1;
    }

    /// Goes on to one of the words, or to the `}` that closes what the fault is in.
    fn skip_to(&mut self, words: &[&str]) {
        let mut open = 0_usize;
        loop {
            let token = self.peek();
            let word = token.name().is_some_and(|name| words.contains(&name) || name == "control");
            if *token == Token::End || (open == 0 && (word || token.is("}"))) {
                return;
            }
            // A lost brace must not swallow the controls after it.
            if token.name() == Some("control") {
                return;
            }
            open = match token {
                Token::Symbol("{") => open + 1,
                Token::Symbol("}") => open.saturating_sub(1),
                _ => open,
            };
            self.advance();
        }
    }

    fn unexpected<T>(&mut self, wanted: &str, remedy: &str) -> Parsed<T> {
        if *self.peek() == Token::Bad {
            return Err(Halt);
        }
        let problem = format!("{} where {wanted} should be", self.peek().describe());
        self.halt(self.at(), FaultKind::Unexpected, problem, remedy.into())
    }

    fn halt<T>(
        &mut self,
        at: Position,
        kind: FaultKind,
        problem: String,
        remedy: String,
    ) -> Parsed<T> {
        self.note(at, kind, problem, remedy);
        Err(Halt)
    }

    /// Whether more faults are noted than will be told.
    fn is_full(&self) -> bool {
        self.faults.len() >= lex::MAX_FAULTS
    }

    fn note(&mut self, at: Position, kind: FaultKind, problem: String, remedy: String) {
        if self.is_full() {
            return;
        }
        self.faults.push(Fault { at, kind, problem, remedy });
    }
}

const fn example_of(clause: &str) -> &'static str {
    match clause.as_bytes() {
        b"dimension" => "one, as in `dimension configuration`",
        b"severity" => "`severity warning` or `severity contraindicated`",
        b"because" => "the reason in words, as in `because \"..\"`",
        _ => "what must hold, as in `require boot.secure-boot`",
    }
}

#[cfg(test)]
mod tests;
