//! Taking over a log that somebody else writes, page by page: only entries that follow the ones that
//! were taken before, and only up to a head that the log's key has signed. A log that was written
//! anew, shortened or put together differently is refused; entries that its writer has let go, because
//! nobody took them in time, are told as missing.

use crate::entry::{Entry, Head, MAX_LINE};
use crate::error::{Broken, Flaw};
use crate::verify::{CHECKPOINT, tree_of};
use crate::{Code, LogKey, Tree};
use std::fmt;
use std::str::FromStr;
use touchstone_crypto::{Crypto, Digest};

/// How far a log was taken over. Written as `seq:hash peak..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    head: Head,
    tree: Tree,
}

/// What a page added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The log up to here is taken over now.
    pub replica: Replica,
    /// The entries that were added, in order. Those behind the last signed head come again.
    pub entries: Vec<Entry>,
    /// The numbers of the first and last entry that the writer had let go before they were taken.
    pub missing: Option<(u64, u64)>,
}

impl Default for Replica {
    fn default() -> Self {
        Self { head: Head::EMPTY, tree: Tree::new() }
    }
}

impl Replica {
    /// The last entry that was taken over.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Takes over the lines of a page, of a log that has `last` entries by its writer's word and whose
    /// heads are signed with `key`. A page without lines only says how long the log is.
    pub fn take(
        &self,
        crypto: &dyn Crypto,
        key: &LogKey,
        last: u64,
        lines: &[u8],
    ) -> Result<Taken, Broken> {
        if last < self.head.seq {
            return Err(Broken { part: 0, line: 1, flaw: Flaw::CutOff { known: self.head } });
        }
        let mut page = Page {
            now: self.clone(),
            proven: (self.clone(), 0),
            entries: Vec::new(),
            missing: None,
        };
        let mut line = 0;
        for text in lines.split_inclusive(|octet| *octet == b'\n') {
            line += 1;
            page.line(crypto, key, text).map_err(|flaw| Broken { part: 0, line, flaw })?;
        }
        let (replica, count) = page.proven;
        if count == 0 && line > 0 {
            let flaw = Flaw::Unsigned { signed: self.head.seq };
            return Err(Broken { part: 0, line, flaw });
        }
        page.entries.truncate(count);
        Ok(Taken { replica, entries: page.entries, missing: page.missing })
    }
}

/// A page that is being read.
struct Page {
    now: Replica,
    /// The last state that a signed head covers, and how many entries lead to it.
    proven: (Replica, usize),
    entries: Vec<Entry>,
    missing: Option<(u64, u64)>,
}

impl Page {
    fn line(&mut self, crypto: &dyn Crypto, key: &LogKey, text: &[u8]) -> Result<(), Flaw> {
        if text.len() > MAX_LINE {
            return Err(Flaw::TooLong);
        }
        let line = text.strip_suffix(b"\n").ok_or(Flaw::NotAnEntry)?;
        let entry = Entry::decode(crypto, line)?;
        if entry.code == Code::AuditContinued.name() {
            self.continues(&entry)?;
        }
        let expected = self.now.head.seq + 1;
        if entry.seq != expected {
            return Err(Flaw::Sequence { expected, found: entry.seq });
        }
        if entry.prev() != self.now.head.hash.to_hex() {
            return Err(Flaw::Unchained);
        }
        if entry.code == Code::AuditSigned.name() {
            let note = entry.detail.get(CHECKPOINT).map_or("", String::as_str);
            let checkpoint = key.open(crypto, note).map_err(Flaw::Checkpoint)?;
            let tree = &self.now.tree;
            if checkpoint.size != tree.size() || checkpoint.root != tree.root(crypto) {
                return Err(Flaw::OtherTree);
            }
            self.proven = (self.now.clone(), self.entries.len());
        }
        self.now.tree.push(crypto, line);
        self.now.head = entry.head();
        self.entries.push(entry);
        Ok(())
    }

    /// The beginning of a part says what was before it. At the beginning of a page, that may be more
    /// than was taken over: the parts before are gone.
    fn continues(&mut self, entry: &Entry) -> Result<(), Flaw> {
        let (size, tree) = tree_of(entry).ok_or(Flaw::Continuation)?;
        let before = self.now.head.seq;
        if self.entries.is_empty() && size > before {
            let hash = Digest::parse(&format!("sha256:{}", entry.prev()));
            let hash = hash.map_err(|_| Flaw::Continuation)?;
            self.missing = Some((before + 1, size));
            self.now = Replica { head: Head { seq: size, hash }, tree };
            return Ok(());
        }
        if self.now.tree == tree { Ok(()) } else { Err(Flaw::Continuation) }
    }
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(f)?;
        self.tree.peaks().iter().try_for_each(|peak| write!(f, " {}", peak.to_hex()))
    }
}

/// The text is not how far a log was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseReplicaError;

impl fmt::Display for ParseReplicaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a place in a log: its head, and the roots of its tree's subtrees")
    }
}

impl std::error::Error for ParseReplicaError {}

impl FromStr for Replica {
    type Err = ParseReplicaError;

    fn from_str(text: &str) -> Result<Self, ParseReplicaError> {
        let mut words = text.split(' ');
        let head: Head =
            words.next().and_then(|head| head.parse().ok()).ok_or(ParseReplicaError)?;
        let peaks: Option<Vec<Digest>> =
            words.map(|peak| Digest::parse(&format!("sha256:{peak}")).ok()).collect();
        let tree = peaks.and_then(|peaks| Tree::from_peaks(head.seq, peaks));
        Ok(Self { head, tree: tree.ok_or(ParseReplicaError)? })
    }
}

#[cfg(test)]
mod tests;
