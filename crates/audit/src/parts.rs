//! The parts of a log: `audit.jsonl` is the one that is written, `audit.000000001043.jsonl` an older
//! one that begins with entry 1043.

use crate::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A part of a log that is not written any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub path: PathBuf,
    /// The number of its first entry.
    pub first: u64,
    /// Its octets.
    pub length: u64,
}

/// The older parts of the log at `path`, the oldest first.
pub fn parts(path: &Path) -> Result<Vec<Part>, Error> {
    let folder = folder(path);
    let shown = folder.display();
    let current = std::fs::metadata(path).map(|data| (data.dev(), data.ino())).ok();
    let failed = || Error::io(format!("list {shown}"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let Some(first) = number(path, &entry.path()) else { continue };
        let data = match entry.metadata() {
            Ok(data) => data,
            // Removed meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed()(error)),
        };
        // A part that was about to begin when its writer ended.
        if Some((data.dev(), data.ino())) != current {
            found.push(Part { path: name(path, first), first, length: data.len() });
        }
    }
    found.sort_by_key(|part| part.first);
    Ok(found)
}

/// Where the part that begins with that entry goes.
pub(crate) fn name(path: &Path, first: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}.{first:012}.{ending}"))
}

/// The first entry of a part, by its name.
fn number(path: &Path, candidate: &Path) -> Option<u64> {
    let stem = candidate.file_stem()?.to_str()?;
    let digits = stem.strip_prefix(path.file_stem()?.to_str()?)?.strip_prefix('.')?;
    let first = digits.bytes().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok())??;
    (candidate.file_name() == name(path, first).file_name()).then_some(first)
}

pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The number of the entry on a line, without a look at the rest.
pub(crate) fn number_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"v\":1,\"seq\":")?;
    let end = digits.iter().position(|c| !c.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// The number of the first entry of a file, if it has one.
pub(crate) fn first_of(file: &mut File) -> std::io::Result<Option<u64>> {
    let mut start = [0; 64];
    file.seek(SeekFrom::Start(0))?;
    let mut len = 0;
    while let Some(room) = start.get_mut(len..).filter(|room| !room.is_empty()) {
        match file.read(room)? {
            0 => break,
            read => len += read,
        }
    }
    Ok(number_of(start.get(..len).unwrap_or_default()))
}
