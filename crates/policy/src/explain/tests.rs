use super::*;
use crate::sample::{catalog, digest, gateway, good_device, requiring};
use crate::{ClaimSet, Version};

fn told(test: &str, claims: &ClaimSet) -> String {
    requiring(test).unwrap().evaluate(claims)[0].explanation()
}

#[test]
fn an_explanation_shows_what_was_found_and_what_was_wanted() {
    let mut device = good_device();
    device.insert("boot.secure-boot", false);
    device.insert("agent.version", Version::new(0, 0, 9));
    device.insert("boot.command-line", "quiet init=/bin/sh");
    let cases = [
        ("boot.secure-boot", "boot.secure-boot is false, wanted true"),
        ("boot.secure-boot == true", "boot.secure-boot is false, wanted true"),
        ("not element.kind == \"tpm2\"", "element.kind is \"tpm2\", which must not be"),
        ("agent.version >= 0.1.0", "agent.version is 0.0.9, wanted at least 0.1.0"),
        (
            "boot.command-line in reference.command-lines",
            "boot.command-line is \"quiet init=/bin/sh\", \
             not one of the 1 value in reference.command-lines",
        ),
        ("agent.version in [1.0, 2.0]", "agent.version is 0.0.9, not one of [1.0.0, 2.0.0]"),
        ("evidence.age <= 1s", "evidence.age is 2s, wanted at most 1s"),
        ("element.kind == \"tpm2\"", "element.kind is \"tpm2\""),
        ("evidence.age < 1m", "evidence.age is 2s, as wanted"),
        ("boot.images is empty", "boot.images is [{ event 17"),
        ("count(boot.images) == 3", "count(boot.images) is 2, wanted 3"),
        (
            "boot.secure-boot and evidence.age < 1s and element.kind == \"tpm2\"",
            "boot.secure-boot is false, wanted true, and evidence.age is 2s, wanted less than 1s",
        ),
    ];
    for (test, wanted) in cases {
        let words = told(test, &device);
        assert!(words.starts_with(wanted), "{test}: {words}");
    }
}

#[test]
fn a_missing_claim_is_named() {
    let none = ClaimSet::new();
    for test in ["boot.secure-boot", "not boot.secure-boot", "true == boot.secure-boot"] {
        assert_eq!(told(test, &none), "the evidence says nothing about boot.secure-boot");
    }
    let words = told("agent.version in [1.0.0]", &none);
    assert_eq!(words, "the evidence says nothing about agent.version");
}

#[test]
fn the_elements_at_fault_are_named_and_handed_out() {
    let mut device = good_device();
    device.insert("reference.boot-images", Value::set([digest(1)]));
    let policy = gateway();
    let outcomes = policy.evaluate(&device);
    let images = outcomes.iter().find(|outcome| outcome.name() == "boot-images").unwrap();
    let words = images.explanation();
    assert!(words.starts_with("1 of 2 in boot.images: { event 21, digest sha256:0202"), "{words}");
    assert!(words.ends_with("not one of the 1 value in reference.boot-images"), "{words}");
    let events: Vec<_> =
        images.offenders().iter().filter_map(|v| v.field("event")?.as_integer()).collect();
    assert_eq!(events, [21]);
}

#[test]
fn a_stranger_in_a_list_is_named() {
    let mut device = good_device();
    device.insert("boot.db", Value::list([digest(2), digest(7)]));
    let policy = requiring("every boot.db in reference.db").unwrap();
    let outcome = policy.evaluate(&device)[0];
    let words = outcome.explanation();
    assert!(words.starts_with("1 of 2 in boot.db: sha256:0707"), "{words}");
    assert!(words.ends_with("not among the 1 value in reference.db"), "{words}");
    assert_eq!(outcome.offenders(), [&digest(7)]);
}

#[test]
fn a_long_list_of_faults_is_cut() {
    let mut device = good_device();
    device.insert("reference.files", Value::set([digest(0)]));
    let policy = requiring("every file in ima.entries: file.digest in reference.files").unwrap();
    let outcome = policy.evaluate(&device)[0];
    let words = outcome.explanation();
    assert!(words.starts_with("39 of 40 in ima.entries: "), "{words}");
    assert!(words.ends_with("; and 36 more"), "{words}");
    assert_eq!(outcome.offenders().len(), OFFENDERS);
}

#[test]
fn text_of_the_device_is_escaped_and_cut() {
    let mut device = good_device();
    device.insert("boot.command-line", alloc::format!("\u{1b}[31m{}", "x".repeat(4_000)));
    let words = told("boot.command-line == \"quiet\"", &device);
    assert!(words.contains("\\u{1b}[31mxx") && words.len() < 400, "{words}");
}

#[test]
fn a_control_reads_as_a_sentence() {
    let policy = gateway();
    let sentence = |name| policy.control(name).unwrap().describe(&catalog());
    assert_eq!(
        sentence("boot-images"),
        "`boot.images` (images measured into PCR 4) is not empty; and for every image in \
         `boot.images`, `image.digest` is one of \
         `reference.boot-images` (released values); and `boot.contradictions` (events not to be \
         believed) is empty"
    );
    assert_eq!(
        sentence("fresh-evidence"),
        "`evidence.age` (time since the evidence was made) is at most 1m"
    );
    let control = policy.control("secure-boot-keys").unwrap();
    assert_eq!(control.claims().len(), 6);
    assert_eq!(control.claims()[..2], ["boot.pk", "reference.pk"]);
}
