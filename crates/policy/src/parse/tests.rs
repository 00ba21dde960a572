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
    assert_eq!(Policy::parse(&crate::format(GATEWAY).unwrap(), &catalog()), Ok(policy));
}

#[test]
fn a_mistyped_claim_is_told_with_its_place_and_the_right_name() {
    let text = GATEWAY.replace("boot.secure-boot\n", "boot.securebot\n");
    assert_eq!(
        faults(&text),
        ["28:12: no claim named `boot.securebot`; did you mean `boot.secure-boot`?"]
    );
}

#[test]
fn several_faults_are_told_at_once() {
    let text = r#"policy p version 1 schema 1
control a {
  severity  bad
  becuase   "b"
  require   boot.secure-boot == 3
  else      executable warning
  do        alret, quarantine, alert
}
control a {
  title     "t"
  severity  low
  else      configuration 96
  require   every image in boot.images: image.dijest in reference.boot-images
  require   agent.version >=
}
control b {
  title     "t"
  severity  low
  else      configuration none
  require   boot.secure-boot
}
control c { }
exception e { for control-c by "" until 2026-01-01 }
"#;
    assert_eq!(
        faults(text),
        [
            "3:13: `bad` is not a severity; write one of low, medium, high, critical",
            "4:3: `becuase` where a clause should be; did you mean `because`?",
            "5:33: a boolean is compared with an integer; write values of one type; `touchstone \
             policy claims` lists the claims with theirs",
            "6:13: `executable` is not a dimension; did you mean `executables`?",
            "7:13: `alret` is not a countermeasure; did you mean `alert`?",
            "7:32: `alert` (observe) comes after `quarantine` (contain); put the milder one first: \
             observe, contain, recover, revoke",
            "13:41: `image` has no field `dijest`; did you mean `image.digest`?",
            "15:1: `}` where a value should be; write a claim, a variable or a literal",
            "19:27: `none` is not a value of configuration that is warning or contraindicated; \
             known are warning, contraindicated, unsafe-config, unavailable-config, \
             unsupportable-config",
            "22:9: control `c` has no `title`; add what it asks for in a few words, as in `title \
             \"Secure Boot is on\"`",
            "22:9: control `c` has no `severity`; add `severity low`, `medium`, `high` or \
             `critical`",
            "22:9: control `c` has no `require`; add what must hold, as in `require \
             boot.secure-boot`",
            "22:9: control `c` has no `else`; add what follows if it is not met, as in `else \
             configuration contraindicated`",
            "23:11: exception `e` has no `because`; add the reason, as in `because \"..\"`",
            "23:19: no control named `control-c`; name a control of this policy or of one of its \
             bases",
            "23:32: who gives leave is empty; write it in words",
        ]
    );
}

#[test]
fn a_fault_is_as_long_as_its_word() {
    let text = "policy p version 1 schema 1\ncontrol c { requre boot.db }";
    let fault = Policy::parse(text, &catalog()).unwrap_err().swap_remove(0);
    let shown = fault.excerpt(text);
    assert_eq!(shown, "  2 | control c { requre boot.db }\n    |             ^^^^^^");
}

#[test]
fn a_lost_brace_does_not_hide_the_next_control() {
    let text = GATEWAY.replacen("\n}\n", "\n", 1).replace("evidence.age", "evidence.aged");
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
        "evidence.age in [3]",
        "agent.version in [1.0.0, \"a\"]",
        "every boot.db in reference.command-lines",
        "boot.secure-boot in boot.secure-boot",
        "every x in agent.version: true",
        "agent.version is empty",
        "count(agent.version) == 1",
        "boot.secure-boot + 3d == now",
        "device.certificate == device.certificate",
        "device.sensors == 3",
        "boot.db[\"a\"] == 3",
        "longer(boot.command-line, \"3\")",
        "longer(boot.command-line)",
    ];
    for requirement in mismatches {
        assert_eq!(fault_of(requirement).0, FaultKind::TypeMismatch, "{requirement}");
    }
}

