//! The list as the kernel gives it in binary (`binary_runtime_measurements`, and since Linux 6.10
//! one list for each bank).

use super::PCR;
use super::entry::{Entry, original_digest_len};
use super::template::Template;
use crate::{Error, Problem};
use alloc::vec::Vec;
use touchstone_wire::{Malformed, Reader};

/// How much of a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most octets of a list.
    pub octets: usize,
    /// The most entries of a list.
    pub entries: usize,
    /// The most octets of one entry's data.
    pub entry: usize,
}

impl Limits {
    /// A million entries and more.
    pub const DEFAULT: Self = Self { octets: 1 << 30, entries: 1 << 22, entry: 1 << 20 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The order of the octets in numbers: the host's, unless it was started with
/// `ima_canonical_fmt`, which is [`Little`](Self::Little).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The least significant octet first.
    #[default]
    Little,
    /// The most significant octet first.
    Big,
}

impl Order {
    #[inline]
    pub(super) fn u32(self, reader: &mut Reader<'_>) -> Result<u32, Malformed> {
        match self {
            Self::Little => reader.u32_le(),
            Self::Big => reader.u32(),
        }
    }

    /// The octets behind their number in 32 bits.
    #[inline]
    pub(super) fn sized<'a>(self, reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
        let mut ahead = *reader;
        let len = usize::try_from(self.u32(&mut ahead)?).unwrap_or(usize::MAX);
        let octets = ahead.take(len)?;
        *reader = ahead;
        Ok(octets)
    }
}

/// How the numbers of a list and its template digests look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The order of octets in numbers.
    pub order: Order,
    /// Octets in a template digest: 20 (SHA-1), unless the list is that of another bank.
    pub template_digest: usize,
}

impl Default for Format {
    fn default() -> Self {
        Self { order: Order::Little, template_digest: 20 }
    }
}

impl Format {
    /// The format in which the first entry parses; the usual one if none does.
    pub fn of(list: &[u8]) -> Self {
        let formats = [20, 32, 48, 64].into_iter().flat_map(|template_digest| {
            [Order::Little, Order::Big].map(|order| Self { order, template_digest })
        });
        let parses = |format: &Self| matches!(Entries::new(list, *format).next(), Some(Ok(_)));
        formats.into_iter().find(parses).unwrap_or_default()
    }
}

/// Reads one entry after the other, and keeps none: the memory it takes does not grow with the list.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    reader: Reader<'a>,
    format: Format,
    limits: Limits,
    first: u32,
    count: u32,
    failed: bool,
}

impl<'a> Entries<'a> {
    /// Reads a list from its start.
    pub const fn new(list: &'a [u8], format: Format) -> Self {
        let limits = Limits::DEFAULT;
        let reader = Reader::new(list);
        Self { reader, format, limits, first: 0, count: 0, failed: false }
    }

    /// With other limits.
    #[must_use]
    pub const fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Counts from that entry: the octets begin with it.
    #[must_use]
    pub const fn counted_from(mut self, first: u32) -> Self {
        self.first = first;
        self
    }

    fn entry(&mut self) -> Result<Entry<'a>, Error> {
        let index = self.first.saturating_add(self.count);
        let at = self.reader.position();
        let fail = |problem| Error::new(problem, at, index);
        if self.count as usize >= self.limits.entries || at > self.limits.octets {
            return Err(fail(Problem::ImaTooLarge));
        }
        let entry = header(&mut self.reader, self.format, self.limits).map_err(fail)?.entry(
            index,
            at,
            self.format.order,
        );
        entry.check().map_err(fail)?;
        self.count += 1;
        Ok(entry)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Error>;

    /// The next entry, or why there is none; nothing follows an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.is_empty() {
            return None;
        }
        let entry = self.entry();
        self.failed = entry.is_err();
        Some(entry)
    }
}

/// An entry whose fields were not looked at.
struct Header<'a> {
    pcr: u32,
    template_digest: &'a [u8],
    template: Template<'a>,
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn entry(self, index: u32, at: usize, order: Order) -> Entry<'a> {
        let Self { pcr, template_digest, template, data } = self;
        let violation = is_violation(template_digest);
        Entry { index, at, pcr, template, template_digest, violation, data, order }
    }
}

fn is_violation(template_digest: &[u8]) -> bool {
    template_digest.iter().all(|&octet| octet == 0)
}

fn header<'a>(
    reader: &mut Reader<'a>,
    format: Format,
    limits: Limits,
) -> Result<Header<'a>, Problem> {
    let truncated = |_| Problem::ImaTruncated;
    let pcr = format.order.u32(reader).map_err(truncated)?;
    if pcr != PCR {
        return Err(Problem::ImaPcr);
    }
    let template_digest = reader.take(format.template_digest).map_err(truncated)?;
    let template = Template::named(format.order.sized(reader).map_err(truncated)?)?;
    let data = if template.is_original() {
        let mut ahead = *reader;
        let violation = is_violation(template_digest);
        let digest = original_digest_len({ *reader }.rest(), violation);
        let original = ahead.take(digest).and_then(|_| format.order.sized(&mut ahead));
        let len = digest + 4 + original.map_err(truncated)?.len();
        reader.take(len).map_err(truncated)?
    } else {
        let mut ahead = *reader;
        let len = format.order.u32(&mut ahead).map_err(truncated)?;
        if usize::try_from(len).is_ok_and(|len| len > limits.entry) {
            return Err(Problem::ImaTooLarge);
        }
        format.order.sized(reader).map_err(truncated)?
    };
    Ok(Header { pcr, template_digest, template, data })
}

