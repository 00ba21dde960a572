//! Envelopes: whatever verifies has a signer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_cms::SignedData;
use touchstone_crypto_awslc::AwsLc;

fuzz_target!(|bytes: &[u8]| {
    let Ok(decoded) = SignedData::decode(bytes) else { return };
    let _ = decoded.unverified_signers();
    if let Ok(signed) = decoded.verify(&AwsLc) {
        assert!(!signed.signers().is_empty());
    }
});