#[test]
fn loops_keep_their_names_apart() {
    let twice = "every x in boot.images: some x in boot.images: true";
    assert_eq!(fault_of(twice).0, FaultKind::Shadowed);
    assert_eq!(fault_of("every title in boot.images: true").0, FaultKind::Unexpected);
    assert_eq!(fault_of("every a.b in boot.images: true").0, FaultKind::Unexpected);
    let outside = "(every x in boot.images: true) and x.event == 1";
    assert_eq!(fault_of(outside).0, FaultKind::UnknownClaim);
    let scalar = "every x in boot.db: x.event == 1";
    assert_eq!(fault_of(scalar).0, FaultKind::UnknownField);
}

#[test]
fn limits_hold() {
    let deep = |depth| alloc::format!("{}boot.secure-boot{}", "(".repeat(depth), ")".repeat(depth));
    assert!(requiring(&deep(Limits::DEPTH - 1)).is_ok());
    assert_eq!(fault_of(&deep(Limits::DEPTH)).0, FaultKind::TooLarge);
    assert!(requiring(&deep(50_000)).is_err());
    assert!(requiring(&"not ".repeat(50_000)).is_err());
    assert!(requiring(&alloc::format!("boot.secure-boot{}", " and true".repeat(20_000))).is_ok());

    let five = "every a in boot.images: every b in boot.images: every c in boot.images: \
                every d in boot.images: every boot.db in reference.db";
    assert_eq!(fault_of(five).0, FaultKind::TooLarge);

    let long = alloc::format!("{GATEWAY}{}", "#".repeat(Limits::TEXT));
    assert!(faults(&long)[0].contains("keep it within 262144"));

    let control = |at| {
        alloc::format!(
            "control c{at} {{ title \"t\" severity low require boot.secure-boot else hardware 32 }}\n"
        )
    };
    let many: String = (0..600).map(control).collect();
    let many = faults(&alloc::format!("policy p version 1 schema 1 {many}"));
    assert!(many[0].contains("more than 512 controls") && many.len() == Limits::FAULTS);

    let loud = alloc::format!("policy p version 1 schema 1 {}", "$".repeat(9_000));
    assert_eq!(faults(&loud).len(), Limits::FAULTS);
}

#[test]
fn a_policy_has_a_name_a_version_a_schema_and_controls() {
    for (text, told) in [
        ("", "1:1: the end of the policy where `policy` should be"),
        ("policy \"p\"", "1:8: `\"p\"` where the policy's name should be"),
        ("policy p version 0", "1:18: `0` where a version should be"),
        ("policy p version 1 {}", "1:20: `{` where `schema` should be; write `schema 1`"),
        ("policy p version 1 schema 1", "1:28: a policy without controls"),
        ("policy p version 1 schema 1 controll c {}", "1:29: `controll` where an item should be"),
    ] {
        let faults = faults(text);
        assert!(faults.len() == 1 && faults[0].starts_with(told), "{faults:?}");
    }
    let newer = GATEWAY.replace("schema 1", "schema 3");
    let faults = faults(&newer);
    assert!(faults[0].contains("the policy is for schema 3, the claims have 1"), "{faults:?}");
}

#[test]
fn values_of_a_control_lie_in_their_tier() {
    let with = |clause: &str| {
        Policy::parse(
            &alloc::format!(
                "policy p version 1 schema 1 control c {{ title \"t\" severity low {clause} \
                 require boot.secure-boot }}"
            ),
            &catalog(),
        )
    };
    let read = |clause: &str| with(clause).unwrap().controls[0].clone();
    let control = read("else executables unrecognized-runtime then approved-boot");
    assert_eq!((control.fails().number(), control.passes().number()), (33, 3));
    assert_eq!(read("else executables -40").fails().number(), -40);
    assert_eq!(read("else instance-identity warning").fails().number(), -33);
    for bad in [
        "else executables approved-boot",
        "else executables 300",
        "else executables unsafe-config",
        "then approved-files else executables warning",
        "then warning else executables warning",
    ] {
        assert_eq!(with(bad).unwrap_err()[0].kind, FaultKind::UnknownWord, "{bad}");
    }
}

#[test]
fn the_worst_text_of_the_allowed_size_costs_little() {
    let names: String = (0..).map(|at| alloc::format!("and a{at} ")).take(20_000).collect();
    let worst = [
        "$".repeat(Limits::TEXT),
        alloc::format!("policy p version 1 schema 1 control c {{ require true {names} }}"),
        "control ".repeat(Limits::TEXT / 8),
        "{".repeat(Limits::TEXT),
    ];
    for text in worst {
        let start = std::time::Instant::now();
        assert!(Policy::parse(&text, &catalog()).unwrap_err().len() <= Limits::FAULTS);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }
}

