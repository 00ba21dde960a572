//! The device's root file system: busybox, the programs given, what they link against, the kernel's
//! modules, and an init that mounts, connects and keeps services running.
//! All of it is covered by one measurement (PCR 9 and 11), so IMA does not measure it again.

use crate::cpio::Archive;
use crate::kernel::Kernel;
use crate::tools::{self, run};
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A root file system under construction.
pub struct Initramfs {
    archive: Archive,
}

/// A program that init starts and starts again whenever it ends. Its process id is in
/// `/run/<name>.pid`; what it says goes to the console.
pub struct Service<'a> {
    /// A short name, also of the pid file.
    pub name: &'a str,
    /// A line of shell: the program's path on the device and its arguments.
    pub command: &'a str,
}

impl Initramfs {
    /// Busybox, nft, init and the kernel's modules.
    pub fn new(kernel: &Kernel) -> Result<Self> {
        let mut this = Self { archive: Archive::default() };
        for folder in ["dev", "proc", "sys", "run", "tmp", "data", "etc/rig/services"] {
            this.archive.folder(folder);
        }
        this.archive.file("init", true, include_bytes!("init.sh").to_vec());
        let busybox = tools::find("busybox", "busybox-static")?;
        ensure!(
            tools::shared_libraries(&busybox)?.is_empty(),
            "{} is not static: install busybox-static",
            busybox.display()
        );
        this.archive.file("bin/busybox", true, read(&busybox)?);
        this.archive.link("bin/sh", "busybox");
        this.program(&tools::find("nft", "nftables")?, "/sbin/nft")?;
        this.file(
            "/etc/passwd",
            b"root:x:0:0:root:/run:/bin/sh\ntouchstone-network:x:990:990::/:/bin/false\n",
        );
        this.file("/etc/group", b"root:x:0:\ntouchstone-network:x:990:\n");
        this.file("/etc/hosts", b"127.0.0.1 localhost\n");
        this.modules(&kernel.modules, "order")?;
        Ok(this)
    }

    /// Adds what SATA disks and NVMe drives need; `/lib/modules/disks` names it, and init does not load it.
    pub fn disks(&mut self, kernel: &Kernel) -> Result<()> {
        self.modules(&kernel.disks, "disks")
    }

    fn modules(&mut self, modules: &[PathBuf], list: &str) -> Result<()> {
        let mut order = String::new();
        for module in modules {
            let name = module.file_stem().context("a module without a name")?.to_string_lossy();
            writeln!(order, "{name}")?;
            self.archive.file(&format!("lib/modules/{name}.ko"), false, read(module)?);
        }
        self.file(&format!("/lib/modules/{list}"), order.as_bytes());
        Ok(())
    }

    /// Adds a program of the host, without its symbols, and the shared libraries it needs.
    pub fn program(&mut self, host: &Path, device: &str) -> Result<()> {
        for library in tools::shared_libraries(host)? {
            let path = library.to_string_lossy();
            if !self.archive.contains(&path) {
                self.archive.file(&path, true, read(&library)?);
            }
        }
        let work = tempfile::tempdir()?;
        let stripped = work.path().join("program");
        run(Command::new(tools::find("objcopy", "binutils")?)
            .arg("--strip-all")
            .arg(host)
            .arg(&stripped))?;
        self.archive.file(device, true, read(&stripped)?);
        Ok(())
    }

    /// Adds what a program of the host needs to run, for one that stands on the data disk.
    pub fn libraries_of(&mut self, host: &Path) -> Result<()> {
        for library in tools::shared_libraries(host)? {
            self.archive.file(&library.to_string_lossy(), true, read(&library)?);
        }
        Ok(())
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.archive.file(path, false, content.to_vec());
    }

    /// Has init keep a service running.
    pub fn service(&mut self, service: &Service<'_>) -> Result<()> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        ensure!(service.name.bytes().all(plain), "`{}` is no name for a service", service.name);
        // exec: the process id that init notes is the program's own.
        let script = format!("exec {}\n", service.command);
        self.file(&format!("/etc/rig/services/{}", service.name), script.as_bytes());
        Ok(())
    }

    /// Writes it, compressed, for the kernel.
    pub fn write(&self, path: &Path) -> Result<()> {
        let plain = path.with_extension("cpio");
        std::fs::write(&plain, self.archive.write())?;
        run(Command::new(tools::find("zstd", "zstd")?)
            .args(["--quiet", "--force", "-6", "--rm", "-o"])
            .arg(path)
            .arg(&plain))?;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
