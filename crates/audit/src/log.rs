//! Keeping a log: append, flush to the disk, then answer.

use crate::entry::{Entry, Event, Head};
use crate::error::Error;
use crate::verify::{CHECKPOINT, Entries, Known, walk};
use crate::{Code, Notary, Severity, Tree};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use touchstone_crypto::Crypto;

/// Entries after which a head is signed at the latest.
pub const SIGN_EVERY: u64 = 1_000;
/// Seconds after an entry by which it is covered by a signed head.
const SIGN_WITHIN: u64 = 60;

/// The one writer of a log.
pub struct Log {
    file: File,
    path: PathBuf,
    crypto: Arc<dyn Crypto>,
    head: Head,
    tree: Tree,
    unsigned: Unsigned,
    length: u64,
    stopped: bool,
}

/// What no signed head covers yet. Entries that tell of signing need no signature of their own.
#[derive(Clone, Copy, Debug, Default)]
struct Unsigned {
    entries: u64,
    /// When the first of them was written.
    since: Option<u64>,
    critical: bool,
}

impl Unsigned {
    fn add(&mut self, entry: &Entry) {
        if entry.code == Code::AuditSigned.name() {
            *self = Self::default();
        } else if entry.code != Code::AuditUnsigned.name() {
            self.entries += 1;
            self.since.get_or_insert(entry.time);
            self.critical |= entry.severity <= Severity::Critical;
        }
    }
}

/// What was found on opening a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Entries that were there.
    pub entries: u64,
    /// Octets of a last line that was never finished, and so never acknowledged; they were cut
    /// off, and an entry says so.
    pub torn: u64,
}

impl Log {
    /// Opens the log, or starts it, readable for its owner alone. It is read to its end: what is
    /// not what was written is an error, and the log stays as it is. `now` in Unix seconds.
    pub fn open(path: &Path, crypto: Arc<dyn Crypto>, now: u64) -> Result<(Self, Recovery), Error> {
        let shown = path.display();
        let file = open_private(path).map_err(Error::io(format_args!("open {shown}")))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Locked,
            TryLockError::Error(source) => Error::Io { what: format!("lock {shown}"), source },
        })?;
        let mut entries = Entries::new(&file, &*crypto);
        let mut unsigned = Unsigned::default();
        for entry in entries.by_ref() {
            unsigned.add(&entry?);
        }
        let report = walk(&mut entries, &Known::default())?;
        let tree = entries.tree;
        let (head, length, stopped) = (report.head, report.length, false);
        let path: PathBuf = path.into();
        let mut log = Self { file, path, crypto, head, tree, unsigned, length, stopped };
        if report.torn > 0 {
            log.cut().map_err(Error::io(format_args!("cut the torn end of {shown}")))?;
            let event = Event::new(Code::AuditRecovered, "", "audit").with("octets", report.torn);
            log.append(now, &event)?;
        } else {
            // The name of a new file must survive as its content will.
            let folder = log.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(Error::io(format_args!("flush {}", folder.display())))?;
        }
        Ok((log, Recovery { entries: report.entries, torn: report.torn }))
    }

    /// Writes an entry; when this returns, it is on the disk. `time` in Unix seconds.
    /// [`Code::AuditSigned`] is for [`sign`](Self::sign) alone.
    pub fn append(&mut self, time: u64, event: &Event) -> Result<Entry, Error> {
        refuse_signed(std::slice::from_ref(event))?;
        self.tell(time, event)
    }

    fn tell(&mut self, time: u64, event: &Event) -> Result<Entry, Error> {
        let entry = Entry::after(&self.head, &*self.crypto, time, event);
        self.write(&[&entry])?;
        Ok(entry)
    }

    /// Writes several entries with one flush: all of them are on the disk, or none is.
    pub fn append_all(&mut self, time: u64, events: &[Event]) -> Result<Vec<Entry>, Error> {
        refuse_signed(events)?;
        let mut head = self.head;
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            let entry = Entry::after(&head, &*self.crypto, time, event);
            head = entry.head();
            entries.push(entry);
        }
        self.write(&entries.iter().collect::<Vec<_>>())?;
        Ok(entries)
    }

    /// Whether a head has to be signed by now: a minute after an entry, after a thousand, and at
    /// each critical one.
    pub fn is_due(&self, now: u64) -> bool {
        let Unsigned { entries, critical, .. } = self.unsigned;
        let late = self.due_at().is_some_and(|due| due <= now);
        critical || late || entries >= SIGN_EVERY
    }

    /// When a head has to be signed at the latest, in Unix seconds; `None` if all is signed.
    pub fn due_at(&self) -> Option<u64> {
        self.unsigned.since.map(|since| since.saturating_add(SIGN_WITHIN))
    }

    /// Has the head signed, and tells of it in an entry. If the notary fails, the entry tells of
    /// that and the error is its own; a head is due again a minute later.
    pub fn sign(&mut self, now: u64, notary: &Notary) -> Result<Entry, Error> {
        match notary.sign(self.tree.size(), self.tree.root(&*self.crypto)) {
            Ok(note) => {
                let event = Event::new(Code::AuditSigned, "", "audit").with(CHECKPOINT, note);
                self.tell(now, &event)
            }
            Err(fault) => {
                let event = Event::new(Code::AuditUnsigned, "", "audit").with("why", fault);
                self.append(now, &event)?;
                self.unsigned = Unsigned { entries: 0, since: Some(now), critical: false };
                Err(Error::Unsigned(fault))
            }
        }
    }

    /// The end of the log.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, entries: &[&Entry]) -> Result<(), Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        let Some(last) = entries.last() else { return Ok(()) };
        let mut lines = String::new();
        let mut tree = self.tree.clone();
        for entry in entries {
            let line = entry.line();
            tree.push(&*self.crypto, line.as_bytes());
            lines.push_str(&line);
            lines.push('\n');
        }
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Half a line must not stand before the next one, nor an entry that nobody was told of.
            self.stopped = self.cut().is_err();
            return Err(Error::Io { what: format!("write {}", self.path.display()), source });
        }
        self.head = last.head();
        self.tree = tree;
        for entry in entries {
            self.unsigned.add(entry);
        }
        self.length += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Back to the last whole line.
    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.sync_all()
    }
}

/// An entry that only looks like a signed head would break the log.
fn refuse_signed(events: &[Event]) -> Result<(), Error> {
    let signed = events.iter().any(|event| event.code() == Code::AuditSigned);
    if signed { Err(Error::Reserved) } else { Ok(()) }
}

fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests;
