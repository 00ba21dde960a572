//! The claims that a policy may judge, by name. What each holds is made in `facts`.

use touchstone_policy::{Catalog, Type};

/// The version of the claims: it rises when one changes its type or meaning, or goes.
pub const SCHEMA: u32 = 1;

/// The catalogue that policies are checked against.
pub fn catalog() -> Catalog {
    let device = device(Catalog::new().with_schema(SCHEMA));
    let measured = ima(boot(crate::facts::quote_catalog(device)));
    references(crate::facts::observed_catalog(runtime(measured)))
}

fn device(catalog: Catalog) -> Catalog {
    catalog
        .with("device.id", Type::Text, "the device's id in the fleet")
        .with("device.tenant", Type::Text, "whose device it is")
        .with("device.onboarded", Type::Boolean, "the device is onboarded and its key is known")
        .with("device.endorsed", Type::Boolean, "a trusted maker's certificate names its element")
        .with(
            "device.proofs",
            Type::list(Type::Text),
            "by what its maker vouches for its element: endorsement-key, iak",
        )
        .with("element.kind", Type::Text, "the kind of its secure element")
        .with("evidence.age", Type::Duration, "the time since the evidence was asked for")
        .with("agent.version", Type::Version, "the version of its agent")
        .with("components", component(), "what updates have installed")
        .with("components.outdated", component(), "components older than their newest release")
}

fn boot(catalog: Catalog) -> Catalog {
    let keys = || Type::list(Type::Digest);
    catalog
        .with("boot.secure-boot", Type::Boolean, "UEFI Secure Boot was on")
        .with("boot.pk", keys(), "fingerprints of the platform key (PK)")
        .with("boot.kek", keys(), "fingerprints of the key exchange keys (KEK)")
        .with("boot.db", keys(), "fingerprints of the keys that boot images are verified with (db)")
        .with("boot.authorities", keys(), "fingerprints of the keys that images were verified with")
        .with(
            "boot.dbx",
            keys(),
            "fingerprints of keys and digests of images that are revoked (dbx)",
        )
        .with("boot.missing-revocations", revocation(), "released revocations that dbx lacks")
        .with(
            "boot.shim-authorities",
            keys(),
            "keys of shim and its owner that images were verified with",
        )
        .with("boot.shim-variables", measured(), "shim's lists of keys (MOK) and its switches")
        .with(
            "boot.sbat",
            Type::map(Type::Integer),
            "the generation of each component below which shim starts none",
        )
        .with("boot.sbat-date", Type::Integer, "the date of shim's SBAT level: 2024010900")
        .with("boot.images", image(), "images that the firmware loaded")
        .with("boot.unknown-images", image(), "loaded images that no reference value names")
        .with("boot.command-line", Type::Text, "the kernel's command line")
        .with("boot.firmware", Type::Digest, "what the firmware measured of itself (PCR 0)")
        .with("boot.unknown-measurements", measurement(), "measured code that no reference names")
        .with("boot.outdated", finding("event"), "what booted and a newer version has superseded")
        .with("boot.unexpected-pcrs", pcr(), "registers whose value is not among the references")
        .with("boot.contradictions", finding("event"), "events that cannot be believed")
}

fn ima(catalog: Catalog) -> Catalog {
    catalog
        .with("ima.entries", file(), "files that IMA measured")
        .with("ima.files", signed_file(), "measured files with who signed them, if they are known")
        .with("ima.unknown-files", file(), "measured files known by no signature and no digest")
        .with("ima.outdated-files", file(), "measured files that a newer version has superseded")
        .with("ima.badly-signed", file(), "measured files with a signature that is not good")
        .with("ima.violations", Type::Integer, "files that changed while IMA measured them")
        .with("ima.boot-aggregate", Type::Boolean, "the IMA list belongs to this boot")
        .with("ima.unquoted", Type::Integer, "IMA entries that came after the quote")
}

fn runtime(catalog: Catalog) -> Catalog {
    catalog
        .with("runtime.code", code(), "code of watched processes as it is in memory")
        .with("runtime.changed-code", code(), "code in memory that differs from its file")
        .with("runtime.foreign-code", code(), "executable memory that no file backs")
        .with("runtime.watched", Type::list(Type::Text), "the executables that the agent watches")
        .with("runtime.missing", Type::list(Type::Text), "watched executables that do not run")
}

fn references(mut catalog: Catalog) -> Catalog {
    for (name, about) in [
        ("reference.pk", "platform keys that the references name"),
        ("reference.kek", "key exchange keys that the references name"),
        ("reference.db", "signature databases' keys that the references name"),
        ("reference.dbx", "revocations that the references name"),
        ("reference.boot-images", "boot images that were released"),
        ("reference.firmware", "firmware that was released"),
        ("reference.files", "files that were released"),
    ] {
        catalog = catalog.with(name, Type::set(Type::Digest), about);
    }
    let texts = || Type::set(Type::Text);
    catalog
        .with("reference.command-lines", texts(), "command lines that were released")
        .with("reference.publishers", texts(), "whose signatures make a file good")
        .with("reference.generators", texts(), "programs that may make code while they run (JIT)")
}

fn finding(index: &'static str) -> Type {
    Type::list(Type::record([(index, Type::Integer), ("why", Type::Text)]))
}

fn image() -> Type {
    Type::list(Type::record([
        ("event", Type::Integer),
        ("pcr", Type::Integer),
        ("type", Type::Text),
        ("digest", Type::Digest),
        ("name", Type::Text),
        ("why", Type::Text),
    ]))
}

fn revocation() -> Type {
    Type::list(Type::record([("digest", Type::Digest), ("why", Type::Text)]))
}

/// What was measured under a name.
fn measured() -> Type {
    Type::list(Type::record([
        ("event", Type::Integer),
        ("name", Type::Text),
        ("digest", Type::Digest),
        ("why", Type::Text),
    ]))
}

fn measurement() -> Type {
    Type::list(Type::record([
        ("event", Type::Integer),
        ("pcr", Type::Integer),
        ("type", Type::Text),
        ("digest", Type::Digest),
        ("why", Type::Text),
    ]))
}

fn file() -> Type {
    Type::list(Type::record([
        ("index", Type::Integer),
        ("digest", Type::Digest),
        ("path", Type::Text),
        ("why", Type::Text),
    ]))
}

fn signed_file() -> Type {
    Type::list(Type::record([
        ("index", Type::Integer),
        ("digest", Type::Digest),
        ("path", Type::Text),
        ("publisher", Type::Text),
        ("known", Type::Boolean),
        ("outdated", Type::Boolean),
        ("why", Type::Text),
    ]))
}

fn pcr() -> Type {
    Type::list(Type::record([
        ("pcr", Type::Integer),
        ("digest", Type::Digest),
        ("why", Type::Text),
    ]))
}

fn code() -> Type {
    Type::list(Type::record([
        ("process", Type::Text),
        ("pid", Type::Integer),
        ("path", Type::Text),
        ("offset", Type::Integer),
        ("digest", Type::Digest),
        ("expected", Type::Digest),
        ("why", Type::Text),
    ]))
}

fn component() -> Type {
    Type::list(Type::record([
        ("name", Type::Text),
        ("version", Type::Integer),
        ("why", Type::Text),
    ]))
}
