//! Reading a log and saying whether it is whole. Nothing here writes.

use crate::entry::{Entry, Head, MAX_LINE};
use crate::error::{Broken, Error, Flaw};
use crate::log::SIGN_EVERY;
use crate::{Checkpoint, CheckpointFault, Code, LogKey, Tree};
use std::io::{BufRead, BufReader, Read};
use touchstone_crypto::{Crypto, Digest};

/// The detail of an entry that holds a signed head.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// The details of an entry that begins a part: the tree before it, and up to where it was signed.
pub(crate) const PEAKS: &str = "peaks";
pub(crate) const SIGNED: &str = "signed";
/// The detail of an entry that tells of a part that was removed: its last entry.
pub(crate) const UPTO: &str = "to";

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
    /// The number of the first entry: 1, unless earlier parts were left out.
    pub first: u64,
    /// Entries up to this one were removed by the log's own writer, who says so in the log.
    pub pruned: u64,
    /// How many entries there are, those of earlier parts with them.
    pub entries: u64,
    /// Its end: remember it in order to notice later that the log was cut.
    pub head: Head,
    /// Up to which entry its heads were signed; by whom is checked only with a key.
    pub signed: u64,
    /// The octets of the whole lines of the last part.
    pub length: u64,
    /// Octets of a last line without an end: a write that was cut short, or is under way.
    pub torn: u64,
}

/// Reads a log to its end, or to the first line that is not what was written. With what is known
/// from before, also says whether the log still leads up to it.
pub fn verify(log: impl Read, crypto: &dyn Crypto, known: &Known<'_>) -> Result<Report, Error> {
    verify_parts([log], crypto, known)
}

/// [`verify`] for a log in several parts, the oldest first.
pub fn verify_parts<R: Read>(
    parts: impl IntoIterator<Item = R>,
    crypto: &dyn Crypto,
    known: &Known<'_>,
) -> Result<Report, Error> {
    let mut state = State::default();
    let (mut length, mut torn) = (0, 0);
    for (part, log) in parts.into_iter().enumerate() {
        if torn > 0 {
            // Only the part that is being written can have an unfinished line.
            let (part, line) = (state.part, state.line + 1);
            return Err(Error::Broken(Broken { part, line, flaw: Flaw::NotAnEntry }));
        }
        let mut entries = Entries::after(log, crypto, State { part, ..state });
        walk(&mut entries, known, |_| ())?;
        Entries { state, length, torn, .. } = entries;
    }
    state.conclude(known, length, torn)
}

/// Reads one part to its end, compares it with what is known, and shows every entry to `seen`.
pub(crate) fn walk(
    entries: &mut Entries<'_, impl Read>,
    known: &Known<'_>,
    mut seen: impl FnMut(&Entry),
) -> Result<(), Error> {
    while let Some(entry) = entries.next() {
        let entry = entry?;
        entries.compare(&entry, known).map_err(|flaw| entries.state.broken(flaw))?;
        seen(&entry);
    }
    Ok(())
}

/// How far a log was read.
#[derive(Clone, Debug)]
pub(crate) struct State {
    part: usize,
    line: u64,
    /// The number of the first entry; 0 before any.
    first: u64,
    pruned: u64,
    pub(crate) head: Head,
    pub(crate) tree: Tree,
    signed: u64,
}

impl Default for State {
    fn default() -> Self {
        let (head, tree) = (Head::EMPTY, Tree::new());
        Self { part: 0, line: 0, first: 0, pruned: 0, head, tree, signed: 0 }
    }
}

impl State {
    /// What is to be said of a log that was read to its end.
    pub(crate) fn conclude(
        &self,
        known: &Known<'_>,
        length: u64,
        torn: u64,
    ) -> Result<Report, Error> {
        let Self { head, signed, pruned, .. } = *self;
        let first = self.first.max(1);
        let beyond =
            |flaw| Err(Error::Broken(Broken { part: self.part, line: self.line + 1, flaw }));
        if let Some(known) = known.head.filter(|known| known.seq > head.seq) {
            return beyond(Flaw::CutOff { known });
        }
        if let Some(known) = known.checkpoint.as_ref().filter(|known| known.size > head.seq) {
            return beyond(Flaw::Shorter { known: known.size });
        }
        // The hash of the entry before the first one is here, too, and the root up to it.
        let heads = known.head.iter().map(|head| head.seq);
        let sizes = known.checkpoint.iter().map(|checkpoint| checkpoint.size);
        if first > 1 && heads.chain(sizes).any(|known| known + 1 < first) {
            return Err(Error::Incomplete { first });
        }
        // A page of entries may be written between two looks at whether a head is due.
        let too_many = signed == 0 && head.seq > 0 || head.seq - signed > 2 * SIGN_EVERY;
        if known.key.is_some() && too_many {
            return beyond(Flaw::Unsigned { signed });
        }
        Ok(Report { first, pruned, entries: head.seq, head, signed, length, torn })
    }

    /// The flaw of the line that was read last.
    fn broken(&self, flaw: Flaw) -> Error {
        Error::Broken(Broken { part: self.part, line: self.line, flaw })
    }
}

/// The signed head that an entry holds.
fn note_of(entry: &Entry) -> Option<&str> {
    (entry.code == Code::AuditSigned.name())
        .then(|| entry.detail.get(CHECKPOINT).map_or("", String::as_str))
}

