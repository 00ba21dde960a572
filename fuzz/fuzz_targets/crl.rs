//! A CRL that parses gives its PEM back the same, and lists no certificate that it does not count.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_certs::Crl;

fuzz_target!(|bytes: &[u8]| {
    let _ = Crl::from_pem(bytes);
    let Ok(crl) = Crl::decode(bytes) else { return };
    let pem = crl.to_pem().expect("what was read can be written");
    let again = Crl::from_pem(pem.as_bytes()).expect("what was written can be read");
    assert_eq!(again, [crl.clone()]);
    assert!(crl.revoked().count() <= crl.len());
    let _ = (crl.number(), crl.base_number(), crl.distribution_point_urls());
});
