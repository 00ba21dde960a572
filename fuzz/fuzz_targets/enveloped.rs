//! Encrypted envelopes: nothing opens for a certificate that it is not for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use touchstone_certs::issue::{Kind, Template};
use touchstone_certs::{Certificate, Name};
use touchstone_cms::{Accept, Enveloped};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftDecrypter, SoftSigner};

static HOLDER: LazyLock<(Certificate, SoftDecrypter)> = LazyLock::new(|| {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).expect("a key");
    let name = Name::common_name("holder").expect("a name");
    let certificate = Template::new(Kind::CodeSigner, name, 0, 60).self_sign(&AwsLc, &key);
    let opens = SoftDecrypter::from_pkcs8_der(key.pkcs8_der()).expect("the same key");
    (certificate.expect("a certificate"), opens)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(decoded) = Enveloped::decode(bytes) else { return };
    let _ = (decoded.ways(), decoded.content_type());
    let (certificate, key) = &*HOLDER;
    assert!(decoded.decrypt(&AwsLc, certificate, key, Accept::dangerous_legacy()).is_err());
});
