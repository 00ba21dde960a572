//! The front door: `demo` and `test`, and behind them `check`, `tidy`, `install`, `bench`, `size` and
//! `fuzz`.
//! What this is not: the rig itself, which is `tests/system`; this installs, builds and starts it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that talks to a person")]

mod bench;
mod install;
mod lanes;
mod machine;
mod packages;
mod run;
mod size;
mod tidy;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use run::{Profile, Step, cargo, root};

/// Touchstone's front door.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Boot a measured device and walk it through the whole loop, on this machine alone
    Demo {
        /// Report missing system packages instead of installing them
        #[arg(long)]
        no_install: bool,
        /// Leave everything running at the end, to play with; Ctrl-C stops and cleans up
        #[arg(long)]
        keep: bool,
        /// Save pictures of the console into this folder (needs the package chromium)
        #[arg(long, value_name = "DIR")]
        screenshots: Option<std::path::PathBuf>,
    },
    /// Run every test: units, laws, interop with real peers, and the whole loop on a device
    Test {
        /// Report missing system packages instead of installing them
        #[arg(long)]
        no_install: bool,
        /// Passed on to `cargo test`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Build everything as it is shipped, and lay it out below a folder
    Install {
        /// The folder that is `/` of the machine, of an image, or of a package
        #[arg(long, value_name = "DIR")]
        root: std::path::PathBuf,
        /// Whom it is for
        #[arg(long = "for", value_enum, default_value = "all")]
        whom: install::For,
    },
    /// fmt, clippy, doc, deny and tidy, with warnings as errors
    Check,
    /// Check the arrows between the rooms and the other rules of the house
    Tidy,
    /// Print what TPM commands, an appraisal and the agent cost, beside the peers and the raw work
    Bench {
        /// What is measured
        #[arg(value_enum, default_value = "all")]
        part: bench::Part,
        /// Report missing system packages instead of installing them
        #[arg(long)]
        no_install: bool,
        /// Also the appraisal by Keylime, installed from PyPI into a folder under target/
        #[arg(long)]
        peers: bool,
    },
    /// Build the smallest client of a TPM for a microcontroller and print its size beside the promise
    Size,
    /// Fuzz every target for so many seconds each (needs a nightly toolchain; builds cargo-fuzz)
    Fuzz {
        /// Seconds for each target
        #[arg(default_value_t = 30)]
        seconds: u32,
        /// Only these targets
        targets: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Demo { no_install, keep, screenshots } => demo(no_install, keep, screenshots),
        Task::Test { no_install, args } => test(no_install, &args),
        Task::Install { root, whom } => install::install(&std::path::absolute(root)?, whom),
        Task::Check => check(),
        Task::Tidy => tidy::tidy(),
        Task::Bench { part, no_install, peers } => bench::bench(no_install, peers, part),
        Task::Size => size::size(),
        Task::Fuzz { seconds, targets } => fuzz(seconds, &targets),
    }
}

fn demo(no_install: bool, keep: bool, screenshots: Option<std::path::PathBuf>) -> Result<()> {
    packages::require(packages::Use::Demo, no_install)?;
    build_programs(Profile::Rig)?;
    let mut demo = Step::new(Profile::Rig.folder()?.join("touchstone-demo"));
    if keep {
        demo.arg("--keep");
    }
    if let Some(folder) = screenshots {
        packages::require(packages::Use::Screenshots, no_install)?;
        demo.arg("--screenshots").arg(std::path::absolute(folder)?);
    }
    demo.replace_this_process()
}

fn test(no_install: bool, args: &[String]) -> Result<()> {
    machine::require()?;
    packages::require(packages::Use::Test, no_install)?;
    packages::peers()?;
    build_programs(Profile::Rig)?;
    let programs = Profile::Rig.folder()?;
    if !args.is_empty() {
        let mut test = cargo("test");
        test.args(["--workspace", "--no-fail-fast"]).args(args);
        return test.env("TOUCHSTONE_PROGRAMS", programs).run("the tests");
    }
    let tests = lanes::run(&programs);
    oracle()?;
    tests
}

/// The TSS in C as a second opinion: a package of its own, because it links libtss2.
fn oracle() -> Result<()> {
    let mut test = cargo("test");
    test.args(["--locked", "--manifest-path"]).arg(root().join("tests/oracle-tss/Cargo.toml"));
    test.run("the comparison with the TSS")
}

