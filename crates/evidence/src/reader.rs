//! Big-endian fields of TPM structures, with the item's name in the error.

use crate::Error;
use touchstone_wire as wire;

/// A place in an item.
pub(crate) struct Reader<'a> {
    item: &'static str,
    inner: wire::Reader<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(item: &'static str, bytes: &'a [u8]) -> Self {
        Self { item, inner: wire::Reader::new(bytes) }
    }

    pub(crate) const fn malformed(&self) -> Error {
        Error::Malformed { item: self.item, at: self.inner.position() }
    }

    fn or<T>(&self, value: Result<T, wire::Malformed>) -> Result<T, Error> {
        value.map_err(|_| self.malformed())
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let value = self.inner.take(len);
        self.or(value)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        let value = self.inner.u8();
        self.or(value)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        let value = self.inner.u16();
        self.or(value)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        let value = self.inner.u32();
        self.or(value)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        let value = self.inner.u64();
        self.or(value)
    }

    /// TPM2B: octets behind their length in a u16.
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// There must be nothing left.
    pub(crate) const fn end(&self) -> Result<(), Error> {
        if self.inner.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }
}
