//! What a new version of a policy asks for more, less, or otherwise.

use crate::ast::{Control, Operand, Policy, Test};
use crate::{explain, reach};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Which way a policy, or a part of it, went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It asks for more, or more follows if it is not met.
    Stricter,
    /// It asks for less, or less follows if it is not met.
    Weaker,
    /// It asks for something else; whether that is more or less cannot be shown.
    Different,
    /// It asks for the same in other words.
    Same,
}

impl Direction {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stricter => "stricter",
            Self::Weaker => "weaker",
            Self::Different => "different",
            Self::Same => "same",
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Same, b) => b,
            (a, Self::Same) => a,
            _ => Self::Different,
        }
    }

    fn of(stricter: bool, weaker: bool) -> Self {
        match (stricter, weaker) {
            (true, true) => Self::Same,
            (true, false) => Self::Stricter,
            (false, true) => Self::Weaker,
            (false, false) => Self::Different,
        }
    }
}

/// A part of a policy that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is: `control`, `exception` or `reference`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Whether it came, went, or changed.
    pub change: Change,
    /// Which way the policy went by it.
    pub direction: Direction,
    /// The clauses that are not as they were; empty for what came or went.
    pub clauses: Vec<ClauseDifference>,
    /// Why, as far as the new policy says: the reason of an override, a removal or an exception.
    pub because: Option<String>,
}

/// What became of a part of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
    /// It is not as it was.
    Changed,
}

impl Change {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

/// A clause that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseDifference {
    /// Its word: `require`, `fresh`.
    pub clause: &'static str,
    /// What it said, once for each time that it was there.
    pub before: Vec<String>,
    /// What it says.
    pub after: Vec<String>,
    /// Which way it went.
    pub direction: Direction,
}

impl Policy {
    /// What is different in `after`, this policy being before: controls in the order in which they
    /// are written, then exceptions and references.
    pub fn diff(&self, after: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for old in &self.controls {
            if let Some(new) = after.control(&old.name) {
                differences.extend(control(self, old, after, new));
                continue;
            }
            let removed = after.removed.iter().find(|r| r.control.name == old.name);
            let because = removed.map(|removed| removed.because.clone());
            differences.push(whole("control", &old.name, Change::Removed, because));
        }
        let new = after.controls.iter().filter(|new| self.control(&new.name).is_none());
        differences.extend(new.map(|new| whole("control", &new.name, Change::Added, None)));
        exceptions(self, after, &mut differences);
        references(self, after, &mut differences);
        differences
    }
}

/// More is asked for with a control more, and less with an exception more.
fn whole(kind: &'static str, name: &str, change: Change, because: Option<String>) -> Difference {
    let direction = match (kind, change) {
        ("reference", _) => Direction::Same,
        ("control", Change::Added) | ("exception", Change::Removed) => Direction::Stricter,
        _ => Direction::Weaker,
    };
    Difference { kind, name: name.into(), change, direction, clauses: Vec::new(), because }
}

