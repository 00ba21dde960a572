//! The boot image: a unified kernel image (UAPI.5) of systemd's stub, the distribution's kernel, an
//! initramfs and a command line, signed for Secure Boot; and the boot disk that carries it.

use crate::kernel::Kernel;
use crate::tools::{self, first_existing, run};
use crate::varstore::SecureBootKeys;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use touchstone_crypto::{Crypto, Digest, HashAlgorithm};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::authenticode;

/// Measure every executable, and every file that root reads, before it is used; serial console; a
/// panic ends the boot.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 ima_policy=tcb ima_hash=sha256 \
                            proc_mem.force_override=always";

/// systemd's stub on Debian 12 and 13 and on Ubuntu 24.04.
const STUBS: &[&str] = &["/usr/lib/systemd/boot/efi/linuxx64.efi.stub"];

/// What goes into a boot image.
pub struct Recipe<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The compressed root file system.
    pub initramfs: &'a Path,
    /// More words for the kernel's command line.
    pub more_command_line: &'a str,
}

/// A boot image, and what of it will be measured.
pub struct BootImage {
    path: PathBuf,
    command_line: String,
}

/// The SHA-256 digests that stand in the event log once this image has booted.
pub struct Measured {
    /// PCR 4, `EV_EFI_BOOT_SERVICES_APPLICATION`: the Authenticode digest of the whole image.
    pub image: Digest,
    /// PCR 11, `EV_IPL`: name and digest of each section. A stub measures those it knows.
    pub sections: Vec<(String, Digest)>,
    /// PCR 9, `EV_EVENT_TAG` "Linux initrd".
    pub initrd: Digest,
    /// PCR 9, `EV_EVENT_TAG` "LOADED_IMAGE::LoadOptions": the command line in UTF-16 with its NUL.
    pub load_options: Digest,
}

impl BootImage {
    /// Builds an image at `path`, not signed yet.
    pub fn build(recipe: &Recipe<'_>, path: &Path) -> Result<Self> {
        let stub = first_existing("systemd stub", "systemd-boot-efi", STUBS)?;
        let command_line = format!("{COMMAND_LINE} {}", recipe.more_command_line);
        let command_line = command_line.trim_end().to_owned();
        let work = tempfile::tempdir()?;
        let line_file = work.path().join("cmdline");
        std::fs::write(&line_file, &command_line)?;
        // No `.osrel`: newer stubs would append it to the initramfs, and with it what is measured.
        let contents = [
            (".cmdline", line_file.as_path()),
            (".initrd", recipe.initramfs),
            (".linux", recipe.kernel.image.as_path()),
        ];
        let mut address = end_of_sections(&std::fs::read(&stub)?)
            .with_context(|| format!("{} is no PE image", stub.display()))?;
        let mut objcopy = Command::new(tools::find("objcopy", "binutils")?);
        for (name, file) in contents {
            let file_len =
                file.metadata().with_context(|| format!("cannot read {}", file.display()))?.len();
            objcopy.arg("--add-section").arg(format!("{name}={}", file.display()));
            objcopy.arg("--change-section-vma").arg(format!("{name}={address:#x}"));
            address += file_len.next_multiple_of(PAGE);
        }
        run(objcopy.arg(&stub).arg(path))?;
        Ok(Self { path: path.into(), command_line })
    }

    /// The same image at `path`, signed with the db key.
    pub fn signed(&self, keys: &SecureBootKeys, path: &Path) -> Result<Self> {
        let work = tempfile::tempdir()?;
        let (key, cert) = (work.path().join("db.key"), work.path().join("db.pem"));
        std::fs::write(&key, &keys.db_key_pem)?;
        std::fs::write(&cert, &keys.db_pem)?;
        run(Command::new(tools::find("sbsign", "sbsigntool")?)
            .arg("--key")
            .arg(&key)
            .arg("--cert")
            .arg(&cert)
            .arg("--output")
            .arg(path)
            .arg(&self.path))?;
        Ok(Self { path: path.into(), command_line: self.command_line.clone() })
    }

    /// A copy at `path` in which somebody replaced `old` in the command line by `new`, of the same
    /// length, without signing it again.
    pub fn tampered(&self, old: &str, new: &str, path: &Path) -> Result<Self> {
        ensure!(old.len() == new.len(), "`{old}` and `{new}` differ in length");
        let changed = self.command_line.replace(old, new);
        ensure!(changed != self.command_line, "`{old}` is not in `{}`", self.command_line);
        let mut image = std::fs::read(&self.path)?;
        let line = self.command_line.as_bytes();
        let at = image.windows(line.len()).position(|window| window == line);
        let at = at.with_context(|| format!("no command line in {}", self.path.display()))?;
        image
            .get_mut(at..at + line.len())
            .context("the command line left the image")?
            .copy_from_slice(changed.as_bytes());
        std::fs::write(path, image)?;
        Ok(Self { path: path.into(), command_line: changed })
    }

