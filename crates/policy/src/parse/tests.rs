use super::*;
use crate::sample::{GATEWAY, catalog, gateway, requiring};
use alloc::string::ToString;

fn faults(text: &str) -> Vec<String> {
    let faults = Policy::parse(text, &catalog()).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

fn fault_of(requirement: &str) -> (FaultKind, String) {
    let faults = requiring(requirement).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    (faults[0].kind, faults[0].to_string())
}

#[test]
fn the_example_loads_and_reads_back() {
    let policy = gateway();
    assert_eq!((policy.name(), policy.version(), policy.controls().len()), ("gateway", 1, 11));
    assert_eq!(Policy::parse(&policy.to_string(), &catalog()), Ok(policy));
}

#[test]
fn a_mistyped_claim_is_told_with_its_place_and_the_right_name() {
    let text = GATEWAY.replace("boot.secure-boot\n", "boot.securebot\n");
    assert_eq!(
        faults(&text),
        ["24:15: no claim named `boot.securebot`; did you mean `boot.secure-boot`?"]
    );
}

#[test]
fn several_faults_are_told_at_once() {
    let text = r#"policy "p" version 1 {
  control a {
    dimension executable
    severity  bad
    becuase   "b"
    require   boot.secure-boot == 3
  }
  control a {
    dimension configuration
    severity  warning
    fails     96
    because   "b"
    require   every image in boot.images: image.dijest in reference.boot-images
    require   agent.version >=
  }
  control c { dimension hardware }
}"#;
    assert_eq!(
        faults(text),
        [
            "3:15: `executable` is not a dimension; did you mean `executables`?",
            "4:15: `bad` is not a severity; write one of warning, contraindicated",
            "5:5: `becuase` where a clause should be; did you mean `because`?",
            "6:35: a boolean is compared with an integer; write values of one type; `touchstone \
             policy claims` lists the claims with theirs",
            "8:11: a second control named `a`; rename one of them",
            "11:15: `96` is not a value of configuration that is warning; known are unsafe-config, \
             unavailable-config",
            "13:43: `image` has no field `dijest`; did you mean `image.digest`?",
            "15:3: `}` where a value should be; write a claim, a variable or a literal",
            "16:11: control `c` has no `severity`; add `severity warning` or `severity \
             contraindicated`",
            "16:11: control `c` has no `because`; add the reason in words, as in `because \"..\"`",
            "16:11: control `c` has no `require`; add what must hold, as in `require \
             boot.secure-boot`",
        ]
    );
}

#[test]
fn a_lost_brace_does_not_hide_the_next_control() {
    let text = GATEWAY.replacen("  }\n", "", 1).replace("evidence.age", "evidence.aged");
    let faults = faults(&text);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].ends_with("`control` where `}` should be; close the control with `}`"));
    assert!(faults[1].ends_with("did you mean `evidence.age`?"));
}

#[test]
fn types_are_agreed_when_the_policy_is_loaded() {
    let mismatches = [
        "boot.command-line",
        "boot.command-line == 3",
        "boot.command-line < \"a\"",
        "boot.secure-boot >= true",
        "boot.images == boot.images",
        "evidence.age contains \"a\"",
        "evidence.age in { 3 }",
        "agent.version in { 1.0.0, \"a\" }",
        "boot.db within reference.command-lines",
        "boot.secure-boot in boot.secure-boot",
        "every x in agent.version: true",
        "agent.version is empty",
        "count(agent.version) == 1",
    ];
    for requirement in mismatches {
        assert_eq!(fault_of(requirement).0, FaultKind::TypeMismatch, "{requirement}");
    }
}

#[test]
fn loops_keep_their_names_apart() {
    let twice = "every x in boot.images: some x in boot.images: true";
    assert_eq!(fault_of(twice).0, FaultKind::Duplicate);
    assert_eq!(fault_of("every not in boot.images: true").0, FaultKind::Unexpected);
    assert_eq!(fault_of("every a.b in boot.images: true").0, FaultKind::Unexpected);
    let outside = "(every x in boot.images: true) and x.event == 1";
    assert_eq!(fault_of(outside).0, FaultKind::UnknownClaim);
    let scalar = "every x in boot.db: x.event == 1";
    assert_eq!(fault_of(scalar).0, FaultKind::UnknownField);
}

#[test]
fn limits_hold() {
    let deep = |depth| alloc::format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(requiring(&deep(Limits::DEPTH - 1)).is_ok());
    assert_eq!(fault_of(&deep(Limits::DEPTH)).0, FaultKind::TooLarge);
    assert!(requiring(&deep(50_000)).is_err());
    assert!(requiring(&"not ".repeat(50_000)).is_err());
    assert!(requiring(&alloc::format!("true{}", " and true".repeat(20_000))).is_ok());

    let four = "every a in boot.images: every b in boot.images: every c in boot.images: \
                every d in boot.images: true";
    assert_eq!(fault_of(four).0, FaultKind::TooLarge);

    let long = alloc::format!("{GATEWAY}{}", "#".repeat(Limits::TEXT));
    assert!(faults(&long)[0].contains("keep it within 262144"));

    let control = "control c { dimension hardware severity warning because \"b\" require true }\n";
    let many = alloc::format!("policy \"p\" version 1 {{{}}}", control.repeat(600));
    assert_eq!(faults(&many).len(), Limits::FAULTS);

    let loud = alloc::format!("policy \"p\" version 1 {{ {} }}", "$".repeat(9_000));
    assert_eq!(faults(&loud).len(), Limits::FAULTS);
}

#[test]
fn a_policy_has_a_name_a_version_and_controls() {
    for (text, told) in [
        ("", "1:1: the end of the policy where `policy` should be"),
        ("policy p", "1:8: `p` where the policy's name should be"),
        ("policy \"p\" version 0 {}", "1:20: `0` where a version should be"),
        ("policy \"p\" version 1 {}", "1:24: a policy without controls"),
        ("policy \"p\" version 1 {} x", "1:25: `x` where the end of the policy should be"),
    ] {
        let faults = faults(text);
        assert!(faults.len() == 1 && faults[0].starts_with(told), "{faults:?}");
    }
}

#[test]
fn values_of_a_control_lie_in_their_tier() {
    let with = |clause: &str| {
        Policy::parse(
            &alloc::format!(
                "policy \"p\" version 1 {{ control c {{ dimension executables severity warning \
                 {clause} because \"b\" require true }} }}"
            ),
            &catalog(),
        )
    };
    let control =
        with("fails unrecognized-runtime passes approved-boot").unwrap().controls[0].clone();
    assert_eq!((control.fails().number(), control.passes().number()), (33, 3));
    assert_eq!(with("fails -40").unwrap().controls[0].fails().number(), -40);
    for bad in ["fails contraindicated-runtime", "passes 32", "fails 300", "passes approved-files"]
    {
        assert_eq!(with(bad).unwrap_err()[0].kind, FaultKind::UnknownWord, "{bad}");
    }
}

#[test]
fn the_worst_text_of_the_allowed_size_costs_little() {
    let names: String = (0..).map(|at| alloc::format!("and a{at} ")).take(20_000).collect();
    let worst = [
        "$".repeat(Limits::TEXT),
        alloc::format!("policy \"p\" version 1 {{ control c {{ require true {names} }} }}"),
        "control ".repeat(Limits::TEXT / 8),
        "{".repeat(Limits::TEXT),
    ];
    for text in worst {
        let start = std::time::Instant::now();
        assert!(Policy::parse(&text, &catalog()).unwrap_err().len() <= Limits::FAULTS);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }
}
