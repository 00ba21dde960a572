//! How soon code that is written into a process is found, where the kernel's hooks tell of it: the
//! agent's own way from a signal to a look, told in lines, and what they say of `victim.c`'s deeds.

use crate::{bpf, programs, tools};
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use touchstone_agent::collect::again::Again;
use touchstone_agent::collect::lsm::Ring;
use touchstone_agent::collect::pages::{Scanner, Scope};

/// What is done, what the kernel tells of it, and what a look finds.
pub const DEEDS: [(&str, &str, &str); 5] = [
    ("patch", "Protected", "Patched"),
    ("both", "Mapped", "Writable"),
    ("inject", "Traced", "Patched"),
    ("own", "Opened", "Patched"),
    ("other", "Traced", "Patched"),
];

/// Says for so long what the ring in `pins` tells and what looks because of it find.
pub fn follow(pins: &Path, long: Duration, mut tell: impl FnMut(fmt::Arguments<'_>)) -> Result<()> {
    let mut ring = Ring::open(pins)?;
    let mut scanner = Scanner::new(Scope::All, Duration::from_hours(1), 1_000_000);
    scanner.look().context("a first look")?;
    let (until, own) = (Instant::now() + long, std::process::id());
    let mut again = Again::default();
    tell(format_args!("follows"));
    while Instant::now() < until {
        let due = again.due().map_or(Duration::from_millis(200), |due| {
            due.saturating_duration_since(Instant::now())
        });
        let seen = ring.wait(due);
        let now = Instant::now();
        for it in seen.iter().filter(|it| it.pid != own) {
            again.signal(it.whom(), it.looks(), now);
        }
        let whom = again.take(now);
        let found = scanner.look_at(&whom).findings;
        let at = since_boot().as_nanos();
        if !whom.is_empty() {
            again.looked(now, now.elapsed());
        }
        for finding in found {
            tell(format_args!("found {:?} {} {at}", finding.kind, finding.pid));
        }
        for it in seen.iter().filter(|it| it.pid != own) {
            tell(format_args!("saw {:?} {} {} {}", it.what, it.pid, it.other, it.name));
        }
    }
    Ok(())
}

/// The time since boot.
pub(crate) fn since_boot() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::Boottime).try_into().unwrap_or_default()
}

/// How long after each deed of that name it was found, the shortest first: from what the doers said and
/// what was told.
pub fn latencies(deed: &str, said: &str, told: &str) -> Result<Vec<Duration>> {
    let (_, saw, found) = DEEDS.iter().find(|it| it.0 == deed).context("no such deed")?;
    let mut took = Vec::new();
    for line in said.lines().filter_map(|line| line.strip_prefix(&format!("did {deed} "))) {
        let (pid, did) = line.split_once(' ').context("a deed has a process and a time")?;
        let did: u64 = did.trim().parse().context("the time of a deed")?;
        let seen = told.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.starts_with(&["saw", saw])
                && words.get(2..4).is_some_and(|pids| pids.contains(&pid))
        });
        ensure!(seen, "the kernel did not tell of {deed} by {pid}");
        let begins = format!("found {found} {pid} ");
        let then = told.lines().find_map(|line| line.strip_prefix(&begins)?.parse::<u64>().ok());
        let then = then.with_context(|| format!("{deed} by {pid} was not found"))?;
        took.push(Duration::from_nanos(then.saturating_sub(did)));
    }
    ensure!(!took.is_empty(), "nobody did {deed}");
    took.sort_unstable();
    Ok(took)
}

/// The value below which so many of a hundred lie.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last * percent).div_ceil(100)).copied().unwrap_or_default()
}

/// bpffs in a folder of our own, with the programs pinned in it; gone when dropped.
pub struct Pinned {
    folder: tempfile::TempDir,
    watch: PathBuf,
}

impl Pinned {
    /// Builds the programs and has them put in; this kernel's own word where it does not let them in.
    pub fn load() -> Result<Self> {
        let watch = programs()?.join("touchstone-agent-watch");
        let folder = tempfile::tempdir()?;
        let mounted = tools::run(
            Command::new(tools::find("mount", "mount")?)
                .args(["-t", "bpf", "bpf"])
                .arg(folder.path()),
        );
        mounted.context("bpffs")?;
        let pinned = Self { folder, watch };
        let mut load = Command::new(&pinned.watch);
        load.arg("--pins").arg(pinned.pins()).arg("--object").arg(bpf::object()?);
        tools::run(&mut load)?;
        Ok(pinned)
    }

    /// Where they are pinned.
    pub fn pins(&self) -> PathBuf {
        self.folder.path().join("touchstone")
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Both are tried; what stays is told by whoever finds it.
        let _ = Command::new(&self.watch).arg("--remove").arg("--pins").arg(self.pins()).status();
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

/// Does each deed so many times on this machine, and gives how long each took to be found.
pub fn measure(pinned: &Pinned, rounds: u32) -> Result<Vec<(&'static str, Vec<Duration>)>> {
    let folder = tempfile::tempdir()?;
    let victim = folder.path().join("victim");
    build_victim(&victim)?;
    let events = folder.path().join("events");
    let mut follower = Command::new(programs()?.join("touchstone-events"));
    follower.args(["follow", "3600"]).arg(pinned.pins());
    let follower = Ends(follower.stdout(std::fs::File::create(&events)?).spawn()?);
    while !std::fs::read_to_string(&events)?.contains("follows") {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut said = String::new();
    for _ in 0..rounds {
        let start = |(deed, ..): (&'static str, _, _)| {
            Command::new(&victim).arg(deed).stdout(Stdio::piped()).spawn()
        };
        // One after the other, a moment apart: each is to be found by its own signal.
        let mut doers = Vec::new();
        for deed in DEEDS {
            doers.push(start(deed)?);
            std::thread::sleep(Duration::from_millis(150));
        }
        for doer in doers {
            said += &String::from_utf8(doer.wait_with_output()?.stdout)?;
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    drop(follower);
    let told = std::fs::read_to_string(&events)?;
    DEEDS.iter().map(|(deed, ..)| Ok((*deed, latencies(deed, &said, &told)?))).collect()
}

/// Compiles the program that does the deeds.
pub fn build_victim(into: &Path) -> Result<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/victim.c");
    let mut compile = Command::new(tools::find("gcc", "gcc")?);
    tools::run(compile.args(["-O1", "-static", source, "-o"]).arg(into))?;
    Ok(())
}

/// A process that ends when dropped.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