    /// Where the image is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's command line.
    pub fn command_line(&self) -> &str {
        &self.command_line
    }

    /// What a boot of this image puts into the event log.
    pub fn measured(&self) -> Result<Measured> {
        let file = std::fs::read(&self.path)?;
        let odd = || format!("{} is no PE image", self.path.display());
        let image = authenticode::digest(&AwsLc, HashAlgorithm::Sha256, &file).with_context(odd)?;
        let sections: Vec<(String, Digest)> = authenticode::sections(&file)
            .with_context(odd)?
            .iter()
            .map(|section| (section.name.to_owned(), sha256(section.data)))
            .collect();
        let initrd = sections.iter().find(|(name, _)| name == ".initrd");
        let initrd = initrd.context("an image without initrd")?.1;
        let options: Vec<u8> =
            self.command_line.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        Ok(Measured { image, sections, initrd, load_options: sha256(&options) })
    }

    /// Writes a boot disk: one FAT file system with the image where firmware looks for it
    /// (UEFI §3.5.1.1).
    pub fn write_boot_disk(&self, disk: &Path) -> Result<()> {
        const MIB: u64 = 1 << 20;
        let size = self.path.metadata()?.len().next_multiple_of(MIB) + 4 * MIB;
        // FAT32 from 36 MiB on; smaller disks are FAT16, which firmware reads as well.
        std::fs::File::create(disk)?.set_len(size)?;
        let on_disk = |tool: &str| -> Result<Command> {
            let mut command = Command::new(tools::find(tool, "mtools")?);
            // The size is no multiple of an imaginary cylinder's.
            command.env("MTOOLS_SKIP_CHECK", "1").arg("-i").arg(disk);
            Ok(command)
        };
        run(on_disk("mformat")?.args(["-v", "BOOT", "-T", &(size / 512).to_string(), "::"]))?;
        run(on_disk("mmd")?.args(["::/EFI", "::/EFI/BOOT"]))?;
        run(on_disk("mcopy")?.arg(&self.path).arg("::/EFI/BOOT/BOOTX64.EFI"))?;
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    AwsLc.hash(HashAlgorithm::Sha256, &[bytes])
}

const PAGE: u64 = 4096;

/// The first free address after the sections of a PE image, as objcopy counts: with the image base.
fn end_of_sections(image: &[u8]) -> Option<u64> {
    let pe = usize::try_from(u32_at(image, 0x3C)?).ok()?;
    if image.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let sections = usize::from(u16_at(image, pe + 6)?);
    let optional_len = usize::from(u16_at(image, pe + 20)?);
    let optional = pe + 24;
    // PE32+ only: the image base is 64 bits at 24.
    if u16_at(image, optional)? != 0x20B {
        return None;
    }
    let base = u64::from_le_bytes(*image.get(optional + 24..)?.first_chunk()?);
    let mut end = 0;
    for index in 0..sections {
        let header = optional + optional_len + 40 * index;
        let size = u64::from(u32_at(image, header + 8)?.max(u32_at(image, header + 16)?));
        end = end.max(u64::from(u32_at(image, header + 12)?) + size);
    }
    Some(base + end.next_multiple_of(PAGE))
}

fn u32_at(image: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*image.get(at..)?.first_chunk()?))
}

fn u16_at(image: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*image.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_sections_come_after_the_stubs_own() {
        let stub = first_existing("systemd stub", "systemd-boot-efi", STUBS).unwrap();
        let end = end_of_sections(&std::fs::read(&stub).unwrap()).unwrap();
        let objdump = run(Command::new("objdump").arg("-h").arg(&stub)).unwrap();
        let last = String::from_utf8(objdump)
            .unwrap()
            .lines()
            .filter_map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.first()?.parse::<u32>().ok()?;
                let number = |word: &str| u64::from_str_radix(word, 16).ok();
                Some(number(words.get(2)?)? + number(words.get(3)?)?)
            })
            .max()
            .unwrap();
        assert!(end >= last, "{end:#x} is before {last:#x}");
        assert!(end - last <= 2 * PAGE, "{end:#x} is far from {last:#x}");
    }

    #[test]
    fn what_is_no_pe_image_has_no_sections() {
        assert_eq!(end_of_sections(b""), None);
        assert_eq!(end_of_sections(&[0; 4096]), None);
    }
}
