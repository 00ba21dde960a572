//! Prints what things cost, ours beside the raw cost of what lies beneath and beside the peer's, in
//! one run.

use crate::packages;
use crate::run::{cargo, root};
use anyhow::Result;

pub(crate) fn bench(no_install: bool) -> Result<()> {
    packages::require(packages::Use::Test, no_install)?;
    crate::build_programs()?;
    let mut tpm = cargo("bench");
    tpm.args(["--quiet", "--locked", "--bench", "tpm", "--manifest-path"]);
    tpm.arg(root().join("tests/oracle-tss/Cargo.toml")).run("the benchmark of TPM commands")?;
    cargo("bench")
        .args(["--quiet", "--locked", "--package", "touchstone", "--bench", "cms"])
        .run("the benchmark of envelopes")?;
    cargo("run")
        .args(["--release", "--locked", "--package", "touchstone-system", "--bin"])
        .args(["touchstone-bench"])
        .env("TOUCHSTONE_PROGRAMS", crate::programs_dir()?)
        .run("the benchmark")
}
