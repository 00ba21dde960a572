//! The TPM's canonical form: big-endian numbers and sized buffers (TPM 2.0 Part 1 §30).

use crate::Error;
use alloc::vec::Vec;
use touchstone_wire::{self as wire, Malformed, Why};

/// Reads from the front; every method fails when the octets run out.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(wire::Reader<'a>);

const fn bad(malformed: Malformed) -> Error {
    Error::Malformed(match malformed.why {
        Why::Trailing => "octets are left over",
        _ => "it ends too early",
    })
}

impl<'a> Reader<'a> {
    /// Reads these octets.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self(wire::Reader::new(octets))
    }

    /// The next `len` octets.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        self.0.take(len).map_err(bad)
    }

    /// One octet.
    pub fn u8(&mut self) -> Result<u8, Error> {
        self.0.u8().map_err(bad)
    }

    /// Two octets.
    pub fn u16(&mut self) -> Result<u16, Error> {
        self.0.u16().map_err(bad)
    }

    /// Four octets.
    pub fn u32(&mut self) -> Result<u32, Error> {
        self.0.u32().map_err(bad)
    }

    /// Eight octets.
    pub fn u64(&mut self) -> Result<u64, Error> {
        self.0.u64().map_err(bad)
    }

    /// A `TPM2B`: a 16-bit size and that many octets.
    pub fn sized(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// All that is left.
    pub fn rest(mut self) -> &'a [u8] {
        self.0.rest()
    }

    /// Ends the reading: octets left over are a fault.
    pub fn end(self) -> Result<(), Error> {
        self.0.finish().map_err(bad)
    }
}

/// Appends in canonical form, one value after another.
#[derive(Clone, Debug, Default)]
pub struct Writer(wire::Writer);

impl Writer {
    /// One octet.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.0.u8(value);
        self
    }

    /// Two octets.
    #[must_use]
    pub fn u16(mut self, value: u16) -> Self {
        self.0.u16(value);
        self
    }

    /// Four octets.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.0.u32(value);
        self
    }

    /// Eight octets.
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.0.u64(value);
        self
    }

    /// These octets.
    #[must_use]
    pub fn octets(mut self, octets: &[u8]) -> Self {
        self.0.bytes(octets);
        self
    }

    /// A `TPM2B`.
    pub fn sized(self, octets: &[u8]) -> Result<Self, Error> {
        let len = u16::try_from(octets.len())
            .map_err(|_| Error::BadInput("a value is larger than a TPM takes"))?;
        Ok(self.u16(len).octets(octets))
    }

    /// What was written.
    pub fn done(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_a_cut_is_noticed() {
        let octets = Writer::default().u8(1).u16(2).u32(3).sized(b"four").unwrap().done();
        let read = |octets: &[u8]| {
            let mut reader = Reader::new(octets);
            let values = (reader.u8()?, reader.u16()?, reader.u32()?, reader.sized()?.to_vec());
            reader.end()?;
            Ok::<_, Error>(values)
        };
        assert_eq!(read(&octets).unwrap(), (1, 2, 3, b"four".to_vec()));
        for cut in 0..octets.len() {
            assert!(matches!(read(&octets[..cut]), Err(Error::Malformed(_))));
        }
        let long = [octets.as_slice(), &[0]].concat();
        assert!(matches!(read(&long), Err(Error::Malformed(_))));
    }
}
