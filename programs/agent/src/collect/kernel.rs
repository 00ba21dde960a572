//! Questions to the kernel that no library asks safely: which mappings a process has
//! (`PROCMAP_QUERY`, Linux 6.11), which of their pages are not the file's (`PAGEMAP_SCAN`,
//! Linux 6.7), and what a disk says of its health. A kernel without the first two says so, and the text
//! files of /proc are read instead.
//!
//! This is the one module of the agent with `unsafe` in it: rustix makes the system call, but only
//! whoever knows the kernel's structures can promise that they are what it expects.
#![allow(unsafe_code, reason = "ioctl with structures that rustix does not know")]

pub(super) mod disks;

use rustix::io::{Errno, Result};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Updater, ioctl, opcode};
use std::ffi::c_void;
use std::fs::File;

/// `PROCFS_IOCTL_MAGIC` of `<linux/fs.h>`.
const GROUP: u8 = b'f';

/// The longest name of a mapping; the kernel shows no longer one either.
const NAME: usize = 4096;

/// `struct procmap_query` of `<linux/fs.h>`.
#[repr(C)]
#[derive(Default)]
struct ProcmapQuery {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

/// `struct pm_scan_arg` of `<linux/fs.h>`.
#[repr(C)]
#[derive(Default)]
struct PagemapScan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Pages beside each other that are alike: `struct page_region` of `<linux/fs.h>`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// The first address.
    pub(super) start: u64,
    /// The first address behind them.
    pub(super) end: u64,
    categories: u64,
}

const WRITABLE: u64 = 1 << 1;
const EXECUTABLE: u64 = 1 << 2;
const SHARED: u64 = 1 << 3;
const COVERING_OR_NEXT: u64 = 1 << 4;

const OF_FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;

/// A mapping as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vma {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) writable: bool,
    pub(super) shared: bool,
    pub(super) offset: u64,
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
    /// As in /proc/PID/maps, but not escaped.
    pub(super) name: Vec<u8>,
}

/// The first executable mapping that ends behind `from`; `None` if there is none. `maps` is an open
/// /proc/PID/maps.
pub(super) fn next_executable(maps: &File, from: u64) -> Result<Option<Vma>> {
    let mut name = [0_u8; NAME];
    let mut query = ProcmapQuery {
        size: size_of::<ProcmapQuery>() as u64,
        query_flags: EXECUTABLE | COVERING_OR_NEXT,
        query_addr: from,
        vma_name_size: u32::try_from(NAME).unwrap_or(0),
        vma_name_addr: name.as_mut_ptr() as u64,
        ..ProcmapQuery::default()
    };
    // SAFETY: the operation is `PROCMAP_QUERY`, whose structure this is, field by field; it tells its
    // own size. The kernel writes at most `vma_name_size` octets to `vma_name_addr`, which is
    // `name`: that many octets, alive and borrowed by nobody until this returns.
    let asked = unsafe {
        const OPERATION: Opcode = opcode::read_write::<ProcmapQuery>(GROUP, 17);
        ioctl(maps, Updater::<OPERATION, ProcmapQuery>::new(&mut query))
    };
    match asked {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error),
    }
    // The size that comes back counts the final NUL.
    let len = usize::try_from(query.vma_name_size).unwrap_or(0).saturating_sub(1);
    Ok(Some(Vma {
        start: query.vma_start,
        end: query.vma_end,
        writable: query.vma_flags & WRITABLE != 0,
        shared: query.vma_flags & SHARED != 0,
        offset: query.vma_offset,
        device: (query.dev_major, query.dev_minor),
        inode: query.inode,
        name: name.get(..len).unwrap_or_default().to_vec(),
    }))
}

/// An operation that answers with a number beside its structure, which none of rustix' patterns gives
/// back.
struct Answering<'a, const OPERATION: Opcode, T>(&'a mut T);

impl<'a, const OPERATION: Opcode, T> Answering<'a, OPERATION, T> {
    /// # Safety
    ///
    /// `T` must be the structure of the operation.
    const unsafe fn new(structure: &'a mut T) -> Self {
        Self(structure)
    }
}

// SAFETY: whoever made it says that `T` is what `OPERATION` expects; `as_ptr` leads to it, it lives as
// long as `self` borrows it, and the kernel writes to it (`IS_MUTATING`). The output is the plain number.
unsafe impl<const OPERATION: Opcode, T> Ioctl for Answering<'_, OPERATION, T> {
    type Output = usize;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        OPERATION
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> Result<usize> {
        usize::try_from(out).map_err(|_| Errno::INVAL)
    }
}

/// The pages from `start` to `end` that are there (in memory or swapped out) and not those of a
/// file, as many as `found` has room for. Gives how many of `found` are filled, and how far the
/// kernel has looked. `pagemap` is an open /proc/PID/pagemap.
pub(super) fn private_pages(
    pagemap: &File,
    start: u64,
    end: u64,
    found: &mut [Pages],
) -> Result<(usize, u64)> {
    let mut scan = PagemapScan {
        size: size_of::<PagemapScan>() as u64,
        start,
        end,
        vec: found.as_mut_ptr() as u64,
        vec_len: found.len() as u64,
        category_inverted: OF_FILE,
        category_mask: OF_FILE,
        category_anyof_mask: PRESENT | SWAPPED,
        return_mask: PRESENT,
        ..PagemapScan::default()
    };
    // SAFETY: the operation is `PAGEMAP_SCAN`, whose structure this is, field by field; beside it the kernel
    // writes at most `vec_len` of `struct page_region` to `vec`, which is `found`, borrowed exclusively
    // until this returns.
    let filled = unsafe {
        const OPERATION: Opcode = opcode::read_write::<PagemapScan>(GROUP, 16);
        ioctl(pagemap, Answering::<OPERATION, PagemapScan>::new(&mut scan))
    }?;
    Ok((filled.min(found.len()), scan.walk_end))
}

/// Whether an operation failed because this kernel does not have it.
pub(super) const fn is_missing(error: Errno) -> bool {
    matches!(error, Errno::NOTTY | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<ProcmapQuery>(), 104);
        assert_eq!(size_of::<PagemapScan>(), 96);
        assert_eq!(size_of::<Pages>(), 24);
    }
}
