//! Logs of real machines: everything parses, and replay gives what tpm2-tools gives.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::Problem;
use touchstone_measure::tcg::{Description, EventLog, EventType, SignatureDatabase, describe};
use touchstone_peers::corpus;

/// Every file below a folder whose name ends like that.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The `pcrs:` section of tpm2_eventlog: bank -> PCR -> hexadecimal value.
fn expected_pcrs(yaml: &str) -> BTreeMap<String, BTreeMap<u32, String>> {
    let mut banks = BTreeMap::new();
    let mut bank = String::new();
    for line in yaml.lines().skip_while(|line| *line != "pcrs:").skip(1) {
        match line.split_once(" : 0x").or_else(|| line.split_once(": 0x")) {
            Some((pcr, value)) => {
                let values: &mut BTreeMap<u32, String> = banks.entry(bank.clone()).or_default();
                values.insert(pcr.trim().parse().unwrap(), value.trim().to_owned());
            }
            None => line.trim().trim_end_matches(':').clone_into(&mut bank),
        }
    }
    banks
}

#[test]
fn replay_gives_the_values_of_tpm2_tools() {
    let Some(folder) = corpus("eventlog/tpm2-tools") else { return };
    let mut compared = 0;
    for path in files(&folder, ".bin") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let oracle = [folder.join("expected"), folder.clone()]
            .into_iter()
            .map(|folder| folder.join(format!("{name}.yaml")))
            .find(|oracle| oracle.is_file())
            .unwrap_or_else(|| panic!("{name} has no expected output"));
        let log = EventLog::decode(&std::fs::read(&path).unwrap()).unwrap();
        for (bank, values) in expected_pcrs(&std::fs::read_to_string(oracle).unwrap()) {
            let algorithm = HashAlgorithm::from_name(&bank).unwrap();
            let pcrs = log.replay(&AwsLc, algorithm);
            for (pcr, value) in values {
                assert_eq!(pcrs.value(pcr).unwrap().to_hex(), value, "{name} {bank} PCR {pcr}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 60, "only {compared} values were compared");
}

#[test]
fn logs_of_real_machines_parse_and_can_be_described() {
    let Some(folder) = corpus("eventlog") else { return };
    let logs = files(&folder, ".bin");
    assert!(logs.len() >= 25, "only {} logs", logs.len());
    for path in logs {
        let log = EventLog::decode(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for event in log.events() {
            match (event.kind, describe(event)) {
                (
                    EventType::EFI_VARIABLE_DRIVER_CONFIG | EventType::EFI_VARIABLE_AUTHORITY,
                    description,
                ) => {
                    let Description::Variable { name, data, .. } = description else {
                        panic!("{} event {}: {description:?}", path.display(), event.index)
                    };
                    if matches!(name.as_str(), "PK" | "KEK" | "db" | "dbx")
                        && event.kind == EventType::EFI_VARIABLE_DRIVER_CONFIG
                    {
                        assert!(SignatureDatabase::decode(&data).is_some(), "{}", path.display());
                    }
                }
                (EventType::EFI_BOOT_SERVICES_APPLICATION, description) => {
                    assert!(
                        matches!(description, Description::Image { .. }),
                        "{} event {}: {description:?}",
                        path.display(),
                        event.index
                    );
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_cut_log_is_truncated_wherever_it_is_cut_inside_an_event() {
    let Some(folder) = corpus("eventlog/tpm2-tools") else { return };
    let bytes = std::fs::read(folder.join("event-sd-boot-fedora37.bin")).unwrap();
    let whole = EventLog::decode(&bytes).unwrap();
    let mut at_the_end_of_an_event = 0;
    for cut in 1..bytes.len() {
        match EventLog::decode(&bytes[..cut]) {
            Ok(log) => {
                assert_eq!(log.events(), &whole.events()[..log.events().len()]);
                at_the_end_of_an_event += 1;
            }
            Err(error) => assert_eq!(error.problem, Problem::EventLogTruncated, "cut at {cut}"),
        }
    }
    assert_eq!(at_the_end_of_an_event, whole.events().len() - 1);
}
