//! Durable state: a folder of small files, each replaced as a whole. After a power cut a file is
//! the old one or the new one, never half of one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The longest state file that is read, in octets.
const LONGEST: u64 = 1 << 20;

/// Why state could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can not be read, written or renamed.
    #[error("cannot {doing} {}: {source}; check that the agent owns its state folder and that the disk is not full", path.display())]
    Io {
        /// `read`, `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what was written there.
    #[error("{} is damaged: {reason}; move it away and let the agent start anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "agent.state.io",
            Self::Damaged { .. } => "agent.state.damaged",
        }
    }
}

/// The agent's state folder.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

impl State {
    /// Opens the folder, making it (mode 0700) if need be, and clears what a crash left half done.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let fault = |source| Error::Io { doing: "open", path: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
        for entry in fs::read_dir(folder).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                fs::remove_file(&path).map_err(fault)?;
            }
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a file holds; `None` if there is none.
    pub fn load(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(name);
        let fault = |source| Error::Io { doing: "read", path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(fault)?;
        if bytes.len() as u64 > LONGEST {
            return Err(Error::Damaged { path, reason: format!("longer than {LONGEST} octets") });
        }
        Ok(Some(bytes))
    }

    /// What a JSON file holds; `None` if there is none.
    pub fn load_json<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Error> {
        let Some(bytes) = self.load(name)? else { return Ok(None) };
        let damaged = |error: serde_json::Error| Error::Damaged {
            path: self.path(name),
            reason: error.to_string(),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Replaces a file; when this returns, a power cut does not bring the old one back.
    pub fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(name);
        let part = self.path(&format!("{name}.part"));
        write_new(&part, bytes, 0o600)
            .and_then(|()| place(&part, &path))
            .map_err(|source| Error::Io { doing: "write", path, source })
    }

    /// Replaces a JSON file.
    pub fn store_json<T: serde::Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| Error::Io {
            doing: "write",
            path: self.path(name),
            source: error.into(),
        })?;
        self.store(name, &bytes)
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        let removed = match fs::remove_file(&path) {
            Ok(()) => sync_folder(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(|source| Error::Io { doing: "remove", path, source })
    }
}

/// Writes a file that is not there yet (one that is, is a leftover and is replaced), down to the
/// disk.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A link that somebody put there in between must not be followed: `create_new` does not.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    // `mode` is subject to the umask; what runs from this file must be what it was before.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Moves a written file to its place, down to the disk.
pub(crate) fn place(part: &Path, path: &Path) -> io::Result<()> {
    fs::rename(part, path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_loaded_and_readable_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state")).unwrap();
        assert_eq!(state.load("x").unwrap(), None);
        state.store("x", b"1").unwrap();
        state.store("x", b"22").unwrap();
        assert_eq!(state.load("x").unwrap().unwrap(), b"22");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state.path("x")), mode(state.folder())), (0o600, 0o700));
        state.remove("x").unwrap();
        state.remove("x").unwrap();
        assert_eq!(state.load("x").unwrap(), None);
    }

    #[test]
    fn what_a_crash_left_half_written_is_cleared_and_never_read() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.store("x", b"old").unwrap();
        fs::write(state.path("x.part"), b"ne").unwrap();
        let again = State::open(folder.path()).unwrap();
        assert_eq!(again.load("x").unwrap().unwrap(), b"old");
        assert!(!state.path("x.part").exists());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.store("x", b"{").unwrap();
        let error = state.load_json::<u8>("x").unwrap_err();
        assert_eq!(error.code(), "agent.state.damaged");
        assert!(error.to_string().contains("/x is damaged"), "{error}");
    }
}
