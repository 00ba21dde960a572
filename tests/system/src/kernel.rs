//! The distribution's own kernel, from its package but never installed: the image and the modules
//! that the device needs, in the order in which they load.
//!
//! The package is fetched once (`apt-get download`) into a cache beside cargo's output. What Debian's
//! kernel was not built for, Ubuntu's may do: that which Ubuntu 24.04 was released with, which stays in
//! its archive, and which is known by its digest.

use crate::tools::{self, run};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use touchstone_crypto::{Crypto, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;

/// What the device cannot do without, as modules or built into the kernel.
#[rustfmt::skip]
const NEEDED: &[&str] = &[
    "virtio_pci", "virtio_net", "virtio_blk", "virtio_console", "ext4", "efivarfs",
    "nf_tables", "nft_ct", "nft_reject_inet", "tpm_crb",
];

/// What drives disks that are not virtio's; loaded by nobody who does not ask for them.
const DISKS: &[&str] = &["nvme", "ahci", "sd_mod"];

/// What ext4 asks for by algorithm instead of by module name; newer kernels have it built in.
const WELCOME: &[&str] = &["crc32c_generic", "crc32c_intel"];

/// The packages that depend on the newest kernel: Debian's and Ubuntu's name.
const META_PACKAGES: &[&str] = &["linux-image-amd64", "linux-image-generic"];

/// Ubuntu's archive, and of it the packages of a kernel with their SHA-256 digests.
const UBUNTU: &str = "http://archive.ubuntu.com/ubuntu/pool/main/l";
#[rustfmt::skip]
const UBUNTU_KERNEL: &[(&str, &str)] = &[
    (
        "linux-signed/linux-image-6.8.0-31-generic_6.8.0-31.31_amd64.deb",
        "fd2ed023c84163e62c73d3b7b613a9b004bd31e335641c23d42bd249e489fbe6",
    ),
    (
        "linux/linux-modules-6.8.0-31-generic_6.8.0-31.31_amd64.deb",
        "3f17f2c279257eb50e40da44390bdf8272c440ca078831c348773d1314b5c2fe",
    ),
];

/// A kernel and its modules on the host's disk.
pub struct Kernel {
    /// Its version, as `uname -r` says it on the device.
    pub version: String,
    /// The bzImage.
    pub image: PathBuf,
    /// Modules, each after those it depends on.
    pub modules: Vec<PathBuf>,
    /// Modules for SATA disks and NVMe drives, after the others.
    pub disks: Vec<PathBuf>,
    config: PathBuf,
}

/// The files that make a folder of the cache complete: module names in the order of loading, those for
/// disks, and the options that the kernel was built with.
const ORDER: &str = "order";
const DISKS_ORDER: &str = "order.disks";
const CONFIG: &str = "config";

impl Kernel {
    /// The kernel of this machine's distribution, in the cache; the first time, fetches it from the
    /// distribution's mirror.
    pub fn find() -> Result<Self> {
        Archive { cache: cache_folder()?, of_ubuntu: false }.kernel()
    }

    /// The one that Ubuntu 24.04 was released with, whatever this machine's distribution is.
    pub fn of_ubuntu() -> Result<Self> {
        let cache = cache_folder()?.join("ubuntu");
        std::fs::create_dir_all(&cache)?;
        Archive { cache, of_ubuntu: true }.kernel()
    }

    /// Whether it was built with an option, `CONFIG_` and all; not as a module.
    pub fn has(&self, option: &str) -> Result<bool> {
        let config = std::fs::read_to_string(&self.config)
            .with_context(|| format!("cannot read {}", self.config.display()))?;
        Ok(config.lines().any(|line| line.strip_prefix(option) == Some("=y")))
    }
}

/// Where kernels come from, and where they are kept.
struct Archive {
    cache: PathBuf,
    /// Else apt's.
    of_ubuntu: bool,
}

impl Archive {
    fn kernel(&self) -> Result<Kernel> {
        if let Some(kernel) = self.cached()? {
            return Ok(kernel);
        }
        // Rigs that start at the same time fetch once: the others wait here.
        let lock = File::create(self.cache.join("lock"))?;
        lock.lock()?;
        if self.cached()?.is_none() {
            self.fetch()
                .with_context(|| format!("no kernel for the device in {}", self.cache.display()))?;
        }
        self.cached()?.context("the kernel was fetched and is not in the cache")
    }

    fn cached(&self) -> Result<Option<Kernel>> {
        let mut versions: Vec<PathBuf> = self
            .cache
            .read_dir()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|folder| {
                [ORDER, DISKS_ORDER, CONFIG].iter().all(|name| folder.join(name).is_file())
            })
            .collect();
        versions.sort();
        let Some(folder) = versions.pop() else { return Ok(None) };
        let version = file_name(&folder)?.trim_start_matches("kernel-").to_owned();
        let modules = |order: &str| -> Result<_> {
            let names = std::fs::read_to_string(folder.join(order))?;
            Ok(names.lines().map(|name| folder.join(format!("{name}.ko"))).collect())
        };
        let (modules, disks) = (modules(ORDER)?, modules(DISKS_ORDER)?);
        let (image, config) = (folder.join("vmlinuz"), folder.join(CONFIG));
        Ok(Some(Kernel { version, image, modules, disks, config }))
    }

    fn fetch(&self) -> Result<()> {
        let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(&self.cache)?;
        if self.of_ubuntu {
            download_of_ubuntu(work.path())?;
        } else {
            download(work.path()).or_else(|error| {
                eprintln!("rig: {error:#}; updating the lists of packages");
                run(Command::new("apt-get").args(["update", "--quiet"]))?;
                download(work.path())
            })?;
        }
        let root = work.path().join("root");
        for entry in work.path().read_dir()? {
            let package = entry?.path();
            if package.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
            }
        }
        let boot = files(&root.join("boot"))?;
        let named = |prefix: &str| {
            let mut found = boot.iter();
            found.find(|path| file_name(path).is_ok_and(|name| name.starts_with(prefix)))
        };
        let image = named("vmlinuz-").context("no vmlinuz in the packages")?;
        let config = named("config-").context("no config in the packages")?;
        let version = file_name(image)?.trim_start_matches("vmlinuz-").to_owned();
        let modules = ["lib/modules", "usr/lib/modules"]
            .iter()
            .map(|folder| root.join(folder).join(&version))
            .find(|folder| folder.is_dir())
            .context("no modules in the packages")?;
        // Complete or absent: the folder gets its name last.
        let ready = work.path().join("ready");
        std::fs::create_dir(&ready)?;
        std::fs::copy(image, ready.join("vmlinuz"))?;
        std::fs::copy(config, ready.join(CONFIG))?;
        let mut closure = Closure::of(&modules)?;
        closure.write(&ready, ORDER)?;
        for name in DISKS {
            closure.add(name)?;
        }
        closure.write(&ready, DISKS_ORDER)?;
        let place = self.cache.join(format!("kernel-{version}"));
        if place.exists() {
            // Of an earlier rig, which kept less.
            std::fs::remove_dir_all(&place)?;
        }
        Ok(std::fs::rename(&ready, place)?)
    }
}

