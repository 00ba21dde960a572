//! A policy in plain language, and what became of it with the values of one device.

use crate::ast::{Comparison, Control, Operand, Test};
use crate::evaluate::{Facts, Scope, Scopes, Truth, Truths};
use crate::evaluate::{contains, element_holds, elements, holds, read};
use crate::{Catalog, Value};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// Characters of one value that are shown.
const SHOWN: usize = 160;
/// Elements of one list that are shown.
const LISTED: usize = 3;
/// Elements that are handed out as offenders.
const OFFENDERS: usize = 16;

impl Control {
    /// What it requires, as a sentence, with the catalogue's words for each claim where it is
    /// named first.
    pub fn describe(&self, catalog: &Catalog) -> String {
        let mut words = Words { catalog, told: Vec::new() };
        let mut requires: Vec<String> =
            self.requires.iter().map(|test| words.sentence(test)).collect();
        if let Some(fresh) = self.fresh {
            requires.push(format!("all of this was seen at most {} ago", Value::Duration(fresh)));
        }
        requires.join("; and ")
    }

    /// The claims that it reads, in the order in which it does.
    pub fn claims(&self) -> Vec<&str> {
        claims_of(&self.requires)
    }
}

/// The claims that conditions read, each once.
pub(crate) fn claims_of(tests: &[Test]) -> Vec<&str> {
    let mut names = Vec::new();
    for test in tests {
        collect_claims(test, &mut names);
    }
    names
}

fn collect_claims<'a>(test: &'a Test, names: &mut Vec<&'a str>) {
    match test {
        Test::Any(parts) | Test::All(parts) => {
            for part in parts {
                collect_claims(part, names);
            }
        }
        Test::Not(inner) => collect_claims(inner, names),
        Test::Each { list, body, .. } => {
            collect_operand(list, names);
            collect_claims(body, names);
        }
        Test::Holds(operand) | Test::Present(operand) | Test::Empty(operand) => {
            collect_operand(operand, names);
        }
        Test::Compare { left: a, right: b, .. }
        | Test::In { value: a, set: b }
        | Test::Within { list: a, set: b } => {
            collect_operand(a, names);
            collect_operand(b, names);
        }
    }
}

fn collect_operand<'a>(operand: &'a Operand, names: &mut Vec<&'a str>) {
    match operand {
        Operand::Claim { name, .. } => {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        Operand::Field { record: inner, .. }
        | Operand::Entry { map: inner, .. }
        | Operand::Count(inner)
        | Operand::Shifted { time: inner, .. } => collect_operand(inner, names),
        Operand::Call { arguments, .. } => {
            for argument in arguments {
                collect_operand(argument, names);
            }
        }
        Operand::Reference { .. }
        | Operand::Variable { .. }
        | Operand::Literal(_)
        | Operand::Now => {}
    }
}

/// Plain language for what a policy requires.
struct Words<'a> {
    catalog: &'a Catalog,
    /// Claims that were told what they are.
    told: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn sentence(&mut self, test: &'a Test) -> String {
        match test {
            Test::Any(parts) => format!("either {}", self.join(parts, ", or ")),
            Test::All(parts) => self.join(parts, ", and "),
            Test::Not(negated) => match &**negated {
                Test::Holds(operand) => format!("{} is false", self.phrase(operand)),
                Test::In { value, set } => {
                    format!("{} is not one of {}", self.phrase(value), self.phrase(set))
                }
                Test::Present(operand) => format!("nothing is said about {}", self.phrase(operand)),
                Test::Empty(operand) => format!("{} is not empty", self.phrase(operand)),
                other => format!("it is not so that {}", self.sentence(other)),
            },
            Test::Each { every, variable, list, body } => {
                let word = if *every { "every" } else { "at least one" };
                let variable = if variable.is_empty() { "element" } else { variable };
                format!("for {word} {variable} in {}, {}", self.phrase(list), self.sentence(body))
            }
            Test::Holds(operand) => format!("{} is true", self.phrase(operand)),
            Test::Compare { left, how, right } => {
                format!("{} is {}{}", self.phrase(left), how.words(), self.phrase(right))
            }
            Test::In { value, set } => {
                format!("{} is one of {}", self.phrase(value), self.phrase(set))
            }
            Test::Within { list, set } => {
                format!("each of {} is one of {}", self.phrase(list), self.phrase(set))
            }
            Test::Present(operand) => format!("{} is known", self.phrase(operand)),
            Test::Empty(operand) => format!("{} is empty", self.phrase(operand)),
        }
    }

    fn join(&mut self, parts: &'a [Test], word: &str) -> String {
        let parts: Vec<String> = parts.iter().map(|part| self.sentence(part)).collect();
        parts.join(word)
    }

    fn phrase(&mut self, operand: &'a Operand) -> String {
        match operand {
            Operand::Claim { name, .. } => match self.catalog.claim(name) {
                Some(claim) if !claim.about.is_empty() && !self.told.contains(&name.as_str()) => {
                    self.told.push(name);
                    format!("`{name}` ({})", claim.about)
                }
                _ => format!("`{name}`"),
            },
            Operand::Count(inner) => format!("the number of elements in {}", self.phrase(inner)),
            Operand::Field { record, name } if matches!(**record, Operand::Claim { .. }) => {
                format!("`{name}` of {}", self.phrase(record))
            }
            Operand::Now => "the time".into(),
            Operand::Shifted { time, later, span } => {
                let word = if *later { "after" } else { "before" };
                format!("{} {word} {}", Value::Duration(*span), self.phrase(time))
            }
            Operand::Literal(value) => clip(&value.to_string()),
            Operand::Variable { name, .. } if name.is_empty() => "it".into(),
            Operand::Reference { .. }
            | Operand::Variable { .. }
            | Operand::Field { .. }
            | Operand::Entry { .. }
            | Operand::Call { .. } => format!("`{operand}`"),
        }
    }
}

