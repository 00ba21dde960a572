//! An IMA list in ASCII: nothing panics, and what is read is a list in binary.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima::Log;

fuzz_target!(|data: &[u8]| {
    if let Ok(list) = Log::decode_ascii(&AwsLc, data) {
        let binary = Log::read(list.octets().to_vec(), list.format(), Default::default(), 0);
        assert_eq!(binary, Ok(list));
    }
});
