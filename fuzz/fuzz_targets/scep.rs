//! SCEP messages: a server that anybody may write to, and what a client is sent. Nobody without a key
//! is said to have asked for anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use touchstone_certs::Certificate;
use touchstone_certs::Name;
use touchstone_certs::issue::{Kind, Template};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};
use touchstone_enroll::scep::{
    Capabilities, ca_certificates, next_ca_certificates, read_request,
};

static CA: LazyLock<(Certificate, SoftDecrypter)> = LazyLock::new(|| {
    let key = SoftSigner::generate(SignatureAlgorithm::RsaPkcs1Sha256).expect("a key");
    let name = Name::common_name("ca").expect("a name");
    let certificate = Template::new(Kind::Root, name, 0, 60).self_sign(&AwsLc, &key);
    let opens = SoftDecrypter::from_pkcs8_der(key.pkcs8_der()).expect("the same key");
    (certificate.expect("a certificate"), opens)
});

fuzz_target!(|bytes: &[u8]| {
    let (certificate, key) = &*CA;
    assert!(read_request(&AwsLc, bytes, certificate, key).is_err());
    assert!(next_ca_certificates(&AwsLc, bytes, certificate).is_err());
    let _ = ca_certificates(bytes);
    if let Ok(found) = Capabilities::decode(bytes) {
        assert_eq!(Capabilities::decode(found.encode().as_bytes()), Ok(found));
    }
});
