//! A cheap look, every second, whether the code of watched processes is still what it was.
//!
//! A page of a file that a process wrote to, or had written to from outside, becomes private
//! memory; the kernel tells so page by page in `/proc/PID/pagemap`. Only those pages are read.
//! This decides when the next evidence is due and nothing else: evidence reads every page.

use super::code::{Memory, mappings};
use super::maps::{Backing, Mapping};
use super::process::running;
use super::{Error, of_process};
use std::fs::File;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use touchstone_evidence::runtime::PAGE;

/// Kernel documentation, admin-guide/mm/pagemap: present, swapped, of a file.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;

/// Remembers what the code looked like at the last look.
#[derive(Debug)]
pub struct Watch {
    executables: Vec<PathBuf>,
    keyed: RandomState,
    last: Option<u64>,
}

impl Watch {
    /// Watches the processes of these executables.
    pub fn new(executables: Vec<PathBuf>) -> Self {
        Self { executables, keyed: RandomState::new(), last: None }
    }

    /// Whether anything is different from the last look; the first look is not.
    pub fn changed(&mut self) -> Result<bool, Error> {
        let now = self.look()?;
        let before = self.last.replace(now);
        Ok(before.is_some_and(|before| before != now))
    }

    fn look(&self) -> Result<u64, Error> {
        let mut hasher = self.keyed.build_hasher();
        for process in running(&self.executables)? {
            (process.pid, process.start, process.replaced).hash(&mut hasher);
            let Some(memory) = Memory::open(process.pid)? else { continue };
            let Some(pages) = PageMap::open(process.pid)? else { continue };
            for mapping in mappings(process.pid)?.unwrap_or_default() {
                if mapping.backing == Backing::Kernel {
                    continue;
                }
                (mapping.start, mapping.end).hash(&mut hasher);
                private_pages(&mapping, &memory, &pages, &mut hasher)?;
            }
        }
        Ok(hasher.finish())
    }
}

fn private_pages(
    mapping: &Mapping,
    memory: &Memory,
    pages: &PageMap,
    hasher: &mut impl Hasher,
) -> Result<(), Error> {
    let mut page = [0; 4096];
    for (number, flags) in pages.flags(mapping).enumerate() {
        let private = flags & SWAPPED != 0 || (flags & PRESENT != 0 && flags & OF_FILE == 0);
        let at = mapping.start + number as u64 * PAGE;
        if private && memory.fill(at, &mut page)? {
            (at, &page).hash(hasher);
        }
    }
    Ok(())
}

struct PageMap(File);

impl PageMap {
    fn open(pid: u32) -> Result<Option<Self>, Error> {
        let path = PathBuf::from(format!("/proc/{pid}/pagemap"));
        match File::open(&path) {
            Ok(file) => Ok(Some(Self(file))),
            Err(source) => of_process(pid, &path, source).map_or(Ok(None), Err),
        }
    }

    /// The flags of each page of a mapping. What the kernel does not tell counts as private, so
    /// that it is read.
    fn flags(&self, mapping: &Mapping) -> impl Iterator<Item = u64> {
        let first = mapping.start / PAGE;
        let count = usize::try_from(mapping.len() / PAGE).unwrap_or(0);
        let mut entries = [0u8; 512 * 8];
        let mut told = 0;
        (0..count).map(move |number| {
            let slot = number % 512;
            if slot == 0 {
                let from = (first + number as u64) * 8;
                told = self.0.read_at(&mut entries, from).unwrap_or(0);
            }
            let entry = entries.get(slot * 8..slot * 8 + 8).filter(|_| slot * 8 + 8 <= told);
            let entry = entry.and_then(|entry| entry.try_into().ok());
            entry.map_or(PRESENT, u64::from_ne_bytes)
        })
    }
}
