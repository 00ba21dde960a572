//! A folder into which somebody puts an envelope by hand, where no network reaches the fleet.

use super::LARGEST;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// An envelope that lies there. Only files named `*.p7m` count, so that a copy in progress can have
/// another name.
#[derive(Debug)]
pub struct Found {
    path: PathBuf,
    /// What is in it; `None` if it is longer than any envelope.
    pub envelope: Option<Vec<u8>>,
}

/// The first envelope in the folder, by name.
pub fn next(folder: &Path) -> io::Result<Option<Found>> {
    let mut names: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    names.retain(|path| path.extension().is_some_and(|extension| extension == "p7m"));
    names.sort();
    let Some(path) = names.into_iter().next() else { return Ok(None) };
    let mut envelope = Vec::new();
    File::open(&path)?.take(LARGEST as u64 + 1).read_to_end(&mut envelope)?;
    let fits = envelope.len() <= LARGEST;
    Ok(Some(Found { path, envelope: Some(envelope).filter(|_| fits) }))
}

impl Found {
    /// The name of the file.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Puts the envelope aside under the name of its outcome, so that it is not taken twice.
    pub fn put_aside(&self, outcome: &str) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(outcome);
        fs::rename(&self.path, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_taken_once_and_a_copy_in_progress_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.p7m.tmp"), b"half").unwrap();
        assert!(next(folder.path()).unwrap().is_none());
        fs::write(folder.path().join("b.p7m"), b"envelope").unwrap();
        let found = next(folder.path()).unwrap().unwrap();
        assert_eq!(
            (found.name().as_str(), found.envelope.as_deref()),
            ("b.p7m", Some(&b"envelope"[..]))
        );
        found.put_aside("applied").unwrap();
        assert!(next(folder.path()).unwrap().is_none());
        assert!(folder.path().join("b.p7m.applied").exists());
        assert!(next(Path::new("/nonexistent")).unwrap().is_none());
    }
}