/// The newest kernel that apt knows, into this folder.
fn download(into: &Path) -> Result<()> {
    let packages = newest_packages()?;
    eprintln!("rig: fetching {} (once)", packages.join(" and "));
    let mut get = Command::new("apt-get");
    run(get.args(["download", "--quiet"]).args(&packages).current_dir(into))?;
    Ok(())
}

fn download_of_ubuntu(into: &Path) -> Result<()> {
    for (number, (path, digest)) in UBUNTU_KERNEL.iter().enumerate() {
        eprintln!("rig: fetching {path} of Ubuntu's (once)");
        let package = into.join(format!("{number}.deb"));
        run(Command::new(tools::find("curl", "curl")?)
            .args(["--silent", "--show-error", "--fail", "--max-time", "300", "--output"])
            .arg(&package)
            .arg(format!("{UBUNTU}/{path}")))?;
        let found = AwsLc.hash(HashAlgorithm::Sha256, &[&std::fs::read(&package)?]).to_hex();
        ensure!(found == *digest, "{path} is {found}, expected {digest}");
    }
    Ok(())
}

/// The kernel's package that the distribution's meta package points at, and that of its modules
/// where they are apart.
fn newest_packages() -> Result<Vec<String>> {
    for meta in META_PACKAGES {
        let Ok(out) = run(Command::new("apt-cache").args(["depends", "--important", meta])) else {
            continue;
        };
        let depends = String::from_utf8_lossy(&out).into_owned();
        let image = depends
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|name| name.starts_with("linux-image-"));
        if let Some(image) = image {
            let modules = image.replacen("linux-image-", "linux-modules-", 1);
            let apart = run(Command::new("apt-cache").args(["show", &modules])).is_ok();
            return Ok([image.to_owned()].into_iter().chain(apart.then_some(modules)).collect());
        }
    }
    bail!("apt knows none of {}; has `apt-get update` been run?", META_PACKAGES.join(", "))
}

