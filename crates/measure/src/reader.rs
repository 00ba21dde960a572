//! Little-endian fields of a log. Where one ends too early is all there is to know here, so a
//! fault is `None`; the item that it spoils names it.

use touchstone_wire as wire;

/// A place in a log.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(wire::Reader<'a>);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(wire::Reader::new(bytes))
    }

    pub(crate) const fn at(&self) -> usize {
        self.0.position()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        self.0.take(len).ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.0.u8().ok()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.0.u16_le().ok()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.0.u32_le().ok()
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.0.u64_le().ok()
    }

    /// Octets behind their length in a u32.
    pub(crate) fn block(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(usize::try_from(len).ok()?)
    }
}
