//! `--help` teaches: every command that does something shows how it is called.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use support::{folder, run};

/// The commands below this one, as its help lists them.
fn below(help: &str) -> Vec<&str> {
    let list = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let list = list.split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").collect()
}

/// Walks down to the commands that do something, and counts them.
fn teaches(command: &[&str], faults: &mut Vec<String>) -> usize {
    let here = folder(&[]);
    let help = run(here.path(), &[command, &["--help"]].concat()).expect(0).out;
    let deeper = below(&help);
    if !deeper.is_empty() {
        return deeper.iter().map(|name| teaches(&[command, &[name]].concat(), faults)).sum();
    }
    let called = ["touchstone", &command.join(" ")].join(" ");
    let examples = help.split_once("\nExample").map_or("", |(_, examples)| examples);
    if !examples.contains(&called) {
        faults.push(called);
    }
    1
}

#[test]
fn every_command_shows_how_it_is_called() {
    let mut faults = Vec::new();
    let commands = teaches(&[], &mut faults);
    assert_eq!(faults, [""; 0], "no example of these in their help");
    assert!(commands > 80, "only {commands} commands were found");
}
