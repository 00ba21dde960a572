//! The device: a PC in software (QEMU, no KVM) with UEFI firmware, a TPM, a boot disk and a data
//! disk. It is assembled once and can be switched on and off; its TPM, its firmware variables and
//! its data disk keep their state.

use crate::hand::{Hand, Said};
use crate::image::BootImage;
use crate::process::{Launch, Process, listens};
use crate::tools::{self, first_existing, run};
use crate::tpm::Tpm;
use crate::varstore::{self, SecureBootKeys};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The host's loopback address, as the device sees it.
pub const HOST: &str = "10.0.2.2";

/// The build of OVMF that keeps its variables where the operating system cannot write.
const FIRMWARE: &[&str] = &["/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"];
/// An empty variable store for it.
const VARIABLES: &[&str] = &["/usr/share/OVMF/OVMF_VARS_4M.fd"];

/// Whose keys the firmware trusts.
pub enum SecureBoot<'a> {
    /// On, and only these keys count.
    On(&'a SecureBootKeys),
    /// No platform key: anything boots.
    Off,
}

/// A device that is assembled and not switched on.
pub struct Hardware {
    folder: PathBuf,
    tpm: Tpm,
}

impl Hardware {
    /// Assembles a device in `folder`: a boot disk with `image`, a data disk with the content of
    /// `data`, firmware variables, and the TPM.
    pub fn assemble(
        folder: &Path,
        image: &BootImage,
        secure_boot: &SecureBoot<'_>,
        data: &Path,
        tpm: Tpm,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let template = std::fs::read(first_existing("firmware variables", "ovmf", VARIABLES)?)?;
        let variables = match secure_boot {
            SecureBoot::On(keys) => varstore::enrol(&template, keys)?,
            SecureBoot::Off => template,
        };
        std::fs::write(folder.join("variables.fd"), variables)?;
        image.write_boot_disk(&folder.join("boot.img"))?;
        let disk = folder.join("data.img");
        std::fs::File::create(&disk)?.set_len(128 << 20)?;
        run(Command::new(tools::find("mke2fs", "e2fsprogs")?)
            .args(["-q", "-F", "-t", "ext4", "-m", "0", "-E", "root_owner=0:0", "-d"])
            .arg(data)
            .arg(&disk))?;
        Ok(Self { folder: folder.into(), tpm })
    }

    /// Puts another image on the boot disk, of a device that is off.
    pub fn install(&self, image: &BootImage) -> Result<()> {
        image.write_boot_disk(&self.folder.join("boot.img"))
    }

    /// The TPM.
    pub fn tpm(&self) -> &Tpm {
        &self.tpm
    }

    /// Everything that went over the device's network, as a capture file; of the last time it was on.
    pub fn capture(&self) -> PathBuf {
        self.folder.join("network.pcap")
    }

    /// Switches the device on.
    pub fn power_on(&self) -> Result<Device> {
        let file = |name: &str| self.folder.join(name);
        let (console, shell, data) = (file("console.log"), file("shell.sock"), file("data.sock"));
        for old in [&console, &shell, &data] {
            if old.exists() {
                std::fs::remove_file(old)?;
            }
        }
        let tpm = self.tpm.power_on(&file("tpm.sock"))?;
        let started = Instant::now();
        let mut machine = self.qemu()?.start()?;
        let sockets = |_: &mut Process| Ok(listens(&shell)? && listens(&data)?);
        machine.wait_until("the ports of its shell", Duration::from_secs(20), sockets)?;
        let hand = Hand::connect(&shell, &data).context("the device's ports")?;
        Ok(Device { machine: Mutex::new(machine), _tpm: tpm, console, hand: hand.into(), started })
    }

    fn qemu(&self) -> Result<Launch> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let firmware = first_existing("firmware with Secure Boot", "ovmf", FIRMWARE)?;
        let port = |id: &str| {
            let path = file(&format!("{id}.sock"));
            format!("socket,id={id},path={path},server=on,wait=off")
        };
        let qemu = tools::find("qemu-system-x86_64", "qemu-system-x86")?;
        Ok(Launch::new("qemu", qemu, file("qemu.log"))
            .args(["-machine", "q35,smm=on,accel=tcg", "-cpu", "max", "-m", "512"])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            // Variables can be written from system management mode alone: the firmware checks.
            .args(["-global", "driver=cfi.pflash01,property=secure,value=on"])
            .args(["-global", "ICH9-LPC.disable_s3=1"])
            .arg("-drive")
            .arg(format!("if=pflash,unit=0,format=raw,readonly=on,file={}", firmware.display()))
            .arg("-drive")
            .arg(format!("if=pflash,unit=1,format=raw,file={}", file("variables.fd")))
            .arg("-chardev")
            .arg(format!("socket,id=tpm,path={}", file("tpm.sock")))
            // The CRB interface takes a third of the time of TIS under emulation.
            .args(["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"])
            .arg("-drive")
            .arg(format!("if=none,id=boot,format=raw,readonly=on,file={}", file("boot.img")))
            .args(["-device", "virtio-blk-pci,drive=boot,bootindex=1"])
            .arg("-drive")
            .arg(format!("if=none,id=store,format=raw,file={}", file("data.img")))
            .args(["-device", "virtio-blk-pci,drive=store"])
            // No option ROM: the firmware would try to boot from the network.
            .args(["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="])
            .arg("-object")
            .arg(format!("filter-dump,id=capture,netdev=net,file={}", file("network.pcap")))
            .args(["-device", "virtio-serial-pci"])
            .args([
                "-chardev",
                &port("shell"),
                "-device",
                "virtserialport,chardev=shell,name=rig.shell",
            ])
            .args([
                "-chardev",
                &port("data"),
                "-device",
                "virtserialport,chardev=data,name=rig.data",
            ])
            .arg("-serial")
            .arg(format!("file:{}", file("console.log"))))
    }
}

