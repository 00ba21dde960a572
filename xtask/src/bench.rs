//! Prints what things cost, ours beside the raw cost of the cryptography beneath, in one run.

use crate::run::cargo;
use anyhow::Result;

pub(crate) fn bench() -> Result<()> {
    crate::build_programs()?;
    cargo("run")
        .args(["--release", "--locked", "--package", "touchstone-system", "--bin"])
        .args(["touchstone-bench"])
        .env("TOUCHSTONE_PROGRAMS", crate::programs_dir()?)
        .run("the benchmark")
}
