//! What a TPM, a disk or a fleet's peer hands to the TPM code: responses, public areas, signatures,
//! PCR lists, NV indices, key files. Nothing may panic, and what reads back writes the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    touchstone_tpm2::hostile::parse(&touchstone_crypto_awslc::AwsLc, data);
    touchstone_element_tpm2::hostile::parse(data);
});
