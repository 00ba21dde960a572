//! Keys at rest: what `TPM2_Create` gave, one file a key, in `<state>/keys`. They are TSS2 key files,
//! which tpm2-tools and OpenSSL's TPM provider use, too. Only the TPM that made a key can use its
//! file, so the files are no secret; they are kept to their owner all the same.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use touchstone_element::{Error, check_name};

use crate::told::local;
use touchstone_tpm2::marshal::Reader;
use touchstone_tpm2::pem::{KeyFile, KeyKind, MAX_FILE};

/// Names the first format, which is read and no longer written.
const OLD: &[u8; 8] = b"TSTPMK\x00\x01";

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) file: KeyFile,
    /// Whether it is of the first format. Such a key stays as it is until it is renewed: its parent
    /// has another template than the one that key files name.
    pub(crate) is_old: bool,
}

impl StoredKey {
    pub(crate) fn new(native: Vec<u8>, private: Vec<u8>) -> Self {
        Self { file: KeyFile::loadable(native, private), is_old: false }
    }

    pub(crate) fn decode(octets: &[u8]) -> Result<Self, Error> {
        if let Some(old) = octets.strip_prefix(OLD) {
            let mut reader = Reader::new(old);
            let mut part = || reader.sized().map(<[u8]>::to_vec).map_err(local);
            let (private, native) = (part()?, part()?);
            reader.end().map_err(local)?;
            if private.is_empty() || native.is_empty() {
                return Err(Error::Malformed("a key file without a key"));
            }
            return Ok(Self { is_old: true, ..Self::new(native, private) });
        }
        let no_key = Error::Malformed("not a key file");
        let Ok(Ok(file)) = std::str::from_utf8(octets).map(KeyFile::from_pem) else {
            return Err(no_key);
        };
        if file.kind == KeyKind::Loadable { Ok(Self { file, is_old: false }) } else { Err(no_key) }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let text = self.file.to_pem();
        text.map(String::into_bytes).map_err(|_| Error::Malformed("the key fits no key file"))
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
        file.take(MAX_FILE as u64 + 1)
            .read_to_end(&mut octets)
            .map_err(|source| at(&path, source))?;
        StoredKey::decode(&octets).map(Some).map_err(|_| Error::BadKeyFile(path))
    }

    /// That there is no key of this name.
    pub(crate) fn must_be_free(&self, name: &str) -> Result<(), Error> {
        match self.load(name)? {
            Some(_) => Err(Error::KeyExists(name.to_owned())),
            None => Ok(()),
        }
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
        StoredKey::new(b"public".to_vec(), b"private".to_vec())
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
        let sealed = KeyFile { kind: KeyKind::Sealed, ..key().file }.to_pem().unwrap();
        let old = [OLD.as_slice(), &[0, 1, 7, 0, 1]].concat();
        let empty = [OLD.as_slice(), &[0, 1, 7, 0, 0]].concat();
        let cut = &good[..good.len() - 9];
        for bad in [b"", cut, &good[..40], sealed.as_bytes(), &old, &empty, OLD] {
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

    #[test]
    fn a_file_of_the_first_format_is_still_read() {
        let old = [OLD.as_slice(), &[0, 7], b"private", &[0, 6], b"public"].concat();
        let stored = StoredKey::decode(&old).unwrap();
        assert!(stored.is_old);
        assert_eq!(stored.file, key().file);
    }

    #[test]
    fn a_new_file_is_one_that_others_read() {
        let text = String::from_utf8(key().encode().unwrap()).unwrap();
        assert!(text.starts_with("-----BEGIN TSS2 PRIVATE KEY-----"));
        assert_eq!(StoredKey::decode(text.as_bytes()).unwrap(), key());
    }
}
