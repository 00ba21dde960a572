//! What firmware tells of itself and of devices: tables that it hands over, and devices that
//! attest to it.

use super::{DevicePath, Guid, text};
use alloc::string::String;
use alloc::vec::Vec;
use touchstone_wire::Reader;

/// An entry of EFI_CONFIGURATION_TABLE (UEFI 2.10 §4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoffTable {
    /// Which table.
    pub guid: Guid,
    /// Where it is in memory.
    pub at: u64,
}

/// UEFI_HANDOFF_TABLE_POINTERS and its second form, which has a name (PFP §10.2.7).
pub(super) fn handoff_tables(data: &[u8], named: bool) -> Option<(String, Vec<HandoffTable>)> {
    let mut reader = Reader::new(data);
    let name = if named {
        let len = usize::from(reader.u8().ok()?);
        text::text(reader.take(len).ok()?)?
    } else {
        String::new()
    };
    let count = usize::try_from(reader.u64_le().ok()?).ok()?;
    if count.checked_mul(24)? > reader.remaining() {
        return None;
    }
    let mut tables = Vec::with_capacity(count);
    for _ in 0..count {
        let guid = Guid(reader.array().ok()?);
        tables.push(HandoffTable { guid, at: reader.u64_le().ok()? });
    }
    Some((name, tables))
}

/// What a device stated of itself by SPDM (DEVICE_SECURITY_EVENT_DATA and its second form, PFP
/// §10.2.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSecurity {
    /// The form: 1 or 2.
    pub version: u16,
    /// 0 none, 1 PCI, 2 USB.
    pub device: u32,
    /// Whether the device's certificates were good: 0 good, ... (second form).
    pub authentication: Option<u8>,
    /// Where the device is (second form).
    pub path: Option<DevicePath>,
    /// What follows: its measurement and its identity.
    pub rest: Vec<u8>,
}

impl DeviceSecurity {
    pub(super) fn decode(data: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(data);
        let signature = reader.take(16).ok()?;
        let version = reader.u16_le().ok()?;
        match signature {
            b"SPDM Device Sec\0" => {
                reader.u16_le().ok()?; // its length
                reader.u32_le().ok()?; // the hash algorithm
                let device = reader.u32_le().ok()?;
                let rest = reader.rest().to_vec();
                Some(Self { version, device, authentication: None, path: None, rest })
            }
            b"SPDM Device Sec2" => {
                let authentication = Some(reader.u8().ok()?);
                reader.u8().ok()?;
                reader.u32_le().ok()?; // its length
                let device = reader.u32_le().ok()?;
                reader.take(16).ok()?; // type, length and number of the part that follows
                let len = usize::try_from(reader.u64_le().ok()?).ok()?;
                let path = Some(DevicePath(reader.take(len).ok()?.to_vec()));
                let rest = reader.rest().to_vec();
                Some(Self { version, device, authentication, path, rest })
            }
            _ => None,
        }
    }
}
