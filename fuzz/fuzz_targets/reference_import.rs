//! Reference values of other formats: Keylime's policies and allowlists, CoRIM, RPM headers and
//! Debian packages. The first octet says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ops::ControlFlow;
use touchstone_appraise::References;
use touchstone_appraise::references::corim::{self, Elements, Trust};
use touchstone_appraise::references::{Document, Imported, keylime};
use touchstone_certs::TrustStore;
use touchstone_crypto::Verified;
use touchstone_crypto_awslc::AwsLc;

#[path = "../../programs/touchstone/src/reference/deb.rs"]
mod deb;
#[path = "../../programs/touchstone/src/reference/rpm.rs"]
mod rpm;

/// What was taken over can be signed, read and looked up in.
fn usable(imported: Imported) {
    let document = imported.into_document("plant", "os", 1);
    let read = Document::from_json(&document.to_json()).expect("what is imported can be meant");
    assert_eq!(read, document);
    let mut references = References::new();
    references.merge(&AwsLc, &Verified::vouch(document)).expect("the first of its version");
}

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    match which % 4 {
        0 => {
            if let Ok(imported) = keylime::import(data) {
                usable(imported);
            }
        }
        1 => {
            if let Ok(imported) = corim::import(&AwsLc, data, Elements::BootImages, None) {
                usable(imported);
            }
            let anchors = TrustStore::default();
            let trust = Trust { anchors: &anchors, now: 0 };
            assert!(corim::import(&AwsLc, data, Elements::Measurements, Some(trust)).is_err());
        }
        2 => {
            let found = [rpm::package(&AwsLc, data), rpm::installed(data)];
            for package in found.into_iter().flatten() {
                assert!(package.files.iter().all(|file| file.path.starts_with('/')));
            }
        }
        _ => {
            let mut octets = 0;
            let _ = deb::files(data, &mut |entry| {
                octets += match entry {
                    deb::Entry::File(path, content) => path.len() + content.len(),
                    deb::Entry::Link(path, target) => path.len() + target.len(),
                };
                if octets > 1 << 24 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
    }
});
