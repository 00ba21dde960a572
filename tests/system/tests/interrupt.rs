//! Ctrl-C and sudden death leave nothing behind.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use touchstone_system::interrupt::{Scratch, clean_up_when_interrupted};
use touchstone_system::process::Launch;

/// Not a test: the rig that the others interrupt, in a process of its own.
#[test]
#[ignore = "waits to be interrupted by the other tests"]
fn a_rig_that_waits() {
    clean_up_when_interrupted().unwrap();
    let scratch = Scratch::new().unwrap();
    let log = scratch.path().join("sleep.log");
    let process = Launch::new("sleeper", "/bin/sleep", log).arg("600").start().unwrap();
    eprintln!("RIG {} {}", process.id(), scratch.path().display());
    std::thread::sleep(Duration::from_mins(5));
}

struct Rig {
    child: Child,
    started: u32,
    scratch: PathBuf,
}

impl Rig {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["a_rig_that_waits", "--exact", "--ignored", "--nocapture"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let line = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .find(|line| line.starts_with("RIG "))
            .unwrap();
        let mut words = line.split(' ').skip(1);
        let started = words.next().unwrap().parse().unwrap();
        let rig = Self { child, started, scratch: words.next().unwrap().into() };
        assert!(rig.runs() && rig.scratch.exists());
        rig
    }

    /// Running; what has ended and waits for its parent to notice does not count.
    fn runs(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.started));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        let status = self.child.wait().unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        while self.runs() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        status
    }
}

#[test]
fn an_interrupted_rig_leaves_neither_processes_nor_files() {
    let mut rig = Rig::start();
    assert_eq!(rig.end(Signal::INT).code(), Some(130));
    assert!(!rig.runs());
    assert!(!rig.scratch.exists());
}

#[test]
fn a_killed_rig_leaves_no_processes_and_the_next_removes_its_files() {
    let mut rig = Rig::start();
    rig.end(Signal::KILL);
    assert!(!rig.runs());
    drop(Scratch::new().unwrap());
    assert!(!rig.scratch.exists());
}
