//! Whatever the octets are: no panic, no endless growth, and an error that says where.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail loudly"
)]

use proptest::prelude::*;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::tcg::{EventLog, SignatureDatabase, describe};
use touchstone_measure::{Problem, authenticode};
use touchstone_peers::rig;

const SHA256: HashAlgorithm = HashAlgorithm::Sha256;

fn read_event_log(bytes: &[u8]) {
    match EventLog::decode(bytes) {
        Ok(log) => {
            log.replay(&AwsLc, SHA256);
            log.events().iter().for_each(|event| drop(describe(event).to_string()));
        }
        Err(error) => assert!(error.at <= bytes.len(), "{error}"),
    }
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        read_event_log(&bytes);
        let _ = authenticode::digest(&AwsLc, SHA256, &bytes);
        let _ = SignatureDatabase::decode(&bytes);
    }

    #[test]
    fn a_damaged_event_log_never_panics(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
    ) {
        let mut bytes = rig("binary_bios_measurements");
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_event_log(&bytes);
    }

}

#[test]
fn a_length_beyond_the_end_is_truncated() {
    let mut bytes = rig("binary_bios_measurements");
    // The length of the Spec ID event's data.
    bytes[28..32].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = EventLog::decode(&bytes).unwrap_err();
    assert_eq!((error.code(), error.index, error.at), ("measure.eventlog.truncated", 0, 0));
    assert_eq!(
        error.to_string(),
        "the event log ends inside an event; read it again whole (item 0, octet 0)"
    );
}

#[test]
fn an_event_for_a_pcr_that_does_not_exist_is_refused() {
    let mut bytes = rig("binary_bios_measurements");
    let first = 32 + usize::from(bytes[28]);
    bytes[first] = 24;
    let error = EventLog::decode(&bytes).unwrap_err();
    assert_eq!((error.problem, error.index, error.at), (Problem::EventLogPcr, 1, first));
}

#[test]
fn an_empty_or_huge_log_is_refused() {
    assert_eq!(EventLog::decode(&[]).unwrap_err().problem, Problem::EventLogEmpty);
    let huge = vec![0; touchstone_measure::tcg::MAX_LOG + 1];
    assert_eq!(EventLog::decode(&huge).unwrap_err().problem, Problem::EventLogTooLarge);
}