/// The programs that the demo, the system test and the benchmark start.
fn build_programs(profile: Profile) -> Result<()> {
    let mut build = cargo("build");
    build.args(["--profile", profile.name(), "--locked"]);
    for package in ["agent", "fleet", "checkpoint", "system"] {
        build.arg("--package").arg(format!("touchstone-{package}"));
    }
    build.args(["--package", "touchstone", "--bins"]).run("the build of the programs")?;
    install::bpf(&profile.folder()?)
}

fn check() -> Result<()> {
    cargo("fmt").args(["--all", "--check"]).run("cargo fmt (mend with `cargo fmt --all`)")?;
    tidy::tidy()?;
    cargo("clippy")
        .args(["--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
        .run("clippy")?;
    cargo("doc")
        .args(["--workspace", "--no-deps", "--document-private-items", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run("the documentation")?;
    run::tool("cargo-deny", "cargo-deny")?
        .args(["--workspace", "--all-features", "check", "bans", "licenses", "sources"])
        .run("cargo deny")?;
    println!("check: all good");
    Ok(())
}

/// Folders of other people's files that a target begins with. They are read where they lie and never
/// copied into the project.
const CORPUS_SEEDS: [(&str, &[&str]); 13] = [
    ("certificate", &["ekcert", "secureboot", "pki/pkits"]),
    ("cms", &["pki/captured/cms"]),
    ("crl", &["pki/pkits"]),
    ("enveloped", &["pki/captured/cms"]),
    ("est_body", &["pki/captured/est"]),
    ("eventlog", &["eventlog", "ima/ibm-acs", "lab/tcb-secboot"]),
    ("ima", &["ima", "lab/tcb-secboot"]),
    ("ima_ascii", &["ima", "lab/tcb-secboot", "tpm-quote/rust-keylime"]),
    ("ima_signature", &["ima/ibm-acs"]),
    ("ocsp", &["pki/captured/ocsp"]),
    ("quote_files", &["tpm-quote", "lab/tcb-secboot"]),
    ("reference_import", &["ima/keylime"]),
    ("scep", &["pki/captured/scep"]),
];

fn corpus_seeds(target: &str) -> Result<Vec<std::path::PathBuf>> {
    let folders = CORPUS_SEEDS.iter().find(|(name, _)| *name == target);
    let mut seeds = Vec::new();
    for folder in folders.map_or(&[][..], |(_, folders)| folders) {
        let path = bench::corpus().join(folder);
        if path.is_dir() {
            seeds.push(std::path::absolute(path)?);
        } else {
            eprintln!("NOT SEEDED with {}: missing; set TOUCHSTONE_CORPUS", path.display());
        }
    }
    Ok(seeds)
}

fn fuzz(seconds: u32, only: &[String]) -> Result<()> {
    let targets = root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in targets.read_dir().with_context(|| format!("{} is missing", targets.display()))? {
        if let Some(stem) = entry?.path().file_stem() {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        bail!("no fuzz target is named `{unknown}`; the targets are in {}", targets.display());
    }
    names.retain(|name| only.is_empty() || only.contains(name));
    names.sort();
    let seeds = root().join("fuzz/corpus");
    let fuzzer = run::tool_path("cargo-fuzz", "cargo-fuzz")?;
    for name in &names {
        println!("fuzz: {name} for {seconds} s");
        let (found, seeds) =
            (std::path::absolute(run::target_dir())?.join("fuzz").join(name), seeds.join(name));
        std::fs::create_dir_all(&found)?;
        ensure!(seeds.is_dir(), "{} is missing: every target has its seeds", seeds.display());
        Step::new("rustup")
            .args(["run", "nightly"])
            .arg(&fuzzer)
            .args(["fuzz", "run", "--sanitizer", "none", name])
            // What is found goes into the first; the seeds, which are checked in, stay as they are.
            .args([&found, &seeds])
            .args(corpus_seeds(name)?)
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .args(["-rss_limit_mb=2048", "-max_len=65536", "-timeout=10"])
            .run(&format!("fuzzing {name}"))?;
    }
    println!("fuzz: {} targets held for {seconds} s each", names.len());
    Ok(())
}
