//! The code of watched processes as it stands in memory, as run-time claims.

use super::maps::{Backing, Mapping, executable};
use super::process::{Process, running};
use super::{Error, of_process};
use aws_lc_rs::digest::{Context, SHA256};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_evidence::runtime::{CodeRange, MAX_ITEMS, PAGE, Process as Claim};

/// Memory is read in pieces of this many octets; a multiple of the page size.
const PIECE: usize = 64 << 10;

/// The claims about every process of the watched executables. A process that ends while it is
/// looked at is left out: it runs no code any more.
pub fn claims(watch: &[PathBuf]) -> Result<Vec<Claim>, Error> {
    let mut claims = Vec::new();
    for process in running(watch)? {
        if let Some(claim) = claim(&process)? {
            claims.push(claim);
        }
        if claims.len() > MAX_ITEMS {
            return Err(Error::TooMany { pid: process.pid, limit: MAX_ITEMS });
        }
    }
    Ok(claims)
}

fn claim(process: &Process) -> Result<Option<Claim>, Error> {
    let Some(mappings) = mappings(process.pid)? else { return Ok(None) };
    let Some(memory) = Memory::open(process.pid)? else { return Ok(None) };
    let mut ranges = Vec::new();
    let mut anonymous_executable = 0;
    for mapping in &mappings {
        match &mapping.backing {
            Backing::Kernel => {}
            Backing::Anonymous(_) => anonymous_executable += 1,
            Backing::File { path, offset, deleted, .. } => {
                let Some(digest) = memory.digest(mapping)? else { return Ok(None) };
                let gone = *deleted || (process.replaced && *path == process.path);
                let suffix = if gone { " (deleted)" } else { "" };
                let path = format!("{}{suffix}", path.display());
                ranges.push(CodeRange { path, offset: *offset, len: mapping.len(), digest });
            }
        }
    }
    // A mapping may be shown in pieces; the order of the file is the order of comparison.
    ranges.sort();
    let path = process.path.display().to_string();
    let Process { pid, start, .. } = *process;
    Ok(Some(Claim { path, pid, start, anonymous_executable, ranges }))
}

/// The executable mappings of a process; `None` if it is gone, or a zombie, which has none.
pub(super) fn mappings(pid: u32) -> Result<Option<Vec<Mapping>>, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/maps"));
    let maps = match fs::read(&path) {
        Ok(maps) => maps,
        Err(source) => return of_process(pid, &path, source).map_or(Ok(None), Err),
    };
    let found =
        executable(&maps).map_err(|fault| Error::MalformedMaps { pid, line: fault.line })?;
    if found.len() > MAX_ITEMS {
        return Err(Error::TooMany { pid, limit: MAX_ITEMS });
    }
    Ok(Some(found).filter(|_| !maps.is_empty()))
}

/// The memory of a process.
pub(super) struct Memory {
    pid: u32,
    path: PathBuf,
    file: File,
}

impl Memory {
    /// Opens it; `None` if the process is gone.
    pub(super) fn open(pid: u32) -> Result<Option<Self>, Error> {
        let path = PathBuf::from(format!("/proc/{pid}/mem"));
        match File::open(&path) {
            Ok(file) => Ok(Some(Self { pid, path, file })),
            Err(source) => of_process(pid, &path, source).map_or(Ok(None), Err),
        }
    }

    /// SHA-256 over a mapping; `None` if the process is gone.
    fn digest(&self, mapping: &Mapping) -> Result<Option<Digest>, Error> {
        let mut context = Context::new(&SHA256);
        let mut piece = vec![0; PIECE];
        let mut at = mapping.start;
        while at < mapping.end {
            let want = usize::try_from(mapping.end - at).map_or(PIECE, |rest| rest.min(PIECE));
            let Some(octets) = piece.get_mut(..want) else { break };
            if !self.fill(at, octets)? {
                return Ok(None);
            }
            context.update(octets);
            at += want as u64;
        }
        let digest = context.finish();
        Ok(Digest::new(HashAlgorithm::Sha256, digest.as_ref()))
    }

    /// Reads `octets` from the address `at`. Pages behind the end of a file that was cut short can
    /// be neither read nor run; they count as zeros. False if the process is gone.
    pub(super) fn fill(&self, mut at: u64, octets: &mut [u8]) -> Result<bool, Error> {
        let mut rest = octets;
        while !rest.is_empty() {
            let done = match self.file.read_at(rest, at) {
                // The address space is gone.
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_io_fault(&error) => {
                    let page = usize::try_from(PAGE - at % PAGE).unwrap_or(1).min(rest.len());
                    rest.iter_mut().take(page).for_each(|octet| *octet = 0);
                    page
                }
                Err(source) => {
                    return of_process(self.pid, &self.path, source).map_or(Ok(false), Err);
                }
            };
            at += done as u64;
            rest = rest.get_mut(done..).unwrap_or_default();
        }
        Ok(true)
    }
}

fn is_io_fault(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::scan::Watch;
    use crate::tests::Victim;
    use touchstone_crypto_awslc::AwsLc;
    use touchstone_evidence::runtime::code_ranges;

    fn claim_of(victim: &Victim) -> Claim {
        let mut claims = claims(std::slice::from_ref(&victim.path)).unwrap();
        assert_eq!(claims.len(), 1);
        claims.remove(0)
    }

    #[test]
    fn an_honest_process_has_the_code_of_its_file() {
        let victim = Victim::start();
        let claim = claim_of(&victim);
        let path = victim.path.to_str().unwrap();
        let file = std::fs::read(&victim.path).unwrap();
        let expected = code_ranges(&AwsLc, path, &file).unwrap();
        let own: Vec<_> = claim.ranges.iter().filter(|range| range.path == path).cloned().collect();
        assert_eq!(own, expected);
        assert!(claim.ranges.len() > own.len(), "libc is mapped too");
        assert_eq!((claim.pid, claim.anonymous_executable), (victim.pid(), 0));
    }

    #[test]
    fn one_patched_octet_changes_the_claim_and_the_scan() {
        let victim = Victim::start();
        let mut watch = Watch::new(vec![victim.path.clone()]);
        watch.changed().unwrap();
        let before = claim_of(&victim);
        assert!(!watch.changed().unwrap(), "nothing has happened");

        victim.patch(&[0xcc]);
        assert!(watch.changed().unwrap());
        let patched = claim_of(&victim);
        assert_ne!(patched.ranges, before.ranges);
        assert_eq!(patched.start, before.start);

        // The page is private now; a second write to it must be seen as well.
        assert!(!watch.changed().unwrap());
        victim.patch(&[0x90]);
        assert!(watch.changed().unwrap());
        assert_ne!(claim_of(&victim).ranges, patched.ranges);
    }

    #[test]
    fn a_replaced_file_is_told_from_the_one_that_runs() {
        let victim = Victim::start();
        let other = victim.path.with_extension("new");
        std::fs::copy(&victim.path, &other).unwrap();
        std::fs::rename(&other, &victim.path).unwrap();
        let claim = claim_of(&victim);
        let told = format!("{} (deleted)", victim.path.display());
        assert!(claim.ranges.iter().any(|range| range.path == told), "{claim:?}");
        assert_eq!(claim.path, victim.path.to_str().unwrap());
    }

    #[test]
    fn what_no_longer_runs_is_no_claim() {
        let victim = Victim::start();
        let path = victim.path.clone();
        let folder = victim.stop();
        assert_eq!(claims(&[path]).unwrap(), []);
        drop(folder);
    }
}
