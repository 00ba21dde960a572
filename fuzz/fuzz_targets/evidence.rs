//! Evidence, endorsements and their parts: nothing panics, and nothing of it verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use touchstone_certs::TrustStore;
use touchstone_crypto_awslc::AwsLc;
use touchstone_evidence::claims::SbatLevel;
use touchstone_evidence::endorse::{Believed, Bundle, Wanted};
use touchstone_evidence::runtime::{RuntimeClaims, code_ranges};
use touchstone_evidence::tpm::{Attest, LakPublic, PublicArea, Signature};
use touchstone_evidence::{Challenge, Evidence, History};

/// The generator of P-256 as an attestation key: nobody but the number one holds it.
static LAK: LazyLock<LakPublic> = LazyLock::new(|| {
    let point = b"\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\
        \x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
        \x00\x20\
        \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\
        \x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
    let head = b"\x00\x23\x00\x0b\x00\x05\x00\x72\x00\x00\x00\x10\x00\x18\x00\x0b\
        \x00\x03\x00\x10\x00\x20";
    LakPublic::from_native(&[&head[..], point].concat()).expect("a well-formed key")
});

fuzz_target!(|data: &[u8]| {
    if let Ok(evidence) = Evidence::decode(data) {
        let challenge = Challenge::standard(vec![0; 32]);
        assert!(evidence.check_part(&AwsLc, &LAK, &challenge, None).is_err());
        let _ = evidence.stated_boot();
        // A part in front of itself follows only where it has no entry.
        let list = evidence.ima_log().cloned().unwrap_or_default();
        let empty = list.is_empty();
        assert_eq!(evidence.clone().behind(list).is_ok(), empty);
        assert!(evidence.verify(&AwsLc, &LAK, &challenge).is_err());
    }
    if let Ok(bundle) = Bundle::decode(data) {
        assert_eq!(Bundle::decode(&bundle.encode()).as_ref(), Ok(&bundle));
        let nobody = TrustStore::default();
        for wanted in [Wanted::Either, Wanted::EndorsementKey, Wanted::Iak, Wanted::Both] {
            let believed = Believed { tpm_makers: &nobody, device_makers: &nobody, wanted };
            assert!(bundle.clone().verify(&AwsLc, &believed, &[], 0).is_err());
        }
    }
    if let Ok(claims) = RuntimeClaims::decode(data) {
        assert_eq!(RuntimeClaims::decode(&claims.encode()), Ok(claims));
    }
    if let Ok(challenge) = Challenge::decode(data) {
        assert_eq!(Challenge::decode(&challenge.encode()), Ok(challenge));
    }
    if let Ok(history) = History::decode(data) {
        assert_eq!(History::decode(&history.encode()), Ok(history));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = SbatLevel::parse(text);
    }
    let _ = Attest::decode(data);
    let _ = Signature::decode(data);
    let _ = PublicArea::decode(data);
    let _ = code_ranges(&AwsLc, "file", data);
});
