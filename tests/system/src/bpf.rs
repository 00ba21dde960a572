//! The agent's BPF programs as they are shipped: xtask compiles them beside the other programs.

use crate::programs;
use anyhow::{Result, ensure};
use std::path::PathBuf;

/// Where the loader looks for what is installed.
pub const INSTALLED: &str = "/usr/lib/touchstone/watch.bpf.o";

/// Where the rig's are.
pub fn object() -> Result<PathBuf> {
    let object = programs()?.join("watch.bpf.o");
    ensure!(object.is_file(), "no {}: run `cargo xtask test`, which compiles it", object.display());
    Ok(object)
}
