//! The book's page on events has every code, with its severity and its class, and no other.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use touchstone_audit::{Class, Code};

const PAGE: &str = include_str!("../../../book/src/reference/events.md");

#[test]
fn the_page_on_events_says_of_every_code_what_the_catalogue_says() {
    let rows: Vec<Vec<&str>> = PAGE
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), Code::ALL.len());
    for (code, row) in Code::ALL.iter().zip(rows) {
        let class = Class::of(*code);
        let class = format!("{} {}: {}", class.uid, class.name, class.activity_name);
        let name = format!("`{code}`");
        let expected = [name.as_str(), code.severity().name(), code.about(), &class];
        assert_eq!(row[..4], expected, "{code}");
        assert!(row.len() == 6 && row[4..].iter().all(|cell| !cell.is_empty()), "{code}");
    }
}
