//! The distribution's own kernel, from its package but never installed: the image and the modules
//! that the device needs, in the order in which they load.
//!
//! The package is fetched once (`apt-get download`) into a cache beside cargo's output.

use crate::tools::{self, run};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the device cannot do without, as modules or built into the kernel.
#[rustfmt::skip]
const NEEDED: &[&str] = &[
    "virtio_pci", "virtio_net", "virtio_blk", "virtio_console", "ext4", "efivarfs",
    "nf_tables", "nft_ct", "nft_reject_inet", "tpm_crb",
];

/// What ext4 asks for by algorithm instead of by module name; newer kernels have it built in.
const WELCOME: &[&str] = &["crc32c_generic", "crc32c_intel"];

/// The packages that depend on the newest kernel: Debian's and Ubuntu's name.
const META_PACKAGES: &[&str] = &["linux-image-amd64", "linux-image-generic"];

/// A kernel and its modules on the host's disk.
pub struct Kernel {
    /// Its version, as `uname -r` says it on the device.
    pub version: String,
    /// The bzImage.
    pub image: PathBuf,
    /// Modules, each after those it depends on.
    pub modules: Vec<PathBuf>,
}

/// The file that makes a folder of the cache complete: module names in the order of loading.
const ORDER: &str = "order";

impl Kernel {
    /// The kernel in the cache; the first time, fetches it from the distribution's mirror.
    pub fn find() -> Result<Self> {
        let cache = cache_folder()?;
        if let Some(kernel) = Self::cached(&cache)? {
            return Ok(kernel);
        }
        // Rigs that start at the same time fetch once: the others wait here.
        let lock = File::create(cache.join("lock"))?;
        lock.lock()?;
        if Self::cached(&cache)?.is_none() {
            Self::fetch(&cache)
                .or_else(|error| {
                    eprintln!("rig: {error:#}; updating the lists of packages");
                    run(Command::new("apt-get").args(["update", "--quiet"]))?;
                    Self::fetch(&cache)
                })
                .with_context(|| format!("no kernel for the device in {}", cache.display()))?;
        }
        Self::cached(&cache)?.context("the kernel was fetched and is not in the cache")
    }

    fn cached(cache: &Path) -> Result<Option<Self>> {
        let mut versions: Vec<PathBuf> = cache
            .read_dir()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|folder| folder.join(ORDER).is_file())
            .collect();
        versions.sort();
        let Some(folder) = versions.pop() else { return Ok(None) };
        let version = file_name(&folder)?.trim_start_matches("kernel-").to_owned();
        let modules = std::fs::read_to_string(folder.join(ORDER))?
            .lines()
            .map(|name| folder.join(format!("{name}.ko")))
            .collect();
        Ok(Some(Self { version, image: folder.join("vmlinuz"), modules }))
    }

    fn fetch(cache: &Path) -> Result<()> {
        let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(cache)?;
        let packages = newest_packages()?;
        eprintln!("rig: fetching {} (once)", packages.join(" and "));
        run(Command::new("apt-get")
            .args(["download", "--quiet"])
            .args(&packages)
            .current_dir(work.path()))?;
        let root = work.path().join("root");
        for entry in work.path().read_dir()? {
            let package = entry?.path();
            if package.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
            }
        }
        let boot = root.join("boot");
        let image = files(&boot)?
            .into_iter()
            .find(|path| file_name(path).is_ok_and(|name| name.starts_with("vmlinuz-")))
            .with_context(|| format!("no vmlinuz in {packages:?}"))?;
        let version = file_name(&image)?.trim_start_matches("vmlinuz-").to_owned();
        let modules = ["lib/modules", "usr/lib/modules"]
            .iter()
            .map(|folder| root.join(folder).join(&version))
            .find(|folder| folder.is_dir())
            .with_context(|| format!("no modules in {packages:?}"))?;
        // Complete or absent: the folder gets its name last.
        let ready = work.path().join("ready");
        std::fs::create_dir(&ready)?;
        std::fs::copy(&image, ready.join("vmlinuz"))?;
        let mut order = String::new();
        for (name, module) in Closure::of(&modules)?.ordered {
            std::fs::write(ready.join(format!("{name}.ko")), module)?;
            order.push_str(&name);
            order.push('\n');
        }
        std::fs::write(ready.join(ORDER), order)?;
        Ok(std::fs::rename(&ready, cache.join(format!("kernel-{version}")))?)
    }
}

fn cache_folder() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let cache = std::path::absolute(target.join("rig-cache"))?;
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
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
