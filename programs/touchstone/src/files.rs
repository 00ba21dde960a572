//! Files of the owner: read whole and bounded, written whole or not at all.

use crate::answer::Failure;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Octets of a file that is no payload: certificates, keys, tokens, policies, claims.
pub(crate) const SMALL: u64 = 8 << 20;
/// Octets of a payload or a signed file.
pub(crate) const LARGE: u64 = 1 << 30;

/// A file's content, or standard input's for `-`.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        let next = match error.kind() {
            io::ErrorKind::NotFound => "check the path",
            io::ErrorKind::PermissionDenied => "run as a user who may read it",
            _ => "check the file",
        };
        let message = format!("cannot read {}: {error}", path.display());
        Failure::unknown("touchstone.file.read", message, next)
    };
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
    let failed = |error: io::Error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::unknown("touchstone.file.write", message, "check the folder and the space in it")
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let written = (|| {
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        // The first failure is the one to tell; this only tidies up.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(failed)
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
