//! Requests, with and without a TPM's statement, as DER and as EST bodies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_certs::CertificateRequest;
use touchstone_crypto_awslc::AwsLc;
use touchstone_enroll::{AttestedRequest, est};

fuzz_target!(|bytes: &[u8]| {
    let _ = est::decode_request(est::REQUEST_TYPE, bytes);
    let _ = est::decode_certs(est::CERTS_TYPE, bytes);
    let Ok(request) = CertificateRequest::decode(bytes) else { return };
    let body = est::encode_request(bytes);
    let again = est::decode_request(est::REQUEST_TYPE, body.as_bytes());
    assert_eq!(again.as_ref(), Ok(&request));
    let _ = AttestedRequest::from_request(request.clone());
    let _ = request.verify(&AwsLc);
});
