//! The rig: a measured-boot device, its fleet, a checkpoint and real peers on one machine.
//!
//! A device is made as its maker would: [`varstore::SecureBootKeys`], a [`tpm::Tpm`] with an
//! endorsement certificate, a signed [`image::BootImage`] of the distribution's [`kernel::Kernel`]
//! and an [`initramfs::Initramfs`]; [`device::Hardware`] puts them together and is switched on.
//! [`peers`] are programs that we did not write.
//!
//! # What is measured where
//!
//! The SHA-256 bank alone is active. Seen with OVMF 2022.11, systemd-stub 252 and Linux 6.1 (Debian
//! 12; `tests/vectors/rig` holds such a boot), OVMF 2025.02, stub 257 and Linux 6.12 (Debian 13), and
//! OVMF 2024.02, stub 255 and Linux 6.8 (Ubuntu 24.04). Match events by type and content, not by
//! index: the newer ones have more of them.
//!
//! | PCR | event | what its digest is of |
//! |---|---|---|
//! | 0 | `EV_S_CRTM_VERSION`, two `EV_EFI_PLATFORM_FIRMWARE_BLOB` | the firmware |
//! | 1 | `EV_EFI_VARIABLE_BOOT`; newer: `EV_PLATFORM_CONFIG_FLAGS` | BootOrder and Boot####; ACPI tables |
//! | 2, 3, 6 | `EV_SEPARATOR` only | |
//! | 4 | `EV_EFI_ACTION`, `EV_SEPARATOR`, `EV_EFI_BOOT_SERVICES_APPLICATION` | the Authenticode digest of the boot image: everything in it |
//! | 5 | `EV_EFI_ACTION` "Exit Boot Services ..." | |
//! | 7 | `EV_EFI_VARIABLE_DRIVER_CONFIG` SecureBoot, PK, KEK, db, dbx; `EV_SEPARATOR`; with Secure Boot on also `EV_EFI_VARIABLE_AUTHORITY` db | whether Secure Boot is on, whose keys count, and which key verified the image |
//! | 9 | `EV_EVENT_TAG` "LOADED_IMAGE::LoadOptions" | the kernel's command line, UTF-16LE with its NUL |
//! | 9 | `EV_EVENT_TAG` "Linux initrd" | the initramfs, and with it the agent |
//! | 10 | IMA, template `ima-sig` (Ubuntu: `ima-ng`) | first `boot_aggregate` (SHA-256 of PCR 0-9), then each file that is executed, mapped executable, or read by root from the data disk |
//! | 11 | `EV_IPL` twice for each section `.linux`, `.cmdline`, `.initrd`, newer: the stub's own `.sbat` | first the section's name with its NUL, then its content |
//! | 8, 12-15 | never extended | |
//!
//! The command line is therefore in PCR 4, 9 and 11, the kernel in PCR 4 and 11, the initramfs in
//! PCR 4, 9 and 11, Secure Boot's state and keys in PCR 7. Files of the initramfs are not in the IMA
//! list: its policy leaves out temporary file systems.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")
)]

pub mod bench;
pub mod bpf;
mod cpio;
pub mod device;
pub mod errand;
mod hand;
pub mod image;
pub mod initramfs;
pub mod interrupt;
pub mod kernel;
pub mod peers;
pub mod process;
pub mod scene;
pub mod sensor;
pub mod starts;
pub mod tools;
pub mod tpm;
pub mod tpm_users;
pub mod varstore;
pub mod verdict;
pub mod watching;

pub use hand::{Said, quoted};

/// The folder of the programs: `TOUCHSTONE_PROGRAMS`, or the one that this program is in.
pub fn programs() -> anyhow::Result<std::path::PathBuf> {
    if let Some(folder) = std::env::var_os("TOUCHSTONE_PROGRAMS") {
        return Ok(folder.into());
    }
    let own = std::env::current_exe()?;
    let folder = own.parent().unwrap_or(std::path::Path::new("."));
    anyhow::ensure!(
        folder.join("touchstone-agent").exists(),
        "no programs in {}: run `cargo xtask test`, which builds them",
        folder.display()
    );
    Ok(folder.to_owned())
}