/// What was found for each requirement that decided the outcome.
pub(crate) fn outcome<'a>(control: &'a Control, truths: Truths, facts: &Facts<'a>) -> String {
    let mut told = Vec::new();
    for (place, test) in control.requires.iter().enumerate() {
        let truth = truths.of(place).unwrap_or_else(|| holds(test, facts, None));
        told.push((truth, finding(test, truth, facts, None)));
    }
    let passed = told.iter().all(|(truth, _)| *truth == Truth::True);
    told.retain(|(truth, _)| passed || *truth != Truth::True);
    let told: Vec<String> = told.into_iter().map(|(_, words)| words).collect();
    told.join("; ")
}

/// Why `test` has that truth.
fn finding<'a>(test: &'a Test, truth: Truth, facts: &Facts<'a>, scope: Scopes<'_, 'a>) -> String {
    match test {
        Test::Any(parts) | Test::All(parts) => {
            let telling: Vec<String> = parts
                .iter()
                .filter(|part| holds(part, facts, scope) == truth)
                .map(|part| finding(part, truth, facts, scope))
                .collect();
            telling.join(", and ")
        }
        Test::Not(inner) => {
            let opposite = match truth {
                Truth::True => Truth::False,
                Truth::False => Truth::True,
                Truth::Unknown => Truth::Unknown,
            };
            let words = finding(inner, opposite, facts, scope);
            if truth == Truth::False { format!("{words}, which must not be") } else { words }
        }
        Test::Each { every, list, body, .. } => each(*every, list, body, truth, facts, scope),
        Test::Within { list, set } => within(list, set, truth, facts, scope),
        Test::Present(operand) => match truth {
            Truth::True => format!("{operand} is known"),
            Truth::False => format!("nothing is said about {operand}"),
            Truth::Unknown => missing(operand, facts),
        },
        Test::Holds(operand) => fact(operand, truth, facts, scope, "wanted true"),
        Test::Empty(operand) => fact(operand, truth, facts, scope, "wanted nothing in it"),
        Test::Compare { left, how, right } => {
            let wanted = match (truth, read(right, facts, scope)) {
                (Truth::Unknown, None) => return missing(right, facts),
                (Truth::False, Some(value)) => {
                    format!("wanted {}{}", how.words(), clip(&value.as_value().to_string()))
                }
                _ => String::new(),
            };
            let plain = *how == Comparison::Equal || truth == Truth::False;
            let words = fact(left, truth, facts, scope, &wanted);
            if plain || truth == Truth::Unknown { words } else { format!("{words}, as wanted") }
        }
        Test::In { value, set } => {
            let size = elements(set, facts, scope).map(<[Value]>::len);
            match size {
                None => missing(set, facts),
                Some(size) if truth == Truth::True => {
                    let words = fact(value, truth, facts, scope, "");
                    format!("{words}, one of {}", named_set(set, size))
                }
                Some(size) => {
                    let wanted = format!("not one of {}", named_set(set, size));
                    fact(value, truth, facts, scope, &wanted)
                }
            }
        }
    }
}

/// `operand is value`, and what was wanted if it is not so.
fn fact<'a>(
    operand: &'a Operand,
    truth: Truth,
    facts: &Facts<'a>,
    scope: Scopes<'_, 'a>,
    wanted: &str,
) -> String {
    let Some(value) = read(operand, facts, scope) else { return missing(operand, facts) };
    let value = clip(&shown(value.as_value()));
    match truth {
        Truth::True => format!("{operand} is {value}"),
        Truth::False => format!("{operand} is {value}, {wanted}"),
        Truth::Unknown => format!("{operand} is {value}, which cannot be judged here"),
    }
}

/// A long list is its length and its first elements.
fn shown(value: &Value) -> String {
    match value.elements() {
        Some([]) => "empty".into(),
        Some(values) if values.len() > LISTED => {
            let first: Vec<String> = values.iter().take(LISTED).map(ToString::to_string).collect();
            format!("{} elements ({}, ..)", values.len(), first.join("; "))
        }
        _ => value.to_string(),
    }
}

