//! Conditions: names are looked up and types agreed while they are read.

use super::literal::{type_of, widened};
use super::{Limits, Mark, Parsed, Parser};
use crate::ast::{Comparison, Operand, Test};
use crate::fault::{FaultKind, Position};
use crate::lex::Token;
use crate::{Type, suggest};
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

/// Words with a meaning of their own: no variable may take one.
const RESERVED: [&str; 31] = [
    "and",
    "or",
    "not",
    "every",
    "some",
    "in",
    "is",
    "present",
    "empty",
    "count",
    "now",
    "starts-with",
    "ends-with",
    "contains",
    "reference",
    "control",
    "override",
    "remove",
    "exception",
    "test",
    "policy",
    "title",
    "severity",
    "maps",
    "fresh",
    "require",
    "then",
    "else",
    "do",
    "because",
    "when",
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
                self.quantified(every)
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

    /// `("every" | "some") ( name "in" operand ":" test | operand relation )`
    fn quantified(&mut self, every: bool) -> Parsed<Test> {
        if self.peek_at(1).name() == Some("in") && self.binds(self.next + 2) {
            return self.each(every);
        }
        let list = self.operand()?;
        let kind = self.element_of(&list);
        self.nested(list.at)?;
        let element = Operand::Variable { depth: 0, name: String::new() };
        let at = list.at;
        self.scope.push((String::new(), kind.clone()));
        let body = self.relation(Typed { operand: element, kind, at });
        self.scope.pop();
        let Some(body) = body? else {
            let remedy = "write `every LIST in SET`, or `every x in LIST: ..`";
            return self.unexpected("what holds of each element", remedy);
        };
        Ok(match body {
            Test::In { value: Operand::Variable { depth: 0, name }, set }
                if every && name.is_empty() && !reads_variable(&set) =>
            {
                Test::Within { list: list.operand, set }
            }
            body => {
                let (variable, body) = (String::new(), Box::new(body));
                Test::Each { every, variable, list: list.operand, body }
            }
        })
    }

    /// Whether the operand that begins at the token of that index is followed by a colon.
    fn binds(&self, mut at: usize) -> bool {
        let token = |at: usize| self.tokens.get(at).map_or(&Token::End, |placed| &placed.token);
        if !matches!(token(at), Token::Name(_) | Token::Symbol("[")) {
            return false;
        }
        at += usize::from(token(at).name().is_some());
        // What belongs to it: brackets with anything in them, fields, and spans of time.
        loop {
            match token(at) {
                Token::Symbol("(" | "[") => {
                    let mut open = 0_usize;
                    loop {
                        match token(at) {
                            Token::Symbol("(" | "[") => open += 1,
                            Token::Symbol(")" | "]") => open -= 1,
                            Token::End => return false,
                            _ => {}
                        }
                        at += 1;
                        if open == 0 {
                            break;
                        }
                    }
                }
                Token::Symbol("." | "+" | "-") => at += 2,
                other => return other.is(":"),
            }
        }
    }

    fn each(&mut self, every: bool) -> Parsed<Test> {
        let at = self.at();
        let variable =
            self.identifier("a variable", "name each element: `every image in boot.images: ..`")?;
        if RESERVED.contains(&variable.as_str()) {
            let problem = format!("`{variable}` cannot be a variable");
            let remedy = "take a word that means nothing else here".into();
            self.note(at, FaultKind::Unexpected, problem, remedy);
        }
        if self.scope.iter().any(|(name, _)| *name == variable) {
            let problem = format!("`{variable}` is a variable already");
            self.note(at, FaultKind::Shadowed, problem, "take another name".into());
        } else if self.catalog.claim(&variable).is_some() {
            let problem = format!("`{variable}` is a claim already");
            self.note(at, FaultKind::Shadowed, problem, "take another name".into());
        }
        self.keyword("in", "write `in` and a list after the variable")?;
        let list = self.operand()?;
        let element = self.element_of(&list);
        self.mark(Mark::Bound);
        self.symbol(":", "a colon stands between the list and the condition")?;
        self.nested(at)?;
        self.scope.push((variable.clone(), element));
        let body = self.test();
        self.scope.pop();
        Ok(Test::Each { every, variable, list: list.operand, body: Box::new(body?) })
    }

    fn nested(&mut self, at: Position) -> Parsed<()> {
        if self.scope.len() >= Limits::LOOPS {
            let problem = format!("more than {} loops within each other", Limits::LOOPS);
            return self.halt(at, FaultKind::TooLarge, problem, "take one apart".into());
        }
        Ok(())
    }

    fn predicate(&mut self) -> Parsed<Test> {
        let left = self.operand()?;
        let (operand, kind, at) = (left.operand.clone(), left.kind.clone(), left.at);
        if let Some(test) = self.relation(left)? {
            return Ok(test);
        }
        if let Some(kind) = kind.filter(|kind| *kind != Type::Boolean) {
            let problem = format!("{} is not a condition", kind.one());
            let remedy = "compare it, as in `x == ..` or `x in ..`".into();
            self.note(at, FaultKind::TypeMismatch, problem, remedy);
        }
        Ok(Test::Holds(operand))
    }

    /// `relation = compare operand | ["not"] "in" operand | "is" ["not"] ("present" | "empty")`
    fn relation(&mut self, left: Typed) -> Parsed<Option<Test>> {
        if let Some(how) = self.comparison() {
            self.advance();
            let right = self.operand()?;
            return Ok(Some(self.compare(left, how, right)));
        }
        if self.take_word("in") {
            return self.membership(left).map(Some);
        }
        if self.take_word("is") {
            return self.state(left).map(Some);
        }
        if self.take_word("not") {
            self.keyword("in", "after a value `not` is followed by `in`")?;
            let test = self.membership(left)?;
            return Ok(Some(Test::Not(Box::new(test))));
        }
        if self.peek().is("=") {
            return self.unexpected("`==`", "write `==` to compare");
        }
        Ok(None)
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
        let set = self.operand_of(value.kind.as_ref())?;
        if let Some(element) = self.element_of(&set) {
            widen(&mut value, Some(&element));
            self.agree(&value, &element);
        }
        Ok(Test::In { value: value.operand, set: set.operand })
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
        self.operand_of(None)
    }

    /// `operand = primary { "[" text "]" | "." name } [ ("+" | "-") duration ]`; a set that is
    /// written out is one of values of type `element`.
    fn operand_of(&mut self, element: Option<&Type>) -> Parsed<Typed> {
        let mut typed = self.primary(element)?;
        loop {
            if self.peek().is("[") {
                typed = self.entry(typed)?;
            } else if self.peek().is(".") {
                self.mark(Mark::Bound);
                self.advance();
                self.mark(Mark::Bound);
                let Some(names) = self.peek().name().map(String::from) else {
                    return self.unexpected("a field", "write the field's name behind the dot");
                };
                let at = self.at();
                self.advance();
                for name in names.split('.') {
                    typed = self.field(typed, name, at);
                }
            } else if self.peek().is("+") || self.peek().is("-") {
                return self.shifted(typed);
            } else {
                return Ok(typed);
            }
        }
    }

    fn primary(&mut self, element: Option<&Type>) -> Parsed<Typed> {
        let at = self.at();
        match self.peek() {
            Token::Literal(value) => {
                self.advance();
                let kind = Some(type_of(value));
                Ok(Typed { operand: Operand::Literal(value.clone()), kind, at })
            }
            Token::Symbol("[") => {
                let (set, kind) = self.set(element)?;
                Ok(Typed { operand: Operand::Literal(set), kind: kind.map(Type::set), at })
            }
            Token::Name(name) if name == "now" => {
                self.advance();
                Ok(Typed { operand: Operand::Now, kind: Some(Type::Time), at })
            }
            Token::Name(name) if name == "count" && self.peek_at(1).is("(") => {
                self.advance();
                self.mark(Mark::Bound);
                self.advance();
                let inner = self.argument()?;
                self.symbol(")", "close it with `)`")?;
                self.measurable(&inner);
                let kind = Some(Type::Integer);
                Ok(Typed { operand: Operand::Count(Box::new(inner.operand)), kind, at })
            }
            Token::Name(name) if self.peek_at(1).is("(") && !RESERVED.contains(&name.as_str()) => {
                let name = name.clone();
                self.advance();
                self.call(&name, at)
            }
            Token::Name(name) if !RESERVED.contains(&name.as_str()) => {
                self.advance();
                Ok(self.named(name, at))
            }
            Token::Bad => {
                self.advance();
                Ok(Typed { operand: Operand::Literal(false.into()), kind: None, at })
            }
            Token::Symbol("{") => self.unexpected("a value", "a set stands between `[` and `]`"),
            _ => self.unexpected("a value", "write a claim, a variable or a literal"),
        }
    }

    /// An operand inside a call, which must not go deeper without end.
    fn argument(&mut self) -> Parsed<Typed> {
        self.depth += 1;
        if self.depth > Limits::DEPTH {
            let problem = format!("calls more than {} deep", Limits::DEPTH);
            return self.halt(self.at(), FaultKind::TooLarge, problem, "take it apart".into());
        }
        let argument = self.operand();
        self.depth -= 1;
        argument
    }

    /// `name "(" operand { "," operand } ")"`
    fn call(&mut self, name: &str, at: Position) -> Parsed<Typed> {
        self.mark(Mark::Bound);
        self.symbol("(", "write `name(..)`")?;
        let mut arguments = Vec::new();
        while !self.peek().is(")") {
            arguments.push(self.argument()?);
            if !self.take_symbol(",") && !self.peek().is(")") {
                return self.unexpected("`,` or `)`", "arguments have commas between them");
            }
        }
        self.advance();
        let Some(function) = self.catalog.function(name).cloned() else {
            let names = self.catalog.functions().map(crate::Function::name);
            let remedy = suggest::nearest(name, names.chain(["count"])).map_or_else(
                || "`touchstone policy claims` lists the functions that there are".into(),
                |near| format!("did you mean `{near}`?"),
            );
            let problem = format!("no function named `{name}`");
            self.note(at, FaultKind::UnknownFunction, problem, remedy);
            return Ok(Typed { operand: Operand::Literal(false.into()), kind: None, at });
        };
        for (argument, wanted) in arguments.iter_mut().zip(function.parameters()) {
            widen(argument, Some(wanted));
            if let Some(kind) = argument.kind.as_ref().filter(|kind| *kind != wanted) {
                let problem = format!("{} where {} wants {}", kind.one(), name, wanted.one());
                let remedy = format!("it is {function}");
                self.note(argument.at, FaultKind::TypeMismatch, problem, remedy);
            }
        }
        if arguments.len() != function.parameters().len() {
            let problem = format!("{} arguments for `{name}`", arguments.len());
            self.note(at, FaultKind::TypeMismatch, problem, format!("it is {function}"));
        }
        let kind = Some(function.result().clone());
        let arguments = arguments.into_iter().map(|typed| typed.operand).collect();
        Ok(Typed { operand: Operand::Call { function, arguments }, kind, at })
    }

    /// `operand "[" text "]"`
    fn entry(&mut self, map: Typed) -> Parsed<Typed> {
        self.mark(Mark::Bound);
        self.advance();
        let key = self.text("the name of an entry")?;
        self.symbol("]", "close it with `]`")?;
        let kind = match &map.kind {
            Some(Type::Map(element)) => Some((**element).clone()),
            Some(other) => {
                let problem = format!("{} has no entries", other.one());
                self.note(map.at, FaultKind::TypeMismatch, problem, "a map stands here".into());
                None
            }
            None => None,
        };
        let operand = Operand::Entry { map: Box::new(map.operand), key };
        Ok(Typed { operand, kind, at: map.at })
    }

    /// `operand ("+" | "-") duration`
    fn shifted(&mut self, time: Typed) -> Parsed<Typed> {
        let later = self.peek().is("+");
        self.advance();
        let span = self.duration("a span of time")?;
        if let Some(kind) = time.kind.as_ref().filter(|kind| **kind != Type::Time) {
            let problem = format!("a span of time beside {}", kind.one());
            self.note(time.at, FaultKind::TypeMismatch, problem, "a time stands here".into());
        }
        let operand = Operand::Shifted { time: Box::new(time.operand), later, span };
        Ok(Typed { operand, kind: Some(Type::Time), at: time.at })
    }

    /// A variable, a declared reference, a claim, or a field of one of these.
    fn named(&mut self, name: &str, at: Position) -> Typed {
        let (head, fields) = name.split_once('.').unwrap_or((name, ""));
        let fields = fields.split('.').filter(|field| !field.is_empty());
        let found = self.scope.iter().rev().position(|(variable, _)| variable == head);
        if let Some(depth) = found {
            let kind = self.scope.iter().rev().nth(depth).and_then(|(_, kind)| kind.clone());
            let operand = Operand::Variable { depth, name: head.into() };
            let variable = Typed { operand, kind, at };
            return fields.fold(variable, |record, field| self.field(record, field, at));
        }
        // What a policy declares is `ref.`; it is `reference.`, too, where no claim has that name.
        let own = name.strip_prefix("ref.");
        let both =
            || name.strip_prefix("reference.").filter(|_| self.catalog.claim(name).is_none());
        if let Some(short) = own.or_else(both)
            && let Some(index) = self.policy.references.iter().position(|r| r.name == short)
            && let Some(reference) = self.policy.references.get(index)
        {
            let kind = Some(Type::set(reference.kind.clone()));
            let operand = Operand::Reference { at: index, name: name.into() };
            if let Some(used) = self.references_used.get_mut(index) {
                *used = true;
            }
            return Typed { operand, kind, at };
        }
        self.claim(name, at)
    }

    /// The longest name of a claim, and fields behind it.
    fn claim(&mut self, name: &str, at: Position) -> Typed {
        let dots = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| at);
        let mut ends: Vec<usize> = dots.collect();
        ends.push(name.len());
        for end in ends.into_iter().rev() {
            let (head, rest) = name.split_at_checked(end).unwrap_or((name, ""));
            let Some(claim) = self.catalog.claim(head) else { continue };
            let kind = Some(claim.kind.clone());
            let known = self.policy.claims.iter().position(|known| known == head);
            let slot = known.unwrap_or_else(|| {
                self.policy.claims.push(head.into());
                self.policy.claims.len() - 1
            });
            let claim = Typed { operand: Operand::Claim { slot, name: head.into() }, kind, at };
            let fields = rest.split('.').filter(|field| !field.is_empty());
            return fields.fold(claim, |record, field| self.field(record, field, at));
        }
        self.unknown_claim(name, at);
        Typed { operand: Operand::Claim { slot: 0, name: name.into() }, kind: None, at }
    }

    pub(super) fn unknown_claim(&mut self, name: &str, at: Position) {
        // Looking for what was meant costs more than anything else here.
        if self.is_full() {
            return;
        }
        let variables = self.scope.iter().map(|(variable, _)| variable.as_str());
        let claims = self.catalog.claims().map(|(claim, _)| claim);
        let declared: Vec<String> =
            self.policy.references.iter().map(|r| format!("reference.{}", r.name)).collect();
        let known = claims.chain(variables).chain(declared.iter().map(String::as_str));
        // Whoever shortens the word means a reference.
        let meant = name.strip_prefix("ref.").map(|short| format!("reference.{short}"));
        let near = suggest::nearest(meant.as_deref().unwrap_or(name), known);
        let remedy = near.map_or_else(
            || "`touchstone policy claims` lists the claims that there are".into(),
            |near| format!("did you mean `{near}`?"),
        );
        self.note(at, FaultKind::UnknownClaim, format!("no claim named `{name}`"), remedy);
    }

    fn field(&mut self, record: Typed, field: &str, at: Position) -> Typed {
        let kind = record.kind.as_ref().and_then(|kind| kind.field(field)).cloned();
        if let (Some(known), None) = (&record.kind, &kind) {
            let shown = &record.operand;
            let (problem, remedy) = if let Type::Record(fields) = known {
                let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
                let remedy = suggest::nearest(field, names.iter().copied()).map_or_else(
                    || format!("its fields are {}", names.join(", ")),
                    |near| format!("did you mean `{shown}.{near}`?"),
                );
                (format!("`{shown}` has no field `{field}`"), remedy)
            } else {
                let problem = format!("`{shown}` is {} and has no fields", known.one());
                (problem, format!("write `{shown}` alone"))
            };
            self.note(at, FaultKind::UnknownField, problem, remedy);
        }
        let operand = Operand::Field { record: Box::new(record.operand), name: field.into() };
        Typed { operand, kind, at }
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

fn widen(value: &mut Typed, wanted: Option<&Type>) {
    if let Operand::Literal(literal) = &value.operand
        && literal.as_integer().is_some()
        && wanted == Some(&Type::Version)
    {
        let literal = widened(literal.clone(), wanted);
        value.kind = Some(type_of(&literal));
        value.operand = Operand::Literal(literal);
    }
}

/// Whether it depends on a loop's variable.
fn reads_variable(operand: &Operand) -> bool {
    match operand {
        Operand::Variable { .. } => true,
        Operand::Field { record: inner, .. }
        | Operand::Entry { map: inner, .. }
        | Operand::Count(inner)
        | Operand::Shifted { time: inner, .. } => reads_variable(inner),
        Operand::Call { arguments, .. } => arguments.iter().any(reads_variable),
        Operand::Claim { .. } | Operand::Reference { .. } | Operand::Literal(_) | Operand::Now => {
            false
        }
    }
}
