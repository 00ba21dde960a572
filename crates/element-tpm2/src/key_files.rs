//! Keys at rest: what `TPM2_Create` gave, one file a key, in `<state>/keys`. Only the TPM that made
//! a key can use its file, so the files are no secret; they are kept to their owner all the same.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use touchstone_element::{Error, check_name};

use crate::told::local;
use touchstone_tpm2::marshal::{Reader, Writer};

/// Names the format and its version.
const MAGIC: &[u8; 8] = b"TSTPMK\x00\x01";
/// Both parts of an RSA key of 4096 bits fit.
const MAX_FILE: u64 = 8192;

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredKey {
    /// Inside `TPM2B_PRIVATE`.
    pub(crate) private: Vec<u8>,
    /// `TPMT_PUBLIC`.
    pub(crate) native: Vec<u8>,
}

impl StoredKey {
    pub(crate) fn decode(octets: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(octets);
        if reader.take(MAGIC.len()).map_err(local)? != MAGIC {
            return Err(Error::Malformed("not a key file"));
        }
        let mut part = || reader.sized().map(<[u8]>::to_vec).map_err(local);
        let (private, native) = (part()?, part()?);
        reader.end().map_err(local)?;
        Ok(Self { private, native })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let start = Writer::default().octets(MAGIC);
        let whole = start.sized(&self.private).and_then(|file| file.sized(&self.native));
        Ok(whole.map_err(local)?.done())
    }
}

pub(crate) struct KeyFiles {
    folder: PathBuf,
}

impl KeyFiles {
    /// Opens `<state>/keys`, making it if need be.
    pub(crate) fn open(state: &Path) -> Result<Self, Error> {
        let folder = state.join("keys");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| at(&folder, source))?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    pub(crate) fn load(&self, name: &str) -> Result<Option<StoredKey>, Error> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(at(&path, source)),
        };
        let mut octets = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(|source| at(&path, source))?;
        StoredKey::decode(&octets).map(Some).map_err(|_| Error::BadKeyFile(path))
    }

    /// Writes a key that is there whole after a power cut, or not at all.
    pub(crate) fn store(&self, name: &str, key: &StoredKey) -> Result<(), Error> {
        let (path, draft) = (self.path(name), self.folder.join(format!("{name}.draft")));
        let octets = key.encode()?;
        let write = || {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(&octets)?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        write().map_err(|source| at(&path, source))?;
        self.sync()
    }

    /// The names of all keys, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|source| at(&self.folder, source))? {
            let path = entry.map_err(|source| at(&self.folder, source))?.path();
            if path.extension().is_some_and(|extension| extension == "key")
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
                && check_name(name).is_ok()
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    pub(crate) fn rename(&self, name: &str, to: &str) -> Result<(), Error> {
        let path = self.path(name);
        match fs::rename(&path, self.path(to)) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::UnknownKey(name.to_owned()))
            }
            Err(source) => Err(at(&path, source)),
        }
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(at(&path, source)),
        }
    }

    /// A rename or removal lasts once its folder is on the disk.
    fn sync(&self) -> Result<(), Error> {
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| at(&self.folder, source))
    }
}

fn at(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn key() -> StoredKey {
        StoredKey { private: b"private".to_vec(), native: b"public".to_vec() }
    }

    #[test]
    fn a_key_is_found_under_its_name_until_it_is_deleted() {
        let state = tempfile::tempdir().unwrap();
        let files = KeyFiles::open(state.path()).unwrap();
        assert_eq!(files.load("lak").unwrap(), None);
        files.store("lak", &key()).unwrap();
        let again = KeyFiles::open(state.path()).unwrap();
        assert_eq!(again.load("lak").unwrap(), Some(key()));
        again.store("a", &key()).unwrap();
        fs::write(state.path().join("keys/b.draft"), b"half").unwrap();
        assert_eq!(again.names().unwrap(), ["a", "lak"]);
        again.rename("lak", "old").unwrap();
        assert_eq!(again.load("lak").unwrap(), None);
        assert!(matches!(again.rename("lak", "old"), Err(Error::UnknownKey(_))));
        again.delete("old").unwrap();
        again.delete("old").unwrap();
        assert_eq!(again.load("old").unwrap(), None);
    }

    #[test]
    fn only_the_owner_reads_a_key_file() {
        let state = tempfile::tempdir().unwrap();
        KeyFiles::open(state.path()).unwrap().store("lak", &key()).unwrap();
        let mode = |path: &str| {
            fs::metadata(state.path().join(path)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("keys"), mode("keys/lak.key")), (0o700, 0o600));
    }

    #[test]
    fn a_damaged_file_is_named_and_never_taken_for_a_missing_key() {
        let state = tempfile::tempdir().unwrap();
        let files = KeyFiles::open(state.path()).unwrap();
        let good = key().encode().unwrap();
        for bad in [b"".as_slice(), &good[..good.len() - 1], &[good.as_slice(), b"x"].concat()] {
            fs::write(state.path().join("keys/lak.key"), bad).unwrap();
            match files.load("lak") {
                Err(Error::BadKeyFile(path)) => assert!(path.ends_with("keys/lak.key")),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_draft_left_by_a_power_cut_is_no_key() {
        let state = tempfile::tempdir().unwrap();
        let files = KeyFiles::open(state.path()).unwrap();
        fs::write(state.path().join("keys/lak.draft"), b"half").unwrap();
        assert_eq!(files.load("lak").unwrap(), None);
        files.store("lak", &key()).unwrap();
        assert_eq!(files.load("lak").unwrap(), Some(key()));
    }
}