fn missing(operand: &Operand, facts: &Facts<'_>) -> String {
    let age = |age: Duration| Value::Duration(age);
    match facts.staleness(operand) {
        Some((Some(old), fresh)) => {
            format!(
                "what is known about {operand} is {} old, wanted at most {}",
                age(old),
                age(fresh)
            )
        }
        Some((None, fresh)) => format!(
            "what is known about {operand} is of an unknown age, wanted at most {}",
            age(fresh)
        ),
        None => format!("the evidence says nothing about {operand}"),
    }
}

fn named_set(set: &Operand, size: usize) -> String {
    let plural = if size == 1 { "value" } else { "values" };
    match set {
        Operand::Literal(value) => clip(&value.to_string()),
        _ => format!("the {size} {plural} in {set}"),
    }
}

fn each<'a>(
    every: bool,
    list: &'a Operand,
    body: &'a Test,
    truth: Truth,
    facts: &Facts<'a>,
    scope: Scopes<'_, 'a>,
) -> String {
    let Some(values) = elements(list, facts, scope) else { return missing(list, facts) };
    let total = values.len();
    match (every, truth) {
        (true, Truth::True) => format!("all {total} in {list} are as wanted"),
        (false, Truth::False) => format!("none of the {total} in {list} is as wanted"),
        _ => {
            let telling: Vec<&Value> = values
                .iter()
                .filter(|value| element_holds(body, value, facts, scope) == truth)
                .collect();
            let told = telling.iter().take(LISTED).map(|value| {
                let inner = Scope { value, outer: scope };
                let why = finding(body, truth, facts, Some(&inner));
                // A scalar is told by its finding; a record needs its other fields.
                match value {
                    Value::Record(_) => format!("{} {why}", clip(&value.to_string())),
                    _ => why,
                }
            });
            summary(telling.len(), total, list, &told.collect::<Vec<_>>())
        }
    }
}

fn within<'a>(
    list: &'a Operand,
    set: &'a Operand,
    truth: Truth,
    facts: &Facts<'a>,
    scope: Scopes<'_, 'a>,
) -> String {
    let Some(values) = elements(list, facts, scope) else { return missing(list, facts) };
    let known = elements(set, facts, scope).map(<[Value]>::len).zip(read(set, facts, scope));
    let Some((size, known)) = known else { return missing(set, facts) };
    let set = named_set(set, size);
    if truth == Truth::True {
        return format!("all {} in {list} are among {set}", values.len());
    }
    let strangers: Vec<&Value> = values
        .iter()
        .filter(|value| contains(known.as_value(), value, facts) != Some(true))
        .collect();
    let told: Vec<String> =
        strangers.iter().take(LISTED).map(|value| clip(&value.to_string())).collect();
    format!("{}, not among {set}", summary(strangers.len(), values.len(), list, &told))
}

fn summary(count: usize, total: usize, list: &Operand, told: &[String]) -> String {
    let more = count.saturating_sub(told.len());
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{count} of {total} in {list}: {}{more}", told.join("; "))
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}

/// The elements that made the control fail.
pub(crate) fn offenders<'a>(
    control: &'a Control,
    truths: Truths,
    facts: &Facts<'a>,
) -> Vec<&'a Value> {
    let mut found = Vec::new();
    for (place, test) in control.requires.iter().enumerate() {
        let truth = truths.of(place).unwrap_or_else(|| holds(test, facts, None));
        if truth != Truth::True {
            collect_offenders(test, facts, None, &mut found);
        }
    }
    found
}

fn collect_offenders<'a>(
    test: &'a Test,
    facts: &Facts<'a>,
    scope: Scopes<'_, 'a>,
    found: &mut Vec<&'a Value>,
) {
    let room = OFFENDERS.saturating_sub(found.len());
    match test {
        Test::Any(parts) | Test::All(parts) => {
            let failing = parts.iter().filter(|part| holds(part, facts, scope) != Truth::True);
            failing.for_each(|part| collect_offenders(part, facts, scope, found));
        }
        Test::Each { every: true, list, body, .. } => {
            let values = elements(list, facts, scope).unwrap_or_default();
            let failing = |v: &&'a Value| element_holds(body, v, facts, scope) != Truth::True;
            found.extend(values.iter().filter(failing).take(room));
        }
        Test::Within { list, set } => {
            let values = elements(list, facts, scope).unwrap_or_default();
            let known = read(set, facts, scope);
            let inside = |value: &'a Value| {
                known.as_ref().and_then(|set| contains(set.as_value(), value, facts))
            };
            found.extend(values.iter().filter(|v| inside(v) != Some(true)).take(room));
        }
        Test::Empty(list) => {
            found.extend(elements(list, facts, scope).unwrap_or_default().iter().take(room));
        }
        Test::Not(inner) => {
            if let Test::Each { every: false, list, body, .. } = &**inner {
                let values = elements(list, facts, scope).unwrap_or_default();
                let failing = |v: &&'a Value| element_holds(body, v, facts, scope) != Truth::False;
                found.extend(values.iter().filter(failing).take(room));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
