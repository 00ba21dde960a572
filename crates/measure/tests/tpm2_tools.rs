//! What tpm2_eventlog prints of a log, and what this crate reads in it: the same, event by event.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

mod yaml;

use std::path::{Path, PathBuf};
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::tcg::{Binding, EventLog};
use touchstone_peers::{corpus, rig};
use yaml::{Paths, expected, printed};

/// Both sides, line by line; the first difference with what stands before it.
fn compare(name: &str, theirs: &[String], ours: &[String]) {
    for (place, (one, other)) in theirs.iter().zip(ours).enumerate() {
        let before = &theirs[place.saturating_sub(6)..place];
        assert_eq!(one, other, "{name}: line {place} behind {before:#?}");
    }
    assert_eq!(theirs.len(), ours.len(), "{name}");
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let all = touchstone_peers::files(folder);
    all.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "bin")).collect()
}

#[test]
fn every_recorded_output_is_agreed_with() {
    let Some(folder) = corpus("eventlog/tpm2-tools") else { return };
    let mut compared = 0;
    let own = |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), path);
    let mut named: Vec<(String, PathBuf)> = logs(&folder).into_iter().map(own).collect();
    // The corpus has each log once; these are elsewhere in it.
    for (name, at) in [
        ("event-bootorder.bin", "../hw-keylime/swtpm/swtpm_measurements.bin"),
        ("event-gce-ubuntu-2104-log.bin", "../goog-tpm/ubuntu-2104-no-dbx.bin"),
    ] {
        named.push((name.into(), folder.join(at)));
    }
    for (name, path) in named {
        let log = EventLog::decode(&std::fs::read(&path).unwrap()).unwrap();
        let versions = [
            ("expected", Paths::Text),
            ("event-raw", Paths::Octets),
            ("event-pretty-39", Paths::Text),
            ("", Paths::Text),
        ];
        for (version, paths) in versions {
            let recorded = folder.join(version).join(format!("{name}.yaml"));
            let Ok(recorded) = std::fs::read_to_string(recorded) else { continue };
            let theirs = expected(&recorded, paths);
            compare(&format!("{version}/{name}"), &theirs, &printed(&log, &recorded, paths));
            compared += 1;
        }
    }
    assert!(compared >= 26, "only {compared} outputs were compared");
}

/// The log of the corpus that is written in the form of the canonical event log.
#[test]
fn the_canonical_form_of_a_log_has_the_same_events() {
    let Some(folder) = corpus("eventlog/tpm2-tools") else { return };
    let log = std::fs::read(folder.join("event-moklisttrusted.bin")).unwrap();
    let log = EventLog::decode(&log).unwrap();
    let text = std::fs::read_to_string(folder.join("event-moklisttrusted-hex.yaml")).unwrap();
    let field = |name: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix(name));
        lines.map(|value| value.trim().trim_matches('\'').to_owned()).collect()
    };
    let (kinds, datas) = (field("event_type:"), field("event_data:"));
    let (pcrs, digests) = (field("pcr:"), field("digest:"));
    assert_eq!(kinds.len(), log.events().len());
    for (place, event) in log.events().iter().enumerate() {
        assert_eq!(event.kind.name().unwrap(), kinds[place]);
        assert_eq!(event.pcr.to_string(), pcrs[place]);
        if place > 0 {
            assert_eq!(event.digest(HashAlgorithm::Sha256).unwrap().to_hex(), digests[place]);
            assert_eq!(yaml::hex(&event.data), datas[place], "event {place}");
        }
    }
}

/// What an event must have measured is what it says, in every log of the corpus but one: a POWER
/// machine's firmware has rules of its own.
#[test]
fn every_log_of_the_corpus_is_read_and_says_what_was_measured() {
    let Some(folder) = corpus("eventlog") else { return };
    let mut paths = logs(&folder);
    paths.extend(corpus("lab/tcb-secboot").map(|lab| lab.join("binary_bios_measurements")));
    for name in ["tpmbios.log", "tpm2bios.log"] {
        paths.extend(corpus("ima/ibm-acs").map(|acs| acs.join(name)));
    }
    assert!(paths.len() >= 33, "only {} logs", paths.len());
    let mut odd = Vec::new();
    for path in paths {
        let log = EventLog::decode(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let differs =
            |bank| log.events().iter().any(|event| event.binding(&AwsLc, bank) == Binding::Differs);
        if log.algorithms().iter().any(|bank| differs(*bank)) {
            odd.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(odd, ["tpm2bios.log"]);
}

/// The tpm2_eventlog of this machine reads the same in every log that it can read.
#[test]
fn the_tool_agrees_live() {
    let Some(folder) = corpus("eventlog") else { return };
    let mut compared = 0;
    let mut bytes: Vec<(String, Vec<u8>)> = vec![("rig".into(), rig("binary_bios_measurements"))];
    let mut paths = logs(&folder);
    paths.extend(corpus("lab/tcb-secboot").map(|lab| lab.join("binary_bios_measurements")));
    paths.extend(corpus("ima/ibm-acs").map(|acs| acs.join("tpmbios.log")));
    for path in paths {
        bytes.push((path.display().to_string(), std::fs::read(&path).unwrap()));
    }
    for (name, bytes) in bytes {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let ran = std::process::Command::new("tpm2_eventlog")
            .arg(file.path())
            .output()
            .expect("tpm2_eventlog is missing; run cargo xtask test, which installs tpm2-tools");
        // Two logs of real machines are too odd for it; here they parse.
        if !ran.status.success() {
            eprintln!("tpm2_eventlog cannot read {name}");
            continue;
        }
        let log = EventLog::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Up to 5.4 the tool lets PCR 0 begin with zeros, whatever the start-up locality.
        let locality = log.events().iter().any(|event| event.startup_locality().is_some());
        let text = String::from_utf8_lossy(&ran.stdout);
        compare(&name, &yaml::heads(&text), &yaml::own_heads(&log));
        for (bank, pcr, value) in yaml::registers(&text) {
            let Some(algorithm) = HashAlgorithm::from_name(&bank) else { continue };
            if pcr == 0 && locality {
                continue;
            }
            let pcrs = log.replay(&AwsLc, algorithm);
            assert_eq!(pcrs.value(pcr).unwrap().to_hex(), value, "{name} {bank} PCR {pcr}");
        }
        compared += 1;
    }
    assert!(compared >= 27, "only {compared} logs were compared");
}
