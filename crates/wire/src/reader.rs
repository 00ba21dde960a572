//! Reading from the front.

use crate::{Malformed, Why};

/// A place in bytes; each call reads what is next and moves on. A failed call moves nothing.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

macro_rules! integers {
    ($($name:ident $le:ident $type:ty, $octets:literal;)*) => {$(
        #[doc = concat!("A `", stringify!($type), "`, most significant octet first.")]
        #[inline]
        pub fn $name(&mut self) -> Result<$type, Malformed> {
            self.array().map(<$type>::from_be_bytes)
        }
        #[doc = concat!("A `", stringify!($type), "`, least significant octet first.")]
        #[inline]
        pub fn $le(&mut self) -> Result<$type, Malformed> {
            self.array().map(<$type>::from_le_bytes)
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A reader at the front of `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    integers! {
        u16 u16_le u16, 2;
        u32 u32_le u32, 4;
        u64 u64_le u64, 8;
    }

    /// One octet.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[octet]| octet)
    }

    /// The next `N` octets.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(self.malformed(Why::Truncated))?;
        self.rest = rest;
        self.at += N;
        Ok(*head)
    }

    /// The next `len` octets.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(self.malformed(Why::Truncated))?;
        self.rest = rest;
        self.at += len;
        Ok(head)
    }

    /// The octets behind their number in 16 bits, most significant octet first: `TPM2B`, say.
    pub fn sized_u16(&mut self) -> Result<&'a [u8], Malformed> {
        self.sized(|reader| reader.u16().map(usize::from))
    }

    /// The octets behind their number in 32 bits, least significant octet first.
    pub fn sized_u32_le(&mut self) -> Result<&'a [u8], Malformed> {
        self.sized(|reader| reader.u32_le().map(|len| usize::try_from(len).unwrap_or(usize::MAX)))
    }

    #[inline]
    fn sized(
        &mut self,
        len: impl FnOnce(&mut Self) -> Result<usize, Malformed>,
    ) -> Result<&'a [u8], Malformed> {
        let mut ahead = *self;
        let len = len(&mut ahead)?;
        let octets = ahead.take(len)?;
        *self = ahead;
        Ok(octets)
    }

    /// A reader over just the next `len` octets, which counts on from here.
    pub fn part(&mut self, len: usize) -> Result<Self, Malformed> {
        let at = self.at;
        self.take(len).map(|rest| Self { rest, at })
    }

    /// All that is left.
    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        self.at += self.rest.len();
        core::mem::take(&mut self.rest)
    }

    /// Octets left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Octets read so far, counted from the outermost reader.
    #[inline]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// A fault at this place.
    #[inline]
    pub fn malformed(&self, why: Why) -> Malformed {
        Malformed::new(self.at, why)
    }

    /// Ends the reading: something left over is a fault.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(self.malformed(Why::Trailing)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_read_says_where_and_moves_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16_le().unwrap(), 0x0201);
        assert_eq!(reader.u32(), Err(Malformed::new(2, Why::Truncated)));
        assert_eq!(reader.u8().unwrap(), 3);
        assert!(reader.finish().is_ok());
    }

    #[test]
    fn a_part_counts_on_and_ends_where_it_should() {
        let mut reader = Reader::new(&[9, 1, 2, 3]);
        reader.u8().unwrap();
        let mut part = reader.part(2).unwrap();
        part.u8().unwrap();
        assert_eq!(part.u16(), Err(Malformed::new(2, Why::Truncated)));
        assert_eq!(part.finish(), Err(Malformed::new(2, Why::Trailing)));
        assert_eq!(reader.rest(), [3]);
    }

    #[test]
    fn octets_behind_their_number_are_read_whole_or_not_at_all() {
        let mut reader = Reader::new(&[0, 2, 7, 8, 1, 0, 0, 0, 9, 0, 1]);
        assert_eq!(reader.sized_u16(), Ok(&[7, 8][..]));
        assert_eq!(reader.sized_u32_le(), Ok(&[9][..]));
        assert_eq!(reader.sized_u16(), Err(Malformed::new(11, Why::Truncated)));
        assert_eq!(reader.remaining(), 2, "nothing was moved");
    }

    #[test]
    fn a_length_beyond_the_end_is_truncated() {
        assert_eq!(Reader::new(&[0]).take(usize::MAX), Err(Malformed::new(0, Why::Truncated)));
    }
}