/// A parsed measurement list: its octets, and where each entry begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    octets: Vec<u8>,
    places: Vec<u32>,
    format: Format,
    first: u32,
}

impl Log {
    /// Parses a whole list. An empty one is a list of no entries.
    pub fn decode(octets: &[u8]) -> Result<Self, Error> {
        Self::read(octets.into(), Format::of(octets), Limits::DEFAULT, 0)
    }

    /// Parses the part of a list that begins with its entry `first`, within limits.
    pub fn read(
        octets: Vec<u8>,
        format: Format,
        limits: Limits,
        first: u32,
    ) -> Result<Self, Error> {
        if octets.len() > limits.octets || u32::try_from(octets.len()).is_err() {
            return Err(Error::new(Problem::ImaTooLarge, limits.octets, first));
        }
        let mut places = Vec::new();
        for entry in Entries::new(&octets, format).within(limits).counted_from(first) {
            places.push(u32::try_from(entry?.at).unwrap_or(u32::MAX));
        }
        Ok(Self { octets, places, format, first })
    }

    /// The entries in their order.
    pub fn entries(
        &self,
    ) -> impl ExactSizeIterator<Item = Entry<'_>> + DoubleEndedIterator + Clone + use<'_> {
        (0..self.places.len()).map(|place| self.at(place))
    }

    /// The entries from that place on.
    pub fn entries_from(&self, place: usize) -> impl Iterator<Item = Entry<'_>> + use<'_> {
        (place.min(self.places.len())..self.places.len()).map(|place| self.at(place))
    }

    /// How many entries it has.
    pub const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it has no entry.
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The index of its first entry in the kernel's list.
    pub const fn first(&self) -> u32 {
        self.first
    }

    /// The entry of that [`index`](Entry::index).
    pub fn get(&self, index: u32) -> Option<Entry<'_>> {
        let place = usize::try_from(index.checked_sub(self.first)?).ok()?;
        (place < self.places.len()).then(|| self.at(place))
    }

    /// The octets it was read from.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The format it was read in.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Drops what lies behind the first `count` entries.
    pub fn truncate(&mut self, count: usize) {
        if let Some(&end) = self.places.get(count) {
            self.octets.truncate(end as usize);
            self.places.truncate(count);
        }
    }

    /// The octets of the entries from that place on.
    pub fn octets_from(&self, place: usize) -> &[u8] {
        let start = self.places.get(place).map_or(self.octets.len(), |&start| start as usize);
        self.octets.get(start..).unwrap_or(&[])
    }

    /// Appends what follows. `false`, and nothing done, if `more` does not begin behind the last
    /// entry or is of another format.
    pub fn append(&mut self, more: &Self) -> bool {
        let end = u64::from(self.first) + self.places.len() as u64;
        if more.is_empty() {
            return true;
        }
        if self.is_empty() && self.first == more.first {
            self.format = more.format;
        }
        let Ok(base) = u32::try_from(self.octets.len()) else { return false };
        let fits = u32::try_from(self.octets.len() + more.octets.len()).is_ok();
        if u64::from(more.first) != end || more.format != self.format || !fits {
            return false;
        }
        self.octets.extend_from_slice(&more.octets);
        self.places.extend(more.places.iter().map(|place| base + place));
        true
    }

    /// The entry at a place, which was parsed before.
    fn at(&self, place: usize) -> Entry<'_> {
        let start = self.places.get(place).map_or(self.octets.len(), |&start| start as usize);
        let index = self.first.saturating_add(u32::try_from(place).unwrap_or(u32::MAX));
        // The octets have not changed since they parsed.
        self.parsed(place, start, index).unwrap_or(Entry::nothing(index, start))
    }

    /// As [`header`] does it, without its checks: this is done again and again.
    fn parsed(&self, place: usize, start: usize, index: u32) -> Option<Entry<'_>> {
        let end = self.places.get(place + 1).map_or(self.octets.len(), |&end| end as usize);
        let octets = self.octets.get(start..end)?.get(4..)?;
        let (template_digest, rest) = octets.split_at_checked(self.format.template_digest)?;
        let mut reader = Reader::new(rest);
        let order = self.format.order;
        let template = Template::named(order.sized(&mut reader).ok()?).ok()?;
        if !template.is_original() {
            reader.take(4).ok()?;
        }
        let header = Header { pcr: PCR, template_digest, template, data: reader.rest() };
        Some(header.entry(index, start, order))
    }
}
