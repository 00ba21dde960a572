//! Prints what things cost, ours beside the raw cost of what lies beneath and beside the peer's, in
//! one run.

use crate::packages;
use crate::run::{Profile, Step, cargo, root, target_dir};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The verifier in Python that appraisals are shown beside, and what it imports and does not name.
const KEYLIME: [&str; 10] = [
    "keylime==7.14.3",
    "cryptography",
    "jinja2",
    "jsonschema",
    "lark",
    "packaging",
    "psutil",
    "pyasn1-modules",
    "pyyaml",
    "requests",
];

/// An environment of Python under `target/` with Keylime in it: its interpreter.
fn keylime() -> Result<PathBuf> {
    let environment = target_dir().join("keylime");
    let python = environment.join("bin/python");
    let marker = environment.join("installed");
    if !marker.is_file() {
        Step::new("python3").args(["-m", "venv"]).arg(&environment).run("python3 -m venv")?;
        let mut install = Step::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install.args(KEYLIME).run("installing Keylime from PyPI")?;
        std::fs::write(&marker, KEYLIME.join("\n"))?;
    }
    Ok(python)
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Everything
    All,
    /// Looking at running code, how soon a verdict follows, what hooks cost, the audit log, the agent's memory
    RunTime,
}

/// Where other people's files lie.
pub(crate) fn corpus() -> PathBuf {
    let beside = Path::new("../shared/corpus");
    std::env::var_os("TOUCHSTONE_CORPUS").map_or_else(|| root().join(beside), PathBuf::from)
}

pub(crate) fn bench(no_install: bool, peers: bool, part: Part) -> Result<()> {
    packages::require(packages::Use::Test, no_install)?;
    packages::require(packages::Use::Bench, no_install)?;
    let keylime = if peers { Some(keylime()?) } else { None };
    crate::build_programs(Profile::Release)?;
    if part == Part::All {
        let mut tpm = cargo("bench");
        tpm.args(["--quiet", "--locked", "--bench", "tpm", "--manifest-path"]);
        tpm.arg(root().join("tests/oracle-tss/Cargo.toml")).run("the benchmark of TPM commands")?;
    }
    let mut benches = vec!["audit", "running_code"];
    if part == Part::All {
        benches.extend(["cms", "issue"]);
    }
    // One command: cargo builds everything anew for each choice of packages.
    let mut bench = cargo("bench");
    bench.args(["--quiet", "--locked"]);
    for package in ["touchstone", "touchstone-fleet", "touchstone-agent"] {
        bench.args(["--package", package]);
    }
    bench.args(benches.iter().flat_map(|name| ["--bench", *name]));
    bench.run("the benchmarks of the programs")?;
    let folder = Profile::Release.folder()?;
    let mut bench = Step::new(folder.join("touchstone-bench"));
    bench
        .args((part == Part::RunTime).then_some("run-time"))
        .env("TOUCHSTONE_PROGRAMS", &folder)
        .env("TOUCHSTONE_CORPUS", corpus());
    if let Some(python) = keylime {
        bench.env("TOUCHSTONE_KEYLIME", python);
    }
    bench.run("the benchmark")
}
