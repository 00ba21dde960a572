//! A boot of a unified kernel image, from the firmware to the running system.

use super::{InnerKernel, Prediction, SecureBoot, State, Uki};
use crate::Error;
use crate::authenticode;
use crate::tcg::EventType;
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, HashAlgorithm};

/// How a firmware goes about it; the default is what most do, and the profile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// What its separators are: 0, or 0xFFFFFFFF (PFP §3.3.2.2).
    pub separator: u32,
    /// Whether it measures "Calling EFI Application from Boot Option" into PCR 4 (PFP §3.3.4.5).
    pub boot_option_action: bool,
}

impl Default for Firmware {
    fn default() -> Self {
        Self { separator: 0, boot_option_action: true }
    }
}

/// Something that the stub measures beside the image.
#[derive(Clone, Copy, Debug)]
pub struct Addition<'a> {
    /// What it is, for people.
    pub what: &'a str,
    /// The octets that are measured.
    pub octets: &'a [u8],
}

/// Everything that decides what will be measured. Start from [`Boot::of`] and say what is
/// otherwise.
#[derive(Clone, Debug)]
pub struct Boot<'a> {
    /// The unified kernel image, signed or not: a signature changes nothing but PCR 7.
    pub uki: &'a [u8],
    /// How the firmware goes about it.
    pub firmware: Firmware,
    /// Without it PCR 7 is left out, PCR 4 as well where the version of the stub makes it depend on this,
    /// and a command line is taken as if Secure Boot were off.
    pub secure_boot: Option<SecureBoot<'a>>,
    /// PE images that are loaded before, in their order: shim, a boot manager.
    pub loaders: Vec<&'a [u8]>,
    /// Whether the kernel in the image is measured into PCR 4 as well; `None` for what the version of
    /// the stub does where there is no shim.
    pub inner_kernel: Option<InnerKernel>,
    /// The profile that is booted.
    pub profile: u32,
    /// A command line from the boot entry. The stub takes it only if Secure Boot is off or the image
    /// has none, and then measures it into PCR 12.
    pub command_line: Option<&'a str>,
    /// What else goes into PCR 12, in its order: command lines of addons (UTF-16 with a NUL), credentials
    /// (the archive made of them).
    pub configuration: Vec<Addition<'a>>,
    /// System extensions (the archive made of them), for PCR 13.
    pub extensions: Vec<Addition<'a>>,
    /// What the kernel is given as initrd, if it is not what is in the image.
    pub initrd: Option<&'a [u8]>,
    /// Boot phases that the running system has measured into PCR 11: the first of [`PHASES`](super::PHASES).
    pub phases: &'a [&'a str],
}

impl<'a> Boot<'a> {
    /// A boot of this image right from the firmware, up to the kernel.
    pub const fn of(uki: &'a [u8]) -> Self {
        Self {
            uki,
            firmware: Firmware { separator: 0, boot_option_action: true },
            secure_boot: None,
            loaders: Vec::new(),
            inner_kernel: None,
            profile: 0,
            command_line: None,
            configuration: Vec::new(),
            extensions: Vec::new(),
            initrd: None,
            phases: &[],
        }
    }

    /// What will be measured into PCR 4, 7, 9, 11, 12 and 13.
    ///
    /// PCR 9 is what Linux from 6.0 on measures of its command line and initrd.
    pub fn predict(
        &self,
        crypto: &dyn Crypto,
        algorithm: HashAlgorithm,
    ) -> Result<Prediction, Error> {
        let uki = Uki::decode(self.uki)?;
        let mut to = Prediction::new(algorithm);
        match &self.secure_boot {
            Some(secure_boot) => secure_boot.predict(crypto, self.firmware.separator, &mut to),
            None => to.leave_out(7, "the variables of Secure Boot are not known"),
        }
        self.applications(crypto, &uki, &mut to)?;
        self.sections(crypto, &uki, &mut to);
        self.kernel(crypto, &uki, &mut to);
        for phase in self.phases {
            to.measure(crypto, 11, EventType::IPL, phase, &[phase.as_bytes()]);
        }
        Ok(to)
    }

