//! What an event's data says, decoded by its type. Says it; does not prove it: see
//! [`Event::binding`](super::Event::binding).

use super::{
    Content, DevicePath, DeviceSecurity, Event, EventType, Gpt, Guid, HandoffTable,
    PlatformReference, SpecId, no_action, platform, tags, text,
};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use touchstone_wire::Reader;

/// An event's data, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Description {
    /// The Spec ID event at the head of a log (PFP §10.4.5.1).
    SpecId(SpecId),
    /// The locality that the TPM was started from (PFP §10.4.5.3).
    StartupLocality(u8),
    /// Where the platform's reference measurements are (PFP §10.4.5.2).
    PlatformReference(PlatformReference),
    /// An event of no known form that is not measured, by its signature.
    Signature(String),
    /// A UEFI variable (UEFI_VARIABLE_DATA, PFP §10.2.6); [`Content`] tells what is in it.
    Variable {
        /// Whose variable it is.
        vendor: Guid,
        /// Its name: `SecureBoot`.
        name: String,
        /// Its content.
        data: Vec<u8>,
    },
    /// An image that was loaded (UEFI_IMAGE_LOAD_EVENT, PFP §10.2.3): application, driver, option ROM.
    Image {
        /// Where it was loaded.
        address: u64,
        /// How long it is in memory.
        len: u64,
        /// Where it was linked to be.
        link_address: u64,
        /// Where it came from.
        path: DevicePath,
    },
    /// A firmware volume (UEFI_PLATFORM_FIRMWARE_BLOB and its second form, PFP §10.2.4, §10.2.5).
    FirmwareBlob {
        /// What the firmware calls it; empty in the first form.
        name: String,
        /// Where it is.
        base: u64,
        /// How long it is.
        len: u64,
    },
    /// Tables that the firmware hands over: SMBIOS, ACPI (PFP §10.2.7).
    HandoffTables {
        /// What the firmware calls them; empty in the first form.
        name: String,
        /// Which tables.
        tables: Vec<HandoffTable>,
    },
    /// The partition table of the disk that was booted.
    Gpt(Gpt),
    /// What a device stated of itself (PFP §10.2.9).
    DeviceSecurity(DeviceSecurity),
    /// A tagged event (TCG_PCClientTaggedEvent, PFP §10.2.8): how the Linux EFI stub tells of
    /// load options and initrd.
    Tagged {
        /// What kind of thing was measured; [`tag_name`](super::tag_name) tells of some.
        id: u32,
        /// Its description, as text if it is text.
        text: String,
    },
    /// A separator: 0 or 0xFFFFFFFF in order, anything else after an error (PFP §3.3.2.2).
    Separator(u32),
    /// A GUID, as some firmware has for its version.
    Guid(Guid),
    /// Text: actions, boot loader strings.
    Text(String),
    /// Octets of no known form.
    Opaque,
}

impl Description {
    /// The variable's content, if this is the variable of that name.
    pub fn variable(&self, wanted: &str) -> Option<&[u8]> {
        match self {
            Self::Variable { name, data, .. } if name == wanted => Some(data),
            _ => None,
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpecId(spec_id) => spec_id.fmt(f),
            Self::StartupLocality(locality) => write!(f, "started from locality {locality}"),
            Self::PlatformReference(reference) => reference.fmt(f),
            Self::Signature(name) => write!(f, "\"{name}\" of no known form"),
            Self::Variable { name, data, .. } if data.len() == 1 => {
                write!(f, "{name} is {}", data.first().copied().unwrap_or(0))
            }
            Self::Variable { vendor, name, data } => {
                write!(f, "{name} ({} octets)", data.len())?;
                match Content::of(EventType::EFI_VARIABLE_BOOT, *vendor, name, data) {
                    Content::Other => Ok(()),
                    content => write!(f, ": {content}"),
                }
            }
            Self::Image { path, .. } => write!(f, "image {path}"),
            Self::FirmwareBlob { name, base, len } => {
                write!(f, "firmware {name} at {base:#x}, {len} octets")
            }
            Self::HandoffTables { name, tables } => {
                write!(f, "tables {name}")?;
                tables.iter().try_for_each(|table| match table.guid.name() {
                    Some(known) => write!(f, " {known}"),
                    None => write!(f, " {}", table.guid),
                })
            }
            Self::Gpt(gpt) => gpt.fmt(f),
            Self::DeviceSecurity(device) => match &device.path {
                Some(path) => write!(f, "measurement of the device {path}"),
                None => f.write_str("measurement of a device"),
            },
            Self::Tagged { id, text } => match tags::tag_name(*id) {
                Some(name) => write!(f, "{name} ({text})"),
                None => write!(f, "tag {id:#010x} {text}"),
            },
            Self::Separator(value) => write!(f, "separator {value:#x}"),
            Self::Guid(guid) => guid.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Opaque => f.write_str("octets of no known form"),
        }
    }
}

