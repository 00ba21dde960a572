//! Reading a log and saying whether it is whole. Nothing here writes.

use crate::entry::{Entry, Head, MAX_LINE};
use crate::error::{Broken, Error, Flaw};
use std::io::{BufRead, BufReader, Read};
use touchstone_crypto::Crypto;

/// What is known of a log that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many entries there are.
    pub entries: u64,
    /// Its end: remember it in order to notice later that the log was cut.
    pub head: Head,
    /// The octets of its whole lines.
    pub length: u64,
    /// Octets of a last line without an end: a write that was cut short, or is under way.
    pub torn: u64,
}

/// Reads a log to its end, or to the first line that is not what was written. With a head that is
/// known from before, also says whether the log still leads up to it.
pub fn verify(log: impl Read, crypto: &dyn Crypto, known: Option<&Head>) -> Result<Report, Error> {
    let mut entries = Entries::new(log, crypto);
    let broken = |line, flaw| Err(Error::Broken(Broken { line, flaw }));
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if let Some(known) = known.filter(|known| known.seq == entry.seq)
            && entry.head() != *known
        {
            return broken(entries.line, Flaw::Rewritten { known: *known });
        }
    }
    if let Some(known) = known.filter(|known| known.seq > entries.head.seq) {
        return broken(entries.line + 1, Flaw::CutOff { known: *known });
    }
    let Entries { head, length, torn, .. } = entries;
    Ok(Report { entries: head.seq, head, length, torn })
}

/// The entries of a log, each checked against the one before; ends at the first fault.
pub struct Entries<'a, R> {
    log: BufReader<R>,
    crypto: &'a dyn Crypto,
    head: Head,
    line: u64,
    length: u64,
    torn: u64,
    buf: Vec<u8>,
    done: bool,
}

impl<'a, R: Read> Entries<'a, R> {
    /// The entries of `log`.
    pub fn new(log: R, crypto: &'a dyn Crypto) -> Self {
        Self {
            log: BufReader::with_capacity(64 * 1024, log),
            crypto,
            head: Head::EMPTY,
            line: 0,
            length: 0,
            torn: 0,
            buf: Vec::new(),
            done: false,
        }
    }

    fn read(&mut self) -> Result<Option<Entry>, Error> {
        self.buf.clear();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX) + 2;
        let mut line = self.log.by_ref().take(limit);
        let read = line.read_until(b'\n', &mut self.buf).map_err(Error::io("read the log"))?;
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        let Some((b'\n', line)) = self.buf.split_last() else {
            if read == limit {
                return Err(self.broken(Flaw::TooLong));
            }
            self.torn = read;
            return Ok(None);
        };
        let entry = Entry::decode(self.crypto, line).map_err(|flaw| self.broken(flaw))?;
        let expected = self.head.seq + 1;
        if entry.seq != expected {
            return Err(self.broken(Flaw::Sequence { expected, found: entry.seq }));
        }
        if entry.prev() != self.head.hash.to_hex() {
            return Err(self.broken(Flaw::Unchained));
        }
        self.head = entry.head();
        self.line += 1;
        self.length += read;
        Ok(Some(entry))
    }

    fn broken(&self, flaw: Flaw) -> Error {
        Error::Broken(Broken { line: self.line + 1, flaw })
    }
}

impl<R: Read> Iterator for Entries<'_, R> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.read().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}
