//! Files that may start without a question, because they were judged and nothing was done to them since.
//!
//! What a rule looks at, mode and owner, is watched from before it was looked at: at the first word of a
//! change, of a file that is gone, or of words that were lost, the kernel asks about every file again.
//! That word takes as long as it takes us to hear it. The kernel itself, without us, asks again about a
//! file from the write on that changed it. Another file in its place is another one, and was not judged.

use nix::sys::fanotify::{Fanotify, MarkFlags, MaskFlags};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Files that are remembered; then all are asked for again.
const MOST: u32 = 4096;

/// File systems that nobody changes but by this kernel, so that it can tell (statfs(2)): ext, xfs, btrfs,
/// f2fs, tmpfs, ramfs, squashfs, erofs. Not: overlays, whose layers may change beneath them, and what a
/// server or another machine holds.
const OWN: &[u64] = &[
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0xF2F5_2010,
    0x0102_1994,
    0x8584_58F6,
    0x7371_7368,
    0xE0F5_E1E2,
];

/// The files, as long as it can be heard what happens to them.
pub(super) struct Judged {
    changes: OwnedFd,
    files: u32,
}

impl Judged {
    pub(super) fn new() -> rustix::io::Result<Self> {
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { changes, files: 0 })
    }

    /// Readable when something was done to one of them.
    pub(super) fn changes(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }

    /// Lets a file start without a question from now on, if `is_good` still says so once it is watched.
    pub(super) fn add(
        &mut self,
        group: &Fanotify,
        file: BorrowedFd<'_>,
        is_good: impl Fn(BorrowedFd<'_>) -> bool,
    ) {
        let own = rustix::fs::fstatfs(file).is_ok_and(|found| is_own(found.f_type));
        if !own || self.files >= MOST {
            return;
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let watched = inotify::add_watch(&self.changes, path.as_str(), WatchFlags::ATTRIB);
        // Not before: what was done to it meanwhile would not be heard.
        if watched.is_err() || !is_good(file) {
            return;
        }
        // Without FAN_MARK_IGNORED_SURV_MODIFY: who writes to the file ends it.
        let ignore = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_IGNORED_MASK;
        let asked = MaskFlags::FAN_OPEN_EXEC_PERM;
        if group.mark(ignore, asked, rustix::fs::CWD, Some(path.as_str())).is_ok() {
            self.files += 1;
        }
    }

    /// Whether there is no room for one more.
    pub(super) const fn is_full(&self) -> bool {
        self.files >= MOST
    }

    /// Has the kernel ask about every file again. The group has no marks on files but these.
    pub(super) fn forget(group: &Fanotify) -> nix::Result<()> {
        group.mark(MarkFlags::FAN_MARK_FLUSH, MaskFlags::empty(), rustix::fs::CWD, None::<&str>)
    }
}

#[expect(clippy::cast_sign_loss, reason = "a number without a sign, of whatever width")]
#[allow(clippy::unnecessary_cast, reason = "the width is the architecture's")]
const fn magic(kind: rustix::fs::FsWord) -> u64 {
    // Sign-extended where words have 32 bits.
    kind as u64 & 0xFFFF_FFFF
}

fn is_own(kind: rustix::fs::FsWord) -> bool {
    OWN.contains(&magic(kind))
}
