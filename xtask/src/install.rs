//! Builds everything as it is shipped and lays it out below a folder: `/` of this machine, of an image,
//! or what a package is made of. Configurations and keys are the owner's; none is written.

use crate::run::{Profile, Step, on_path, root};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The programs for the kernel, in C, and as they are called when compiled.
const BPF: (&str, &str) = ("programs/agent/bpf/watch.bpf.c", "watch.bpf.o");

/// Whom it is for.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum For {
    /// A device: the agent, and what the kernel tells it by
    Device,
    /// A server: fleet, checkpoint and the command line
    Server,
    /// Both
    All,
}

/// What is laid out: where it comes from, where it goes, its mode.
struct File {
    from: From,
    to: &'static str,
    mode: u32,
    of: For,
}

enum From {
    /// The folder of what was built.
    Built(&'static str),
    /// The repository.
    Kept(&'static str),
}

const fn program(name: &'static str, to: &'static str, of: For) -> File {
    File { from: From::Built(name), to, mode: 0o755, of }
}

const fn kept(path: &'static str, to: &'static str, of: For) -> File {
    File { from: From::Kept(path), to, mode: 0o644, of }
}

#[rustfmt::skip]
const FILES: &[File] = &[
    program("touchstone-agent", "usr/bin/touchstone-agent", For::Device),
    program("touchstone-agent-watch", "usr/bin/touchstone-agent-watch", For::Device),
    File { from: From::Built(BPF.1), to: "usr/lib/touchstone/watch.bpf.o", mode: 0o644, of: For::Device },
    kept("packaging/systemd/touchstone-agent.service", "usr/lib/systemd/system/touchstone-agent.service", For::Device),
    kept("packaging/systemd/touchstone-agent-watch.service", "usr/lib/systemd/system/touchstone-agent-watch.service", For::Device),
    kept("packaging/sysusers.d/touchstone.conf", "usr/lib/sysusers.d/touchstone.conf", For::All),
    program("touchstone", "usr/bin/touchstone", For::All),
    program("touchstone-fleet", "usr/bin/touchstone-fleet", For::Server),
    program("touchstone-checkpoint", "usr/bin/touchstone-checkpoint", For::Server),
    kept("packaging/systemd/touchstone-fleet.service", "usr/lib/systemd/system/touchstone-fleet.service", For::Server),
    kept("packaging/systemd/touchstone-checkpoint.service", "usr/lib/systemd/system/touchstone-checkpoint.service", For::Server),
    kept("packaging/policies/linux-gateway.policy", "usr/share/touchstone/policies/linux-gateway.policy", For::Server),
];

/// Builds, and lays out below `root`.
pub(crate) fn install(below: &Path, whom: For) -> Result<()> {
    crate::build_programs(Profile::Release)?;
    lay_out(&Profile::Release.folder()?, below, whom)
}

/// Compiles the programs for the kernel beside the others.
pub(crate) fn bpf(folder: &Path) -> Result<()> {
    let clang = on_path("clang").context("no clang: apt-get install clang")?;
    fs::create_dir_all(folder)?;
    Step::new(clang)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-c", BPF.0, "-o"])
        .arg(folder.join(BPF.1))
        .run("compiling the BPF programs")
}

fn lay_out(built: &Path, below: &Path, whom: For) -> Result<()> {
    for file in
        FILES.iter().filter(|file| whom == For::All || file.of == whom || file.of == For::All)
    {
        let from = match file.from {
            From::Built(name) => built.join(name),
            From::Kept(path) => root().join(path),
        };
        let to = below.join(file.to);
        place(&from, &to, file.mode)
            .with_context(|| format!("cannot put {} at {}", from.display(), to.display()))?;
        println!("{}", to.display());
    }
    Ok(())
}

/// Beside its place first, so that a program that runs is replaced and not written to.
fn place(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(Path::new("/")))?;
    let mut beside = to.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::copy(from, &beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode))?;
    fs::rename(&beside, to)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'t>(text: &'t str, begins: &'t str) -> impl Iterator<Item = &'t str> {
        text.lines().filter_map(move |line| line.strip_prefix(begins)?.split(' ').next())
    }

    #[test]
    fn whatever_a_unit_starts_and_the_loader_reads_is_installed() {
        let targets: Vec<String> = FILES.iter().map(|file| format!("/{}", file.to)).collect();
        for file in FILES.iter().filter(|file| file.to.ends_with(".service")) {
            let From::Kept(path) = file.from else { panic!("{} is built", file.to) };
            let unit = fs::read_to_string(root().join(path)).unwrap_or_default();
            let started: Vec<&str> = words(&unit, "ExecStart=").collect();
            assert!(!started.is_empty(), "{path} starts nothing");
            for program in started {
                assert!(targets.iter().any(|it| it == program), "{path} starts {program}");
            }
        }
        let loader = root().join("programs/agent/src/bin/watch.rs");
        let loader = fs::read_to_string(loader).unwrap_or_default();
        let object = format!("\"/{}\"", "usr/lib/touchstone/watch.bpf.o");
        assert!(loader.contains(&object), "the loader looks elsewhere");
        assert!(targets.contains(&object.trim_matches('"').to_owned()));
    }

    #[test]
    fn a_device_gets_what_it_needs_and_no_server() -> Result<()> {
        let folder =
            std::env::temp_dir().join(format!("touchstone-install-{}", std::process::id()));
        let (built, below) = (folder.join("built"), folder.join("image"));
        fs::create_dir_all(&built)?;
        for file in FILES {
            if let From::Built(name) = file.from {
                fs::write(built.join(name), name)?;
            }
        }
        lay_out(&built, &below, For::Device)?;
        lay_out(&built, &below, For::Device)?;
        let agent = below.join("usr/bin/touchstone-agent");
        assert_eq!(fs::metadata(&agent)?.permissions().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_to_string(below.join("usr/lib/touchstone/watch.bpf.o"))?, BPF.1);
        assert!(!below.join("usr/bin/touchstone-fleet").exists());
        lay_out(&built, &below, For::All)?;
        assert!(below.join("usr/bin/touchstone-fleet").exists());
        Ok(fs::remove_dir_all(&folder)?)
    }
}
