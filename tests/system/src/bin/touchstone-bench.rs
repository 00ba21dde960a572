//! Prints what an appraisal costs beside its raw cryptography, and the agent's peak memory on a
//! booted device.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that talks to a person")]
#![allow(clippy::cast_precision_loss, reason = "a ratio for people")]

use anyhow::Context;
use std::path::{Path, PathBuf};
use std::time::Duration;
use touchstone_system::bench;
use touchstone_system::scene::{Report, Scene};
use touchstone_system::starts::{self, Cost, Effort, Rounds};
use touchstone_system::verdict;

/// What the agent may need at its peak, in kilobytes.
const AGENT_TARGET: u64 = 12 * 1024;
/// How often a program is started.
const STARTS: Effort = Effort { starts: 200, rounds: 7 };
/// The argument before a list, for the process that tells what replaying it takes.
const MEMORY_OF: &str = "memory-of";

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn row(name: &str, ours: Duration, raw: Option<Duration>, target: f64) {
    let ours = micros(ours);
    let (raw, ratio) = raw.map_or((String::new(), String::new()), |raw| {
        (format!("{:.1} us", micros(raw)), format!("{:.2}x", ours / micros(raw)))
    });
    println!("{name:>24} {ours:>11.1} us {raw:>14} {ratio:>8} {target:>9.0} us");
}

/// A device that was recorded, ours beside the raw work and, if it was installed, beside Keylime.
fn lab() -> anyhow::Result<()> {
    let corpus =
        std::env::var_os("TOUCHSTONE_CORPUS").map_or("../shared/corpus".into(), PathBuf::from);
    let folder = corpus.join("lab/tcb-secboot");
    let cost = bench::lab(&folder, 50)?;
    println!(
        "\na recorded device: 16 PCRs, {} boot events, {} IMA entries, {} references ({} kB for all \
         devices together)",
        cost.events,
        cost.entries,
        cost.references,
        cost.memory / 1000
    );
    println!("{:>24} {:>14} {:>14} {:>8} {:>12}", "", "ours", "raw crypto", "ratio", "target");
    row("appraisal", cost.appraisal, Some(cost.raw), 4_000.0);
    row("ten entries more", cost.more, Some(cost.raw_more), 300.0);
    row("the same, all appraised", cost.again, Some(cost.raw_more), 300.0);
    row("boot log", cost.boot_log, None, 100.0);
    if let Some(python) = std::env::var_os("TOUCHSTONE_KEYLIME") {
        keylime(&python, &folder, cost.appraisal)?;
    }
    Ok(())
}

/// The same list, quote and references checked by Keylime, in this run.
fn keylime(python: &std::ffi::OsStr, folder: &Path, ours: Duration) -> anyhow::Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../xtask/src/bench/attestation_by_keylime.py");
    let output = std::process::Command::new(python)
        .arg(script)
        .arg(folder)
        .args(["10", "mocana-nonce-001", "10000"])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| anyhow::anyhow!("Keylime says nothing that can be read: {error}"))?;
    let failures = json.get("failures").and_then(serde_json::Value::as_array).map_or(1, Vec::len);
    let seconds = json.get("seconds").and_then(serde_json::Value::as_f64);
    let Some(seconds) = seconds.filter(|_| failures == 0) else {
        anyhow::bail!("Keylime does not take the recorded device for good: {json}");
    };
    let (theirs, ours) = (seconds * 1e6, micros(ours));
    println!(
        "{:>24} {theirs:>11.1} us {:>23.0}x as long as ours, without the boot log",
        "Keylime",
        theirs / ours
    );
    Ok(())
}

/// The memory that a list takes, told by this program, started once more.
fn memory_of(list: &Path) -> anyhow::Result<u64> {
    let output = std::process::Command::new(std::env::current_exe()?)
        .arg(MEMORY_OF)
        .arg(list)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    anyhow::ensure!(output.status.success(), "the process that replays a list failed");
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Time and memory by the length of the list.
fn lengths() -> anyhow::Result<()> {
    println!("\nreading and replaying an IMA list by its length");
    println!(
        "{:>12} {:>12} {:>14} {:>14} {:>8} {:>12}",
        "IMA entries", "octets", "ours", "raw crypto", "ratio", "memory"
    );
    for (entries, rounds) in [(100, 50), (1_000, 50), (10_000, 20), (100_000, 5), (1_000_000, 2)] {
        let cost = bench::length(entries, rounds, memory_of)?;
        println!(
            "{:>12} {:>12} {:>11.1} us {:>11.1} us {:>7.2}x {:>9} kB",
            cost.entries,
            cost.octets,
            micros(cost.replay),
            micros(cost.raw),
            micros(cost.replay) / micros(cost.raw),
            cost.memory,
        );
    }
    println!();
    Ok(())
}

/// Appraisals, lists and policies: what the fleet does.
fn judging() -> anyhow::Result<()> {
    println!("one appraisal (decode, verify, judge) beside its signature check and hashing");
    println!("{:>12} {:>14} {:>14} {:>8}", "IMA entries", "appraisal", "raw crypto", "ratio");
    for entries in [0, 200, 2_000, 20_000] {
        let cost = bench::appraisal(entries, 50)?;
        println!(
            "{:>12} {:>11.1} us {:>11.1} us {:>7.2}x",
            cost.entries,
            micros(cost.appraisal),
            micros(cost.raw),
            micros(cost.appraisal) / micros(cost.raw),
        );
    }

    lab()?;
    lengths()?;
    println!("\none policy: JSON claims to verdicts, beside reading the same JSON");
    println!(
        "{:>12} {:>14} {:>14} {:>8} {:>14} {:>14}",
        "controls", "verdicts", "raw JSON", "ratio", "judging alone", "loading"
    );
    for controls in [10, 40, 160] {
        let cost = bench::policy(controls, 50)?;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "{:>12} {:>11.1} us {:>11.1} us {:>7.2}x {:>11.2} us {:>11.1} us",
            cost.controls,
            micros(cost.verdicts),
            micros(cost.raw),
            micros(cost.verdicts) / micros(cost.raw),
            micros(cost.evaluation),
            micros(cost.loading),
        );
    }
    Ok(())
}

