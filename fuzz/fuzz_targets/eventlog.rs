//! A TCG event log, or an image: nothing panics, and what parses can be replayed and described.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::authenticode;
use touchstone_measure::tcg::{EventLog, SignatureDatabase, describe};

fuzz_target!(|data: &[u8]| {
    if let Ok(log) = EventLog::decode(data) {
        for &algorithm in log.algorithms() {
            let _ = log.replay(&AwsLc, algorithm);
        }
        for event in log.events() {
            let _ = describe(event).to_string();
            let _ = event.explains(&AwsLc, HashAlgorithm::Sha256);
        }
    }
    let _ = SignatureDatabase::decode(data);
    let _ = authenticode::digest(&AwsLc, HashAlgorithm::Sha256, data);
    let _ = authenticode::sections(data);
});
