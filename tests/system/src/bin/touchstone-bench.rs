//! Prints what an appraisal costs beside its raw cryptography.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that talks to a person")]

use std::time::Duration;
use touchstone_system::bench;

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
    Ok(())
}
