//! What the start of a program costs more where it is watched: by the agent's BPF programs, by fanotify,
//! and by the kernel's audit with its daemon, in one run on this machine or in the rig's device.

use crate::tools::{self, run};
use crate::watching::Pinned;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use touchstone_agent::collect::exec::{Asks, Gate};
use touchstone_agent::collect::lsm::Ring;

/// The hooks, as they are called where their cost is told.
pub const HOOKS: [&str; 6] = ["lsm", "lsm-read", "told", "asked-once", "asked-always", "auditd"];

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Starts in a round.
    pub starts: u32,
    /// Rounds without and with the hook in turn: what else this machine does comes and goes.
    pub rounds: usize,
}

/// The best and the middle of all rounds: what a start takes.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// The best.
    pub best: Duration,
    /// The one in the middle.
    pub middle: Duration,
}

/// What a start takes without a hook and with it.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Without.
    pub alone: Rounds,
    /// With.
    pub with: Rounds,
}

/// Starts a copy of a program again and again, without and with this of [`HOOKS`].
pub fn measure(hook: &str, program: &Path, effort: Effort) -> Result<Cost> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("program");
    std::fs::copy(program, &copy)?;
    let place = folder.path();
    let starts = Starts { program: &copy, effort };
    match hook {
        "lsm" => by_bpf(starts, false),
        "lsm-read" => by_bpf(starts, true),
        "told" => by_fanotify(starts, place, Asks::Never),
        "asked-once" => by_fanotify(starts, place, Asks::Once),
        "asked-always" => by_fanotify(starts, place, Asks::Always),
        "auditd" => by_auditd(starts, place),
        _ => bail!("no hook is called `{hook}`"),
    }
}

/// What is started, and how often.
#[derive(Clone, Copy)]
struct Starts<'a> {
    program: &'a Path,
    effort: Effort,
}

impl Starts<'_> {
    /// Rounds without and with it, in turn.
    fn beside(self, mut with: impl FnMut(&mut dyn FnMut()) -> Result<()>) -> Result<Cost> {
        let (mut alone, mut watched) = (Vec::new(), Vec::new());
        for _ in 0..self.effort.rounds {
            alone.push(self.round()?);
            let mut took = None;
            with(&mut || took = Some(self.round()))?;
            watched.push(took.context("nothing was started")??);
        }
        let of = |mut all: Vec<Duration>| {
            all.sort_unstable();
            let at = |at: usize| all.get(at).copied().context("not one round");
            Ok::<_, anyhow::Error>(Rounds { best: at(0)?, middle: at(all.len() / 2)? })
        };
        Ok(Cost { alone: of(alone)?, with: of(watched)? })
    }

    fn round(self) -> Result<Duration> {
        let begun = Instant::now();
        for _ in 0..self.effort.starts {
            ensure!(Command::new(self.program).status()?.success(), "the program failed");
        }
        Ok(begun.elapsed() / self.effort.starts)
    }
}

/// The programs alone; or with somebody who reads what they tell, as the agent does, on the same processor
/// where there is but one.
fn by_bpf(starts: Starts<'_>, is_read: bool) -> Result<Cost> {
    starts.beside(|starts| {
        let pinned = Pinned::load()?;
        if !is_read {
            starts();
            return Ok(());
        }
        let mut ring = Ring::open(&pinned.pins())?;
        while_doing(|| drop(ring.wait(Duration::from_millis(20))), starts);
        Ok(())
    })
}

fn by_fanotify(starts: Starts<'_>, place: &Path, asks: Asks) -> Result<Cost> {
    starts.beside(|starts| {
        let mut gate = Gate::over([place.to_owned()], asks)?;
        while_doing(|| drop(gate.wait(Duration::from_millis(20))), starts);
        Ok(())
    })
}

/// Does `meanwhile` again and again beside `starts`.
fn while_doing(mut meanwhile: impl FnMut() + Send, starts: &mut dyn FnMut()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                meanwhile();
            }
        });
        starts();
        over.store(true, Ordering::Relaxed);
    });
}

/// The kernel's audit, told to record every execve as is usual, and its daemon, which writes them.
fn by_auditd(starts: Starts<'_>, place: &Path) -> Result<Cost> {
    let auditd = tools::find("auditd", "auditd")?;
    let control = tools::find("auditctl", "auditd")?;
    let config = place.join("auditd.conf");
    let log = place.join("audit.log");
    std::fs::write(
        &config,
        format!(
            "log_file = {}\nlog_format = RAW\nflush = INCREMENTAL_ASYNC\nfreq = 50\n\
             space_left = 2\nadmin_space_left = 1\ndisk_error_action = IGNORE\n",
            log.display()
        ),
    )?;
    starts.beside(|starts| {
        let audit = Audit::start(&auditd, &control, place)?;
        starts();
        drop(audit);
        let written = std::fs::read_to_string(&log).unwrap_or_default();
        ensure!(written.contains("type=EXECVE"), "auditd wrote nothing");
        Ok(())
    })
}

/// The audit of the kernel while it is on; off, and without rules, when dropped.
struct Audit {
    daemon: Child,
    control: PathBuf,
}

impl Audit {
    fn start(auditd: &Path, control: &Path, folder: &Path) -> Result<Self> {
        let status = String::from_utf8(run(Command::new(control).arg("-s"))?)?;
        let off = status.contains("enabled 0") && status.contains("pid 0");
        ensure!(off, "somebody audits this machine already: {status}");
        let mut start = Command::new(auditd);
        start.args(["-n", "-s", "enable", "-c"]).arg(folder);
        let daemon = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let audit = Self { daemon, control: control.to_owned() };
        for _ in 0..100 {
            let status = String::from_utf8(run(Command::new(control).arg("-s"))?)?;
            if status.contains(&format!("pid {}", audit.daemon.id())) {
                let rule = ["-a", "always,exit", "-F", "arch=b64", "-S", "execve,execveat"];
                run(Command::new(control).args(rule))?;
                return Ok(audit);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        anyhow::bail!("auditd does not take hold of the kernel's audit")
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // Each is tried; `auditctl -s` tells what stayed.
        for arguments in [["-D"].as_slice(), &["-e", "0"]] {
            let quiet = || Stdio::null();
            let _ = Command::new(&self.control)
                .args(arguments)
                .stdout(quiet())
                .stderr(quiet())
                .status();
        }
        if let Some(pid) = rustix::process::Pid::from_raw(self.daemon.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
    }
}
