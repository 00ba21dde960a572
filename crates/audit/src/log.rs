//! Keeping a log: append, flush to the disk, then answer.

use crate::Code;
use crate::entry::{Entry, Event, Head};
use crate::error::Error;
use crate::verify::verify;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use touchstone_crypto::Crypto;

/// The one writer of a log.
pub struct Log {
    file: File,
    path: PathBuf,
    crypto: Arc<dyn Crypto>,
    head: Head,
    length: u64,
    stopped: bool,
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
        let report = verify(&file, &*crypto, None)?;
        let (head, length) = (report.head, report.length);
        let mut log = Self { file, path: path.into(), crypto, head, length, stopped: false };
        if report.torn > 0 {
            log.cut().map_err(Error::io(format_args!("cut the torn end of {shown}")))?;
            let event = Event::new(Code::AuditRecovered, "", "audit").with("octets", report.torn);
            log.append(now, &event)?;
        } else {
            // The name of a new file must survive as its content will.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(Error::io(format_args!("flush {}", folder.display())))?;
        }
        Ok((log, Recovery { entries: report.entries, torn: report.torn }))
    }

    /// Writes an entry; when this returns, it is on the disk. `time` in Unix seconds.
    pub fn append(&mut self, time: u64, event: &Event) -> Result<Entry, Error> {
        let entry = Entry::after(&self.head, &*self.crypto, time, event);
        self.write(&[&entry])?;
        Ok(entry)
    }

    /// Writes several entries with one flush: all of them are on the disk, or none is.
    pub fn append_all(&mut self, time: u64, events: &[Event]) -> Result<Vec<Entry>, Error> {
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
        for entry in entries {
            lines.push_str(&entry.line());
            lines.push('\n');
        }
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Half a line must not stand before the next one, nor an entry that nobody was told of.
            self.stopped = self.cut().is_err();
            return Err(Error::Io { what: format!("write {}", self.path.display()), source });
        }
        self.head = last.head();
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

fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests;
