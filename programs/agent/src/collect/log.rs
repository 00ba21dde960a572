//! The event log of the firmware and the measurement list of IMA, as the kernel gives them.
//! What they say is for `measure` to parse; here they are octets with a limit.

use super::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The longest log that is put into evidence, in octets. A year of `ima_policy=tcb` on a device
/// fits; what does not is refused by name instead of being cut.
pub const LONGEST: usize = 8 << 20;

/// A log that only ever grows, read whole.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    read_from(path, 0)
}

/// What a growing log holds from the octet `offset` on.
pub fn read_from(path: &Path, offset: u64) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    if offset > 0 {
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    }
    let mut log = Vec::new();
    // securityfs tells no length, so the limit is kept while reading.
    let limit = LONGEST as u64 + 1;
    file.take(limit).read_to_end(&mut log).map_err(unreadable)?;
    if log.len() > LONGEST {
        return Err(Error::TooLong { path: path.to_owned(), limit: LONGEST });
    }
    Ok(log)
}

/// A cheap look at how long the kernel's list is: `runtime_measurements_count` beside it, or the
/// length of the file.
pub fn length_hint(path: &Path) -> Option<u64> {
    let count: PathBuf = path.with_file_name("runtime_measurements_count");
    match std::fs::read_to_string(count) {
        Ok(count) => count.trim().parse().ok(),
        Err(_) => std::fs::metadata(path).ok().map(|metadata| metadata.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_whole_and_from_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, b"first").unwrap();
        assert_eq!(read(&path).unwrap(), b"first");
        std::fs::write(&path, b"firstsecond").unwrap();
        assert_eq!(read_from(&path, 5).unwrap(), b"second");
        assert_eq!(length_hint(&path), Some(11));
    }

    #[test]
    fn a_log_too_long_for_evidence_is_refused_and_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        File::create(&path).unwrap().set_len(LONGEST as u64 + 1).unwrap();
        assert_eq!(read(&path).unwrap_err().code(), "agent.collect.too-long");
        assert_eq!(read(&folder.path().join("no")).unwrap_err().code(), "agent.collect.unreadable");
    }
}
