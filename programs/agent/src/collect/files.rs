//! The files whose code is mapped anywhere, each once, with the digest of the whole file as
//! processes see it: what the page cache holds, which is what runs. Read anew now and then, so that
//! a page cache that was tampered with is found although no page was copied.

use super::maps::{Backing, Mapping};
use super::space::Space;
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use touchstone_crypto::{Digest, HashAlgorithm};

/// At most this many octets of files that did not change are read again in one look.
const AGAIN: u64 = 32 << 20;

/// The most files that are kept in mind.
const MOST: usize = 4096;

/// A mapped file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its path when it was mapped.
    pub path: PathBuf,
    /// SHA-256 over the whole file; `None` if it could not be read.
    pub digest: Option<Digest>,
    /// How many processes have code of it.
    pub processes: u32,
    /// How long ago it was read.
    pub age: Duration,
}

/// What tells that a file was written to.
type Stamp = (u64, i64, i64, i64, i64);

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    digest: Option<Digest>,
    stamp: Option<Stamp>,
    hashed: Instant,
    round: u64,
    processes: u32,
    last: u32,
}

/// The mapped files that were seen.
#[derive(Debug)]
pub struct Files {
    entries: HashMap<((u32, u32), u64), Entry>,
    again: Duration,
    budget: u64,
    round: u64,
}

impl Files {
    /// Reads files anew when `again` has passed.
    pub fn new(again: Duration) -> Self {
        Self { entries: HashMap::new(), again, budget: 0, round: 0 }
    }

    /// A new look begins.
    pub fn begin(&mut self) {
        self.round += 1;
        self.budget = AGAIN;
    }

    /// The look is over: what was not seen in it is forgotten.
    pub fn end(&mut self) {
        let round = self.round;
        self.entries.retain(|_, entry| entry.round == round);
    }

    /// A process has code of a file. False if there are more files than are kept in mind. Between two
    /// looks at all a file that is new is not read: the next one does.
    pub fn see(&mut self, space: &Space<'_>, mapping: &Mapping, of_all: bool) -> bool {
        let Backing::File { path, device, inode, .. } = &mapping.backing else { return true };
        let round = self.round;
        let key = (*device, *inode);
        if let Some(entry) = self.entries.get_mut(&key)
            && entry.round == round
        {
            if entry.last != space.pid() {
                entry.last = space.pid();
                entry.processes += 1;
            }
            return true;
        }
        if self.entries.len() >= MOST && !self.entries.contains_key(&key) {
            return false;
        }
        let file = space.file_of(mapping);
        let stamp = file.as_ref().and_then(|file| file.metadata().ok()).map(|found| stamp(&found));
        let known = self.entries.remove(&key).filter(|entry| entry.stamp == stamp);
        let entry = match known {
            Some(mut entry) => {
                let size = stamp.map_or(0, |stamp| stamp.0);
                let due = entry.hashed.elapsed() >= self.again || entry.digest.is_none();
                if of_all && due && may_read(size, self.budget, entry.digest.is_some()) {
                    self.budget = self.budget.saturating_sub(size);
                    entry.digest = file.and_then(|file| digest(file).ok().flatten());
                    entry.hashed = Instant::now();
                }
                Entry { round, processes: 1, last: space.pid(), ..entry }
            }
            None => Entry {
                path: path.clone(),
                digest: file.filter(|_| of_all).and_then(|file| digest(file).ok().flatten()),
                stamp,
                hashed: Instant::now(),
                round,
                processes: 1,
                last: space.pid(),
            },
        };
        self.entries.insert(key, entry);
        true
    }

    /// The digest of a file that was seen, which is read now if it was not.
    pub fn digest(&self, space: &Space<'_>, mapping: &Mapping) -> Option<Digest> {
        let Backing::File { device, inode, .. } = &mapping.backing else { return None };
        let known = self.entries.get(&(*device, *inode)).and_then(|entry| entry.digest);
        known.or_else(|| digest(space.file_of(mapping)?).ok().flatten())
    }

    /// Every file that was seen in the last look, by path.
    pub fn mapped(&self) -> Vec<Mapped> {
        let mut mapped: Vec<_> = self
            .entries
            .values()
            .map(|entry| Mapped {
                path: entry.path.clone(),
                digest: entry.digest,
                processes: entry.processes,
                age: entry.hashed.elapsed(),
            })
            .collect();
        mapped.sort_by(|a, b| a.path.cmp(&b.path));
        mapped
    }
}

/// Whether a file of that size is read in a look that may still read so much. One that is larger than
/// all that a look may read has its turn, too, and one that was never read needs none.
const fn may_read(size: u64, left: u64, known: bool) -> bool {
    !known || size <= left || left == AGAIN
}

fn stamp(of: &Metadata) -> Stamp {
    (of.size(), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec())
}

/// SHA-256 over a file.
pub(super) fn digest(mut file: File) -> io::Result<Option<Digest>> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => context.update(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Digest::new(HashAlgorithm::Sha256, context.finish().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_its_turn_however_large_it_is() {
        assert!(may_read(90 << 20, AGAIN, true), "node, say, as the first of a look");
        assert!(!may_read(90 << 20, AGAIN - 1, true), "beside another one it waits");
        assert!(may_read(90 << 20, 0, false), "what is not known is read");
        assert!(may_read(1 << 20, 2 << 20, true) && !may_read(3 << 20, 2 << 20, true));
    }
}
