//! For the rig's device: what the agent's collectors tell of it, one element of each claim a line.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "answers go to stdout")]

use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Duration;
use touchstone_agent::collect::observe::Observer;
use touchstone_evidence::runtime::Observed;

fn main() -> Result<()> {
    let claims: Vec<String> = std::env::args().skip(1).collect();
    ensure!(!claims.is_empty(), "give the names of claims");
    let observer = Observer::new(Path::new("/"), Duration::from_hours(1));
    for it in
        observer.observations(Duration::ZERO).into_iter().filter(|it| claims.contains(&it.name))
    {
        match it.found {
            Ok(Observed::List(elements)) => {
                for element in &elements {
                    println!("{}: {}", it.name, told(element));
                }
            }
            Ok(found) => println!("{}: {}", it.name, told(&found)),
            Err(why) => println!("{}: {} [{}]", it.name, why.words, why.code),
        }
    }
    Ok(())
}

fn told(found: &Observed) -> String {
    match found {
        Observed::Text(text) => text.clone(),
        Observed::Record(fields) => {
            let fields: Vec<String> = fields.iter().map(|(_, value)| told(value)).collect();
            fields.join(" | ")
        }
        other => format!("{other:?}"),
    }
}
