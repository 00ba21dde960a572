//! Files of the owner: read whole and bounded, written whole or not at all.

use crate::answer::Failure;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use touchstone_crypto_awslc::AwsLc;
use touchstone_measure::ima;

/// Octets of a file that is no payload: certificates, keys, tokens, policies, claims.
pub(crate) const SMALL: u64 = 8 << 20;
/// Octets of a payload or a signed file.
pub(crate) const LARGE: u64 = 1 << 30;

/// A file's content, or standard input's for `-`.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| unread(path, &error);
    let mut content = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        file.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    }
    if u64::try_from(content.len()).is_ok_and(|len| len > limit) {
        let message = format!("{} is larger than {limit} octets", path.display());
        return Err(Failure::unknown("touchstone.file.size", message, "give the right file"));
    }
    Ok(content)
}

fn unread(path: &Path, error: &io::Error) -> Failure {
    let next = match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "run as a user who may read it",
        _ => "check the file",
    };
    Failure::unknown(
        "touchstone.file.read",
        format!("cannot read {}: {error}", path.display()),
        next,
    )
}

/// An IMA list, as the kernel shows it: binary, or in ASCII.
pub(crate) fn ima_list(octets: &[u8]) -> Result<ima::Log, touchstone_measure::Error> {
    if ima::is_ascii(octets) {
        ima::Log::decode_ascii(&AwsLc, octets)
    } else {
        ima::Log::decode(octets)
    }
}

/// A file's content as text.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, Failure> {
    String::from_utf8(read(path, limit)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("{} is not UTF-8 at octet {at}", path.display());
        Failure::unknown("touchstone.file.text", message, "give a text file in UTF-8")
    })
}

/// What a reference to a secret leads to. A secret itself is never an argument: others could read
/// it in the list of processes.
pub(crate) fn read_secret(reference: &str, what: &str) -> Result<String, Failure> {
    let Some(path) = reference.strip_prefix("file:") else {
        let message = format!("{what} is not where a secret is");
        return Err(Failure::usage(
            message,
            "write `file:` and the path of the file that holds it",
        ));
    };
    read_text(Path::new(path), SMALL)
}

/// Writes a new file: first beside it, then in its place, so that nobody sees half of it.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write_as(path, content, 0o666)
}

/// The same, but only the owner may read it.
pub(crate) fn write_secret(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write_as(path, content, 0o600)
}

fn write_as(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let mut file = NewFile::create_as(path, mode)?;
    file.write(content)?;
    file.keep()
}

/// A file that grows beside its name, and gets it when it is whole; otherwise nothing is left.
pub(crate) struct NewFile {
    file: File,
    beside: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl NewFile {
    /// A new file, which replaces one of that name.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        Self::create_as(path, 0o666)
    }

    fn create_as(path: &Path, mode: u32) -> Result<Self, Failure> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.part", std::process::id()));
        let beside = PathBuf::from(beside);
        let file = File::options().write(true).create_new(true).mode(mode).open(&beside);
        let file = file.map_err(|error| unwritten(path, &error))?;
        Ok(Self { file, beside, path: path.to_owned(), kept: false })
    }

    /// The next octets.
    pub(crate) fn write(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.file.write_all(octets).map_err(|error| unwritten(&self.path, &error))
    }

    /// It is whole.
    pub(crate) fn keep(mut self) -> Result<(), Failure> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.beside, &self.path));
        self.kept = kept.is_ok();
        kept.map_err(|error| unwritten(&self.path, &error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            // The first failure is the one to tell; this only tidies up.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot write {}: {error}", path.display());
    Failure::unknown("touchstone.file.write", message, "check the folder and the space in it")
}

/// A file of any size, or standard input for `-`, piece by piece. Tells whoever waits how far it is.
pub(crate) struct Pieces {
    source: Box<dyn Read>,
    path: PathBuf,
    buf: Vec<u8>,
    read: u64,
    progress: Option<Progress>,
}

/// Octets of a piece.
const PIECE: usize = 256 << 10;
/// A file that takes long enough for people to wonder.
const LONG: u64 = 256 << 20;

impl Pieces {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let (source, size): (Box<dyn Read>, u64) = if path == Path::new("-") {
            (Box::new(io::stdin()), 0)
        } else {
            let file = File::open(path).map_err(|error| unread(path, &error))?;
            let size = file.metadata().map(|data| data.len()).unwrap_or_default();
            (Box::new(file), size)
        };
        let progress = (size >= LONG && io::stderr().is_terminal()).then(|| Progress::new(size));
        Ok(Self { source, path: path.to_owned(), buf: vec![0; PIECE], read: 0, progress })
    }

    /// The next octets; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        let len = loop {
            match self.source.read(&mut self.buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|error| unread(&self.path, &error))?,
            }
        };
        self.read += len as u64;
        if let Some(progress) = &mut self.progress {
            progress.show(self.read);
        }
        Ok(self.buf.get(..len).filter(|octets| !octets.is_empty()))
    }

    /// How many octets there were so far.
    pub(crate) const fn len(&self) -> u64 {
        self.read
    }
}

/// How far a long file is, on a terminal.
struct Progress {
    size: u64,
    shown: u64,
}

impl Progress {
    const fn new(size: u64) -> Self {
        Self { size, shown: 0 }
    }

    fn show(&mut self, read: u64) {
        let percent = read.saturating_mul(100) / self.size.max(1);
        if percent > self.shown {
            self.shown = percent;
            let end = if percent >= 100 { "\r          \r" } else { "" };
            // Whoever does not see it misses nothing.
            let _ = write!(io::stderr(), "\r{percent:>3} %{end}");
        }
    }
}

/// The two sides of `NAME=VALUE`.
pub(crate) fn pair<'a>(argument: &'a str, form: &str) -> Result<(&'a str, &'a str), Failure> {
    let sides =
        argument.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
    sides.ok_or_else(|| {
        Failure::usage(format!("`{argument}` has no two sides"), format!("write {form}"))
    })
}

/// Seconds since 1970.
pub(crate) fn now() -> Result<u64, Failure> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map(|now| now.as_secs()).map_err(|_| {
        Failure::unknown("touchstone.clock", "the clock stands before 1970", "set the clock")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert!(read(&path, 2).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_secret(&path, b"three").unwrap();
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(write(folder.path(), b"x").is_err());
    }

    #[test]
    fn a_secret_is_never_an_argument() {
        let refused = read_secret("hunter2", "--token").unwrap_err().to_string();
        assert!(refused.contains("write `file:`") && !refused.contains("hunter2"), "{refused}");
    }
}
