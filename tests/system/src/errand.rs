//! A PC with the distribution's kernel, and no firmware, TPM or network of ours, that does what a script
//! says, leaves what it wrote, and switches itself off.

use crate::initramfs::{Initramfs, Service};
use crate::kernel::Kernel;
use crate::process::Launch;
use crate::tools::{self, run};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const BEFORE: &str = "\
mkdir /tmp/out
exec >/tmp/out/said 2>&1
";
/// The disk is the first of virtio's.
const AFTER: &str = "
tar -cf /dev/vda -C /tmp/out .
sync
poweroff -f
";

/// What the PC is beside its script.
#[derive(Clone, Copy)]
pub struct Errand<'a> {
    /// The kernel's command line, beside its console.
    pub words: &'a str,
    /// MiB of memory.
    pub memory: u32,
    /// More of QEMU's arguments.
    pub parts: &'a [&'a str],
    /// How long it may take.
    pub patience: Duration,
}

impl Errand<'_> {
    /// Does `deeds`, a script, with what is in `initramfs`. In `folder` lie then `said`, all that the script
    /// has said, and what it put into `/tmp/out`.
    pub fn run(
        &self,
        folder: &Path,
        kernel: &Kernel,
        mut initramfs: Initramfs,
        deeds: &str,
    ) -> Result<()> {
        let at = |name: &str| folder.join(name).display().to_string();
        initramfs.file("/etc/deeds", [BEFORE, deeds, AFTER].concat().as_bytes());
        initramfs.service(&Service { name: "deeds", command: "sh /etc/deeds" })?;
        initramfs.write(&folder.join("initrd"))?;
        std::fs::File::create(folder.join("out.img"))?.set_len(8 << 20)?;
        let qemu = tools::find("qemu-system-x86_64", "qemu-system-x86")?;
        let drive = format!("if=none,id=out,format=raw,file={}", at("out.img"));
        let mut machine = Launch::new("qemu", qemu, at("qemu.log"))
            .args(["-machine", "q35,accel=tcg", "-cpu", "max", "-no-reboot"])
            .args(["-m", &self.memory.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-drive", &drive, "-device", "virtio-blk-pci,drive=out"])
            .args(self.parts)
            .args(["-serial", &format!("file:{}", at("console.log"))])
            .args(["-kernel", &kernel.image.display().to_string(), "-initrd", &at("initrd")])
            .args(["-append", &format!("console=ttyS0 {}", self.words)])
            .start()?;
        machine.wait(self.patience).with_context(|| {
            let console = std::fs::read(folder.join("console.log")).unwrap_or_default();
            String::from_utf8_lossy(&console).into_owned()
        })?;
        run(Command::new("tar").arg("-xf").arg(at("out.img")).arg("-C").arg(folder))?;
        Ok(())
    }
}