#[test]
fn a_later_policy_says_that_it_overrides_and_why() {
    let site = |items: &str| {
        alloc::format!("{GATEWAY}policy site version 4 schema 1 extends gateway version 1\n{items}")
    };
    let text = site(
        "override control secure-boot { because \"a lab\" severity low else configuration warning }\n\
         override control code-pages { because \"slow\" fresh 5m do alert }\n\
         override reference recalled-agents [0.1.7] because \"ours is patched\"\n\
         remove control agent-version because \"no agent here\"\n\
         control own { title \"t\" severity low require ima.violations == 0 else hardware warning }",
    );
    // The removed control is the only one that reads the reference, which still counts as used.
    let policy = Policy::parse(&text, &catalog()).unwrap();
    assert_eq!((policy.name(), policy.version(), policy.layers().len()), ("site", 4, 2));
    let control = policy.control("secure-boot").unwrap();
    assert_eq!(
        (control.severity(), control.tier()),
        (crate::Severity::Low, crate::ar4si::Tier::Warning)
    );
    assert_eq!((control.layer(), control.overrides().len()), ("gateway", 1));
    let change = &control.overrides()[0];
    assert_eq!((change.layer.as_str(), change.because.as_str()), ("site", "a lab"));
    assert_eq!(change.before, ["severity high", "else configuration contraindicated"]);
    let pages = policy.control("code-pages").unwrap();
    assert_eq!(pages.requires.len(), 2, "what is not written stays");
    assert_eq!(pages.overrides()[0].before[0], "fresh 1m");
    assert_eq!(policy.removed()[0].control.name(), "agent-version");
    assert_eq!(policy.references()[0].overrides[0].because, "ours is patched");
    assert_eq!(policy.control("own").unwrap().layer(), "site");
    assert_eq!(policy.controls().len(), 11);

    for (items, told) in [
        ("control secure-boot { }", "or write `override control` to change the base's"),
        ("override control secure-boot { severity low }", "has no `because`"),
        ("override control secure-boot { because \"x\" }", "changes nothing"),
        ("override control secureboot { because \"x\" fresh 1s }", "mean `secure-boot`?"),
        ("remove control watched-program because \"x\"", "did you mean `watched-programs`?"),
        ("reference recalled-agents [1.0]", "write `override reference`"),
        ("override reference recalled-agents [\"a\"] because \"x\"", "values of type version"),
        ("override reference other [1] because \"x\"", "no reference named `other`"),
        (
            "override control agent-version { because \"x\" require agent.version > 2 and \
          agent.version < 1 }",
            "can never pass",
        ),
    ] {
        let faults = faults(&site(items));
        assert!(faults.iter().any(|fault| fault.contains(told)), "{items}: {faults:?}");
    }
    let orphan = "policy site version 1 schema 1 extends base version 1\n";
    assert!(faults(orphan)[0].contains("`base` that this one extends is not here"));
    let other = site("").replace("extends gateway version 1", "extends gateway version 2");
    assert!(faults(&other)[0].contains("`gateway` is there in version 1, not 2"));
    let loose = site("").replace("extends gateway version 1", "");
    assert!(faults(&loose)[0].contains("write `extends gateway version 1`"));
}

#[test]
fn references_are_used_and_hide_nothing() {
    let with = |items: &str| faults(&alloc::format!("{GATEWAY}{items}"));
    assert!(with("reference more [1]")[0].contains("no condition reads `ref.more`"));
    let hides = "reference db [1] control x { title \"t\" severity low else hardware 32 \
                 require every boot.db in reference.db }";
    assert!(with(hides)[0].contains("no condition reads `ref.db`"), "{:?}", with(hides));
    let (all, told) = (with(hides), "`reference.db` is a claim, and another set");
    assert!(all[0].contains(told), "{all:?}");
    assert!(with("reference more []")[0].contains("nothing is in an empty set"));
    assert!(with("reference more [1, \"a\"]")[1].contains("a text among values of type integer"));
    let control = "control x { title \"t\" severity low else hardware 32 require element.kind in \
                   ref.pk }";
    assert!(with(control)[0].contains("did you mean `reference.pk`?"), "{:?}", with(control));
}

