//! What the store holds: keys, counters, values. Its octets are secret and authenticated, and are
//! read with the same care as if they were not.

use std::collections::BTreeMap;
use touchstone_element::{Error, KeyAlgorithm, KeyUse, check_name};
use touchstone_wire::{Malformed, Reader, Why};
use zeroize::Zeroizing;

/// Keys, counters or values that fit.
const MOST: usize = 1024;

/// A key that is kept.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) key_use: KeyUse,
    pub(crate) algorithm: KeyAlgorithm,
    /// PKCS#8, the expanded decapsulation key, or the octets of a symmetric key.
    pub(crate) private: Zeroizing<Vec<u8>>,
    pub(crate) spki_der: Vec<u8>,
    pub(crate) certificate: Option<Vec<u8>>,
}

/// Everything.
#[derive(Clone, Default)]
pub(crate) struct Body {
    pub(crate) keys: BTreeMap<String, Held>,
    pub(crate) counters: BTreeMap<String, u64>,
    /// Where a new counter starts: no deleted one was higher.
    pub(crate) floor: u64,
    pub(crate) values: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Body {
    /// Says what there is too much of.
    pub(crate) fn check_room(&self) -> Result<(), Error> {
        for (count, what) in [
            (self.keys.len(), "the store holds 1024 keys; delete one"),
            (self.counters.len(), "the store holds 1024 counters; delete one"),
            (self.values.len(), "the store holds 1024 values; remove one"),
        ] {
            if count > MOST {
                return Err(Error::Exhausted(what));
            }
        }
        Ok(())
    }

    /// Octets of the encoding: known before, so that no copy is left behind by growing.
    fn len(&self) -> usize {
        let key = |(name, held): (&String, &Held)| {
            let texts = name.len() + held.key_use.name().len() + held.algorithm.name().len();
            let certificate = held.certificate.as_ref().map_or(0, Vec::len);
            texts + held.private.len() + held.spki_der.len() + certificate + 15
        };
        let value = |(name, value): (&String, &Zeroizing<Vec<u8>>)| name.len() + value.len() + 5;
        self.keys.iter().map(key).sum::<usize>()
            + self.counters.keys().map(|name| name.len() + 9).sum::<usize>()
            + self.values.iter().map(value).sum::<usize>()
            + 14
    }

    /// As octets; `room` more are reserved.
    pub(crate) fn encode(&self, room: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Octets(Zeroizing::new(Vec::with_capacity(self.len() + room)));
        out.count(self.keys.len())?;
        for (name, held) in &self.keys {
            out.text(name)?;
            out.text(held.key_use.name())?;
            out.text(held.algorithm.name())?;
            out.long(&held.private)?;
            out.long(&held.spki_der)?;
            out.long(held.certificate.as_deref().unwrap_or_default())?;
        }
        out.put(&self.floor.to_be_bytes());
        out.count(self.counters.len())?;
        for (name, value) in &self.counters {
            out.text(name)?;
            out.put(&value.to_be_bytes());
        }
        out.count(self.values.len())?;
        for (name, value) in &self.values {
            out.text(name)?;
            out.long(value)?;
        }
        Ok(out.0)
    }

    /// From octets.
    pub(crate) fn decode(octets: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets);
        let mut body = Self::default();
        for _ in 0..count(&mut reader)? {
            let name = name(&mut reader, body.keys.keys().next_back())?;
            let key_use = named(&mut reader, KeyUse::from_name)?;
            let algorithm = named(&mut reader, KeyAlgorithm::from_name)?;
            let private = Zeroizing::new(long(&mut reader)?.to_vec());
            let spki_der = long(&mut reader)?.to_vec();
            let certificate = Some(long(&mut reader)?.to_vec()).filter(|der| !der.is_empty());
            let held = Held { key_use, algorithm, private, spki_der, certificate };
            body.keys.insert(name, held);
        }
        body.floor = reader.u64()?;
        for _ in 0..count(&mut reader)? {
            let name = name(&mut reader, body.counters.keys().next_back())?;
            body.counters.insert(name, reader.u64()?);
        }
        for _ in 0..count(&mut reader)? {
            let name = name(&mut reader, body.values.keys().next_back())?;
            body.values.insert(name, Zeroizing::new(long(&mut reader)?.to_vec()));
        }
        reader.finish()?;
        Ok(body)
    }
}

fn count(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    let count = reader.u16()?;
    if usize::from(count) > MOST { Err(reader.malformed(Why::TooLong)) } else { Ok(count) }
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let len = reader.u8()?;
    let at = *reader;
    std::str::from_utf8(reader.take(len.into())?).map_err(|_| at.malformed(Why::BadValue))
}

/// A name that is good and follows `last`: sorted, each once.
fn name(reader: &mut Reader<'_>, last: Option<&String>) -> Result<String, Malformed> {
    let at = *reader;
    let name = text(reader)?;
    let follows = last.is_none_or(|last| last.as_str() < name);
    if check_name(name).is_err() || !follows {
        return Err(at.malformed(Why::BadValue));
    }
    Ok(name.to_owned())
}

fn named<T>(reader: &mut Reader<'_>, known: fn(&str) -> Option<T>) -> Result<T, Malformed> {
    let at = *reader;
    known(text(reader)?).ok_or_else(|| at.malformed(Why::BadValue))
}

fn long<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = reader.u32()?;
    reader.take(usize::try_from(len).map_err(|_| reader.malformed(Why::TooLong))?)
}

struct Octets(Zeroizing<Vec<u8>>);

impl Octets {
    fn put(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    fn count(&mut self, count: usize) -> Result<(), Error> {
        let full = |_| Error::Exhausted("the store holds 1024 of each");
        self.put(&u16::try_from(count).map_err(full)?.to_be_bytes());
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        self.put(&[u8::try_from(text.len()).map_err(|_| Error::BadName)?]);
        self.put(text.as_bytes());
        Ok(())
    }

    fn long(&mut self, octets: &[u8]) -> Result<(), Error> {
        let full = |_| Error::Exhausted("the store holds 4 MiB");
        self.put(&u32::try_from(octets.len()).map_err(full)?.to_be_bytes());
        self.put(octets);
        Ok(())
    }
}
