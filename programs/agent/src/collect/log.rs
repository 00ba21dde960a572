//! The event log of the firmware and the measurement list of IMA, as the kernel gives them.
//! What they say is for `measure` to parse; here they are octets with a limit.

use super::Error;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// The longest log that is put into evidence, in octets. A year of `ima_policy=tcb` on a device
/// fits; what does not is refused by name instead of being cut.
pub const LONGEST: usize = 8 << 20;

/// A log, read whole.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut log = Vec::new();
    // securityfs tells no length, so the limit is kept while reading.
    let limit = LONGEST as u64 + 1;
    file.take(limit).read_to_end(&mut log).map_err(unreadable)?;
    if log.len() > LONGEST {
        return Err(Error::TooLong { path: path.to_owned(), limit: LONGEST });
    }
    Ok(log)
}

/// A measurement list from its entry `first` on, and the index of the entry that it begins with.
/// What lies before is passed over and not kept. That is 0, and the list whole, if the list is
/// shorter or not of the usual form: little-endian, with SHA-1 template digests.
pub fn read_from(path: &Path, first: u32) -> Result<(u32, Vec<u8>), Error> {
    if first > 0 {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let mut list = BufReader::with_capacity(64 << 10, file);
        if (0..first).all(|_| pass_over(&mut list).is_ok()) {
            let mut rest = Vec::new();
            list.take(LONGEST as u64 + 1).read_to_end(&mut rest).map_err(unreadable)?;
            if rest.len() > LONGEST {
                return Err(Error::TooLong { path: path.to_owned(), limit: LONGEST });
            }
            return Ok((first, rest));
        }
    }
    Ok((0, read(path)?))
}

/// Reads to the end of one entry: PCR, template digest, the template's name, its data.
fn pass_over(list: &mut impl Read) -> io::Result<()> {
    let mut head = [0; 28];
    list.read_exact(&mut head)?;
    let [.., a, b, c, d] = head;
    let name = discard(list, [a, b, c, d])?;
    // The original template does not tell the length of its data: a digest, and a sized name.
    if name == *b"ima" {
        io::copy(&mut list.by_ref().take(20), &mut io::sink())?;
    }
    let mut len = [0; 4];
    list.read_exact(&mut len)?;
    discard(list, len).map(drop)
}

/// Reads so many octets; the first few of them.
fn discard(list: &mut impl Read, len: [u8; 4]) -> io::Result<Vec<u8>> {
    let len = u64::from(u32::from_le_bytes(len));
    let mut start = Vec::new();
    list.by_ref().take(len.min(8)).read_to_end(&mut start)?;
    let rest = len - start.len() as u64;
    let passed = io::copy(&mut list.by_ref().take(rest), &mut io::sink())?;
    if passed == rest { Ok(start) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(template: &[u8], data: &[u8]) -> Vec<u8> {
        let sized =
            |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_le_bytes(), octets].concat();
        let data =
            if template == b"ima" { [&[7; 20], &sized(data)[..]].concat() } else { sized(data) };
        [&10u32.to_le_bytes(), &[1; 20][..], &sized(template), &data].concat()
    }

    #[test]
    fn only_what_lies_behind_the_known_entries_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let long = vec![9; 200_000];
        let entries =
            [entry(b"ima-ng", b"first"), entry(b"ima", b"/bin/a"), entry(b"ima-sig", &long)];
        let list = entries.concat();
        std::fs::write(&path, &list).unwrap();
        for first in 0..=3 {
            let rest = entries[first..].concat();
            let first = u32::try_from(first).unwrap();
            assert_eq!(read_from(&path, first).unwrap(), (first, rest));
        }
        // Another boot's list is shorter: all of it is new.
        assert_eq!(read_from(&path, 4).unwrap(), (0, list.clone()));
        std::fs::write(&path, &list[..list.len() - 1]).unwrap();
        assert_eq!(read_from(&path, 3).unwrap().0, 0);
    }

    #[test]
    fn a_log_too_long_for_evidence_is_refused_and_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, b"first").unwrap();
        assert_eq!(read(&path).unwrap(), b"first");
        File::create(&path).unwrap().set_len(LONGEST as u64 + 1).unwrap();
        assert_eq!(read(&path).unwrap_err().code(), "agent.collect.too-long");
        assert_eq!(read(&folder.path().join("no")).unwrap_err().code(), "agent.collect.unreadable");
    }
}
