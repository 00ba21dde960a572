//! The text of a trust policy: it loads or has faults; a loaded one has a layout that means the same,
//! judges a device, and runs its tests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use touchstone_policy::{Catalog, ClaimSet, Limits, Policy, Value, format};

static CATALOG: LazyLock<Catalog> = LazyLock::new(touchstone_appraise::catalog);
static DEVICE: LazyLock<ClaimSet> = LazyLock::new(|| {
    let record = Value::record([("event", 1.into()), ("name", "a".into()), ("why", "b".into())]);
    ClaimSet::from_iter([
        ("boot.secure-boot", Value::from(true)),
        ("boot.command-line", "quiet".into()),
        ("boot.images", Value::list([record.clone(), record])),
        ("reference.command-lines", Value::set(["quiet".into()])),
        // Not of the type that the catalogue promises.
        ("agent.version", 3.into()),
    ])
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Policy::parse(text, &CATALOG) {
        Err(faults) => {
            assert!(!faults.is_empty() && faults.len() <= Limits::FAULTS);
            for fault in faults {
                assert!(!fault.to_string().chars().any(char::is_control));
                assert_eq!(fault.excerpt(text).lines().count(), 2);
            }
        }
        Ok(policy) => {
            let laid = format(text).expect("what loads has a layout");
            assert_eq!(Policy::parse(&laid, &CATALOG).as_ref(), Ok(&policy));
            policy.run_tests();
            for outcome in policy.evaluate(&*DEVICE) {
                assert!(!outcome.explanation().is_empty());
                assert!(outcome.offenders().len() <= 16);
                assert!(!outcome.control().describe(&CATALOG).is_empty());
            }
        }
    }
});
