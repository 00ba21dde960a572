//! A policy and the claims of a device, both from outside: judging ends, and tells why. The claims
//! are JSON after the first line that is `---`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use touchstone_policy::{Catalog, Policy, Status, tier};

static CATALOG: LazyLock<Catalog> = LazyLock::new(touchstone_appraise::catalog);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((policy, claims)) = text.split_once("\n---\n") else { return };
    let Ok(policy) = Policy::parse(policy, &CATALOG) else { return };
    let Ok(claims) = touchstone_appraise::claims::from_file(claims.as_bytes(), &CATALOG) else { return };
    let outcomes = policy.evaluate(&claims);
    assert_eq!(outcomes.len(), policy.controls().len());
    for outcome in &outcomes {
        assert!(!outcome.explanation().is_empty());
        let quiet = outcome.passed() || outcome.exception().is_some();
        assert!(!quiet || outcome.countermeasures().is_empty());
        assert!(outcome.passed() == (outcome.status() == Status::Passed));
    }
    let again = policy.evaluate(&claims);
    assert_eq!(tier(&outcomes), tier(&again));
});
