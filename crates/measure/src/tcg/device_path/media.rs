//! Media nodes (UEFI 2.10 §10.3.5), and what BIOSes booted from (§10.3.6).

use super::hardware;
use crate::tcg::{Guid, text};
use alloc::format;
use alloc::string::String;
use touchstone_wire::Reader;

pub(super) fn node(subtype: u8, body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body);
    let text = match subtype {
        1 => hard_drive(&mut reader)?,
        2 => {
            let (entry, start, len) =
                (reader.u32_le().ok()?, reader.u64_le().ok()?, reader.u64_le().ok()?);
            format!("CDROM(0x{entry:X},0x{start:X},0x{len:X})")
        }
        3 => hardware::vendor("VenMedia", &mut reader)?,
        4 => text::utf16(reader.rest())?,
        5 => format!("Media({})", Guid(reader.array().ok()?)),
        6 => format!("FvFile({})", Guid(reader.array().ok()?)),
        7 => format!("Fv({})", Guid(reader.array().ok()?)),
        8 => {
            reader.u32_le().ok()?;
            format!("Offset(0x{:X},0x{:X})", reader.u64_le().ok()?, reader.u64_le().ok()?)
        }
        9 => {
            let (start, end) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
            let kind = Guid(reader.array().ok()?);
            format!("RamDisk(0x{start:X},0x{end:X},{},{kind})", reader.u16_le().ok()?)
        }
        _ => return None,
    };
    reader.is_empty().then_some(text)
}

fn hard_drive(reader: &mut Reader<'_>) -> Option<String> {
    let number = reader.u32_le().ok()?;
    let (start, len) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
    let signature = reader.array::<16>().ok()?;
    let [format, kind] = reader.array().ok()?;
    Some(match (format, kind) {
        (2, 2) => format!("HD({number},GPT,{},0x{start:X},0x{len:X})", Guid(signature)),
        (1, 1) => {
            let [a, b, c, d, ..] = signature;
            let signature = u32::from_le_bytes([a, b, c, d]);
            format!("HD({number},MBR,0x{signature:08X},0x{start:X},0x{len:X})")
        }
        _ => format!("HD({number},{format},0,0x{start:X},0x{len:X})"),
    })
}

/// BBS(type, description, status).
pub(super) fn bios(subtype: u8, body: &[u8]) -> Option<String> {
    if subtype != 1 {
        return None;
    }
    let mut reader = Reader::new(body);
    let (kind, status) = (reader.u16_le().ok()?, reader.u16_le().ok()?);
    let name = match kind {
        1 => "Floppy".into(),
        2 => "HD".into(),
        3 => "CDROM".into(),
        4 => "PCMCIA".into(),
        5 => "USB".into(),
        6 => "Network".into(),
        other => format!("0x{other:X}"),
    };
    Some(format!("BBS({name},{},0x{status:X})", text::plain(reader.rest())?))
}
