//! The address space of a process, looked at from outside: its executable mappings, which of their
//! pages are the process' own and no longer the file's, and what is in them.
//!
//! A process may end, run another program or map anew between any two questions. Whoever finds
//! something asks [`Space::still_has`] before it is believed.

use super::kernel::{self, Pages};
use super::maps::{Backing, Mapping, all, backing};
use super::{Error, of_process};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use touchstone_evidence::runtime::{MAX_ITEMS, PAGE};

/// Kernel documentation, admin-guide/mm/pagemap: present, swapped, of a file.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;

/// How the kernel is asked. Old ways are always good, only slower.
#[derive(Debug)]
pub struct Ways {
    query: AtomicBool,
    scan: AtomicBool,
}

impl Default for Ways {
    fn default() -> Self {
        Self { query: AtomicBool::new(true), scan: AtomicBool::new(true) }
    }
}

impl Ways {
    /// Only what every kernel has: the text of `maps`, and `pagemap` entry by entry.
    pub fn old() -> Self {
        Self { query: AtomicBool::new(false), scan: AtomicBool::new(false) }
    }

    /// Whether mappings come by `PROCMAP_QUERY`, and pages by `PAGEMAP_SCAN`, as far as was seen.
    pub fn are_new(&self) -> (bool, bool) {
        (self.query.load(Ordering::Relaxed), self.scan.load(Ordering::Relaxed))
    }
}

/// The address space of a process.
#[derive(Debug)]
pub struct Space<'w> {
    pid: u32,
    ways: &'w Ways,
    maps: File,
    pagemap: File,
    memory: PathBuf,
    open_memory: std::cell::OnceCell<File>,
}

impl<'w> Space<'w> {
    /// Opens it; `None` if the process is gone.
    pub fn open(pid: u32, ways: &'w Ways) -> Result<Option<Self>, Error> {
        let file = |name: &str| {
            let path = PathBuf::from(format!("/proc/{pid}/{name}"));
            match File::open(&path) {
                Ok(file) => Ok(Some(file)),
                Err(source) => of_process(pid, &path, source).map_or(Ok(None), Err),
            }
        };
        let (Some(maps), Some(pagemap)) = (file("maps")?, file("pagemap")?) else {
            return Ok(None);
        };
        let memory = PathBuf::from(format!("/proc/{pid}/mem"));
        Ok(Some(Self { pid, ways, maps, pagemap, memory, open_memory: std::cell::OnceCell::new() }))
    }

    /// Its process.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The executable mappings; none of a process without memory of its own: a thread of the kernel,
    /// or one that has ended.
    pub fn executable(&self) -> Result<Vec<Mapping>, Error> {
        if self.ways.query.load(Ordering::Relaxed) {
            match self.queried() {
                Ok(found) => return self.bounded(found),
                Err(error) if kernel::is_missing(error) => {
                    self.ways.query.store(false, Ordering::Relaxed);
                }
                Err(Errno::SRCH) => return Ok(Vec::new()),
                Err(error) => {
                    let path = PathBuf::from(format!("/proc/{}/maps", self.pid));
                    return of_process(self.pid, &path, error.into()).map_or(Ok(Vec::new()), Err);
                }
            }
        }
        let found = self.mappings()?;
        self.bounded(found.into_iter().filter(|mapping| mapping.executable).collect())
    }

