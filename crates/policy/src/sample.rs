//! The catalogue and the device that the tests of this crate judge.

use crate::{Catalog, ClaimSet, Policy, Type, Value, Version};
use alloc::vec::Vec;
use core::time::Duration;
use touchstone_crypto::{Digest, HashAlgorithm};

pub(crate) const GATEWAY: &str = include_str!("../examples/gateway.policy");

pub(crate) fn catalog() -> Catalog {
    use Type::{Boolean, Digest, Duration, Integer, Text, Version};
    let image = Type::record([("event", Integer), ("digest", Digest), ("name", Text)]);
    let file = Type::record([("index", Integer), ("digest", Digest), ("path", Text)]);
    let page = Type::record([
        ("path", Text),
        ("pid", Integer),
        ("offset", Integer),
        ("digest", Digest),
        ("expected", Digest),
    ]);
    let part = Type::record([("name", Text), ("version", Integer)]);
    let mut catalog = Catalog::new()
        .with("device.endorsed", Boolean, "its element is genuine")
        .with("device.onboarded", Boolean, "the device was onboarded")
        .with("element.kind", Text, "the kind of secure element")
        .with("device.certificate", Type::certificate(), "its certificate")
        .with("device.sensors", Type::map(Integer), "readings by name")
        .with_function("longer", &[Text, Integer], Boolean, "whether a text is longer", longer)
        .with("evidence.age", Duration, "time since the evidence was made")
        .with("boot.secure-boot", Boolean, "UEFI Secure Boot is on")
        .with("boot.images", Type::list(image.clone()), "images measured into PCR 4")
        .with("boot.command-line", Text, "the kernel's command line")
        .with("ima.entries", Type::list(file.clone()), "files that IMA measured")
        .with("ima.violations", Integer, "files that changed while IMA read them")
        .with("ima.boot-aggregate", Boolean, "the IMA list belongs to this boot")
        .with("runtime.code", Type::list(page.clone()), "code of watched processes in memory")
        .with("runtime.changed-code", Type::list(page.clone()), "code that differs from its file")
        .with("runtime.foreign-code", Type::list(page), "code that no file backs")
        .with("runtime.missing", Type::list(Text), "watched programs that do not run")
        .with("boot.contradictions", Type::list(image), "events not to be believed")
        .with("ima.unknown-files", Type::list(file), "files that no reference names")
        .with("components.outdated", Type::list(part.clone()), "components older than the newest")
        .with("agent.version", Version, "the version of the agent")
        .with("components", Type::list(part), "what is installed")
        .with("reference.command-lines", Type::set(Text), "released command lines");
    for name in ["boot.pk", "boot.kek", "boot.db"] {
        catalog = catalog.with(name, Type::list(Digest), "certificates of Secure Boot");
    }
    for name in ["pk", "kek", "db", "boot-images", "files"] {
        let name = alloc::format!("reference.{name}");
        catalog = catalog.with(&name, Type::set(Digest), "released values");
    }
    catalog
}

fn longer(values: &[&Value]) -> Option<Value> {
    let [Value::Text(text), Value::Integer(most)] = values else { return None };
    Some((i64::try_from(text.len()).ok()? > *most).into())
}

pub(crate) fn digest(octet: u8) -> Value {
    Digest::new(HashAlgorithm::Sha256, &[octet; 32]).unwrap().into()
}

/// A device that meets every control of the example.
pub(crate) fn good_device() -> ClaimSet {
    let image = |event: i64, octet| {
        Value::record([
            ("event", event.into()),
            ("digest", digest(octet)),
            ("name", "uki.efi".into()),
        ])
    };
    let page = Value::record([
        ("path", "/usr/bin/app".into()),
        ("pid", 212.into()),
        ("offset", 4096.into()),
        ("digest", digest(9)),
        ("expected", digest(9)),
    ]);
    let file = |octet| {
        Value::record([
            ("index", i64::from(octet).into()),
            ("digest", digest(octet)),
            ("path", "/usr/bin/app".into()),
        ])
    };
    let component = Value::record([("name", "application".into()), ("version", 2.into())]);
    let mut claims = ClaimSet::from_iter([
        ("device.onboarded", Value::from(true)),
        ("device.endorsed", true.into()),
        ("ima.boot-aggregate", true.into()),
        ("element.kind", "tpm2".into()),
        ("evidence.age", Duration::from_secs(2).into()),
        ("boot.secure-boot", true.into()),
        ("boot.images", Value::list([image(17, 1), image(21, 2)])),
        ("boot.command-line", "quiet ima_policy=tcb".into()),
        ("ima.entries", Value::list((0..40).map(file))),
        ("ima.violations", 0.into()),
        ("runtime.code", Value::list([page])),
        ("agent.version", Version::new(0, 1, 0).into()),
        ("components", Value::list([component])),
        ("reference.command-lines", Value::set(["quiet ima_policy=tcb".into()])),
        ("reference.boot-images", Value::set([digest(1), digest(2)])),
        ("reference.files", Value::set((0..=50).map(digest))),
    ]);
    for name in [
        "boot.contradictions",
        "ima.unknown-files",
        "runtime.changed-code",
        "runtime.foreign-code",
        "runtime.missing",
        "components.outdated",
    ] {
        claims.insert(name, Value::list([]));
    }
    for (at, name) in ["pk", "kek", "db"].into_iter().enumerate() {
        let cert = digest(u8::try_from(at).unwrap());
        claims.insert(&alloc::format!("boot.{name}"), Value::list([cert.clone()]));
        claims.insert(&alloc::format!("reference.{name}"), Value::set([cert]));
    }
    claims.aged(Duration::from_secs(2))
}

pub(crate) fn gateway() -> Policy {
    Policy::parse(GATEWAY, &catalog()).unwrap()
}

/// A policy of one control that requires `test`.
pub(crate) fn requiring(requirement: &str) -> Result<Policy, Vec<crate::Fault>> {
    let text = alloc::format!(
        "policy p version 1 schema 1 control c {{ title \"t\" severity low \
         require {requirement} else executables warning }}"
    );
    Policy::parse(&text, &catalog())
}
