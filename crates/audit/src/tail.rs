//! Following a log that somebody else writes, from any entry on and across its parts. This is what
//! makes the log the spool of whoever sends it on: a place in it is the number of an entry.

use crate::entry::{Entry, MAX_LINE};
use crate::parts::{first_of, number_of, parts};
use crate::{Error, Flaw};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use touchstone_crypto::Crypto;

/// Octets that are read at once.
const CHUNK: usize = 256 * 1024;

/// A reader of a log.
pub struct Tail {
    path: PathBuf,
    crypto: Arc<dyn Crypto>,
    /// The last entry that was given out.
    seq: u64,
    /// The part that is read, and where in it the next line begins.
    open: Option<(File, u64)>,
}

impl Tail {
    /// What comes after the entry `after` of the log at `path`.
    pub fn after(path: &Path, crypto: Arc<dyn Crypto>, after: u64) -> Self {
        Self { path: path.into(), crypto, seq: after, open: None }
    }

    /// The last entry that was given out.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The next entries, at most `most` and of about `octets`, none beyond the entry `upto`: what
    /// comes after it may still be taken back. If the part that is wanted was removed, the first
    /// entry is a later one than the next.
    pub fn next(&mut self, upto: u64, most: usize, octets: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        let mut taken = 0;
        let mut empty = 0;
        while self.seq < upto && entries.len() < most && taken < octets {
            let read = self.read(upto, most - entries.len(), octets - taken, &mut entries)?;
            taken += read;
            if read > 0 {
                empty = 0;
                continue;
            }
            // The part is read to its end: the next one holds the next entry. Between looking for it
            // and opening it, it may have got another name.
            self.open = None;
            empty += 1;
            if empty > 4 {
                break;
            }
        }
        Ok(entries)
    }

    fn read(
        &mut self,
        upto: u64,
        most: usize,
        octets: usize,
        entries: &mut Vec<Entry>,
    ) -> Result<usize, Error> {
        let (mut file, mut at) = match self.open.take() {
            Some(open) => open,
            None => match self.find()? {
                Some(file) => (file, 0),
                None => return Ok(0),
            },
        };
        let mut size = CHUNK;
        let mut taken = 0;
        loop {
            let chunk = chunk(&mut file, at, size).map_err(self.failed())?;
            let mut used = 0;
            for line in chunk.split_inclusive(|octet| *octet == b'\n') {
                let Some((b'\n', text)) = line.split_last() else { break };
                let seq = number_of(text).ok_or_else(|| self.broken(Flaw::NotAnEntry))?;
                if seq > upto || most <= entries.len() || taken >= octets {
                    break;
                }
                used += line.len();
                if seq > self.seq {
                    let entry =
                        Entry::decode(&*self.crypto, text).map_err(|flaw| self.broken(flaw))?;
                    self.seq = seq;
                    taken += line.len();
                    entries.push(entry);
                }
            }
            at += u64::try_from(used).unwrap_or(u64::MAX);
            let end = chunk.len() < size;
            if taken > 0 || end && used == 0 {
                break;
            }
            if used == 0 && size > MAX_LINE {
                return Err(self.broken(Flaw::TooLong));
            }
            size = if used == 0 { size * 4 } else { CHUNK };
        }
        self.open = Some((file, at));
        Ok(taken)
    }

    /// The part that holds the next entry, or the first one after it.
    fn find(&self) -> Result<Option<File>, Error> {
        let wanted = self.seq + 1;
        // The current part first: if it was renamed afterwards, the list has it under its new name.
        let current = match File::open(&self.path) {
            Ok(mut file) => {
                let first = first_of(&mut file).map_err(self.failed())?;
                first.map(|first| (first, file))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(self.failed()(error)),
        };
        if let Some((first, _)) = &current
            && *first <= wanted
        {
            return Ok(current.map(|(_, file)| file));
        }
        let older = parts(&self.path)?;
        let holds = older.iter().rposition(|part| part.first <= wanted);
        // Whether it really reaches as far shows when it is read; a later one is better than none.
        let next = holds.map_or(0, |at| at);
        for part in older.iter().skip(next) {
            match File::open(&part.path) {
                Ok(file) if part.first <= wanted && !reaches(&file, wanted)? => {}
                Ok(file) => return Ok(Some(file)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed()(error)),
            }
        }
        Ok(current.map(|(_, file)| file))
    }

    fn failed(&self) -> impl FnOnce(std::io::Error) -> Error + use<> {
        Error::io(format!("read {}", self.path.display()))
    }

    fn broken(&self, flaw: Flaw) -> Error {
        Error::Damaged { after: self.seq, flaw }
    }
}

/// Whether a part holds that entry or a later one, by its last line.
fn reaches(mut file: &File, wanted: u64) -> Result<bool, Error> {
    let failed = || Error::io("read a part of the log");
    let len = file.metadata().map_err(failed())?.len();
    let line = u64::try_from(MAX_LINE).unwrap_or(u64::MAX) + 2;
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(len.saturating_sub(line))).map_err(failed())?;
    file.take(line).read_to_end(&mut end).map_err(failed())?;
    let last = end.split(|octet| *octet == b'\n').rev().find_map(number_of);
    Ok(last.is_some_and(|last| last >= wanted))
}

