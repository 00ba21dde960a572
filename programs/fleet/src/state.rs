//! The state directory: keys, certificates, the operator's token, the database, the audit log.
//! Whatever is secret is a file of mode 0600 in a directory of mode 0700, and every file appears
//! whole or not at all.

use crate::Error;
use rustix::fs::FlockOperation;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use touchstone_crypto::{SignatureAlgorithm, Signer};
use touchstone_crypto_awslc::SoftSigner;
use zeroize::Zeroizing;

/// The largest file that is read from the state directory, in octets.
const LARGEST: u64 = 1 << 20;

/// The state directory.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// Held while a fleet runs on the directory.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateDir {
    /// Opens the directory, and makes it if it is not there.
    pub fn open(path: &Path) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(0o700)))
            .map_err(Error::file(path))?;
        Ok(Self { path: path.to_owned() })
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.file("fleet.db")
    }

    /// The audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.file("audit.jsonl")
    }

    /// The token of the first operator.
    pub fn operator_token(&self) -> PathBuf {
        self.file("operator.token")
    }

    /// Makes sure that no other fleet runs on the directory.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = self.file("lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::file(&path))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Error::content(&path, "another fleet runs on this state directory; stop it first")
        })?;
        Ok(Lock { _file: file })
    }

    /// The file, or `None` if there is none.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<String>>, Error> {
        use std::io::Read;
        let path = self.file(name);
        let mut text = Zeroizing::new(String::new());
        match File::open(&path) {
            Ok(file) => {
                file.take(LARGEST).read_to_string(&mut text).map_err(Error::file(&path))?;
                Ok(Some(text))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file(&path)(error)),
        }
    }

    /// Writes a file of mode 0600; after this it is on the disk.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        write_private(&self.file(name), content)
    }

    /// The key in that file, which is made if it is not there.
    pub fn key(&self, name: &str, algorithm: SignatureAlgorithm) -> Result<SoftSigner, Error> {
        self.key_made_by(name, || SoftSigner::generate(algorithm))
    }

    /// The key in that file, or the one that is made now.
    pub fn key_made_by(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<SoftSigner, touchstone_crypto::Error>,
    ) -> Result<SoftSigner, Error> {
        let path = self.file(name);
        if let Some(pem) = self.read(name)? {
            return SoftSigner::from_pkcs8_pem(&pem).map_err(|error| {
                Error::content(&path, format!("{error}; restore it from a backup"))
            });
        }
        let key = make().map_err(Error::crypto("a new key"))?;
        self.write(name, key.to_pkcs8_pem().as_bytes())?;
        tracing::info!(key = %path.display(), algorithm = key.algorithm().name(), "made a key");
        Ok(key)
    }
}

/// Writes a file of mode 0600 beside its place and moves it there.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let failed = || Error::file(path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::content(path, "no file can have this name"));
    };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = folder.join(beside);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // Nothing half written stays behind; the first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
    }
    written.map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("deep/state")).unwrap();
        let first = state.key("a.key", SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let again = state.key("a.key", SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        assert_eq!(first.spki_der(), again.spki_der());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.file("a.key")), 0o600);
        assert_eq!(mode(&dir.path().join("deep/state")), 0o700);
        assert_eq!(std::fs::read_dir(&state.path).unwrap().count(), 1, "nothing half written");
        state.write("a.key", b"-----BEGIN").unwrap();
        let broken = state.key("a.key", SignatureAlgorithm::EcdsaP256Sha256).unwrap_err();
        assert_eq!(broken.code(), "fleet.file.content");
    }

    #[test]
    fn only_one_fleet_runs_on_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let held = state.lock().unwrap();
        assert!(state.lock().unwrap_err().to_string().contains("another fleet runs"));
        drop(held);
        state.lock().unwrap();
    }
}
