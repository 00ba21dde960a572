//! For the rig's device: says what the kernel's hooks tell and what a look at the process finds, how soon
//! the fleet's verdict follows, and how long starting a program takes with each hook.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "answers go to stdout")]

use anyhow::{Result, bail};
use std::path::Path;
use std::time::Duration;
use touchstone_agent::collect::lsm;
use touchstone_system::starts::{self, Cost, Effort};
use touchstone_system::verdict::{self, Loop, Took};
use touchstone_system::watching;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["follow", seconds] => told(seconds, lsm::PINS),
        ["follow", seconds, pins] => told(seconds, pins),
        ["starts", starts, rounds, program] => {
            let effort = Effort { starts: starts.parse()?, rounds: rounds.parse()? };
            for hook in starts::HOOKS {
                start(hook, Path::new(program), effort);
            }
            Ok(())
        }
        ["verdicts", rounds] => verdict::measure(rounds.parse()?, &["own", "other"], say),
        ["verdicts", rounds, folder, victim] => verdicts(rounds, folder, victim),
        _ => {
            bail!(
                "follow SECONDS [PINS] | starts STARTS ROUNDS PROGRAM | verdicts ROUNDS [FOLDER VICTIM]"
            )
        }
    }
}

fn told(seconds: &str, pins: &str) -> Result<()> {
    watching::follow(Path::new(pins), Duration::from_secs(seconds.parse()?), |line| {
        println!("{line}");
    })
}

/// From each deed to the fleet's verdict, and what each program had of the processor, in microseconds.
fn verdicts(rounds: &str, folder: &str, victim: &str) -> Result<()> {
    let turned = Loop::start(Path::new(folder))?;
    for _ in 0..rounds.parse()? {
        for deed in verdict::DEEDS {
            say(deed, turned.measure(Path::new(victim), deed)?);
        }
    }
    Ok(())
}

fn say(deed: &str, took: Took) {
    let parts: Vec<String> = took.of.iter().map(|of| of.as_micros().to_string()).collect();
    println!("verdict {deed} {} {}", took.whole.as_micros(), parts.join(" "));
}

/// What a start takes without this hook and with it, in nanoseconds: of several rounds the best and the
/// one in the middle.
fn start(hook: &str, program: &Path, effort: Effort) {
    match starts::measure(hook, program, effort) {
        Ok(Cost { alone, with }) => {
            let times = [alone.best, alone.middle, with.best, with.middle];
            let times = times.map(|time| time.as_nanos().to_string()).join(" ");
            println!("starts {hook} {times}");
        }
        Err(error) => println!("not measured here: {hook}: {error:#}"),
    }
}
