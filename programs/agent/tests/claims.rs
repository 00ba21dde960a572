//! The book's page on claims says what agents tell: no claim is missing, none is told of that is not
//! made, and each has the type and the pace that it really has.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::collections::BTreeMap;
use touchstone_agent::collect::observe;

const PAGE: &str = include_str!("../../../book/src/reference/claims.md");

/// What agents make by looking; boot and element have other sources.
const OURS: [&str; 5] = ["runtime.", "system.", "config.", "operation.", "agent."];

struct Row<'p> {
    kind: &'p str,
    how: &'p str,
    pace: &'p str,
}

/// The rows of every table whose first cell is a claim: name, type, unit and meaning, how, pace.
fn rows() -> BTreeMap<&'static str, Row<'static>> {
    let mut rows = BTreeMap::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, about, how, pace] = cells[..] else { panic!("not five cells: {line}") };
        assert!(!about.is_empty(), "{line}");
        let row = Row { kind: kind.trim_matches('`'), how, pace };
        assert!(rows.insert(name.trim_matches('`'), row).is_none(), "twice: {line}");
    }
    rows
}

#[test]
fn the_page_on_claims_has_every_claim_of_the_agent_with_its_type() {
    let rows = rows();
    let catalog = touchstone_appraise::catalog();
    for (name, claim) in
        catalog.claims().filter(|(name, _)| OURS.iter().any(|it| name.starts_with(it)))
    {
        let row = rows.get(name).unwrap_or_else(|| {
            panic!("book/src/reference/claims.md has no `{name}`: {}, {}", claim.kind, claim.about)
        });
        assert_eq!(row.kind, claim.kind.to_string(), "{name}");
        assert!(row.how.len() > 3, "{name}: how is it taken?");
    }
    for name in rows.keys() {
        assert!(catalog.claim(name).is_some(), "`{name}` is no claim");
    }
}

#[test]
fn the_page_on_claims_says_how_fresh_each_one_is() {
    let rows = rows();
    let (quick, inventory) = observe::pace();
    for (names, pace) in [(quick, "each time"), (inventory, "inventory")] {
        for name in names {
            assert_eq!(rows[name].pace, pace, "{name}");
        }
    }
    for (name, row) in &rows {
        assert!(["each time", "inventory", "scan"].contains(&row.pace), "{name}: {}", row.pace);
    }
}
