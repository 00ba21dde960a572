//! `touchstone policy test`: the tests that policies bring along.

use super::{Words, bad, gather};
use crate::answer::{Answer, Answered};
use serde_json::{Value, json};
use std::path::PathBuf;
use touchstone_policy::{Policy, TrialResult};

pub(super) fn test(paths: &[PathBuf], words: &Words) -> Answered {
    let catalog = words.catalog()?;
    let mut answer = Answer::new("touchstone.policy.test/1");
    let mut list = Vec::new();
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for path in paths {
        let bundle = gather(path)?;
        for (file, text) in bundle.prefixes() {
            let policy =
                Policy::parse(text, &catalog).map_err(|faults| bad(path, &bundle, &faults))?;
            for mut result in policy.run_tests() {
                let at = touchstone_policy::Position { line: result.line, column: 1 };
                result.line = bundle.place(at).1.line;
                if result.unmet.is_empty() {
                    passed += 1;
                } else {
                    failed += 1;
                }
                for line in lines(file, &result) {
                    answer = answer.line(line);
                }
                list.push(to_json(file, &result));
            }
        }
    }
    if list.is_empty() {
        answer = answer.word("no tests: write `test \"..\" { given .. expect .. }`");
    }
    Ok(answer
        .good(failed == 0)
        .with("tests", list)
        .with("passed", passed)
        .with("failed", failed)
        .line(format_args!("{passed} passed, {failed} failed")))
}

fn lines(file: &str, result: &TrialResult) -> Vec<String> {
    let TrialResult { name, line, unmet } = result;
    let word = if unmet.is_empty() { "passed" } else { "FAILED" };
    let mut lines = vec![format!("{word}  {file}:{line}: {name}")];
    for unmet in unmet {
        let (of, expected, found) = (&unmet.of, unmet.expected, unmet.found);
        lines.push(format!("        {of}: expected {expected}, found {found}"));
        if !unmet.why.is_empty() {
            lines.push(format!("        {}", unmet.why));
        }
    }
    lines
}

fn to_json(file: &str, result: &TrialResult) -> Value {
    let unmet = result.unmet.iter().map(|unmet| {
        json!({ "of": unmet.of, "expected": unmet.expected, "found": unmet.found,
                "why": unmet.why })
    });
    json!({
        "file": file, "line": result.line, "name": result.name,
        "passed": result.unmet.is_empty(), "unmet": unmet.collect::<Vec<Value>>(),
    })
}
