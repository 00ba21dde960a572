//! What the start of a program costs more where it is watched: by the agent's BPF programs, by fanotify,
//! and by the kernel's audit with its daemon, in one run on this machine.

use crate::tools::{self, run};
use crate::watching::Pinned;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use touchstone_agent::collect::exec::Gate;
use touchstone_agent::collect::lsm::Ring;

const STARTS: u32 = 200;
/// Each way in turn, so often: what else this machine does comes and goes.
const ROUNDS: usize = 7;

/// What a start costs with a hook; or why it could not be measured.
pub struct Cost {
    /// The hook.
    pub name: &'static str,
    /// The best and the middle of all rounds, without it and with it.
    pub starts: Result<[Duration; 4]>,
}

/// Starts a program again and again, without and with each hook.
pub fn hooks() -> Result<Vec<Cost>> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("true");
    std::fs::copy(tools::find("true", "coreutils")?, &program)?;
    let place = folder.path().to_owned();
    let costs = [
        ("BPF programs at LSM hooks", by_bpf(&program)),
        ("fanotify, seen", by_fanotify(&program, &place, false)),
        ("fanotify, asked for", by_fanotify(&program, &place, true)),
        ("auditd, every execve", by_auditd(&program, &place)),
    ];
    Ok(costs.map(|(name, starts)| Cost { name, starts }).into())
}

/// Rounds without and with it, in turn.
fn beside(
    program: &Path,
    mut with: impl FnMut(&mut dyn FnMut()) -> Result<()>,
) -> Result<[Duration; 4]> {
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(round(program)?);
        let mut took = None;
        with(&mut || took = Some(round(program)))?;
        watched.push(took.context("nothing was started")??);
    }
    alone.sort_unstable();
    watched.sort_unstable();
    let of = |all: &[Duration], at: usize| all.get(at).copied().unwrap_or_default();
    let middle = ROUNDS / 2;
    Ok([of(&alone, 0), of(&alone, middle), of(&watched, 0), of(&watched, middle)])
}

fn round(program: &Path) -> Result<Duration> {
    let begun = Instant::now();
    for _ in 0..STARTS {
        ensure!(Command::new(program).status()?.success(), "the program failed");
    }
    Ok(begun.elapsed() / STARTS)
}

/// The programs, and somebody who reads what they tell, as the agent does.
fn by_bpf(program: &Path) -> Result<[Duration; 4]> {
    beside(program, |starts| {
        let pinned = Pinned::load()?;
        let mut ring = Ring::open(&pinned.pins())?;
        while_doing(|| drop(ring.wait(Duration::from_millis(20))), starts);
        Ok(())
    })
}

fn by_fanotify(program: &Path, place: &Path, enforces: bool) -> Result<[Duration; 4]> {
    beside(program, |starts| {
        let gate = Gate::over([place.to_owned()], enforces)?;
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
fn by_auditd(program: &Path, place: &Path) -> Result<[Duration; 4]> {
    let auditd = tools::find("auditd", "auditd")?;
    let control = tools::find("auditctl", "auditd")?;
    let config = place.join("auditd.conf");
    let log = place.join("audit.log");
    std::fs::write(
        &config,
        format!(
            "log_file = {}\nlog_format = RAW\nflush = INCREMENTAL_ASYNC\nfreq = 50\n",
            log.display()
        ),
    )?;
    beside(program, |starts| {
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
