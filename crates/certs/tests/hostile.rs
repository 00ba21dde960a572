//! Hostile octets: whatever is done to a good input, reading it ends, and in a typed error if at all.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use proptest::prelude::*;
use std::sync::LazyLock;
use touchstone_certs::issue::{Issuer, Kind, Template};
use touchstone_certs::ocsp::{Request, Responder, Response, Status};
use touchstone_certs::{AlternativeName, Certificate, CertificateRequest, Name};
use touchstone_certs::{Purpose, TrustStore, request};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

const NOW: u64 = 1_800_000_000;

struct Good {
    ca: Certificate,
    leaf: Certificate,
    request: Vec<u8>,
    asked: Vec<u8>,
    answered: Vec<u8>,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let name = |text| Name::common_name(text).unwrap();
    let names = vec![
        AlternativeName::Dns("a.example".into()),
        AlternativeName::Directory(name("tpm")),
        AlternativeName::HardwareModule { kind: "1.3.6.1.4.1.1".into(), serial: vec![1] },
    ];
    let ca = Template::new(Kind::Root, name("ca"), NOW, NOW + 60).self_sign(&AwsLc, &key).unwrap();
    let leaf = Template::new(Kind::Device, name("leaf"), NOW, NOW + 60)
        .with_names(names.clone())
        .with_ocsp("http://x")
        .issue(&AwsLc, &Issuer::new(&ca, &key).unwrap(), key.spki_der())
        .unwrap();
    let asked = Request::new(&AwsLc, &leaf, &ca, Some(&[1; 16])).unwrap();
    let answered = Responder::new(&AwsLc, &ca, &ca, &key, NOW)
        .unwrap()
        .respond(&AwsLc, &asked, NOW, NOW + 60, |_| Status::Good)
        .unwrap();
    let request = request::build(&name("leaf"), &names, &[], &key).unwrap();
    Good { ca, leaf, request, asked: asked.encode().unwrap(), answered }
});

/// Flips, cuts, repeats.
fn change(good: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (at, kind, value) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        match kind % 5 {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *value),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    prop::collection::vec((0..4096_usize, any::<u8>(), any::<u8>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_changed_certificate_is_never_valid(edits in edits()) {
        let bytes = change(GOOD.leaf.der(), &edits);
        prop_assume!(bytes != GOOD.leaf.der());
        if let Ok(changed) = Certificate::decode(&bytes) {
            let trust = TrustStore::new(vec![GOOD.ca.clone()]);
            prop_assert!(trust.validate(&AwsLc, &changed, &[], NOW, Purpose::Any).is_err());
        }
    }

    #[test]
    fn a_changed_request_is_never_verified(edits in edits()) {
        let bytes = change(&GOOD.request, &edits);
        prop_assume!(bytes != GOOD.request);
        let seen = CertificateRequest::decode(&bytes).and_then(|seen| seen.verify(&AwsLc));
        prop_assert!(seen.is_err());
    }

    #[test]
    fn a_changed_status_request_is_read_or_refused(edits in edits()) {
        if let Ok(request) = Request::decode(&change(&GOOD.asked, &edits)) {
            prop_assert!(Request::decode(&request.encode().unwrap()).is_ok());
        }
    }

    #[test]
    fn a_changed_status_response_is_never_believed(edits in edits()) {
        let bytes = change(&GOOD.answered, &edits);
        prop_assume!(bytes != GOOD.answered);
        let seen = Response::decode(&bytes)
            .and_then(|seen| seen.verify(&AwsLc, &GOOD.leaf, &GOOD.ca, None, NOW));
        prop_assert!(seen.is_err());
    }

    #[test]
    fn text_is_read_or_refused(edits in edits(), text in ".{0,80}") {
        let pem = GOOD.leaf.to_pem().unwrap() + &GOOD.ca.to_pem().unwrap();
        let _ = Certificate::from_pem(&change(pem.as_bytes(), &edits));
        let _ = Name::parse(&text);
        let _ = Request::from_path(&text);
        if let Ok(name) = Name::common_name(&text) {
            prop_assert_eq!(name.common_name_text(), Some(text));
        }
    }
}