/// The entries of a log, each checked against the one before; ends at the first fault.
pub struct Entries<'a, R> {
    log: BufReader<R>,
    crypto: &'a dyn Crypto,
    pub(crate) state: State,
    pub(crate) length: u64,
    pub(crate) torn: u64,
    buf: Vec<u8>,
    done: bool,
}

impl<'a, R: Read> Entries<'a, R> {
    /// The entries of `log`: a whole log, or a part of one.
    pub fn new(log: R, crypto: &'a dyn Crypto) -> Self {
        Self::after(log, crypto, State::default())
    }

    /// The entries of the part that follows what was read.
    fn after(log: R, crypto: &'a dyn Crypto, state: State) -> Self {
        Self {
            log: BufReader::with_capacity(64 * 1024, log),
            crypto,
            state: State { line: 0, ..state },
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
        let whole = self.buf.last() == Some(&b'\n');
        if !whole && read < limit {
            self.torn = read;
            return Ok(None);
        }
        self.state.line += 1;
        self.length += read;
        let entry = if whole { self.entry() } else { Err(Flaw::TooLong) };
        entry.map(Some).map_err(|flaw| self.state.broken(flaw))
    }

    /// The entry of the line in the buffer, taken into account.
    fn entry(&mut self) -> Result<Entry, Flaw> {
        let line = self.buf.strip_suffix(b"\n").unwrap_or(&self.buf);
        let entry = Entry::decode(self.crypto, line)?;
        let state = &mut self.state;
        if entry.code == Code::AuditContinued.name() {
            state.begin_part(&entry)?;
        }
        let expected = state.head.seq + 1;
        if entry.seq != expected {
            return Err(Flaw::Sequence { expected, found: entry.seq });
        }
        if entry.prev() != state.head.hash.to_hex() {
            return Err(Flaw::Unchained);
        }
        if let Some(note) = note_of(&entry) {
            state.signed = state.signed_by(self.crypto, note)?;
        }
        if entry.code == Code::AuditPruned.name() {
            let upto = entry.detail.get(UPTO).and_then(|upto| upto.parse().ok()).unwrap_or(0);
            state.pruned = state.pruned.max(upto);
        }
        state.tree.push(self.crypto, line);
        state.head = entry.head();
        if state.first == 0 {
            state.first = entry.seq;
        }
        Ok(entry)
    }

    /// Compares the entry that was read last with what is known.
    fn compare(&self, entry: &Entry, known: &Known<'_>) -> Result<(), Flaw> {
        if let Some(head) = known.head {
            let before = head.seq + 1 == entry.seq && entry.prev() != head.hash.to_hex();
            if before || head.seq == entry.seq && entry.head() != head {
                return Err(Flaw::Rewritten { known: head });
            }
        }
        if let Some(checkpoint) = known.checkpoint.as_ref().filter(|known| known.size == entry.seq)
            && self.state.tree.root(self.crypto) != checkpoint.root
        {
            return Err(Flaw::OtherRoot { known: checkpoint.size });
        }
        match (known.key, note_of(entry)) {
            (Some(key), Some(note)) => {
                key.open(self.crypto, note).map(drop).map_err(Flaw::Checkpoint)
            }
            _ => Ok(()),
        }
    }
}

impl State {
    /// Takes over what the first entry of a part says of the entries before it; where those were
    /// read, it has to be the same.
    fn begin_part(&mut self, entry: &Entry) -> Result<(), Flaw> {
        let flaw = Flaw::Continuation;
        if self.line != 1 {
            return Err(flaw);
        }
        let (size, tree) = tree_of(entry).ok_or(flaw)?;
        let number = |name: &str| entry.detail.get(name)?.parse::<u64>().ok();
        let signed = number(SIGNED).filter(|signed| *signed <= size).ok_or(flaw)?;
        let hash = Digest::parse(&format!("sha256:{}", entry.prev())).map_err(|_| flaw)?;
        let head = Head { seq: size, hash };
        if self.first == 0 {
            (self.head, self.tree, self.signed) = (head, tree, signed);
            return Ok(());
        }
        let same = self.head == head && self.tree == tree && self.signed == signed;
        if same { Ok(()) } else { Err(flaw) }
    }

    /// The size that a signed head states, if it is the head of what was read so far.
    fn signed_by(&self, crypto: &dyn Crypto, note: &str) -> Result<u64, Flaw> {
        let checkpoint = Checkpoint::of_note(note).map_err(Flaw::Checkpoint)?;
        if checkpoint.size == 0 {
            return Err(Flaw::Checkpoint(CheckpointFault::Form));
        }
        let same = checkpoint.size == self.tree.size() && checkpoint.root == self.tree.root(crypto);
        if same { Ok(checkpoint.size) } else { Err(Flaw::OtherTree) }
    }
}

/// The tree before the entry that begins a part, and its size.
pub(crate) fn tree_of(entry: &Entry) -> Option<(u64, Tree)> {
    let size = entry.seq.checked_sub(1)?;
    let peaks = entry.detail.get(PEAKS)?.split_ascii_whitespace();
    let peaks: Option<Vec<Digest>> =
        peaks.map(|peak| Digest::parse(&format!("sha256:{peak}")).ok()).collect();
    Some((size, Tree::from_peaks(size, peaks?)?))
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
