//! Hardware nodes (UEFI 2.10 §10.3.2).

use super::Hex;
use crate::tcg::Guid;
use alloc::format;
use alloc::string::String;
use touchstone_wire::Reader;

pub(super) fn node(subtype: u8, body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body);
    let text = match subtype {
        1 => {
            let (function, device) = (reader.u8().ok()?, reader.u8().ok()?);
            format!("Pci(0x{device:X},0x{function:X})")
        }
        2 => format!("PcCard(0x{:X})", reader.u8().ok()?),
        3 => {
            let kind = reader.u32_le().ok()?;
            let (start, end) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
            format!("MemoryMapped(0x{kind:X},0x{start:X},0x{end:X})")
        }
        4 => vendor("VenHw", &mut reader)?,
        5 => format!("Ctrl(0x{:X})", reader.u32_le().ok()?),
        6 => {
            let (kind, base) = (reader.u8().ok()?, reader.u64_le().ok()?);
            format!("BMC(0x{kind:X},0x{base:X})")
        }
        _ => return None,
    };
    reader.is_empty().then_some(text)
}

/// A vendor's own node: its GUID, and whatever follows.
pub(super) fn vendor(name: &str, reader: &mut Reader<'_>) -> Option<String> {
    let guid = Guid(reader.array().ok()?);
    let rest = reader.rest();
    Some(match rest {
        [] => format!("{name}({guid})"),
        _ => format!("{name}({guid},{})", Hex(rest)),
    })
}