fn control(before: &Policy, old: &Control, after: &Policy, new: &Control) -> Option<Difference> {
    let (was, is) = (old.clauses(), new.clauses());
    let mut clauses = Vec::new();
    for clause in crate::parse::CLAUSES {
        let all = |list: &[(&'static str, String)]| -> Vec<String> {
            let own = list.iter().filter(|(word, _)| *word == clause);
            own.map(|(_, text)| text.clone()).collect()
        };
        let (before_text, after_text) = (all(&was), all(&is));
        let direction = if clause == "require" {
            requirements(before, old, after, new)
        } else {
            direction(clause, old, new)
        };
        if before_text != after_text || direction != Direction::Same {
            clauses.push(ClauseDifference {
                clause,
                before: before_text,
                after: after_text,
                direction,
            });
        }
    }
    let direction = clauses.iter().fold(Direction::Same, |way, one| way.and(one.direction));
    let added = new.overrides.iter().skip(old.overrides.len()).last();
    (!clauses.is_empty()).then(|| Difference {
        kind: "control",
        name: new.name.clone(),
        change: Change::Changed,
        direction,
        clauses,
        because: added.map(|change| change.because.clone()),
    })
}

fn direction(clause: &str, old: &Control, new: &Control) -> Direction {
    match clause {
        "severity" => Direction::of(new.severity >= old.severity, new.severity <= old.severity),
        "fresh" => {
            // Without the clause any age will do.
            let most =
                |control: &Control| control.fresh.map_or(u128::MAX, |fresh| fresh.as_millis());
            Direction::of(most(new) <= most(old), most(new) >= most(old))
        }
        "else" if new.fails == old.fails => Direction::Same,
        "else" if new.fails.dimension() == old.fails.dimension() => {
            match Direction::of(new.tier() >= old.tier(), new.tier() <= old.tier()) {
                Direction::Same => Direction::Different,
                direction => direction,
            }
        }
        "else" => Direction::Different,
        "then" if new.passes != old.passes => Direction::Different,
        "do" => {
            let all_in = |a: &Control, b: &Control| {
                a.countermeasures.iter().all(|known| b.countermeasures.contains(known))
            };
            Direction::of(all_in(old, new), all_in(new, old))
        }
        _ => Direction::Same,
    }
}

/// The new requirements are stricter if nothing meets them that does not meet the old ones.
fn requirements(before: &Policy, old: &Control, after: &Policy, new: &Control) -> Direction {
    let old: Vec<Test> = old.requires.iter().flat_map(|test| parts(&plain(test, before))).collect();
    let new: Vec<Test> = new.requires.iter().flat_map(|test| parts(&plain(test, after))).collect();
    Direction::of(implies(&new, &old, after), implies(&old, &new, after))
}

/// Whether what meets all that is given meets all that is wanted, as far as that can be shown.
fn implies(given: &[Test], wanted: &[Test], policy: &Policy) -> bool {
    let texts: Vec<String> = given.iter().map(ToString::to_string).collect();
    let known = explain::claims_of(given);
    wanted.iter().all(|that| {
        if texts.contains(&that.to_string()) {
            return true;
        }
        // What reads another claim can be unknown where these are met.
        let one = core::slice::from_ref(that);
        if explain::claims_of(one).iter().any(|claim| !known.contains(claim)) {
            return false;
        }
        let mut against = given.to_vec();
        against.push(Test::Not(Box::new(that.clone())));
        reach::contradiction(&against, policy).is_some()
    })
}

/// The conditions that a condition is the conjunction of.
fn parts(test: &Test) -> Vec<Test> {
    match test {
        Test::All(all) => all.iter().flat_map(parts).collect(),
        other => alloc::vec![other.clone()],
    }
}

/// The condition with the values of declared references in their place.
fn plain(test: &Test, policy: &Policy) -> Test {
    let operand = |operand: &Operand| plain_operand(operand, policy);
    match test {
        Test::Any(parts) => Test::Any(parts.iter().map(|part| plain(part, policy)).collect()),
        Test::All(parts) => Test::All(parts.iter().map(|part| plain(part, policy)).collect()),
        Test::Not(inner) => Test::Not(Box::new(plain(inner, policy))),
        Test::Each { every, variable, list, body } => Test::Each {
            every: *every,
            variable: variable.clone(),
            list: operand(list),
            body: Box::new(plain(body, policy)),
        },
        Test::Holds(value) => Test::Holds(operand(value)),
        Test::Compare { left, how, right } => {
            Test::Compare { left: operand(left), how: *how, right: operand(right) }
        }
        Test::In { value, set } => Test::In { value: operand(value), set: operand(set) },
        Test::Within { list, set } => Test::Within { list: operand(list), set: operand(set) },
        Test::Present(value) => Test::Present(operand(value)),
        Test::Empty(value) => Test::Empty(operand(value)),
    }
}

fn plain_operand(operand: &Operand, policy: &Policy) -> Operand {
    match operand {
        Operand::Reference { at, .. } => match policy.references.get(*at) {
            Some(reference) => Operand::Literal(reference.value.clone()),
            None => operand.clone(),
        },
        other => other.clone(),
    }
}

fn exceptions(before: &Policy, after: &Policy, differences: &mut Vec<Difference>) {
    for old in &before.exceptions {
        match after.exceptions.iter().find(|new| new.name == old.name) {
            None => differences.push(whole("exception", &old.name, Change::Removed, None)),
            Some(new) if new == old => {}
            Some(new) => {
                let same = (&new.controls, &new.when) == (&old.controls, &old.when);
                let direction = if same {
                    Direction::of(new.until <= old.until, new.until >= old.until)
                } else {
                    Direction::Different
                };
                let name = &new.name;
                let because = Some(new.because.clone());
                let changed = whole("exception", name, Change::Changed, because);
                differences.push(Difference { direction, ..changed });
            }
        }
    }
    let known = |name: &str| before.exceptions.iter().any(|old| old.name == name);
    for new in after.exceptions.iter().filter(|new| !known(&new.name)) {
        let because = Some(format!("{} ({}, until {})", new.because, new.by, new.until));
        differences.push(whole("exception", &new.name, Change::Added, because));
    }
}

/// References by themselves ask for nothing: what they change shows in the controls.
fn references(before: &Policy, after: &Policy, differences: &mut Vec<Difference>) {
    for old in &before.references {
        match after.references.iter().find(|new| new.name == old.name) {
            None => differences.push(whole("reference", &old.name, Change::Removed, None)),
            Some(new) if new.value == old.value => {}
            Some(new) => {
                let clauses = alloc::vec![ClauseDifference {
                    clause: "reference",
                    before: alloc::vec![old.value.to_string()],
                    after: alloc::vec![new.value.to_string()],
                    direction: Direction::Same,
                }];
                let because = new.overrides.last().map(|change| change.because.clone());
                let changed = whole("reference", &new.name, Change::Changed, because);
                differences.push(Difference { clauses, ..changed });
            }
        }
    }
    let known = |name: &str| before.references.iter().any(|old| old.name == name);
    let new = after.references.iter().filter(|new| !known(&new.name));
    differences.extend(new.map(|new| whole("reference", &new.name, Change::Added, None)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{GATEWAY, catalog};

    fn between(old: &str, new: &str) -> Vec<Difference> {
        let load = |text: &str| Policy::parse(text, &catalog()).unwrap();
        load(old).diff(&load(new))
    }

    fn changed(from: &str, to: &str) -> Difference {
        assert!(GATEWAY.contains(from), "{from}");
        let mut found = between(GATEWAY, &GATEWAY.replacen(from, to, 1));
        found.retain(|difference| difference.kind == "control");
        assert_eq!(found.len(), 1, "{found:?}");
        found.swap_remove(0)
    }

    #[test]
    fn nothing_is_different_from_itself() {
        assert_eq!(between(GATEWAY, GATEWAY), []);
    }

    #[test]
    fn a_change_is_told_with_its_direction() {
        use Direction::{Different, Same, Stricter, Weaker};
        for (from, to, direction) in [
            ("evidence.age <= 60s", "evidence.age <= 30s", Stricter),
            ("evidence.age <= 60s", "evidence.age < 2m", Weaker),
            ("evidence.age <= 60s", "60s >= evidence.age", Same),
            ("evidence.age <= 60s", "evidence.age >= 60s", Different),
            ("evidence.age <= 60s", "evidence.age <= 60s or ima.violations == 0", Different),
            ("require  boot.secure-boot\n", "require  boot.secure-boot or true\n", Weaker),
            ("agent.version >= 0.1.0 and", "agent.version >= 0.2.0 and", Stricter),
            ("agent.version >= 0.1.0 and", "", Weaker),
            ("[0.1.7, 0.1.8]", "[0.1.7, 0.1.8, 0.1.9]", Stricter),
            ("[0.1.7, 0.1.8]", "[0.1.7]", Weaker),
            ("else     executables warning", "else     executables contraindicated", Stricter),
            ("severity critical", "severity low", Weaker),
            ("do       alert, quarantine\n", "do       alert\n", Weaker),
            ("fresh    1m\n", "", Weaker),
            ("fresh    1m\n", "fresh    10s\n", Stricter),
            ("The evidence is not", "Evidence is not", Same),
            ("then     approved-boot", "then     approved-runtime", Different),
        ] {
            assert_eq!(changed(from, to).direction, direction, "{from} -> {to}");
        }
    }

    #[test]
    fn what_comes_and_goes_is_told() {
        let less = GATEWAY.replace("\ncontrol watched-programs", "\ncontrol running-programs");
        let less = less.replace("expect   watched-programs", "expect   running-programs");
        let found = between(GATEWAY, &less);
        let told: Vec<_> = found.iter().map(|d| (d.name.as_str(), d.change, d.direction)).collect();
        assert_eq!(
            told,
            [
                ("watched-programs", Change::Removed, Direction::Weaker),
                ("running-programs", Change::Added, Direction::Stricter),
            ]
        );
        let leave = |until: &str| {
            alloc::format!(
                "{GATEWAY}exception lab {{ for secure-boot by \"me\" because \"why\" until {until} }}"
            )
        };
        let found = between(GATEWAY, &leave("2027-01-01"));
        assert_eq!((found[0].kind, found[0].direction), ("exception", Direction::Weaker));
        let found = between(&leave("2027-01-01"), &leave("2028-01-01"));
        assert_eq!((found[0].change, found[0].direction), (Change::Changed, Direction::Weaker));
    }

    #[test]
    fn an_override_is_told_with_its_reason() {
        let site = alloc::format!(
            "{GATEWAY}policy site version 1 schema 1 extends gateway version 1\n\
             override control secure-boot {{ because \"a lab\" severity low }}\n\
             override reference recalled-agents [0.1.7] because \"ours is patched\"\n\
             remove control agent-version because \"no agent here\""
        );
        let found = between(GATEWAY, &site);
        let told: Vec<_> =
            found.iter().map(|d| (d.name.as_str(), d.because.as_deref().unwrap())).collect();
        assert_eq!(
            told,
            [
                ("secure-boot", "a lab"),
                ("agent-version", "no agent here"),
                ("recalled-agents", "ours is patched"),
            ]
        );
    }
}
