//! The key that signs the audit log's heads stays in an element: over restarts, and whoever else has a key.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    dead_code,
    reason = "tests fail loudly, and each uses its part of the rig"
)]

mod support;

use support::{Lab, Party};
use touchstone_audit::{Known, LogKey, Notary};
use touchstone_certs::issue::Kind;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};
use touchstone_peers::Swtpm;

/// A fleet whose log is signed by the key `log` of that element, killed and restarted.
fn signs_with(element: &dyn Fn(&std::path::Path) -> String) {
    let maker = Party::new(Kind::Root, "TPM Maker").certificate.to_pem().unwrap();
    let mut lab = Lab::configured(&maker, |folder, config| {
        format!("{config}[audit]\nelement = \"{}\"\nkey = \"log\"\n", element(folder))
    });
    let head = lab.get("/api/v1/audit/head");
    let key = head["key"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        lab.kill_and_restart();
        assert_eq!(lab.get("/api/v1/audit/head")["key"], key.as_str(), "the key is the same");
    }
    assert!(!lab.path("state/audit.key").exists(), "no key lies in a file");
    assert!(lab.terminate().success());
    let log = std::fs::read(lab.path("state/audit.jsonl")).unwrap();
    let of = |key: &LogKey| {
        let known = Known { key: Some(key), ..Known::default() };
        touchstone_audit::verify(log.as_slice(), &AwsLc, &known)
    };
    let report = of(&LogKey::parse(&AwsLc, &key).unwrap()).unwrap();
    assert!(report.signed > 0, "an end in good order signs what was not signed yet: {report:?}");
    let stranger = SoftSigner::generate(support::P256).unwrap();
    let stranger = Notary::new(&AwsLc, "touchstone", std::sync::Arc::new(stranger)).unwrap();
    assert!(of(stranger.key()).is_err(), "another key is no key");
}

#[test]
fn the_log_of_a_fleet_is_signed_by_a_tpm_over_restarts() {
    let swtpm = Swtpm::blank_tcp();
    let address = swtpm.address();
    signs_with(&|_| format!("tpm-tcp:{address}"));
}

#[test]
fn the_log_of_a_fleet_is_signed_by_a_software_element_over_restarts() {
    signs_with(&|folder| {
        let secret = folder.join("element.secret");
        std::fs::write(&secret, [7_u8; 32]).unwrap();
        let at = folder.join("element");
        format!("software:{}?secret=file:{}", at.display(), secret.display())
    });
}