/// Decodes an event's data by the event's type.
pub fn describe(event: &Event) -> Description {
    let data = event.data.as_slice();
    let described = match event.kind {
        EventType::NO_ACTION => no_action_of(event),
        EventType::EFI_VARIABLE_DRIVER_CONFIG
        | EventType::EFI_VARIABLE_BOOT
        | EventType::EFI_VARIABLE_BOOT2
        | EventType::EFI_VARIABLE_AUTHORITY
        | EventType::EFI_SPDM_DEVICE_POLICY
        | EventType::EFI_SPDM_DEVICE_AUTHORITY => variable(data),
        EventType::EFI_BOOT_SERVICES_APPLICATION
        | EventType::EFI_BOOT_SERVICES_DRIVER
        | EventType::EFI_RUNTIME_SERVICES_DRIVER => image(data),
        EventType::EFI_PLATFORM_FIRMWARE_BLOB => blob(data, false),
        EventType::EFI_PLATFORM_FIRMWARE_BLOB2 => blob(data, true),
        // A volume, or what it is as a word: "POST CODE" (PFP §3.3.4.1).
        EventType::POST_CODE | EventType::S_CRTM_CONTENTS if data.len() == 16 => blob(data, false),
        EventType::POST_CODE2 => {
            blob(data, true).or_else(|| text::text(data).map(Description::Text))
        }
        EventType::EFI_HANDOFF_TABLES => handoff(data, false),
        EventType::EFI_HANDOFF_TABLES2 => handoff(data, true),
        EventType::EFI_GPT_EVENT | EventType::EFI_GPT_EVENT2 => {
            Gpt::decode(data).map(Description::Gpt)
        }
        EventType::EFI_SPDM_FIRMWARE_BLOB | EventType::EFI_SPDM_FIRMWARE_CONFIG => {
            DeviceSecurity::decode(data).map(Description::DeviceSecurity)
        }
        EventType::EVENT_TAG => tagged(data),
        EventType::SEPARATOR => {
            data.try_into().ok().map(|value| Description::Separator(u32::from_le_bytes(value)))
        }
        EventType::S_CRTM_VERSION => text::text(data)
            .map(Description::Text)
            .or_else(|| data.try_into().ok().map(|guid| Description::Guid(Guid(guid)))),
        _ => text::text(data).map(Description::Text),
    };
    described.unwrap_or(Description::Opaque)
}

fn no_action_of(event: &Event) -> Option<Description> {
    let data = event.data.as_slice();
    if let Some(spec_id) = SpecId::of(event) {
        return Some(Description::SpecId(spec_id));
    }
    if let Some([locality]) = data.strip_prefix(no_action::STARTUP_LOCALITY) {
        return Some(Description::StartupLocality(*locality));
    }
    PlatformReference::decode(data)
        .map(Description::PlatformReference)
        .or_else(|| text::text(data).map(Description::Text))
        .or_else(|| no_action::signature(data).map(Description::Signature))
}

fn variable(data: &[u8]) -> Option<Description> {
    let mut reader = Reader::new(data);
    let vendor = Guid(reader.array().ok()?);
    let name_len = usize::try_from(reader.u64_le().ok()?).ok()?;
    let data_len = usize::try_from(reader.u64_le().ok()?).ok()?;
    let name = text::utf16(reader.take(name_len.checked_mul(2)?).ok()?)?;
    // Some firmware measures more than the structure says; what the structure says counts.
    let data = reader.take(data_len).ok()?.to_vec();
    Some(Description::Variable { vendor, name, data })
}

fn image(data: &[u8]) -> Option<Description> {
    let mut reader = Reader::new(data);
    let (address, len) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
    let link_address = reader.u64_le().ok()?;
    let path_len = usize::try_from(reader.u64_le().ok()?).ok()?;
    let path = DevicePath(reader.take(path_len).ok()?.to_vec());
    Some(Description::Image { address, len, link_address, path })
}

fn blob(data: &[u8], named: bool) -> Option<Description> {
    let mut reader = Reader::new(data);
    let name = if named {
        let len = usize::from(reader.u8().ok()?);
        text::text(reader.take(len).ok()?)?
    } else {
        String::new()
    };
    let (base, len) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
    Some(Description::FirmwareBlob { name, base, len })
}

fn handoff(data: &[u8], named: bool) -> Option<Description> {
    let (name, tables) = platform::handoff_tables(data, named)?;
    Some(Description::HandoffTables { name, tables })
}

fn tagged(data: &[u8]) -> Option<Description> {
    let mut reader = Reader::new(data);
    let id = reader.u32_le().ok()?;
    let body = reader.sized_u32_le().ok()?;
    let text = text::text(body).unwrap_or_else(|| format!("({} octets)", body.len()));
    Some(Description::Tagged { id, text })
}
