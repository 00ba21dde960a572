//! `touchstone policy diff`: what a new version of a policy asks for more, less, or otherwise.

use super::{Words, load};
use crate::answer::{Answer, Answered};
use serde_json::{Value, json};
use std::path::Path;
use touchstone_policy::{Difference, Direction};

pub(super) fn diff(before: &Path, after: &Path, words: &Words) -> Answered {
    let catalog = words.catalog()?;
    let (old, new) = (load(before, &catalog)?, load(after, &catalog)?);
    let differences = old.diff(&new);
    let mut answer = Answer::new("touchstone.policy.diff/1")
        .with("before", json!({ "name": old.name(), "version": old.version() }))
        .with("after", json!({ "name": new.name(), "version": new.version() }));
    for difference in &differences {
        answer = answer.line(lines(difference));
    }
    let mut good = !differences.iter().any(|one| weaker(one.direction));
    if differences.is_empty() {
        answer = answer.line("nothing is different");
    } else if new.name() == old.name() && new.version() <= old.version() {
        good = false;
        let (old, new) = (old.version(), new.version());
        answer = answer.word(format_args!(
            "version {new} comes after version {old}: count it up, or no fleet takes it"
        ));
    }
    let list: Vec<Value> = differences.iter().map(to_json).collect();
    Ok(answer.good(good).with("differences", list))
}

const fn weaker(direction: Direction) -> bool {
    matches!(direction, Direction::Weaker | Direction::Different)
}

fn lines(difference: &Difference) -> String {
    let Difference { kind, name, change, direction, clauses, because } = difference;
    let mut lines = vec![format!("{:9} {kind} {name} {}", direction.name(), change.name())];
    if let Some(because) = because {
        lines.push(format!("          because {because}"));
    }
    for clause in clauses {
        let told = |sign: char, text: &String| format!("          {sign} {} {text}", clause.clause);
        lines.extend(clause.before.iter().map(|text| told('-', text)));
        lines.extend(clause.after.iter().map(|text| told('+', text)));
    }
    lines.join("\n")
}

fn to_json(difference: &Difference) -> Value {
    let clauses = difference.clauses.iter().map(|clause| {
        json!({ "clause": clause.clause, "before": clause.before, "after": clause.after,
                "direction": clause.direction.name() })
    });
    json!({
        "kind": difference.kind, "name": difference.name, "change": difference.change.name(),
        "direction": difference.direction.name(), "because": difference.because,
        "clauses": clauses.collect::<Vec<Value>>(),
    })
}
