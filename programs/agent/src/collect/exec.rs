//! Programs as they start, told by fanotify(7): a reason to look at a process at once, and, where the
//! configuration wants it, the moment to say no.
//!
//! What is refused is decided here and now, by one rule that needs no fleet: a program that anybody
//! could have put there, or can change, does not start. Whether a program is a released one is for
//! the kernel (IMA appraisal) and the Verifier to say. Who waits at this gate waits for us, so that
//! nothing is read or hashed while he does.

use super::finding::plain;
use super::observe::Root;
use super::observe::mounts::mount;
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

/// The place where programs are seen as they start.
pub struct Gate {
    group: Fanotify,
    enforces: bool,
}

impl Gate {
    /// Opens it over every file system that is mounted now.
    pub fn open(enforces: bool) -> Result<Self, Error> {
        let text = Root::new(Path::new("/")).required("/proc/self/mountinfo").unwrap_or_default();
        let mounts = text.lines().filter_map(mount);
        let targets = mounts.filter(|it| OF_PROGRAMS.contains(&it.kind.as_str()));
        Self::over(targets.map(|it| PathBuf::from(it.target)), enforces)
    }

    /// Opens it over the file systems of these folders.
    pub fn over(folders: impl IntoIterator<Item = PathBuf>, enforces: bool) -> Result<Self, Error> {
        let class =
            if enforces { InitFlags::FAN_CLASS_CONTENT } else { InitFlags::FAN_CLASS_NOTIF };
        let flags = class | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let of_files = EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC | EventFFlags::O_LARGEFILE;
        let group = Fanotify::init(flags, of_files).map_err(Error::Kernel)?;
        let starts =
            if enforces { MaskFlags::FAN_OPEN_EXEC_PERM } else { MaskFlags::FAN_OPEN_EXEC };
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
            _ => Ok(Self { group, enforces }),
        }
    }

    /// Waits for programs to start, at most so long, and lets them or not.
    pub fn wait(&self, within: Duration) -> Result<Vec<Started>, Error> {
        let timeout = Timespec::try_from(within).ok();
        let fd = self.group.as_fd();
        let mut waited = [PollFd::new(&fd, PollFlags::IN)];
        if !matches!(poll(&mut waited, timeout.as_ref()), Ok(ready) if ready > 0) {
            return Ok(Vec::new());
        }
        let events = match self.group.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Vec::new()),
            Err(error) => return Err(Error::Kernel(error)),
        };
        Ok(events.iter().filter_map(|event| self.one(event)).collect())
    }

    fn one(&self, event: &FanotifyEvent) -> Option<Started> {
        // Without a file the queue has overflowed; those who wait at the gate are never dropped.
        let fd = event.fd()?;
        let asks = self.enforces && event.mask().contains(MaskFlags::FAN_OPEN_EXEC_PERM);
        let refused = if asks { refusal(fd) } else { None };
        if asks {
            let response = if refused.is_some() { Response::FAN_DENY } else { Response::FAN_ALLOW };
            // Nobody waits any more if it can not be written.
            if let Err(error) = self.group.write_response(FanotifyResponse::new(fd, response)) {
                tracing::error!(code = "agent.exec.response", "fanotify: {error}");
            }
        }
        // Nobody waits for its name.
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

fn path_of(file: BorrowedFd<'_>) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

/// Why a program may not start.
fn refusal(file: BorrowedFd<'_>) -> Option<&'static str> {
    const OTHERS_WRITE: u32 = 0o002;
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
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Child, Command};
    use std::time::Instant;

    fn program(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        assert!(Command::new("cp").arg("/bin/true").arg(&path).status().unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// What is seen of a program of ours, beside what this machine does.
    fn seen(gate: &Gate, path: &Path, mut child: Child) -> (Started, Duration) {
        let begun = Instant::now();
        loop {
            let started = gate.wait(Duration::from_millis(100)).unwrap();
            if let Some(it) = started.into_iter().find(|it| it.path == path) {
                let took = begun.elapsed();
                let _ = child.wait();
                return (it, took);
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{} was not seen", path.display());
        }
    }

    #[test]
    fn a_program_is_seen_as_it_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = program(folder.path(), "seen", 0o755);
        let gate = Gate::over([folder.path().to_owned()], false).expect("needs CAP_SYS_ADMIN");
        let child = Command::new(&path).spawn().unwrap();
        let pid = child.id();
        let (started, took) = seen(&gate, &path, child);
        assert_eq!((started.pid, started.refused), (pid, None));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }

    #[test]
    fn what_anybody_can_change_does_not_start_and_everything_else_does() {
        // A file system of its own, so that nobody else on this machine waits for this test.
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display().to_string();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "none", &at]).status().unwrap();
        assert!(mounted.success(), "needs root");
        let (open, good) =
            (program(folder.path(), "open", 0o777), program(folder.path(), "good", 0o755));
        let gate = Gate::over([folder.path().to_owned()], true).expect("needs permission events");
        let stop = std::sync::atomic::AtomicBool::new(false);
        let told = std::thread::scope(|scope| {
            let gate = scope.spawn(|| {
                let mut told = Vec::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    told.extend(gate.wait(Duration::from_millis(20)).unwrap());
                }
                told
            });
            let refused = Command::new(&open).status().unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(Command::new(&good).status().unwrap().success());
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            gate.join().unwrap()
        });
        drop(gate);
        assert!(Command::new("umount").arg(&at).status().unwrap().success());
        let of = |path: &Path| told.iter().find(|it| it.path == path).unwrap().refused;
        assert_eq!(of(&open), Some("anybody can change its file"));
        assert_eq!(of(&good), None);
    }
}
