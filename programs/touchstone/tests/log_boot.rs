//! `touchstone log boot`, run as a person runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::path::Path;
use support::{folder, run};
use touchstone_peers::rig;

/// A folder with the log and the registers of the rig's device.
fn device() -> tempfile::TempDir {
    let here = folder(&[]);
    put(here.path(), "events.bin", &rig("binary_bios_measurements"));
    // IMA and user space extend registers of their own.
    let registers = String::from_utf8(rig("pcrs-sha256.txt")).unwrap();
    let firmware: Vec<&str> = registers.lines().take(10).collect();
    put(here.path(), "pcrs.txt", firmware.join("\n").as_bytes());
    here
}

fn put(folder: &Path, name: &str, content: &[u8]) {
    std::fs::write(folder.join(name), content).unwrap();
}

#[test]
fn the_log_is_told_and_leads_to_the_registers() {
    let here = device();
    let ran = run(here.path(), &["log", "boot", "events.bin", "--pcrs", "pcrs.txt"]).expect(0);
    assert!(ran.out.contains("EFI_VARIABLE_DRIVER_CONFIG"), "{}", ran.out);
    assert!(ran.out.contains("SecureBoot"), "{}", ran.out);
    assert!(ran.err.contains("leads to all 10 registers"), "{}", ran.err);

    let arguments = ["--json", "log", "boot", "events.bin", "--pcrs", "pcrs.txt"];
    let json = run(here.path(), &arguments).expect(0).json("touchstone.log.boot/1");
    assert_eq!(json["bank"], "sha256");
    assert_eq!(json["events"].as_array().unwrap().len(), 34);
    assert_eq!(json["events"][4]["data"], "matches");
    assert_eq!(json["compared"], 10);
    let pcr7 = String::from_utf8(rig("pcrs-sha256.txt")).unwrap();
    let pcr7 = pcr7.lines().nth(7).unwrap().split(' ').nth(1).unwrap().to_owned();
    assert_eq!(json["pcrs"]["7"], pcr7);
}

#[test]
fn another_value_of_a_register_is_a_no() {
    let here = device();
    let register = format!("7={}", "ab".repeat(32));
    let ran = run(here.path(), &["log", "boot", "events.bin", "--pcrs", &register]).expect(1);
    assert!(ran.err.contains("does not lead to the given value of PCR 7"), "{}", ran.err);
}

#[test]
fn a_cut_log_says_where_it_ends() {
    let here = device();
    let log = rig("binary_bios_measurements");
    put(here.path(), "cut.bin", &log[..log.len() - 5]);
    let ran = run(here.path(), &["log", "boot", "cut.bin"]).expect(3);
    assert!(ran.err.contains("measure.eventlog.truncated"), "{}", ran.err);
    assert!(ran.err.contains("item 33, octet"), "{}", ran.err);
    let ran = run(here.path(), &["log", "boot", "events.bin", "--bank", "sha1"]).expect(2);
    assert!(ran.err.contains("it has sha256"), "{}", ran.err);
}
