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
use touchstone_agent::collect::lsm::{self, Ring};
use touchstone_agent::collect::pages::{Scanner, Scope};

/// What is started, and how often.
const PROGRAM: &str = "/bin/nothing";
const STARTS: u32 = 30;
const ROUNDS: u32 = 5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["follow", seconds] => follow(Duration::from_secs(seconds.parse()?)),
        ["starts", how] => starts(how),
        _ => bail!("follow SECONDS | starts none | starts fanotify"),
    }
}

/// As the agent does: a signal, a moment, a look at whom it was about.
fn follow(long: Duration) -> Result<()> {
    let mut ring = Ring::open(Path::new(lsm::PINS))?;
    let mut scanner = Scanner::new(Scope::All, Duration::from_hours(1), 1_000_000);
    scanner.look().context("a first look")?;
    let until = Instant::now() + long;
    let own = std::process::id();
    println!("follows");
    while Instant::now() < until {
        let seen = ring.wait(Duration::from_millis(200));
        if seen.is_empty() {
            continue;
        }
        std::thread::sleep(Duration::from_millis(20));
        let (mut whom, mut again) = (Vec::new(), Vec::new());
        for it in seen.into_iter().chain(ring.wait(Duration::ZERO)).filter(|it| it.pid != own) {
            whom.push(it.whom());
            again.extend(it.goes_on().then(|| it.whom()));
            println!("saw {:?} {} {} {}", it.what, it.pid, it.other, it.name);
        }
        whom.sort_unstable();
        whom.dedup();
        tell(&mut scanner, &whom);
        if !again.is_empty() {
            std::thread::sleep(Duration::from_millis(150));
            tell(&mut scanner, &again);
        }
    }
    Ok(())
}

fn tell(scanner: &mut Scanner, whom: &[u32]) {
    for finding in scanner.look_at(whom).findings {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = now.tv_sec * 1_000_000_000 + now.tv_nsec;
        println!("found {:?} {} {now}", finding.kind, finding.pid);
    }
}

/// The time of one start in microseconds: of several rounds the best and the one in the middle.
fn starts(how: &str) -> Result<()> {
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
        let rounds = (0..ROUNDS).map(|_| round()).collect::<Result<Vec<_>>>();
        stop.store(true, Ordering::Relaxed);
        rounds
    })?;
    rounds.sort_unstable();
    let (best, middle) = (rounds.first(), rounds.get(rounds.len() / 2));
    println!("starts {how} {} {}", best.unwrap_or(&0), middle.unwrap_or(&0));
    Ok(())
}

fn round() -> Result<u128> {
    let begun = Instant::now();
    for _ in 0..STARTS {
        Command::new(PROGRAM).status().context("start a program")?;
    }
    Ok(begun.elapsed().as_micros() / u128::from(STARTS))
}
