//! Readers over any bytes, by any calls: a failed read takes nothing, the count is always right, and
//! what was read writes back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use touchstone_wire::{Malformed, Reader, Writer};

fuzz_target!(|data: &[u8]| {
    let Some((&calls, data)) = data.split_first() else { return };
    let (script, bytes) = data.split_at(usize::from(calls).min(data.len()));
    let (mut reader, mut writer) = (Reader::new(bytes), Writer::new());
    for &call in script {
        let before = (reader.position(), reader.remaining());
        if read(&mut reader, &mut writer, call).is_err() {
            assert_eq!((reader.position(), reader.remaining()), before);
        }
        assert_eq!(reader.position() + reader.remaining(), bytes.len());
    }
    let (position, rest) = (reader.position(), reader.remaining());
    assert_eq!(reader.finish().is_ok(), rest == 0);
    assert_eq!(writer.into_bytes(), bytes[..position]);
});

fn read(reader: &mut Reader<'_>, writer: &mut Writer, call: u8) -> Result<(), Malformed> {
    match call % 10 {
        0 => writer.u8(reader.u8()?),
        1 => writer.u16(reader.u16()?),
        2 => writer.u32(reader.u32()?),
        3 => writer.u64(reader.u64()?),
        4 => writer.u32(reader.u32_le()?.swap_bytes()),
        5 => writer.bytes(reader.take(usize::from(call))?),
        6 => {
            let at = reader.position();
            let mut part = reader.part(usize::from(call / 10))?;
            assert_eq!(part.position(), at);
            let octets = part.rest();
            assert!(part.finish().is_ok());
            writer.bytes(octets)
        }
        7 => {
            let octets = reader.sized_u16()?;
            writer.u16(u16::try_from(octets.len()).unwrap_or_default()).bytes(octets)
        }
        8 => {
            let octets = reader.sized_u32_le()?;
            let len = u32::try_from(octets.len()).unwrap_or_default();
            writer.u32(len.swap_bytes()).bytes(octets)
        }
        _ => writer.bytes(&reader.array::<5>()?),
    };
    Ok(())
}
