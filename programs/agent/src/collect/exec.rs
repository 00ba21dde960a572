//! Programs as they start, told by fanotify(7): a reason to look at a process at once, and, where the
//! configuration wants it, the moment to say no.
//!
//! What is refused is decided here and now, by one rule that needs no fleet: a program that anybody
//! could have put there, or can change, does not start. Whether a program is a released one is for
//! the kernel (IMA appraisal) and the Verifier to say. Who waits at this gate waits for us, so that
//! nothing is read or hashed while he does, and all who wait are answered before anything is told. A
//! file that only root can change is asked for once, as long as nothing is done to it (`judged`).

mod judged;

use super::finding::plain;
use super::observe::Root;
use super::observe::mounts::mount;
use judged::Judged;
use nix::errno::Errno;
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags,
    Response,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// File systems that programs are started from; others hold no files, or none of their own.
const OF_PROGRAMS: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "exfat", "overlay", "squashfs",
    "erofs", "tmpfs", "ramfs", "rootfs", "ubifs", "nfs", "nfs4", "fuseblk", "9p", "virtiofs",
];

/// Why programs can not be seen to start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel does not do it.
    #[error(
        "fanotify: {0}; it needs CAP_SYS_ADMIN and a kernel with fanotify (and its permission events to enforce)"
    )]
    Kernel(Errno),
    /// No file system could be watched.
    #[error("no file system that programs are started from can be watched")]
    Nothing,
}

impl Error {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Kernel(_) => "agent.exec.kernel",
            Self::Nothing => "agent.exec.nothing",
        }
    }
}

/// A program that starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The process that it starts in.
    pub pid: u32,
    /// The program, or the interpreter of one.
    pub path: PathBuf,
    /// Why it was refused, if it was.
    pub refused: Option<&'static str>,
}

/// Whether a program waits for us before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// We are told of it.
    Never,
    /// Until its file, which only root can change, was judged once and as long as nothing is done to it;
    /// then we are told of it.
    Once,
    /// Each time, and so for its loader: what the other way is measured beside.
    Always,
}

/// What somebody who waits was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Nobody waits.
    None,
    Allowed,
    Refused(&'static str),
}

/// The place where programs are seen as they start.
pub struct Gate {
    group: Fanotify,
    asks: Asks,
    judged: Option<Judged>,
}

impl Gate {
    /// Opens it over every file system that is mounted now.
    pub fn open(asks: Asks) -> Result<Self, Error> {
        let text = Root::new(Path::new("/")).required("/proc/self/mountinfo").unwrap_or_default();
        let mounts = text.lines().filter_map(mount);
        let targets = mounts.filter(|it| OF_PROGRAMS.contains(&it.kind.as_str()));
        Self::over(targets.map(|it| PathBuf::from(it.target)), asks)
    }

    /// Opens it over the file systems of these folders.
    pub fn over(folders: impl IntoIterator<Item = PathBuf>, asks: Asks) -> Result<Self, Error> {
        let (class, starts) = match asks {
            Asks::Never => (InitFlags::FAN_CLASS_NOTIF, MaskFlags::FAN_OPEN_EXEC),
            Asks::Once => (
                InitFlags::FAN_CLASS_CONTENT,
                MaskFlags::FAN_OPEN_EXEC | MaskFlags::FAN_OPEN_EXEC_PERM,
            ),
            Asks::Always => (InitFlags::FAN_CLASS_CONTENT, MaskFlags::FAN_OPEN_EXEC_PERM),
        };
        let flags = class | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let of_files = EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC | EventFFlags::O_LARGEFILE;
        let group = Fanotify::init(flags, of_files).map_err(Error::Kernel)?;
        let mark = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
        let (mut watched, mut refused) = (0, None);
        for folder in folders {
            match group.mark(mark, starts, rustix::fs::CWD, Some(&folder)) {
                Ok(()) => watched += 1,
                Err(error) => refused = Some(error),
            }
        }
        match (watched, refused) {
            (0, Some(error)) => Err(Error::Kernel(error)),
            (0, None) => Err(Error::Nothing),
            _ => Ok(Self { group, asks, judged: Self::judged(asks) }),
        }
    }

