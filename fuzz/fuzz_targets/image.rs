//! A PE image: nothing panics, and of what is a unified kernel image its registers can be told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::authenticode;
use touchstone_measure::predict::{Boot, PHASES, Uki};

fuzz_target!(|data: &[u8]| {
    let _ = authenticode::digest(&AwsLc, HashAlgorithm::Sha256, data);
    let _ = authenticode::sections(data);
    let Ok(uki) = Uki::decode(data) else { return };
    for profile in 0..=uki.profiles().min(4) {
        let mut boot = Boot::of(data);
        boot.profile = u32::try_from(profile).unwrap_or(0);
        boot.phases = &PHASES;
        if let Ok(prediction) = boot.predict(&AwsLc, HashAlgorithm::Sha256) {
            let _ = prediction.pcrs(&AwsLc);
        }
    }
});
