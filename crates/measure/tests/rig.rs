//! What our own rig's device measured.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::tcg::{Description, EventLog, EventType, SignatureDatabase, describe};
use touchstone_measure::{Pcrs, ima};
use touchstone_peers::rig;

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

fn read_pcrs() -> Vec<Digest> {
    let text = String::from_utf8(rig("pcrs-sha256.txt")).unwrap();
    text.lines()
        .map(|line| Digest::parse(&format!("sha256:{}", line.split(' ').nth(1).unwrap())).unwrap())
        .collect()
}

#[test]
fn event_log_and_ima_list_lead_to_every_pcr_of_the_device() {
    let log = EventLog::decode(&rig("binary_bios_measurements")).unwrap();
    let list = ima::Log::decode(&rig("binary_runtime_measurements")).unwrap();
    let mut pcrs = log.replay(&AwsLc, SHA256);
    assert!(pcrs.set(ima::PCR, list.replay_pcr10(&AwsLc, SHA256)));
    for (pcr, value) in (0..).zip(read_pcrs()) {
        assert_eq!(pcrs.value(pcr), Some(value), "PCR {pcr}");
    }
    let aggregate = (0..10).collect::<Vec<_>>();
    assert_eq!(
        pcrs.composite(&AwsLc, SHA256, &aggregate),
        list.get(0).and_then(|entry| entry.digest())
    );
}

#[test]
fn the_log_says_that_secure_boot_was_on_with_our_keys() {
    let log = EventLog::decode(&rig("binary_bios_measurements")).unwrap();
    let variable = |wanted: &str| {
        let event = log
            .events()
            .iter()
            .filter(|event| event.kind == EventType::EFI_VARIABLE_DRIVER_CONFIG)
            .find(|event| describe(event).variable(wanted).is_some())
            .unwrap();
        assert!(event.explains(&AwsLc, SHA256), "{wanted}");
        describe(event).variable(wanted).unwrap().to_vec()
    };
    assert_eq!(variable("SecureBoot"), [1]);
    for (name, file) in [("PK", "pk"), ("KEK", "kek"), ("db", "db")] {
        let key = rig(&format!("secure-boot-{file}.der"));
        let database = SignatureDatabase::decode(&variable(name)).unwrap();
        assert_eq!(database.entries.len(), 1, "{name}");
        assert_eq!(database.entries[0].data, key, "{name}");
    }
    assert_eq!(describe(&log.events()[4]).to_string(), "SecureBoot is 1");
}

#[test]
fn the_image_the_firmware_loaded_is_described() {
    let log = EventLog::decode(&rig("binary_bios_measurements")).unwrap();
    let image = log
        .events()
        .iter()
        .find(|event| event.kind == EventType::EFI_BOOT_SERVICES_APPLICATION)
        .unwrap();
    assert!(matches!(describe(image), Description::Image { .. }));
    assert_eq!((image.index, image.pcr), (23, 4));
}

#[test]
fn every_flipped_octet_of_a_digest_changes_the_replay() {
    let bytes = rig("binary_bios_measurements");
    let good: Pcrs = EventLog::decode(&bytes).unwrap().replay(&AwsLc, SHA256);
    let log = EventLog::decode(&bytes).unwrap();
    for event in log.events().iter().filter(|event| event.kind != EventType::NO_ACTION) {
        let digest = event.digest(SHA256).unwrap();
        let at = bytes.windows(32).position(|window| window == digest.as_bytes()).unwrap();
        let mut bad = bytes.clone();
        bad[at + 31] ^= 0x80;
        let replayed = EventLog::decode(&bad).unwrap().replay(&AwsLc, SHA256);
        assert_ne!(replayed, good, "event {}", event.index);
    }
}
