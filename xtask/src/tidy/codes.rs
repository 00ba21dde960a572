//! Every code of the audit catalogue is told by somebody: one that nothing emits promises an event
//! that never comes.

use super::rust_files;
use crate::run::root;
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;

const CATALOGUE: &str = "crates/audit/src/code.rs";
/// It names every code to sort it, and tells none.
const CLASSES: &str = "crates/audit/src/encode/class.rs";
/// Where codes are told.
const TELLERS: [&str; 4] =
    ["crates/audit/src", "programs/agent/src", "programs/checkpoint/src", "programs/fleet/src"];

pub(super) fn codes(faults: &mut Vec<String>) -> Result<()> {
    let catalogue = fs::read_to_string(root().join(CATALOGUE))?;
    let names = names(&catalogue);
    ensure!(names.len() > 40, "{CATALOGUE} is not read as it is written any more");
    let mut told = String::new();
    for folder in TELLERS {
        for file in rust_files(&root().join(folder))? {
            if !file.ends_with(CATALOGUE) && !file.ends_with(CLASSES) && !is_test(&file) {
                let text = fs::read_to_string(&file)?;
                told += text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            }
        }
    }
    faults.extend(names.iter().filter(|name| !tells(&told, name)).map(|name| {
        format!("nothing tells `Code::{name}`; tell it where it happens, or take it out")
    }));
    Ok(())
}

fn is_test(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "tests")
}

/// The names in the list: `Name, "code", Severity, "words";`.
fn names(catalogue: &str) -> Vec<&str> {
    let names = catalogue.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(", \"")?;
        (rest.ends_with("\";") && name.chars().all(char::is_alphanumeric)).then_some(name)
    });
    names.collect()
}

fn tells(text: &str, name: &str) -> bool {
    let whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric());
    text.match_indices(&format!("Code::{name}"))
        .any(|(at, found)| text.get(at + found.len()..).is_some_and(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_nobody_tells_is_found_by_its_whole_name() {
        let list = "    CertRevoked, \"cert.revoked\", Warning, \"it was\";\n    pub enum Code {\n";
        assert_eq!(names(list), ["CertRevoked"]);
        assert!(!tells("x = Code::CertRevokedHere;", "CertRevoked"));
        assert!(tells("Event::new(Code::CertRevoked, ..)", "CertRevoked"));
    }
}
