//! What it costs to look at running code, beside reading and hashing all of it and beside a look at a
//! few places of each mapping. Printed, never a timed test. It needs root.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark talks to a person and fails loudly"
)]
#![allow(clippy::cast_precision_loss, reason = "ratios for people")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use touchstone_agent::collect::finding::Kind;
use touchstone_agent::collect::maps::Backing;
use touchstone_agent::collect::pages::{Scanner, Scope};
use touchstone_agent::collect::space::{Space, Ways};

const PROCESSES: usize = 100;
const LOOKS: u32 = 20;
/// From one look to the next, as the agent does it.
const PERIOD: Duration = Duration::from_secs(5);

struct Sleepers(Vec<Child>);

impl Sleepers {
    fn start() -> Self {
        // Something with libraries: a shell and an interpreter in turn.
        let start = |number: usize| {
            let mut command = if number.is_multiple_of(2) {
                let mut python = Command::new("/usr/bin/python3");
                python.args(["-c", "import ssl, json, time; time.sleep(600)"]);
                python
            } else {
                let mut sleep = Command::new("/usr/bin/sleep");
                sleep.arg("600");
                sleep
            };
            command.stdin(Stdio::null()).spawn().unwrap()
        };
        let started = Self((0..PROCESSES).map(start).collect());
        std::thread::sleep(Duration::from_secs(5));
        started
    }

    fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Time of the processor that this process has used.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}

/// What a step costs of the processor's time, by the best of some rounds.
fn best(rounds: u32, mut step: impl FnMut()) -> Duration {
    (0..rounds)
        .map(|_| {
            let before = cpu();
            step();
            cpu().saturating_sub(before)
        })
        .min()
        .unwrap()
}

fn main() {
    let sleepers = Sleepers::start();
    println!("a look at the code of {PROCESSES} processes, in time of the processor");
    println!("{:>28} {:>12} {:>22}", "", "a look", "of a core, every 5 s");
    let row = |name: &str, cost: Duration| {
        let share = cost.as_secs_f64() / PERIOD.as_secs_f64() * 100.0;
        println!("{name:>28} {:>9.2} ms {share:>20.3} %", cost.as_secs_f64() * 1e3);
    };
    for (name, old) in [("new ways", false), ("old ways", true)] {
        let scanner = Scanner::new(Scope::Processes(sleepers.pids()), Duration::from_hours(1), 12);
        let mut scanner = if old { scanner.by_old_ways() } else { scanner };
        let first = scanner.look().unwrap();
        assert_eq!(first.of(Kind::Patched).count(), 0);
        let cost = best(LOOKS, || drop(scanner.look().unwrap()));
        row(name, cost);
        if !old {
            println!("{:>28} {} mappings of {} files", "", first.mappings, first.mapped.len());
        }
    }
    row("reading and hashing all", best(2, || hash_everything(&sleepers.pids())));
    row("anchors, two pages each", best(5, || anchors(&sleepers.pids())));
    found_within(&sleepers);
    drop(sleepers);
    println!("\nthis process at its peak: {} kB resident", peak_kilobytes());
}

/// Every octet of executable memory, as a scanner without a page map reads it.
fn hash_everything(pids: &[u32]) {
    let ways = Ways::default();
    let mut piece = vec![0; 64 << 10];
    for pid in pids {
        let Some(space) = Space::open(*pid, &ways).unwrap() else { continue };
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for mapping in space.executable().unwrap() {
            if mapping.backing == Backing::Kernel {
                continue;
            }
            let mut at = mapping.start;
            while at < mapping.end {
                let len = usize::try_from(mapping.end - at).unwrap().min(piece.len());
                space.read(at, &mut piece[..len]).unwrap();
                context.update(&piece[..len]);
                at += len as u64;
            }
        }
        std::hint::black_box(context.finish());
    }
}

/// The first and the last page of each mapping of a file, compared with the file: what a scanner does
/// that looks at anchors. It sees a patch there, and no other.
fn anchors(pids: &[u32]) {
    let ways = Ways::old();
    let (mut memory, mut file) = ([0; 4096], [0; 4096]);
    for pid in pids {
        let Some(space) = Space::open(*pid, &ways).unwrap() else { continue };
        for mapping in space.executable().unwrap() {
            let Backing::File { offset, .. } = mapping.backing else { continue };
            let Some(open) = space.file_of(&mapping) else { continue };
            for at in [mapping.start, mapping.end - 4096] {
                space.read(at, &mut memory).unwrap();
                // Behind the end of the file there are zeros.
                let read = open.read_at(&mut file, offset + (at - mapping.start)).unwrap();
                file[read..].fill(0);
                std::hint::black_box(memory == file);
            }
        }
    }
}

/// From a poke to the finding, by a look at once: with one every five seconds these are added.
fn found_within(sleepers: &Sleepers) {
    let mut scanner = Scanner::new(Scope::Processes(sleepers.pids()), Duration::from_hours(1), 12);
    scanner.look().unwrap();
    let mut took: Vec<Duration> =
        sleepers.pids().iter().map(|pid| poke_and_find(&mut scanner, *pid)).collect();
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!(
        "\nfrom a poke to its finding by one look: p50 {:.1} ms, p99 {:.1} ms",
        at(50),
        at(99)
    );
}

fn poke_and_find(scanner: &mut Scanner, pid: u32) -> Duration {
    let ways = Ways::default();
    let space = Space::open(pid, &ways).unwrap().unwrap();
    let code = space.executable().unwrap();
    let code = code.iter().find(|it| matches!(it.backing, Backing::File { .. })).unwrap();
    let memory =
        OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem")).unwrap();
    let (at, mut octet) = (code.start + 32, [0]);
    memory.read_exact_at(&mut octet, at).unwrap();
    let begun = Instant::now();
    memory.write_all_at(&[octet[0] ^ 0x10], at).unwrap();
    let seen = scanner.look().unwrap();
    let took = begun.elapsed();
    assert!(seen.findings.iter().any(|it| it.pid == pid), "{pid} was not found");
    memory.write_all_at(&octet, at).unwrap();
    took
}

fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
