//! What holds for every text, policy and device.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use proptest::prelude::*;
use std::fmt::Write as _;
use std::time::Duration;
use touchstone_policy::{
    Catalog, ClaimSet, Fault, FaultKind, Outcome, Policy, Status, Time, Type, Value, Version,
    format, tier,
};

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
        .with("m", Type::map(Type::Integer), "a map")
        .with("w", Type::Time, "a time")
        .with_function("twice", &[Type::Integer], Type::Integer, "the double", |values| {
            values.first()?.as_integer()?.checked_mul(2).map(Value::from)
        })
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
            format!("i not in [{}]", numbers.join(", "))
        }),
        Just("count(l) in s".to_owned()),
        Just("every s in [1, 2]".to_owned()),
        Just("some s > 3".to_owned()),
        Just("twice(i) >= 4".to_owned()),
        Just("m[\"a\"] == 1".to_owned()),
        Just("w <= now + 3d".to_owned()),
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
    let mut text = "policy p version 1 schema 1\n".to_owned();
    for (at, test) in tests.iter().enumerate() {
        // Every control reads a claim and can pass.
        write!(
            text,
            "control c{at} {{ title \"t\" severity low fresh 1m else executables warning do alert \
             require v is not present or ({test}) }}"
        )
        .unwrap();
    }
    text
}

/// What was loaded; what can never pass, or passes everything, is not.
fn load(tests: &[String]) -> Option<Policy> {
    match Policy::parse(&policy(tests), &catalog()) {
        Ok(policy) => Some(policy),
        Err(faults) => {
            assert!(faults.iter().all(|fault| fault.kind == FaultKind::Vain), "{faults:?}");
            None
        }
    }
}

fn claims() -> impl Strategy<Value = ClaimSet> {
    let scalar = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        any::<[u16; 3]>().prop_map(|[a, b, c]| Version::new(a.into(), b.into(), c.into()).into()),
        any::<u64>().prop_map(|at| Time::from_unix(at).into()),
    ];
    let record = (any::<i64>(), any::<String>())
        .prop_map(|(n, t)| Value::record([("n", n.into()), ("t", t.into())]));
    let value = prop_oneof![
        scalar.clone(),
        prop::collection::vec(record, 0..4).prop_map(Value::list),
        prop::collection::vec(scalar, 0..4).prop_map(Value::set),
    ];
    // Any type under any name: a device owes us nothing.
    let name = prop::sample::select(vec!["b", "i", "t", "v", "l", "s", "m", "w"]);
    (prop::collection::vec((name, value), 0..8), 0..120_u64)
        .prop_map(|(claims, age)| ClaimSet::from_iter(claims).aged(Duration::from_secs(age)))
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
            Ok(policy) => prop_assert_eq!(Policy::parse(&format(&text).unwrap(), &catalog()), Ok(policy)),
            Err(faults) => sane(&faults),
        }
        if let Ok(laid) = format(&text) {
            prop_assert_eq!(format(&laid), Ok(laid.clone()));
        }
    }

    #[test]
    fn the_layout_is_stable_and_means_the_same(
        tests in prop::collection::vec(test(), 1..4), cuts in prop::collection::vec((0..400_usize, 0..6_usize), 0..6),
    ) {
        // Comments and line breaks wherever a blank stands outside of a text.
        let mut text = policy(&tests);
        for (at, what) in cuts {
            let quotes = |at: usize| text[..at].matches('"').count() - text[..at].matches("\\\"").count();
            let blanks: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).filter(|at| quotes(*at) % 2 == 0).collect();
            let put = ["\n", " #a\n", "\n#b\n", "\n\n\n", "\t", "\n#c\n\n#d\n"][what];
            text.insert_str(blanks[at % blanks.len()], put);
        }
        let laid = format(&text).unwrap();
        prop_assert_eq!(format(&laid), Ok(laid.clone()));
        prop_assert_eq!(laid.matches('#').count(), text.matches('#').count());
        prop_assert_eq!(Policy::parse(&laid, &catalog()), Policy::parse(&text, &catalog()));
    }

    /// However they are given, and whatever else is said.
    #[test]
    fn the_order_of_claims_changes_no_verdict(tests in prop::collection::vec(test(), 1..4), claims in claims()) {
        let Some(loaded) = load(&tests) else { return Ok(()) };
        let mut turned: Vec<_> = claims.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        turned.reverse();
        turned.insert(0, ("of.nobody".to_owned(), 1.into()));
        let turned = ClaimSet::from_iter(turned).aged(Duration::from_secs(1));
        let claims = claims.aged(Duration::from_secs(1));
        let (a, b) = (loaded.evaluate(&claims), loaded.evaluate(&turned));
        prop_assert_eq!(tier(&a), tier(&b));
        let ends = |outcomes: &[Outcome<'_>]| outcomes.iter().map(|o| (o.status(), o.explanation())).collect::<Vec<_>>();
        prop_assert_eq!(ends(&a), ends(&b));
    }

    /// A claim that is taken away, or gets too old, never makes a control pass that does not ask
    /// whether it is there.
    #[test]
    fn what_is_not_known_never_passes(test in test(), claims in claims(), gone in 0..8_usize) {
        if test.contains("present") {
            return Ok(());
        }
        let text = format!(
            "policy p version 1 schema 1 control c {{ title \"t\" severity low fresh 1m else executables \
             warning require (b or i == i) and ({test}) }}"
        );
        let Ok(loaded) = Policy::parse(&text, &catalog()) else { return Ok(()) };
        let fresh = claims.aged(Duration::from_secs(1));
        let before = loaded.evaluate(&fresh)[0].status();
        let name = ["b", "i", "t", "v", "l", "s", "m", "w"][gone];
        let mut less = fresh.clone();
        less.remove(name);
        let mut old = fresh.clone();
        old.set_age(name, Duration::from_secs(61));
        for after in [loaded.evaluate(&less)[0].status(), loaded.evaluate(&old)[0].status()] {
            prop_assert!(after != Status::Passed || before == Status::Passed);
        }
        prop_assert_ne!(loaded.evaluate(&fresh.aged(Duration::from_hours(1)))[0].status(), Status::Passed);
        prop_assert_ne!(loaded.evaluate(&ClaimSet::new())[0].status(), Status::Passed);
    }

    #[test]
    fn every_device_is_judged_and_told_why(tests in prop::collection::vec(test(), 1..4), claims in claims()) {
        let Some(loaded) = load(&tests) else { return Ok(()) };
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
        let control = |name: &str, test: &str| format!(
            "control {name} {{ title \"t\" severity low require b is present and ({test}) else executables \
             warning }}"
        );
        let (test, not) = (control("a", &test), control("n", &format!("not ({test})")));
        let mut claims = claims;
        claims.insert("b", true);
        let Ok(loaded) = Policy::parse(&format!("policy p version 1 schema 1 {test} {not}"), &catalog())
            else { return Ok(()) };
        let statuses: Vec<_> = loaded.evaluate(&claims).iter().map(Outcome::status).collect();
        let opposite = match statuses[0] {
            Status::Passed => Status::Failed,
            Status::Failed => Status::Passed,
            Status::Unknown => Status::Unknown,
        };
        prop_assert_eq!(statuses[1], opposite);
    }
}
