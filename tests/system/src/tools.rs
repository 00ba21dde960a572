//! Programs of the system that the rig calls: where they are, and running one to its end.
//! What this is not: supervision of what keeps running, which is `process`.

use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What every message about something missing ends with.
const REMEDY: &str = "run `cargo xtask test`, which installs it";

/// The folders of programs that are not on everybody's PATH.
const SBIN: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The path of the program `name`, or which package brings it.
pub fn find(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SBIN.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .with_context(|| format!("no program `{name}` (package {package}): {REMEDY}"))
}

/// The first of some paths that exists; distributions put the same file in different places.
pub(crate) fn first_existing(what: &str, package: &str, paths: &[&str]) -> Result<PathBuf> {
    paths.iter().map(PathBuf::from).find(|path| path.is_file()).with_context(|| {
        format!("no {what} (package {package}) at {}: {REMEDY}", paths.join(" or "))
    })
}

/// Runs a program to its end and gives its standard output; a failure carries what it said.
pub(crate) fn run(command: &mut Command) -> Result<Vec<u8>> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{name}` could not be started: {REMEDY}"))?;
    if !output.status.success() {
        let args: Vec<OsString> = command.get_args().map(OsString::from).collect();
        bail!(
            "`{name}` failed with {} (arguments {args:?}): {}{}",
            output.status,
            tail(&output.stdout, 2_000),
            tail(&output.stderr, 2_000)
        );
    }
    Ok(output.stdout)
}

/// The end of what a program said, as text.
pub(crate) fn tail(output: &[u8], len: usize) -> String {
    let start = output.len().saturating_sub(len);
    String::from_utf8_lossy(output.get(start..).unwrap_or_default()).into_owned()
}

/// The shared libraries of a dynamically linked program with their loader, as `ldd` resolves them.
/// A static program has none.
pub(crate) fn shared_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).stdin(Stdio::null()).output()?;
    let (out, err) = (tail(&output.stdout, 100_000), tail(&output.stderr, 2_000));
    if !output.status.success() {
        ensure!(
            out.contains("not a dynamic executable") || err.contains("not a dynamic executable"),
            "`ldd {}` failed: {out}{err}",
            program.display()
        );
        return Ok(Vec::new());
    }
    ensure!(!out.contains("not found"), "{} lacks a shared library: {out}", program.display());
    Ok(out
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(|word| PathBuf::from(word.trim_end_matches(':')))
        .collect())
}
