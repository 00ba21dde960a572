//! A certificate that parses gives its PEM back the same, and its path is searched in bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_certs::{Certificate, Purpose, TrustStore};
use touchstone_crypto_awslc::AwsLc;

fuzz_target!(|bytes: &[u8]| {
    let _ = Certificate::from_pem(bytes);
    let Ok(certificate) = Certificate::decode(bytes) else { return };
    let pem = certificate.to_pem().expect("what was read can be written");
    let again = Certificate::from_pem(pem.as_bytes()).expect("what was written can be read");
    assert_eq!(again, [certificate.clone()]);
    let trust = TrustStore::new(vec![certificate.clone()]);
    let at = certificate.not_before();
    let alone = trust.validate(&AwsLc, &certificate, &again, at, Purpose::Any);
    assert!(alone.is_err(), "nothing vouches for itself");
});
