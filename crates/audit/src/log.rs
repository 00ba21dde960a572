//! Keeping a log: append, flush to the disk, then answer. Many entries share one flush.
//!
//! A disk that is full is an error of the append: nothing of it stays in the log, no entry that was
//! answered for is touched, and the next append tries again.

use crate::entry::{Entry, Event, Head};
use crate::error::Error;
use crate::parts::{self, parts};
use crate::verify::{CHECKPOINT, Entries, Known, PEAKS, SIGNED, UPTO, walk};
use crate::{Code, Notary, Severity, Tree};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use touchstone_crypto::{Crypto, Digest};

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
    /// The number of the first entry of the part that is written.
    first: u64,
    /// Up to which entry a head was signed.
    signed: u64,
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
        } else if ![Code::AuditUnsigned.name(), Code::AuditContinued.name()].contains(&&*entry.code)
        {
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
    /// Opens the log, or starts it, readable for its owner alone. The part that is written is read to
    /// its end: what is not what was written is an error, and the log stays as it is. `now` in Unix
    /// seconds.
    pub fn open(path: &Path, crypto: Arc<dyn Crypto>, now: u64) -> Result<(Self, Recovery), Error> {
        let file =
            open_private(path).map_err(Error::io(format_args!("open {}", path.display())))?;
        lock(&file, path)?;
        let mut unsigned = Unsigned::default();
        let mut entries = Entries::new(&file, &*crypto);
        walk(&mut entries, &Known::default(), |entry| unsigned.add(entry))?;
        let report = entries.state.conclude(&Known::default(), entries.length, entries.torn)?;
        let tree = entries.state.tree;
        let mut log = Self {
            file,
            path: path.into(),
            crypto,
            head: report.head,
            tree,
            first: report.first,
            signed: report.signed,
            unsigned,
            length: report.length,
            stopped: false,
        };
        log.forget_half_begun()?;
        if report.torn > 0 {
            let shown = path.display();
            log.cut().map_err(Error::io(format_args!("cut the torn end of {shown}")))?;
            let event = Event::new(Code::AuditRecovered, "", "audit").with("octets", report.torn);
            log.append(now, &event)?;
        } else {
            // The name of a new file must survive as its content will.
            sync_folder(path)?;
        }
        Ok((log, Recovery { entries: report.entries, torn: report.torn }))
    }

    /// A part that was about to begin when the last writer ended has two names; it keeps this one.
    fn forget_half_begun(&self) -> Result<(), Error> {
        use std::os::unix::fs::MetadataExt;
        let name = parts::name(&self.path, self.first);
        let id = |path: &Path| std::fs::metadata(path).map(|data| (data.dev(), data.ino())).ok();
        if id(&name).is_some_and(|half| Some(half) == id(&self.path)) {
            std::fs::remove_file(&name)
                .map_err(Error::io(format_args!("remove {}", name.display())))?;
        }
        Ok(())
    }

    /// Writes an entry; when this returns, it is on the disk. `time` in Unix seconds.
    /// [`Code::AuditSigned`] and [`Code::AuditContinued`] are for the log itself.
    pub fn append(&mut self, time: u64, event: &Event) -> Result<Entry, Error> {
        refuse_reserved(event)?;
        self.tell(time, event)
    }

    fn tell(&mut self, time: u64, event: &Event) -> Result<Entry, Error> {
        let (entry, mut line) = Entry::written(&self.head, &*self.crypto, time, event);
        line.push('\n');
        self.write(std::slice::from_ref(&entry), &line)?;
        Ok(entry)
    }

    /// Writes several entries, each with its time, with one flush: all of them are on the disk, or
    /// none is.
    pub fn append_all(&mut self, events: &[(u64, Event)]) -> Result<Vec<Entry>, Error> {
        for (_, event) in events {
            refuse_reserved(event)?;
        }
        let mut head = self.head;
        let mut entries = Vec::with_capacity(events.len());
        let mut lines = String::new();
        for (time, event) in events {
            let (entry, line) = Entry::written(&head, &*self.crypto, *time, event);
            head = entry.head();
            entries.push(entry);
            lines.push_str(&line);
            lines.push('\n');
        }
        self.write(&entries, &lines)?;
        Ok(entries)
    }

    /// Begins a new part of the log, which goes on from the last entry; where the part before is
    /// now. It never leaves the log without its current part, whenever the machine stops.
    pub fn begin_part(&mut self, now: u64) -> Result<PathBuf, Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        let peaks: Vec<String> = self.tree.peaks().iter().map(Digest::to_hex).collect();
        let event = Event::new(Code::AuditContinued, "", "audit")
            .with(PEAKS, peaks.join(" "))
            .with(SIGNED, self.signed);
        let (entry, mut line) = Entry::written(&self.head, &*self.crypto, now, &event);
        line.push('\n');
        let (old, next) = (parts::name(&self.path, self.first), self.path.with_extension("next"));
        let begun = self.replace(&line, &old, &next);
        let file = begun.map_err(|error| {
            // The part that was written stays the current one; neither name matters any more.
            let _ = std::fs::remove_file(&next);
            let _ = self.forget_half_begun();
            Error::Io { what: format!("begin a part of {}", self.path.display()), source: error }
        })?;
        (self.file, self.first, self.length) = (file, entry.seq, 0);
        self.took(std::slice::from_ref(&entry), &line);
        Ok(old)
    }

    fn replace(&self, line: &str, old: &Path, next: &Path) -> std::io::Result<File> {
        let mut file = open_private(next)?;
        file.set_len(0)?;
        file.try_lock()?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        std::fs::hard_link(&self.path, old)?;
        let folder = File::open(parts::folder(&self.path))?;
        folder.sync_all()?;
        std::fs::rename(next, &self.path)?;
        folder.sync_all()?;
        Ok(file)
    }

    /// Removes the oldest part, if there is one beside the current, and says so in the log; the
    /// numbers of its entries.
    pub fn prune(&mut self, now: u64) -> Result<Option<(u64, u64)>, Error> {
        let older = parts(&self.path)?;
        let Some(oldest) = older.first() else { return Ok(None) };
        let next = older.get(1).map_or(self.first, |part| part.first);
        let (from, upto) = (oldest.first, next.saturating_sub(1));
        // The log says so first: a part that is missing without a word was removed by somebody else.
        let event = Event::new(Code::AuditPruned, "", "audit").with("from", from).with(UPTO, upto);
        self.append(now, &event)?;
        let shown = oldest.path.display();
        std::fs::remove_file(&oldest.path).map_err(Error::io(format_args!("remove {shown}")))?;
        sync_folder(&self.path)?;
        Ok(Some((from, upto)))
    }

    /// Whether a head has to be signed by now: a minute after an entry, after a thousand, and at
    /// each critical one.
    pub fn is_due(&self, now: u64) -> bool {
        let Unsigned { entries, critical, .. } = self.unsigned;
        // A clock that was set back must not put the next signature off.
        let late = self.unsigned.since.is_some_and(|since| since.abs_diff(now) >= SIGN_WITHIN);
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

    /// Octets of the part that is written.
    pub const fn length(&self) -> u64 {
        self.length
    }

    fn write(&mut self, entries: &[Entry], lines: &str) -> Result<(), Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        if entries.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Half a line must not stand before the next one, nor an entry that nobody was told of.
            self.stopped = self.cut().is_err();
            return Err(Error::Io { what: format!("write {}", self.path.display()), source });
        }
        self.took(entries, lines);
        Ok(())
    }

    /// What is on the disk now.
    fn took(&mut self, entries: &[Entry], lines: &str) {
        for (entry, line) in entries.iter().zip(lines.lines()) {
            if entry.code == Code::AuditSigned.name() {
                self.signed = self.tree.size();
            }
            self.tree.push(&*self.crypto, line.as_bytes());
            self.unsigned.add(entry);
            self.head = entry.head();
        }
        self.length += u64::try_from(lines.len()).unwrap_or(u64::MAX);
    }

    /// Back to the last whole line.
    fn cut(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.sync_all()
    }
}

impl Drop for Log {
    /// Closing the file would not do: a program that was just being started has it, too, until it runs,
    /// and would hold the lock for so long.
    fn drop(&mut self) {
        // If it fails, the lock ends when the last of them closes the file.
        let _ = self.file.unlock();
    }
}

/// An entry that only looks like a signed head or the beginning of a part would break the log.
fn refuse_reserved(event: &Event) -> Result<(), Error> {
    let reserved = matches!(event.code(), Code::AuditSigned | Code::AuditContinued);
    if reserved { Err(Error::Reserved) } else { Ok(()) }
}

fn lock(file: &File, path: &Path) -> Result<(), Error> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => Error::Locked,
        TryLockError::Error(source) => {
            Error::Io { what: format!("lock {}", path.display()), source }
        }
    })
}

pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = parts::folder(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io(format_args!("flush {}", folder.display())))
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
