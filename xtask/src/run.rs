//! Starting other programs and saying plainly which one failed.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// How the programs are built.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// As they are shipped.
    Release,
    /// Optimized as well, but each crate by itself, which builds in half the time.
    Rig,
}

impl Profile {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Rig => "rig",
        }
    }

    /// The folder of the programs.
    pub(crate) fn folder(self) -> Result<PathBuf> {
        Ok(std::path::absolute(target_dir())?.join(self.name()))
    }
}

/// One command on the way.
pub(crate) struct Step(Command);

impl Step {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Self(command)
    }

    pub(crate) fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(&mut self, key: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.0.env(key, value);
        self
    }

    /// Runs it to its end; anything but success is an error that names `what`.
    pub(crate) fn run(&mut self, what: &str) -> Result<()> {
        let program = self.0.get_program().to_owned();
        let status = self.0.status().with_context(|| {
            format!("cannot start {} for {what}", Path::new(&program).display())
        })?;
        if !status.success() {
            bail!("{what} failed ({status})");
        }
        Ok(())
    }

    /// Runs it to its end and gives what it has written to stdout.
    pub(crate) fn output(&mut self, what: &str) -> Result<String> {
        let output = self.0.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start {what}"))?;
        if !output.status.success() {
            bail!("{what} failed ({})", output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("{what} wrote no UTF-8"))
    }

    /// Becomes that program, so that Ctrl-C and the exit code are its own.
    pub(crate) fn replace_this_process(&mut self) -> Result<()> {
        use std::os::unix::process::CommandExt;
        let error = self.0.exec();
        Err(error).with_context(|| format!("cannot start {}", self.0.get_program().display()))
    }
}

/// `cargo <command>` with the cargo that runs us.
pub(crate) fn cargo(command: &str) -> Step {
    let mut step = Step::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    step.arg(command);
    step
}

/// A cargo tool, from the PATH or else built once for all checkouts.
pub(crate) fn tool(name: &str, package: &str) -> Result<Step> {
    Ok(Step::new(tool_path(name, package)?))
}

/// Where a cargo tool is; it is built once into the user's cache if the PATH has none.
pub(crate) fn tool_path(name: &str, package: &str) -> Result<PathBuf> {
    if let Some(found) = on_path(name) {
        return Ok(found);
    }
    let folder = cache()?.join("tools");
    let built = folder.join("bin").join(name);
    if !built.exists() {
        eprintln!("xtask: {name} is not on this machine; building it once (some minutes)");
        cargo("install")
            // A debug build starts as well and is there in half the time.
            .args(["--locked", "--debug", "--root"])
            .arg(&folder)
            .arg(package)
            .run(&format!("installing {package}"))?;
    }
    Ok(built)
}

/// What every checkout of the user's may use.
fn cache() -> Result<PathBuf> {
    let folder = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty());
    let folder = folder.map_or_else(
        || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")),
        |folder| Some(folder.into()),
    );
    Ok(folder.context("neither XDG_CACHE_HOME nor HOME is set")?.join("touchstone"))
}

/// Where the PATH has `program`; the folders for administrators count too.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}