/// What the start of a program costs with each hook, and how soon code that is written is found.
fn watching() -> anyhow::Result<()> {
    println!(
        "\nthe start of a program and its end, alone and with each hook: best and middle of 7 rounds"
    );
    println!("{:>28} {:>18} {:>18} {:>22}", "", "alone", "with it", "more");
    let program = touchstone_system::tools::find("true", "coreutils")?;
    let names = [
        "BPF programs at LSM hooks",
        "the same, and read",
        "fanotify, told",
        "fanotify, asked once a file",
        "fanotify, asked each time",
        "auditd, every execve",
    ];
    for (name, hook) in names.iter().zip(starts::HOOKS) {
        let Cost { alone, with } = match starts::measure(hook, &program, STARTS) {
            Ok(cost) => cost,
            Err(error) => {
                println!("{name:>28} not measured here: {error:#}");
                continue;
            }
        };
        let more = |with: Duration, alone: Duration| {
            let (with, alone) = (micros(with), micros(alone));
            format!("{:.0} us {:.1} %", with - alone, (with / alone - 1.0) * 100.0)
        };
        let both =
            |rounds: Rounds| format!("{:.0} {:.0} us", micros(rounds.best), micros(rounds.middle));
        println!(
            "{name:>28} {:>18} {:>18} {:>22}",
            both(alone),
            both(with),
            format!("{}; {}", more(with.best, alone.best), more(with.middle, alone.middle)),
        );
    }
    verdicts()?;
    println!("\nfrom a write into code to its finding, told by the kernel's hooks");
    let measured = touchstone_system::watching::Pinned::load()
        .and_then(|pinned| touchstone_system::watching::measure(&pinned, 50));
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => {
            println!("{:>12} not measured here: {error:#}", "");
            return Ok(());
        }
    };
    println!("{:>12} {:>8} {:>11} {:>11} {:>11}", "", "times", "p50", "p99", "most");
    for (deed, took) in measured {
        let at =
            |percent| touchstone_system::watching::percentile(&took, percent).as_secs_f64() * 1e3;
        println!(
            "{deed:>12} {:>8} {:>8.1} ms {:>8.1} ms {:>8.1} ms",
            took.len(),
            at(50),
            at(99),
            at(100)
        );
    }
    Ok(())
}

/// From a write into code to the record of the fleet's verdict: agent, software TPM and fleet here.
fn verdicts() -> anyhow::Result<()> {
    let mut whole = Vec::new();
    let mut of = verdict::WORKERS.map(|_| Vec::new());
    verdict::measure(20, &["own", "other"], |_, took| {
        whole.push(took.whole);
        of.iter_mut().zip(took.of).for_each(|(all, time)| all.push(time));
    })?;
    let at = |times: &mut Vec<Duration>, percent| {
        times.sort_unstable();
        touchstone_system::watching::percentile(times, percent).as_secs_f64() * 1e3
    };
    println!("\nfrom a write by way of /proc/PID/mem to the fleet's verdict, told by fanotify");
    println!("{:>28} {:>8} {:>11} {:>11}", "", "times", "p50", "p99");
    let times = whole.len();
    let row = |name: &str, times_of: &mut Vec<Duration>| {
        let (middle, most) = (at(times_of, 50), at(times_of, 99));
        println!("{name:>28} {times:>8} {middle:>8.1} ms {most:>8.1} ms");
    };
    row("in all", &mut whole);
    for (name, times) in verdict::WORKERS.iter().zip(&mut of) {
        row(&format!("processor, {name}"), times);
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    touchstone_system::interrupt::clean_up_when_interrupted()?;
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None => judging()?,
        Some("run-time") => {}
        Some(MEMORY_OF) => {
            let list = arguments.next().context("which list?")?;
            println!("{}", bench::memory_of(Path::new(&list))?);
            return Ok(());
        }
        Some(other) => {
            anyhow::bail!("no part is named `{other}`; say run-time, or nothing for all")
        }
    }
    watching()?;
    memory()
}

/// The agent's, on a booted device.
fn memory() -> anyhow::Result<()> {
    let mut report = Report::new();
    let mut scene = Scene::set(&touchstone_system::programs()?, &mut report)?;
    let memory = scene.agent_memory(&mut report)?;
    report.end();
    let [keeper, network] = memory.halves;
    println!(
        "agent, peak resident memory on the device: keeper {keeper} kB, network half {network} kB"
    );
    println!("both at rest, pages that they share counted once: {} kB", memory.steady);
    println!(
        "both at their peak, pages that they share counted once: {} kB ({:.2}x of the target of {AGENT_TARGET} kB)",
        memory.together,
        memory.together as f64 / AGENT_TARGET as f64
    );
    Ok(())
}
