//! Update envelopes: a device whose roles trust nobody in them opens none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_certs::TrustStore;
use touchstone_crypto_awslc::AwsLc;
use touchstone_update::{Role, Rules, Trust, inspect, open};

fuzz_target!(|bytes: &[u8]| {
    let _ = inspect(bytes);
    let role = |name: &str| Role { name: name.into(), trust: Trust::Anchors(TrustStore::default()) };
    let rules = Rules {
        component: "pump-control".into(),
        above: 0,
        roles: vec![role("publisher"), role("operator")],
    };
    assert!(open(&AwsLc, bytes, &rules, 1_800_000_000).is_err());
});
