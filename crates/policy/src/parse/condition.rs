//! Conditions: names are looked up and types agreed while they are read.

use super::{Limits, Parsed, Parser};
use crate::ast::{Comparison, Operand, Test};
use crate::fault::{FaultKind, Position};
use crate::lex::Token;
use crate::{Set, Type, Value, Version, suggest};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// An operand, its type (`None` after a fault, so that one mistake is told once) and its place.
struct Typed {
    operand: Operand,
    kind: Option<Type>,
    at: Position,
}

/// Words with a meaning of their own in conditions: no variable may take one.
const RESERVED: [&str; 16] = [
    "and",
    "or",
    "not",
    "every",
    "some",
    "in",
    "within",
    "is",
    "present",
    "empty",
    "count",
    "starts-with",
    "ends-with",
    "contains",
    "require",
    "control",
];

impl Parser<'_> {
    /// `test = all { "or" all }`
    pub(super) fn test(&mut self) -> Parsed<Test> {
        self.chain("or", Test::Any, |parser| parser.chain("and", Test::All, Self::unary))
    }

    fn chain(
        &mut self,
        word: &str,
        join: fn(Vec<Test>) -> Test,
        part: fn(&mut Self) -> Parsed<Test>,
    ) -> Parsed<Test> {
        let first = part(self)?;
        if self.peek().name() != Some(word) {
            return Ok(first);
        }
        let mut parts = alloc::vec![first];
        while self.take_word(word) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    fn unary(&mut self) -> Parsed<Test> {
        self.depth += 1;
        if self.depth > Limits::DEPTH {
            let problem = format!("conditions more than {} deep", Limits::DEPTH);
            let remedy = "write several `require` clauses".into();
            return self.halt(self.at(), FaultKind::TooLarge, problem, remedy);
        }
        let test = match self.peek() {
            Token::Name(word) if word == "not" => {
                self.advance();
                self.unary().map(|test| Test::Not(Box::new(test)))
            }
            Token::Name(word) if word == "every" || word == "some" => {
                let every = word == "every";
                self.advance();
                self.each(every)
            }
            Token::Symbol("(") => {
                self.advance();
                let test = self.test()?;
                self.symbol(")", "close the condition with `)`")?;
                Ok(test)
            }
            _ => self.predicate(),
        };
        self.depth -= 1;
        test
    }

    /// `("every" | "some") name "in" operand ":" test`
    fn each(&mut self, every: bool) -> Parsed<Test> {
        let at = self.at();
        let Some(variable) = self.peek().name().map(String::from) else {
            return self
                .unexpected("a variable", "name each element: `every image in boot.images: ..`");
        };
        self.advance();
        if variable.contains('.') || RESERVED.contains(&variable.as_str()) {
            let problem = format!("`{variable}` cannot be a variable");
            let remedy = "take a single word that means nothing else here".into();
            self.note(at, FaultKind::Unexpected, problem, remedy);
        }
        if self.scope.iter().any(|(name, _)| *name == variable) {
            let problem = format!("`{variable}` is a variable already");
            self.note(at, FaultKind::Duplicate, problem, "take another name".into());
        }
        self.keyword("in", "write `in` and a list after the variable")?;
        let list = self.operand()?;
        let element = self.element_of(&list);
        self.symbol(":", "a colon stands between the list and the condition")?;
        if self.scope.len() >= Limits::LOOPS {
            let problem = format!("more than {} loops within each other", Limits::LOOPS);
            return self.halt(at, FaultKind::TooLarge, problem, "take one apart".into());
        }
        self.scope.push((variable.clone(), element));
        let body = self.test();
        self.scope.pop();
        Ok(Test::Each { every, variable, list: list.operand, body: Box::new(body?) })
    }

    fn predicate(&mut self) -> Parsed<Test> {
        let left = self.operand()?;
        if let Some(how) = self.comparison() {
            self.advance();
            let right = self.operand()?;
            return Ok(self.compare(left, how, right));
        }
        if self.take_word("in") {
            return self.membership(left);
        }
        if self.take_word("within") {
            return self.within(left);
        }
        if self.take_word("is") {
            return self.state(left);
        }
        if self.take_word("not") {
            self.keyword("in", "after a value `not` is followed by `in`")?;
            return self.membership(left).map(|test| Test::Not(Box::new(test)));
        }
        if let Some(kind) = left.kind.as_ref().filter(|kind| **kind != Type::Boolean) {
            let problem = format!("{} is not a condition", kind.one());
            let remedy = "compare it, as in `x == ..` or `x in ..`".into();
            self.note(left.at, FaultKind::TypeMismatch, problem, remedy);
        }
        Ok(Test::Holds(left.operand))
    }

    fn comparison(&self) -> Option<Comparison> {
        let symbol = match self.peek() {
            Token::Name(name) => name.as_str(),
            Token::Symbol(symbol) => symbol,
            _ => return None,
        };
        Comparison::ALL.into_iter().find(|how| how.symbol() == symbol)
    }

    fn compare(&mut self, mut left: Typed, how: Comparison, mut right: Typed) -> Test {
        widen(&mut left, right.kind.as_ref());
        widen(&mut right, left.kind.as_ref());
        if let (Some(a), Some(b)) = (&left.kind, &right.kind) {
            let problem = if a != b {
                Some(format!("{} is compared with {}", a.one(), b.one()))
            } else if !a.is_scalar() {
                Some(format!("{} cannot be compared", a.one()))
            } else if how.is_on_text() && *a != Type::Text {
                Some(format!("`{}` is for text, and this is {}", how.symbol(), a.one()))
            } else if !how.is_on_text()
                && !matches!(how, Comparison::Equal | Comparison::NotEqual)
                && !a.is_ordered()
            {
                Some(format!("{} has no order", a.one()))
            } else {
                None
            };
            if let Some(problem) = problem {
                let remedy = "write values of one type; `touchstone policy claims` lists the claims with theirs".into();
                self.note(right.at, FaultKind::TypeMismatch, problem, remedy);
            }
        }
        Test::Compare { left: left.operand, how, right: right.operand }
    }

    fn membership(&mut self, mut value: Typed) -> Parsed<Test> {
        let set = self.collection(value.kind.as_ref())?;
        if let Some(element) = self.element_of(&set) {
            widen(&mut value, Some(&element));
            self.agree(&value, &element);
        }
        Ok(Test::In { value: value.operand, set: set.operand })
    }

    fn within(&mut self, list: Typed) -> Parsed<Test> {
        let element = self.element_of(&list);
        let set = self.collection(element.as_ref())?;
        if let (Some(a), Some(b)) = (element, self.element_of(&set))
            && a != b
        {
            let problem = format!("values of type {a} are looked up among values of type {b}");
            self.note(set.at, FaultKind::TypeMismatch, problem, "both must be of one type".into());
        }
        Ok(Test::Within { list: list.operand, set: set.operand })
    }

    fn agree(&mut self, value: &Typed, element: &Type) {
        if let Some(kind) = value.kind.as_ref().filter(|kind| *kind != element) {
            let problem = format!("{} is looked up among values of type {element}", kind.one());
            let remedy = "look up values of one type".into();
            self.note(value.at, FaultKind::TypeMismatch, problem, remedy);
        }
    }

    /// `"is" ["not"] ("present" | "empty")`
    fn state(&mut self, value: Typed) -> Parsed<Test> {
        let negated = self.take_word("not");
        let test = if self.take_word("present") {
            Test::Present(value.operand)
        } else if self.take_word("empty") {
            self.measurable(&value);
            Test::Empty(value.operand)
        } else {
            return self.unexpected("`present` or `empty`", "to compare, write `==`");
        };
        Ok(if negated { Test::Not(Box::new(test)) } else { test })
    }

    fn operand(&mut self) -> Parsed<Typed> {
        let at = self.at();
        match self.peek().clone() {
            Token::Literal(value) => {
                self.advance();
                let kind = Some(type_of(&value));
                Ok(Typed { operand: Operand::Literal(value), kind, at })
            }
            Token::Name(name) if name == "count" => {
                self.advance();
                self.symbol("(", "write `count(list)`")?;
                let inner_at = self.at();
                let inner = match self.peek().name().filter(|name| !RESERVED.contains(name)) {
                    Some(inner) => String::from(inner),
                    None => return self.unexpected("a list", "write `count(list)`"),
                };
                self.advance();
                let inner = self.named(inner, inner_at);
                self.symbol(")", "close it with `)`")?;
                self.measurable(&inner);
                let kind = Some(Type::Integer);
                Ok(Typed { operand: Operand::Count(Box::new(inner.operand)), kind, at })
            }
            Token::Name(name) if !RESERVED.contains(&name.as_str()) => {
                self.advance();
                Ok(self.named(name, at))
            }
            Token::Bad => {
                self.advance();
                Ok(Typed { operand: Operand::Literal(false.into()), kind: None, at })
            }
            Token::Symbol("{") => self.unexpected("a value", "a set stands after `in` or `within`"),
            _ => self.unexpected("a value", "write a claim, a variable or a literal"),
        }
    }

    /// A variable, a field of one, or a claim.
    fn named(&mut self, name: String, at: Position) -> Typed {
        let (head, field) =
            name.split_once('.').map_or((name.as_str(), None), |(head, field)| (head, Some(field)));
        let found = self.scope.iter().rev().position(|(variable, _)| variable == head);
        if let Some(depth) = found {
            let record = self.scope.iter().rev().nth(depth).and_then(|(_, kind)| kind.clone());
            let kind = match field {
                None => record,
                Some(field) => record.and_then(|record| self.field(&record, head, field, at)),
            };
            let operand =
                Operand::Variable { depth, name: head.into(), field: field.map(String::from) };
            return Typed { operand, kind, at };
        }
        let kind = self.catalog.claim(&name).map(|claim| claim.kind.clone());
        if kind.is_none() {
            self.unknown_claim(&name, at);
            return Typed { operand: Operand::Claim { slot: 0, name }, kind, at };
        }
        let slot = self.claims.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.claims.push(name.clone());
            self.claims.len() - 1
        });
        Typed { operand: Operand::Claim { slot, name }, kind, at }
    }

    fn unknown_claim(&mut self, name: &str, at: Position) {
        // Looking for what was meant costs more than anything else here.
        if self.is_full() {
            return;
        }
        let variables = self.scope.iter().map(|(variable, _)| variable.as_str());
        let claims = self.catalog.claims().map(|(claim, _)| claim);
        let remedy = suggest::nearest(name, claims.chain(variables)).map_or_else(
            || "`touchstone policy claims` lists the claims that there are".into(),
            |near| format!("did you mean `{near}`?"),
        );
        self.note(at, FaultKind::UnknownClaim, format!("no claim named `{name}`"), remedy);
    }

    fn field(&mut self, record: &Type, variable: &str, field: &str, at: Position) -> Option<Type> {
        let Type::Record(fields) = record else {
            let problem = format!("`{variable}` is {} and has no fields", record.one());
            self.note(at, FaultKind::UnknownField, problem, format!("write `{variable}` alone"));
            return None;
        };
        let kind = fields.iter().find(|(name, _)| name == field).map(|(_, kind)| kind.clone());
        if kind.is_none() {
            let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
            let remedy = suggest::nearest(field, names.iter().copied()).map_or_else(
                || format!("its fields are {}", names.join(", ")),
                |near| format!("did you mean `{variable}.{near}`?"),
            );
            let problem = format!("`{variable}` has no field `{field}`");
            self.note(at, FaultKind::UnknownField, problem, remedy);
        }
        kind
    }

    /// `operand | "{" literal { "," literal } [","] "}"`
    fn collection(&mut self, element: Option<&Type>) -> Parsed<Typed> {
        let at = self.at();
        if !self.peek().is("{") {
            return self.operand();
        }
        self.advance();
        let mut values = Vec::new();
        let mut kind = element.cloned();
        while !self.peek().is("}") {
            let (token, here) = self.current().clone();
            let Token::Literal(value) = token else {
                return self.unexpected("a literal", "a set in a policy holds literals and commas");
            };
            self.advance();
            let own = type_of(&value);
            let mut typed = Typed { operand: Operand::Literal(value), kind: Some(own), at: here };
            widen(&mut typed, kind.as_ref());
            match &kind {
                Some(kind) => self.agree(&typed, kind),
                None => kind.clone_from(&typed.kind),
            }
            if let Operand::Literal(value) = typed.operand {
                values.push(value);
            }
            if self.peek().is(",") {
                self.advance();
            } else if !self.peek().is("}") {
                return self.unexpected("`,` or `}`", "values of a set have commas between them");
            }
        }
        self.advance();
        let set: Set = values.into_iter().collect();
        if set.as_slice().is_empty() {
            let remedy = "name at least one value".into();
            self.note(at, FaultKind::Missing, "nothing is in an empty set".into(), remedy);
        }
        let kind = kind.map(Type::set);
        Ok(Typed { operand: Operand::Literal(Value::Set(set)), kind, at })
    }

    /// The type of the elements; that it has none is noted.
    fn element_of(&mut self, list: &Typed) -> Option<Type> {
        let kind = list.kind.as_ref()?;
        let element = kind.element().cloned();
        if element.is_none() {
            let problem = format!("{} has no elements", kind.one());
            let remedy = "a list or a set of the catalogue stands here".into();
            self.note(list.at, FaultKind::TypeMismatch, problem, remedy);
        }
        element
    }

    fn measurable(&mut self, value: &Typed) {
        if let Some(kind) =
            value.kind.as_ref().filter(|k| k.element().is_none() && **k != Type::Text)
        {
            let problem = format!("{} has no elements to count", kind.one());
            let remedy = "a list, a set or text stands here".into();
            self.note(value.at, FaultKind::TypeMismatch, problem, remedy);
        }
    }
}

/// A whole number where a version is wanted is that version: `agent.version >= 2`.
fn widen(value: &mut Typed, wanted: Option<&Type>) {
    if wanted == Some(&Type::Version)
        && let Operand::Literal(Value::Integer(number)) = value.operand
        && let Ok(major) = u32::try_from(number)
    {
        value.operand = Operand::Literal(Version::new(major, 0, 0).into());
        value.kind = Some(Type::Version);
    }
}

fn type_of(value: &Value) -> Type {
    match value {
        Value::Boolean(_) => Type::Boolean,
        Value::Integer(_) => Type::Integer,
        Value::Version(_) => Type::Version,
        Value::Duration(_) => Type::Duration,
        Value::Digest(_) => Type::Digest,
        // The grammar has no other literals than these and text.
        Value::Text(_) | Value::List(_) | Value::Set(_) | Value::Record(_) => Type::Text,
    }
}
