//! What an event's data says, decoded by its type. Says it; does not prove it: see
//! [`Event::explains`](super::Event::explains).

use super::{Event, EventType, SPEC_ID_03};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use touchstone_wire::Reader;

/// Text taken from an event is cut here, in characters.
const MAX_TEXT: usize = 8_192;

/// An event's data, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Description {
    /// The Spec ID event at the head of a log (PFP §10.4.5.1).
    SpecId,
    /// A UEFI variable (UEFI_VARIABLE_DATA, PFP §10.2.6).
    Variable {
        /// Whose variable it is.
        vendor: Guid,
        /// Its name: `SecureBoot`.
        name: String,
        /// Its content.
        data: Vec<u8>,
    },
    /// An image that was loaded (UEFI_IMAGE_LOAD_EVENT, PFP §10.2.3).
    Image {
        /// Where it was loaded.
        address: u64,
        /// How long it is in memory.
        len: u64,
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
    /// A tagged event (TCG_PCClientTaggedEvent, PFP §10.2.8): how the Linux EFI stub tells of
    /// load options and initrd.
    Tagged {
        /// What kind of thing was measured.
        id: u32,
        /// Its description, as text if it is text.
        text: String,
    },
    /// A separator: 0 or 0xFFFFFFFF in order, anything else after an error (PFP §3.3.2.2).
    Separator(u32),
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
            Self::SpecId => f.write_str("Spec ID"),
            Self::Variable { name, data, .. } if data.len() == 1 => {
                write!(f, "{name} is {}", data.first().copied().unwrap_or(0))
            }
            Self::Variable { name, data, .. } => write!(f, "{name} ({} octets)", data.len()),
            Self::Image { path, .. } => write!(f, "image {path}"),
            Self::FirmwareBlob { name, base, len } => {
                write!(f, "firmware {name} at {base:#x}, {len} octets")
            }
            Self::Tagged { id, text } => write!(f, "tag {id:#010x} {text}"),
            Self::Separator(value) => write!(f, "separator {value:#x}"),
            Self::Text(text) => f.write_str(text),
            Self::Opaque => f.write_str("octets of no known form"),
        }
    }
}

/// Decodes an event's data by the event's type.
pub fn describe(event: &Event) -> Description {
    let data = event.data.as_slice();
    let described = match event.kind {
        EventType::NO_ACTION if data.starts_with(SPEC_ID_03) => Some(Description::SpecId),
        EventType::EFI_VARIABLE_DRIVER_CONFIG
        | EventType::EFI_VARIABLE_BOOT
        | EventType::EFI_VARIABLE_BOOT2
        | EventType::EFI_VARIABLE_AUTHORITY => variable(data),
        EventType::EFI_BOOT_SERVICES_APPLICATION
        | EventType::EFI_BOOT_SERVICES_DRIVER
        | EventType::EFI_RUNTIME_SERVICES_DRIVER => image(data),
        EventType::EFI_PLATFORM_FIRMWARE_BLOB => blob(data, false),
        EventType::EFI_PLATFORM_FIRMWARE_BLOB2 => blob(data, true),
        EventType::EVENT_TAG => tagged(data),
        EventType::SEPARATOR => {
            data.try_into().ok().map(|value| Description::Separator(u32::from_le_bytes(value)))
        }
        _ => text(data).map(Description::Text),
    };
    described.unwrap_or(Description::Opaque)
}

fn variable(data: &[u8]) -> Option<Description> {
    let mut reader = Reader::new(data);
    let vendor = Guid(reader.take(16).ok()?.try_into().ok()?);
    let name_len = usize::try_from(reader.u64_le().ok()?).ok()?;
    let data_len = usize::try_from(reader.u64_le().ok()?).ok()?;
    let name = utf16(reader.take(name_len.checked_mul(2)?).ok()?)?;
    // Some firmware measures more than the structure says; what the structure says counts.
    let data = reader.take(data_len).ok()?.to_vec();
    Some(Description::Variable { vendor, name, data })
}

fn image(data: &[u8]) -> Option<Description> {
    let mut reader = Reader::new(data);
    let (address, len) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
    reader.u64_le().ok()?; // link-time address
    let path_len = usize::try_from(reader.u64_le().ok()?).ok()?;
    let path = DevicePath(reader.take(path_len).ok()?.to_vec());
    Some(Description::Image { address, len, path })
}

fn blob(data: &[u8], named: bool) -> Option<Description> {
    let mut reader = Reader::new(data);
    let name = if named {
        let len = usize::from(reader.u8().ok()?);
        text(reader.take(len).ok()?)?
    } else {
        String::new()
    };
    Some(Description::FirmwareBlob {
        name,
        base: reader.u64_le().ok()?,
        len: reader.u64_le().ok()?,
    })
}

fn tagged(data: &[u8]) -> Option<Description> {
    let mut reader = Reader::new(data);
    let id = reader.u32_le().ok()?;
    let body = reader.sized_u32_le().ok()?;
    let text = text(body).unwrap_or_else(|| format!("({} octets)", body.len()));
    Some(Description::Tagged { id, text })
}

/// ASCII or UTF-8, or UTF-16 as the UEFI world writes it; trailing NULs are dropped.
pub(super) fn text(data: &[u8]) -> Option<String> {
    let looks_wide = data.len() >= 2
        && data.len().is_multiple_of(2)
        && data.iter().skip(1).step_by(2).filter(|&&high| high == 0).count() * 4 >= data.len();
    if looks_wide {
        return utf16(data);
    }
    let text = core::str::from_utf8(data).ok()?.trim_end_matches('\0');
    printable(text.chars())
}

