//! How an event's data stands to what was measured.

use super::{Content, Description, Event, EventType, describe};
use alloc::vec::Vec;
use touchstone_crypto::{Crypto, HashAlgorithm};

/// How an event's data stands to what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Nothing was measured: `EV_NO_ACTION`.
    NotMeasured,
    /// What the data says is what was measured, and as well proven as the digest.
    Matches,
    /// Something else was measured, which the data only describes: an image, a file, a table.
    Describes,
    /// The profile says that the data is what is measured, and it is not.
    Differs,
    /// There is no digest for this bank.
    NoDigest,
}

impl Binding {
    /// The word for it in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotMeasured => "not measured",
            Self::Matches => "matches",
            Self::Describes => "describes",
            Self::Differs => "differs",
            Self::NoDigest => "no digest",
        }
    }
}

/// What boot loaders write before the line that they measure (GRUB manual, "Measured boot").
const GRUB: [&str; 5] =
    ["grub_cmd: ", "kernel_cmdline: ", "module_cmdline: ", "grub_kernel_cmdline ", "grub_cmd "];

impl Event {
    /// How the data stands to what was measured into the bank of `algorithm`.
    pub fn binding(&self, crypto: &dyn Crypto, algorithm: HashAlgorithm) -> Binding {
        if self.kind == EventType::NO_ACTION {
            return Binding::NotMeasured;
        }
        let Some(digest) = self.digest(algorithm) else { return Binding::NoDigest };
        let is = |octets: &[u8]| crypto.hash(algorithm, &[octets]) == digest;
        if is(&self.data) || self.measured_parts().into_iter().any(is) {
            return Binding::Matches;
        }
        if self.must_match() { Binding::Differs } else { Binding::Describes }
    }

    /// The command that GRUB tells of in this event, and which of its kinds it is.
    pub fn grub_command(&self) -> Option<(&'static str, &[u8])> {
        if self.kind != EventType::IPL {
            return None;
        }
        GRUB.into_iter().find_map(|prefix| {
            let command = self.data.strip_prefix(prefix.as_bytes())?;
            Some((prefix.trim_end_matches([' ', ':']), command))
        })
    }

    /// Parts of the data that some measure instead of all of it.
    fn measured_parts(&self) -> Vec<&[u8]> {
        let data = self.data.as_slice();
        let mut parts = Vec::new();
        match self.kind {
            // GRUB measures the line behind its prefix, with or without the NUL at its end.
            EventType::IPL => {
                let line = self.grub_command().map_or(data, |(_, command)| command);
                parts.extend([line, line.strip_suffix(&[0]).unwrap_or(line)]);
                parts.extend(line.strip_suffix(&[0, 0]));
            }
            // Of a boot variable, only the content is measured (PFP §3.3.4.2).
            EventType::EFI_VARIABLE_BOOT => parts.extend(variable_content(data)),
            EventType::EVENT_TAG => parts.extend(data.get(8..)),
            // shim before 15 left out the last octet of the certificate.
            EventType::EFI_VARIABLE_AUTHORITY => {
                parts.extend(data.split_last().map(|(_, measured)| measured));
            }
            _ => {}
        }
        parts
    }

    /// Whether the profile says that the data is what is measured (PFP §10.4.1).
    fn must_match(&self) -> bool {
        match self.kind {
            EventType::EFI_VARIABLE_DRIVER_CONFIG
            | EventType::EFI_VARIABLE_AUTHORITY
            | EventType::EFI_VARIABLE_BOOT
            | EventType::EFI_VARIABLE_BOOT2
            | EventType::EFI_GPT_EVENT
            | EventType::EFI_ACTION
            | EventType::ACTION
            | EventType::S_CRTM_VERSION
            | EventType::OMIT_BOOT_DEVICE_EVENTS
            | EventType::SEPARATOR
            | EventType::EFI_SPDM_FIRMWARE_BLOB
            | EventType::EFI_SPDM_FIRMWARE_CONFIG
            | EventType::EFI_SPDM_DEVICE_POLICY
            | EventType::EFI_SPDM_DEVICE_AUTHORITY => true,
            EventType::IPL => self.grub_command().is_some(),
            _ => false,
        }
    }
}

fn variable_content(data: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| {
        let octets = data.get(at..)?.first_chunk()?;
        usize::try_from(u64::from_le_bytes(*octets)).ok()
    };
    let at = number(16)?.checked_mul(2)?.checked_add(32)?;
    data.get(at..at.checked_add(number(24)?)?)
}

impl Event {
    /// The content of the variable that this event tells of; `None` if it tells of none.
    pub fn content(&self) -> Option<Content> {
        match describe(self) {
            Description::Variable { vendor, name, data } => {
                Some(Content::of(self.kind, vendor, &name, &data))
            }
            _ => None,
        }
    }
}