    /// Without it every start is asked for.
    fn judged(asks: Asks) -> Option<Judged> {
        if asks != Asks::Once {
            return None;
        }
        let judged = Judged::new();
        judged.inspect_err(|error| tracing::warn!("every start is asked for: {error}")).ok()
    }

    /// Waits for programs to start, at most so long, and lets them or not.
    pub fn wait(&mut self, within: Duration) -> Result<Vec<Started>, Error> {
        let timeout = Timespec::try_from(within).ok();
        let group = self.group.as_fd();
        let mut waited = vec![PollFd::from_borrowed_fd(group, PollFlags::IN)];
        let changes = self.judged.as_ref().map(Judged::changes);
        waited.extend(changes.map(|it| PollFd::from_borrowed_fd(it, PollFlags::IN)));
        if !matches!(poll(&mut waited, timeout.as_ref()), Ok(ready) if ready > 0) {
            return Ok(Vec::new());
        }
        let is_changed = waited.get(1).is_some_and(|it| !it.revents().is_empty());
        drop(waited);
        if is_changed || self.judged.as_ref().is_some_and(Judged::is_full) {
            self.judged = None;
            Judged::forget(&self.group).map_err(Error::Kernel)?;
            self.judged = Self::judged(self.asks);
        }
        let events = match self.group.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Vec::new()),
            Err(error) => return Err(Error::Kernel(error)),
        };
        let answers: Vec<Answer> = events.iter().map(|event| self.answer(event)).collect();
        // Nobody waits any more.
        let mut seen = Vec::new();
        for (event, answer) in events.iter().zip(answers) {
            seen.extend(self.tell(event, answer));
        }
        Ok(seen)
    }

    /// Answers whoever waits.
    fn answer(&self, event: &FanotifyEvent) -> Answer {
        let asks = event.mask().contains(MaskFlags::FAN_OPEN_EXEC_PERM);
        // Without a file the queue has overflowed; those who wait at the gate are never dropped.
        let Some(fd) = event.fd().filter(|_| asks) else { return Answer::None };
        let refused = refusal(fd);
        let response = if refused.is_some() { Response::FAN_DENY } else { Response::FAN_ALLOW };
        if let Err(error) = self.group.write_response(FanotifyResponse::new(fd, response)) {
            tracing::error!(code = "agent.exec.response", "fanotify: {error}");
        }
        refused.map_or(Answer::Allowed, Answer::Refused)
    }

    fn tell(&mut self, event: &FanotifyEvent, answer: Answer) -> Option<Started> {
        let fd = event.fd()?;
        if answer == Answer::Allowed && self.asks == Asks::Once {
            if let Some(judged) = &mut self.judged {
                judged.add(&self.group, fd, only_root_changes);
            }
            // It is told of when it has started.
            return None;
        }
        let refused = match answer {
            Answer::Refused(why) => Some(why),
            Answer::None | Answer::Allowed => None,
        };
        let path = path_of(fd).unwrap_or_default();
        if let Some(why) = refused {
            tracing::warn!(
                code = "agent.exec.refused",
                path = plain(&path),
                "a program did not start: {why}"
            );
        }
        Some(Started { pid: u32::try_from(event.pid()).ok()?, path, refused })
    }
}

/// The path that a file of an event was opened by, as the kernel knows it now.
pub(super) fn path_of(file: BorrowedFd<'_>) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

/// What it takes for everybody to change a file or a folder.
const OTHERS_WRITE: u32 = 0o002;

/// Whether a file is good by what it is itself, wherever it lies.
fn only_root_changes(file: BorrowedFd<'_>) -> bool {
    let found = rustix::fs::fstat(file);
    found.is_ok_and(|found| found.st_uid == 0 && found.st_mode & OTHERS_WRITE == 0)
}

/// Why a program may not start.
fn refusal(file: BorrowedFd<'_>) -> Option<&'static str> {
    let found = rustix::fs::fstat(file).ok()?;
    if found.st_mode & OTHERS_WRITE != 0 {
        return Some("anybody can change its file");
    }
    if found.st_uid == 0 {
        return None;
    }
    let folder = fs::metadata(path_of(file)?.parent()?).ok()?;
    (folder.mode() & OTHERS_WRITE != 0).then_some("anybody can put files into its folder")
}

#[cfg(test)]
#[path = "exec/tests.rs"]
mod tests;