    /// Every mapping, by the text of `maps`.
    pub fn mappings(&self) -> Result<Vec<Mapping>, Error> {
        let path = PathBuf::from(format!("/proc/{}/maps", self.pid));
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(source) => return of_process(self.pid, &path, source).map_or(Ok(Vec::new()), Err),
        };
        all(&text).map_err(|fault| Error::MalformedMaps { pid: self.pid, line: fault.line })
    }

    fn bounded(&self, found: Vec<Mapping>) -> Result<Vec<Mapping>, Error> {
        if found.len() > MAX_ITEMS {
            return Err(Error::TooMany { pid: self.pid, limit: MAX_ITEMS });
        }
        Ok(found)
    }

    fn queried(&self) -> rustix::io::Result<Vec<Mapping>> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(vma) = kernel::next_executable(&self.maps, from)? {
            if vma.end <= from {
                return Err(Errno::INVAL);
            }
            from = vma.end;
            let (major, minor) = vma.device;
            found.push(Mapping {
                start: vma.start,
                end: vma.end,
                writable: vma.writable,
                executable: true,
                shared: vma.shared,
                backing: backing(&vma.name, vma.offset, (major, minor), vma.inode),
            });
            if found.len() > MAX_ITEMS {
                break;
            }
        }
        Ok(found)
    }

    /// The pages of a mapping that are there and not the file's: those a process wrote to, or had
    /// written to from outside. As `(start, end)`, ascending. What the kernel does not tell counts
    /// among them, so that it is read.
    pub fn private_pages(&self, mapping: &Mapping) -> Vec<(u64, u64)> {
        if self.ways.scan.load(Ordering::Relaxed) {
            match self.scanned(mapping) {
                Ok(found) => return found,
                Err(error) if kernel::is_missing(error) => {
                    self.ways.scan.store(false, Ordering::Relaxed);
                }
                // The process is gone, or was remapped: what is read next says so.
                Err(_) => return vec![(mapping.start, mapping.end)],
            }
        }
        self.walked(mapping)
    }

    fn scanned(&self, mapping: &Mapping) -> rustix::io::Result<Vec<(u64, u64)>> {
        let mut found = Vec::new();
        let mut regions = [Pages::default(); 64];
        let mut from = mapping.start;
        while from < mapping.end {
            let (filled, to) =
                kernel::private_pages(&self.pagemap, from, mapping.end, &mut regions)?;
            let told = regions.get(..filled).unwrap_or_default();
            found.extend(told.iter().map(|pages| (pages.start, pages.end)));
            if to <= from {
                break;
            }
            from = to;
        }
        Ok(found)
    }

    fn walked(&self, mapping: &Mapping) -> Vec<(u64, u64)> {
        let mut found: Vec<(u64, u64)> = Vec::new();
        let mut entries = [0_u8; 512 * 8];
        let mut at = mapping.start;
        while at < mapping.end {
            let told = self.pagemap.read_at(&mut entries, at / PAGE * 8).unwrap_or(0);
            let mut slots = entries.get(..told).unwrap_or_default().chunks_exact(8);
            for _ in 0..512 {
                let entry = slots.next().and_then(|entry| entry.try_into().ok());
                let flags = entry.map_or(PRESENT, u64::from_ne_bytes);
                if flags & SWAPPED != 0 || (flags & PRESENT != 0 && flags & OF_FILE == 0) {
                    match found.last_mut() {
                        Some((_, end)) if *end == at => *end += PAGE,
                        _ => found.push((at, at + PAGE)),
                    }
                }
                at += PAGE;
                if at >= mapping.end {
                    break;
                }
            }
        }
        found
    }

    /// Reads `octets` from the address `at`. Pages behind the end of a file that was cut short can
    /// be neither read nor run; they count as zeros. False if the process is gone.
    pub fn read(&self, mut at: u64, octets: &mut [u8]) -> Result<bool, Error> {
        let Some(memory) = self.memory()? else { return Ok(false) };
        let mut rest = octets;
        while !rest.is_empty() {
            let done = match memory.read_at(rest, at) {
                // The address space is gone.
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    let page = usize::try_from(PAGE - at % PAGE).unwrap_or(1).min(rest.len());
                    rest.iter_mut().take(page).for_each(|octet| *octet = 0);
                    page
                }
                Err(source) => {
                    return of_process(self.pid, &self.memory, source).map_or(Ok(false), Err);
                }
            };
            at += done as u64;
            rest = rest.get_mut(done..).unwrap_or_default();
        }
        Ok(true)
    }

    fn memory(&self) -> Result<Option<&File>, Error> {
        if let Some(open) = self.open_memory.get() {
            return Ok(Some(open));
        }
        match File::open(&self.memory) {
            Ok(file) => Ok(Some(self.open_memory.get_or_init(|| file))),
            Err(source) => of_process(self.pid, &self.memory, source).map_or(Ok(None), Err),
        }
    }

    /// Whether the process still has this very mapping, so that what was read between two looks
    /// belongs to it.
    pub fn still_has(&self, mapping: &Mapping) -> bool {
        let now = if mapping.executable { self.executable() } else { self.mappings() };
        now.is_ok_and(|now| now.contains(mapping))
    }

    /// The mapped file itself, whatever its name leads to by now: of another mount namespace, a
    /// chroot, an overlay, renamed or unlinked. `None` if there is no way to it.
    pub fn file_of(&self, mapping: &Mapping) -> Option<File> {
        let Backing::File { path, inode, .. } = &mapping.backing else { return None };
        let proc = PathBuf::from(format!("/proc/{}", self.pid));
        // Needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, and leads to the very file.
        let link = proc.join(format!("map_files/{:x}-{:x}", mapping.start, mapping.end));
        if let Some(file) = regular(&link, None) {
            return Some(file);
        }
        if let Some(file) = regular(&proc.join("exe"), Some(*inode)) {
            return Some(file);
        }
        let inside = path.strip_prefix("/").ok()?;
        regular(&proc.join("root").join(inside), Some(*inode))
    }
}

