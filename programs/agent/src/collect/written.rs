//! Memory of processes that somebody wrote to by way of `/proc/PID/mem`, told by fanotify(7) when it is
//! done, on every kernel that has it. What the kernel's security hooks tell ([`super::lsm`]) is that such
//! a file was opened, and what else can change code; this tells of the write, however much later.
//!
//! What this can not see: writes by way of ptrace(2) and process_vm_writev(2), and those by way of a
//! `/proc` of another PID namespace, as containers have it.

use super::exec::{Error, path_of};
use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;
use std::path::{Component, Path};
use std::time::Duration;

/// A process whose memory was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Whose memory.
    pub pid: u32,
    /// Who wrote.
    pub by: u32,
}

/// Where writes are told.
pub struct Writes(Fanotify);

impl Writes {
    /// Listens to the `/proc` in this folder.
    pub fn open(proc: &Path) -> Result<Self, Error> {
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let of_files = EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC | EventFFlags::O_LARGEFILE;
        let group = Fanotify::init(flags, of_files).map_err(Error::Kernel)?;
        let mark = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
        group
            .mark(mark, MaskFlags::FAN_MODIFY, rustix::fs::CWD, Some(proc))
            .map_err(Error::Kernel)?;
        Ok(Self(group))
    }

    /// Waits for writes, at most so long.
    pub fn wait(&self, within: Duration) -> Result<Vec<Written>, Error> {
        let timeout = Timespec::try_from(within).ok();
        let fd = self.0.as_fd();
        let mut waited = [PollFd::new(&fd, PollFlags::IN)];
        if !matches!(poll(&mut waited, timeout.as_ref()), Ok(ready) if ready > 0) {
            return Ok(Vec::new());
        }
        match self.0.read_events() {
            Ok(events) => Ok(events.iter().filter_map(written).collect()),
            Err(error @ (Errno::EBADF | Errno::EFAULT | Errno::EINVAL)) => {
                Err(Error::Kernel(error))
            }
            // The file cannot be opened any more: the process is gone, for one.
            Err(_) => Ok(Vec::new()),
        }
    }
}

fn written(event: &FanotifyEvent) -> Option<Written> {
    let path = path_of(event.fd()?)?;
    Some(Written { pid: of(&path)?, by: u32::try_from(event.pid()).ok()? })
}

/// Whose memory that is: `/proc/7/mem`, `/proc/7/task/8/mem`.
fn of(path: &Path) -> Option<u32> {
    let mut names = path.components().rev().map(|part| match part {
        Component::Normal(name) => name.to_str().unwrap_or_default(),
        _ => "",
    });
    if names.next()? != "mem" {
        return None;
    }
    let number: u32 = names.next()?.parse().ok()?;
    match names.next()? {
        "task" => names.next()?.parse().ok(),
        _ => Some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Victim;
    use std::time::Instant;

    #[test]
    fn memory_is_of_the_process_whatever_the_thread() {
        assert_eq!(of(Path::new("/proc/7/mem")), Some(7));
        assert_eq!(of(Path::new("/host/proc/7/task/8/mem")), Some(7));
        for other in ["/proc/7/oom_score_adj", "/proc/sys/vm/mem", "/proc/7/net/mem", "/mem", "mem"]
        {
            assert_eq!(of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_write_is_told_with_whose_memory_it_was_and_who_did_it() {
        let writes = Writes::open(Path::new("/proc")).expect("needs CAP_SYS_ADMIN");
        let victim = Victim::start();
        victim.patch(&[0xcc]);
        let expected = Written { pid: victim.pid(), by: std::process::id() };
        let begun = Instant::now();
        // Others may write on this machine.
        while !writes.wait(Duration::from_millis(100)).unwrap().contains(&expected) {
            assert!(begun.elapsed() < Duration::from_secs(10), "the write was not told");
        }
    }
}
