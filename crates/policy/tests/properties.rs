//! What holds for every text, policy and device.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use proptest::prelude::*;
use std::fmt::Write as _;
use touchstone_policy::{Catalog, ClaimSet, Fault, Outcome, Policy, Status, Type, Value, Version};

const GATEWAY: &str = include_str!("../examples/gateway.policy");

fn catalog() -> Catalog {
    let record = Type::record([("n", Type::Integer), ("t", Type::Text)]);
    Catalog::new()
        .with("b", Type::Boolean, "a boolean")
        .with("i", Type::Integer, "an integer")
        .with("t", Type::Text, "a text")
        .with("v", Type::Version, "a version")
        .with("l", Type::list(record), "a list")
        .with("s", Type::set(Type::Integer), "a set")
}

/// Conditions in the grammar, with names and types that agree.
fn test() -> impl Strategy<Value = String> {
    let order = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        Just("b".to_owned()),
        Just("b is not present".to_owned()),
        Just("l is empty".to_owned()),
        (any::<i64>(), order.clone()).prop_map(|(n, order)| format!("i {order} {n}")),
        (any::<[u16; 3]>(), order).prop_map(|([a, b, c], order)| format!("v {order} {a}.{b}.{c}")),
        ".*".prop_map(|text: String| format!("t != {}", Value::from(text))),
        prop::collection::vec(any::<i8>(), 1..4).prop_map(|numbers| {
            let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            format!("i not in {{ {} }}", numbers.join(", "))
        }),
        Just("count(l) in s".to_owned()),
        Just("s within { 1, 2 }".to_owned()),
    ];
    let plain = leaf.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|test| format!("not ({test})")),
            inner.clone().prop_map(|test| format!("not {test}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or ({b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("(every z in l: {a}) and {b}")),
        ]
    });
    // Loops have names and a limit of their own, so they are put around.
    let test = plain.prop_map(|test| {
        let loops = test.matches("every z").count();
        if loops > 1 { test.replace("every z in l: ", "b and ") } else { test }
    });
    prop_oneof![
        test.clone(),
        test.clone().prop_map(|test| format!("some x in l: x.n in s or {test}")),
        test.prop_map(|test| format!("not (every x in l: some y in s: x.n > y and {test})")),
    ]
}

fn policy(tests: &[String]) -> String {
    let mut text = "policy \"p\" version 1 {".to_owned();
    for (at, test) in tests.iter().enumerate() {
        write!(
            text,
            "control c{at} {{ dimension executables severity warning because \"b\" require {test} }}"
        )
        .unwrap();
    }
    text + "}"
}

fn claims() -> impl Strategy<Value = ClaimSet> {
    let scalar = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        any::<[u16; 3]>().prop_map(|[a, b, c]| Version::new(a.into(), b.into(), c.into()).into()),
    ];
    let record = (any::<i64>(), any::<String>())
        .prop_map(|(n, t)| Value::record([("n", n.into()), ("t", t.into())]));
    let value = prop_oneof![
        scalar.clone(),
        prop::collection::vec(record, 0..4).prop_map(Value::list),
        prop::collection::vec(scalar, 0..4).prop_map(Value::set),
    ];
    // Any type under any name: a device owes us nothing.
    let name = prop::sample::select(vec!["b", "i", "t", "v", "l", "s"]);
    prop::collection::vec((name, value), 0..8).prop_map(ClaimSet::from_iter)
}

fn sane(faults: &[Fault]) {
    assert!(!faults.is_empty() && faults.len() <= 20);
    for fault in faults {
        assert!(fault.at.line >= 1 && fault.at.column >= 1);
        assert!(!fault.problem.is_empty() && !fault.remedy.is_empty() && !fault.code().is_empty());
        assert!(!fault.to_string().chars().any(char::is_control), "{fault}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_policy_or_faults(text in ".{0,300}") {
        if let Err(faults) = Policy::parse(&text, &catalog()) {
            sane(&faults);
        }
    }

    /// A good policy with a piece cut out, doubled or replaced: nearer to what people write.
    #[test]
    fn a_mutated_policy_is_a_policy_or_faults(
        from in 0..GATEWAY.len(), len in 0..200_usize, put in "[a-z{}()\"=<:., 0-9\n]{0,6}",
    ) {
        let end = (from + len).min(GATEWAY.len());
        let text = format!("{}{put}{}", &GATEWAY[..from], &GATEWAY[end..]);
        match Policy::parse(&text, &catalog()) {
            Ok(policy) => prop_assert_eq!(Policy::parse(&policy.to_string(), &catalog()), Ok(policy)),
            Err(faults) => sane(&faults),
        }
    }

    #[test]
    fn a_policy_written_out_loads_as_the_same(tests in prop::collection::vec(test(), 1..4)) {
        let loaded = Policy::parse(&policy(&tests), &catalog()).unwrap();
        prop_assert_eq!(Policy::parse(&loaded.to_string(), &catalog()), Ok(loaded));
    }

    #[test]
    fn every_device_is_judged_and_told_why(tests in prop::collection::vec(test(), 1..4), claims in claims()) {
        let loaded = Policy::parse(&policy(&tests), &catalog()).unwrap();
        let outcomes = loaded.evaluate(&claims);
        prop_assert_eq!(outcomes.len(), tests.len());
        for outcome in outcomes {
            let words = outcome.explanation();
            prop_assert!(!words.is_empty() && !words.chars().any(char::is_control));
            prop_assert!(outcome.passed() == (outcome.status() == Status::Passed));
            prop_assert!(outcome.offenders().len() <= 16);
        }
    }

    #[test]
    fn not_turns_a_verdict_and_leaves_the_unknown(test in test(), claims in claims()) {
        let text = policy(&[test.clone(), format!("not ({test})")]);
        let loaded = Policy::parse(&text, &catalog()).unwrap();
        let statuses: Vec<_> = loaded.evaluate(&claims).iter().map(Outcome::status).collect();
        let opposite = match statuses[0] {
            Status::Passed => Status::Failed,
            Status::Failed => Status::Passed,
            Status::Unknown => Status::Unknown,
        };
        prop_assert_eq!(statuses[1], opposite);
    }
}