#[test]
fn tests_of_a_policy_are_run_and_tell_what_was_not_met() {
    let results = gateway().run_tests();
    assert!(results.len() == 3 && results.iter().all(|r| r.unmet.is_empty()), "{results:?}");
    let wrong = GATEWAY
        .replace("expect   watched-programs unknown", "expect   watched-programs passes")
        .replace("expect   tier contraindicated", "expect   tier affirming");
    let results = Policy::parse(&wrong, &catalog()).unwrap().run_tests();
    let unmet: Vec<_> = results.iter().flat_map(|result| &result.unmet).collect();
    assert_eq!((unmet[0].of.as_str(), unmet[0].found), ("watched-programs", "unknown"));
    assert!(unmet[0].why.contains("is 1h old, wanted at most 1m"), "{}", unmet[0].why);
    assert_eq!((unmet[1].expected, unmet[1].found), ("affirming", "contraindicated"));
    for (from, to, told) in [
        ("agent.version = 0.1.8", "agent.version = true", "this is not a version"),
        ("{ path \"/usr/bin/app\", pid 212 }", "{ pth \"a\" }", "did you mean `path`?"),
        ("given    agent.version", "given    agent.verison", "did you mean `agent.version`?"),
        ("expect   agent-version fails", "expect   agent-versions fails", "`agent-version`?"),
        ("expect   agent-version fails", "expect   agent-version fail", "did you mean `fails`?"),
    ] {
        let faults = faults(&GATEWAY.replace(from, to));
        assert!(faults[0].contains(told), "{faults:?}");
    }
}

#[test]
fn a_base_that_ends_in_mid_sentence_is_told_at_its_end() {
    let site = "policy site version 1 schema 1 extends p version 1\n";
    for (base, wanted) in [
        ("control a {\n  title \"t\"", "3:9: the end of the policy where `}` should be"),
        ("control a {\n  require boot.secure-boot ==", "3:28: the end of the policy where"),
        ("control a {\n  require not", "3:11: the end of the policy where"),
        ("control", "2:1: the end of the policy where"),
        ("reference keys [", "2:16: the end of the policy where"),
        ("", "1:27: a policy without controls"),
    ] {
        let told = faults(&alloc::format!("policy p version 1 schema 1\n{base}\n{site}"));
        assert!(told[0].starts_with(wanted), "{base}: {told:?}");
        assert!(told.iter().all(|fault| fault.as_bytes()[0] < b'4'), "{base}: {told:?}");
    }
}

/// As a policy declares it, beside a claim of the same name.
#[test]
fn a_declared_reference_has_a_name_of_its_own() {
    let catalog = Catalog::new()
        .with_schema(3)
        .with("runtime.modified_pages", Type::Integer, "pages that differ from their files")
        .with("runtime.publishers", Type::list(Type::Text), "who signed what runs")
        .with("reference.publishers", Type::set(Type::Text), "whose signatures count");
    let text = r#"policy linux-gateway version 7 schema 3
reference publishers ["CN=Acme Firmware 2026"]
control RT-01 {
  title    "Running code pages equal the publisher-signed file"
  severity critical
  maps     "IEC62443-4-2:CR3.4", "NIST800-53:SI-7(1)"
  fresh    30s
  require  runtime.modified_pages == 0 and every runtime.publishers in ref.publishers
  else     executables contraindicated
  do       alert, quarantine, stop-unit
}
test "patched process" { given runtime.modified_pages = 2  expect RT-01 fails }
test "signed by another" {
  given    runtime.modified_pages = 0
  given    runtime.publishers = ["CN=Another"]
  given    reference.publishers = ["CN=Another"]
  expect   RT-01 fails
}
test "as published" {
  given    runtime.modified_pages = 0
  given    runtime.publishers = ["CN=Acme Firmware 2026"]
  expect   RT-01 passes
}
"#;
    for text in [text.to_string(), text.replace("ref.pub", "reference.pub")] {
        let own = text.contains("ref.pub");
        match Policy::parse(&text, &catalog) {
            Ok(policy) => {
                assert!(own);
                let results = policy.run_tests();
                assert_eq!(results.len(), 3);
                assert!(results.iter().all(|result| result.unmet.is_empty()), "{results:?}");
            }
            Err(faults) => assert!(!own, "{faults:?}"),
        }
    }
}
