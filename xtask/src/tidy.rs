//! The rules that no compiler checks: which room may depend on which, where `unsafe` may stand,
//! who may vouch for a `Verified`, where rustls may be named, and that every audit code is told.

mod codes;

use crate::run::root;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A layer of the house, lowest first. A room depends on rooms of lower layers, and on those of its
/// own layer that its entry in [`SIBLINGS`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Base,
    Certs,
    Net,
    Trust,
    Drive,
    Program,
    Rig,
}

const ROOMS: &[(&str, Layer)] = &[
    ("wire", Layer::Base),
    ("engine", Layer::Base),
    ("crypto", Layer::Base),
    ("crypto-awslc", Layer::Base),
    ("crypto-soft", Layer::Base),
    ("settings", Layer::Base),
    ("certs", Layer::Certs),
    ("cms", Layer::Certs),
    ("attest", Layer::Net),
    ("relp", Layer::Net),
    ("tls", Layer::Net),
    ("httpauth", Layer::Net),
    ("enroll", Layer::Trust),
    ("update", Layer::Trust),
    ("tpm2", Layer::Trust),
    ("element", Layer::Trust),
    ("element-software", Layer::Trust),
    ("element-tpm2", Layer::Trust),
    ("element-pkcs11", Layer::Trust),
    ("measure", Layer::Trust),
    ("evidence", Layer::Trust),
    ("policy", Layer::Trust),
    ("appraise", Layer::Trust),
    ("audit", Layer::Trust),
    ("drive", Layer::Drive),
    ("agent", Layer::Program),
    ("fleet", Layer::Program),
    ("checkpoint", Layer::Program),
    ("touchstone", Layer::Program),
    ("sim", Layer::Rig),
    ("size", Layer::Rig),
    ("system", Layer::Rig),
    ("peers", Layer::Rig),
];

/// Arrows inside a layer.
const SIBLINGS: &[(&str, &[&str])] = &[
    ("crypto-awslc", &["crypto"]),
    ("crypto-soft", &["crypto"]),
    ("cms", &["certs"]),
    ("element-software", &["element"]),
    ("element-tpm2", &["element", "tpm2"]),
    ("element-pkcs11", &["element"]),
    ("evidence", &["measure"]),
    ("appraise", &["measure", "evidence", "policy"]),
];

/// Arrows that would point down and still are not wanted: a protocol asks, it does not judge; and
/// the policy reads claims and no bytes.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("policy", &["wire", "measure", "evidence", "certs", "cms"]),
    ("evidence", &["element", "element-software", "element-tpm2", "policy"]),
    ("measure", &["evidence", "policy"]),
    ("attest", &["crypto-awslc", "certs"]),
];

/// Arrows that point up, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("element-tpm2", "crypto-awslc", "the provider that it hands to the TPM's conversation")];

/// Rooms whose code may contain `unsafe` everywhere: none yet.
const UNSAFE_ROOMS: &[&str] = &[];

/// The one module of a room that may contain `unsafe`, because the kernel leaves no other way; the
/// room's head denies it for all others.
const UNSAFE_MODULES: &[(&str, &str)] = &[("agent", "collect/kernel.rs")];

/// Rooms that need no operating system: `no_std`, with `alloc` at the most.
const WITHOUT_STD: &[&str] = &[
    "wire",
    "engine",
    "crypto",
    "crypto-soft",
    "certs",
    "cms",
    "attest",
    "relp",
    "tpm2",
    "measure",
    "evidence",
    "policy",
    "appraise",
];

/// Rooms that may state that something was verified.
const VOUCHERS: &[&str] = &["crypto", "certs", "cms", "update", "evidence", "appraise", "enroll"];

pub(crate) fn tidy() -> Result<()> {
    let mut faults = Vec::new();
    let packages = packages()?;
    for package in &packages {
        arrows(package, &mut faults);
        sources(package, &mut faults)?;
    }
    for (room, _) in ROOMS {
        if !packages.iter().any(|package| package.room == *room) {
            faults.push(format!("tidy's table names the room `{room}`, which is not built"));
        }
    }
    codes::codes(&mut faults)?;
    if faults.is_empty() {
        println!("tidy: {} rooms, every arrow points down", packages.len());
        return Ok(());
    }
    for fault in &faults {
        eprintln!("tidy: {fault}");
    }
    bail!("{} rules of the house are broken", faults.len())
}

struct Package {
    room: String,
    folder: PathBuf,
    dependencies: Vec<String>,
}

/// The workspace's own packages, without xtask and without dev-dependencies.
fn packages() -> Result<Vec<Package>> {
    let output = std::process::Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["metadata", "--format-version=1", "--no-deps", "--locked"])
        .current_dir(root())
        .output()
        .context("cannot start cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut packages = Vec::new();
    for package in metadata.get("packages").and_then(Value::as_array).into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        if name == "xtask" {
            continue;
        }
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        packages.push(Package {
            room: room(name),
            folder: Path::new(manifest).parent().unwrap_or(root()).to_owned(),
            dependencies: dependencies
                .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
                .filter_map(|dependency| dependency["name"].as_str())
                .map(str::to_owned)
                .collect(),
        });
    }
    Ok(packages)
}

