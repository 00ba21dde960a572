//! The event log of the firmware and the measurement list of IMA, as the kernel gives them.
//! What they say is for `measure` to parse; here they are octets with a limit.

use super::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The longest log that is put into evidence, in octets. A year of `ima_policy=tcb` on a device
/// fits; what does not is refused by name instead of being cut.
pub const LONGEST: usize = 8 << 20;

/// A log, read whole: evidence carries it whole, and keeping it between two attestations would cost
/// more memory than reading it again costs time.
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

#[cfg(test)]
mod tests {
    use super::*;

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
