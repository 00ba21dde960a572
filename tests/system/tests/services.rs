//! The units that the programs are shipped with: systemd takes them, and says how little they expose.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests fail loudly")]

use std::path::{Path, PathBuf};
use std::process::Command;
use touchstone_system::tools;

/// Unit, and the most exposure that systemd may find in it, in tenths of its ten points. The agent's
/// privileged half has to see and stop other processes; the others have no reason to expose much.
const UNITS: [(&str, u32); 3] =
    [("touchstone-agent", 40), ("touchstone-fleet", 15), ("touchstone-checkpoint", 15)];

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging")
}

fn analyze() -> Command {
    Command::new(tools::find("systemd-analyze", "systemd").unwrap())
}

#[test]
fn every_unit_says_when_it_is_ready_and_alive_and_is_started_again() {
    for (unit, _) in UNITS {
        let text = std::fs::read_to_string(packaging().join(format!("systemd/{unit}.service")));
        let text = text.unwrap();
        for line in ["Type=notify", "WatchdogSec=", "Restart=always", "NoNewPrivileges=yes"] {
            assert!(text.lines().any(|there| there.starts_with(line)), "{unit}: no {line}");
        }
    }
}

#[test]
fn systemd_finds_no_fault_in_the_units() {
    // Programs that are not installed would be a fault: these stand in for them.
    let folder = tempfile::tempdir().unwrap();
    for (unit, _) in UNITS {
        let name = format!("{unit}.service");
        let text = std::fs::read_to_string(packaging().join("systemd").join(&name)).unwrap();
        let there = format!("ExecStart=/usr/bin/{unit} ");
        assert!(text.contains(&there), "{unit} starts another program");
        let text = text.replace(&there, "ExecStart=/bin/true ");
        std::fs::write(folder.path().join(&name), text).unwrap();
        let output =
            analyze().args(["verify", "--man=no"]).arg(folder.path().join(&name)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Other units of this machine are not ours to mend.
        let about: Vec<&str> = said.lines().filter(|line| line.contains("touchstone")).collect();
        assert!(output.status.success() && about.is_empty(), "{unit}: {said}");
    }
}

#[test]
fn systemd_finds_little_exposed() {
    for (unit, most) in UNITS {
        let output = analyze()
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={most}"))
            .arg(packaging().join(format!("systemd/{unit}.service")))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let verdict = said.lines().last().unwrap_or_default();
        assert!(output.status.success(), "{unit}: {verdict}");
        assert!(verdict.contains("Overall exposure level"), "{unit}: {said}");
    }
}
