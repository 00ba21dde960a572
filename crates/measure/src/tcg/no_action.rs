//! `EV_NO_ACTION`: what tells of the log and the platform, and is extended nowhere (PFP §10.4.5).

use super::{Bank, Event, EventType, Guid, text};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use touchstone_wire::Reader;

pub(super) const SPEC_ID_03: &[u8] = b"Spec ID Event03\0";
pub(super) const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";

/// TCG_EfiSpecIdEvent (PFP §10.4.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecId {
    /// 0 for a client, 1 for a server.
    pub platform_class: u32,
    /// The version of the profile: major, minor, errata.
    pub version: (u8, u8, u8),
    /// Octets of UINTN in 32 bits: 1 or 2.
    pub uintn: u8,
    /// The banks, in the order of the log.
    pub banks: Vec<Bank>,
    /// What the vendor adds; `None` if the event ends before it could.
    pub vendor: Option<Vec<u8>>,
    /// Octets behind the end of the structure.
    pub left_over: usize,
}

impl SpecId {
    pub(super) fn of(event: &Event) -> Option<Self> {
        let body = event.data.strip_prefix(SPEC_ID_03)?;
        if event.kind != EventType::NO_ACTION {
            return None;
        }
        let mut reader = Reader::new(body);
        let platform_class = reader.u32_le().ok()?;
        let [minor, major, errata, uintn] = reader.array().ok()?;
        let count = usize::try_from(reader.u32_le().ok()?).ok()?;
        let mut banks = Vec::new();
        for _ in 0..count {
            let (id, len) = (reader.u16_le().ok()?, usize::from(reader.u16_le().ok()?));
            banks.push(Bank { id, len });
        }
        // Some firmware leaves the vendor's part out altogether.
        let vendor = match reader.u8() {
            Ok(len) => Some(reader.take(len.into()).ok()?.to_vec()),
            Err(_) => None,
        };
        let version = (major, minor, errata);
        let left_over = reader.remaining();
        Some(Self { platform_class, version, uintn, banks, vendor, left_over })
    }
}

impl fmt::Display for SpecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, errata) = self.version;
        write!(f, "Spec ID {major}.{minor} errata {errata}, banks")?;
        for (place, bank) in self.banks.iter().enumerate() {
            f.write_str(if place == 0 { " " } else { ", " })?;
            match bank.name() {
                Some(name) => f.write_str(name)?,
                None => write!(f, "algorithm {:#06x}", bank.id)?,
            }
        }
        Ok(())
    }
}

/// Where the platform's reference measurements are (SP 800-155): TCG_Sp800_155_PlatformId_Event
/// and its second and third form (PFP §10.4.5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformReference {
    /// The form: 1, 2 or 3.
    pub form: u8,
    /// The platform's maker, by its IANA enterprise number.
    pub vendor: u32,
    /// The reference manifest.
    pub manifest: Guid,
    /// From the second form on: the platform's maker, model and version, the firmware's maker and
    /// version.
    pub names: Vec<String>,
    /// Octets that follow, as the third form's locators.
    pub left_over: Vec<u8>,
}

impl PlatformReference {
    pub(super) fn decode(data: &[u8]) -> Option<Self> {
        let (signature, body) = data.split_at_checked(16)?;
        let form = match signature {
            b"SP800-155 Event\0" => 1,
            b"SP800-155 Event2" => 2,
            b"SP800-155 Event3" => 3,
            _ => return None,
        };
        let mut reader = Reader::new(body);
        let vendor = reader.u32_le().ok()?;
        let manifest = Guid(reader.array().ok()?);
        let mut names = Vec::new();
        if form >= 2 {
            for place in 0..5 {
                if place == 4 {
                    reader.u32_le().ok()?; // the firmware's maker, by its number
                }
                let len = reader.u8().ok()?;
                names.push(text::plain(reader.take(len.into()).ok()?)?);
            }
        }
        Some(Self { form, vendor, manifest, names, left_over: reader.rest().to_vec() })
    }
}

impl fmt::Display for PlatformReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reference manifest {} of vendor {}", self.manifest, self.vendor)?;
        self.names.iter().filter(|name| !name.is_empty()).try_for_each(|name| write!(f, ", {name}"))
    }
}

/// The signature in front of an event of no known form: up to 16 printable characters.
pub(super) fn signature(data: &[u8]) -> Option<String> {
    let head = data.get(..16)?;
    let name = head.split(|&octet| octet == 0).next().filter(|name| name.len() >= 4)?;
    let printable = name.iter().all(|octet| matches!(octet, 0x20..=0x7E));
    if printable { text::plain(name) } else { None }
}
