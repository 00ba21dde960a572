//! The files of tpm2-tools: keys, signatures and PCR values. Nothing panics, and nothing of it
//! verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::Recorded;
use touchstone_evidence::tpm::Expected;
use touchstone_evidence::tpm2_tools::{PcrFile, attestation_key};

fuzz_target!(|data: &[u8]| {
    // Four files, each behind its length: the first octets of the input.
    let Some((lens, mut rest)) = data.split_first_chunk::<3>() else { return };
    let mut file = |len: u8| {
        let (file, others) = rest.split_at(usize::from(len).min(rest.len()));
        rest = others;
        file
    };
    let (key, attest, signature) = (file(lens[0]), file(lens[1]), file(lens[2]));
    let _ = PcrFile::decode(data);
    let Ok(pcrs) = PcrFile::decode(rest) else { return };
    let Ok(key) = attestation_key(key) else { return };
    let recorded = Recorded { attest, signature, pcrs, event_log: None, ima_log: None };
    assert!(recorded.verify(&AwsLc, &Expected::new(&key, b"nonce")).is_err());
});
