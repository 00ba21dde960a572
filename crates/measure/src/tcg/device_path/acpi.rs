//! ACPI nodes (UEFI 2.10 §10.3.3).

use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use touchstone_wire::Reader;

/// The lower half of a compressed EISA identifier that begins with `PNP`.
const PNP: u32 = 0x41D0;

pub(super) fn node(subtype: u8, body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body);
    match subtype {
        1 => {
            let (hid, uid) = (reader.u32_le().ok()?, reader.u32_le().ok()?);
            reader.is_empty().then(|| device(hid, uid))
        }
        2 => {
            let (hid, uid, cid) =
                (reader.u32_le().ok()?, reader.u32_le().ok()?, reader.u32_le().ok()?);
            let mut strings = reader.rest().split(|octet| *octet == 0);
            let mut string = || {
                let text = core::str::from_utf8(strings.next().unwrap_or_default()).ok()?;
                text.chars().all(|c| !c.is_control()).then_some(text)
            };
            let (hid_text, uid_text, cid_text) = (string()?, string()?, string()?);
            let name = |number: u32, text: &str| {
                if text.is_empty() { eisa(number) } else { text.into() }
            };
            let uid = if uid_text.is_empty() { format!("0x{uid:X}") } else { uid_text.into() };
            Some(format!("AcpiEx({},{},{uid})", name(hid, hid_text), name(cid, cid_text)))
        }
        3 => {
            let mut numbers = String::new();
            while !reader.is_empty() {
                let comma = if numbers.is_empty() { "" } else { "," };
                write!(numbers, "{comma}0x{:X}", reader.u32_le().ok()?).ok()?;
            }
            (!numbers.is_empty()).then(|| format!("AcpiAdr({numbers})"))
        }
        4 => {
            let handle = reader.u32_le().ok()?;
            reader.is_empty().then(|| format!("NvdimmAcpiAdr(0x{handle:X})"))
        }
        _ => None,
    }
}

/// Devices that have a name of their own.
fn device(hid: u32, uid: u32) -> String {
    let name = match (hid & 0xFFFF, hid >> 16) {
        (PNP, 0x0A03) => "PciRoot",
        (PNP, 0x0A08) => "PcieRoot",
        (PNP, 0x0604) => "Floppy",
        (PNP, 0x0301) => "Keyboard",
        (PNP, 0x0501) => "Serial",
        (PNP, 0x0401) => "ParallelPort",
        _ => return format!("Acpi({},0x{uid:X})", eisa(hid)),
    };
    format!("{name}(0x{uid:X})")
}

/// `PNP0A03`: three letters of five bits, and four hexadecimal digits.
fn eisa(id: u32) -> String {
    let letter = |shift: u32| {
        u8::try_from((id >> shift) & 0x1F).ok().map_or('@', |letter| char::from(letter + 0x40))
    };
    // The letters stand in the lower half.
    format!("{}{}{}{:04X}", letter(10), letter(5), letter(0), id >> 16)
}
