//! UEFI variables in events: what those say that carry meaning for a boot.

use super::{DevicePath, EventType, Guid, Signature, SignatureDatabase, text};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use touchstone_wire::Reader;

/// UEFI_VARIABLE_DATA (PFP §10.2.6): what is measured of a variable.
pub fn variable_data(vendor: Guid, name: &str, data: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let len = |octets: usize| u64::try_from(octets).unwrap_or(u64::MAX).to_le_bytes();
    [&vendor.0[..], &len(name.len() / 2), &len(data.len()), &name, data].concat()
}

/// The content of a variable, as far as it has a known form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// On or off: `SecureBoot`, `MokListTrusted`, `SetupMode`; no content is off.
    Switch(bool),
    /// PK, KEK, db, dbx, dbt, dbr, MokList.
    Database(SignatureDatabase),
    /// The entry of a database that an image was verified with.
    Authority(Signature),
    /// `BootOrder`, `DriverOrder`: numbers of boot options.
    Order(Vec<u16>),
    /// `BootCurrent`, `BootNext`.
    Option(u16),
    /// `Boot0001`, `Driver0001`, ...: a boot option.
    Load(LoadOption),
    /// `SbatLevel`: what generations of components are revoked.
    Sbat(String),
    /// Another, or one whose content is not of the form that its name says.
    Other,
}

impl Content {
    /// The content of the variable `name`, measured by an event of type `kind`.
    pub fn of(kind: EventType, vendor: Guid, name: &str, data: &[u8]) -> Self {
        let authority = kind == EventType::EFI_VARIABLE_AUTHORITY;
        let found = match name {
            "SecureBoot" | "SetupMode" | "AuditMode" | "DeployedMode" | "MokListTrusted"
            | "MokSBState" | "MokIgnoreDB" | "MokPolicy" => switch(data),
            "SbatLevel" | "SbatLevelRT" if vendor == Guid::SHIM_LOCK => {
                text::plain(data).map(Self::Sbat)
            }
            _ if authority => SignatureDatabase::decode_authority(Guid::CERT_X509, data)
                .filter(|entry| !entry.data.is_empty())
                .map(Self::Authority),
            "PK" | "KEK" | "db" | "dbx" | "dbt" | "dbr" | "MokList" | "MokListRT" | "MokListX"
            | "MokListXRT" => SignatureDatabase::decode(data).map(Self::Database),
            "BootOrder" | "DriverOrder" | "SysPrepOrder" => order(data),
            "BootCurrent" | "BootNext" => {
                data.try_into().ok().map(u16::from_le_bytes).map(Self::Option)
            }
            _ if is_option(name) => LoadOption::decode(data).map(Self::Load),
            _ => None,
        };
        found.unwrap_or(Self::Other)
    }
}

fn switch(data: &[u8]) -> Option<Content> {
    match data {
        [] => Some(Content::Switch(false)),
        [value] => Some(Content::Switch(*value != 0)),
        _ => None,
    }
}

fn order(data: &[u8]) -> Option<Content> {
    let numbers = data.chunks_exact(2);
    if !numbers.remainder().is_empty() {
        return None;
    }
    let numbers = numbers.filter_map(|pair| pair.try_into().ok()).map(u16::from_le_bytes);
    Some(Content::Order(numbers.collect()))
}

/// `Boot0001` and its like (UEFI 2.10 §3.3).
fn is_option(name: &str) -> bool {
    ["Boot", "Driver", "SysPrep", "OsRecovery", "PlatformRecovery"].iter().any(|kind| {
        name.strip_prefix(kind).is_some_and(|number| {
            number.len() == 4 && number.bytes().all(|c| c.is_ascii_hexdigit())
        })
    })
}

/// EFI_LOAD_OPTION (UEFI 2.10 §3.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOption {
    /// Whether it is active, hidden, ...
    pub attributes: u32,
    /// What people see in the menu.
    pub description: String,
    /// What is loaded, then what else the option names.
    pub paths: DevicePath,
    /// What is handed to it: a command line, or octets of its own.
    pub optional: Vec<u8>,
}

impl LoadOption {
    /// Parses a variable's content.
    pub fn decode(data: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(data);
        let attributes = reader.u32_le().ok()?;
        let paths_len = usize::from(reader.u16_le().ok()?);
        let mut description = Vec::new();
        loop {
            match reader.u16_le().ok()? {
                0 => break,
                unit => description.push(unit),
            }
        }
        let paths = DevicePath(reader.take(paths_len).ok()?.to_vec());
        let optional = reader.rest().to_vec();
        let description = String::from_utf16(&description).ok()?;
        Some(Self { attributes, description, paths, optional })
    }

    /// Whether the firmware tries it (LOAD_OPTION_ACTIVE).
    pub const fn is_active(&self) -> bool {
        self.attributes & 1 != 0
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(true) => f.write_str("on"),
            Self::Switch(false) => f.write_str("off"),
            Self::Database(database) => {
                let (certificates, others) = database.counts();
                write!(f, "{certificates} certificates, {others} digests")
            }
            Self::Authority(entry) => {
                write!(f, "verified with an entry of {} octets", entry.data.len())?;
                entry.owner.name().map_or(Ok(()), |owner| write!(f, " of {owner}"))
            }
            Self::Order(numbers) => {
                for (place, number) in numbers.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(f, "{comma}{number:04X}")?;
                }
                Ok(())
            }
            Self::Option(number) => write!(f, "{number:04X}"),
            Self::Load(option) => {
                let active = if option.is_active() { "" } else { "inactive, " };
                write!(f, "{active}\"{}\" {}", option.description, option.paths)
            }
            Self::Sbat(text) => f.write_str(text.trim_end()),
            Self::Other => f.write_str("of no known form"),
        }
    }
}
