//! An IMA list: nothing panics, and the whole list is a prefix of itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto::HashAlgorithm;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima;

fuzz_target!(|data: &[u8]| {
    if let Ok(list) = ima::Log::decode(data) {
        let sha256 = HashAlgorithm::Sha256;
        let whole = list.replay_pcr10(&AwsLc, sha256);
        let prefix = list.prefix(&AwsLc, sha256, |value| *value == whole);
        assert_eq!(prefix.map(|prefix| prefix.value), Some(whole));
    }
});