fn utf16(data: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = data
        .chunks_exact(2)
        .filter_map(|pair| pair.try_into().ok())
        .map(u16::from_le_bytes)
        .collect();
    while units.last() == Some(&0) {
        units.pop();
    }
    let text: Result<String, _> = char::decode_utf16(units.iter().copied()).collect();
    printable(text.ok()?.chars())
}

fn printable(chars: impl Iterator<Item = char>) -> Option<String> {
    let mut text = String::new();
    for (count, c) in chars.enumerate() {
        if c.is_control() && !matches!(c, '\n' | '\t' | '\r') {
            return None;
        }
        if count < MAX_TEXT {
            text.push(c);
        }
    }
    Some(text)
}

/// A GUID as UEFI stores it: the first three fields little-endian (UEFI 2.10 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// `EFI_GLOBAL_VARIABLE` (UEFI 2.10 §3.3).
    pub const GLOBAL_VARIABLE: Self = Self([
        0x61, 0xDF, 0xE4, 0x8B, 0xCA, 0x93, 0xD2, 0x11, 0xAA, 0x0D, 0x00, 0xE0, 0x98, 0x03, 0x2B,
        0x8C,
    ]);
    /// `EFI_IMAGE_SECURITY_DATABASE_GUID`: db and dbx (UEFI 2.10 §32.6.1).
    pub const IMAGE_SECURITY_DATABASE: Self = Self([
        0xCB, 0xB2, 0x19, 0xD7, 0x3A, 0x3D, 0x96, 0x45, 0xA3, 0xBC, 0xDA, 0xD0, 0x0E, 0x67, 0x65,
        0x6F,
    ]);
    /// `EFI_CERT_X509_GUID` (UEFI 2.10 §32.4.1).
    pub const CERT_X509: Self = Self([
        0xA1, 0x59, 0xC0, 0xA5, 0xE4, 0x94, 0xA7, 0x4A, 0x87, 0xB5, 0xAB, 0x15, 0x5C, 0x2B, 0xF0,
        0x72,
    ]);
    /// `EFI_CERT_SHA256_GUID` (UEFI 2.10 §32.4.1).
    pub const CERT_SHA256: Self = Self([
        0x26, 0x16, 0xC4, 0xC1, 0x4C, 0x50, 0x92, 0x40, 0xAC, 0xA9, 0x41, 0xF9, 0x36, 0x93, 0x43,
        0x28,
    ]);
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        for (place, from) in ORDER.into_iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0.get(from).copied().unwrap_or(0))?;
        }
        Ok(())
    }
}

/// A UEFI device path in its binary form (UEFI 2.10 §10.3); shown as its file path, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePath(pub Vec<u8>);

impl DevicePath {
    /// The text of its file path nodes, one after another.
    pub fn file(&self) -> Option<String> {
        let mut reader = Reader::new(&self.0);
        let mut file = String::new();
        while let (Ok(kind), Ok(subtype), Ok(len)) = (reader.u8(), reader.u8(), reader.u16_le()) {
            let Some(body) = usize::from(len).checked_sub(4).and_then(|len| reader.take(len).ok())
            else {
                break;
            };
            if (kind, subtype) == (4, 4) {
                file.push_str(&utf16(body)?);
            }
        }
        (!file.is_empty()).then_some(file)
    }
}

impl fmt::Display for DevicePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file() {
            Some(file) => f.write_str(&file),
            None => write!(f, "at a device path of {} octets", self.0.len()),
        }
    }
}

/// The content of PK, KEK, db or dbx (EFI_SIGNATURE_LIST, UEFI 2.10 §32.4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureDatabase {
    /// Its entries in order.
    pub entries: Vec<Signature>,
}

/// One entry of a signature database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What the data is: `EFI_CERT_X509_GUID` and so on.
    pub kind: Guid,
    /// Who put it there.
    pub owner: Guid,
    /// The certificate in DER, the digest, ...
    pub data: Vec<u8>,
}

impl SignatureDatabase {
    /// Parses a variable's content; `None` if a list's sizes contradict each other.
    pub fn decode(data: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(data);
        let mut entries = Vec::new();
        while !reader.is_empty() {
            let kind = Guid(reader.take(16).ok()?.try_into().ok()?);
            let list_len = usize::try_from(reader.u32_le().ok()?).ok()?;
            let header_len = usize::try_from(reader.u32_le().ok()?).ok()?;
            let entry_len = usize::try_from(reader.u32_le().ok()?).ok()?;
            let body_len = list_len.checked_sub(28)?.checked_sub(header_len)?;
            reader.take(header_len).ok()?;
            let body = reader.take(body_len).ok()?;
            if entry_len <= 16 || !body.len().is_multiple_of(entry_len) {
                return None;
            }
            for entry in body.chunks_exact(entry_len) {
                entries.push(Self::entry(kind, entry)?);
            }
        }
        Some(Self { entries })
    }

    /// Parses the one entry that `EV_EFI_VARIABLE_AUTHORITY` holds: EFI_SIGNATURE_DATA without its
    /// list (PFP §3.3.4.8).
    pub fn decode_authority(kind: Guid, data: &[u8]) -> Option<Signature> {
        Self::entry(kind, data)
    }

    fn entry(kind: Guid, entry: &[u8]) -> Option<Signature> {
        let (owner, data) = entry.split_at_checked(16)?;
        Some(Signature { kind, owner: Guid(owner.try_into().ok()?), data: data.to_vec() })
    }
}
