//! Reading a log and saying whether it is whole. Nothing here writes.

use crate::entry::{Entry, Head, MAX_LINE};
use crate::error::{Broken, Error, Flaw};
use crate::log::SIGN_EVERY;
use crate::{Checkpoint, CheckpointFault, Code, LogKey, Tree};
use std::io::{BufRead, BufReader, Read};
use touchstone_crypto::Crypto;

/// The detail of an entry that holds a signed head.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// What is known of a log from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    /// An end that it had.
    pub head: Option<Head>,
    /// A signed head that it had, opened with its key.
    pub checkpoint: Option<Checkpoint>,
    /// Who signs its heads. With it, a log whose end was never signed is refused.
    pub key: Option<&'a LogKey>,
}

/// What is known of a log that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many entries there are.
    pub entries: u64,
    /// Its end: remember it in order to notice later that the log was cut.
    pub head: Head,
    /// Up to which entry its heads were signed; by whom is checked only with a key.
    pub signed: u64,
    /// The octets of its whole lines.
    pub length: u64,
    /// Octets of a last line without an end: a write that was cut short, or is under way.
    pub torn: u64,
}

/// Reads a log to its end, or to the first line that is not what was written. With what is known
/// from before, also says whether the log still leads up to it.
pub fn verify(log: impl Read, crypto: &dyn Crypto, known: &Known<'_>) -> Result<Report, Error> {
    let mut entries = Entries::new(log, crypto);
    walk(&mut entries, known)
}

/// [`verify`], for who wants to go on from there.
pub(crate) fn walk(
    entries: &mut Entries<'_, impl Read>,
    known: &Known<'_>,
) -> Result<Report, Error> {
    let broken = |line, flaw| Err(Error::Broken(Broken { line, flaw }));
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let line = entries.line;
        if let Some(head) = known.head.filter(|head| head.seq == entry.seq)
            && entry.head() != head
        {
            return broken(line, Flaw::Rewritten { known: head });
        }
        if let Some(checkpoint) = known.checkpoint.as_ref().filter(|known| known.size == entry.seq)
            && entries.tree.root(entries.crypto) != checkpoint.root
        {
            return broken(line, Flaw::OtherRoot { known: checkpoint.size });
        }
        if let (Some(key), Some(note)) = (known.key, note_of(&entry))
            && let Err(fault) = key.open(entries.crypto, note)
        {
            return broken(line, Flaw::Checkpoint(fault));
        }
    }
    let end = entries.line + 1;
    let Entries { head, length, torn, signed, .. } = *entries;
    if let Some(known) = known.head.filter(|known| known.seq > head.seq) {
        return broken(end, Flaw::CutOff { known });
    }
    if let Some(known) = known.checkpoint.as_ref().filter(|known| known.size > head.seq) {
        return broken(end, Flaw::Shorter { known: known.size });
    }
    // A page of entries may be written between two looks at whether a head is due.
    let too_many = signed == 0 && head.seq > 0 || head.seq - signed > 2 * SIGN_EVERY;
    if known.key.is_some() && too_many {
        return broken(end, Flaw::Unsigned { signed });
    }
    Ok(Report { entries: head.seq, head, signed, length, torn })
}

/// The signed head that an entry holds.
fn note_of(entry: &Entry) -> Option<&str> {
    (entry.code == Code::AuditSigned.name())
        .then(|| entry.detail.get(CHECKPOINT).map_or("", String::as_str))
}

/// The entries of a log, each checked against the one before; ends at the first fault.
pub struct Entries<'a, R> {
    log: BufReader<R>,
    pub(crate) crypto: &'a dyn Crypto,
    head: Head,
    pub(crate) tree: Tree,
    signed: u64,
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
            tree: Tree::new(),
            signed: 0,
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
        if let Some(note) = note_of(&entry) {
            self.signed = self.signed_by(note).map_err(|flaw| self.broken(flaw))?;
        }
        self.tree.push(self.crypto, line);
        self.head = entry.head();
        self.line += 1;
        self.length += read;
        Ok(Some(entry))
    }

    /// The size that a signed head states, if it is the head of what was read so far.
    fn signed_by(&self, note: &str) -> Result<u64, Flaw> {
        let checkpoint = Checkpoint::of_note(note).map_err(Flaw::Checkpoint)?;
        if checkpoint.size == 0 {
            return Err(Flaw::Checkpoint(CheckpointFault::Form));
        }
        let same =
            checkpoint.size == self.tree.size() && checkpoint.root == self.tree.root(self.crypto);
        if same { Ok(checkpoint.size) } else { Err(Flaw::OtherTree) }
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
