//! The TPM's canonical form: big-endian numbers and sized buffers (TPM 2.0 Part 1 §30).

use touchstone_element::Error;

/// Reads from the front of a slice; every method fails when the octets run out.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

const SHORT: Error = Error::Malformed("it ends too early");

impl<'a> Reader<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A `TPM2B`: a 16-bit size and that many octets.
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) const fn end(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Malformed("octets are left over")) }
    }
}

/// Appends in canonical form.
#[derive(Clone, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn octets(mut self, octets: &[u8]) -> Self {
        self.0.extend_from_slice(octets);
        self
    }

    /// A `TPM2B`.
    pub(crate) fn sized(self, octets: &[u8]) -> Result<Self, Error> {
        let len = u16::try_from(octets.len())
            .map_err(|_| Error::BadInput("a value is larger than a TPM takes"))?;
        Ok(self.u16(len).octets(octets))
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
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
