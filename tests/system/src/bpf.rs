//! The agent's BPF programs, built as they are shipped.

use crate::tools::{self, run};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// Where their source is.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../programs/agent/bpf/watch.bpf.c");

/// Compiles them into `object`.
pub fn build(object: &Path) -> Result<()> {
    run(Command::new(tools::find("clang", "clang")?)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-c", SOURCE, "-o"])
        .arg(object))?;
    Ok(())
}
