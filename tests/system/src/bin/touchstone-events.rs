//! For the rig's device: says what the kernel's hooks tell and what a look at the process finds, and
//! how long starting a program takes with each of them.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "answers go to stdout")]

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use touchstone_agent::collect::exec::Gate;
use touchstone_agent::collect::lsm;
use touchstone_system::watching;

/// What is started, and how often.
const PROGRAM: &str = "/bin/nothing";
const STARTS: u32 = 30;
const ROUNDS: u32 = 5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["follow", seconds] => told(seconds, lsm::PINS),
        ["follow", seconds, pins] => told(seconds, pins),
        ["starts", how] => starts(how, PROGRAM),
        ["starts", how, program] => starts(how, program),
        _ => bail!("follow SECONDS [PINS] | starts none [PROGRAM] | starts fanotify [PROGRAM]"),
    }
}

fn told(seconds: &str, pins: &str) -> Result<()> {
    watching::follow(Path::new(pins), Duration::from_secs(seconds.parse()?), |line| {
        println!("{line}");
    })
}

/// The time of one start in microseconds: of several rounds the best and the one in the middle.
fn starts(how: &str, program: &str) -> Result<()> {
    let stop = AtomicBool::new(false);
    let gate = if how == "fanotify" { Some(Gate::open(false)?) } else { None };
    let mut rounds = std::thread::scope(|scope| {
        if let Some(gate) = &gate {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    if gate.wait(Duration::from_millis(50)).is_err() {
                        return;
                    }
                }
            });
        }
        let rounds = (0..ROUNDS).map(|_| round(program)).collect::<Result<Vec<_>>>();
        stop.store(true, Ordering::Relaxed);
        rounds
    })?;
    rounds.sort_unstable();
    let (best, middle) = (rounds.first(), rounds.get(rounds.len() / 2));
    println!("starts {how} {} {}", best.unwrap_or(&0), middle.unwrap_or(&0));
    Ok(())
}

fn round(program: &str) -> Result<u128> {
    let begun = Instant::now();
    for _ in 0..STARTS {
        Command::new(program).status().context("start a program")?;
    }
    Ok(begun.elapsed().as_micros() / u128::from(STARTS))
}