fn cache_folder() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let cache = std::path::absolute(target.join("rig-cache"))?;
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

/// The modules that are needed, with all they depend on.
struct Closure {
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
    ordered: Vec<(String, Vec<u8>)>,
    seen: BTreeSet<String>,
}

impl Closure {
    fn of(folder: &Path) -> Result<Self> {
        let mut all = Vec::new();
        walk(folder, &mut all)?;
        let files = all.into_iter().filter_map(|path| Some((module_name(&path)?, path))).collect();
        let builtin = std::fs::read_to_string(folder.join("modules.builtin"))
            .with_context(|| format!("no modules.builtin in {}", folder.display()))?
            .lines()
            .filter_map(|line| module_name(Path::new(line)))
            .collect();
        let mut closure = Self { files, builtin, ordered: Vec::new(), seen: BTreeSet::new() };
        for name in WELCOME
            .iter()
            .filter(|name| closure.files.contains_key(**name))
            .copied()
            .collect::<Vec<_>>()
        {
            closure.add(name)?;
        }
        for name in NEEDED {
            closure.add(name)?;
        }
        Ok(closure)
    }

    /// Moves what was added to files below `ready`, and its names in their order to one.
    fn write(&mut self, ready: &Path, order: &str) -> Result<()> {
        let mut names = String::new();
        for (name, module) in self.ordered.drain(..) {
            std::fs::write(ready.join(format!("{name}.ko")), module)?;
            names.push_str(&name);
            names.push('\n');
        }
        Ok(std::fs::write(ready.join(order), names)?)
    }

    fn add(&mut self, name: &str) -> Result<()> {
        if !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let Some(path) = self.files.get(name) else {
            ensure!(self.builtin.contains(name), "this kernel has no module `{name}`");
            return Ok(());
        };
        let module = decompressed(path)?;
        for dependency in dependencies(&module) {
            self.add(&dependency)?;
        }
        self.ordered.push((name.to_owned(), module));
        Ok(())
    }
}

/// `net/virtio-net.ko.xz` is the module `virtio_net`.
fn module_name(path: &Path) -> Option<String> {
    let (name, _) = path.file_name()?.to_str()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

fn decompressed(path: &Path) -> Result<Vec<u8>> {
    let tool = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return Ok(std::fs::read(path)?),
    };
    let package = if tool == "xz" { "xz-utils" } else { "zstd" };
    run(Command::new(tools::find(tool, package)?).args(["--decompress", "--stdout"]).arg(path))
}

/// The names after `depends=` in a module's `.modinfo` section.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module.get(at + KEY.len()..).unwrap_or_default();
    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for path in files(folder)? {
        let kind = path.symlink_metadata()?;
        if kind.is_dir() {
            walk(&path, found)?;
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("no folder {}", folder.display()))?;
    Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
}

fn file_name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{} has an odd name", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_stand_in_modinfo() {
        let module = b"\x7fELF..\0license=GPL\0depends=nf-tables,nfnetlink\0retpoline=Y\0";
        assert_eq!(dependencies(module), ["nf_tables", "nfnetlink"]);
        assert!(dependencies(b"\0depends=\0intree=Y\0").is_empty());
        assert!(dependencies(b"").is_empty());
    }

    #[test]
    fn a_module_is_named_with_underscores() {
        let name = |path| module_name(Path::new(path));
        assert_eq!(name("kernel/crypto/crc32c-intel.ko.xz").as_deref(), Some("crc32c_intel"));
        assert_eq!(name("modules.alias"), None);
    }
}
