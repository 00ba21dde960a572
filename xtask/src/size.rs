//! `cargo xtask size`: the smallest client of a TPM, and the policy core without its reader and with it,
//! each as firmware for a Cortex-M4, and how much of the flash it takes beside what was promised.

use crate::run::{Step, cargo, on_path, root, target_dir};
use anyhow::{Context, Result, bail};
use object::elf::SHF_ALLOC;
use object::{File, Object, ObjectSection, SectionFlags};
use std::path::{Path, PathBuf};

const TARGET: &str = "thumbv7em-none-eabi";
/// The promise for a client of a TPM, and for judging by a policy: octets of code, constants and the
/// vector table together.
const LIMIT: u64 = 64 * 1024;
/// The same with the reader of policies, which checks types and tells every fault in words. 64 KiB was
/// aimed for; this keeps it from growing.
const LIMIT_WITH_READER: u64 = 104 * 1024;
/// The libraries' own switches for small code.
const COMPACT: &str = r#"--cfg sha2_backend_soft="compact" --cfg aes_backend_soft="compact""#;

/// Debian's compiler, which has the source of its core library beside it and asks no server of Rust's:
/// rustc-web and rust-web-src, or rustc and rust-src where these are new enough.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library";
/// It comes without a linker for microcontrollers.
const LINKER: &str = "ld.lld";

pub(crate) fn size() -> Result<()> {
    let core = Core::find()?;
    core.apply(&mut cargo("check"))
        .args(["--package", "touchstone-tpm2", "--no-default-features", "--locked"])
        .run("the check of the FIFO driver without a heap")?;
    core.apply(&mut cargo("check"))
        .args(["--package", "touchstone-appraise", "--no-default-features", "--locked"])
        .run("the check of the verifier without an operating system")?;
    core.apply(&mut cargo("build"))
        .args(["--profile", "size", "--locked", "--package", "touchstone-size", "--bins"])
        .env("RUSTFLAGS", COMPACT)
        .run("the build of the firmware")?;
    measure(
        &core,
        "touchstone-size",
        "startup, PCR read and quote over FIFO on SPI, in salted encrypted sessions",
        LIMIT,
    )?;
    measure(&core, "touchstone-size-judge", "a device judged by a policy, and told why", LIMIT)?;
    let what = "the same, and a policy read from its text and checked";
    measure(&core, "touchstone-size-policy", what, LIMIT_WITH_READER)
}

/// Prints how much flash a firmware takes, and fails if that is more than was promised.
fn measure(core: &Core, name: &str, what: &str, limit: u64) -> Result<()> {
    let path = core.folder().join(TARGET).join("size").join(name);
    let elf = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let sections = in_flash(&elf)?;
    println!("size: {what}");
    for (name, octets) in &sections {
        println!("  {octets:>6}  {name}");
    }
    let whole: u64 = sections.iter().map(|(_, octets)| octets).sum();
    println!("  {whole:>6}  of {limit} promised, on {TARGET}");
    if whole > limit {
        bail!("{name} is {} octets larger than promised", whole - limit);
    }
    Ok(())
}

/// The sections that take flash, with their sizes.
fn in_flash(elf: &[u8]) -> Result<Vec<(String, u64)>> {
    let elf = File::parse(elf).context("the firmware is no ELF file")?;
    let mut sections = Vec::new();
    for section in elf.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            bail!("the firmware is no ELF file");
        };
        // What is there at run time and has contents; what is zeroed at start takes none.
        let loaded = sh_flags & SHF_ALLOC == SHF_ALLOC;
        if loaded && section.file_range().is_some_and(|(_, len)| len > 0) {
            sections.push((section.name()?.to_owned(), section.size()));
        }
    }
    if !sections.iter().any(|(name, _)| name == ".text") {
        bail!("the firmware has no code: it was not built as such");
    }
    Ok(sections)
}

/// Where the core library for the microcontroller comes from.
enum Core {
    /// It is with the compiler.
    Built,
    /// Debian's compiler builds it.
    FromSource,
}

impl Core {
    fn find() -> Result<Self> {
        // First, since only a library that is built here can be built for size: without that, sorting
        // alone takes 10 kB.
        let built_here = Path::new(DEBIAN_RUSTC).is_file() && Path::new(DEBIAN_SOURCE).is_dir();
        if built_here && on_path(LINKER).is_some() {
            return Ok(Self::FromSource);
        }
        if has_target()? {
            return Ok(Self::Built);
        }
        if on_path("rustup").is_some() {
            eprintln!("xtask: fetching the core library for {TARGET}");
            match Step::new("rustup").args(["target", "add", TARGET]).run("rustup target add") {
                Ok(()) => return Ok(Self::Built),
                Err(error) => eprintln!("xtask: {error}"),
            }
        }
        bail!(
            "there is no core library for {TARGET}, and nothing to build it from: run `rustup \
             target add {TARGET}`, or `apt-get install rustc-web rust-web-src lld`"
        )
    }

    /// The folder of what is built: each compiler has its own.
    fn folder(&self) -> PathBuf {
        let folder = root().join(target_dir());
        match self {
            Self::Built => folder,
            Self::FromSource => folder.join("size-from-source"),
        }
    }

    fn apply<'a>(&self, step: &'a mut Step) -> &'a mut Step {
        step.args(["--target", TARGET, "--target-dir"]).arg(self.folder());
        if let Self::FromSource = self {
            // Its own compiler's library is built with features that are not stable, by name.
            step.args(["-Zbuild-std=core,alloc", "-Zbuild-std-features=optimize_for_size"]);
            step.env("RUSTC", DEBIAN_RUSTC);
            step.env("RUSTC_BOOTSTRAP", "1");
            step.env("CARGO_TARGET_THUMBV7EM_NONE_EABI_LINKER", LINKER);
        }
        step
    }
}

/// Whether the compiler has the core library for the microcontroller.
fn has_target() -> Result<bool> {
    let libraries = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(root())
        .output()
        .context("cannot start rustc")?;
    let folder = String::from_utf8_lossy(&libraries.stdout).trim().to_owned();
    Ok(libraries.status.success() && Path::new(&folder).is_dir())
}