/// Opens a file if it is a plain one, and that inode. A mapped device or pipe must not be opened:
/// that alone can do something.
fn regular(path: &Path, inode: Option<u64>) -> Option<File> {
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || inode.is_some_and(|inode| inode != found.ino()) {
        return None;
    }
    let file = File::open(path).ok()?;
    let opened = file.metadata().ok()?;
    ((opened.dev(), opened.ino()) == (found.dev(), found.ino())).then_some(file)
}

/// One page of a file; zeros behind its end, as the kernel maps them.
pub(crate) fn page_of(file: &File, offset: u64, page: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = page.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => {
                rest.fill(0);
                return Ok(());
            }
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Victim;

    #[test]
    fn the_new_ways_and_the_old_ones_see_the_same() {
        let victim = Victim::start();
        victim.patch(b"\x90");
        let (new, old) = (Ways::default(), Ways::old());
        let by_new = Space::open(victim.pid(), &new).unwrap().unwrap();
        let by_old = Space::open(victim.pid(), &old).unwrap().unwrap();
        let mappings = by_new.executable().unwrap();
        assert!(mappings.len() >= 3, "{mappings:?}");
        // The text of `maps` shows the page `[vsyscall]` too, which is no mapping of the process.
        let of_files = |mappings: &[Mapping]| -> Vec<Mapping> {
            mappings.iter().filter(|it| it.backing != Backing::Kernel).cloned().collect()
        };
        assert_eq!(of_files(&mappings), of_files(&by_old.executable().unwrap()));
        let mut private = 0;
        for mapping in mappings.iter().filter(|mapping| mapping.backing != Backing::Kernel) {
            let pages = by_new.private_pages(mapping);
            assert_eq!(pages, by_old.private_pages(mapping), "{mapping:?}");
            private += pages.iter().map(|(start, end)| (end - start) / PAGE).sum::<u64>();
        }
        assert_eq!(private, 1, "one page was patched");
    }

    #[test]
    fn a_process_that_has_ended_has_nothing_and_is_no_fault() {
        let victim = Victim::start();
        let ways = Ways::default();
        let space = Space::open(victim.pid(), &ways).unwrap().unwrap();
        let text = space.executable().unwrap().remove(0);
        let pid = victim.pid();
        let _folder = victim.stop();
        assert!(space.executable().unwrap().is_empty());
        assert!(!space.still_has(&text));
        assert!(!space.read(text.start, &mut [0; 16]).unwrap());
        assert!(Space::open(pid, &ways).unwrap().is_none());
    }

    #[test]
    fn a_thread_of_the_kernel_has_no_memory() {
        let ways = Ways::default();
        // kthreadd
        if let Some(space) = Space::open(2, &ways).unwrap() {
            assert!(space.executable().unwrap().is_empty());
        }
    }
}
