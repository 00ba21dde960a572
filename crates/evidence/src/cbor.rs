//! The little CBOR that our own structures need: definite lengths only, on `minicbor`.

use crate::Error;
use alloc::string::String;
use alloc::vec::Vec;
use minicbor::{Decoder, Encoder};
use touchstone_crypto::{Digest, HashAlgorithm};

/// Where an item is written to.
pub(crate) type Out = Encoder<Vec<u8>>;
/// That it was.
pub(crate) type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

/// Encoding into memory cannot fail.
pub(crate) fn encode(write: impl FnOnce(&mut Out) -> Written) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    match write(&mut encoder) {
        Ok(()) => encoder.into_writer(),
        // The writer is infallible, and so is every encoding used here; nothing decodes from this.
        Err(_) => Vec::new(),
    }
}

/// What kind of item comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Major {
    Unsigned,
    Negative,
    Boolean,
    Octets,
    Text,
    Array,
    Map,
    Tag,
    Other,
}

/// A decoder that names the item in its errors.
pub(crate) struct Reader<'a> {
    item: &'static str,
    decoder: Decoder<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(item: &'static str, bytes: &'a [u8]) -> Self {
        Self { item, decoder: Decoder::new(bytes) }
    }

    pub(crate) fn malformed(&self) -> Error {
        Error::Malformed { item: self.item, at: self.decoder.position() }
    }

    /// The kind of the next item.
    pub(crate) fn peek(&self) -> Result<Major, Error> {
        use minicbor::data::Type;
        Ok(match self.or(self.decoder.datatype())? {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => Major::Unsigned,
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => Major::Negative,
            Type::Bool => Major::Boolean,
            Type::Bytes => Major::Octets,
            Type::String => Major::Text,
            Type::Array => Major::Array,
            Type::Map => Major::Map,
            Type::Tag => Major::Tag,
            _ => Major::Other,
        })
    }

    pub(crate) fn tag(&mut self) -> Result<u64, Error> {
        let tag = self.decoder.tag();
        self.or(tag).map(minicbor::data::Tag::as_u64)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Error> {
        let value = self.decoder.bool();
        self.or(value)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Error> {
        let value = self.decoder.i64();
        self.or(value)
    }

    fn or<T>(&self, result: Result<T, minicbor::decode::Error>) -> Result<T, Error> {
        result.map_err(|_| self.malformed())
    }

    /// The number of elements in an array of definite length, at most `limit`.
    pub(crate) fn array(&mut self, limit: usize) -> Result<usize, Error> {
        let len = self.decoder.array();
        self.count(len, limit)
    }

    /// The number of pairs in a map of definite length, at most `limit`.
    pub(crate) fn map(&mut self, limit: usize) -> Result<usize, Error> {
        let len = self.decoder.map();
        self.count(len, limit)
    }

    fn count(
        &self,
        len: Result<Option<u64>, minicbor::decode::Error>,
        limit: usize,
    ) -> Result<usize, Error> {
        let len = self.or(len)?.ok_or(self.malformed())?;
        let len = usize::try_from(len).map_err(|_| self.malformed())?;
        if len > limit { Err(Error::TooLarge { item: self.item, limit }) } else { Ok(len) }
    }

    /// An array of exactly so many elements.
    pub(crate) fn tuple(&mut self, len: usize) -> Result<(), Error> {
        if self.array(len)? == len { Ok(()) } else { Err(self.malformed()) }
    }

    /// An array, each element read by `read`.
    pub(crate) fn list<T>(
        &mut self,
        limit: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let len = self.array(limit)?;
        // No capacity in advance: a length is only a promise.
        let mut out = Vec::new();
        for _ in 0..len {
            out.push(read(self)?);
        }
        Ok(out)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        let value = self.decoder.u64();
        self.or(value)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        let value = self.decoder.u32();
        self.or(value)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let value = self.decoder.bytes();
        self.or(value)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Error> {
        let value = self.decoder.str();
        self.or(value)
    }

    /// Text of at most `limit` octets.
    pub(crate) fn string(&mut self, limit: usize) -> Result<String, Error> {
        let text = self.text()?;
        if text.len() > limit {
            return Err(Error::TooLarge { item: self.item, limit });
        }
        Ok(text.into())
    }

    /// A SHA-256 digest as its 32 octets.
    pub(crate) fn sha256(&mut self) -> Result<Digest, Error> {
        let malformed = self.malformed();
        Digest::new(HashAlgorithm::Sha256, self.bytes()?).ok_or(malformed)
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.decoder.position() == self.decoder.input().len() {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }
}
