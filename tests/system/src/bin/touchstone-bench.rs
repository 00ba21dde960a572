//! Prints what an appraisal costs beside its raw cryptography, and the agent's peak memory on a
//! booted device.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that talks to a person")]
#![allow(clippy::cast_precision_loss, reason = "a ratio for people")]

use std::time::Duration;
use touchstone_system::bench;
use touchstone_system::scene::{Report, Scene};

/// What the agent may need at its peak, in kilobytes.
const AGENT_TARGET: u64 = 12 * 1024;

fn main() -> anyhow::Result<()> {
    println!("one appraisal (decode, verify, judge) beside its signature check and hashing");
    println!("{:>12} {:>14} {:>14} {:>8}", "IMA entries", "appraisal", "raw crypto", "ratio");
    for entries in [0, 200, 2_000, 20_000] {
        let cost = bench::appraisal(entries, 50)?;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "{:>12} {:>11.1} us {:>11.1} us {:>7.2}x",
            cost.entries,
            micros(cost.appraisal),
            micros(cost.raw),
            micros(cost.appraisal) / micros(cost.raw),
        );
    }

    touchstone_system::interrupt::clean_up_when_interrupted()?;
    let mut report = Report::new();
    let mut scene = Scene::set(&touchstone_system::programs()?, &mut report)?;
    let memory = scene.agent_memory(&mut report)?;
    report.end();
    let [keeper, network] = memory.halves;
    println!(
        "agent, peak resident memory on the device: keeper {keeper} kB, network half {network} kB"
    );
    println!(
        "both, pages that they share counted once: {} kB ({:.2}x of the target of {AGENT_TARGET} kB)",
        memory.together,
        memory.together as f64 / AGENT_TARGET as f64
    );
    Ok(())
}