fn chunk(file: &mut File, at: u64, size: usize) -> std::io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(size);
    file.seek(SeekFrom::Start(at))?;
    file.take(u64::try_from(size).unwrap_or(u64::MAX)).read_to_end(&mut chunk)?;
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Event, Log};
    use touchstone_crypto_awslc::AwsLc;

    fn event(at: u64) -> (u64, Event) {
        (at, Event::new(Code::FlowCut, "plant", &format!("device:{at}")))
    }

    fn seqs(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.seq).collect()
    }

    #[test]
    fn entries_come_in_order_across_parts_and_never_beyond_what_is_safe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (mut log, _) = Log::open(&path, Arc::new(AwsLc), 0).unwrap();
        let mut tail = Tail::after(&path, Arc::new(AwsLc), 0);
        assert!(tail.next(9, 9, 9).unwrap().is_empty());
        log.append_all(&(0..3).map(event).collect::<Vec<_>>()).unwrap();
        assert_eq!(seqs(&tail.next(2, 9, 1 << 20).unwrap()), [1, 2]);
        log.begin_part(7).unwrap();
        log.append_all(&(0..3).map(event).collect::<Vec<_>>()).unwrap();
        assert_eq!(seqs(&tail.next(7, 9, 1 << 20).unwrap()), [3, 4, 5, 6, 7]);
        assert!(tail.next(7, 9, 1 << 20).unwrap().is_empty());
        log.begin_part(8).unwrap();
        log.append_all(&(0..600).map(event).collect::<Vec<_>>()).unwrap();
        for after in 0..608 {
            let mut tail = Tail::after(&path, Arc::new(AwsLc), after);
            let first = tail.next(608, 2, 1 << 20).unwrap();
            assert_eq!(first.first().map(|entry| entry.seq), Some(after + 1), "after {after}");
        }
        let mut tail = Tail::after(&path, Arc::new(AwsLc), 1);
        let all = std::iter::from_fn(|| {
            Some(tail.next(608, 50, 4_000).unwrap()).filter(|page| !page.is_empty())
        });
        assert_eq!(seqs(&all.flatten().collect::<Vec<_>>()), (2..=608).collect::<Vec<_>>());
    }

    #[test]
    fn a_part_that_was_removed_shows_as_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (mut log, _) = Log::open(&path, Arc::new(AwsLc), 0).unwrap();
        let mut tail = Tail::after(&path, Arc::new(AwsLc), 0);
        log.append_all(&[event(1), event(2)]).unwrap();
        assert_eq!(seqs(&tail.next(1, 9, 1 << 20).unwrap()), [1]);
        let old = log.begin_part(3).unwrap();
        log.append_all(&[event(4)]).unwrap();
        std::fs::remove_file(old).unwrap();
        let mut late = Tail::after(&path, Arc::new(AwsLc), 0);
        assert_eq!(seqs(&late.next(4, 9, 1 << 20).unwrap()), [3, 4]);
        assert_eq!(seqs(&tail.next(4, 9, 1 << 20).unwrap()), [2, 3, 4], "it was open already");
    }

    #[test]
    fn a_changed_line_stops_the_reader_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (mut log, _) = Log::open(&path, Arc::new(AwsLc), 0).unwrap();
        log.append_all(&[event(1), event(2)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replace("device:2", "device:3");
        std::fs::write(&path, text).unwrap();
        let mut tail = Tail::after(&path, Arc::new(AwsLc), 0);
        let error = tail.next(2, 9, 1 << 20).unwrap_err();
        assert_eq!(error.code(), "audit.line.changed");
    }
}
