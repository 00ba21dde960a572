//! `touchstone log boot`, run as a person runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod support;

use std::path::Path;
use support::{folder, run};
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_peers::{corpus, rig};

const SCHEMA: &str = "touchstone.log.boot/1";

/// A folder with the log and the registers of the rig's device.
fn device() -> tempfile::TempDir {
    let here = folder(&[]);
    put(here.path(), "events.bin", &rig("binary_bios_measurements"));
    put(here.path(), "pcrs.txt", &rig("pcrs-sha256.txt"));
    here
}

fn put(folder: &Path, name: &str, content: &[u8]) {
    std::fs::write(folder.join(name), content).unwrap();
}

fn pcr(number: usize) -> String {
    let text = String::from_utf8(rig("pcrs-sha256.txt")).unwrap();
    text.lines().nth(number).unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn the_log_is_told_and_leads_to_the_registers() {
    let here = device();
    let ran = run(here.path(), &["log", "boot", "events.bin", "--pcrs", "pcrs.txt"]).expect(0);
    assert!(ran.out.contains("EFI_VARIABLE_DRIVER_CONFIG"), "{}", ran.out);
    assert!(ran.out.contains("SecureBoot is 1"), "{}", ran.out);
    assert!(ran.out.contains("PciRoot(0x0)/Pci(0x1,0x0)"), "{}", ran.out);
    // All but PCR 10, which IMA extends.
    assert!(ran.err.contains("leads to all 23 registers"), "{}", ran.err);

    let arguments = ["--json", "log", "boot", "events.bin", "--pcrs", "pcrs.txt"];
    let json = run(here.path(), &arguments).expect(0).json(SCHEMA);
    assert_eq!(json["bank"], "sha256");
    assert_eq!(json["events"].as_array().unwrap().len(), 34);
    assert_eq!(json["events"][4]["data"], "matches");
    assert_eq!(json["events"][4]["fields"]["content"]["on"], true);
    assert_eq!(json["events"][23]["data"], "describes");
    assert_eq!(json["events"][10]["fields"]["name"], "BootOrder");
    assert_eq!(json["compared"], 23);
    assert_eq!(json["pcrs"]["7"], pcr(7));
    assert_eq!(json["verdicts"]["10"], "not in this log");
    assert_eq!(json["anomalies"].as_array().unwrap().len(), 0);
}

#[test]
fn another_value_of_a_register_is_a_no() {
    let here = device();
    let register = format!("7={}", "ab".repeat(32));
    let ran = run(here.path(), &["log", "boot", "events.bin", "--pcrs", &register]).expect(1);
    assert!(ran.err.contains("does not lead to the given value of PCR 7"), "{}", ran.err);
    // Nor is it a yes when nothing could be compared.
    let register = format!("sha1:7={}", "ab".repeat(20));
    let ran = run(here.path(), &["log", "boot", "events.bin", "--pcrs", &register]).expect(1);
    assert!(ran.err.contains("none of the registers given"), "{}", ran.err);
}

/// The running system measures its phases where no firmware logs them.
#[test]
fn phases_of_the_running_system_are_recognised() {
    let here = device();
    let mut value = Digest::parse(&format!("sha256:{}", pcr(11))).unwrap();
    for phase in ["enter-initrd", "leave-initrd"] {
        let measured = AwsLc.hash(HashAlgorithm::Sha256, &[phase.as_bytes()]);
        value = AwsLc.hash(HashAlgorithm::Sha256, &[value.as_bytes(), measured.as_bytes()]);
    }
    let register = format!("11={}", value.to_hex());
    let ran = run(here.path(), &["log", "boot", "events.bin", "--pcrs", &register]).expect(0);
    let told = "as given, once enter-initrd, leave-initrd was measured";
    assert!(ran.out.contains(told), "{}", ran.out);
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

/// A boot option's name is whatever somebody typed.
#[test]
fn an_event_cannot_steer_the_terminal_nor_pretend_to_be_a_row() {
    let here = device();
    let mut log = rig("binary_bios_measurements");
    let name: Vec<u8> = "UEFI Non-Block".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = log.windows(name.len()).position(|window| window == name).unwrap();
    let evil: Vec<u8> =
        "\u{1b}[2J\n99\t7\u{202e}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    log[at..at + evil.len()].copy_from_slice(&evil);
    put(here.path(), "evil.bin", &log);
    let ran = run(here.path(), &["log", "boot", "evil.bin"]).expect(1);
    assert!(ran.out.contains("\u{fffd}[2J 99 7\u{fffd}"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}') && !ran.out.contains('\u{202e}'));
    assert!(ran.err.contains("says something else than what was measured"), "{}", ran.err);
    let json = run(here.path(), &["--json", "log", "boot", "evil.bin"]).expect(1).json(SCHEMA);
    assert_eq!(json["anomalies"][0]["code"], "differs");
    assert_eq!(json["contradicted"].as_array().unwrap().len(), 1);
}

#[test]
fn final_events_are_added_and_padding_is_told() {
    let here = device();
    let log = rig("binary_bios_measurements");
    let all = touchstone_measure::tcg::EventLog::decode(&log).unwrap();
    let (known, from) = (all.events()[32].at, all.events()[30].at);
    put(here.path(), "early.bin", &log[..known]);
    let table = [&1u64.to_le_bytes()[..], &4u64.to_le_bytes(), &log[from..]].concat();
    put(here.path(), "final.bin", &table);
    let arguments = ["log", "boot", "early.bin", "--pcrs", "pcrs.txt"];
    let ran = run(here.path(), &arguments).expect(1);
    assert!(ran.err.contains("PCR 5"), "{}", ran.err);
    assert!(ran.out.contains("odd  the log: the end of the boot services"), "{}", ran.out);
    let arguments = [&arguments[..], &["--final-events", "final.bin"]].concat();
    let ran = run(here.path(), &arguments).expect(0);
    assert!(ran.err.contains("leads to all 23 registers"), "{}", ran.err);
    put(here.path(), "padded.bin", &[&log[..], &[0xFF; 512]].concat());
    let ran = run(here.path(), &["log", "boot", "padded.bin"]).expect(0);
    assert!(ran.out.contains("odd  the log: octets of padding"), "{}", ran.out);
}

/// What `tpm2_pcrread` and `tpm2_quote` wrote on the lab's machine.
#[test]
fn registers_come_as_tpm2_tools_write_them() {
    let Some(lab) = corpus("lab/tcb-secboot") else { return };
    let log = lab.join("binary_bios_measurements").display().to_string();
    let here = folder(&[]);
    for file in ["pcrread.txt", "ak.quote.pcrs"] {
        let file = lab.join(file).display().to_string();
        let ran = run(here.path(), &["log", "boot", &log, "--pcrs", &file]).expect(0);
        assert!(ran.out.contains("as given"), "{}", ran.out);
    }
}

/// The firmware's table of a confidential guest, whose events count RTMRs.
#[test]
fn a_confidential_guests_log_leads_to_its_rtmrs() {
    let here = folder(&[]);
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/eventlog/ccel");
    std::fs::copy(table, here.path().join("ccel")).unwrap();
    let told = run(here.path(), &["--json", "log", "boot", "ccel", "--cc"]).expect(0);
    let told = told.json("touchstone.log.boot/1");
    assert_eq!(told["bank"], "sha384");
    let registers = told["pcrs"].as_object().unwrap();
    assert_eq!(registers.len(), 3, "{registers:?}");
    for (register, value) in registers {
        let given = format!("{register}={}", value.as_str().unwrap());
        let ran = run(here.path(), &["log", "boot", "ccel", "--cc", "--pcrs", &given]).expect(0);
        assert!(ran.err.contains("leads to the register given"), "{}", ran.err);
        let given = format!("{register}={}", "ab".repeat(48));
        let ran = run(here.path(), &["log", "boot", "ccel", "--cc", "--pcrs", &given]).expect(1);
        assert!(ran.err.contains(&format!("RTMR {register}")), "{}", ran.err);
    }
    // As a TPM's log it is none: the same numbers would be other registers.
    let refused = run(here.path(), &["log", "boot", "ccel", "--cc", "--bank", "sha256"]).expect(2);
    assert!(refused.err.contains("sha384"), "{}", refused.err);
}