    /// PCR 4 (PFP §3.3.4.5).
    fn applications(
        &self,
        crypto: &dyn Crypto,
        uki: &Uki<'_>,
        to: &mut Prediction,
    ) -> Result<(), Error> {
        const CALLING: &str = "Calling EFI Application from Boot Option";
        if self.firmware.boot_option_action {
            to.measure(crypto, 4, EventType::EFI_ACTION, CALLING, &[CALLING.as_bytes()]);
        }
        let separator = self.firmware.separator.to_le_bytes();
        to.measure(crypto, 4, EventType::SEPARATOR, "separator", &[&separator]);
        let kind = EventType::EFI_BOOT_SERVICES_APPLICATION;
        for (index, loader) in (0..).zip(&self.loaders) {
            let digest = authenticode::digest(crypto, to.algorithm(), loader)
                .map_err(|error| Error { index, ..error })?;
            to.extend(4, kind, "boot loader", digest);
        }
        to.extend(4, kind, "unified kernel image", uki.digest(crypto, to.algorithm())?);
        let state = self.secure_boot.as_ref().map(|known| known.state);
        let kernel = uki.section(".linux", self.profile);
        match (self.inner_kernel.or_else(|| uki.inner_kernel(state)), kernel) {
            (Some(InnerKernel::Measured), Some(kernel)) => {
                let digest = authenticode::digest(crypto, to.algorithm(), kernel)?;
                to.extend(4, kind, "kernel", digest);
            }
            (None, _) => {
                let why = "whether the kernel in the image is measured depends on Secure Boot";
                to.leave_out(4, why);
            }
            _ => {}
        }
        Ok(())
    }

    /// PCR 11, up to the kernel.
    fn sections(&self, crypto: &dyn Crypto, uki: &Uki<'_>, to: &mut Prediction) {
        if uki.depends_on_machine() {
            to.leave_out(11, "which device tree or firmware is taken depends on the machine");
        }
        for section in uki.measured(self.profile) {
            let named = |of: &str| alloc::format!("{of} of {}", section.name);
            let name = [section.name.as_bytes(), &[0]];
            to.measure(crypto, 11, EventType::IPL, &named("name"), &name);
            let mut content = alloc::vec![section.data];
            content.extend(core::iter::repeat_n(&ZEROS[..], section.zeros / ZEROS.len()));
            content.extend(ZEROS.get(..section.zeros % ZEROS.len()));
            to.measure(crypto, 11, EventType::IPL, &named("content"), &content);
        }
    }

    /// PCR 12, 13 and 9.
    fn kernel(&self, crypto: &dyn Crypto, uki: &Uki<'_>, to: &mut Prediction) {
        let profile = self.profile;
        if profile != 0 {
            let number = utf16_nul(&alloc::format!("{profile}"));
            to.measure(crypto, 12, EventType::EVENT_TAG, "profile", &[&number]);
        }
        let secure = self.secure_boot.as_ref().is_some_and(|known| known.state == State::On);
        let built_in = uki.section(".cmdline", profile);
        let given = self.command_line.filter(|_| !secure || built_in.is_none());
        let line = match (given, built_in) {
            (Some(line), _) => {
                let line = mangle(line);
                to.measure(crypto, 12, EventType::IPL, "command line", &[&utf16_nul(&line)]);
                Some(line)
            }
            (None, Some(octets)) => core::str::from_utf8(octets).ok().map(mangle),
            (None, None) => Some(String::new()),
        };
        for (pcr, additions) in [(12, &self.configuration), (13, &self.extensions)] {
            for addition in additions {
                to.measure(crypto, pcr, EventType::IPL, addition.what, &[addition.octets]);
            }
        }
        for pcr in [12, 13] {
            to.complete(pcr);
        }
        self.linux(crypto, uki, line.as_deref(), to);
    }

    /// PCR 9: what Linux's own stub measures of its load options and its initrd
    /// (`drivers/firmware/efi/libstub/efi-stub-helper.c`).
    fn linux(&self, crypto: &dyn Crypto, uki: &Uki<'_>, line: Option<&str>, to: &mut Prediction) {
        let kind = EventType::EVENT_TAG;
        let Some(line) = line.filter(|line| line.is_ascii()) else {
            return to.leave_out(9, "the command line in the image is not ASCII");
        };
        let additional = !self.configuration.is_empty() || !self.extensions.is_empty();
        let built_in = uki.section(".initrd", self.profile);
        let grows = additional || uki.initrd_grows(self.profile);
        if self.initrd.is_none() && built_in.is_some() && grows {
            return to.leave_out(9, "the stub adds archives of its own to the initrd");
        }
        let Some(initrd) = self.initrd.or(built_in) else {
            return to.leave_out(9, "the image has no initrd");
        };
        to.measure(crypto, 9, kind, "LOADED_IMAGE::LoadOptions", &[&utf16_nul(line)]);
        to.measure(crypto, 9, kind, "Linux initrd", &[initrd]);
    }
}

static ZEROS: [u8; 65_536] = [0; 65_536];

/// What the stub makes of a command line: no white space around it, and no control characters.
fn mangle(line: &str) -> String {
    let line = line.split('\0').next().unwrap_or_default();
    let line: String = line.chars().map(|c| if c <= '\u{1f}' { ' ' } else { c }).collect();
    line.trim_matches(' ').into()
}

/// UTF-16 as UEFI has it, with its NUL.
fn utf16_nul(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}