fn room(package: &str) -> String {
    package.strip_prefix("touchstone-").unwrap_or(package).to_owned()
}

fn arrows(package: &Package, faults: &mut Vec<String>) {
    let layers: BTreeMap<&str, Layer> = ROOMS.iter().copied().collect();
    let from = package.room.as_str();
    let Some(&layer) = layers.get(from) else {
        faults.push(format!("`{from}` has no layer; give it one in xtask/src/tidy.rs"));
        return;
    };
    for dependency in &package.dependencies {
        if dependency == "rustls" && from != "tls" {
            faults
                .push(format!("`{from}` uses rustls; only `tls` may, so that it can be replaced"));
        }
        let to = room(dependency);
        let Some(&target) = layers.get(to.as_str()).filter(|_| to != *dependency) else {
            continue;
        };
        let listed = |table: &[(&str, &[&str])]| {
            table.iter().any(|(room, rooms)| *room == from && rooms.contains(&to.as_str()))
        };
        let excepted = EXCEPTIONS.iter().any(|(up, down, _)| *up == from && *down == to);
        let down = target < layer && !(layer == Layer::Trust && target == Layer::Net);
        if (!down && !listed(SIBLINGS) && !excepted) || listed(FORBIDDEN) {
            faults.push(format!(
                "the arrow `{from}` ({layer:?}) -> `{to}` ({target:?}) is not allowed; \
                 siblings meet in `drive` or in a program (HOUSE: Arrows)"
            ));
        }
    }
}

fn sources(package: &Package, faults: &mut Vec<String>) -> Result<()> {
    let source = package.folder.join("src");
    let heads: Vec<PathBuf> = ["lib.rs", "main.rs"]
        .iter()
        .map(|head| source.join(head))
        .filter(|head| head.exists())
        .collect();
    for head in &heads {
        let text = fs::read_to_string(head)?;
        let may = UNSAFE_ROOMS.contains(&package.room.as_str());
        let module = UNSAFE_MODULES.iter().any(|(room, _)| *room == package.room);
        let denies = module && head.ends_with("lib.rs") && text.contains("#![deny(unsafe_code)]");
        if !may && !denies && !text.contains("#![forbid(unsafe_code)]") {
            faults.push(format!("{} does not forbid unsafe code", head.display()));
        }
        let without_std = WITHOUT_STD.contains(&package.room.as_str());
        if without_std && !text.contains("#![no_std]") && !text.contains("no_std)]") {
            faults.push(format!("{} is not no_std, as tidy's table wants it", head.display()));
        }
        if !text.starts_with("//!") {
            faults.push(format!("{} does not open by saying what it is", head.display()));
        }
    }
    for file in rust_files(&source)? {
        let text = fs::read_to_string(&file)?;
        let shown = file.strip_prefix(root()).unwrap_or(&file).display();
        let lines = text.lines().count();
        if lines > 1000 {
            faults.push(format!("{shown} has {lines} lines; make two of it"));
        }
        let module = UNSAFE_MODULES
            .iter()
            .any(|(room, module)| *room == package.room && file == source.join(module));
        if !module && text.contains(concat!("allow", "(unsafe_code")) {
            faults.push(format!("{shown} allows unsafe code; only listed modules may"));
        }
        let body = text.split("#[cfg(test)]").next().unwrap_or_default();
        if body.contains("Verified::vouch(") && !VOUCHERS.contains(&package.room.as_str()) {
            faults
                .push(format!("{shown} vouches for a Verified; only {} may", VOUCHERS.join(", ")));
        }
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// What `cargo xtask check` says of itself when the table above is wrong must be tested too.
#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(room: &str, dependencies: &[&str]) -> Vec<String> {
        let package = Package {
            room: room.into(),
            folder: PathBuf::new(),
            dependencies: dependencies.iter().map(ToString::to_string).collect(),
        };
        let mut faults = Vec::new();
        arrows(&package, &mut faults);
        faults
    }

    #[test]
    fn an_arrow_that_points_down_is_allowed() {
        assert!(faults_of("appraise", &["touchstone-evidence", "touchstone-crypto"]).is_empty());
        assert!(faults_of("agent", &["touchstone-drive", "tokio"]).is_empty());
    }

    #[test]
    fn an_arrow_that_points_up_or_sideways_is_a_fault() {
        for (from, to) in [
            ("crypto", "touchstone-certs"),
            ("tls", "touchstone-appraise"),
            ("tls", "touchstone-element"),
            ("evidence", "touchstone-element"),
            ("policy", "touchstone-measure"),
            ("measure", "touchstone-tls"),
            ("fleet", "touchstone-agent"),
            ("fleet", "rustls"),
            ("attest", "touchstone-tls"),
        ] {
            assert_eq!(faults_of(from, &[to]).len(), 1, "{from} -> {to}");
        }
    }

    #[test]
    fn a_room_without_a_layer_is_a_fault() {
        assert!(faults_of("attic", &[])[0].contains("has no layer"));
    }

    #[test]
    fn this_workspace_is_tidy() {
        tidy().unwrap();
    }
}
