//! A TCG event log: nothing panics, and what parses can be replayed and described, as a TPM's log and as a
//! confidential guest's; the second half may be a final events table.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::predict::Prediction;
use touchstone_measure::tcg::{Ccel, EventLog, SignatureDatabase, describe};

fn read(log: &EventLog) {
    for &algorithm in log.algorithms() {
        let _ = log.replay(&AwsLc, algorithm);
        let _ = log.anomalies(&AwsLc, algorithm);
        let _ = Prediction::recorded(log, algorithm, |_| true).pcrs(&AwsLc);
    }
    let _ = log.rtmrs(&AwsLc);
    for event in log.events() {
        let _ = describe(event).to_string();
        let _ = event.content().map(|content| content.to_string());
        let _ = event.binding(&AwsLc, HashAlgorithm::Sha256);
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(mut log) = EventLog::decode(data) {
        read(&log);
        let half = data.get(data.len() / 2..).unwrap_or_default();
        if log.append_final_events(half).is_ok() {
            read(&log);
        }
    }
    if let Ok(log) = EventLog::decode_cc(data) {
        read(&log);
    }
    let _ = Ccel::decode(data);
    let _ = SignatureDatabase::decode(data);
});
