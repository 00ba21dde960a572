//! `cargo xtask size`: the smallest client of a TPM, and the policy core, each as firmware for a
//! Cortex-M4, and how much of the flash it takes beside what was promised.

use crate::run::{Step, cargo, on_path, target_dir};
use anyhow::{Context, Result, bail};
use object::elf::SHF_ALLOC;
use object::{File, Object, ObjectSection, SectionFlags};

const TARGET: &str = "thumbv7em-none-eabi";
/// The promise: octets of code, constants and the vector table together.
const LIMIT: u64 = 64 * 1024;
/// The libraries' own switches for small code.
const COMPACT: &str = r#"--cfg sha2_backend_soft="compact" --cfg aes_backend_soft="compact""#;

pub(crate) fn size() -> Result<()> {
    require_target()?;
    cargo("check")
        .args(["--package", "touchstone-tpm2", "--no-default-features", "--locked"])
        .args(["--target", TARGET])
        .run("the check of the FIFO driver without a heap")?;
    let mut build = cargo("build");
    build.args(["--profile", "size", "--locked", "--package", "touchstone-size", "--bins"]);
    build.args(["--target", TARGET]).env("RUSTFLAGS", COMPACT).run("the build of the firmware")?;
    measure(
        "touchstone-size",
        "startup, PCR read and quote over FIFO on SPI, in salted encrypted sessions",
    )?;
    measure("touchstone-size-policy", "a policy is loaded, a device judged and told why")
}

/// Prints how much flash a firmware takes, and fails if that is more than was promised.
fn measure(name: &str, what: &str) -> Result<()> {
    let path = crate::run::root().join(target_dir()).join(TARGET).join("size").join(name);
    let elf = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let sections = in_flash(&elf)?;
    println!("size: {what}");
    for (name, octets) in &sections {
        println!("  {octets:>6}  {name}");
    }
    let whole: u64 = sections.iter().map(|(_, octets)| octets).sum();
    println!("  {whole:>6}  of {LIMIT} promised, on {TARGET}");
    if whole > LIMIT {
        bail!("{name} is {} octets larger than promised", whole - LIMIT);
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

/// Makes sure that there is a core library for the microcontroller.
fn require_target() -> Result<()> {
    let libraries = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(crate::run::root())
        .output()
        .context("cannot start rustc")?;
    let folder = String::from_utf8_lossy(&libraries.stdout).trim().to_owned();
    if libraries.status.success() && std::path::Path::new(&folder).is_dir() {
        return Ok(());
    }
    if on_path("rustup").is_none() {
        bail!(
            "rustc has no core library for {TARGET} in {folder}, and rustup is not here to get it"
        );
    }
    eprintln!("xtask: fetching the core library for {TARGET}");
    Step::new("rustup").args(["target", "add", TARGET]).run("rustup target add")
}