/// How a boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// Init runs, this long after switching on.
    Up(Duration),
    /// The firmware refused the image, and said this.
    Refused(String),
}

/// A device that is on. Dropping it pulls the plug.
pub struct Device {
    machine: Mutex<Process>,
    _tpm: Process,
    console: PathBuf,
    hand: Mutex<Hand>,
    started: Instant,
}

impl Device {
    /// Waits until the device is up, or until its firmware refuses to boot it.
    pub fn boot(&self, limit: Duration) -> Result<Boot> {
        let mut outcome = None;
        let look = |_: &mut Process| {
            let console = self.console()?;
            if console.contains("rig: ready") {
                outcome = Some(Boot::Up(self.started.elapsed()));
            } else if let Some(line) = refusal(&console) {
                outcome = Some(Boot::Refused(line));
            }
            Ok(outcome.is_some())
        };
        let waited = self.machine().wait_until("boot", limit, look);
        waited.with_context(|| {
            let console = self.console().unwrap_or_default();
            format!("the device's console:\n{}", tools::tail(console.as_bytes(), 3_000))
        })?;
        outcome.context("a boot without outcome")
    }

    /// Waits until the device is up; anything else is an error.
    pub fn wait_until_up(&self, limit: Duration) -> Result<Duration> {
        match self.boot(limit)? {
            Boot::Up(after) => Ok(after),
            Boot::Refused(line) => bail!("the firmware refused to boot: {line}"),
        }
    }

    /// What the device has written to its serial console, without control sequences.
    pub fn console(&self) -> Result<String> {
        match std::fs::read(&self.console) {
            Ok(bytes) => Ok(plain(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs a script as root on the device.
    pub fn shell(&self, script: &str, limit: Duration) -> Result<Said> {
        self.hand().run(script, limit)
    }

    /// Runs a script that has to succeed within ten seconds, and gives what it said, trimmed.
    pub fn ask(&self, script: &str) -> Result<String> {
        let said = self.shell(script, Duration::from_secs(10))?;
        ensure!(said.status == 0, "`{script}` ended with {}: {}", said.status, said.text());
        Ok(said.text().trim().to_owned())
    }

    /// Writes a file on the device.
    pub fn push(&self, content: &[u8], path: &str, executable: bool) -> Result<()> {
        self.hand().push(content, path, executable)
    }

    /// Reads a file of the device.
    pub fn pull(&self, path: &str) -> Result<Vec<u8>> {
        self.hand().pull(path)
    }

    /// The process id of a service on the device.
    pub fn service(&self, name: &str) -> Result<u32> {
        Ok(self.ask(&format!("cat /run/{name}.pid"))?.parse()?)
    }

    /// Switches the device off in order: what it has written is on its disk.
    pub fn power_off(self) -> Result<()> {
        // The answer is lost when the machine is quicker.
        let _ = self.shell("sync; umount /data; sync; poweroff -f", Duration::from_secs(3));
        self.machine().wait(Duration::from_secs(10)).context("the device stayed on")?;
        Ok(())
    }

    fn machine(&self) -> std::sync::MutexGuard<'_, Process> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand(&self) -> std::sync::MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The firmware's refusal: its boot manager could not load an entry because of the image's
/// signature (EDK II, `EfiBootManagerBoot`).
fn refusal(console: &str) -> Option<String> {
    console
        .lines()
        .find(|line| {
            line.contains("BdsDxe: failed to")
                && (line.ends_with("Access Denied") || line.ends_with("Security Violation"))
        })
        .map(|line| line.trim().to_owned())
}

/// A console's text without escape sequences and carriage returns.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            // ECMA-48 §5.4: a control sequence ends with a letter.
            '\u{1B}' => drop(chars.find(char::is_ascii_alphabetic)),
            '\r' | '\0' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &[u8] =
        b"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading Boot0001 \"disk\" from Pci(0x1)\r\n\
        BdsDxe: failed to load Boot0001 \"disk\" from Pci(0x1): Access Denied\r\n\
        BdsDxe: failed to start Boot0002 \"EFI Internal Shell\": Security Violation\r\n";

    #[test]
    fn a_refusal_is_read_from_the_console() {
        let line = refusal(&plain(REFUSED)).unwrap();
        assert_eq!(line, "BdsDxe: failed to load Boot0001 \"disk\" from Pci(0x1): Access Denied");
    }

    #[test]
    fn a_missing_disk_is_no_refusal() {
        assert_eq!(refusal("BdsDxe: failed to load Boot0001 \"disk\": Not Found\n"), None);
    }
}
