//! The code of watched processes as it stands in memory, as run-time claims.

use super::Error;
use super::finding::plain;
use super::maps::{Backing, Mapping};
use super::process::{Process, running};
use super::space::{Space, Ways};
use aws_lc_rs::digest::{Context, SHA256};
use std::path::{Path, PathBuf};
use touchstone_crypto::{Digest, HashAlgorithm};
use touchstone_evidence::runtime::{CodeRange, MAX_ITEMS, Process as Claim};

/// Memory is read in pieces of this many octets; a multiple of the page size.
const PIECE: usize = 64 << 10;

/// The claims about every process of the watched executables. A process that ends while it is
/// looked at is left out: it runs no code any more.
pub fn claims(watch: &[PathBuf]) -> Result<Vec<Claim>, Error> {
    let ways = Ways::default();
    let mut claims = Vec::new();
    for process in running(watch)? {
        if let Some(claim) = claim(&process, &ways)? {
            claims.push(claim);
        }
        if claims.len() > MAX_ITEMS {
            return Err(Error::TooMany { pid: process.pid, limit: MAX_ITEMS });
        }
    }
    Ok(claims)
}

fn claim(process: &Process, ways: &Ways) -> Result<Option<Claim>, Error> {
    let Some(space) = Space::open(process.pid, ways)? else { return Ok(None) };
    let mappings = space.executable()?;
    // Gone, or a zombie, which has no memory.
    if mappings.is_empty() {
        return Ok(None);
    }
    let mut ranges = Vec::new();
    let mut anonymous_executable = 0;
    for mapping in &mappings {
        match &mapping.backing {
            Backing::Kernel => {}
            Backing::Anonymous(_) => anonymous_executable += 1,
            Backing::File { path, offset, deleted, .. } => {
                let Some(digest) = digest(&space, mapping)? else { return Ok(None) };
                let gone = *deleted || (process.replaced && *path == process.path);
                let suffix = if gone { " (deleted)" } else { "" };
                let path = format!("{}{suffix}", plain(path));
                ranges.push(CodeRange { path, offset: *offset, len: mapping.len(), digest });
            }
        }
    }
    // A mapping may be shown in pieces; the order of the file is the order of comparison.
    ranges.sort();
    let path = plain(Path::new(&process.path));
    let Process { pid, start, .. } = *process;
    Ok(Some(Claim { path, pid, start, anonymous_executable, ranges }))
}

/// SHA-256 over a mapping; `None` if the process is gone.
fn digest(space: &Space<'_>, mapping: &Mapping) -> Result<Option<Digest>, Error> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; PIECE];
    let mut at = mapping.start;
    while at < mapping.end {
        let want = usize::try_from(mapping.end - at).map_or(PIECE, |rest| rest.min(PIECE));
        let Some(octets) = piece.get_mut(..want) else { break };
        if !space.read(at, octets)? {
            return Ok(None);
        }
        context.update(octets);
        at += want as u64;
    }
    let digest = context.finish();
    Ok(Digest::new(HashAlgorithm::Sha256, digest.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::pages::{Scanner, Scope};
    use crate::collect::watch::Watch;
    use crate::tests::Victim;
    use std::time::Duration;
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
        let watched = vec![victim.path.clone()];
        let scanner = Scanner::new(Scope::Of(watched.clone()), Duration::from_mins(10), 1);
        let mut watch = Watch::new(scanner, watched);
        watch.look().unwrap();
        let before = claim_of(&victim);
        assert!(!watch.look().unwrap().1, "nothing has happened");

        victim.patch(&[0xcc]);
        assert!(watch.look().unwrap().1);
        let patched = claim_of(&victim);
        assert_ne!(patched.ranges, before.ranges);
        assert_eq!(patched.start, before.start);

        // The page is private now; a second write to it must be seen as well.
        assert!(!watch.look().unwrap().1);
        victim.patch(&[0x90]);
        assert!(watch.look().unwrap().1);
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
