//! `touchstone policy claims`: what a policy can speak of.

use super::Words;
use crate::answer::{Answer, Answered, table};
use serde_json::{Value, json};

pub(super) fn list(words: &Words) -> Answered {
    let catalog = words.catalog()?;
    let mut rows = Vec::new();
    let mut list = Vec::new();
    for (name, claim) in catalog.claims() {
        rows.push(vec![name.to_owned(), claim.about.clone()]);
        rows.push(vec![String::new(), claim.kind.to_string()]);
        list.push(json!({ "name": name, "type": claim.kind.to_string(), "about": claim.about }));
    }
    let mut answer = Answer::new("touchstone.policy.claims/1")
        .with("claims_schema", catalog.schema())
        .with("claims", list)
        .line(format_args!("Claims, schema {}:\n{}", catalog.schema(), table(&rows)));

    let mut rows = vec![vec!["count(..)".into(), "how many elements or characters".into()]];
    let functions = catalog.functions();
    rows.extend(functions.map(|function| vec![function.to_string(), function.about().to_owned()]));
    answer = answer.line(format_args!("\nFunctions:\n{}", table(&rows)));
    let functions = catalog.functions().map(|function| {
        json!({ "name": function.name(), "signature": function.to_string(),
                "about": function.about() })
    });
    answer = answer.with("functions", functions.collect::<Vec<Value>>());

    let known = catalog.countermeasures();
    let row = |one: &&touchstone_policy::Countermeasure| {
        vec![one.name.clone(), one.grade.name().to_owned(), one.about.clone()]
    };
    let rows: Vec<_> = known.iter().map(row).collect();
    let list = known
        .iter()
        .map(|one| json!({ "name": one.name, "grade": one.grade.name(), "about": one.about }));
    Ok(answer
        .with("countermeasures", list.collect::<Vec<Value>>())
        .line(format_args!("\nCountermeasures, mildest first:\n{}", table(&rows))))
}
