//! Every test, in two lanes. Those of `tests/system` boot devices, whose processor QEMU plays on one core:
//! all others run beside them, which takes the time of the longer lane instead of the sum.

use crate::run::{cargo, root, target_dir};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program of tests, as cargo has built it.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    executable: PathBuf,
    /// Where its source lies below its package's folder, as cargo names it before running it.
    source: PathBuf,
    /// Its package's folder, which it is run in.
    package: PathBuf,
}

/// Builds and runs all tests of the workspace; `programs` is the folder of those that they start.
pub(crate) fn run(programs: &Path) -> Result<()> {
    let mut build = cargo("test");
    build.args(["--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let tests = built(&build.output("the build of the tests")?)?;
    ensure!(!tests.is_empty(), "cargo has built no test");
    let (devices, others): (Vec<_>, Vec<_>) =
        tests.iter().partition(|test| test.package.ends_with("tests/system"));

    let told = std::path::absolute(target_dir())?.join("devices.log");
    let log = File::create(&told).with_context(|| format!("{} cannot be made", told.display()))?;
    println!("xtask: the tests that boot devices run beside the others; {} grows", told.display());
    let mut failed = std::thread::scope(|scope| {
        let devices = scope.spawn(|| lane(&devices, programs, Some(&log)));
        let mut failed = lane(&others, programs, None)?;
        let devices = devices.join().ok().context("the lane of the devices has panicked")?;
        failed.extend(devices?);
        anyhow::Ok(failed)
    })?;
    std::io::copy(&mut File::open(&told)?, &mut std::io::stdout().lock())
        .with_context(|| format!("{} cannot be shown", told.display()))?;

    let mut examples = cargo("test");
    examples.args(["--workspace", "--doc", "--no-fail-fast"]);
    if let Err(error) = examples.run("the examples in the documentation") {
        failed.push(error.to_string());
    }
    if !failed.is_empty() {
        bail!("these tests failed:\n  {}", failed.join("\n  "));
    }
    Ok(())
}

/// The programs of tests among what cargo tells of its build, a JSON object a line.
fn built(told: &str) -> Result<Vec<Program>> {
    let mut tests = Vec::new();
    for line in told.lines().filter(|line| line.starts_with('{')) {
        let message: serde_json::Value = serde_json::from_str(line).context("cargo's JSON")?;
        let text = |pointer| message.pointer(pointer).and_then(serde_json::Value::as_str);
        if message.pointer("/profile/test") != Some(&serde_json::Value::Bool(true)) {
            continue;
        }
        let Some(executable) = text("/executable") else { continue };
        let (Some(manifest), Some(source)) = (text("/manifest_path"), text("/target/src_path"))
        else {
            bail!("cargo tells of {executable} without its package");
        };
        let package = Path::new(manifest).parent().unwrap_or(root()).to_owned();
        let source = Path::new(source);
        tests.push(Program {
            executable: executable.into(),
            source: source.strip_prefix(&package).unwrap_or(source).to_owned(),
            package,
        });
    }
    Ok(tests)
}

/// Runs one after the other, into `log` or to where ours goes; which of them failed.
fn lane(tests: &[&Program], programs: &Path, log: Option<&File>) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    for test in tests {
        let name = test.package.strip_prefix(root()).unwrap_or(&test.package).join(&test.source);
        let mut run = Command::new(&test.executable);
        run.current_dir(&test.package)
            .env("CARGO_MANIFEST_DIR", &test.package)
            .env("TOUCHSTONE_PROGRAMS", programs)
            .stdin(Stdio::null());
        let heading = format!("     Running {}\n", name.display());
        if let Some(log) = log {
            std::io::Write::write_all(&mut &*log, heading.as_bytes())?;
            run.stdout(log.try_clone()?).stderr(log.try_clone()?);
        } else {
            eprint!("{heading}");
        }
        let status = run.status().with_context(|| format!("cannot start {}", name.display()))?;
        if !status.success() {
            failed.push(format!("{} ({status})", name.display()));
        }
    }
    Ok(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;

    #[test]
    fn only_programs_of_tests_are_run() {
        let library = r#"{"reason":"compiler-artifact","manifest_path":"/t/wire/Cargo.toml","target":{"src_path":"/t/wire/src/lib.rs"},"profile":{"test":false},"executable":null}"#;
        let program = r#"{"reason":"compiler-artifact","manifest_path":"/t/wire/Cargo.toml","target":{"src_path":"/t/wire/src/bin/w.rs"},"profile":{"test":false},"executable":"/o/w"}"#;
        let test = r#"{"reason":"compiler-artifact","manifest_path":"/t/wire/Cargo.toml","target":{"src_path":"/t/wire/tests/laws.rs"},"profile":{"test":true},"executable":"/o/laws-1"}"#;
        let end = r#"{"reason":"build-finished","success":true}"#;
        let told = [library, program, test, end].join("\n");
        let expected = Program {
            executable: "/o/laws-1".into(),
            source: "tests/laws.rs".into(),
            package: "/t/wire".into(),
        };
        assert_eq!(built(&told).unwrap(), [expected]);
        assert!(built("{").is_err());
    }

    #[test]
    fn a_test_that_fails_is_named_and_the_next_one_runs() {
        let shell = |executable: &str| Program {
            executable: executable.into(),
            source: executable.trim_start_matches('/').into(),
            package: root().into(),
        };
        let (bad, good) = (shell("/bin/false"), shell("/bin/true"));
        let failed = lane(&[&bad, &good, &bad], Path::new("/"), None).unwrap();
        assert_eq!(failed, ["bin/false (exit status: 1)", "bin/false (exit status: 1)"]);
    }
}
