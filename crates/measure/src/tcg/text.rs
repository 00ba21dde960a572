//! Text in events.

use alloc::string::String;
use alloc::vec::Vec;

/// Text taken from an event is cut here, in characters.
const MAX_TEXT: usize = 8_192;

/// ASCII or UTF-8, or UTF-16 as the UEFI world writes it; trailing NULs are dropped.
pub(super) fn text(data: &[u8]) -> Option<String> {
    // systemd-boot once ended UTF-16 with half a NUL.
    let data = match data.split_last() {
        Some((0, rest)) if !data.len().is_multiple_of(2) => rest,
        _ => data,
    };
    let looks_wide = data.len() >= 2
        && data.len().is_multiple_of(2)
        && data.iter().skip(1).step_by(2).filter(|&&high| high == 0).count() * 4 >= data.len();
    if looks_wide { utf16(data) } else { plain(data) }
}

/// ASCII or UTF-8; trailing NULs are dropped.
pub(super) fn plain(data: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(data).ok()?.trim_end_matches('\0');
    printable(text.chars())
}

/// UTF-16; trailing NULs are dropped.
pub(super) fn utf16(data: &[u8]) -> Option<String> {
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
