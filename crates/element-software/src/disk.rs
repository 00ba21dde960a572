//! Files: read whole and bounded, replaced in one durable step, locked.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use touchstone_element::Error;
use zeroize::Zeroizing;

/// The file at `path`, `None` when there is none, [`Error::Corrupt`] when it is longer than `limit`.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| fault(path, error))?,
    };
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    // Grown once, so that no copy of a secret is left behind by growing.
    let size = file.metadata().map_err(|error| fault(path, error))?.len().min(bound);
    let room = usize::try_from(size).unwrap_or(limit).saturating_add(1);
    let mut octets = Zeroizing::new(Vec::with_capacity(room));
    file.take(bound).read_to_end(&mut octets).map_err(|error| fault(path, error))?;
    if octets.len() > limit {
        return Err(Error::Corrupt(path.to_owned()));
    }
    Ok(Some(octets))
}

/// Whether there is something at `path`.
pub(crate) fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(|error| fault(path, error))
}

/// Puts `octets` in the place of the file at `path`: after this returned they are there, whatever
/// happens; before, the old ones are. Only the owner may read them.
pub(crate) fn replace(path: &Path, octets: &[u8]) -> Result<(), Error> {
    let draft = draft(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(|error| fault(&draft, error))?;
    file.write_all(octets).and_then(|()| file.sync_all()).map_err(|error| fault(&draft, error))?;
    fs::rename(&draft, path).map_err(|error| fault(path, error))?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(|error| fault(folder, error))
}

/// What [`replace`] writes before it renames.
fn draft(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".draft");
    path.with_file_name(name)
}

/// Removes what a [`replace`] that was cut off left behind.
pub(crate) fn remove_draft(path: &Path) -> Result<(), Error> {
    let draft = draft(path);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault(&draft, error)),
        _ => Ok(()),
    }
}

/// Makes the folder, for its owner only, when it is not there.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| fault(path, error))
}

/// Locks `path` until the file is dropped; [`Error::Busy`] when another holds it.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| fault(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Busy),
        Err(TryLockError::Error(error)) => Err(fault(path, error)),
    }
}

/// An error at a path.
pub(crate) fn fault(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}
